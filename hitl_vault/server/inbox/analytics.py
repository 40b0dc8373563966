"""Owns the page of figures: how much waits, how long answers take, and what becomes of requests."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from fastapi import Request
from fastapi.responses import Response

from hitl_vault.core.access import Scope
from hitl_vault.core.trends import Rate, Trends
from hitl_vault.server.identities import At, Person
from hitl_vault.server.inbox.charts import Chart, bar_chart, line_chart
from hitl_vault.server.inbox.pages import check_may, new_router, page

PERIODS = {"24h": 86_400, "7d": 604_800, "30d": 2_592_000, "90d": 7_776_000}
MOMENTS = 49
STEPS = ("< 1 min", "1-5 min", "5-15 min", "15-60 min", "1-4 h", "4-24 h", "> 1 day")
router = new_router()


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """What became of the requests of one name, as widths of a bar 100 wide."""

    rate: Rate
    approved: float
    rejected: float
    expired: float


@router.get("/analytics")
async def analytics(request: Request, at: At, caller: Person, period: str = "7d") -> Response:
    """Show the figures of a period."""
    check_may(caller, Scope.READ)
    chosen = period if period in PERIODS else "7d"
    found = await at.hitl.trends(PERIODS[chosen], MOMENTS)
    return await page(
        request,
        caller,
        "analytics.html",
        trends=found,
        period=chosen,
        periods=list(PERIODS),
        waiting_chart=line_chart(found.waiting, found.since, found.until),
        waiting_rows=_rows(found),
        took_chart=_took(found),
        took_rows=list(zip(STEPS, found.took, strict=True)),
        tables=[
            ("By rule", "Rule", [_shares(rate) for rate in found.by_rule], "no rule: the default"),
            ("By agent", "Agent", [_shares(rate) for rate in found.by_requester], ""),
            ("By reviewer", "Reviewer", [_shares(rate) for rate in found.by_reviewer], ""),
        ],
    )


def _took(found: Trends) -> Chart:
    return bar_chart(list(zip(STEPS, found.took, strict=True)))


def _rows(found: Trends) -> list[tuple[datetime, int]]:
    """Return every fourth moment, for the table beside the chart."""
    step: timedelta = (found.until - found.since) / (len(found.waiting) - 1)
    return [
        (found.since + step * place, number)
        for place, number in enumerate(found.waiting)
        if place % 4 == 0
    ]


def _shares(rate: Rate) -> Shares:
    whole = max(1, rate.asked)
    return Shares(
        rate=rate,
        approved=round(100 * rate.approved / whole, 1),
        rejected=round(100 * rate.rejected / whole, 1),
        expired=round(100 * rate.expired / whole, 1),
    )
