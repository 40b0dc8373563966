"""Owns how much one caller may send: in a minute, and at once. Never judges who a caller is."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from limits import RateLimitItem, RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter

from hitl_vault.errors import TooFast


class Counted:
    """One request of a caller, among those being answered until it begins to wait."""

    __slots__ = ("_among", "_caller", "_limits")

    def __init__(self, limits: Limits, caller: str) -> None:
        self._limits, self._caller, self._among = limits, caller, limits.answered

    def waits(self) -> None:
        """Count it among those that wait from now on, so that it holds up no other of its caller.

        Raises:
            TooFast: As many as a caller may have wait already.
        """
        limits = self._limits
        if limits.waiting[self._caller] >= limits.max_waits:
            raise TooFast(f"more than {limits.max_waits} waits and streams of yours are open", 1)
        self._left()
        self._joined(limits.waiting)

    def _joined(self, among: Counter[str]) -> None:
        self._among = among
        among[self._caller] += 1

    def _left(self) -> None:
        self._among[self._caller] -= 1
        if not self._among[self._caller]:
            del self._among[self._caller]

    @contextmanager
    def while_answered(self) -> Iterator[Counted]:
        """Count it until the block ends."""
        self._joined(self._among)
        try:
            yield self
        finally:
            self._left()


class Limits:
    """Counts what each caller sends. In the memory of this process: after a start all begins anew.

    Args:
        per_minute: Requests of one caller in any 60 s.
        failures_per_minute: Tokens, codes and links that do not count, from one address.
        at_once: Requests of one caller being answered; one that waits, or a stream, is none.
        max_waits: Those that wait, and streams, of one caller.
    """

    def __init__(
        self, *, per_minute: int, failures_per_minute: int, at_once: int, max_waits: int
    ) -> None:
        self._counted = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._requests = RateLimitItemPerMinute(per_minute)
        self._failures = RateLimitItemPerMinute(failures_per_minute)
        self._at_once, self.max_waits = at_once, max_waits
        self.answered: Counter[str] = Counter()
        self.waiting: Counter[str] = Counter()

    @property
    def answering(self) -> int:
        """How many requests there are now: those being answered, those that wait, and streams."""
        return self.answered.total() + self.waiting.total()

    def counting(self, caller: str) -> AbstractContextManager[Counted]:
        """Count one request of a caller for as long as it is being answered.

        Raises:
            TooFast: It is one too many.
        """
        if self.answered[caller] >= self._at_once:
            raise TooFast(f"more than {self._at_once} requests of yours are being answered", 1)
        self._hit(self._requests, "requests", caller)
        return Counted(self, caller).while_answered()

    def failed(self, address: str) -> None:
        """Count a token, code or link that did not count.

        Those that do count are never held up: an address may be that of many callers.

        Raises:
            TooFast: Too many from this address did not.
        """
        self._hit(self._failures, "tokens that do not count", address)

    def _hit(self, item: RateLimitItem, what: str, key: str) -> None:
        if not self._counted.hit(item, what, key):
            again_at = self._counted.get_window_stats(item, what, key).reset_time
            raise TooFast(f"more than {item.amount} {what} in a minute", again_at - time.time())
