"""Owns the files that hold secrets, under `.hitl/keys/`. Never lets another user read one.

A file that others may read is not used: what lies in it may be known to anybody.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import stat
import tempfile
import tomllib
from pathlib import Path
from typing import Any

from filelock import FileLock

from hitl_vault.errors import ConfigError, StorageError

_OTHERS = stat.S_IRWXG | stat.S_IRWXO
MAX_BYTES = 1_000_000
_KEY_BYTES = 32


def load_secret(path: Path) -> bytes | None:
    """Return the bytes of a file of secrets, None if there is none.

    Raises:
        ConfigError: It cannot be read, others may read it, or it is above `MAX_BYTES`; the message
            names it, never what is in it.
    """
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            if mode & _OTHERS:
                raise ConfigError(
                    f"{path}: others may read it (mode {mode:o}), so its secrets are not used; "
                    f"renew them, then: chmod 600 {path}"
                )
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    if len(data) > MAX_BYTES:  # what is cut off may be what ends a secret
        raise ConfigError(
            f"{path}: it is larger than {MAX_BYTES:,} bytes, so none of it is used; take out "
            "entries that nobody needs any more"
        )
    return data


def load_toml(path: Path) -> dict[str, Any]:
    """Return a TOML file of secrets, empty if there is none. Raises ConfigError."""
    data = load_secret(path)
    if data is None:
        return {}
    try:
        return tomllib.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: it is not UTF-8 text") from error
    except tomllib.TOMLDecodeError as error:
        where = str(error).rpartition("(")[2].rstrip(")")  # the rest of it may quote a secret
        raise ConfigError(f"{path}: it is not TOML ({where})") from None


def save_secret(path: Path, data: bytes, *, fresh: bool = False) -> None:
    """Store secrets, readable by the owner alone, as a whole or not at all.

    Args:
        fresh: Only if there is no such file yet.

    Raises:
        FileExistsError: `fresh`, and there is one.
        StorageError: It cannot be stored, or is above `MAX_BYTES`, which nobody could load again.
    """
    if len(data) > MAX_BYTES:
        raise StorageError(
            f"{path}: cannot be stored: it would be larger than {MAX_BYTES:,} bytes; take out "
            "entries that nobody needs any more"
        )
    temporary = ""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # mode 600
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if fresh:
            os.link(temporary, path)
        else:
            Path(temporary).replace(path)
            temporary = ""
    except OSError as error:
        if fresh and isinstance(error, FileExistsError):
            raise
        raise StorageError(f"{path}: cannot be stored: {error.strerror}") from error
    finally:
        if temporary:
            Path(temporary).unlink(missing_ok=True)


def key_in(path: Path, advice: str) -> bytes:
    """Return the key of 32 bytes in a file; made now if there is none. `advice` says what to do
    about a file that holds something else.

    Raises:
        ConfigError, StorageError: It cannot be used, or not be made.
    """
    found = load_secret(path)
    if found is None:
        with contextlib.suppress(FileExistsError):  # another process was quicker
            save_secret(path, secrets.token_bytes(_KEY_BYTES).hex().encode(), fresh=True)
        found = load_secret(path)
    try:
        key = bytes.fromhex((found or b"").decode())
    except ValueError:
        key = b""
    if len(key) != _KEY_BYTES:
        raise ConfigError(
            f"{path}: it does not hold a key of {_KEY_BYTES} bytes in hexadecimal; {advice}"
        )
    return key


def lock_of(path: Path) -> FileLock:
    """Return the lock to hold from reading a file of secrets to storing it again."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return FileLock(f"{path}.lock", timeout=10, mode=0o600)


def toml_text(text: str) -> str:
    """Return a text as TOML writes it."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007F")
