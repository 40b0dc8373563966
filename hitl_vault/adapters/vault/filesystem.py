"""Owns the notes as files. Never replaces one it did not just read, never follows a link.

Notes are not fsynced: they can be written again from the ledger.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import logging
import os
import sqlite3
import stat
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from hitl_vault.adapters.vault.index import DocumentIndex
from hitl_vault.adapters.vault.worker import Worker
from hitl_vault.adapters.watch.names import is_ignored, is_note
from hitl_vault.core.model import is_valid_id
from hitl_vault.document.ballot import Folder
from hitl_vault.document.reading import MAX_BYTES
from hitl_vault.errors import StorageError
from hitl_vault.ports import Found, Loaded, Shown, Signature

_T = TypeVar("_T")
_log = logging.getLogger(__name__)
_NEW_MODE = 0o644
_LITTER_S = 3600.0
_PREFIX, _SUFFIX = "approval_", ".md"

# Most kernels stamp a save with a clock that moves every 4 to 10 ms only, some file systems keep
# whole seconds: two saves within one step look the same. What we write is stamped a little in the
# past, so that no later save can have its time; what others wrote is trusted once it is older.
_BACK_NS, _STEP_NS = 30_000_000, 20_000_000
_SECOND_NS = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderNames:
    """What the folders of documents are called, relative to the vault."""

    pending: str = "Pending_Approval"
    approved: str = "Approved"
    rejected: str = "Rejected"
    done: str = "Done"


class FilesystemVault:
    """The vault's folders on a file system; all disk work in one thread of its own."""

    def __init__(self, root: Path, names: FolderNames, index: DocumentIndex) -> None:
        self._root, self._names, self._index = root, names, index
        self._folders = {
            Folder.PENDING: names.pending,
            Folder.APPROVED: names.approved,
            Folder.REJECTED: names.rejected,
        }
        self._unlisted: set[str] = set()
        self._worker = Worker("hitl-vault")

    async def _in_thread(self, work: Callable[[], _T]) -> _T:
        try:
            return await self._worker.do(work)
        except OSError as error:
            where = error.filename or self._root
            raise StorageError(f"{where}: {error.strerror or error}") from error
        except sqlite3.Error as error:
            raise StorageError(f"the index of notes: {error}") from error

    # names

    def path_for(self, id: str) -> str:
        """Return where a new note of this request goes."""
        return f"{self._names.pending}/{_PREFIX}{id}{_SUFFIX}"

    def done_path(self, id: str, at: datetime) -> str:
        """Return where a finished note goes."""
        return f"{self._names.done}/{at:%Y-%m}/{_PREFIX}{id}{_SUFFIX}"

    def request_id(self, path: str) -> str | None:
        """Return the id in an exact document name, else None."""
        name = path.rpartition("/")[2]
        id = name[len(_PREFIX) : -len(_SUFFIX)]
        exact = name.startswith(_PREFIX) and name.endswith(_SUFFIX) and is_valid_id(id)
        return id if exact else None

    def folder_of(self, path: str) -> Folder:
        """Return which folder a path lies in."""
        for folder, name in self._folders.items():
            if path.startswith(f"{name}/"):
                return folder
        return Folder.DONE if path.startswith(f"{self._names.done}/") else Folder.OTHER

    # reading

    async def find(self, id: str) -> str | None:
        """Return where this request's note lies."""
        return await self._in_thread(lambda: self._find(id))

    def _find(self, id: str) -> str | None:
        name = f"{_PREFIX}{id}{_SUFFIX}"
        for folder in self._folders.values():
            if _is_note(self._root / folder / name):
                return f"{folder}/{name}"
        for found in self._scan():
            if found.path.endswith(f"/{name}") and not found.odd:
                return found.path
        for path in sorted((self._root / self._names.done).glob(f"*/{name}")):
            if _is_note(path):
                return path.relative_to(self._root).as_posix()
        return None

    async def scan(self) -> list[Found]:
        """Return every note in the folders that wait for answers."""
        return await self._in_thread(lambda: list(self._scan()))

    def _scan(self) -> Iterator[Found]:
        waiting = [self._root / folder for folder in self._folders.values()]
        while waiting:
            for entry in self._entries(waiting.pop()):
                if is_ignored(entry.name) or not _is_text(entry.name):
                    _tidy(entry)
                    continue
                # a file may vanish between listing and stat: the next scan sees it
                try:
                    odd = _odd(entry)
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(Path(entry.path))
                    if self.request_id(entry.name) if odd else is_note(entry.name):
                        signature = _signature(entry.stat(follow_symlinks=False))
                        path = os.path.relpath(entry.path, self._root).replace(os.sep, "/")
                        yield Found(path=path, signature=signature, odd=odd)
                except OSError as error:
                    self._passed_over(entry.path, error)

    def _entries(self, folder: Path) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(folder) as entries:
                found = list(entries)
        except OSError as error:
            self._passed_over(str(folder), error)
            return []
        self._unlisted.discard(str(folder))
        return found

    def _passed_over(self, path: str, error: OSError) -> None:
        """Tell once of what cannot be listed: the notes elsewhere are read all the same."""
        if isinstance(error, (FileNotFoundError, NotADirectoryError)) or path in self._unlisted:
            return
        self._unlisted.add(path)
        _log.warning("%s is passed over, its notes are not read: %s", path, error.strerror)

    async def load(self, path: str) -> Loaded | None:
        """Return the note's bytes (4 MiB and a byte at most), None if there is no regular file."""
        return await self._in_thread(lambda: self._load(path))

    def _load(self, path: str) -> Loaded | None:
        target = self._inside(path)
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
        try:
            descriptor = os.open(target, flags | getattr(os, "O_NONBLOCK", 0))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError:
            if _is_note(target):
                raise
            return None  # a link, a socket, or gone meanwhile
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            os.close(descriptor)
            return None
        with os.fdopen(descriptor, "rb") as file:
            data = file.read(MAX_BYTES + 1)
        signature = _signature(status)
        return Loaded(data=data, signature=_doubted(signature) if _is_fresh(status) else signature)

    def _inside(self, path: str) -> Path:
        """Return the file a path names; refuse one that leads out of the vault."""
        if path.startswith(("/", "\\")) or ".." in path.replace("\\", "/").split("/"):
            raise StorageError(f"{path!r} is not a path inside the vault")
        return self._root / path

    # writing

    async def create(self, path: str, data: bytes) -> Signature | None:
        """Write a new note, complete from the moment it is visible; None if the name is taken."""
        return await self._in_thread(lambda: self._create(path, data))

    def _create(self, path: str, data: bytes) -> Signature | None:
        target = self._inside(path)
        try:
            return _create_unnamed(target, data)
        except _NoUnnamedFilesError:
            target.parent.mkdir(parents=True, exist_ok=True)
            temporary = _write_beside(target, data)
        try:
            return _publish(temporary, target, data)
        finally:
            temporary.unlink(missing_ok=True)

    def is_unchanged(self, path: str, signature: Signature) -> bool:
        """Compare by one `stat`, which is cheap enough for the event loop."""
        try:
            status = self._inside(path).stat(follow_symlinks=False)
        except (OSError, StorageError):
            return False
        return _signature(status) == signature

    async def replace(
        self, path: str, expected: bytes | Signature, data: bytes
    ) -> Signature | None:
        """Put `data` in place of exactly what is expected."""
        return await self._in_thread(lambda: self._replace(path, expected, data))

    def _replace(self, path: str, expected: bytes | Signature, data: bytes) -> Signature | None:
        target = self._inside(path)
        try:
            temporary = _write_beside(target, data)
        except FileNotFoundError:
            return None
        try:
            written = temporary.stat()
            status = target.stat(follow_symlinks=False)
            if isinstance(expected, Signature):
                if _signature(status) != expected:
                    return None
            else:
                present = self._load(path)
                if present is None or present.data != expected or len(expected) > MAX_BYTES:
                    return None
            if stat.S_IMODE(status.st_mode) != _NEW_MODE:
                temporary.chmod(stat.S_IMODE(status.st_mode))
            _patiently(lambda: temporary.replace(target))
            return _signature_of_ours(target, written)
        except FileNotFoundError:
            return None
        finally:
            temporary.unlink(missing_ok=True)

    async def move(self, path: str, to: str) -> Signature | None:
        """Move a note, never over another one."""
        return await self._in_thread(lambda: self._move(path, to))

    def _move(self, path: str, to: str) -> Signature | None:
        source, target = self._inside(path), self._inside(to)
        if not _is_note(source) or os.path.lexists(target):
            return None
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            if not _linked(source, target):
                if os.path.lexists(target):
                    return None
                _patiently(lambda: source.rename(target))
            return _signature(target.stat())
        except FileExistsError:
            return None
        except FileNotFoundError:
            return None

    # what is shown

    async def shown(self, ids: Collection[str] | None = None) -> dict[str, Shown]:
        """Return what was last shown of these requests; for None, of all not in Done."""
        return await self._in_thread(lambda: self._index.load(ids))

    async def note_shown(self, shown: Sequence[Shown], *, seq: int | None = None) -> None:
        """Remember what is shown, and the ledger `seq` up to which everything is."""
        await self._in_thread(lambda: self._index.save(shown, seq))

    async def shown_seq(self) -> int:
        """Return the ledger `seq` up to which everything is known to be shown."""
        return await self._in_thread(self._index.seq)

    async def aclose(self) -> None:
        """End the thread after its last work, and close the index."""
        await self._worker.aclose()
        self._index.close()


