"""Several processes, one vault: agents that die and come back, desks side by side, many waiters."""

import asyncio
import os
import signal
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from desk_kit import QUICK, kinds, new_vault, note_of, prove, ticked, until

from hitl_vault import Cancelled, Conflict, Kind, LedgerLost, Orchestrator, Status, WaitTimeout
from hitl_vault.errors import OutcomeNotRecorded

AGENT = """
import asyncio, sys
from hitl_vault import Orchestrator

async def main(root, watching):
    async with Orchestrator(root, watching=watching == "watching", settle_s=0.1, rescan_s=0.2) as hitl:
        asked = await hitl.request_approval("pay", "Pay", {"amount": 900}, key="INV-1")
        print("asked", asked.id, flush=True)
        approved = await hitl.wait_for_approval(asked.id)
        async with hitl.execution(asked.id) as run:
            print("runs", approved.id, flush=True)
            if sys.argv[3] == "hang":
                await asyncio.sleep(3600)
            run.result = "paid"
        print("done", approved.id, flush=True)

asyncio.run(main(*sys.argv[1:3]))
"""


@pytest.fixture
def root() -> Iterator[Path]:
    with new_vault() as root:
        yield root


async def agent(root: Path, watching: str = "watching", end: str = "pay"):
    """Start an agent in a process of its own and return it with the id it asked under."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", AGENT, str(root), watching, end, stdout=asyncio.subprocess.PIPE
    )
    return process, await said(process, "asked")


async def said(process: asyncio.subprocess.Process, word: str) -> str:
    assert process.stdout is not None
    async with asyncio.timeout(40):
        line = (await process.stdout.readline()).decode().split()
    assert line[:1] == [word], line
    return line[1]


async def test_an_agent_killed_while_it_waits_gets_the_answer_when_it_comes_back(
    root: Path,
) -> None:
    """The same key is the same request: asked once, answered while nobody ran, run once."""
    first, id = await agent(root)
    os.kill(first.pid, signal.SIGKILL)
    await first.wait()
    note = root / "Pending_Approval" / f"approval_{id}.md"
    note.write_text(ticked(note.read_text()))
    second, same = await agent(root)
    assert same == id
    await said(second, "runs")
    await said(second, "done")
    assert await second.wait() == 0
    async with Orchestrator(root, watching=False) as hitl:
        assert (await hitl.get(id)).result == "paid"
        assert len(await hitl.list_requests()) == 1
        await prove(hitl)


async def test_an_agent_killed_while_it_runs_leaves_an_unknown_end(root: Path) -> None:
    """Its successor does not run it again; a person says what became of it."""
    first, id = await agent(root, end="hang")
    async with Orchestrator(root, **QUICK) as hitl:
        await hitl.approve(id, reviewer="alice")
        await said(first, "runs")
        with pytest.raises(Conflict):
            await hitl.execution(id).claim()
        os.kill(first.pid, signal.SIGKILL)
        await first.wait()
        assert (await hitl.wait_for_outcome(id, 40)).status is Status.UNKNOWN
        await hitl.resolve(id, Status.FAILED, by="alice", reason="the bank knows nothing")
        path = Path(await hitl.document_path(id) or "")
        await until(lambda: "status: failed" in path.read_text())
        await prove(hitl)


@pytest.mark.parametrize("watching", ["watching", "not"])
async def test_an_answer_in_one_process_wakes_the_waiter_in_another(
    root: Path, watching: str
) -> None:
    """Also a waiter that reads no notes itself."""
    waiting, id = await agent(root, watching)
    async with Orchestrator(root, **QUICK) as hitl:
        note = await note_of(hitl, await hitl.get(id))
        note.write_text(ticked(note.read_text()))
        await said(waiting, "runs")
        await said(waiting, "done")
        assert await waiting.wait() == 0


async def test_two_desks_on_one_vault_make_one_vote(root: Path) -> None:
    """Both read every note; each answer counts once, and the notes are written once."""
    async with Orchestrator(root, **QUICK) as one, Orchestrator(root, **QUICK) as two:
        asked = [
            await (one, two)[number % 2].request_approval("pay", "", {"n": number})
            for number in range(20)
        ]
        for number, request in enumerate(asked):
            note = await note_of(one, request)
            note.write_text(ticked(note.read_text(), ("Approve", "Reject")[number % 2]))
        waits = [(two, one)[n % 2].wait_for_decision(r.id, 40) for n, r in enumerate(asked)]
        decided = await asyncio.gather(*waits)
        assert [r.status for r in decided] == [Status.APPROVED, Status.REJECTED] * 10
        for request in decided:
            assert (await kinds(one, request)).count(Kind.VOTED) == 1
            path = await note_of(one, request)
            await until(lambda p=path, r=request: f"status: {r.status}" in p.read_text())
            assert path.read_text().count(" · the file says ") <= 1
        await prove(two)


async def test_many_wait_for_one_answer(root: Path) -> None:
    """Two hundred waiters in two processes' engines, some impatient: all the others get it."""
    async with Orchestrator(root, **QUICK) as one, Orchestrator(root, **QUICK) as two:
        asked = await one.request_approval("pay", "", {})
        waits = [
            asyncio.create_task(
                (one, two)[n % 2].wait_for_decision(asked.id, 0.05 if n < 20 else 40)
            )
            for n in range(200)
        ]
        impatient = await asyncio.gather(*waits[:20], return_exceptions=True)
        assert all(isinstance(outcome, WaitTimeout) for outcome in impatient)
        waits[30].cancel()
        note = await note_of(one, asked)
        note.write_text(ticked(note.read_text()))
        rest = await asyncio.gather(*waits[20:30], *waits[31:])
        assert {request.status for request in rest} == {Status.APPROVED}


