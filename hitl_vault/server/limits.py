"""Owns how much one caller may send: in a minute, and at once. Never judges who a caller is."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from hitl_vault.errors import TooFast

_MINUTE_S = 60


class Counted:
    """One request of a caller, among those being answered until it begins to wait."""

    __slots__ = ("_among", "_caller", "_limits")

    def __init__(self, limits: Limits, caller: str) -> None:
        self._limits, self._caller = limits, caller
        self._among: Counter[str] | None = None
        self._joins(limits.answered)

    def waits(self) -> None:
        """Count it among those that wait from now on, so that it holds up no other of its caller.

        Raises:
            TooFast: As many as a caller may have wait already.
        """
        limits = self._limits
        if limits.waiting[self._caller] >= limits.max_waits:
            raise TooFast(f"more than {limits.max_waits} waits and streams of yours are open", 1)
        self.ends()
        self._joins(limits.waiting)

    def ends(self) -> None:
        """Count it no more. Idempotent."""
        among, self._among = self._among, None
        if among is None:
            return
        among[self._caller] -= 1
        if not among[self._caller]:
            del among[self._caller]

    def _joins(self, among: Counter[str]) -> None:
        self._among = among
        among[self._caller] += 1


class Limits:
    """Counts what each caller sends. In the memory of this process: after a start all begins anew.

    Args:
        per_minute: Requests of one caller in any 60 s.
        failures_per_minute: Tokens, codes and links that do not count, from one address.
        at_once: Requests of one caller being answered; one that waits, or a stream, is none.
        max_waits: Those that wait, and streams, of one caller.
        now: Seconds of a clock that only goes on.
    """

    def __init__(
        self,
        *,
        per_minute: int,
        failures_per_minute: int,
        at_once: int,
        max_waits: int,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._requests = _Minute(per_minute, "requests", now)
        self._failures = _Minute(failures_per_minute, "tokens that do not count", now)
        self._at_once, self.max_waits = at_once, max_waits
        self.answered: Counter[str] = Counter()
        self.waiting: Counter[str] = Counter()

    @property
    def answering(self) -> int:
        """How many requests there are now: those being answered, those that wait, and streams."""
        return self.answered.total() + self.waiting.total()

    def count(self, caller: str) -> Counted:
        """Count one request of a caller until it `ends`.

        Raises:
            TooFast: It is one too many.
        """
        if self.answered[caller] >= self._at_once:
            raise TooFast(f"more than {self._at_once} requests of yours are being answered", 1)
        self._requests.hit(caller)
        return Counted(self, caller)

    @contextmanager
    def counting(self, caller: str) -> Iterator[Counted]:
        """Count one request of a caller until the block ends. Raises TooFast, as `count` does."""
        counted = self.count(caller)
        try:
            yield counted
        finally:
            counted.ends()

    def failed(self, address: str) -> None:
        """Count a token, code or link that did not count.

        Those that do count are never held up: an address may be that of many callers.

        Raises:
            TooFast: Too many from this address did not.
        """
        self._failures.hit(address)


class _Minute:
    """Counts in any 60 s, as two counts for each key: of this minute, and of the one before, which
    counts as far as it still lies within the 60 s.

    Two numbers and no thread: a library's storage that clears up in threads cost every call as much
    as the rest of the way to its route.
    """

    def __init__(self, most: int, what: str, now: Callable[[], float]) -> None:
        self._most, self._what, self._clock = most, what, now
        self._minute = 0
        self._now: Counter[str] = Counter()
        self._before: Counter[str] = Counter()

    def hit(self, key: str) -> None:
        """Count one. Raises TooFast where it is one too many; then it does not count."""
        minute, passed = divmod(self._clock(), _MINUTE_S)
        if minute != self._minute:
            self._before = self._now if minute == self._minute + 1 else Counter()
            self._now, self._minute = Counter(), int(minute)
        now, before = self._now[key], self._before[key]
        left = self._most - 1 - now
        if before * (1 - passed / _MINUTE_S) > left:
            # the moment from which on one more fits
            again = _MINUTE_S * (1 - left / before) if left >= 0 else _MINUTE_S
            raise TooFast(f"more than {self._most} {self._what} in a minute", again - passed)
        self._now[key] += 1
