"""Owns adding up requests for who watches the desk: how many, of what, how decided, how soon.

Never keeps a request: it is added up once from all there are, then moved on event by event.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from hitl_vault.core.model import Status

BOUNDS_S = (5.0, 15.0, 60.0, 300.0, 900.0, 1800.0, 3600.0, 7200.0, 14400.0, 43200.0, 86400.0)
"""The upper bounds, in seconds, by which times to decide are counted; the last has none above."""

OTHER = "(other)"
BY_DEFAULT = "(the default)"
MAX_NAMES = 50
GRANT = "grant"


class Decided(StrEnum):
    """How a request left the state of waiting."""

    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"  # nobody answered in time
    CANCELLED = "cancelled"


class _Action(Protocol):
    @property
    def type(self) -> str: ...
    @property
    def requested_by(self) -> str: ...


class _Verdict(Protocol):
    @property
    def rules(self) -> tuple[str, ...]: ...


class _Vote(Protocol):
    @property
    def channel(self) -> str: ...


class _Counted(Protocol):
    """What of a request is added up: a whole one has it, and so has a brief one."""

    @property
    def id(self) -> str: ...
    @property
    def status(self) -> Status: ...
    @property
    def action(self) -> _Action: ...
    @property
    def verdict(self) -> _Verdict: ...
    @property
    def votes(self) -> Sequence[_Vote]: ...
    @property
    def created_at(self) -> datetime: ...
    @property
    def decided_at(self) -> datetime | None: ...
    @property
    def use_by(self) -> datetime | None: ...


class Names:
    """The first names there are, up to a number; every later one counts as `(other)`.

    So that whoever asks under ever new names fills nobody's memory.
    """

    def __init__(self, most: int = MAX_NAMES) -> None:
        self._most, self._known = most, set[str]()

    def of(self, name: str) -> str:
        """Return the name to count under."""
        if name in self._known:
            return name
        if len(self._known) < self._most:
            self._known.add(name)
            return name
        return OTHER


@dataclass(slots=True, kw_only=True)
class Tally:
    """What was added up, up to and including the event `seq`.

    `times` counts the times to decide of people's answers, one number for each of `BOUNDS_S` and
    one for what took longer; `times_s` is their sum. What a grant answered is not among them.
    `pending` says when what waits was asked, by id, oldest first.
    """

    seq: int = 0
    asked: Counter[str] = field(default_factory=Counter)
    decided: Counter[tuple[Decided, str]] = field(default_factory=Counter)
    by_rule: Counter[tuple[Decided, str]] = field(default_factory=Counter)
    by_requester: Counter[tuple[Decided, str]] = field(default_factory=Counter)
    unclaimed: int = 0
    pending: dict[str, datetime] = field(default_factory=dict)
    times: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS_S) + 1))
    times_s: float = 0.0
    _types: Names = field(default_factory=Names)
    _rules: Names = field(default_factory=Names)
    _requesters: Names = field(default_factory=Names)

    def add(self, one: _Counted) -> None:
        """Add a request up as it stands; those asked earlier come first."""
        self.was_asked(one)
        if one.status is not Status.PENDING:
            self.was_decided(one, _decided(one))
        if one.status is Status.EXPIRED and one.use_by is not None:
            self.unclaimed += 1

    def was_asked(self, one: _Counted) -> None:
        """Somebody asked."""
        self.asked[self._types.of(one.action.type)] += 1
        self.pending[one.id] = one.created_at

    def was_decided(self, one: _Counted, how: Decided) -> None:
        """It was answered, or will not be any more."""
        self.pending.pop(one.id, None)
        self.decided[how, self._types.of(one.action.type)] += 1
        self.by_requester[how, self._requesters.of(one.action.requested_by)] += 1
        for rule in one.verdict.rules or (BY_DEFAULT,):
            self.by_rule[how, self._rules.of(rule)] += 1
        answered = how in {Decided.APPROVED, Decided.REJECTED}
        if answered and one.decided_at and not any(vote.channel == GRANT for vote in one.votes):
            took_s = (one.decided_at - one.created_at).total_seconds()
            self.times[bisect_left(BOUNDS_S, took_s)] += 1
            self.times_s += took_s

    def share(self, how: Decided) -> float:
        """Return the share, 0 to 1, of what was decided so; what was withdrawn is left out."""
        counts: Counter[Decided] = Counter()
        for (decided, _), number in self.decided.items():
            counts[decided] += number
        whole = counts.total() - counts[Decided.CANCELLED]
        return counts[how] / whole if whole else 0.0

    def oldest_pending_s(self, now: datetime) -> float:
        """Return for how long the oldest has waited, 0 where nothing waits."""
        oldest = next(iter(self.pending.values()), None)
        return max(0.0, (now - oldest).total_seconds()) if oldest else 0.0


def _decided(one: _Counted) -> Decided:
    if one.use_by is not None:  # set by an approval, and by nothing else
        return Decided.APPROVED
    ended = {
        Status.REJECTED: Decided.REJECTED,
        Status.EXPIRED: Decided.EXPIRED,
        Status.CANCELLED: Decided.CANCELLED,
    }
    return ended.get(one.status, Decided.APPROVED)
