"""Owns the figures of the service for monitors, in a registry of its own. Never scans the ledger
for a scrape: it is added up once at the start, then each event moves the figures on.
"""

from __future__ import annotations

from collections import Counter as Numbers
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from itertools import accumulate

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from hitl_vault.core.events import Kind, Recorded
from hitl_vault.core.tally import BOUNDS_S, Decided, Tally
from hitl_vault.engine.orchestrator import Orchestrator
from hitl_vault.ports_telling import Backlog
from hitl_vault.server.feed import Feed
from hitl_vault.server.stopping import Stopping

_LATENCIES_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_ENDS = {
    Kind.APPROVED: Decided.APPROVED,
    Kind.REJECTED: Decided.REJECTED,
    Kind.EXPIRED: Decided.EXPIRED,
    Kind.CANCELLED: Decided.CANCELLED,
}


class Metrics(Collector):
    """What a monitor reads. Totals begin with what the ledger holds, and go on from there."""

    def __init__(self, feed: Feed, stopping: Stopping) -> None:
        self._feed, self._stopping = feed, stopping
        self.tally = Tally()
        self._events: Numbers[Kind] = Numbers()
        self._ready: Mapping[str, str] = {}
        self._backlog: Backlog | None = None
        self._registry = CollectorRegistry()
        self._registry.register(self)
        self._requests = Counter(
            "hitl_http_requests",
            "Calls that were answered.",
            ["method", "route", "status"],
            registry=self._registry,
        )
        self._seconds = Histogram(
            "hitl_http_request_seconds",
            "How long calls took to answer; streams are left out.",
            ["method", "route"],
            buckets=_LATENCIES_S,
            registry=self._registry,
        )

    async def hear(self, hitl: Orchestrator, recorded: Recorded) -> None:
        """Count one event, in the order of the ledger."""
        event, tally = recorded.event, self.tally
        if recorded.seq <= tally.seq:
            return
        self._events[event.kind] += 1
        if event.kind is Kind.REQUESTED:
            tally.was_asked(await hitl.get_at(event.request_id, event.rev))
        elif (how := _ENDS.get(event.kind)) and event.request_id in tally.pending:
            tally.was_decided(await hitl.get_at(event.request_id, event.rev), how)
        elif event.kind is Kind.EXPIRED:
            tally.unclaimed += 1
        tally.seq = recorded.seq

    def answered(
        self, method: str, route: str, status: int, seconds: float, *, stream: bool
    ) -> None:
        """Count one answer. `route` is a path with names for what varies in it."""
        method = method if method in _METHODS else "(other)"
        self._requests.labels(method, route, str(status)).inc()
        if not stream:
            self._seconds.labels(method, route).observe(seconds)

    def text(self, backlog: Backlog | None, problems: Mapping[str, str]) -> bytes:
        """Return everything in the text form of Prometheus; `problems` say what does not work.
        A `backlog` that is not known is left out.
        """
        self._backlog, self._ready = backlog, problems
        return generate_latest(self._registry)

    def collect(self) -> Iterable[Metric]:
        """Yield what is not counted by the library."""
        yield from self._of_requests()
        yield from self._of_decisions()
        yield from self._of_the_service()

    def _of_requests(self) -> Iterator[Metric]:
        tally = self.tally
        yield GaugeMetricFamily(
            "hitl_pending", "Requests that wait for an answer.", value=len(tally.pending)
        )
        yield GaugeMetricFamily(
            "hitl_oldest_pending_seconds",
            "How long the oldest of them has waited; 0 where none does.",
            value=tally.oldest_pending_s(datetime.now(UTC)),
        )
        yield _counted("hitl_requests", "Requests asked, by type.", "type", tally.asked.items())
        yield CounterMetricFamily(
            "hitl_unclaimed", "Approvals that nobody used in time.", value=tally.unclaimed
        )

    def _of_decisions(self) -> Iterator[Metric]:
        tally = self.tally
        for name, label, counts in (
            ("hitl_decisions", "type", tally.decided),
            ("hitl_decisions_by_rule", "rule", tally.by_rule),
            ("hitl_decisions_by_requester", "requester", tally.by_requester),
        ):
            family = CounterMetricFamily(
                name, f"How requests were decided, by {label}.", labels=["decision", label]
            )
            names = tally.asked if label == "type" else {value for _, value in counts}
            for value in names:
                for how in Decided:  # at 0 too: else the first of them would be no increase
                    family.add_metric([how.value, _shown(value)], counts[how, value])
            yield family
        ratio = GaugeMetricFamily(
            "hitl_decision_ratio",
            "The share, 0 to 1, of all ever decided so; withdrawn ones are left out.",
            labels=["decision"],
        )
        for how in (Decided.APPROVED, Decided.REJECTED, Decided.EXPIRED):
            ratio.add_metric([how.value], tally.share(how))
        yield ratio
        bounds = [*map(str, BOUNDS_S), "+Inf"]
        yield HistogramMetricFamily(
            "hitl_decision_seconds",
            "How long people took to answer.",
            buckets=list(zip(bounds, accumulate(tally.times), strict=True)),
            sum_value=tally.times_s,
        )

    def _of_the_service(self) -> Iterator[Metric]:
        yield CounterMetricFamily(
            "hitl_ledger_events", "Events committed to the ledger, ever.", value=self.tally.seq
        )
        yield _counted(
            "hitl_events",
            "Events seen since the service began, by kind.",
            "kind",
            ((kind.value, number) for kind, number in self._events.items()),
        )
        if self._backlog is not None:
            yield _of_the_outbox(self._backlog)
        for name, said, value in (
            ("hitl_waiters", "Calls that wait for an answer.", self._stopping.waiters),
            ("hitl_streams", "Streams of events that are open.", self._feed.streams),
        ):
            yield GaugeMetricFamily(name, said, value=value)
        ready = GaugeMetricFamily("hitl_ready", "1 if this part works.", labels=["part"])
        for part, problem in self._ready.items():
            ready.add_metric([part], 0 if problem else 1)
        yield ready


def _of_the_outbox(backlog: Backlog) -> Metric:
    family = GaugeMetricFamily(
        "hitl_outbox", "What people are still to be told, by state.", labels=["state"]
    )
    for state, number in (("due", backlog.due), ("later", backlog.later), ("dead", backlog.dead)):
        family.add_metric([state], number)
    return family


def _counted(name: str, said: str, label: str, counts: Iterable[tuple[str, int]]) -> Metric:
    family = CounterMetricFamily(name, said, labels=[label])
    for value, number in counts:
        family.add_metric([_shown(value)], number)
    return family


def _shown(value: str) -> str:
    """Return a label's value without characters that readers of the metrics stumble over."""
    if value.isprintable():
        return value
    return "".join(ch if ch.isprintable() else f"<U+{ord(ch):04X}>" for ch in value)
