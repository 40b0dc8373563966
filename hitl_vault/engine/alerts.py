"""Owns which alerts fire: pure over counts. Never counts and never tells anybody."""

from __future__ import annotations

from dataclasses import dataclass

from hitl_vault.core.durations import show_duration
from hitl_vault.ports import Counts

LEAST_DECIDED = 5
"""So many must be decided before the share of rejections says anything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """What an operator wants to hear of: each alert fires above its value, not at it.

    The last two look at what was asked within `alert_within_s`.
    """

    alert_pending: int = 10
    alert_oldest_s: float = 7200.0
    alert_rejected_percent: int = 30
    alert_expired: int = 0
    alert_within_s: float = 86400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One alert that fires. `name` is stable; `value` and `threshold` are in the name's unit."""

    name: str
    message: str
    value: float
    threshold: float


def firing(counts: Counts, thresholds: Thresholds) -> list[Alert]:
    """Return the alerts that fire, in a fixed order: pending, oldest, rejected, expired."""
    within = show_duration(thresholds.alert_within_s)
    decided = counts.approved + counts.rejected + counts.expired
    percent = 100 * counts.rejected / decided if decided else 0.0
    judged = [
        (
            "pending",
            counts.pending,
            thresholds.alert_pending,
            f"{counts.pending} requests wait for an answer",
        ),
        (
            "oldest_s",
            counts.oldest_pending_s or 0.0,
            thresholds.alert_oldest_s,
            f"a request has waited for {show_duration(counts.oldest_pending_s or 0.0)}",
        ),
        (
            "rejected_percent",
            percent if decided >= LEAST_DECIDED else 0.0,
            thresholds.alert_rejected_percent,
            f"{counts.rejected} of {decided} asked within {within} were rejected ({percent:.0f} %)",
        ),
        (
            "expired",
            counts.expired,
            thresholds.alert_expired,
            f"{counts.expired} asked within {within} expired",
        ),
    ]
    return [
        Alert(name=name, message=message, value=round(value, 3), threshold=threshold)
        for name, value, threshold, message in judged
        if value > threshold
    ]
