"""Owns what a judged command becomes: a step along the table of moves, or a refusal. Never judges.

`lifecycle.apply` is the only place that takes a step.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from hitl_vault.core.events import Event, Kind
from hitl_vault.core.model import Request, Status

TRANSITIONS: dict[Status, frozenset[Status]] = {
    Status.PENDING: frozenset({Status.APPROVED, Status.REJECTED, Status.EXPIRED, Status.CANCELLED}),
    Status.APPROVED: frozenset({Status.EXECUTING, Status.EXPIRED, Status.CANCELLED}),
    Status.EXECUTING: frozenset({Status.EXECUTED, Status.FAILED, Status.UNKNOWN}),
    Status.UNKNOWN: frozenset({Status.EXECUTED, Status.FAILED}),
    Status.REJECTED: frozenset(),
    Status.EXPIRED: frozenset(),
    Status.CANCELLED: frozenset(),
    Status.EXECUTED: frozenset(),
    Status.FAILED: frozenset(),
}
"""Every legal move. The diagram in docs/architecture.md is generated from this table."""


class Why(StrEnum):
    """Why a command was not accepted."""

    DUPLICATE = "duplicate"  # already so; nothing to do
    CONFLICT = "conflict"  # contradicts what is recorded
    STALE = "stale"  # made for a payload that is no longer the one in force
    REFUSED = "refused"  # a rule says no
    UNPROVED = "unproved"  # what should prove it does not, at the time of commit
    NOT_FOUND = "not_found"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """The new request and the events that lead to it; committed together or not at all."""

    request: Request
    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """The command is not accepted.

    `step`, where present, is committed all the same: a deadline passed before the command came, or
    the refusal itself goes on record.
    """

    why: Why
    message: str
    step: Step | None = None


def step(
    request: Request, now: datetime, facts: list[tuple[Kind, str, dict[str, Any]]], **changes: Any
) -> Step:
    """Return the next revision with these fields changed and its facts as events.

    A move that TRANSITIONS does not have is an error of ours.
    """
    after = changes.get("status", request.status)
    if after is not request.status and after not in TRANSITIONS[request.status]:
        raise AssertionError(f"{request.status} -> {after} is not a legal move")
    new = replace(request, rev=request.rev + 1, updated_at=now, **changes)
    return Step(request=new, events=events(new, now, facts))


def events(
    request: Request, now: datetime, facts: list[tuple[Kind, str, dict[str, Any]]]
) -> tuple[Event, ...]:
    """Return facts, each a kind, an actor and its data, as events of this revision."""
    return tuple(
        Event(kind=kind, request_id=request.id, rev=request.rev, at=now, actor=actor, data=data)
        for kind, actor, data in facts
    )


def conflict(request: Request) -> Refusal:
    """Refuse what contradicts where the request stands."""
    message = f"{request.id} is already {request.status}"
    if request.status is Status.UNKNOWN:
        message = f"how {request.id} ended is not known; {resolving(request.id)}"
    return Refusal(why=Why.CONFLICT, message=message)


def resolving(id: str) -> str:
    """Return the command that records an end only a person can find out."""
    return f"see what happened, then: hitl resolve {id} executed|failed"


def duplicate(message: str) -> Refusal:
    """Refuse what is so already."""
    return Refusal(why=Why.DUPLICATE, message=message)


def refused(message: str) -> Refusal:
    """Refuse what a rule forbids."""
    return Refusal(why=Why.REFUSED, message=message)
