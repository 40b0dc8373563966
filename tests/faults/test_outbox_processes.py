"""Telling people while processes are killed: what happened is told, by whoever lives."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections import Counter
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "integration"))

from desk_kit import QUICK, new_vault, until
from receiver import Receiver

from hitl_vault import Orchestrator, Status
from hitl_vault.adapters.outbox.sqlite import SqliteOutbox
from hitl_vault.errors import StorageError

KEY = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
DESK = """
import asyncio, sys
from hitl_vault import Orchestrator

async def main(root):
    async with Orchestrator(root, settle_s=0, rescan_s=0.2):
        print("open", flush=True)
        await asyncio.sleep(3600)

asyncio.run(main(sys.argv[1]))
"""
LADDER = """```yaml hitl-policy
default: ask
rules:
  - id: ladder
    effect: ask
    approvers: [alice]
    timeout: 4s
    remind: [1s]
    escalate: [{after: 2s, to: [cfo]}]
```
"""


@pytest.fixture
def root():
    with new_vault() as root:
        yield root


def set_up(root, receiver, **more):
    lines = {"url": f"http://127.0.0.1:{receiver.port}/", "secret": "env:HOOK_KEY", **more}
    table = "\n".join(f"{key} = {json.dumps(value)}" for key, value in lines.items())
    (root / ".hitl" / "notify.toml").write_text(f'[hook]\nvia = "webhook"\n{table}\n')


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("HOOK_KEY", KEY)


@asynccontextmanager
async def desk(root):
    """A desk in a process of its own, killed at the end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", DESK, str(root), stdout=asyncio.subprocess.PIPE, env=os.environ
    )
    try:
        async with asyncio.timeout(40):
            assert await process.stdout.readline() == b"open\n"
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def told(receiver):
    """Return what each message was about, in order, by its id."""
    found = []
    for _, headers, body in list(receiver.taken):
        id = {name.lower(): value for name, value in headers.items()}["webhook-id"]
        found += [(id, e["kind"], e["request"]["id"]) for e in json.loads(body)["data"]["events"]]
    return found


async def left(root):
    box = SqliteOutbox(root / ".hitl" / "outbox.db")
    try:
        return await box.find()
    finally:
        await box.aclose()


async def test_what_a_killed_desk_was_sending_another_one_sends(root):
    """It was killed with the message under way: it is sent again at once, under the same id."""
    with Receiver("hang", 200) as receiver:
        set_up(root, receiver, limit="60s")
        async with desk(root) as dying, Orchestrator(root, watching=False) as hitl:
            asked = await hitl.request_approval("pay", "Pay", {"n": 1})
            await until(lambda: receiver.came.is_set())
            dying.send_signal(signal.SIGKILL)
            await dying.wait()
            async with desk(root):
                await until(lambda: len(receiver.taken) == 2, 20)
                await until(lambda: _empty(root))
        one, two = told(receiver)
    assert one == two
    assert one[1:] == ("requested", asked.id)


async def _empty(root):
    return not await left(root)


async def _hurried(root):
    """Say `retry` for what waits for its next try; True once nothing is left."""
    box = SqliteOutbox(root / ".hitl" / "outbox.db")
    try:
        found = await box.find()
        await box.retry([parcel.id for parcel in found if parcel.problem], datetime.now(UTC))
        return not found
    finally:
        await box.aclose()


async def test_desks_killed_at_any_moment_lose_nothing(root):
    """Forty requests, desks killed all the while, a receiver that often fails: each is told."""
    with Receiver(*[500, 200, 200] * 8, 200) as receiver:
        set_up(root, receiver, events=["requested"], limit="5s")
        asked = []
        async with Orchestrator(root, watching=False) as hitl:
            for round in range(8):
                async with desk(root) as one:
                    for number in range(5):
                        request = await hitl.request_approval("pay", "", {"n": [round, number]})
                        asked.append(request.id)
                    await asyncio.sleep(0.03 * round)  # wherever it is by then
                    one.send_signal(signal.SIGKILL)
                    await one.wait()
            async with desk(root):
                await until(lambda: _hurried(root), 60)
        seen = told(receiver)
    assert {id for *_, id in seen} == set(asked)
    assert len({id for id, *_ in seen}) == len(asked)


async def test_desks_side_by_side_tell_once(root):
    """Three desks follow and send; without a kill nobody is told twice."""
    with Receiver() as receiver:
        set_up(root, receiver, events=["requested", "approved"])
        async with desk(root), desk(root), Orchestrator(root, watching=False) as hitl:
            for number in range(15):
                request = await hitl.request_approval("pay", "", {"n": number})
                await hitl.approve(request.id, reviewer="alice")
            await until(lambda: len(told(receiver)) >= 30)
            await until(lambda: _empty(root))
        counted = Counter(told(receiver))
    assert len(counted) == 30
    assert set(counted.values()) == {1}


async def test_a_desk_closes_soon_though_a_target_hangs(root):
    """What hangs is left for the next desk; the request was stored, and its note written."""
    with Receiver("hang", 200) as receiver:
        set_up(root, receiver, limit="60s")
        async with asyncio.timeout(30):
            async with Orchestrator(root, **QUICK) as hitl:
                asked = await hitl.request_approval("pay", "Pay", {"n": 1})
                await until(lambda: receiver.came.is_set())
                approved = await hitl.approve(asked.id, reviewer="alice")
                assert approved.status is Status.APPROVED
        parcels = await left(root)
        assert parcels
        assert not any(parcel.leased for parcel in parcels)
        async with Orchestrator(root, **QUICK):
            await until(lambda: _empty(root))


