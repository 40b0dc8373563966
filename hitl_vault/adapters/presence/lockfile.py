"""Owns presence by file locks: the system frees a lock when its process dies.

Never takes a stopped or slow process for dead: it keeps its lock. A lock file that somebody removed
says nothing; its living holder makes it again, and only if nobody does is the holder gone.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import time
from pathlib import Path

from filelock import FileLock, Timeout

from hitl_vault.errors import StorageError
from hitl_vault.ports import Leases

_NAME = re.compile(r"[a-z0-9]+")
_MISSING_S = 60.0  # a living holder makes its file again long before
_OLD_S = 7 * 86400.0
_INHERITED: list[FileLock] = []
"""Locks of a parent that this fork must not let go of: freeing one here would free it there."""


class LockfilePresence:
    """One lock file a process in `folder`, held while it lives."""

    def __init__(self, folder: Path, leases: Leases) -> None:
        self._folder, self.leases = folder, leases
        self._name = secrets.token_hex(8)
        self._lock: FileLock | None = None
        self._pid = 0
        self._missing: dict[str, float] = {}

    def hold(self) -> str:
        """Return this process's presence name, taking its lock at the first call."""
        if self._lock is not None and self._pid != os.getpid():  # a fork is another process
            _INHERITED.append(self._lock)
            self._lock, self._name = None, secrets.token_hex(8)
        if self._lock is None:
            self._lock, self._pid = self._locked(), os.getpid()
            self._tidy()
        return self._name

    def _locked(self) -> FileLock:
        lock = FileLock(self._path(self._name), mode=0o600, thread_local=False)
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock.acquire(timeout=0)
        except (OSError, Timeout) as error:
            raise StorageError(f"cannot hold a lock in {self._folder}: {error}") from error
        return lock

    def keep(self) -> None:
        """Make the lock file again if somebody removed it."""
        held = self._lock is not None and self._pid == os.getpid()
        if held and not self._path(self._name).exists():
            self._lock = self._locked()

    def is_alive(self, name: str) -> bool:
        """True unless the lock of `name` is free, or its file has been gone for a minute; a lease
        for its time.
        """
        if self.leases.names(name):
            return self.leases.is_alive(name)
        if name == self._name:
            return self._lock is not None
        if not _NAME.fullmatch(name):
            return True
        path = self._path(name)
        if not path.exists():
            since = self._missing.setdefault(name, time.monotonic())
            return time.monotonic() - since < _MISSING_S
        self._missing.pop(name, None)
        return not _is_free(path)

    def _tidy(self) -> None:
        """Remove lock files nobody has needed for a week."""
        for path in self._folder.glob("*.lock"):
            with contextlib.suppress(OSError):
                if time.time() - path.stat().st_mtime > _OLD_S and _is_free(path):
                    path.unlink()

    def close(self) -> None:
        """Free the lock. Its file stays, so that a claim left open is seen to have no holder."""
        if self._lock is not None and self._pid == os.getpid():
            self._lock.release()
            self._lock = None

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.lock"


def _is_free(path: Path) -> bool:
    lock = FileLock(path, thread_local=False)
    try:
        lock.acquire(timeout=0)
    except (OSError, Timeout):
        return False
    lock.release()
    return True
