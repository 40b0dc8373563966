"""Owns which names in a vault are nobody's note. Never looks at a file.

Editors and sync tools leave backups, locks and half-written copies beside the notes; a copy of an
answer must not count as an answer. Conflict copies are not named here: they are notes, and told of.
"""

from __future__ import annotations

import re

BELL = ".hitl/bell"
"""The file another process opens and closes after each commit to the ledger."""

PROBE = ".hitl/probe-"
"""How the names of the watcher's own self-test files begin."""

_ENDINGS = ("~", ".bak", ".swp", ".tmp")
# `sed -i` makes its temporary name of letters and digits only, so that "sedans.md" is a note.
_SCRATCH = re.compile(r"4913|sed[A-Za-z0-9]{6}|#.*#|~syncthing~.*", re.DOTALL)


def is_ignored(name: str) -> bool:
    """Say whether a file or folder of this base name is never looked at.

    Args:
        name: The last part of a path, without any separator.

    Example:
        >>> [is_ignored(name) for name in (".trash", "req.md~", "4913", "sedA1b2C3", "req.md")]
        [True, True, True, True, False]
    """
    return (
        name.startswith(".")
        or name.casefold().endswith(_ENDINGS)
        or _SCRATCH.fullmatch(name) is not None
    )


def is_visible(path: str) -> bool:
    """Say whether no part of this path, relative to the vault and with `/`, is ignored."""
    return not any(map(is_ignored, path.split("/")))


def is_note(path: str) -> bool:
    """Say whether this path, relative to the vault and with `/`, is that of a Markdown note."""
    return path.casefold().endswith(".md") and is_visible(path)
