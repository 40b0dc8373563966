"""Owns a clock that tests set. Never moves by itself."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

START = datetime(2026, 11, 21, 9, 30, 12, tzinfo=UTC)


class FakeClock:
    """Wall clock and monotonic clock, moved together by `advance`, apart by `jump`."""

    def __init__(self, start: datetime = START) -> None:
        self._now = start
        self._monotonic = 1000.0
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []

    def now(self) -> datetime:
        """Return the wall clock."""
        return self._now

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        return self._monotonic

    async def sleep(self, seconds: float) -> None:
        """Return once the clock was advanced this far."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sleepers.append((self._monotonic + seconds, future))
        await future

    def advance(self, seconds: float) -> None:
        """Let time pass, and wake who slept until then."""
        self._now += timedelta(seconds=seconds)
        self._monotonic += seconds
        awake = [item for item in self._sleepers if item[0] <= self._monotonic]
        self._sleepers = [item for item in self._sleepers if item[0] > self._monotonic]
        for _, future in awake:
            if not future.done():
                future.set_result(None)

    def jump(self, seconds: float) -> None:
        """Set the wall clock forward or back, as a person or a time server does."""
        self._now += timedelta(seconds=seconds)