def _is_note(path: Path) -> bool:
    """Say whether there is a regular file, not a link to one."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


def _odd(entry: os.DirEntry[str]) -> str:
    """Say what stands there if it is no file, "" for a file."""
    if entry.is_symlink():
        return "a link"
    if entry.is_dir(follow_symlinks=False):
        return "a folder"
    return "" if entry.is_file(follow_symlinks=False) else "a pipe or a device"


def _tidy(entry: os.DirEntry[str]) -> None:
    """Remove what a process that was killed in the middle of a write left behind."""
    if entry.name.startswith(".hitl-") and entry.name.endswith(".tmp"):
        with contextlib.suppress(OSError):
            if time.time() - entry.stat(follow_symlinks=False).st_mtime > _LITTER_S:
                Path(entry.path).unlink()


def _is_text(name: str) -> bool:
    """Say whether a file's name is text at all; POSIX takes any bytes."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _signature(status: os.stat_result) -> Signature:
    return Signature(
        device=status.st_dev,
        inode=status.st_ino & 0x7FFF_FFFF_FFFF_FFFF,  # some file systems use all 64 bits
        size=status.st_size,
        mtime_ns=status.st_mtime_ns,
        ctime_ns=status.st_ctime_ns,
    )


class _NoUnnamedFilesError(Exception):
    """The system or this file system has no unnamed files."""


