"""Owns the notes as files. Never replaces one it did not just read, never follows a link.

Notes are not fsynced: they can be written again from the ledger.
"""

from __future__ import annotations

import contextlib
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

from hitl_vault.adapters.storing import Storing, try_in
from hitl_vault.adapters.vault import files
from hitl_vault.adapters.vault.index import DocumentIndex
from hitl_vault.adapters.vault.worker import Worker
from hitl_vault.adapters.watch.names import is_ignored, is_note
from hitl_vault.core.chain import Head
from hitl_vault.core.model import is_valid_id
from hitl_vault.document.ballot import Folder
from hitl_vault.document.reading import MAX_BYTES
from hitl_vault.errors import StorageError
from hitl_vault.ports import Found, Loaded, Shown, Signature

_T = TypeVar("_T")
_log = logging.getLogger(__name__)
_LITTER_S = 3600.0
_PREFIX, _SUFFIX = "approval_", ".md"


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
        self._storing = Storing(lambda: self._in_thread(self._try_to_store))

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
            if files.is_file(self._root / folder / name):
                return f"{folder}/{name}"
        for found in self._scan():
            if found.path.endswith(f"/{name}") and not found.odd:
                return found.path
        for path in sorted((self._root / self._names.done).glob(f"*/{name}")):
            if files.is_file(path):
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
                        signature = files.signature_of(entry.stat(follow_symlinks=False))
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

    async def astray(self, ids: Collection[str]) -> dict[str, str]:
        """Return the notes of these requests that lie in Done or at the top of the vault."""
        return await self._in_thread(lambda: dict(self._astray(set(ids))))

    def _astray(self, ids: set[str]) -> Iterator[tuple[str, str]]:
        if not ids:
            return
        done = self._root / self._names.done
        below = [Path(item.path) for item in self._entries(done) if item.is_dir()]
        folders = [self._root, done, *below]
        for folder in folders:  # by listing: there may be many requests, and as many folders
            for entry in self._entries(folder):
                id = self.request_id(entry.name)
                if id in ids and entry.is_file(follow_symlinks=False):
                    yield Path(entry.path).relative_to(self._root).as_posix(), id

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
            if files.is_file(target):
                raise
            return None  # a link, a socket, or gone meanwhile
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            os.close(descriptor)
            return None
        with os.fdopen(descriptor, "rb") as file:
            data = file.read(MAX_BYTES + 1)
        return Loaded(data=data, signature=files.signature_of_read(status))

    def _inside(self, path: str) -> Path:
        """Return the file a path names; refuse one that leads out of the vault."""
        if path.startswith(("/", "\\")) or ".." in path.replace("\\", "/").split("/"):
            raise StorageError(f"{path!r} is not a path inside the vault")
        return self._root / path

    # writing

    async def create(self, path: str, data: bytes) -> Signature | None:
        """Write a new note, complete from the moment it is visible; None if the name is taken."""
        return await self._in_thread(lambda: files.create(self._inside(path), data))

    def is_unchanged(self, path: str, signature: Signature) -> bool:
        """Compare by one `stat`, which is cheap enough for the event loop."""
        try:
            status = self._inside(path).stat(follow_symlinks=False)
        except (OSError, StorageError):
            return False
        return files.signature_of(status) == signature

    async def replace(
        self, path: str, expected: bytes | Signature, data: bytes
    ) -> Signature | None:
        """Put `data` in place of exactly what is expected."""
        return await self._in_thread(lambda: self._replace(path, expected, data))

    def _replace(self, path: str, expected: bytes | Signature, data: bytes) -> Signature | None:
        target = self._inside(path)
        try:
            temporary = files.write_beside(target, data)
        except FileNotFoundError:
            return None
        try:
            written = temporary.stat()
            status = target.stat(follow_symlinks=False)
            if isinstance(expected, Signature):
                if files.signature_of(status) != expected:
                    return None
            else:
                present = self._load(path)
                if present is None or present.data != expected or len(expected) > MAX_BYTES:
                    return None
            if stat.S_IMODE(status.st_mode) != files.NEW_MODE:
                temporary.chmod(stat.S_IMODE(status.st_mode))
            files.patiently(lambda: temporary.replace(target))
            return files.signature_of_ours(target, written)
        except FileNotFoundError:
            return None
        finally:
            temporary.unlink(missing_ok=True)

    async def move(self, path: str, to: str) -> Signature | None:
        """Move a note, never over another one."""
        return await self._in_thread(lambda: self._move(path, to))

    def _move(self, path: str, to: str) -> Signature | None:
        source, target = self._inside(path), self._inside(to)
        if not files.is_file(source) or os.path.lexists(target):
            return None
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            if not files.linked(source, target):
                if os.path.lexists(target):
                    return None
                files.patiently(lambda: source.rename(target))
            return files.signature_of(target.stat())
        except FileExistsError:
            return None
        except FileNotFoundError:
            return None

    async def check_storing(self) -> None:
        """Return if notes can be written now."""
        await self._storing.check()

    def _try_to_store(self) -> None:
        for name in self._folders.values():
            folder = self._root / name
            try_in(folder if folder.is_dir() else self._root)  # one that is gone is made anew

    # what is shown

    async def shown(self, ids: Collection[str] | None = None) -> dict[str, Shown]:
        """Return what was last shown of these requests; for None, of all not in Done."""
        return await self._in_thread(lambda: self._index.load(ids))

    async def note_shown(
        self, shown: Sequence[Shown], *, seq: int | None = None, known: Head | None = None
    ) -> None:
        """Remember what is shown, and the ledger `seq` up to which everything is."""
        await self._in_thread(lambda: self._index.save(shown, seq, known))

    async def shown_seq(self) -> int:
        """Return the ledger `seq` up to which everything is known to be shown."""
        return await self._in_thread(self._index.seq)

    async def known_head(self) -> Head | None:
        """Return the newest head of the ledger that anything shown may state."""
        return await self._in_thread(self._index.known)

    async def aclose(self) -> None:
        """End the thread after its last work, and close the index."""
        await self._worker.aclose()
        self._index.close()


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
