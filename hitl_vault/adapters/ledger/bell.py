"""Owns the bell: a file the other processes of a vault watch, touched after commits. Says nothing
else: who hears it looks at the ledger.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from pathlib import Path

# under load the bell rings at most this often; the last ring is never left out
_BELL_S = 0.0005


class Bell:
    """Tells the other processes that something was committed, without ringing all the time."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._last = 0.0
        self._pending = False

    def rung(self) -> None:
        """Ring now, or remember to."""
        self._pending = True
        if time.monotonic() - self._last >= _BELL_S:
            self.ring()

    def due_in(self) -> float | None:
        """Return the seconds until a remembered ring is due, None if there is none."""
        return _BELL_S if self._pending else None

    def ring(self) -> None:
        """Ring if one is remembered."""
        if not self._pending:
            return
        self._pending = False
        self._last = time.monotonic()
        if self._path is not None:
            # a bell that cannot ring costs the others their poll interval, nothing else
            with contextlib.suppress(OSError):
                bell = os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o600)
                if sys.platform != "linux":  # there the closing alone is heard
                    os.write(bell, b".")
                os.close(bell)
