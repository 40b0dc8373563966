"""Owns what time alone brings: expiry, reminders, escalation, dead executors, ended leases, alerts.
Never judges a deadline: the ledger does, at commit; a timer only makes it visible.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import TypeAlias

from hitl_vault.core import commands as c
from hitl_vault.core.durations import show_duration
from hitl_vault.core.lifecycle import next_due
from hitl_vault.core.model import Claim, Request, Status
from hitl_vault.engine.alerting import Alerting
from hitl_vault.engine.codes import can_send, issue_where_wanted
from hitl_vault.engine.complaints import ROUNDS, Complaints, tried
from hitl_vault.engine.parts import Parts
from hitl_vault.engine.recording import Recording
from hitl_vault.errors import Conflict, Refused
from hitl_vault.ports import Filter, Kept, Receipt

_log = logging.getLogger(__name__)
_ROUND_S = 1.0
_SLOW_ROUND_S = 15.0
_AT_ONCE = 500
_UNCLAIMED = timedelta(minutes=1)  # the commit of a claim may come after its lease
_Due: TypeAlias = c.Expire | c.Remind | c.Escalate
Report: TypeAlias = Callable[[c.Finish], Awaitable[Receipt]]
_PENDING = frozenset({Status.PENDING})


class Timers:
    """Runs in every process of a vault; the ledger lets each thing happen once."""

    def __init__(
        self,
        parts: Parts,
        recording: Recording,
        on_change: Callable[[str], None],
        archive: Callable[[], object],
        report: Report,
    ) -> None:
        self._parts, self._recording, self._report = parts, recording, report
        self._on_change, self._archive = on_change, archive
        self._alerting = Alerting(parts)
        self._next_slow = 0.0
        self._codes_are_sent = False
        self._complaints = Complaints(_log, parts.clock.monotonic, **ROUNDS)

    async def run(self) -> None:
        """Tick until cancelled."""
        while True:
            # whatever goes wrong, deadlines must go on being noticed
            await tried(self.tick, self._complaints, "a round of the timers")
            await self._parts.clock.sleep(_ROUND_S)

    async def tick(self) -> None:
        """Do everything that is due now."""
        await self.sweep()
        await self.end_leases()
        await self._recording.look()
        now = self._parts.clock.monotonic()
        if not self._codes_are_sent:
            await self.send_missing_codes()
            self._codes_are_sent = True
        if now >= self._next_slow:
            self._next_slow = now + _SLOW_ROUND_S
            await self.find_dead_executors()
            self._archive()
        await self._alerting.look()

    async def sweep(self) -> int:
        """Submit what is due; return how many requests changed."""
        now = self._parts.clock.now()
        due = Filter(due_before=now + timedelta(microseconds=1), limit=_AT_ONCE, oldest_first=True)
        changed = 0
        for request in await self._parts.ledger.find(due):
            timed = next_due(request)
            if timed is not None:
                receipt = await self._parts.ledger.submit(self._informed(request, timed[1]))
                if receipt.kept is Kept.ACCEPTED:
                    if isinstance(timed[1], c.Escalate) and receipt.request is not None:
                        await issue_where_wanted(self._parts, receipt.request)  # more may answer
                    changed += 1
                    self._on_change(request.id)
        return changed

    def _informed(self, request: Request, due: _Due) -> _Due:
        """Let an escalation say which of those it goes to are nobody on record."""
        if not isinstance(due, c.Escalate):
            return due
        to = request.requirement.escalate[due.number].to
        return replace(due, nobody=self._parts.unheld(to))

    async def send_missing_codes(self) -> None:
        """Send the codes that a process asked for and did not live to send."""
        if can_send(self._parts):
            for request in await self._parts.ledger.find(Filter(statuses=_PENDING)):
                await issue_where_wanted(self._parts, request)

    async def find_dead_executors(self) -> int:
        """Mark as unknown what a dead process was executing; return how many."""
        executing = Filter(statuses=frozenset({Status.EXECUTING}))
        lost = 0
        for request in await self._parts.ledger.find(executing):
            lost += await mark_if_dead(self._parts, request, self._report)
            self._on_change(request.id)
        return lost

    async def end_leases(self) -> int:
        """Mark as unknown what was executing under a lease that has ended; return how many.

        A lease that no claim lives by, for its process was killed between the two, is removed.
        """
        leases, lost = self._parts.presence.leases, 0
        for lease in leases.ended():
            request = await self._parts.ledger.get(lease.id)
            held = request and request.status is Status.EXECUTING and request.claim
            if request and held and held.holder == lease.holder:
                lost += await mark_if_dead(self._parts, request, self._report)
            elif self._parts.clock.now() >= lease.ends_at + _UNCLAIMED:
                leases.drop(lease.holder)
        return lost


async def mark_if_dead(parts: Parts, request: Request, report: Report) -> bool:
    """Record the outcome `unknown` if who holds the request's claim is gone.

    An end that this process was told and could not store yet is recorded instead, by `report`.
    """
    claim = request.claim
    executing = request.status is Status.EXECUTING
    if claim is None or not executing or parts.presence.is_alive(claim.holder):
        return False
    finish = c.Finish(
        id=request.id,
        claim_id=claim.claim_id,
        status=Status.UNKNOWN,
        by="clock",
        error=_how_lost(parts, claim),
    )
    try:
        return (await report(finish)).kept is Kept.ACCEPTED
    except (Conflict, Refused):  # somebody was quicker
        return False


def _how_lost(parts: Parts, claim: Claim) -> str:
    leases = parts.presence.leases
    if not leases.names(claim.holder):
        return f"the process that held the claim for {claim.executor} ended before a report"
    lease = leases.find(claim.holder)
    if lease is None:
        return f"the lease of {claim.executor} is gone, and it did not report"
    return f"{claim.executor} did not report within its lease of {show_duration(lease.seconds)}"