async def test_silence_is_recorded_and_told_once_by_whoever_lives():
    """Two desks, one killed between reminder and end: each step once, and no approval comes of it."""
    with new_vault(LADDER) as root, Receiver() as receiver:
        set_up(root, receiver)
        async with Orchestrator(root, watching=False) as hitl, desk(root):
            async with desk(root) as dying:
                asked = await hitl.request_approval("pay", "Pay", {"n": 1})
                await until(lambda: any(kind == "reminded" for _, kind, _ in told(receiver)))
                dying.send_signal(signal.SIGKILL)
                await dying.wait()
            await until(lambda: any(kind == "expired" for _, kind, _ in told(receiver)))
            kinds = [r.event.kind.value for r in await hitl.history(asked.id)]
            assert kinds == ["requested", "reminded", "escalated", "expired"]
            assert (await hitl.get(asked.id)).status is Status.EXPIRED
            await until(lambda: _empty(root))
        seen = {(id, kind) for id, kind, _ in told(receiver)}
    assert sorted(kind for _, kind in seen) == sorted(kinds)


async def test_the_outbox_file_deleted_while_nobody_runs_is_made_again(root):
    """What waits is told again."""
    with Receiver() as receiver:
        set_up(root, receiver)
        async with Orchestrator(root, **QUICK) as hitl:
            await hitl.request_approval("pay", "Pay", {"n": 1})
            await until(lambda: len(receiver.taken) == 1)
            await until(lambda: _empty(root))
        for file in (root / ".hitl").glob("outbox.db*"):
            file.unlink()
        async with Orchestrator(root, **QUICK):
            await until(lambda: len(receiver.taken) == 2)
        one, two = told(receiver)
    assert one == two


async def test_a_dead_address_does_not_make_the_others_hear_it_again(root):
    """Not at the next try, not by the next process, and not when a person says `retry`."""
    with Receiver() as good, Receiver(500) as bad:
        urls = [f"json://127.0.0.1:{receiver.port}/" for receiver in (bad, good)]
        (root / ".hitl" / "notify.toml").write_text(
            f'[ops]\nvia = "apprise"\nurls = {json.dumps(urls)}\ntries = 3\n'
        )
        async with Orchestrator(root, watching=False) as hitl:
            await hitl.request_approval("pay", "Pay", {"n": 1}, timeout="1h")
            async with desk(root) as dying:
                await until(lambda: _tried(root, 1))
                dying.send_signal(signal.SIGKILL)
                await dying.wait()
            async with desk(root):
                await until(lambda: _tried(root, 3))
                (parcel,) = await left(root)
                assert parcel.dead
                assert "1 of 2 addresses took it" in parcel.problem
                assert len(bad.taken) == 3
                bad.answers = [200]
                box = SqliteOutbox(root / ".hitl" / "outbox.db")
                await box.retry(None, datetime.now(UTC))
                await box.aclose()
                await until(lambda: _empty(root))
        assert len(bad.taken) == 4
        assert len(good.taken) == 1


async def _tried(root, times):
    """Hurry what waits for its next try; True once it was tried so often, and was put back."""
    box = SqliteOutbox(root / ".hitl" / "outbox.db")
    try:
        found = [parcel for parcel in await box.find() if parcel.problem and not parcel.leased]
        if found and found[0].tries >= times:
            return True
        await box._do(lambda c: c.execute("UPDATE duties SET due_us = 0"), writing=True)
        return False
    finally:
        await box.aclose()


def _spoiled(path):
    for file in (path, path.with_name(f"{path.name}-wal")):
        with file.open("r+b") as opened:
            opened.write(b"no database" * (file.stat().st_size // 11))


def _unlinked(path):
    for file in path.parent.glob("outbox.db*"):
        file.unlink()


def _replaced(path):
    empty = path.with_name("empty.db")
    empty.touch()
    empty.replace(path)


@pytest.mark.parametrize("harm", [_spoiled, _unlinked, _replaced])
async def test_an_outbox_harmed_under_two_desks_forgets_nothing(root, harm):
    """Neither what could not be told yet, nor what a digest holds back, nor what calls on nobody."""
    path = root / ".hitl" / "outbox.db"
    with Receiver(500) as receiver:
        set_up(root, receiver, events=["approved"])
        with (root / ".hitl" / "notify.toml").open("a") as file:
            file.write(
                f'[late]\nvia = "webhook"\nurl = "http://127.0.0.1:{receiver.port}/"\n'
                'secret = "env:HOOK_KEY"\nevents = ["approved"]\ndigest = "1d"\n'
            )
        async with desk(root), desk(root), Orchestrator(root, watching=False) as hitl:
            asked = await hitl.request_approval("pay", "Pay", {"n": 1})
            await hitl.approve(asked.id, reviewer="alice")
            before = await until(lambda: _ids(root, 2))
            harm(path)
            assert await until(lambda: _ids(root, 2)) == before
            receiver.answers = [200]
            await until(lambda: any(kind == "approved" for _, kind, _ in told(receiver)))
            second = await hitl.request_approval("pay", "Pay", {"n": 2})
            await hitl.approve(second.id, reviewer="alice")
            await until(lambda: any(id == second.id for *_, id in told(receiver)))
        if harm is _spoiled:
            assert list(root.glob(".hitl/outbox.db.damaged-1"))


async def _ids(root, number):
    """Return what waits once it is so much; whoever looks mends nothing."""
    box = SqliteOutbox(root / ".hitl" / "outbox.db", mends=False)
    try:
        found = sorted(parcel.id for parcel in await box.find())
    except StorageError:
        return None
    finally:
        await box.aclose()
    return found if len(found) == number else None
