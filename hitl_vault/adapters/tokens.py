"""Owns unguessable tokens from the system's random source. Never hands one out twice."""

from __future__ import annotations

import os
import secrets

_BYTES = 5
_AT_ONCE = 256


class Tokens:
    """Tokens of 40 bits as hexadecimal, drawn from the system many at a time.

    Each draw lets go of the interpreter's lock; beside busy threads, getting it back takes longer
    than all the rest of asking.
    """

    def __init__(self) -> None:
        self._drawn: list[str] = []
        self._process = 0

    def take(self) -> str:
        """Return the next token."""
        if not self._drawn or self._process != os.getpid():  # a forked process must not share them
            drawn, self._process = secrets.token_hex(_BYTES * _AT_ONCE), os.getpid()
            width = 2 * _BYTES
            self._drawn = [drawn[at : at + width] for at in range(0, len(drawn), width)]
        return self._drawn.pop()
