"""Owns the rules of an execution: one claim, one end, and a person for an end nobody knows.

Never runs anything. `lifecycle.apply` calls it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from hitl_vault.core import commands as c
from hitl_vault.core import steps
from hitl_vault.core.events import Kind
from hitl_vault.core.model import Claim, Outcome, Request, Status
from hitl_vault.core.steps import TRANSITIONS, Refusal, Step, Why

_ENDINGS = {
    Status.EXECUTED: Kind.EXECUTED,
    Status.FAILED: Kind.FAILED,
    Status.UNKNOWN: Kind.LOST,
}


def claim(request: Request, claim: c.Claim, now: datetime) -> Step | Refusal:
    """Judge who wants to execute: once, what was approved, and unless it is forbidden by now."""
    held = request.claim
    if held is not None and held.claim_id == claim.claim_id and request.status is Status.EXECUTING:
        return steps.duplicate(f"{claim.claim_id} holds the claim already")
    if request.status is Status.PENDING:
        return steps.refused(f"{request.id} is not approved yet")
    if request.status is not Status.APPROVED:
        return steps.conflict(request)
    if claim.payload_sha256 != request.payload_in_force:
        return Refusal(
            why=Why.STALE, message="what would run is not what was approved; nothing may run"
        )
    if claim.denied_by:
        return steps.refused(
            f"the policy forbids it now ({claim.denied_by}); the approval does not count"
        )
    taken = Claim(
        claim_id=claim.claim_id,
        executor=claim.executor,
        holder=claim.holder,
        at=now,
        payload_sha256=claim.payload_sha256,
    )
    data = {"claim_id": claim.claim_id, "payload_sha256": claim.payload_sha256}
    return steps.step(
        request, now, [(Kind.CLAIMED, claim.executor, data)], status=Status.EXECUTING, claim=taken
    )


def finish(request: Request, finish: c.Finish, now: datetime) -> Step | Refusal:
    """Judge the report of how an execution ended: its holder's alone counts."""
    if finish.status not in _ENDINGS:
        return steps.refused(f"an execution ends executed, failed or unknown, not {finish.status}")
    held = request.claim
    if held is None or held.claim_id != finish.claim_id:
        if request.status is Status.EXECUTING:
            return steps.refused(
                "somebody else holds the claim; only its holder reports how it ended"
            )
        if request.status in {Status.PENDING, Status.APPROVED}:
            return Refusal(
                why=Why.CONFLICT,
                message=f"{request.id} is {request.status}, and nobody has claimed it: only what "
                "was claimed and run has an end to report",
            )
        return steps.conflict(request)
    if request.status is finish.status:
        return steps.duplicate(f"{request.id} is already {request.status}")
    if finish.status not in TRANSITIONS[request.status]:
        return steps.conflict(request)
    return _end(
        request, now, _ENDINGS[finish.status], finish.status, finish.by, finish.result, finish.error
    )


def _end(
    request: Request, now: datetime, kind: Kind, status: Status, by: str, result: Any, error: str
) -> Step:
    outcome = Outcome(status=status, at=now, by=by, result=result, error=error)
    data = {"status": status.value, "result": result, "error": error}
    return steps.step(request, now, [(kind, by, data)], status=status, outcome=outcome)


def resolve(request: Request, resolve: c.Resolve, now: datetime) -> Step | Refusal:
    """Judge what a person says of an end that is not known."""
    if resolve.status not in (Status.EXECUTED, Status.FAILED):
        return steps.refused(f"resolve to executed or failed, not {resolve.status}")
    if request.status is resolve.status:
        return steps.duplicate(f"{request.id} is already {request.status}")
    if request.status is Status.EXECUTING:
        return steps.refused(
            f"{request.id} is still executing; its executor is alive and will report"
        )
    if request.status is not Status.UNKNOWN:
        return steps.conflict(request)
    return _end(request, now, Kind.RESOLVED, resolve.status, resolve.by, None, resolve.reason)
