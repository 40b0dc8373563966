"""Owns a vault of notes in memory, for tests. Never touches a disk, never yields to the loop.

It keeps the promises of `ports.VaultFolder`, and plays the person too: `write`, `rename`, `remove`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from hitl_vault.core.chain import Head
from hitl_vault.core.model import is_valid_id
from hitl_vault.document.ballot import Folder
from hitl_vault.errors import StorageError
from hitl_vault.ports import Found, Loaded, Shown, Signature

_FOLDERS = {
    "Pending_Approval": Folder.PENDING,
    "Approved": Folder.APPROVED,
    "Rejected": Folder.REJECTED,
    "Done": Folder.DONE,
}


class MemoryVault:
    """Notes by path. `engine_writes` lists every path the engine wrote, in order.

    `broken` makes every call of the engine that reads or writes a note raise StorageError.
    """

    def __init__(self) -> None:
        self.files: dict[str, Loaded] = {}
        self.engine_writes: list[str] = []
        self.broken = ""
        self.index: dict[str, Shown] = {}
        self.seq = 0
        self.known: Head | None = None
        self._stamp = 0

    # the person's side

    def write(self, path: str, text: str | bytes) -> None:
        """Save a note, as an editor does."""
        self._put(path, text.encode() if isinstance(text, str) else text)

    def text(self, path: str) -> str:
        """Return a note's text."""
        return self.files[path].data.decode()

    def rename(self, path: str, to: str) -> None:
        """Move a note, over another one if there is one."""
        self._put(to, self.files.pop(path).data)

    def remove(self, path: str) -> None:
        """Delete a note."""
        del self.files[path]

    def _put(self, path: str, data: bytes) -> Signature:
        self._stamp += 1
        signature = Signature(
            device=1, inode=1, size=len(data), mtime_ns=self._stamp, ctime_ns=self._stamp
        )
        self.files[path] = Loaded(data=data, signature=signature)
        return signature

    def _written(self, path: str, data: bytes) -> Signature:
        self.engine_writes.append(path)
        return self._put(path, data)

    def _check(self) -> None:
        if self.broken:
            raise StorageError(self.broken)

    # the port

    def path_for(self, id: str) -> str:
        """Return where a new note goes."""
        return f"Pending_Approval/approval_{id}.md"

    def done_path(self, id: str, at: datetime) -> str:
        """Return where a finished note goes."""
        return f"Done/{at:%Y-%m}/approval_{id}.md"

    def request_id(self, path: str) -> str | None:
        """Return the id in an exact document name."""
        name = path.rpartition("/")[2]
        id = name.removeprefix("approval_").removesuffix(".md")
        return id if name == f"approval_{id}.md" and is_valid_id(id) else None

    def folder_of(self, path: str) -> Folder:
        """Return which folder a path lies in."""
        return _FOLDERS.get(path.partition("/")[0], Folder.OTHER)

    async def find(self, id: str) -> str | None:
        """Return where the note lies, the folders that wait first."""
        found = [path for path in self.files if self.request_id(path) == id]
        order = list(_FOLDERS.values())
        found = [path for path in found if self.folder_of(path) in order]
        return min(found, key=lambda path: order.index(self.folder_of(path)), default=None)

    async def scan(self) -> list[Found]:
        """Return every note outside Done."""
        self._check()
        return [
            Found(path=path, signature=loaded.signature)
            for path, loaded in self.files.items()
            if self.folder_of(path) not in {Folder.DONE, Folder.OTHER}
        ]

    async def astray(self, ids: Collection[str]) -> dict[str, str]:
        """Return the notes of these requests that lie in Done or at the top."""
        self._check()
        found = {path: self.request_id(path) or "" for path in self.files}
        return {
            path: id
            for path, id in found.items()
            if id in ids and ("/" not in path or self.folder_of(path) is Folder.DONE)
        }

    async def load(self, path: str) -> Loaded | None:
        """Return the note."""
        self._check()
        return self.files.get(path)

    async def create(self, path: str, data: bytes) -> Signature | None:
        """Write a new note."""
        self._check()
        return None if path in self.files else self._written(path, data)

    def is_unchanged(self, path: str, signature: Signature) -> bool:
        """Compare with what is kept."""
        known = self.files.get(path)
        return known is not None and known.signature == signature

    async def replace(
        self, path: str, expected: bytes | Signature, data: bytes
    ) -> Signature | None:
        """Put `data` in place of exactly what is expected."""
        self._check()
        known = self.files.get(path)
        if known is None or expected not in {known.data, known.signature}:
            return None
        return self._written(path, data)

    async def check_storing(self) -> None:
        """Raise what is `broken`."""
        self._check()

    async def move(self, path: str, to: str) -> Signature | None:
        """Move a note, never over another one."""
        self._check()
        if path not in self.files or to in self.files:
            return None
        return self._put(to, self.files.pop(path).data)

    async def shown(self, ids: Collection[str] | None = None) -> dict[str, Shown]:
        """Return what was last shown."""
        wanted = (
            [id for id, shown in self.index.items() if not shown.path.startswith("Done/")]
            if ids is None
            else ids
        )
        return {id: self.index[id] for id in wanted if id in self.index}

    async def note_shown(
        self, shown: Sequence[Shown], *, seq: int | None = None, known: Head | None = None
    ) -> None:
        """Remember what is shown."""
        for item in shown:
            before = self.index.get(item.id)
            if before is None or before.rev <= item.rev:
                self.index[item.id] = item
        self.seq = max(self.seq, seq or 0)
        if known is not None and (self.known is None or self.known.seq <= known.seq):
            self.known = known

    async def shown_seq(self) -> int:
        """Return the remembered sequence number."""
        return self.seq

    async def known_head(self) -> Head | None:
        """Return the newest head that anything shown may state."""
        return self.known

    async def aclose(self) -> None:
        """Nothing to release."""
