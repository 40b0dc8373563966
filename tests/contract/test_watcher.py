"""Owns what every watcher promises, whichever way it sees changes. Never looks inside one."""

import asyncio
import shutil
import threading
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from hitl_vault.adapters.watch.supervised import SupervisedWatcher
from hitl_vault.ports import Hints, Watcher

NOTE = "Pending_Approval/req.md"


class Seen:
    """Collects hints and waits for facts about them."""

    def __init__(self) -> None:
        self.hints: list[Hints] = []
        self.threads: set[int] = set()
        self._more = asyncio.Event()

    def __call__(self, hints: Hints) -> None:
        self.hints.append(hints)
        self.threads.add(threading.get_ident())
        self._more.set()

    async def until(self, fact: Callable[[Hints], bool]) -> None:
        async with asyncio.timeout(30):
            while not any(fact(hints) for hints in self.hints):
                self._more.clear()
                await self._more.wait()
        self.hints.clear()


@pytest.fixture
def vault() -> Iterator[Path]:
    root = Path(__file__).parents[2] / ".cache" / f"watch-{uuid.uuid4().hex}"
    for name in ("Pending_Approval", "Approved", ".hitl"):
        (root / name).mkdir(parents=True)
    yield root
    shutil.rmtree(root)


@pytest.fixture(params=["events", "polling", "auto"])
async def make(request, vault: Path) -> AsyncIterator[Callable[[], Watcher]]:
    made: list[Watcher] = []

    def make() -> Watcher:
        made.append(SupervisedWatcher(vault, mode=request.param, poll_s=0.02, check_s=0.05))
        return made[-1]

    yield make
    for watcher in made:
        await watcher.aclose()


async def started(make: Callable[[], Watcher]) -> tuple[Watcher, Seen]:
    watcher, seen = make(), Seen()
    watcher.start(seen)
    await seen.until(lambda hints: hints.all)
    return watcher, seen


async def test_the_first_hint_says_to_look_at_everything(make) -> None:
    """What happened before the watch began is not lost between it and the engine's first look."""
    await started(make)


async def test_a_saved_note_is_hinted_at(make, vault: Path) -> None:
    """A new note, a changed one, a moved one and a deleted one each give a hint."""
    _, seen = await started(make)
    moved = "Approved/req.md"
    for act, path in (
        (lambda: (vault / NOTE).write_text("pending"), NOTE),
        (lambda: (vault / NOTE).write_text("approved"), NOTE),
        (lambda: (vault / NOTE).rename(vault / moved), moved),
        (lambda: (vault / moved).unlink(), moved),
    ):
        seen.hints.clear()
        act()
        await seen.until(lambda hints, path=path: hints.all or path in hints.paths)


async def test_the_bell_hints_at_the_ledger(make, vault: Path) -> None:
    """A byte written to the bell says that another process may have committed."""
    _, seen = await started(make)
    (vault / ".hitl/bell").write_bytes(b".")
    await seen.until(lambda hints: hints.ledger)


async def test_hints_come_on_the_loop(make, vault: Path) -> None:
    """No thread but the event loop's ever calls back."""
    _, seen = await started(make)
    (vault / NOTE).write_text("pending")
    await seen.until(lambda hints: hints.all or NOTE in hints.paths)
    assert seen.threads == {threading.get_ident()}


async def test_no_hint_comes_after_closing(make, vault: Path) -> None:
    """A closed watcher is silent about what another one still sees."""
    closed, silent = await started(make)
    _, seen = await started(make)
    (vault / NOTE).write_text("pending")
    await closed.aclose()
    silent.hints.clear()
    seen.hints.clear()
    (vault / NOTE).write_text("approved")
    await seen.until(lambda hints: hints.all or NOTE in hints.paths)
    assert silent.hints == []


async def test_closing_twice_or_unstarted_is_fine(make) -> None:
    """Closing is possible at any time, again and again."""
    watcher, _ = await started(make)
    await watcher.aclose()
    await watcher.aclose()
    await make().aclose()


async def test_a_watcher_is_started_once(make) -> None:
    """Starting a second time, or after closing, is an error."""
    watcher, seen = await started(make)
    with pytest.raises(RuntimeError, match="once"):
        watcher.start(seen)
    await watcher.aclose()
    with pytest.raises(RuntimeError, match="once"):
        watcher.start(seen)


async def test_health_tells_how_changes_are_seen(make) -> None:
    """In every state there are words for a person: not started, working, closed."""
    watcher = make()
    assert watcher.health() == "not started"
    watcher.start(lambda hints: None)
    assert "file events" in watcher.health() or "polling every 0.02 s" in watcher.health()
    await watcher.aclose()
    assert watcher.health() == "closed"


async def test_a_callback_that_fails_does_not_end_the_watch(make, vault: Path) -> None:
    """One error in the engine's callback reaches the loop's handler, and hints go on."""
    errors: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: errors.append(context))
    seen = Seen()

    def fails_first(hints: Hints) -> None:
        seen(hints)
        if not errors:
            raise ValueError

    make().start(fails_first)
    await seen.until(lambda hints: hints.all)
    (vault / NOTE).write_text("pending")
    await seen.until(lambda hints: hints.all or NOTE in hints.paths)
    assert len(errors) == 1
