"""Owns the figures of the desk: what is counted of requests, and the shares and times that follow.

Never reads a ledger.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import msgspec

from hitl_vault.core.model import Answer, Risk, Status


class BriefVote(msgspec.Struct, gc=False):
    """Of a vote, what is counted."""

    reviewer: str
    answer: Answer
    channel: str


class BriefVerdict(msgspec.Struct, gc=False):
    """Of a verdict, what is counted."""

    rules: tuple[str, ...]
    risk: Risk


class BriefAction(msgspec.Struct, gc=False):
    """Of an action, what is counted."""

    type: str
    requested_by: str


class Brief(msgspec.Struct, gc=False):
    """Of a stored request, what is counted: read in a tenth of the time the whole takes."""

    id: str
    status: Status
    action: BriefAction
    verdict: BriefVerdict
    created_at: datetime
    expires_at: datetime
    use_by: datetime | None
    decided_at: datetime | None
    votes: tuple[BriefVote, ...]

    def standing(self, now: datetime) -> Status:
        """Return where the request stands, a passed deadline included."""
        open_until = {Status.PENDING: self.expires_at, Status.APPROVED: self.use_by}
        end = open_until.get(self.status)
        return Status.EXPIRED if end is not None and now >= end else self.status


read_brief = msgspec.json.Decoder(Brief).decode


def figures_of(briefs: Iterable[Brief], now: datetime) -> dict[str, Any]:
    """Return the figures over these requests. Rates are shares of the decided ones, 0 to 1."""
    by = _Counters()
    for brief in briefs:
        by.add(brief, now)
    decided = by.approved + by.rejected + by.unanswered
    times = sorted(by.times_s)
    return {
        "requests": by.status.total(),
        "pending": {"count": by.status["pending"], "oldest_s": by.oldest_s},
        "by_status": _busiest(by.status),
        "rates": {
            "approved": _share(by.approved, decided),
            "rejected": _share(by.rejected, decided),
            "expired_unanswered": _share(by.unanswered, decided),
        },
        "under_grants": by.granted,
        "decision_s": {
            "average": round(sum(times) / len(times), 3) if times else None,
            "median": _percentile(times, 0.5),
            "p90": _percentile(times, 0.9),
        },
        "by_type": _busiest(by.type),
        "by_rule": _busiest(by.rule),
        "by_risk": _busiest(by.risk),
        "by_requester": _busiest(by.requester),
        "by_reviewer": dict(sorted(by.reviewers.items(), key=lambda item: -sum(item[1].values()))),
    }


class _Counters:
    """Counts requests one after the other, and keeps none of them.

    What a grant answered tells nothing of how soon, or how much, people answer.
    """

    def __init__(self) -> None:
        self.status: Counter[str] = Counter()
        self.type: Counter[str] = Counter()
        self.rule: Counter[str] = Counter()
        self.risk: Counter[str] = Counter()
        self.requester: Counter[str] = Counter()
        self.reviewers: dict[str, dict[str, int]] = {}
        self.approved = self.rejected = self.unanswered = self.granted = 0
        self.oldest_s: float | None = None
        self.times_s: list[float] = []

    def add(self, brief: Brief, now: datetime) -> None:
        """Count one request."""
        status = brief.standing(now)
        self.status[status.value] += 1
        self.type[brief.action.type] += 1
        self.requester[brief.action.requested_by] += 1
        self.risk[brief.verdict.risk.value] += 1
        self.rule.update(brief.verdict.rules or ("(the default)",))
        granted = any(vote.channel == "grant" for vote in brief.votes)
        self.granted += granted
        if status == "pending":
            age = round((now - brief.created_at).total_seconds(), 3)
            self.oldest_s = age if self.oldest_s is None else max(age, self.oldest_s)
        elif status != "cancelled":
            self._decided(brief, rejected=status == "rejected", granted=granted)
        self._voted(brief.votes)

    def _decided(self, brief: Brief, *, rejected: bool, granted: bool) -> None:
        approved = brief.use_by is not None
        self.approved += approved
        self.rejected += rejected and not approved
        self.unanswered += not (approved or rejected)
        if (approved or rejected) and brief.decided_at is not None and not granted:
            self.times_s.append((brief.decided_at - brief.created_at).total_seconds())

    def _voted(self, votes: Sequence[BriefVote]) -> None:
        for vote in votes:
            if vote.channel != "grant":  # nobody looked at these
                counts = self.reviewers.setdefault(vote.reviewer, {"approved": 0, "rejected": 0})
                counts["rejected" if vote.answer == "reject" else "approved"] += 1


def _busiest(counted: Counter[str]) -> dict[str, int]:
    return dict(counted.most_common())


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None


def _percentile(ordered: Sequence[float], share: float) -> float | None:
    """Return the nearest-rank percentile."""
    if not ordered:
        return None
    return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 3)
