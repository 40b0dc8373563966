"""Owns what is known of a file of tables, `.hitl/keys/*.toml`. Never stale: read again whenever the
file is another one.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, TypeVar

from hitl_vault.adapters.proof.secret_files import load_toml

_Entry = TypeVar("_Entry")


class Entries(Generic[_Entry]):
    """The entries of one file by their ids.

    Args:
        read: Makes one of an id and its table. Raises ConfigError.
    """

    def __init__(self, path: Path, read: Callable[[str, Any], _Entry]) -> None:
        self._path, self._read = path, read
        # one value, since threads load too: entries must never stand under another file's mark
        self._known: tuple[tuple[int, ...] | None, dict[str, _Entry]] = (None, {})

    def load(self) -> dict[str, _Entry]:
        """Return the entries, none without a file. Raises ConfigError, naming file and entry."""
        try:
            status = self._path.stat()
        except OSError:
            seen: tuple[int, ...] = ()
        else:
            seen = (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        before, known = self._known
        if seen != before:
            known = {id: self._read(id, entry) for id, entry in load_toml(self._path).items()}
            self._known = (seen, known)
        return known
