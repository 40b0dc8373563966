"""Owns what a lost ledger leaves behind: by it, its loss is told from a first start.

Never makes or changes a file.
"""

from __future__ import annotations

import os
import shlex
import sqlite3
from contextlib import closing
from pathlib import Path

_PREFIX, _SUFFIX = "approval_", ".md"
_DIGEST = b"\npayload_sha256:"  # a property of every note we write
_FRONT_BYTES = 4_096


def trace_of_a_ledger(state: Path) -> str:
    """Say what in the vault shows that there was a ledger, and what to do; "" if nothing does.

    Args:
        state: The vault's `.hitl` folder.
    """
    found = _log(state) or _memory(state) or _note(state.parent)
    if not found:
        return ""
    return (
        f"{found}: all requests and decisions were in it. Restore it from a backup; or start "
        "afresh without them, if that is what you want, with: "
        f"hitl init --new-ledger {shlex.quote(str(state.parent))}"
    )


def _log(state: Path) -> str:
    """Look for a log whose database is gone. SQLite writes one only beside a file with a header,
    so that a first start that was killed, or is still at it in another process, leaves none.
    """
    log = state / "ledger.db-wal"
    if _size(log) and not _size(state / "ledger.db"):
        return f"{log.name} still holds a part of it"
    return ""


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0


def _memory(state: Path) -> str:
    """Look into the memory of what the notes show; one without any note proves nothing."""
    file = state / "documents.db"
    if not file.is_file():
        return ""
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as memory:
            (seq,) = memory.execute("SELECT max(seq) FROM upto").fetchone()
            (shown,) = memory.execute("SELECT count(*) FROM shown").fetchone()
    except sqlite3.Error:  # the notes themselves are looked for next
        return ""
    return f"{file.name} remembers notes written from it" if seq or shown else ""


def newest_shown(state: Path) -> int:
    """Return the newest event that the notes may state, 0 where that is not known."""
    file = state / "documents.db"
    if not file.is_file():
        return 0
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as memory:
            (seq,) = memory.execute("SELECT COALESCE(MAX(seq), 0) FROM known").fetchone()
    except sqlite3.Error:  # one of another version, or damaged: it is made anew by who writes
        return 0
    return int(seq)


def _note(root: Path) -> str:
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            if name.startswith(_PREFIX) and name.endswith(_SUFFIX):
                file = Path(folder) / name
                if _is_ours(file):
                    return f"the note {file.relative_to(root)} was written from it"
    return ""


def _is_ours(file: Path) -> bool:
    try:
        with file.open("rb") as opened:
            return _DIGEST in opened.read(_FRONT_BYTES)
    except OSError:
        return False
