"""Owns how the desk went over a time: what waited when, how long answers took, what became of whose
requests. Never reads a ledger.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import accumulate, pairwise

from hitl_vault.core.figures import Brief
from hitl_vault.core.model import Answer, Request, Status

TOOK_S = (60, 300, 900, 3600, 14_400, 86_400)
"""Where the steps of `Trends.took` end, in seconds; the last step has no end."""

MOST_NAMES = 20
"""How many rules, requesters and reviewers are told of: the busiest."""

GRANT = "grant"
"""The channel of answers that nobody gave: a standing grant did."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """What became of the requests of one rule or requester, or of one reviewer's answers.

    `asked` counts all of them, those that wait or were withdrawn too.
    """

    name: str
    asked: int
    approved: int = 0
    rejected: int = 0
    expired: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Trends:
    """What was asked from `since` until `until`, and what became of it.

    `waiting` is how many requests waited at evenly spaced moments, the first at `since` and the
    last at `until`. `took` counts decisions by how long they took, in the steps of `TOOK_S`;
    `median_s` and `p90_s` are nearest ranks, None where nothing was decided. What a grant answered
    is in no time and no reviewer's answers: nobody looked at it. Names are the busiest first.
    """

    since: datetime
    until: datetime
    asked: int
    approved: int
    rejected: int
    expired: int
    waiting: tuple[int, ...]
    took: tuple[int, ...]
    median_s: float | None
    p90_s: float | None
    by_rule: tuple[Rate, ...]
    by_requester: tuple[Rate, ...]
    by_reviewer: tuple[Rate, ...]


_APPROVED, _REJECTED, _EXPIRED, _NEITHER = range(4)


@dataclass(slots=True)
class _Adding:
    """What was counted so far. Each name has its number of each fate."""

    since: datetime
    now: datetime
    width: timedelta
    changes: list[int]
    fates: Counter[int] = field(default_factory=Counter)
    times_s: list[float] = field(default_factory=list)
    rules: defaultdict[str, list[int]] = field(default_factory=lambda: defaultdict(_none))
    requesters: defaultdict[str, list[int]] = field(default_factory=lambda: defaultdict(_none))
    reviewers: defaultdict[str, list[int]] = field(default_factory=lambda: defaultdict(_none))

    def add(self, one: Brief | Request) -> None:
        """Count one request."""
        end = min(one.decided_at or one.expires_at, one.expires_at)
        if end <= self.since:
            return
        self._at(one.created_at, 1)
        self._at(end, -1)
        if one.created_at < self.since:
            return
        fate = self._fate(one)
        self.fates[fate] += 1
        for rule in one.verdict.rules or ("",):
            self.rules[rule][fate] += 1
        self.requesters[one.action.requested_by][fate] += 1
        granted = False
        for vote in one.votes:
            if vote.channel == GRANT:
                granted = True
            else:
                against = vote.answer is Answer.REJECT
                self.reviewers[vote.reviewer][_REJECTED if against else _APPROVED] += 1
        if fate <= _REJECTED and not granted:
            self.times_s.append(max(0.0, (end - one.created_at).total_seconds()))

    def _at(self, at: datetime, change: int) -> None:
        """Count a change of what waits at the first moment that comes after it, or with it."""
        moment = -((self.since - at) // self.width) if at > self.since else 0
        self.changes[min(moment, len(self.changes) - 1)] += change

    def _fate(self, one: Brief | Request) -> int:
        if one.use_by is not None:
            return _APPROVED
        if one.status is Status.REJECTED:
            return _REJECTED
        waits = one.status is Status.PENDING and self.now < one.expires_at
        return _NEITHER if waits or one.status is Status.CANCELLED else _EXPIRED


def _none() -> list[int]:
    return [0, 0, 0, 0]


def trends_of(
    requests: Iterable[Brief | Request], since: datetime, now: datetime, moments: int
) -> Trends:
    """Return what was asked from `since` until `now`, and what became of it; see `Trends`.

    `requests` are all there ever were: what was asked before may have waited since then.
    `moments` is at least 2.
    """
    width = max(timedelta(microseconds=1), (now - since) // (moments - 1))
    sums = _Adding(since, now, width, [0] * (moments + 1))
    for one in requests:
        sums.add(one)
    times = sorted(sums.times_s)
    places = [0, *(bisect_left(times, step) for step in TOOK_S), len(times)]
    return Trends(
        since=since,
        until=now,
        asked=sums.fates.total(),
        approved=sums.fates[_APPROVED],
        rejected=sums.fates[_REJECTED],
        expired=sums.fates[_EXPIRED],
        waiting=tuple(accumulate(sums.changes[:moments])),
        took=tuple(after - before for before, after in pairwise(places)),
        median_s=_rank(times, 0.5),
        p90_s=_rank(times, 0.9),
        by_rule=_rates(sums.rules),
        by_requester=_rates(sums.requesters),
        by_reviewer=_rates(sums.reviewers),
    )


def _rank(ordered: Sequence[float], share: float) -> float | None:
    if not ordered:
        return None
    return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 3)


def _rates(named: dict[str, list[int]]) -> tuple[Rate, ...]:
    busiest = sorted(named.items(), key=lambda item: (-sum(item[1]), item[0]))[:MOST_NAMES]
    return tuple(
        Rate(
            name=name,
            asked=sum(counts),
            approved=counts[_APPROVED],
            rejected=counts[_REJECTED],
            expired=counts[_EXPIRED],
        )
        for name, counts in busiest
    )
