"""Owns how much one caller may send: in a minute, and at once. Never judges who a caller is."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from limits import RateLimitItem, RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter

from hitl_vault.errors import TooFast


class Limits:
    """Counts what each caller sends. In the memory of this process: after a start all begins anew.

    Args:
        per_minute: Requests of one caller in any 60 s.
        failures_per_minute: Tokens, codes and links that do not count, from one address.
        at_once: Requests of one caller being answered; one that waits, or a stream, is one.
    """

    def __init__(self, *, per_minute: int, failures_per_minute: int, at_once: int) -> None:
        self._counted = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._requests = RateLimitItemPerMinute(per_minute)
        self._failures = RateLimitItemPerMinute(failures_per_minute)
        self._at_once = at_once
        self._now: Counter[str] = Counter()

    @property
    def answering(self) -> int:
        """How many requests are being answered now."""
        return self._now.total()

    @contextmanager
    def counting(self, caller: str) -> Iterator[None]:
        """Count one request of a caller for as long as it is being answered.

        Raises:
            TooFast: It is one too many.
        """
        if self._now[caller] >= self._at_once:
            raise TooFast(f"more than {self._at_once} requests of yours are being answered", 1)
        self._hit(self._requests, "requests", caller)
        self._now[caller] += 1
        try:
            yield
        finally:
            self._now[caller] -= 1
            if not self._now[caller]:
                del self._now[caller]

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
