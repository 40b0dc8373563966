"""Owns the policy's file in the vault, and the copy of the last one that could be read."""

from __future__ import annotations

import os
from pathlib import Path

from hitl_vault.errors import PolicyError

MAX_BYTES = 1_000_000


class FilePolicy:
    """A policy in a note or a YAML file. `kept` is where the last good one is copied to."""

    def __init__(self, path: Path, kept: Path) -> None:
        self.name = path.name
        self._path, self._kept = path, kept

    def load(self) -> bytes:
        """Return the text."""
        try:
            if self._path.stat().st_size > MAX_BYTES:
                raise PolicyError(f"larger than {MAX_BYTES:,} bytes", file=self.name)
            return self._path.read_bytes()
        except OSError as error:
            why = error.strerror or str(error)
            raise PolicyError(f"cannot be read: {why}", file=self.name) from error

    def load_last_good(self) -> bytes | None:
        """Return the copy, None if there is none."""
        try:
            return self._kept.read_bytes()
        except OSError:
            return None

    def keep(self, text: bytes) -> None:
        """Copy a text that could be read, atomically."""
        if self.load_last_good() == text:
            return
        temporary = self._kept.with_name(f"{self._kept.name}.{os.getpid()}.new")
        temporary.write_bytes(text)
        temporary.replace(self._kept)
