"""Disk errors, folders that go away, and half-written notes: a clear error, nothing lost, it recovers."""

import asyncio
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from kill_kit import Nursery, at_once, new_vault, remove, why_no_tracing

from hitl_vault import Orchestrator, Status
from hitl_vault.core.chain import Head

QUICK = {"settle_s": 0, "rescan_s": 0.05, "missing_after_s": 0.2, "watch": "polling"}


@pytest.fixture
def root() -> Iterator[Path]:
    root = new_vault()
    yield root
    remove(root)


ERRORS = [
    (call, error, number)
    for error in ("ENOSPC", "EIO", "EACCES")
    for call, numbers in {
        "pwrite64": (3, 9, 16, 22, 30, 41, 52), "fdatasync": (1, 2, 4, 6, 8, 10), "write": (1, 2, 3),
        "rename": (1,), "linkat": (1,), "openat": (20, 30, 40, 50, 60), "ftruncate": (1, 2),
        "unlink": (1, 3),
    }.items()
    for number in numbers
]  # fmt: skip


@pytest.mark.timeout(240)
@pytest.mark.parametrize("how", ["api", "note"])
def test_a_failing_file_system_call_loses_and_doubles_nothing(how: str) -> None:
    """One call fails once: the work goes on or ends with an error, and what was promised holds."""
    reason = why_no_tracing()
    if reason:
        pytest.skip(reason)

    def fail(nursery: Nursery, point: tuple[str, str, int]) -> int:
        call, error, number = point
        root = new_vault()
        trace = ["-o", "/dev/null", "-e", f"trace={call}"]
        trace += ["-e", f"inject={call}:error={error}:when={number}"]
        code = nursery.run("cycle", root, how, trace=trace)
        assert code in {0, 1}, (point, code)
        nursery.check(root, how, 1, f"{error} at {call} number {number}, exit code {code}")
        remove(root)
        return code

    codes = at_once(fail, ERRORS)
    print(f"{len(codes)} failing calls in {how}, {sum(codes)} of them ended the work")
    assert sum(codes) < len(codes), "nothing survives a failing call"


@pytest.mark.timeout(240)
def test_a_disk_that_stays_full_tells_and_keeps_what_was_stored() -> None:
    """From one write on every one fails: an error, no hang, and the next start goes on."""
    reason = why_no_tracing()
    if reason:
        pytest.skip(reason)
    points = [(call, n) for call in ("pwrite64", "fdatasync") for n in range(1, 30, 4)]

    def fill(nursery: Nursery, point: tuple[str, int]) -> None:
        root = new_vault()
        trace = ["-o", "/dev/null", "-e", f"trace={point[0]}"]
        trace += ["-e", f"inject={point[0]}:error=ENOSPC:when={point[1]}+"]
        assert nursery.run("cycle", root, "api", trace=trace) in {0, 1}
        nursery.check(root, "api", 1, f"full from {point}")
        remove(root)

    at_once(fill, points)


async def test_a_folder_that_cannot_be_written_costs_the_note_not_the_request(root: Path) -> None:
    """Asked and decided while no note can be written; the notes come when they can."""
    pending = root / "Pending_Approval"
    pending.rmdir()
    pending.write_text("somebody put a file where the folder was")
    async with Orchestrator(root, **QUICK) as hitl:
        asked = await hitl.request_approval("pay", "", {"n": 1})
        assert await hitl.document_path(asked.id) is None
        await hitl.approve(asked.id, reviewer="alice")
        other = await hitl.request_approval("pay", "", {"n": 2})
        pending.unlink()
        async with asyncio.timeout(20):
            while await hitl.document_path(asked.id) is None or not await hitl.document_path(
                other.id
            ):
                await asyncio.sleep(0.02)
        text = Path(await hitl.document_path(asked.id) or "").read_text()
        assert "status: approved" in text


