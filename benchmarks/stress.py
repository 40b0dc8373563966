"""Figure 3: wakes while the agent computes, while a hundred notes are saved, in a flood of files."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.common import ACTION, Child, Scale, Table, ms, percentile, say, vault
from benchmarks.wake import Bare, edit, sample_text

TITLE = "Stress: edit to resumed, ms (p50 / p99), and what was never noticed"
_PATIENCE_S = 30.0
_BARE_PATIENCE_S = 3.0


@contextlib.contextmanager
def busy_thread(switch_s: float) -> Iterator[None]:
    """A thread of the agent that computes in pure Python, interrupted every `switch_s`."""
    stop, usual = False, sys.getswitchinterval()
    sys.setswitchinterval(switch_s)

    def compute() -> None:
        number = 0
        while not stop:
            number += 1

    thread = threading.Thread(target=compute, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop = True
        thread.join()
        sys.setswitchinterval(usual)


class Ours:
    """The product, with its own notes."""

    patience_s = _PATIENCE_S

    def __init__(self, hitl: Any) -> None:
        self._hitl = hitl

    async def note(self, number: int) -> tuple[Path, asyncio.Future[int]]:
        """Return a new note and what is done when its waiter resumed."""
        request = await self._hitl.request_approval("payment", f"Pay {number}", ACTION)

        async def wait() -> int:
            await self._hitl.wait_for_approval(request.id)
            return time.monotonic_ns()

        return Path(await self._hitl.document_path(request.id)), asyncio.ensure_future(wait())


class Plain:
    """watchdog and nothing else."""

    patience_s = _BARE_PATIENCE_S

    def __init__(self, bare: Bare, root: Path, text: str) -> None:
        self._bare, self._root, self._text = bare, root, text

    async def note(self, number: int) -> tuple[Path, asyncio.Future[int]]:
        """Return a new note and what is done when an event of it arrived."""
        path = self._root / "Pending_Approval" / f"approval_bare-{time.monotonic_ns()}.md"
        path.write_text(self._text, encoding="utf-8")
        await asyncio.sleep(0.02)
        return path, self._bare.expect(path)


async def _all_at_once(side: Any, child: Child, count: int) -> list[float | None]:
    """Answer `count` notes by atomic saves, as fast as one person's script can."""
    notes = [await side.note(number) for number in range(count)]
    await asyncio.sleep(0.3)
    for path, _ in notes:
        child.tell(f"replace\t{path}")
    edited = [int(await asyncio.to_thread(child.read)) for _ in notes]
    return await _arrivals(side, notes, edited)


async def _one_by_one(side: Any, child: Child, count: int, pause_s: float) -> list[float | None]:
    notes, edited = [], []
    for number in range(count):
        notes.append(await side.note(number))
        await asyncio.sleep(pause_s)
        edited.append(await edit(child, "replace", notes[-1][0]))
        await asyncio.wait({notes[-1][1]}, timeout=1)
    return await _arrivals(side, notes, edited)


async def _in_flood(side: Any, child: Child, root: Path, files: int) -> list[float | None]:
    notes = [await side.note(number) for number in range(30)]
    await asyncio.sleep(0.3)
    flood = Child("burst", str(root / "Other"))
    flood.tell(str(files))
    edited = []
    for path, _ in notes:
        edited.append(await edit(child, "replace", path))
        await asyncio.sleep(0.03)
    await asyncio.to_thread(flood.read)
    found = await _arrivals(side, notes, edited)
    flood.close()
    return found


async def _arrivals(side: Any, notes: list[Any], edited: list[int]) -> list[float | None]:
    """Return the seconds each took, None for what did not arrive in time."""
    futures = [future for _, future in notes]
    await asyncio.wait(futures, timeout=side.patience_s)
    found: list[float | None] = []
    for future, at in zip(futures, edited, strict=True):
        found.append((future.result() - at) / 1e9 if future.done() else None)
        future.cancel()
    return found


async def _measure(scale: Scale, name: str, work: Callable[..., Any]) -> dict[str, list[Any]]:
    from hitl_vault import Orchestrator

    found: dict[str, list[Any]] = {"ours": [], "bare": []}
    child = Child("editor")
    with vault() as root, vault() as other:
        (root / "Other").mkdir()
        (other / "Other").mkdir()
        async with Orchestrator(root, settle_s=0) as hitl:
            text = await sample_text(hitl)
            bare = Bare(other)
            await asyncio.sleep(0.2)
            for round in range(scale.pick(1, 3)):
                say(f"stress: {name}, round {round + 1}")
                found["ours"] += await work(Ours(hitl), child, root)
                await asyncio.sleep(0.5)
                found["bare"] += await work(Plain(bare, other, text), child, other)
            bare.stop()
    child.close()
    return found


def run(scale: Scale) -> list[Table]:
    """Measure ours and the bare one in turn under each load."""
    files, many = scale.pick(5_000, 30_000), scale.pick(15, 60)

    async def computing(side: Any, child: Child, _root: Path) -> list[float | None]:
        with busy_thread(0.005):
            return await _one_by_one(side, child, many, 0.02)

    async def yielding(side: Any, child: Child, _root: Path) -> list[float | None]:
        with busy_thread(0.0005):
            return await _one_by_one(side, child, many, 0.02)

    async def saving(side: Any, child: Child, _root: Path) -> list[float | None]:
        return await _all_at_once(side, child, 100)

    async def flooding(side: Any, child: Child, root: Path) -> list[float | None]:
        return await _in_flood(side, child, root, files)

    loads = {
        "a busy pure-Python thread in the agent": computing,
        "the same, sys.setswitchinterval(0.0005)": yielding,
        "100 waiters, 100 atomic saves at once": saving,
        f"{files:,} other files written at once": flooding,
    }
    table = Table(
        title=TITLE,
        columns=["load", "ours", "never noticed", "bare watchdog", "never noticed by it"],
    )
    for name, work in loads.items():
        found = asyncio.run(_measure(scale, name, work))
        cells: list[str] = []
        for side in ("ours", "bare"):
            arrived = [value for value in found[side] if value is not None]
            cells += [
                f"{ms(percentile(arrived, 0.5))} / {ms(percentile(arrived, 0.99))}",
                f"{len(found[side]) - len(arrived)} of {len(found[side])}",
            ]
        table.add(name, *cells)
        table.raw[name] = found
    table.notes.append(
        "the interpreter switches threads every 5 ms unless told otherwise; a busy thread costs each "
        "hand-over that much. What bare watchdog has not reported "
        f"{_BARE_PATIENCE_S:g} s after the last save counts as never noticed; ours is given "
        f"{_PATIENCE_S:g} s, since a full look at the folders stands behind the events."
    )
    return [table]
