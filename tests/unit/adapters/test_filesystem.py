"""Notes on a real file system, with everything that can stand in a note's place."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from hitl_vault.adapters.vault import files
from hitl_vault.adapters.vault.filesystem import FilesystemVault, FolderNames
from hitl_vault.adapters.vault.index import DocumentIndex
from hitl_vault.document.reading import MAX_BYTES
from hitl_vault.errors import StorageError

NOTE = "Pending_Approval/approval_a.md"


@pytest.fixture
async def vault(workspace):
    made = FilesystemVault(workspace, FolderNames(), DocumentIndex(workspace / "i.db", "Done"))
    (workspace / "Pending_Approval").mkdir()
    yield made
    await made.aclose()


def names(folder):
    return sorted(path.name for path in folder.iterdir())


async def paths(vault):
    return sorted(found.path for found in await vault.scan())


# reading


async def test_links_pipes_sockets_and_folders_are_no_notes(vault, workspace):
    """None of them is loaded, followed, found or waited for; a scan says what they are."""
    pending = workspace / "Pending_Approval"
    secret = workspace / "secret.md"
    secret.write_text("status: approved")
    (pending / "approval_link.md").symlink_to(secret)
    (pending / "approval_dangling.md").symlink_to(workspace / "nothing")
    (pending / "approval_loop.md").symlink_to("approval_loop.md")
    os.mkfifo(pending / "approval_pipe.md")
    (pending / "approval_folder.md").mkdir()
    os.symlink(workspace, pending / "outside")
    with socket.socket(socket.AF_UNIX) as server:
        here = os.open(pending, os.O_RDONLY)
        server.bind(f"/proc/self/fd/{here}/approval_socket.md")
        os.close(here)
        for id in ("link", "dangling", "loop", "pipe", "folder", "socket", "nobody"):
            async with asyncio.timeout(5):
                assert await vault.load(f"Pending_Approval/approval_{id}.md") is None, id
            assert await vault.find(id) is None, id
        assert await vault.load("Pending_Approval/approval_link.md/x.md") is None
        odd = {found.path.split("_")[-1]: found.odd for found in await vault.scan()}
        assert odd == {
            **dict.fromkeys(("link.md", "dangling.md", "loop.md"), "a link"),
            **dict.fromkeys(("pipe.md", "socket.md"), "a pipe or a device"),
            "folder.md": "a folder",
        }


async def test_refusing_what_is_no_note_leaves_nothing_open(vault, workspace):
    """A thousand looks at a folder in a note's place do not use up the file descriptors."""
    (workspace / NOTE).mkdir()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        assert await vault.load(NOTE) is None
    assert len(os.listdir("/proc/self/fd")) == before


async def test_a_scan_leaves_out_what_tools_leave_behind(vault, workspace):
    """Dot files, backups, other kinds of file and names that are no text; sub-folders are read."""
    pending = workspace / "Pending_Approval"
    for name in (
        ".hidden.md",
        "a.md~",
        "a.md.bak",
        "4913",
        "#a.md#",
        "a.txt",
        "a.md.tmp",
        "B.MD",
        "ok.md",
    ):
        (pending / name).write_text("x")
    (pending / ".trash").mkdir()
    (pending / ".trash" / "gone.md").write_text("x")
    (pending / "sub").mkdir()
    (pending / "sub" / "deep.md").write_text("x")
    Path(os.fsdecode(os.fsencode(pending) + b"/approval_\xff.md")).write_text("x")
    assert await paths(vault) == [
        f"Pending_Approval/{name}" for name in ("B.MD", "ok.md", "sub/deep.md")
    ]


async def test_folders_that_are_missing_or_files_are_empty(vault, workspace):
    """A vault without its folders can be scanned."""
    (workspace / "Pending_Approval").rmdir()
    (workspace / "Approved").write_text("a file in its place")
    assert await vault.scan() == []
    assert await vault.find("a") is None


