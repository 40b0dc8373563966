"""Owns the promise that watching outlives what happens to folders and threads. Never saves by a tool."""

import asyncio
import errno
import logging
import os
import shutil
import subprocess
import sys
import threading
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from hitl_vault.adapters.watch import supervised
from hitl_vault.adapters.watch.gathering import Gathering
from hitl_vault.adapters.watch.observer import PAIRING_S, FolderObserver, _pairing_class
from hitl_vault.adapters.watch.supervised import SupervisedWatcher
from hitl_vault.ports import Hints

REQ = "Pending_Approval/req.md"


class Seen:
    """Collects hints and waits for facts about them."""

    def __init__(self) -> None:
        self.hints: list[Hints] = []
        self._more = asyncio.Event()

    def __call__(self, hints: Hints) -> None:
        self.hints.append(hints)
        self._more.set()

    @property
    def paths(self) -> set[str]:
        return {path for hints in self.hints for path in hints.paths}

    @property
    def all(self) -> bool:
        return any(hints.all for hints in self.hints)

    async def until(self, fact: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while not fact():
                self._more.clear()
                await self._more.wait()


class Deaf:
    """A watch that begins well and hears nothing, as on a mount that brings no events."""

    def __init__(self) -> None:
        self.stopped = False
        self.gathering: Gathering | None = None

    def __call__(self, root: Path, gathering: Gathering) -> "Deaf":
        self.gathering = gathering
        return self

    def trouble(self) -> str | None:
        return None

    def stop(self) -> None:
        self.stopped = True


@pytest.fixture
def vault() -> Iterator[Path]:
    root = Path(__file__).parents[2] / ".cache" / f"watch-{uuid.uuid4().hex}" / "vault"
    furnish(root)
    yield root
    shutil.rmtree(root.parent)


def furnish(root: Path) -> None:
    for name in ("Pending_Approval", "Approved", ".hitl"):
        (root / name).mkdir(parents=True, exist_ok=True)
    (root / REQ).write_text("pending")


@asynccontextmanager
async def watching(vault: Path, **options) -> AsyncIterator[tuple[SupervisedWatcher, Seen]]:
    seen = Seen()
    watcher = SupervisedWatcher(vault, **{"check_s": 0.02, "mode": "events"} | options)
    watcher.start(seen)
    try:
        await seen.until(lambda: seen.all)
        seen.hints.clear()
        yield watcher, seen
    finally:
        await watcher.aclose()


async def heard_again(seen: Seen, path: Path, told: str) -> None:
    """Save until it is told, for a watch that is still being made may miss the first."""
    async with asyncio.timeout(60):
        while told not in seen.paths:
            path.write_text(uuid.uuid4().hex)
            with suppress(TimeoutError):
                async with asyncio.timeout(0.5):
                    await seen.until(lambda: told in seen.paths)


async def health_says(watcher: SupervisedWatcher, words: str) -> None:
    async with asyncio.timeout(60):
        while words not in watcher.health():
            await asyncio.sleep(0.005)


def watch_threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if "watchdog" in type(thread).__module__}


async def test_a_note_that_left_the_vault_does_not_hold_up_the_next(vault: Path) -> None:
    """After "move A out, edit B" the hint for B does not wait the half second for A's other half."""
    async with watching(vault) as (watcher, seen):
        (emitter,) = watcher._observing._observer.emitters
        queue = getattr(emitter._inotify, "_move_event_grouper", emitter._inotify)._queue
        delays = [value for name, value in vars(queue).items() if name.startswith("delay")]
        assert delays == [PAIRING_S]
        (vault / REQ).rename(vault.parent / "away.md")
        (vault / "Approved/b.md").write_text("approved")
        await seen.until(lambda: {REQ, "Approved/b.md"} <= seen.paths)
    assert _pairing_class().delay == 0.5  # as others in this process expect it


@pytest.mark.parametrize("keep", [False, True], ids=["rm -rf", "mv"])
async def test_a_replaced_inner_folder_is_watched(vault: Path, keep: bool) -> None:
    """Edits inside a folder that took another one's place are hinted at."""
    folder = vault / "Pending_Approval"
    async with watching(vault) as (_, seen):
        if keep:
            folder.rename(vault / "Old")
        else:
            shutil.rmtree(folder)
        folder.mkdir()
        (folder / "first.md").write_text("pending")
        await seen.until(lambda: seen.all)
        seen.hints.clear()
        await heard_again(seen, folder / "second.md", "Pending_Approval/second.md")


async def test_a_folder_made_and_filled_at_once_is_watched(vault: Path) -> None:
    """A new folder says to look at everything, and later edits inside it are hinted at."""
    async with watching(vault) as (_, seen):
        deep = vault / "Done" / "2026-11"
        deep.mkdir(parents=True)
        (deep / "a.md").write_text("x")
        await seen.until(lambda: seen.all)
        await heard_again(seen, deep / "a.md", "Done/2026-11/a.md")


