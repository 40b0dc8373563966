"""Owns the facts: what happened to a request, in the past tense. Never changes a written one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    """What kind of fact an event states."""

    REQUESTED = "requested"
    VOTED = "voted"
    EDITED = "edited"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    CLAIMED = "claimed"
    EXECUTED = "executed"
    FAILED = "failed"
    LOST = "lost"
    RESOLVED = "resolved"
    REMINDED = "reminded"
    ESCALATED = "escalated"
    COMMENTED = "commented"
    CODE_ISSUED = "code_issued"
    REFUSED = "refused"  # an answer that was not what it claims to be
    # of the vault as a whole, filed under `REGISTER_ID`
    POLICY_CHANGED = "policy_changed"
    REVIEWERS_CHANGED = "reviewers_changed"
    GRANTED = "granted"
    GRANT_USED = "grant_used"
    GRANT_REVOKED = "grant_revoked"
    FACTOR_SPENT = "factor_spent"
    FACTOR_MISSED = "factor_missed"  # a wrong code of a second factor
    ALERT_FIRED = "alert_fired"
    ALERT_ENDED = "alert_ended"


OF_THE_REGISTER = frozenset(
    {
        Kind.POLICY_CHANGED,
        Kind.REVIEWERS_CHANGED,
        Kind.GRANTED,
        Kind.GRANT_USED,
        Kind.GRANT_REVOKED,
        Kind.FACTOR_SPENT,
        Kind.FACTOR_MISSED,
        Kind.ALERT_FIRED,
        Kind.ALERT_ENDED,
    }
)
"""The kinds that are of the vault as a whole, and stand in no request's history."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One fact. `rev` is the request's revision after it; `actor` is who caused it."""

    kind: Kind
    request_id: str
    rev: int
    at: datetime
    actor: str
    data: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """An event as the ledger holds it: `seq` grows by 1 over the whole vault, `hash` chains it."""

    seq: int
    hash: str
    event: Event