async def test_a_large_file_is_read_to_the_limit_and_never_replaced(vault, workspace):
    """What lies beyond the limit was not read, so it is not ours to drop."""
    data = b"x" * (MAX_BYTES + 100)
    (workspace / NOTE).write_bytes(data)
    loaded = await vault.load(NOTE)
    assert MAX_BYTES < len(loaded.data) <= MAX_BYTES + 1
    assert await vault.replace(NOTE, loaded.data, b"short") is None
    assert (workspace / NOTE).read_bytes() == data


@pytest.mark.parametrize(
    "path", ["../x.md", "/etc/passwd", "Pending_Approval/../../x.md", "..\\x.md", "a/.."]
)
async def test_no_path_leads_out_of_the_vault(vault, workspace, path):
    """Every way to name a file outside is refused."""
    for call in (
        vault.load(path), vault.create(path, b"x"), vault.replace(path, b"", b"x"),
        vault.move(path, NOTE), vault.move(NOTE, path),
    ):  # fmt: skip
        with pytest.raises(StorageError, match="not a path inside the vault"):
            await call
    assert not (workspace.parent / "x.md").exists()


# writing


async def test_a_note_is_complete_when_it_is_visible(vault, workspace):
    """A reader that looks all the time never sees half a note, nor a moment without one."""
    data = [b"a" * 200_000, b"b" * 200_000]
    seen, stop = set(), threading.Event()

    def look():
        here = False
        while not stop.is_set():
            try:
                seen.add((workspace / NOTE).read_bytes())
                here = True
            except FileNotFoundError:
                if here:
                    seen.add(b"gone")

    reader = threading.Thread(target=look)
    reader.start()
    try:
        await vault.create(NOTE, data[0])
        for n in range(40):
            assert await vault.replace(NOTE, data[n % 2], data[(n + 1) % 2]) is not None
    finally:
        stop.set()
        reader.join(timeout=10)
    assert seen <= set(data)
    assert names(workspace / "Pending_Approval") == ["approval_a.md"]


async def test_of_many_creates_one_wins(vault, workspace):
    """Two vaults over one folder, as two processes have: exactly one create succeeds."""
    other = FilesystemVault(workspace, FolderNames(), DocumentIndex(workspace / "i.db", "Done"))
    for n in range(20):
        path = f"Pending_Approval/approval_{n}.md"
        made = await asyncio.gather(vault.create(path, b"one"), other.create(path, b"two"))
        assert sum(signature is not None for signature in made) == 1
        winner = b"one" if made[0] is not None else b"two"
        assert (workspace / path).read_bytes() == winner
    await other.aclose()


async def test_create_makes_missing_folders(vault, workspace):
    """A person who deleted the folder gets it back."""
    (workspace / "Pending_Approval").rmdir()
    assert await vault.create(NOTE, b"x") is not None
    assert (workspace / NOTE).stat().st_mode & 0o777 == 0o644 & ~_umask()


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


async def test_a_file_system_without_links_is_written_exclusively_too(
    vault, workspace, monkeypatch
):
    """Where hard links are refused, create still never replaces a note."""

    def refused(*_, **__):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refused)
    assert await vault.create(NOTE, b"one") is not None
    assert await vault.create(NOTE, b"two") is None
    assert (workspace / NOTE).read_bytes() == b"one"
    assert names(workspace / "Pending_Approval") == ["approval_a.md"]


async def test_a_disk_that_fills_up_leaves_no_half_note(vault, workspace):
    """Without space a create fails as StorageError, and nothing stands in the note's place."""
    assert await vault.create(NOTE, b"one") is not None

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device", str(workspace / NOTE))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "write", full)
        patch.setattr(files, "write_beside", full)
        with pytest.raises(StorageError, match="No space left"):
            await vault.create("Pending_Approval/approval_b.md", b"x")
        with pytest.raises(StorageError, match="No space left"):
            await vault.replace(NOTE, b"one", b"two")
    assert names(workspace / "Pending_Approval") == ["approval_a.md"]
    assert (workspace / NOTE).read_bytes() == b"one"


