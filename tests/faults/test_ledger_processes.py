"""The embedded ledger among several processes, some of which are killed."""

from __future__ import annotations

import asyncio
import random
import signal
import subprocess
import sys
from collections import Counter
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from hitl_vault.adapters.clock import SystemClock
from hitl_vault.adapters.ledger.reader import LedgerReader
from hitl_vault.adapters.ledger.sqlite import SqliteLedger
from hitl_vault.core.chain import Head
from hitl_vault.core.model import Status
from hitl_vault.ports import Filter
from hitl_vault.testing.samples import make_ask, make_vote

CHILD = Path(__file__).with_name("ledger_child.py")


@contextmanager
def child(job, *arguments):
    """Run one job of the child script; killed at the end if it still runs."""
    with subprocess.Popen(
        [sys.executable, str(CHILD), job, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def race(*jobs):
    """Let all children start at the same moment; return what each said."""
    with ExitStack() as stack:
        children = [stack.enter_context(child(*job)) for job in jobs]
        for one in children:
            assert one.stdout.readline() == "ready\n"
        for one in children:
            one.stdin.write("\n")
            one.stdin.flush()
        said = [one.communicate(timeout=60)[0].splitlines() for one in children]
        assert [one.returncode for one in children] == [0] * len(children)
        return said


async def make_requests(path, number, *, approve=False):
    ledger = SqliteLedger(path, SystemClock())
    for n in range(number):
        receipt = await ledger.submit(make_ask(f"r-{n:03}"))
        if approve:
            await ledger.submit(make_vote(receipt.request))
    await ledger.aclose()


def verified(path):
    """Open the ledger anew and make sure that it holds; return its requests."""
    reader = LedgerReader(path)
    try:
        assert reader.verify() == reader.head()
        assert isinstance(reader.head(), Head)
        return reader.find(Filter())
    finally:
        reader.close()


async def test_processes_that_decide_at_once_agree(workspace):
    """Two approve and two reject thirty requests: one answer each, and everybody is told the same."""
    path = workspace / "ledger.db"
    await make_requests(path, 30)
    said = race(
        *(("decide", path, name, answer) for name, answer in
          (("a", "approve"), ("b", "approve"), ("c", "reject"), ("d", "reject")))
    )  # fmt: skip
    for lines in zip(*said, strict=True):
        kept, statuses = zip(*(line.split() for line in lines), strict=True)
        assert Counter(kept) == {"accepted": 1, "duplicate": 1, "conflict": 2}
        assert len(set(statuses)) == 1
    requests = verified(path)
    assert all(len(request.votes) == 1 and request.rev == 2 for request in requests)


async def test_processes_that_claim_at_once_get_one_claim(workspace):
    """Eight processes claim thirty requests: each is claimed once, and all see the same holder."""
    path = workspace / "ledger.db"
    await make_requests(path, 30, approve=True)
    said = race(*(("claim", path, f"worker{n}") for n in range(8)))
    for lines in zip(*said, strict=True):
        kept, claims = zip(*(line.split() for line in lines), strict=True)
        assert Counter(kept) == {"accepted": 1, "conflict": 7}
        assert len(set(claims)) == 1
    assert {request.status for request in verified(path)} == {Status.EXECUTING}


def test_processes_that_write_at_once_make_one_chain(workspace):
    """Four processes with four lanes each: every request is there, in one unbroken chain."""
    path = workspace / "ledger.db"
    said = race(*(("ask", path, f"p{n}", 25) for n in range(4)))
    ids = [line for lines in said for line in lines]
    assert len(set(ids)) == len(ids) == 400
    assert {request.id for request in verified(path)} == set(ids)


def test_processes_that_make_a_vault_at_once_make_one(workspace):
    """Whoever opens a fresh vault at the same moment gets the same vault id."""
    for round_ in range(4):
        path = workspace / f"fresh-{round_}" / "ledger.db"
        said = race(*(("fresh", path) for _ in range(4)))
        assert len({vault_id for vault_id, _ in said}) == 1
        assert [kept for _, kept in said] == ["accepted"] * 4
        assert len(verified(path)) == 4


async def test_the_bell_and_a_hint_wake_a_waiter_of_another_process(workspace):
    """A commit changes the bell file; the hint that follows wakes who waits, without any poll."""
    path, bell = workspace / "ledger.db", workspace / "bell"
    ledger = SqliteLedger(path, SystemClock())
    request = (await ledger.submit(make_ask())).request
    assert not bell.exists()
    task = asyncio.create_task(ledger.wait("pay-1", after_rev=1, timeout_s=None))
    with child("vote", path, "pay-1", "alice"):
        async with asyncio.timeout(20):
            while not bell.exists():
                await asyncio.sleep(0.005)
    assert not task.done()
    ledger.hint()
    woken = await asyncio.wait_for(task, 10)
    assert (woken.id, woken.status) == (request.id, Status.APPROVED)
    await ledger.aclose()


@pytest.mark.parametrize("seed", range(3))
def test_nothing_acknowledged_is_lost_by_a_kill(workspace, seed):
    """Ten kills at any moment of a stream of asks: every acknowledged one is there, the chain holds."""
    path = workspace / "ledger.db"
    chance = random.Random(seed)
    acknowledged = set()
    for round_ in range(10):
        with child("ask", path, f"round{round_}", 0) as process:
            assert process.stdout.readline() == "ready\n"
            process.stdin.write("\n")
            process.stdin.flush()
            enough = chance.randrange(1, 120)
            lines = [process.stdout.readline() for _ in range(enough)]
            process.send_signal(signal.SIGKILL)
            lines += process.stdout.read().splitlines(keepends=True)
            process.wait(timeout=10)
        acknowledged |= {line.strip() for line in lines if line.endswith("\n")}
        stored = {request.id for request in verified(path)}
        assert acknowledged <= stored
    assert len(acknowledged) > 10
