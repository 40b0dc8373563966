"""Owns waking who waits, for ledgers of rows. Never stores or judges anything."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import AsyncGenerator, Iterable

from hitl_vault.adapters.ledger.cas import Write
from hitl_vault.core.events import Recorded
from hitl_vault.core.model import Request
from hitl_vault.errors import RequestNotFound

_PAGE = 1_000


class WakingLedger(ABC):
    """The half of the ledger port that only wakes: waiting and following, for row stores.

    Every commit of this process calls `_announce`; a hint from outside makes it look at the events
    it has not seen. A waiter registers before it reads, so that no commit falls between.
    """

    def __init__(self) -> None:
        self._waiters: defaultdict[str, set[asyncio.Future[Request]]] = defaultdict(set)
        self._followers: set[asyncio.Event] = set()
        self._seen = 0
        self._looking = False
        self._loop: asyncio.AbstractEventLoop | None = None

    @abstractmethod
    async def get(self, id: str) -> Request | None:
        """Return the request as last committed."""

    @abstractmethod
    def _events_after(self, seq: int, limit: int) -> list[Recorded]:
        """Return committed events after `seq`, in order, at most `limit`."""

    async def wait(self, id: str, *, after_rev: int, timeout_s: float | None) -> Request:
        """Return the request once its `rev` exceeds `after_rev`, or as it is at the timeout."""
        future: asyncio.Future[Request] = asyncio.get_running_loop().create_future()
        waiting = self._waiters[id.casefold()]
        waiting.add(future)
        try:
            request = await self.get(id)
            if request is None:
                raise RequestNotFound(f"there is no request {id}")
            if request.rev > after_rev:
                return request
            try:
                async with asyncio.timeout(timeout_s):
                    return await future
            except TimeoutError:
                return await self.get(id) or request
        finally:
            waiting.discard(future)
            if not waiting:
                self._waiters.pop(id.casefold(), None)

    async def changes(self, after_seq: int, *, follow: bool) -> AsyncGenerator[Recorded, None]:
        """Yield events after `after_seq` in order; live for ever with `follow`."""
        news = asyncio.Event()
        self._followers.add(news)
        try:
            while True:
                news.clear()
                for recorded in self._events_after(after_seq, _PAGE):
                    yield recorded
                    after_seq = recorded.seq
                    news.set()  # a full page may have a next one
                if not news.is_set() and not follow:
                    return
                await news.wait()
        finally:
            self._followers.discard(news)

    def hint(self) -> None:
        """Look, once per turn of the event loop, for events this process has not seen."""
        if self._looking or self._loop is None or self._loop.is_closed():
            return
        self._looking = True
        self._loop.call_soon(self._look)

    def _look(self) -> None:
        self._looking = False
        fresh: dict[str, int] = {}
        while page := self._events_after(self._seen, _PAGE):
            self._seen = page[-1].seq
            fresh.update((recorded.event.request_id, recorded.event.rev) for recorded in page)
        if not fresh:
            return
        for id in fresh:
            if id.casefold() in self._waiters:
                self._resolve(id, self._read(id))
        self._wake_followers()

    @abstractmethod
    def _read(self, id: str) -> Request | None:
        """Return the request as last committed, at once."""

    def _announce(self, writes: Iterable[Write]) -> None:
        """Tell this process what it committed. `writes` are in the order of the chain."""
        for write in writes:
            if write.links[0].seq == self._seen + 1:
                self._seen = write.links[-1].seq
            elif write.links[0].seq > self._seen:
                self.hint()  # another process committed in between
            self._resolve(write.request.id, write.request)
        self._wake_followers()

    def _resolve(self, id: str, request: Request | None) -> None:
        for future in self._waiters.get(id.casefold(), ()):
            if request is not None and not future.done():
                future.set_result(request)

    def _wake_followers(self) -> None:
        for news in self._followers:
            news.set()

    def _cancel_waiters(self) -> None:
        for waiting in list(self._waiters.values()):
            for future in list(waiting):
                future.cancel()