async def test_a_write_that_stops_halfway_leaves_no_half_note(vault, workspace, monkeypatch):
    """Without unnamed files and links, a note that could not be written whole is taken away."""

    def refused(*_, **__):
        raise OSError(errno.EPERM, "Operation not permitted")

    def torn(temporary, target, data):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Path, "open", lambda *_: Torn(target))
            return publish(temporary, target, data)

    class Torn:
        def __init__(self, path):
            self._file = open(path, "xb")

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self._file.close()

        def write(self, data):
            self._file.write(data[:1])
            raise OSError(errno.ENOSPC, "No space left on device")

    publish = files._publish
    monkeypatch.setattr(os, "link", refused)
    monkeypatch.setattr(files, "_publish", torn)
    with pytest.raises(StorageError, match="No space left"):
        await vault.create(NOTE, b"one")
    assert names(workspace / "Pending_Approval") == []


async def test_what_was_seen_is_compared_by_its_signature(vault, workspace):
    """A note is unchanged, and may be replaced, only in the very state that was seen."""
    seen = await vault.create(NOTE, b"one")
    assert vault.is_unchanged(NOTE, seen)
    assert not vault.is_unchanged("../x.md", seen)
    assert not vault.is_unchanged("Pending_Approval/approval_b.md", seen)
    (workspace / NOTE).write_bytes(b"another")
    assert not vault.is_unchanged(NOTE, seen)
    assert await vault.replace(NOTE, seen, b"two") is None
    assert (workspace / NOTE).read_bytes() == b"another"
    os.utime(workspace / NOTE, ns=(10**18 + 1, 10**18 + 1))
    seen = (await vault.load(NOTE)).signature
    new = await vault.replace(NOTE, seen, b"two")
    assert vault.is_unchanged(NOTE, new)
    assert (workspace / NOTE).read_bytes() == b"two"


async def test_replace_keeps_the_permissions_and_follows_no_link(vault, workspace):
    """A note a person made private stays private; a link in its place is left alone."""
    await vault.create(NOTE, b"one")
    (workspace / NOTE).chmod(0o600)
    await vault.replace(NOTE, b"one", b"two")
    assert stat.S_IMODE((workspace / NOTE).stat().st_mode) == 0o600
    target = workspace / "target.md"
    target.write_bytes(b"one")
    link = workspace / "Pending_Approval" / "approval_l.md"
    link.symlink_to(target)
    assert await vault.replace("Pending_Approval/approval_l.md", b"one", b"two") is None
    assert target.read_bytes() == b"one"
    assert link.is_symlink()


async def test_move_touches_neither_links_nor_what_stands_there(vault, workspace):
    """A link, even a dangling one, in either place stops the move; nothing is made for it."""
    await vault.create(NOTE, b"one")
    done = workspace / "Done" / "2026-11"
    assert await vault.move("Pending_Approval/nothing.md", "Done/2026-11/x.md") is None
    assert not done.exists()
    done.mkdir(parents=True)
    (done / "approval_a.md").symlink_to("nowhere")
    assert await vault.move(NOTE, "Done/2026-11/approval_a.md") is None
    assert (done / "approval_a.md").is_symlink()
    (workspace / "Pending_Approval" / "approval_l.md").symlink_to("approval_a.md")
    assert await vault.move("Pending_Approval/approval_l.md", "Done/2026-11/l.md") is None
    assert (workspace / NOTE).read_bytes() == b"one"