@pytest.mark.parametrize("keep", [False, True], ids=["rm -rf", "mv"])
async def test_a_replaced_vault_is_watched(vault: Path, keep: bool) -> None:
    """After the vault itself was replaced all is looked at, and edits in the new one are hinted at."""
    async with watching(vault) as (_, seen):
        if keep:
            vault.rename(vault.parent / "old")
        else:
            shutil.rmtree(vault)
        furnish(vault)
        await seen.until(lambda: seen.all)
        await heard_again(seen, vault / REQ, REQ)


async def test_a_vault_that_is_not_there_is_waited_for(vault: Path) -> None:
    """A vault that is missing at first is watched once it appears, and says so meanwhile."""
    late = vault.parent / "late"
    seen = Seen()
    watcher = SupervisedWatcher(late, mode="events", check_s=0.02)
    watcher.start(seen)
    try:
        assert "No such file" in watcher.health()
        furnish(late)
        await seen.until(lambda: seen.all)
        await heard_again(seen, late / REQ, REQ)
        assert watcher.health() == "file events"
    finally:
        await watcher.aclose()


async def test_a_vault_behind_a_symbolic_link_is_watched(vault: Path) -> None:
    """A link to the vault is as good as the vault, also after it points to another one."""
    link, other = vault.parent / "link", vault.parent / "other"
    link.symlink_to(vault)
    async with watching(link) as (_, seen):
        (vault / REQ).write_text("approved")
        await seen.until(lambda: REQ in seen.paths)
        furnish(other)
        (vault.parent / "next").symlink_to(other)
        (vault.parent / "next").replace(link)
        await seen.until(lambda: seen.all)
        seen.hints.clear()
        await heard_again(seen, other / REQ, REQ)


@pytest.mark.parametrize("part", ["emitter", "reader", "observer"])
async def test_a_dead_thread_is_noticed_and_replaced(vault: Path, part: str) -> None:
    """Whichever thread of the watch ends, a new watch is made and all is looked at."""
    async with watching(vault) as (watcher, seen):
        observer = watcher._observing._observer
        (emitter,) = observer.emitters
        victim = {
            "emitter": emitter,
            "reader": getattr(observer, "_inotify_fd", None) or emitter._inotify,
            "observer": observer,
        }[part]
        await asyncio.to_thread(victim.stop)
        await seen.until(lambda: seen.all)
        await heard_again(seen, vault / REQ, REQ)
        assert watcher._observing._observer is not observer


async def test_an_event_that_cannot_be_understood_harms_nothing(vault: Path) -> None:
    """What goes wrong with one event makes the engine look at everything and ends no thread."""
    async with watching(vault) as (watcher, seen):
        (emitter,) = watcher._observing._observer.emitters
        watcher._observing._observer.event_queue.put((object(), emitter.watch))
        await seen.until(lambda: seen.all)
        await heard_again(seen, vault / REQ, REQ)


async def test_an_overflow_of_the_kernels_queue_is_heard(vault: Path) -> None:
    """When watchdog logs that events were lost, all is looked at."""
    async with watching(vault) as (_, seen):
        lost = logging.getLogger("watchdog.observers.inotify_c")
        lost.warning("Inotify queue overflowed; filesystem events were lost")
        await seen.until(lambda: seen.all and any(hints.ledger for hints in seen.hints))
    assert not lost.filters


async def test_a_burst_loses_nothing(vault: Path) -> None:
    """After 30,000 notes at once each was hinted at, or all were, in far fewer callbacks."""
    names = {f"Pending_Approval/{number}.md" for number in range(30_000)}

    def burst() -> None:
        for name in names:
            os.close(os.open(vault / name, os.O_CREAT | os.O_WRONLY))

    async with watching(vault) as (_, seen):
        await asyncio.to_thread(burst)
        await seen.until(lambda: seen.all or names <= seen.paths)
        await heard_again(seen, vault / REQ, REQ)


async def test_the_bell_says_that_the_ledger_grew(vault: Path) -> None:
    """A byte written to the bell by another process hints at the ledger and at no note."""
    async with watching(vault) as (_, seen):
        (vault / ".hitl/bell").write_bytes(b".")
        await seen.until(lambda: any(hints.ledger for hints in seen.hints))
        assert not seen.paths
        assert not seen.all


async def test_events_that_arrive_are_found_to_arrive(vault: Path) -> None:
    """The self-test passes on a plain disk and leaves nothing behind."""
    async with watching(vault, mode="auto", self_test_s=60) as (watcher, _):
        await asyncio.wait_for(watcher._gathering.heard.wait(), 60)
        assert watcher.health() == "file events"
    assert not list((vault / ".hitl").iterdir())


