"""Owns knowing whether something can be stored in a place: from what became of what was
stored there last, and from small tries. Never tries at every question.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

_TRY_S = 5.0
_BYTES = 8192  # more than what a file system keeps without a block of its own


class Storing:
    """Whether a place takes what is stored. Any thread may say what became of something.

    Args:
        attempt: Tries for real and leaves nothing behind; raises what stands against it.
    """

    def __init__(
        self,
        attempt: Callable[[], Awaitable[None]],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._attempt, self._monotonic = attempt, monotonic
        self._next_try = -math.inf
        self._failure: Exception | None = None  # of what was to be stored
        self._problem: Exception | None = None  # of the last try

    def stored(self) -> None:
        """Something was stored."""
        self._failure = None

    def failed(self, failure: Exception) -> None:
        """Something could not be stored: nothing can, until something is or a try works."""
        self._failure = failure

    @property
    def has_failed(self) -> bool:
        """True while the last thing to be stored was not."""
        return self._failure is not None

    async def check(self) -> None:
        """Raise what stands against storing something now. Tries every five seconds at most."""
        now = self._monotonic()
        if now >= self._next_try:
            self._next_try = now + _TRY_S
            try:
                await self._attempt()
            except Exception as problem:
                self._problem = problem
            else:
                self._failure = self._problem = None
        against = self._failure or self._problem
        if against is not None:
            raise against


def try_in(folder: Path) -> None:
    """Write a small file in a folder, and take it away again. Raises OSError, naming the folder."""
    file = folder / f".hitl-{os.getpid()}-{time.monotonic_ns()}.tmp"  # every reader ignores it
    try:
        with file.open("xb") as opened:
            opened.write(bytes(_BYTES))
        file.unlink()
    except OSError as error:
        file.unlink(missing_ok=True)
        error.filename = str(folder)
        raise
