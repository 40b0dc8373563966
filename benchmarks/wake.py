"""Figure 1: from a person's edit in another process to the waiting coroutine, after the commit."""

from __future__ import annotations

import asyncio
import random
import time
from pathlib import Path
from typing import Any

from benchmarks.common import ACTION, Child, Scale, Table, p50_p99, percentile, say, times, vault
from benchmarks.gestures import NAMES

TITLE = "Wake: edit by another process to coroutine resumed, ms (p50 / p99)"
_POLL_S = 0.1


class Bare:
    """watchdog with an event filter, straight to a future: the least an event can cost."""

    def __init__(self, root: Path) -> None:
        from watchdog.events import (
            FileClosedEvent,
            FileCreatedEvent,
            FileMovedEvent,
            FileSystemEventHandler,
        )
        from watchdog.observers import Observer

        loop = asyncio.get_running_loop()
        self._waiting: dict[str, asyncio.Future[float]] = {}
        waiting = self._waiting

        def resolve(name: str) -> None:
            future = waiting.get(name)
            if future is not None and not future.done():
                future.set_result(time.monotonic_ns())

        class Handler(FileSystemEventHandler):
            def dispatch(self, event: Any) -> None:
                path = event.dest_path or event.src_path
                loop.call_soon_threadsafe(resolve, path.rpartition("/")[2])

        self._observer = Observer()
        self._observer.schedule(
            Handler(),
            str(root),
            recursive=True,
            event_filter=[FileClosedEvent, FileCreatedEvent, FileMovedEvent],
        )
        self._observer.start()

    def expect(self, path: Path) -> asyncio.Future[float]:
        """Return a future that is done when something happened to the file."""
        future: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._waiting[path.name] = future
        return future

    def stop(self) -> None:
        """End it."""
        self._observer.stop()
        self._observer.join()


async def polled(path: Path, interval_s: float) -> None:
    """Read the note every `interval_s` until it says approved: the usual hand-written loop."""
    moved = path.parents[1] / "Approved" / path.name
    while True:
        if moved.exists() or "[x] Approve" in path.read_text(encoding="utf-8"):
            return
        await asyncio.sleep(interval_s)


async def edit(child: Child, gesture: str, path: Path) -> int:
    """Let the other process edit; return when it did, in monotonic nanoseconds."""
    child.tell(f"{gesture}\t{path}")
    return int(await asyncio.to_thread(child.read))


async def ours_once(hitl: Any, child: Child, gesture: str) -> float:
    """Ask, wait, have it answered; return the seconds from edit to resumption."""
    request = await hitl.request_approval("payment", "Pay the invoice", ACTION)
    resumed = 0

    async def wait() -> None:
        nonlocal resumed
        await hitl.wait_for_approval(request.id)
        resumed = time.monotonic_ns()

    waiter = asyncio.create_task(wait())
    path = Path(await hitl.document_path(request.id))
    await asyncio.sleep(0.02 + random.random() / 100)
    edited = await edit(child, gesture, path)
    await waiter
    return (resumed - edited) / 1e9


async def bare_once(
    bare: Bare, root: Path, number: int, text: str, child: Child, how: str
) -> float:
    """The same edit of the same note where nothing but watchdog listens."""
    path = root / "Pending_Approval" / f"approval_bare-{number}.md"
    path.write_text(text, encoding="utf-8")
    await asyncio.sleep(0.02 + random.random() / 100)
    future = bare.expect(path)
    edited = await edit(child, how, path)
    return (await future - edited) / 1e9


async def polled_once(root: Path, number: int, text: str, child: Child, gesture: str) -> float:
    """The same edit, noticed by a polling loop."""
    path = root / "Pending_Approval" / f"approval_polled-{number}.md"
    path.write_text(text, encoding="utf-8")
    task = asyncio.create_task(polled(path, _POLL_S))
    await asyncio.sleep(random.random() * _POLL_S)
    edited = await edit(child, gesture, path)
    await task
    return (time.monotonic_ns() - edited) / 1e9


async def sample_text(hitl: Any) -> str:
    """Return a note as the product writes it."""
    request = await hitl.request_approval("payment", "Pay the invoice", ACTION)
    return Path(await hitl.document_path(request.id)).read_text(encoding="utf-8")


async def _measure(scale: Scale) -> dict[str, dict[str, list[float]]]:
    from hitl_vault import Orchestrator

    count, polls = scale.pick(25, 200), scale.pick(5, 40)
    found: dict[str, dict[str, list[float]]] = {}
    child = Child("editor")
    with vault() as root, vault() as other:
        async with Orchestrator(root, settle_s=0) as hitl:
            text = await sample_text(hitl)
            bare = Bare(other)
            for gesture, name in NAMES.items():
                say(f"wake: {name}")
                taken: dict[str, list[float]] = {"ours": [], "bare": [], "polled": []}
                for number in range(count + 3):
                    pair = [
                        await ours_once(hitl, child, gesture),
                        await bare_once(bare, other, number, text, child, gesture),
                    ]
                    if number >= 3:
                        taken["ours"].append(pair[0])
                        taken["bare"].append(pair[1])
                for number in range(polls):
                    taken["polled"].append(await polled_once(other, number, text, child, gesture))
                found[gesture] = taken
            bare.stop()
    child.close()
    return found


def run(scale: Scale) -> list[Table]:
    """Measure."""
    found = asyncio.run(_measure(scale))
    table = Table(
        title=TITLE,
        columns=[
            "gesture",
            "ours",
            "bare watchdog",
            "ours : bare p50",
            "p99",
            "polled at 0.1 s",
            "at 10 s (computed)",
        ],
        raw=found,
    )
    for gesture, taken in found.items():
        ours, bare, seen = taken["ours"], taken["bare"], taken["polled"]
        at_ten = percentile(seen, 0.5) * 10 / _POLL_S
        table.add(
            NAMES[gesture],
            p50_p99(ours),
            p50_p99(bare),
            times(percentile(ours, 0.5), percentile(bare, 0.5)),
            times(percentile(ours, 0.99), percentile(bare, 0.99)),
            p50_p99(seen),
            f"{at_ten:,.1f} s",
        )
    count = len(next(iter(found.values()))["ours"])
    table.notes.append(
        f"{count} edits of each kind, alternating. Ours: settle 0, judged, committed with an fsync, "
        "then resumed. Bare: watchdog with event_filter to a future, nothing judged or stored."
    )
    return [table]