async def test_polling_is_chosen_where_no_event_arrives(vault: Path) -> None:
    """A folder without events is polled, which `health` tells, until an event arrives after all."""
    deaf = Deaf()
    async with watching(vault, mode="auto", open_observer=deaf, self_test_s=0.01, poll_s=0.02) as (
        watcher,
        seen,
    ):
        await seen.until(lambda: seen.all)
        assert watcher.health() == "polling every 0.02 s: no file events arrive here"
        deaf.gathering.add(probe=True)
        await health_says(watcher, "file events")
    assert deaf.stopped


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EMFILE])
async def test_polling_is_chosen_while_the_system_grants_no_watch(vault: Path, number: int) -> None:
    """At the limit of watches the vault is polled, with the reason told, until one is granted."""
    granted = False

    def opener(root: Path, gathering: Gathering) -> FolderObserver:
        if not granted:
            raise OSError(number, "inotify limit reached")
        return FolderObserver(root, gathering)

    async with watching(vault, mode="auto", open_observer=opener, poll_s=0.02, self_test_s=60) as (
        watcher,
        seen,
    ):
        await seen.until(lambda: len(seen.hints) >= 2)
        assert watcher.health() == "polling every 0.02 s: inotify limit reached"
        granted = True
        await health_says(watcher, "file events")


async def test_a_shared_file_system_is_polled_besides(
    vault: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where others write unseen by this kernel, our own probe proves nothing: both ways are used."""
    monkeypatch.setattr(supervised, "shared_filesystem", lambda root: "9p")
    async with watching(vault, mode="auto", poll_s=0.02) as (watcher, seen):
        await seen.until(lambda: len(seen.hints) >= 2)
        assert "9p" in watcher.health()
        await heard_again(seen, vault / REQ, REQ)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda hitl: None, "no folder .hitl"),
        (lambda hitl: hitl.symlink_to("/proc"), ".hitl is not writable"),
    ],
    ids=["missing", "read-only"],
)
async def test_events_are_kept_where_they_cannot_be_tested(
    vault: Path, make: Callable[[Path], None], words: str
) -> None:
    """Without a place for the self-test's file events are used all the same, and it is told."""
    shutil.rmtree(vault / ".hitl")
    make(vault / ".hitl")
    async with watching(vault, mode="auto") as (watcher, seen):
        await health_says(watcher, f"file events (not tested: {words}")
        await heard_again(seen, vault / REQ, REQ)


async def test_nothing_is_left_after_closing(vault: Path) -> None:
    """Threads end with the watcher, however often it is closed, and at whatever moment."""
    before = watch_threads()
    for steps in range(12):
        watcher = SupervisedWatcher(vault, mode="auto", check_s=0.001, self_test_s=0.001)
        watcher.start(lambda hints: None)
        assert watch_threads() > before
        for _ in range(steps):
            await asyncio.sleep(0)
        await asyncio.gather(watcher.aclose(), watcher.aclose())
        await watcher.aclose()
        assert watch_threads() == before
        assert watcher.health() == "closed"


def test_a_loop_that_ends_first_takes_the_watcher_along(vault: Path) -> None:
    """When the program's loop ends without closing the watcher, its threads end too."""
    before = watch_threads()

    async def main() -> SupervisedWatcher:
        watcher = SupervisedWatcher(vault)
        watcher.start(lambda hints: None)
        await asyncio.sleep(0)
        return watcher

    watcher = asyncio.run(main())
    assert watch_threads() == before
    asyncio.run(watcher.aclose())


def test_watchdog_is_imported_when_watching_begins() -> None:
    """A command that never watches does not pay for the import."""
    modules = "names", "gathering", "polling", "mounts", "supervised"
    imports = "".join(f"import hitl_vault.adapters.watch.{module}\n" for module in modules)
    check = "import sys\nassert 'watchdog' not in sys.modules"
    subprocess.run([sys.executable, "-c", imports + check], check=True)


async def test_a_path_besides_the_notes_is_hinted_at(vault: Path) -> None:
    """A policy in a sub-folder that is no Markdown note gives a hint of its own."""
    (vault / "rules").mkdir()
    async with watching(vault, also=frozenset({"rules/team.yaml"})) as (_, seen):
        (vault / "rules/other.yaml").write_text("default: ask")
        (vault / "rules/team.yaml").write_text("default: ask")
        await seen.until(lambda: "rules/team.yaml" in seen.paths)
        assert "rules/other.yaml" not in seen.paths


@pytest.mark.skipif(sys.platform != "linux", reason="inotify")
async def test_an_event_read_while_the_watch_ends_is_no_error(
    vault: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Closing says nothing; the same complaint of another user of watchdog is still heard."""
    observer = FolderObserver(vault, Gathering(asyncio.get_running_loop(), lambda _: None))
    (emitter,) = observer._observer.emitters
    reader, late = emitter._inotify, threading.Event()

    def read_event(*_args, **_more):
        late.set()
        while emitter._inotify is not None:
            threading.Event().wait(0.001)
        return object()

    monkeypatch.setattr(reader, "read_event", read_event)
    (vault / REQ).write_text("approved")  # wakes the reader, whose next read is ours
    assert await asyncio.to_thread(late.wait, 30)
    await asyncio.to_thread(observer.stop)
    assert not emitter.is_alive()
    assert not caplog.records
    emitter.queue_events(0)
    assert "inactive" in caplog.text