async def test_folders_removed_while_it_runs_come_back_with_their_notes(root: Path) -> None:
    """Removing the folders is no answer: the ballots are written again and count."""
    import shutil

    async with Orchestrator(root, **QUICK) as hitl:
        asked = await hitl.request_approval("pay", "", {"n": 1})
        for name in ("Pending_Approval", "Approved", "Rejected"):
            shutil.rmtree(root / name)
        note = root / "Pending_Approval" / f"approval_{asked.id}.md"
        async with asyncio.timeout(20):
            while not note.exists():
                await asyncio.sleep(0.02)
        assert (await hitl.get(asked.id)).status is Status.PENDING
        note.write_text(note.read_text().replace("- [ ] Approve ^", "- [x] Approve ^"))
        assert (await hitl.wait_for_decision(asked.id, 20)).status is Status.APPROVED
        assert isinstance(await hitl.verify(), Head)


async def test_an_index_thrown_away_loses_no_answer(root: Path) -> None:
    """The memory of what is shown is a cache: without it every note is read again."""
    async with Orchestrator(root, **QUICK) as hitl:
        asked = [await hitl.request_approval("pay", "", {"n": n}) for n in range(3)]
        await hitl.reject(asked[2].id, reviewer="alice")
    for file in (root / ".hitl").glob("documents.db*"):
        file.write_bytes(b"not a database at all, and long enough to be looked at" * 100)
    note = root / "Pending_Approval" / f"approval_{asked[0].id}.md"
    note.write_text(note.read_text().replace("- [ ] Approve ^", "- [x] Approve ^"))
    async with Orchestrator(root, **QUICK) as hitl:
        assert (await hitl.wait_for_decision(asked[0].id, 20)).status is Status.APPROVED
        assert (await hitl.get(asked[1].id)).status is Status.PENDING


@pytest.mark.parametrize("settle_s", [0, 0.05])
async def test_no_half_saved_note_decides(root: Path, settle_s: float) -> None:
    """Thousands of saves in pieces, each a rejection whose first part reads as an approval: nothing
    is decided before the last byte, and then it is the rejection."""
    async with Orchestrator(root, **(QUICK | {"settle_s": settle_s, "rescan_s": 0.001})) as hitl:
        asked = await hitl.request_approval("pay", "Pay the invoice", {"n": 1, "to": "bob" * 50})
        note = root / "Pending_Approval" / f"approval_{asked.id}.md"
        pending = note.read_text()
        trap = pending.replace("\nstatus: pending\n", "\nstatus: approved\n")
        whole = trap.replace("- [ ] Reject ^", "- [x] Reject ^").encode()  # they differ: unclear
        stop, saves = threading.Event(), 0

        def save_in_pieces() -> None:
            nonlocal saves
            while not stop.is_set() and saves < 3000:
                with note.open("wb", buffering=0) as file:
                    for start in range(0, len(whole) - 40, 97):
                        file.write(whole[start : min(start + 97, len(whole) - 40)])
                saves += 1

        async with asyncio.timeout(60):
            await asyncio.to_thread(save_in_pieces)
        stop.set()
        assert saves == 3000
        request = await hitl.get(asked.id)
        assert request.status is Status.PENDING
        assert not request.votes
        note.write_text(pending.replace("\nstatus: pending\n", "\nstatus: rejected\n"))
        assert (await hitl.wait_for_decision(asked.id, 20)).status is Status.REJECTED


async def test_a_burst_of_notes_is_answered_and_the_loop_stays_free(root: Path) -> None:
    """Three hundred answers at once: each counts, and the agent's event loop is never held long."""
    async with Orchestrator(root, **QUICK) as hitl:
        asked = [await hitl.request_approval("pay", "", {"n": n}) for n in range(300)]
        longest, running = 0.0, True

        async def beat() -> None:
            nonlocal longest
            while running:
                before = time.monotonic()
                await asyncio.sleep(0.005)
                longest = max(longest, time.monotonic() - before)

        pulse = asyncio.create_task(beat())
        for request in asked:
            note = root / "Pending_Approval" / f"approval_{request.id}.md"
            note.rename(root / "Approved" / note.name)
        decided = await asyncio.gather(*(hitl.wait_for_decision(r.id, 60) for r in asked))
        running = False
        await pulse
        assert {request.status for request in decided} == {Status.APPROVED}
        assert longest < 2.0, f"the event loop stood still for {longest:.2f} s"
        assert isinstance(await hitl.verify(), Head)
