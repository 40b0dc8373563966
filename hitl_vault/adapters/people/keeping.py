"""Owns writing the files of reviewers and keys. Never leaves half a file, nor one others may read.

Every change reads, changes and replaces under one lock, so that two commands at once both count.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from filelock import FileLock, Timeout

from hitl_vault.adapters.ssh.allowed_signers import FILE as SIGNERS
from hitl_vault.errors import ConfigError, StorageError

REVIEWERS = "reviewers.toml"
_WAIT_S = 10.0

_T = TypeVar("_T")


class PeopleFiles:
    """The two files in a vault's state folder."""

    def __init__(self, state: Path) -> None:
        self._state = state

    def change(self, make: Callable[[str, str], tuple[str, str, _T]]) -> _T:
        """Let `make` turn both texts into new ones; write what differs and return its third value.

        Raises:
            StorageError: Not written; nothing changed, or only the keys were.
            ConfigError: A file cannot be read.
        """
        try:
            with FileLock(self._state / "reviewers.lock", timeout=_WAIT_S, mode=0o600):
                reviewers, signers = self._read(REVIEWERS), self._read(SIGNERS)
                new_reviewers, new_signers, told = make(reviewers, signers)
                if new_signers != signers:  # keys first: who leaves loses them before the name
                    self._replace(self._state / SIGNERS, new_signers)
                if new_reviewers != reviewers:
                    self._replace(self._state / REVIEWERS, new_reviewers)
                return told
        except Timeout as error:
            raise StorageError("another command is changing the reviewers; try again") from error

    def _read(self, name: str) -> str:
        path = self._state / name
        try:
            return path.read_bytes().decode("utf-8-sig")
        except FileNotFoundError:
            return ""
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path}: {error}") from error

    def _replace(self, path: Path, text: str) -> None:
        path = path.resolve()  # a link to a file kept elsewhere stays a link
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.new")
        try:
            file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(file, "wb") as new:
                new.write(text.encode())
                new.flush()
                self._hand_over(new.fileno())
                os.fsync(new.fileno())
            temporary.replace(path)
            folder = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise StorageError(f"cannot write {path}: {error.strerror or error}") from error

    def _hand_over(self, file: int) -> None:
        """Let the vault's owner read what an administrator writes."""
        owner = self._state.stat()
        if owner.st_uid != os.getuid():
            with contextlib.suppress(PermissionError):
                os.fchown(file, owner.st_uid, owner.st_gid)
