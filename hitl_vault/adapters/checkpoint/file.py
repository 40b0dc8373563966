"""Owns checkpoints in a file, one line each. Never changes a line that is there."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from hitl_vault.errors import NotSent

_TAIL = 4096


class FileCheckpoints:
    """A file outside of the vault; made if it is missing, its folder is not."""

    def __init__(self, path: Path) -> None:
        self.path, self.name = path, str(path)

    async def note(self, line: str) -> None:
        """Add the line; on return it is on the disk."""
        await asyncio.to_thread(self.append, line)

    async def newest(self) -> str:
        """Return the last line."""
        return await asyncio.to_thread(self.last)

    def append(self, line: str) -> None:
        """Add the line, whole or on a line of its own after a torn one. Raises NotSent."""
        try:
            torn = not self._tail().endswith(b"\n")
            opened = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                os.write(opened, f"{chr(10) if torn else ''}{line}\n".encode())
                os.fsync(opened)
            finally:
                os.close(opened)
        except OSError as error:
            raise NotSent(f"{self.path}: {error.strerror or error}") from error

    def last(self) -> str:
        """Return the last line, "" if there is none."""
        try:
            return self._tail().decode(errors="replace").strip().rpartition("\n")[2]
        except OSError:
            return ""

    def _tail(self) -> bytes:
        """Return the end of the file; a line end where there is nothing."""
        try:
            with self.path.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - _TAIL))
                return file.read() or b"\n"
        except FileNotFoundError:
            return b"\n"
