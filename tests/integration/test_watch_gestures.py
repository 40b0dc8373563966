"""Owns the promise that every way of saving a note is noticed. Never judges what was saved."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from desk_kit import new_vault
from editors_kit import GESTURES, Gesture, outside

from hitl_vault.adapters.watch.supervised import SupervisedWatcher
from hitl_vault.ports import Hints

REQ = "Pending_Approval/req.md"
LAST = "Pending_Approval/zz.md"
TEXT = "---\nstatus: pending\n---\n# Pay\n"
CHANGE = ("status: pending", "status: settled")  # equally long, for mmap


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

    async def until(self, fact: Callable[[], bool]) -> None:
        async with asyncio.timeout(30):
            while not fact():
                self._more.clear()
                await self._more.wait()


@pytest.fixture
def vault() -> Iterator[Path]:
    with new_vault() as root:
        (root / ".trash").mkdir()
        (root / REQ).write_text(TEXT)
        yield root


@pytest.fixture
async def seen(vault: Path) -> AsyncIterator[Seen]:
    seen = Seen()
    watcher = SupervisedWatcher(vault, mode="events", check_s=30)
    watcher.start(seen)
    await seen.until(lambda: any(hints.all for hints in seen.hints))
    yield seen
    await watcher.aclose()


async def everything_told(seen: Seen, vault: Path) -> None:
    """Events keep their order, so what is not told before this note's never will be."""
    (vault / LAST).write_text(uuid.uuid4().hex)
    await seen.until(lambda: LAST in seen.paths)


def symlink_swap(note: Path, old: str, new: str) -> None:
    (note.parent / ".req.link").symlink_to(outside(note, TEXT.replace(old, new)))
    (note.parent / ".req.link").replace(note)


def delete(note: Path, old: str, new: str) -> None:
    note.unlink()


def drag_out_of_the_vault(note: Path, old: str, new: str) -> None:
    note.rename(note.parents[2] / "away.md")


WAYS: dict[str, Gesture] = {
    **GESTURES,
    "symlink swap": symlink_swap,
    "delete": delete,
    "drag out of the vault": drag_out_of_the_vault,
}


@pytest.mark.parametrize("gesture", WAYS.values(), ids=WAYS.keys())
async def test_every_way_to_save_a_note_hints_at_it_and_at_nothing_else(
    gesture: Gesture, seen: Seen, vault: Path
) -> None:
    """However a note is saved there is a hint for its path, and none for the tool's own files."""
    seen.hints.clear()
    await asyncio.to_thread(gesture, vault / REQ, *CHANGE)
    await everything_told(seen, vault)
    assert seen.paths - {LAST} == {REQ}
    assert not any(hints.all or hints.ledger for hints in seen.hints)


async def test_dragging_a_note_hints_at_both_its_places(seen: Seen, vault: Path) -> None:
    """A note dragged to another folder is hinted at where it was and where it is."""
    (vault / REQ).rename(vault / "Approved/req.md")
    await seen.until(lambda: {REQ, "Approved/req.md"} <= seen.paths)


@pytest.mark.parametrize(
    "name",
    [
        *("Pending_Approval/.req.md", "Pending_Approval/req.md~", "Pending_Approval/req.md.bak"),
        *("Pending_Approval/.req.md.swp", "Pending_Approval/4913", "Pending_Approval/#req.md#"),
        *("Pending_Approval/sedA1b2C3", "Pending_Approval/~syncthing~req.md.tmp", ".trash/req.md"),
        *(".hitl/ledger.db", ".hitl/config.toml", "Pending_Approval/picture.png"),
    ],
)
async def test_a_file_that_is_no_note_gives_no_hint(name: str, seen: Seen, vault: Path) -> None:
    """Nothing is said of backups, locks, scratch files and whatever is not a note."""
    seen.hints.clear()
    (vault / name).write_text(TEXT)
    await everything_told(seen, vault)
    assert seen.paths == {LAST}
    assert not any(hints.all or hints.ledger for hints in seen.hints)


async def test_a_folder_that_arrives_full_says_to_look_at_everything(
    seen: Seen, vault: Path
) -> None:
    """Notes that come in with their folder need no event of their own."""
    arriving = vault.parent / "Batch"
    arriving.mkdir()
    (arriving / "a.md").write_text(TEXT)
    seen.hints.clear()
    arriving.rename(vault / "Batch")
    await seen.until(lambda: any(hints.all for hints in seen.hints))


async def test_a_folder_made_in_a_dot_folder_is_nobodys_business(seen: Seen, vault: Path) -> None:
    """A commit by git, which makes folders all the time, does not make the engine look."""
    seen.hints.clear()
    (vault / ".trash" / "deep").mkdir()
    await everything_told(seen, vault)
    assert not any(hints.all for hints in seen.hints)
