"""Owns how requests, events, verdicts and grants are written as JSON for every way out, and read
back. Shortens nothing.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from hitl_vault.core.chain import Break, Head, decoder_of
from hitl_vault.core.events import Event, Recorded
from hitl_vault.core.lifecycle import is_overdue
from hitl_vault.core.model import Request, Status, Verdict
from hitl_vault.core.registering import is_in_force
from hitl_vault.core.tracing import trace_of

if TYPE_CHECKING:
    from hitl_vault.core.register import Grant
    from hitl_vault.engine.alerts import Alert

_T = TypeVar("_T")
_OF_THE_ACTION = ("type", "description", "requested_by", "agent", "run_id")
_OF_THE_VERDICT = (
    "effect",
    "rules",
    "reasons",
    "risk",
    "requirement",
    "policy_sha256",
    "summary",
)


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
        "effect": verdict["effect"],
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
        "refused",
    ):
        record[name] = plain[name]
    if request.edited is not None:
        record["requested_details"] = action["details"]
        record["requested_payload_sha256"] = request.payload_sha256
    return record


def request_of(record: dict[str, Any]) -> Request:
    """Return the request that `request_record` wrote.

    Codes and spent proofs are not written, so they are missing; a deadline that had passed when it
    was written reads as `expired`. Fields this version does not know are left out.

    Raises:
        ValueError: It is not the record of a request.
    """
    try:
        action = {name: record[name] for name in _OF_THE_ACTION}
        action["details"] = record.get("requested_details", record["details"])
        digest = record.get("requested_payload_sha256", record["payload_sha256"])
        verdict = {name: record[name] for name in _OF_THE_VERDICT}
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"it is not the record of a request: {error!r}") from error
    trace = trace_of(str(record.get("traceparent", "")), str(record.get("tracestate", "")))
    parts = {"action": action, "verdict": verdict, "payload_sha256": digest, "trace": trace}
    return _read(Request, record | parts)


def verdict_record(verdict: Verdict) -> dict[str, Any]:
    """Return a verdict as JSON values."""
    plain: dict[str, Any] = msgspec.to_builtins(verdict)
    return plain


def verdict_of(record: dict[str, Any]) -> Verdict:
    """Return the verdict that `verdict_record` wrote. Raises ValueError if it is none."""
    return _read(Verdict, record)


def _read(type: type[_T], plain: dict[str, Any]) -> _T:
    return decoder_of(type).decode(msgspec.json.encode(plain))


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


def recorded_of(record: dict[str, Any]) -> Recorded:
    """Return the event that `event_record` wrote. Raises ValueError if it is none."""
    try:
        event = _read(Event, record | {"request_id": record["id"]})
        return Recorded(seq=int(record["seq"]), hash=str(record["hash"]), event=event)
    except (KeyError, TypeError) as error:
        raise ValueError(f"it is not the record of an event: {error!r}") from error


def chain_record(found: Head | Break, vault_id: str) -> dict[str, Any]:
    """Return what proving the chain has found as JSON values."""
    if isinstance(found, Break):
        return {"ok": False, "vault": vault_id, "seq": found.seq, "problem": found.problem}
    return {"ok": True, "vault": vault_id, "events": found.seq, "head": found.hash}


def chain_of(record: dict[str, Any]) -> Head | Break:
    """Return what `chain_record` wrote. Raises ValueError if it is none."""
    try:
        if record["ok"]:
            return Head(seq=int(record["events"]), hash=str(record["head"]))
        return Break(seq=int(record["seq"]), problem=str(record["problem"]))
    except (KeyError, TypeError) as error:
        raise ValueError(f"it is no result of a proof: {error!r}") from error


def as_json(value: Any, *, indent: int | None = 2) -> str:
    """Return ASCII JSON: no terminal and no log can be tricked by what it holds."""
    return json.dumps(value, indent=indent, ensure_ascii=True).replace("\x7f", "\\u007f")
