"""Owns the way of hints from any thread to the event loop. Never judges a path."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable

from hitl_vault.ports import Hints

LIMIT = 5_000
"""With more paths than this waiting, looking at everything costs less than looking at each."""


class Gathering:
    """Gathers hints and hands them over in batches.

    Guarantees:
        Runs on: `add` and `close` on any thread; `on_hints` on the loop, never elsewhere.
        A burst of any size has at most one callback of the loop waiting.
        Once `close` has returned on the loop's thread, `on_hints` is not called again.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        on_hints: Callable[[Hints], None],
        *,
        limit: int = LIMIT,
    ) -> None:
        self.heard = asyncio.Event()
        """Set on the loop when the event of a self-test's file has arrived."""
        self._loop = loop
        self._on_hints = on_hints
        self._limit = limit
        self._lock = threading.Lock()
        self._paths: set[str] = set()
        self._all = self._ledger = self._probe = False
        self._scheduled = self._closed = False

    def add(
        self,
        paths: Iterable[str] = (),
        *,
        all: bool = False,
        ledger: bool = False,
        probe: bool = False,
    ) -> None:
        """Add to the batch that waits for the loop, or begin one. Does nothing once closed."""
        with self._lock:
            if self._closed:
                return
            if not self._all:
                self._paths.update(paths)
            self._all |= all or len(self._paths) > self._limit
            if self._all:
                self._paths.clear()
            self._ledger |= ledger
            self._probe |= probe
            if self._scheduled:
                return
            self._scheduled = True
        try:
            self._loop.call_soon_threadsafe(self._deliver)
        except RuntimeError:  # the loop was closed before the watcher
            self.close()

    def close(self) -> None:
        """Drop what waits and everything to come. Idempotent."""
        with self._lock:
            self._closed = True
            self._paths.clear()

    def _deliver(self) -> None:
        with self._lock:
            self._scheduled = False
            if self._closed:
                return
            hints = Hints(paths=frozenset(self._paths), all=self._all, ledger=self._ledger)
            probe = self._probe
            self._paths.clear()
            self._all = self._ledger = self._probe = False
        if probe:
            self.heard.set()
        if hints.paths or hints.all or hints.ledger:
            self._on_hints(hints)
