"""Owns the key that one-time codes follow from, `.hitl/keys/code.key`. Never shows it."""

from __future__ import annotations

import contextlib
import secrets
from pathlib import Path

from hitl_vault.adapters.proof.secret_files import load_secret, save_secret
from hitl_vault.errors import ConfigError

_BYTES = 32


class FileCodeKey:
    """The key in a file; made when the first code is sent, and kept."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> bytes:
        """Return the key; made now if there is none."""
        found = load_secret(self._path)
        if found is None:
            with contextlib.suppress(FileExistsError):  # another process was quicker
                save_secret(self._path, secrets.token_bytes(_BYTES).hex().encode(), fresh=True)
            found = load_secret(self._path)
        try:
            key = bytes.fromhex((found or b"").decode())
        except ValueError:
            key = b""
        if len(key) != _BYTES:
            raise ConfigError(
                f"{self._path}: it does not hold a key of {_BYTES} bytes in hexadecimal; "
                "remove it, and send new codes"
            )
        return key
