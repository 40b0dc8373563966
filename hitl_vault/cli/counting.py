"""Owns `hitl stats` and `hitl alerts`: what an operator watches. Never changes anything."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hitl_vault.cli.options import JsonOption, SinceOption, VaultOption, parse_since
from hitl_vault.errors import InvalidRequest

if TYPE_CHECKING:
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
    from hitl_vault.core.figures import figures_of
    from hitl_vault.records import as_json

    if alerts:
        if since is not None:
            raise InvalidRequest("--since: alerts look back as far as the setting alert_within_s")
        print_alerts(vault, json)
        return
    after = parse_since(since)
    with reading(vault) as opened:
        figures = figures_of(opened.ledger.briefs(after), datetime.now(UTC))
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
    from hitl_vault.records import alert_record, as_json

    now = datetime.now(UTC)
    with reading(vault) as opened:
        limits = {name: getattr(opened.settings, name) for name in Thresholds.__slots__}
        within = timedelta(seconds=opened.settings.alert_within_s)
        counts = opened.ledger.count(now - within, now)
        found = firing(counts, Thresholds(**limits), opened.ledger.register())
    if json:
        print(as_json([alert_record(alert) for alert in found]))
    else:
        print_lines([Cell(_alert_line(alert), "red") for alert in found])
    if found:
        raise typer.Exit(ALERT)


def _alert_line(alert: Alert) -> str:
    from hitl_vault.cli.printing import stamp

    return alert.message + (f" (it fires since {stamp(alert.since)})" if alert.since else "")


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
