"""Owns the key that one-time codes follow from, `.hitl/keys/code.key`. Never shows it."""

from __future__ import annotations

from pathlib import Path

from hitl_vault.adapters.proof.secret_files import key_in


class FileCodeKey:
    """The key in a file; made when the first code is sent, and kept."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> bytes:
        """Return the key; made now if there is none."""
        return key_in(self._path, "remove it, and send new codes")
