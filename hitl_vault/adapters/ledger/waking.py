"""Owns waking who waits, for ledgers of rows. Never stores or judges anything."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections import defaultdict, deque
from collections.abc import AsyncGenerator, Iterable, Sequence
from itertools import islice

from hitl_vault.adapters.ledger.cas import Write
from hitl_vault.adapters.ledger.hearing import Hearing, bytes_of
from hitl_vault.core.events import Recorded
from hitl_vault.core.model import Request
from hitl_vault.errors import NotOpen, RequestNotFound, StorageError
from hitl_vault.ports import Heard

_log = logging.getLogger(__name__)
_PAGE = 1_000
_AT_HAND, _SMALL_BYTES = 256, 4_096  # events that whoever follows need not read again
_CLOSED = "closed while waiting; the request still waits, and waiting again loses nothing"


class WakingLedger(ABC):
    """The half of the ledger port that only wakes: waiting and following, for row stores.

    Every commit of this process calls `_announce`; a hint from outside makes it look at the events
    it has not seen. A waiter registers before it reads, so that no commit falls between.
    """

    def __init__(self) -> None:
        self._waiters: defaultdict[str, dict[asyncio.Future[Request], int]] = defaultdict(dict)
        self._followers: set[asyncio.Event] = set()
        self._hearing = Hearing()
        self._seen = 0
        self._at_hand: deque[Recorded] = deque(maxlen=_AT_HAND)  # without a gap
        self._looking = False
        self._closed = False
        self._loop: asyncio.AbstractEventLoop | None = None

    @abstractmethod
    async def get(self, id: str) -> Request | None:
        """Return the request as last committed."""

    @abstractmethod
    def _events_after(self, seq: int, limit: int) -> list[Recorded]:
        """Return committed events after `seq`, in order, at most `limit`."""

    def heard(self, id: str) -> Heard | None:
        """Return a request as this process last heard of it."""
        return self._hearing.get(id)

    async def wait(self, id: str, *, after_rev: int, timeout_s: float | None) -> Request:
        """Return the request once its `rev` exceeds `after_rev`, or as it is at the timeout."""
        self._loop = asyncio.get_running_loop()
        future: asyncio.Future[Request] = self._loop.create_future()
        waiting = self._waiters[id.casefold()]
        waiting[future] = after_rev
        try:
            heard = self._hearing.get(id)
            if heard is not None and heard.request.rev == after_rev:
                self.hint()  # one look tells all who begin to wait now what they have not heard
            else:
                request = await self._present(id)
                if request.rev > after_rev:
                    return request
            try:
                async with asyncio.timeout(timeout_s):
                    return await future
            except TimeoutError:
                return await self._present(id)
        finally:
            del waiting[future]
            if not waiting:
                self._waiters.pop(id.casefold(), None)

    async def _present(self, id: str) -> Request:
        request = await self.get(id)
        if request is None:
            raise RequestNotFound(f"there is no request {id}")
        return request

    async def changes(self, after_seq: int, *, follow: bool) -> AsyncGenerator[Recorded, None]:
        """Yield events after `after_seq` in order; live for ever with `follow`."""
        self._loop = asyncio.get_running_loop()
        news = asyncio.Event()
        self._followers.add(news)
        try:
            while True:
                if self._closed:
                    raise NotOpen(_CLOSED)
                news.clear()
                at_hand = self._after_at_hand(after_seq)
                page = at_hand or self._events_after(after_seq, _PAGE)
                for recorded in page:
                    after_seq = recorded.seq
                    yield recorded
                if not page and not follow:
                    return
                if not page or (follow and at_hand and after_seq >= self._seen):
                    await news.wait()
        finally:
            self._followers.discard(news)

    def _after_at_hand(self, seq: int) -> list[Recorded]:
        if not self._at_hand or not self._at_hand[0].seq <= seq + 1 <= self._at_hand[-1].seq:
            return []
        return list(islice(self._at_hand, seq + 1 - self._at_hand[0].seq, None))

    def _learn(self, events: Sequence[Recorded]) -> None:
        for recorded in events:
            if self._at_hand and self._at_hand[-1].seq + 1 != recorded.seq:
                self._at_hand.clear()
            if bytes_of(recorded) <= _SMALL_BYTES:
                self._at_hand.append(recorded)
            else:  # it is read again where it is wanted
                self._at_hand.clear()

    def hint(self) -> None:
        """Look, once per turn of the event loop, for events this process has not seen."""
        if self._looking or self._closed or self._loop is None or self._loop.is_closed():
            return
        self._looking = True
        self._loop.call_soon(self._look)

    def _look(self) -> None:
        self._looking = False
        if self._closed:
            return
        try:
            self._wake_for_fresh()
        except StorageError as error:  # the next hint, or the poll behind it, looks again
            _log.warning("cannot look what another process committed: %s", error)

    def _wake_for_fresh(self) -> None:
        seen = self._seen
        fresh: defaultdict[str, list[Recorded]] = defaultdict(list)
        while page := self._events_after(seen, _PAGE):
            seen = page[-1].seq
            self._learn(page)
            for recorded in page:
                fresh[recorded.event.request_id].append(recorded)
        wanted = [id for id in fresh if id.casefold() in self._waiters or id in self._hearing]
        for id, request in self._read_all(wanted).items():
            self._hearing.told(request, fresh[id])
            self._resolve(id, request)
        self._seen = max(seen, self._seen)
        if fresh:
            self._wake_followers()

    @abstractmethod
    def _read_all(self, ids: Sequence[str]) -> dict[str, Request]:
        """Return these requests as last committed, at once and as of one moment, by their ids."""

    def _announce(self, writes: Iterable[Write]) -> None:
        """Tell this process what it committed. `writes` are in the order of the chain."""
        for write in writes:
            recorded = write.recorded
            unseen = write.links[-1].seq > self._seen
            if write.links[0].seq == self._seen + 1:
                self._seen = write.links[-1].seq
                self._learn(recorded)
            elif write.links[0].seq > self._seen:
                self.hint()  # another process committed in between
            if write.request is not None:
                if unseen:  # else what came after it may have been seen too, and would be missing
                    self._hearing.committed(write.request, recorded, len(write.state))
                self._resolve(write.request.id, write.request)
        self._wake_followers()

    def _resolve(self, id: str, request: Request | None) -> None:
        for future, after_rev in self._waiters.get(id.casefold(), {}).items():
            # a waiter may have read a newer revision than the one announced
            if request is not None and request.rev > after_rev and not future.done():
                future.set_result(request)

    def _wake_followers(self) -> None:
        for news in self._followers:
            news.set()

    def _dismiss_waiters(self) -> None:
        """Tell who waits that nobody listens any more; it is no cancellation of their own."""
        for waiting in self._waiters.values():
            for future in waiting:
                if not future.done():
                    future.set_exception(NotOpen(_CLOSED))
        self._wake_followers()
