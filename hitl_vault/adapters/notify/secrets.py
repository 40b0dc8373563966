"""Owns where addresses and keys with secrets come from: `env:NAME`, `file:PATH`, or as they are.

Never shows one: what is said of it names the reference, or nothing.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hitl_vault.errors import NotSent

_MAX_BYTES = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class Secrets:
    """Reads references. `folder` is what relative paths are below: the vault's `.hitl`."""

    folder: Path
    environment: Mapping[str, str] | None = None

    def read(self, reference: str) -> str:
        """Return what a reference stands for.

        Raises:
            NotSent: There is nothing there, or others can read the file; a later try may find it.
        """
        kind, colon, name = reference.partition(":")
        if colon and kind == "env":
            found = (os.environ if self.environment is None else self.environment).get(name, "")
            if not found.strip():
                raise NotSent(f"the environment has no {name}")
            return found.strip()
        if colon and kind == "file" and not name.startswith("//"):
            return self._read_file(name)
        return reference

    def _read_file(self, name: str) -> str:
        path = self.folder / Path(name).expanduser()
        try:
            with path.open("rb") as file:
                mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
                data = file.read(_MAX_BYTES)
        except OSError as error:
            raise NotSent(f"the secret in {name} cannot be read: {error.strerror}") from None
        if os.name == "posix" and mode & 0o077:
            raise NotSent(f"others can read the secret in {name}; run: chmod 600 {name}")
        text = data.decode("utf-8", "replace").strip()
        if not text:
            raise NotSent(f"{name} holds no secret")
        return text


def is_reference(text: str) -> bool:
    """True if the text says where a secret is, and is none itself."""
    return text.startswith("env:") or (text.startswith("file:") and not text.startswith("file://"))
