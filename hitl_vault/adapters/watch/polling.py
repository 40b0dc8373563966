"""Owns hints by the clock, for folders that give no file events. Never reads the folder.

The engine compares every note's signature when told to look at everything, and does that well; a
second snapshot kept here, by watchdog's PollingObserver, costs 58 % of a core for 100,000 notes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Polling:
    """Calls `look` on the running loop at once and then every `every_s`, until stopped.

    Guarantees:
        Runs on: event loop, without a task or thread. `stop` is idempotent, no call comes after it.
    """

    def __init__(self, look: Callable[[], None], every_s: float) -> None:
        self._look = look
        self._every_s = every_s
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_running(self) -> bool:
        """Whether calls are to come."""
        return self._timer is not None

    def start(self) -> None:
        """Begin, unless it has begun."""
        if self._timer is None:
            self._again()

    def stop(self) -> None:
        """End, also from inside `look`."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _again(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._every_s, self._again)
        self._look()