async def test_events_are_told_live_to_subscribers_in_every_process(root: Path) -> None:
    """A subscriber hears what another process commits, in order, and may go on from a number."""
    async with (
        Orchestrator(root, **QUICK) as one,
        Orchestrator(root, watching=False) as two,
    ):
        events = two.subscribe()
        heard = []
        asked = await one.request_approval("pay", "", {})
        await one.reject(asked.id, reviewer="alice")
        async with asyncio.timeout(40):
            async for recorded in events:
                if recorded.event.kind is not Kind.POLICY_CHANGED:
                    heard.append(recorded)
                if recorded.event.kind is Kind.REJECTED:
                    break
        await events.aclose()
        assert [it.event.kind for it in heard] == [Kind.REQUESTED, Kind.VOTED, Kind.REJECTED]
        again = [it async for it in two.subscribe(after=heard[0].seq, follow=False)]
        assert again == heard[1:]


async def test_closing_leaves_nothing_running(root: Path) -> None:
    """No task, no thread, no open file: opened and closed ten times."""
    import threading

    before = threading.active_count()
    files = len(os.listdir("/proc/self/fd"))
    for _ in range(10):
        async with Orchestrator(root, **QUICK) as hitl:
            await hitl.request_approval("pay", "", {})
    assert asyncio.all_tasks() == {asyncio.current_task()}
    await until(lambda: threading.active_count() <= before + 8)  # asyncio's own pool stays
    assert len(os.listdir("/proc/self/fd")) <= files + 2
    with pytest.raises(RuntimeError, match="open it first"):
        await hitl.get("x")


async def test_looking_once_reads_what_another_process_decided(root: Path) -> None:
    """`timeout=0` looks at the ledger, not at what this process remembers; so does any wait."""
    async with (
        Orchestrator(root, watching=False) as one,
        Orchestrator(root, watching=False) as other,
    ):
        request = await one.request_approval("payment", "Pay", {"amount": 900})
        await other.approve(request.id, reviewer="alice")
        assert (await one.wait_for_approval(request.id, timeout=0)).status is Status.APPROVED
        await other.cancel(request.id, by="alice")
        with pytest.raises(Cancelled):
            await one.wait_for_approval(request.id)


async def test_a_late_flush_never_takes_back_what_another_process_showed(root: Path) -> None:
    """The desk that hears last has the oldest news."""
    async with (
        Orchestrator(root, watching=False) as desk,
        Orchestrator(root, watching=False) as agent,
    ):
        request = await desk.request_approval("payment", "Pay", {"amount": 900})

        async def later(id: str) -> None:
            desk._display.show_soon(id)

        desk._shown = later  # type: ignore[method-assign]
        await desk.approve(request.id, reviewer="alice")
        async with agent.execution(request.id) as run:
            run.result = "paid"
        await desk._display.flush()
        note = Path(await agent.document_path(request.id) or "")
        assert "\nstatus: executed\n" in note.read_text()


async def test_an_older_copy_of_the_ledger_is_refused_after_a_short_run_too(root: Path) -> None:
    """What ran would run again; no desk need have been watching to know."""
    ledger, copy = root / ".hitl" / "ledger.db", root / ".hitl" / "copy.db"
    async with Orchestrator(root, watching=False) as hitl:
        request = await hitl.request_approval("payment", "Pay", {"amount": 900}, key="INV-1")
        await hitl.approve(request.id, reviewer="alice")
        with closing(sqlite3.connect(ledger)) as source, closing(sqlite3.connect(copy)) as target:
            source.backup(target)
        async with hitl.execution(request.id) as run:
            run.result = "paid"
    for file in ledger.parent.glob("ledger.db*"):
        file.unlink()
    copy.rename(ledger)
    with pytest.raises(LedgerLost, match="older copy"):
        await Orchestrator(root, watching=False).open()


async def test_closing_while_executions_end_loses_none_that_was_reported(root: Path) -> None:
    """Every end that was not recorded is said to be so; closing itself never fails."""
    hitl = Orchestrator(root, watching=False)
    await hitl.open()
    requests = [await hitl.request_approval("payment", "Pay", {"amount": n}) for n in range(8)]
    for request in requests:
        await hitl.approve(request.id, reviewer="alice")
    begun, go = asyncio.Semaphore(0), asyncio.Event()

    async def work(id: str, turns: int) -> None:
        async with hitl.execution(id) as run:
            begun.release()
            await go.wait()
            for _ in range(turns):
                await asyncio.sleep(0)
            run.result = "paid"

    running = [asyncio.create_task(work(request.id, 3 * n)) for n, request in enumerate(requests)]
    for _ in requests:
        await begun.acquire()
    go.set()
    await asyncio.sleep(0)
    await hitl.aclose()
    ended = await asyncio.gather(*running, return_exceptions=True)
    async with Orchestrator(root, watching=False) as after:
        for request, end in zip(requests, ended, strict=True):
            assert end is None or isinstance(end, OutcomeNotRecorded)
            if end is None:
                assert (await after.get(request.id)).status is Status.EXECUTED
