"""Owns which alerts fire: pure over counts. Never counts and never tells anybody."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from hitl_vault.core.durations import show_duration
from hitl_vault.core.register import Register
from hitl_vault.ports import Counts

_NOTHING = Register()
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
    """How one alert stands. `name` is stable; `value` and `threshold` are in the name's unit.

    `since` is since when it is on record as firing, None where no desk has put it there yet.
    """

    name: str
    message: str
    value: float
    threshold: float
    since: datetime | None = None

    @property
    def fires(self) -> bool:
        """True while the value is above the threshold."""
        return self.value > self.threshold


def firing(counts: Counts, thresholds: Thresholds, register: Register = _NOTHING) -> list[Alert]:
    """Return the alerts that fire, each with since when it is on record."""
    on_record = {alert.name: alert.since for alert in register.alerts if alert.fires}
    return [
        replace(alert, since=on_record.get(alert.name))
        for alert in judged(counts, thresholds)
        if alert.fires
    ]


def judged(counts: Counts, thresholds: Thresholds) -> list[Alert]:
    """Return how every alert stands, in a fixed order: pending, oldest, rejected, expired."""
    within = show_duration(thresholds.alert_within_s)
    decided = counts.approved + counts.rejected + counts.expired
    percent = 100 * counts.rejected / decided if decided else 0.0
    figures = [
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
            "no request waits"
            if counts.oldest_pending_s is None
            else f"a request has waited for {show_duration(counts.oldest_pending_s)}",
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
        for name, value, threshold, message in figures
    ]
