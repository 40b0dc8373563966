"""Owns `hitl stats` and `hitl alerts`: what an operator watches. Never changes anything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hitl_vault.cli.options import JsonOption, SinceOption, VaultOption, parse_since
from hitl_vault.errors import InvalidRequest

if TYPE_CHECKING:
    from hitl_vault.adapters.ledger.sqlite_counts import Brief, BriefVote
    from hitl_vault.engine.alerts import Alert

_BAR = 24


AlertsOption = Annotated[
    bool, typer.Option("--alerts", help="Only the alerts that fire, as hitl alerts does.")
]


def stats(
    since: SinceOption = None,
    alerts: AlertsOption = False,
    vault: VaultOption = None,
    json: JsonOption = False,
) -> None:
    """Count requests: waiting, decided, how fast, by whom."""
    from hitl_vault.cli.opening import reading
    from hitl_vault.records import as_json

    if alerts:
        if since is not None:
            raise InvalidRequest("--since: alerts look back as far as the setting alert_within_s")
        print_alerts(vault, json)
        return
    after = parse_since(since)
    with reading(vault) as opened:
        figures = count(opened.ledger.briefs(after), datetime.now(UTC))
    if json:
        print(as_json(figures))
    else:
        _print(figures, since)


def print_alerts(vault: VaultOption = None, json: JsonOption = False) -> None:
    """Print the alerts that fire; exit with 11 if any does.

    Since when one fires is known where a desk runs. The thresholds are settings: alert_pending,
    alert_oldest_s, alert_rejected_percent, alert_expired, alert_within_s.
    """
    from hitl_vault.cli.exits import ALERT
    from hitl_vault.cli.opening import reading
    from hitl_vault.cli.printing import Cell, print_lines
    from hitl_vault.engine.alerts import Thresholds, firing
    from hitl_vault.records import as_json

    now = datetime.now(UTC)
    with reading(vault) as opened:
        limits = {name: getattr(opened.settings, name) for name in Thresholds.__slots__}
        within = timedelta(seconds=opened.settings.alert_within_s)
        counts = opened.ledger.count(now - within, now)
        found = firing(counts, Thresholds(**limits), opened.ledger.register())
    if json:
        print(as_json([_alert_record(alert) for alert in found]))
    else:
        print_lines([Cell(_alert_line(alert), "red") for alert in found])
    if found:
        raise typer.Exit(ALERT)


def _alert_record(alert: Alert) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(alert) | {"since": None if alert.since is None else alert.since.isoformat()}


def _alert_line(alert: Alert) -> str:
    from hitl_vault.cli.printing import stamp

    return alert.message + (f" (it fires since {stamp(alert.since)})" if alert.since else "")


def count(briefs: Iterable[Brief], now: datetime) -> dict[str, Any]:
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


def _print(figures: dict[str, Any], since: str | None) -> None:
    from hitl_vault.cli.printing import Cell, print_fields
    from hitl_vault.core.durations import show_duration

    def time(seconds: float | None) -> str:
        return "none yet" if seconds is None else show_duration(seconds)

    def percent(share: float | None) -> str:
        return "none yet" if share is None else f"{share:.0%} of those decided"

    pending, rates, times = figures["pending"], figures["rates"], figures["decision_s"]
    oldest = f", the oldest for {time(pending['oldest_s'])}" if pending["count"] else ""
    print_fields(
        [
            ("requests", Cell(f"{figures['requests']}{f' since {since}' if since else ''}")),
            ("waiting", Cell(f"{pending['count']}{oldest}", "yellow" if oldest else "")),
            ("approved", Cell(percent(rates["approved"]), "green")),
            ("rejected", Cell(percent(rates["rejected"]), "red")),
            ("not answered in time", Cell(percent(rates["expired_unanswered"]))),
            *(
                [("under grants", Cell(f"{figures['under_grants']}"))]
                * bool(figures["under_grants"])
            ),
            (
                "time to decide",
                Cell(
                    "none yet"
                    if times["average"] is None
                    else f"average {time(times['average'])}, median {time(times['median'])}, "
                    f"90 % within {time(times['p90'])}"
                ),
            ),
        ]
    )
    for title, key in (
        ("By status", "by_status"),
        ("By action", "by_type"),
        ("By rule", "by_rule"),
        ("By who asks", "by_requester"),
    ):
        _print_bars(title, figures[key])
    _print_bars(
        "By reviewer", {name: sum(v.values()) for name, v in figures["by_reviewer"].items()}
    )


def _print_bars(title: str, counts: dict[str, int]) -> None:
    from hitl_vault.cli.printing import STATUS_STYLES, Cell, heading, print_fields, safe

    if not counts:
        return
    heading(title)
    most = max(counts.values())
    print_fields(
        [
            (
                safe(name, limit=40),
                Cell(
                    "█" * max(1, round(_BAR * number / most)),
                    STATUS_STYLES.get(name, "cyan"),
                    f" {number}",
                ),
            )
            for name, number in counts.items()
        ]
    )
