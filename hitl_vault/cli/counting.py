"""Owns `hitl stats`: the figures an operator watches. Never changes anything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from hitl_vault.cli.options import JsonOption, SinceOption, VaultOption, parse_since

if TYPE_CHECKING:
    from hitl_vault.core.model import Request

_BAR = 24


def stats(since: SinceOption = None, vault: VaultOption = None, json: JsonOption = False) -> None:
    """Count requests: waiting, decided, how fast, by whom."""
    from hitl_vault.cli.opening import reading
    from hitl_vault.cli.records import as_json
    from hitl_vault.ports import Filter

    after = parse_since(since)
    with reading(vault) as opened:
        requests = opened.ledger.find(Filter(since=after))
    figures = count(requests, datetime.now(UTC))
    if json:
        print(as_json(figures))
    else:
        _print(figures, since)


def count(requests: Sequence[Request], now: datetime) -> dict[str, Any]:
    """Return the figures over these requests. Rates are shares of the decided ones, 0 to 1."""
    from hitl_vault.cli.records import standing
    from hitl_vault.core.model import Status

    stands = {request.id: standing(request, now) for request in requests}
    waiting = [request for request in requests if stands[request.id] is Status.PENDING]
    ages = [(now - request.created_at).total_seconds() for request in waiting]
    decided = [
        request
        for request in requests
        if stands[request.id] not in {Status.PENDING, Status.CANCELLED}
    ]
    approved = [request for request in decided if request.use_by is not None]
    rejected = [request for request in decided if stands[request.id] is Status.REJECTED]
    unanswered = len(decided) - len(approved) - len(rejected)
    times = sorted(
        (request.decided_at - request.created_at).total_seconds()
        for request in (*approved, *rejected)
        if request.decided_at is not None
    )
    return {
        "requests": len(requests),
        "pending": {"count": len(waiting), "oldest_s": round(max(ages), 3) if ages else None},
        "by_status": _counted(stands.values()),
        "rates": {
            "approved": _share(len(approved), len(decided)),
            "rejected": _share(len(rejected), len(decided)),
            "expired_unanswered": _share(unanswered, len(decided)),
        },
        "decision_s": {
            "average": round(sum(times) / len(times), 3) if times else None,
            "median": _percentile(times, 0.5),
            "p90": _percentile(times, 0.9),
        },
        "by_type": _counted(request.action.type for request in requests),
        "by_rule": _counted(
            rule for request in requests for rule in request.verdict.rules or ("(the default)",)
        ),
        "by_risk": _counted(request.verdict.risk for request in requests),
        "by_requester": _counted(request.action.requested_by for request in requests),
        "by_reviewer": _reviewers(requests),
    }


def _counted(words: Iterable[str]) -> dict[str, int]:
    return {str(word): number for word, number in Counter(words).most_common()}


def _reviewers(requests: Sequence[Request]) -> dict[str, dict[str, int]]:
    """Return how often each reviewer approved and rejected, the busiest first."""
    from hitl_vault.core.model import Answer

    found: dict[str, dict[str, int]] = {}
    for vote in (vote for request in requests for vote in request.votes):
        counts = found.setdefault(vote.reviewer, {"approved": 0, "rejected": 0})
        counts["rejected" if vote.answer is Answer.REJECT else "approved"] += 1
    return dict(sorted(found.items(), key=lambda item: -sum(item[1].values())))


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
