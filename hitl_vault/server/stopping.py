"""Owns how the service ends: who waits is answered, streams are ended, nothing new is taken. Never
drops an answer: what waits is in the ledger, and asking again goes on.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import uvicorn

GRACE_S = 5
"""How long what is being answered may still take."""

_T = TypeVar("_T")


class Stopping:
    """Whether the service is about to end, and who waits for something until it does."""

    def __init__(self) -> None:
        self._begun = asyncio.Event()
        self._callbacks: list[Callable[[], None]] = []
        self.waiters = 0

    def begin(self) -> None:
        """Let everybody who waits go."""
        self._begun.set()
        for callback in self._callbacks:
            callback()

    def then(self, callback: Callable[[], None]) -> None:
        """Call this when it begins."""
        self._callbacks.append(callback)

    @property
    def has_begun(self) -> bool:
        """True once the service is about to end."""
        return self._begun.is_set()

    async def unless(self, work: Coroutine[Any, Any, _T]) -> _T | None:
        """Return what the work returns; None, and the work is cancelled, if the service ends first.

        For waiting only: cancelling a waiter cancels nothing else.
        """
        self.waiters += 1
        waiting, ending = asyncio.ensure_future(work), asyncio.ensure_future(self._begun.wait())
        try:
            await asyncio.wait({waiting, ending}, return_when=asyncio.FIRST_COMPLETED)
            return waiting.result() if waiting.done() else None
        finally:
            self.waiters -= 1
            waiting.cancel()
            ending.cancel()
            await asyncio.gather(waiting, ending, return_exceptions=True)


class Server(uvicorn.Server):
    """Uvicorn, which lets go who waits before it waits for everybody to be answered."""

    def __init__(self, config: uvicorn.Config, stopping: Stopping) -> None:
        config.timeout_graceful_shutdown = config.timeout_graceful_shutdown or GRACE_S
        super().__init__(config)
        self._stopping = stopping

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take nothing new, answer who waits, and end."""
        self._stopping.begin()
        await super().shutdown(sockets)
