"""Owns the policy's file in the vault, and the copy of the last one that could be read."""

from __future__ import annotations

import os
import time
from pathlib import Path

from hitl_vault.errors import PolicyError

MAX_BYTES = 1_000_000
# how long a second save could leave the same times: file systems keep whole seconds or two, or the
# kernel's clock, which moves every 4 to 10 ms
_COARSE_NS, _FINE_NS = 2_000_000_000, 50_000_000
_MILLISECOND_NS = 1_000_000


class FilePolicy:
    """A policy in a note or a YAML file. `kept` is where the last good one is copied to."""

    def __init__(self, path: Path, kept: Path) -> None:
        self.name = path.name
        self._path, self._kept = path, kept
        self._read: tuple[tuple[int, ...], bytes] | None = None

    def load(self) -> bytes:
        """Return the text."""
        before_ns = time.time_ns()
        try:
            found = self._path.stat()
            seen = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
            if self._read is not None and self._read[0] == seen:
                return self._read[1]  # it is asked for at every claim
            if found.st_size > MAX_BYTES:
                raise PolicyError(f"larger than {MAX_BYTES:,} bytes", file=self.name)
            text = self._path.read_bytes()
        except OSError as error:
            why = error.strerror or str(error)
            raise PolicyError(f"cannot be read: {why}", file=self.name) from error
        # a file that is still being written may change again without its times telling
        self._read = (seen, text) if _is_over(found, before_ns) else None
        return text

    def is_settled(self, seconds: float) -> bool:
        """Judge by both times of the file: a sync tool may set the one, nobody the other."""
        try:
            found = self._path.stat()
        except OSError:
            return False
        age_ns = time.time_ns() - max(found.st_mtime_ns, found.st_ctime_ns)
        return age_ns > seconds * 1e9

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
        # no two threads or processes may share it
        temporary = self._kept.with_name(f"{self._kept.name}.{os.getpid()}.{time.time_ns()}.new")
        opened = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(opened, "wb") as file:  # noqa: PTH123  with a mode of its own
            file.write(text)
        temporary.replace(self._kept)


def _is_over(status: os.stat_result, now_ns: int) -> bool:
    """True if a save since then shows in the file's times."""
    coarse = status.st_ctime_ns % _MILLISECOND_NS == 0
    age_ns = now_ns - max(status.st_mtime_ns, status.st_ctime_ns)
    return age_ns > (_COARSE_NS if coarse else _FINE_NS)
