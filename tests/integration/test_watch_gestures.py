"""Owns the promise that every way of saving a note is noticed. Never judges what was saved."""

import asyncio
import mmap
import os
import pty
import shutil
import subprocess
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from hitl_vault.adapters.watch.supervised import SupervisedWatcher
from hitl_vault.ports import Hints

REQ = "Pending_Approval/req.md"
LAST = "Pending_Approval/zz.md"
TEXT = "---\nstatus: pending\n---\n# Pay\n"


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
    """Not in the system's temporary folder: vim saves differently there."""
    root = Path(__file__).parents[2] / ".cache" / f"watch-{uuid.uuid4().hex}" / "vault"
    for name in ("Pending_Approval", "Approved", ".hitl", ".trash"):
        (root / name).mkdir(parents=True)
    (root / REQ).write_text(TEXT)
    yield root
    shutil.rmtree(root.parent)


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


def run(*command: str, cwd: Path) -> None:
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    environment = {**os.environ, "HOME": str(cwd), "GIT_CONFIG_GLOBAL": os.devnull}
    subprocess.run(
        command,
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        check=True,
        timeout=60,
        capture_output=True,
    )


def truncate(folder: Path) -> None:
    (folder / "req.md").write_text(TEXT.replace("pending", "approved"))


def append(folder: Path) -> None:
    with (folder / "req.md").open("a") as file:
        file.write("more\n")


def replace(folder: Path) -> None:
    (folder / ".req.md.tmp").write_text(TEXT)
    (folder / ".req.md.tmp").replace(folder / "req.md")


def from_outside(folder: Path) -> None:
    outside = folder.parents[1] / "outside.md"
    outside.write_text(TEXT)
    outside.replace(folder / "req.md")


def syncthing(folder: Path) -> None:
    temporary = folder / ".syncthing.req.md.tmp"
    temporary.write_text(TEXT)
    os.utime(temporary, (1, 1))
    (folder / "req.md").unlink()
    temporary.rename(folder / "req.md")


def copy(folder: Path) -> None:
    run("cp", str(folder / "req.md"), str(folder.parents[1] / "copy"), cwd=folder)
    run("cp", str(folder.parents[1] / "copy"), "req.md", cwd=folder)


def sed(folder: Path) -> None:
    run("sed", "-i", "s/pending/approved/", "req.md", cwd=folder)


def perl(folder: Path) -> None:
    run("perl", "-pi", "-e", "s/pending/approved/", "req.md", cwd=folder)


def perl_with_backup(folder: Path) -> None:
    run("perl", "-pi.bak", "-e", "s/pending/approved/", "req.md", cwd=folder)


def vim(*settings: str) -> Callable[[Path], None]:
    def save(folder: Path) -> None:
        options = [f"set {setting}" for setting in ("nocompatible", "writebackup", *settings)]
        commands = [*options, "%s/pending/approved/", "wq"]
        run(
            "vim",
            "-es",
            "-u",
            "NONE",
            *(f"+{command}" for command in commands),
            "req.md",
            cwd=folder,
        )

    return save


def emacs(*settings: str) -> Callable[[Path], None]:
    def save(folder: Path) -> None:
        body = f'(progn {" ".join(settings)} (goto-char 5) (insert "x") (save-buffer))'
        run("emacs", "-Q", "--batch", "req.md", "--eval", body, cwd=folder)

    return save


def nano(folder: Path) -> None:
    if shutil.which("nano") is None:
        pytest.skip("nano is not installed")
    ours, its = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "HOME": str(folder), "LC_ALL": "C"}
    editor = subprocess.Popen(
        ["nano", "-I", "req.md"], cwd=folder, env=environment, stdin=its, stdout=its, stderr=its
    )
    os.close(its)
    try:
        shown = b""
        while b"GNU nano" not in shown:
            shown += os.read(ours, 4096)
        os.write(ours, b"x\x0f\r\x18")  # type x, write out, yes that name, leave
        while editor.poll() is None:
            try:
                os.read(ours, 4096)
            except OSError:  # the terminal closed with the editor
                break
        assert editor.wait(timeout=30) == 0
    finally:
        editor.kill()
        editor.wait()
        os.close(ours)


def git_checkout(folder: Path) -> None:
    git = ("git", "-c", "user.name=a", "-c", "user.email=a@example.com")
    run(*git, "init", "-q", "-b", "main", cwd=folder.parent)
    run(*git, "add", REQ, cwd=folder.parent)
    run(*git, "commit", "-qm", "one", cwd=folder.parent)
    run(*git, "checkout", "-qb", "other", cwd=folder.parent)
    run(*git, "rm", "-q", "--cached", REQ, cwd=folder.parent)
    run(*git, "commit", "-qm", "two", cwd=folder.parent)
    (folder / "req.md").unlink()
    run(*git, "checkout", "-q", "main", cwd=folder.parent)


def mapped(folder: Path) -> None:
    with (folder / "req.md").open("r+b") as file, mmap.mmap(file.fileno(), 0) as memory:
        memory[4:10] = b"STATUS"


def link(folder: Path) -> None:
    outside = folder.parents[1] / "outside.md"
    outside.write_text(TEXT)
    (folder / "req.md").unlink()
    (folder / "req.md").hardlink_to(outside)


def symlink_swap(folder: Path) -> None:
    outside = folder.parents[1] / "outside.md"
    outside.write_text(TEXT)
    (folder / ".req.link").symlink_to(outside)
    (folder / ".req.link").replace(folder / "req.md")


def delete(folder: Path) -> None:
    (folder / "req.md").unlink()


def drag_out_of_the_vault(folder: Path) -> None:
    (folder / "req.md").rename(folder.parents[1] / "away.md")


GESTURES = {
    "truncate": truncate,
    "append": append,
    "atomic replace": replace,
    "rename from outside": from_outside,
    "syncthing": syncthing,
    "cp": copy,
    "sed -i": sed,
    "perl -i": perl,
    "perl -i.bak": perl_with_backup,
    "vim": vim(),
    "vim backupcopy=yes": vim("backupcopy=yes"),
    "vim backup": vim("backup"),
    "emacs": emacs(),
    "emacs precious": emacs("(setq file-precious-flag t)"),
    "nano": nano,
    "git checkout": git_checkout,
    "mmap": mapped,
    "hard link": link,
    "symlink swap": symlink_swap,
    "delete": delete,
    "drag out of the vault": drag_out_of_the_vault,
}


@pytest.mark.parametrize("gesture", GESTURES.values(), ids=GESTURES.keys())
async def test_every_way_to_save_a_note_hints_at_it_and_at_nothing_else(
    gesture: Callable[[Path], None], seen: Seen, vault: Path
) -> None:
    """However a note is saved there is a hint for its path, and none for the tool's own files."""
    seen.hints.clear()
    await asyncio.to_thread(gesture, vault / "Pending_Approval")
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
