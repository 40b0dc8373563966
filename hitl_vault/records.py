"""Owns how requests, events and grants are written as JSON, for every way out. Shortens nothing."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from hitl_vault.core.chain import Break, Head
from hitl_vault.core.lifecycle import is_overdue
from hitl_vault.core.model import Request, Status
from hitl_vault.core.registering import is_in_force

if TYPE_CHECKING:
    from hitl_vault.core.events import Recorded
    from hitl_vault.core.register import Grant
    from hitl_vault.engine.alerts import Alert


def standing(request: Request, now: datetime | None = None) -> Status:
    """Return where a request stands now, a passed deadline included."""
    overdue = is_overdue(request, now or datetime.now(UTC))
    return Status.EXPIRED if overdue else request.status


def request_record(request: Request) -> dict[str, Any]:
    """Return a request as JSON values. `details` and `payload_sha256` are those in force."""
    plain: dict[str, Any] = msgspec.to_builtins(request)
    action, verdict = plain["action"], plain["verdict"]
    record = {
        "id": request.id,
        "rev": request.rev,
        "status": standing(request).value,
        "type": action["type"],
        "description": action["description"],
        "details": request.details,
        "payload_sha256": request.payload_in_force,
        "requested_by": action["requested_by"],
        "agent": action["agent"],
        "run_id": action["run_id"],
        "key": request.key,
        "traceparent": request.trace.traceparent if request.trace else "",
        "tracestate": request.trace.tracestate if request.trace else "",
        "risk": verdict["risk"],
        "summary": verdict["summary"],
        "rules": verdict["rules"],
        "reasons": verdict["reasons"],
        "requirement": verdict["requirement"],
        "policy_sha256": verdict["policy_sha256"],
        "reviewers": list(request.reviewers),
    }
    for name in (
        "created_at",
        "updated_at",
        "expires_at",
        "use_by",
        "decided_at",
        "reason",
        "votes",
        "edited",
        "claim",
        "outcome",
        "comments",
        "reminded",
        "escalated",
    ):
        record[name] = plain[name]
    if request.edited is not None:
        record["requested_details"] = action["details"]
    return record


def grant_record(grant: Grant, now: datetime) -> dict[str, Any]:
    """Return a grant as JSON values; a bound has one of `equals`, `at_most` and `anything`."""
    plain: dict[str, Any] = msgspec.to_builtins(grant)
    bounds = [
        {"path": bound.path, "equals": json.loads(bound.equals)}
        if bound.equals is not None
        else {"path": bound.path, "at_most": bound.at_most}
        if bound.at_most is not None
        else {"path": bound.path, "anything": True}
        for bound in grant.bounds
    ]
    left = grant.uses - len(grant.used_for)
    return {"id": plain.pop("grant_id"), "in_force": is_in_force(grant, now), "left": left} | (
        plain | {"bounds": bounds, "used_for": list(grant.used_for)}
    )


def event_record(recorded: Recorded) -> dict[str, Any]:
    """Return an event as JSON values."""
    event = recorded.event
    return {
        "seq": recorded.seq,
        "at": msgspec.to_builtins(event.at),
        "id": event.request_id,
        "rev": event.rev,
        "kind": event.kind.value,
        "actor": event.actor,
        "data": event.data,
        "hash": recorded.hash,
    }


def alert_record(alert: Alert) -> dict[str, Any]:
    """Return an alert as JSON values; `since` is when it began to fire, null if it just did."""
    return asdict(alert) | {"since": None if alert.since is None else alert.since.isoformat()}


def chain_record(found: Head | Break, vault_id: str) -> dict[str, Any]:
    """Return what proving the chain has found as JSON values."""
    if isinstance(found, Break):
        return {"ok": False, "vault": vault_id, "seq": found.seq, "problem": found.problem}
    return {"ok": True, "vault": vault_id, "events": found.seq, "head": found.hash}


def as_json(value: Any, *, indent: int | None = 2) -> str:
    """Return ASCII JSON: no terminal and no log can be tricked by what it holds."""
    return json.dumps(value, indent=indent, ensure_ascii=True).replace("\x7f", "\\u007f")
