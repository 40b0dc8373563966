"""Owns how long a connection may wait with no whole request, and how many there may be. Never
closes one whose request is being answered.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

_FILES_BESIDES = 100  # the ledger, notes, locks, channels
_FEWEST = 16


class Connections:
    """Those that are open; of them those whose client is to send a request, by how long they wait.

    Args:
        most: How many may be open. One more closes the one that waits longest for a request; where
            none waits, the new one.
        within_s: How long a client may take for the head of a request, also for the rest of a body
            that was answered before it was read.
    """

    def __init__(self, *, most: int, within_s: float) -> None:
        self.most, self.within_s = most, within_s
        self.open = 0
        self._waiting: dict[Connection, asyncio.TimerHandle] = {}

    def opened(self, one: Connection) -> None:
        """Take a new connection in."""
        self.open += 1
        self.waits(one)
        if self.open > self.most:
            longest = next(iter(self._waiting))
            self.goes_on(longest)  # so that one more, before its end is told, closes another
            longest.transport.abort()

    def waits(self, one: Connection) -> None:
        """Its client is to send a request from now on, if not for longer already."""
        if one not in self._waiting:
            loop = asyncio.get_running_loop()
            self._waiting[one] = loop.call_later(self.within_s, one.transport.abort)

    def goes_on(self, one: Connection) -> None:
        """Its request is being answered, or it is closed."""
        timer = self._waiting.pop(one, None)
        if timer is not None:
            timer.cancel()

    def closed(self, one: Connection) -> None:
        """Forget a connection."""
        self.open -= 1
        self.goes_on(one)


class Connection(H11Protocol):
    """One connection of uvicorn's, which waits for the head of a request for a while only."""

    def __init__(self, *args: Any, kept: Connections, **more: Any) -> None:
        super().__init__(*args, **more)
        self._kept = kept

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for its first request."""
        super().connection_made(transport)
        self._kept.opened(self)

    def data_received(self, data: bytes) -> None:
        """Stop waiting once the head of a request is whole."""
        super().data_received(data)
        self._look()

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        super().on_response_complete()
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self._kept.closed(self)
        super().connection_lost(exc)

    def _look(self) -> None:
        cycle: Any = self.cycle  # None before the first request, whatever its type says
        if cycle is not None and not cycle.response_complete:
            self._kept.goes_on(self)
        elif self in self.connections:  # and not closed meanwhile
            self._kept.waits(self)


def most_connections(wanted: int) -> int:
    """Return how many connections there may be: `wanted`, or fewer where the system lets this
    process open fewer files.
    """
    if sys.platform == "win32":
        return wanted
    import resource

    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        return wanted
    return min(wanted, max(_FEWEST, files - _FILES_BESIDES))
