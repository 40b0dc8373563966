"""Owns presence by file locks: the system frees a lock when its process dies. Never reads a clock.

A stopped or slow process keeps its lock, so it is never taken for dead.
"""

from __future__ import annotations

import contextlib
import re
import secrets
from pathlib import Path

from filelock import FileLock, Timeout

from hitl_vault.errors import StorageError

_NAME = re.compile(r"[a-z0-9]+")


class LockfilePresence:
    """One lock file a process in `folder`, held while it lives."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._name = secrets.token_hex(8)
        self._lock: FileLock | None = None

    def hold(self) -> str:
        """Return this process's presence name, taking its lock at the first call."""
        if self._lock is None:
            try:
                self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                lock = FileLock(self._path(self._name), thread_local=False)
                lock.acquire(timeout=0)
            except (OSError, Timeout) as error:
                raise StorageError(f"cannot hold a lock in {self._folder}: {error}") from error
            self._lock = lock
        return self._name

    def is_alive(self, name: str) -> bool:
        """True unless the lock of `name` is free."""
        if name == self._name:
            return self._lock is not None
        path = self._path(name)
        if not _NAME.fullmatch(name):
            return True
        if not path.exists():
            return False
        lock = FileLock(path, thread_local=False)
        try:
            lock.acquire(timeout=0)
        except (OSError, Timeout):
            return True
        lock.release()
        with contextlib.suppress(OSError):
            path.unlink()
        return False

    def close(self) -> None:
        """Free the lock and remove its file."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None
            with contextlib.suppress(OSError):
                self._path(self._name).unlink()

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.lock"
