"""Owns the ways a person answers in a note. Each returns the time just before it took effect."""

from __future__ import annotations

import os
import time
from pathlib import Path

_EMPTY, _TICKED = "- [ ] Approve ^approve", "- [x] Approve ^approve"


def _ticked(path: Path) -> str:
    return path.read_text(encoding="utf-8").replace(_EMPTY, _TICKED)


def tick(path: Path) -> int:
    """Truncate the note and write it anew, as most editors do."""
    text = _ticked(path)
    at = time.monotonic_ns()
    path.write_text(text, encoding="utf-8")
    return at


def replace(path: Path) -> int:
    """Put a new file in place of the note, as vim and sync tools do."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    beside.write_text(_ticked(path), encoding="utf-8")
    at = time.monotonic_ns()
    beside.replace(path)
    return at


def move(path: Path) -> int:
    """Drag the note into the folder of approved ones."""
    at = time.monotonic_ns()
    path.rename(path.parents[1] / "Approved" / path.name)
    return at


GESTURES = {"tick": tick, "replace": replace, "move": move}
NAMES = {"tick": "truncate and write", "replace": "atomic replace", "move": "move to Approved/"}