async def test_a_read_only_folder_is_named(vault, workspace):
    """Every write into it is a StorageError that names the path; reading works."""
    await vault.create(NOTE, b"one")
    script = (
        "import asyncio, os, sys; from pathlib import Path; sys.path.insert(0, sys.argv[2])\n"
        "from hitl_vault.adapters.vault.filesystem import *\n"
        "from hitl_vault.adapters.vault.index import DocumentIndex\n"
        "from hitl_vault.errors import StorageError\n"
        "root = Path(sys.argv[1]); index = DocumentIndex(root / 'j.db', 'Done')\n"
        "(root / 'Pending_Approval').chmod(0o555)\n"
        "if os.geteuid() == 0: os.setegid(65534); os.seteuid(65534)\n"
        "async def main():\n"
        "    vault = FilesystemVault(root, FolderNames(), index)\n"
        "    print((await vault.load('Pending_Approval/approval_a.md')).data)\n"
        "    for work in (vault.create('Pending_Approval/b.md', b''),\n"
        "                 vault.replace('Pending_Approval/approval_a.md', b'one', b'two'),\n"
        "                 vault.move('Pending_Approval/approval_a.md', 'Pending_Approval/c.md')):\n"
        "        try: print('done', await work)\n"
        "        except StorageError as error: print(error)\n"
        "    await vault.aclose()\n"
        "asyncio.run(main())\n"
    )
    workspace.chmod(0o755)
    root = Path(__file__).parents[3]
    run = subprocess.run(
        [sys.executable, "-c", script, str(workspace), str(root)],
        capture_output=True,
        text=True,
        timeout=30,
    )
    if "Permission denied: '" in run.stderr and not run.stdout:
        pytest.skip("another user cannot reach the repository")
    first, *rest = run.stdout.splitlines()
    assert first == "b'one'", run.stderr
    assert len(rest) == 3
    for line in rest:
        assert str(workspace / "Pending_Approval") in line
        assert "Permission denied" in line


@pytest.mark.parametrize("unnamed", [True, False])
async def test_a_save_right_after_the_note_appeared_is_not_taken_for_ours(
    vault, workspace, monkeypatch, unnamed
):
    """Whoever saves between the note's appearing and our look at it has changed it."""
    link = os.link

    def linked(source, target, **options):
        link(source, target, **options)
        Path(target).write_bytes(b"two")

    monkeypatch.setattr(os, "link", linked)
    if not unnamed:
        monkeypatch.delattr(os, "O_TMPFILE")
    seen = await vault.create(NOTE, b"one")
    assert (workspace / NOTE).read_bytes() == b"two"
    assert not vault.is_unchanged(NOTE, seen)
    assert (await vault.load(NOTE)).signature != seen
    assert await vault.replace(NOTE, seen, b"three") is None


async def test_a_save_within_one_step_of_the_clock_is_told_apart(vault, workspace):
    """Of two saves of one size and one time, the second is not taken for the first."""
    seen = await vault.create(NOTE, b"one")
    now = time.time_ns() + 1
    (workspace / NOTE).write_bytes(b"two")
    assert not vault.is_unchanged(NOTE, seen)
    os.utime(workspace / NOTE, ns=(now, now))
    seen = (await vault.load(NOTE)).signature
    assert not vault.is_unchanged(NOTE, seen)
    assert (await vault.load(NOTE)).signature != seen


async def test_a_folder_that_cannot_be_listed_costs_only_its_own_notes(
    vault, workspace, monkeypatch, caplog
):
    """The notes elsewhere are found, and it is told once."""
    await vault.create(NOTE, b"one")
    closed = workspace / "Pending_Approval" / "closed"
    closed.mkdir()
    scandir = os.scandir

    def refused(folder):
        if Path(folder) == closed:
            raise PermissionError(errno.EACCES, "Permission denied", str(folder))
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refused)
    assert await paths(vault) == [NOTE]
    assert await paths(vault) == [NOTE]
    assert len(caplog.records) == 1


@pytest.mark.parametrize("links", [True, False])
async def test_a_move_never_replaces_what_appears_meanwhile(vault, workspace, monkeypatch, links):
    """A note that appears at the target before the move is left alone, and so is ours."""
    await vault.create(NOTE, b"one")
    link, target = os.link, workspace / "Done" / "approval_a.md"

    def raced(source, to, **options):
        target.write_bytes(b"theirs")
        if not links:
            raise PermissionError(errno.EPERM, "Operation not permitted")
        link(source, to, **options)

    monkeypatch.setattr(os, "link", raced)
    assert await vault.move(NOTE, "Done/approval_a.md") is None
    assert target.read_bytes() == b"theirs"
    assert (workspace / NOTE).read_bytes() == b"one"