def _create_unnamed(target: Path, data: bytes) -> Signature | None:
    """Write a file without a name, then give it one: exclusive, atomic, and one event for watchers
    instead of four. Linux only, and not on every file system.
    """
    flag = getattr(os, "O_TMPFILE", None)
    if flag is None:
        raise _NoUnnamedFilesError
    try:
        descriptor = os.open(target.parent, flag | os.O_WRONLY, _NEW_MODE)
    except OSError as error:
        if error.errno in {errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT}:
            raise _NoUnnamedFilesError from error
        raise
    try:
        _write_all(descriptor, data)
        _stamp(descriptor)
        written = os.fstat(descriptor)
        try:
            # an absolute path ignores the folder, but naming one makes Python follow the link
            os.link(f"/proc/self/fd/{descriptor}", target, src_dir_fd=descriptor)
        except FileExistsError:
            return None
        except OSError as error:
            if error.errno in {errno.ENOENT, errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP}:
                raise _NoUnnamedFilesError from error
            raise
        return _unless_saved(os.fstat(descriptor), written)
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _signature_of_ours(target: Path, written: os.stat_result) -> Signature:
    """Return the signature of what we wrote; if somebody has saved since, one that fits no file, so
    that what they saved is read.
    """
    return _unless_saved(target.stat(follow_symlinks=False), written)


def _unless_saved(status: os.stat_result, written: os.stat_result) -> Signature:
    ours = (status.st_ino, status.st_size, status.st_mtime_ns)
    same = ours == (written.st_ino, written.st_size, written.st_mtime_ns)
    if not same or written.st_mtime_ns % _SECOND_NS == 0:  # a file system of whole seconds
        return _doubted(_signature(written))
    return _signature(status)


def _stamp(file: int | Path) -> None:
    """Date what we wrote a little back: see `_BACK_NS`."""
    at = time.time_ns() - _BACK_NS
    with contextlib.suppress(OSError):
        os.utime(file, ns=(at, at))


def _is_fresh(status: os.stat_result) -> bool:
    """Say whether one more save could leave this file with the same times."""
    whole = status.st_mtime_ns % _SECOND_NS == 0
    step = 2 * _SECOND_NS if whole else _STEP_NS
    return abs(time.time_ns() - status.st_mtime_ns) < step


def _doubted(signature: Signature) -> Signature:
    """Return a signature that equals no other, ever: what has it is read again."""
    return dataclasses.replace(signature, ctime_ns=-time.monotonic_ns())


def _write_beside(target: Path, data: bytes) -> Path:
    """Write `data` under a dot name in the same folder, which every reader ignores."""
    temporary = target.with_name(f".hitl-{os.getpid()}-{time.monotonic_ns()}.tmp")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    descriptor = os.open(temporary, flags, _NEW_MODE)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        _stamp(temporary)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return temporary


def _publish(temporary: Path, target: Path, data: bytes) -> Signature | None:
    """Give the file its name if nobody has it. A link is exclusive and atomic; where the file
    system has none, an exclusive create comes nearest.
    """
    written = temporary.stat()  # before the name: from then on anybody may save
    try:
        os.link(temporary, target)
    except FileExistsError:
        return None
    except OSError:
        try:
            with target.open("xb") as file:
                try:
                    file.write(data)
                    file.flush()
                except OSError:
                    target.unlink(missing_ok=True)  # half a note would only be in the way
                    raise
        except FileExistsError:
            return None
    temporary.unlink(missing_ok=True)  # before the look: the link count is part of ctime
    return _signature_of_ours(target, written)


def _linked(source: Path, target: Path) -> bool:
    """Move by a second name, which is never given over another file; False where there is none."""
    try:
        os.link(source, target)
    except (FileExistsError, FileNotFoundError):
        raise
    except OSError:
        return False
    try:
        _patiently(source.unlink)
    except FileNotFoundError:  # a person took the first name away meanwhile
        pass
    except OSError:
        target.unlink(missing_ok=True)
        raise
    return True


def _patiently(work: Callable[[], object]) -> None:
    """Windows refuses to rename a file somebody has open; try for up to 2.5 s, elsewhere once."""
    give_up = time.monotonic() + 2.5
    while True:
        try:
            work()
        except PermissionError:
            if os.name != "nt" or time.monotonic() > give_up:
                raise
            time.sleep(0.1)
        else:
            return
