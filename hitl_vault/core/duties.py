"""Owns the duties to tell: who is told of which event, which way, and when. Never tells anybody.

A duty follows from an event of the ledger, the request as it stands, the people on record and the
ways that are set up. The same event gives the same ids each time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from hitl_vault.core.events import OF_THE_REGISTER, Kind, Recorded
from hitl_vault.core.hours import Quiet
from hitl_vault.core.model import Request, Risk, Status
from hitl_vault.core.people import MAX_CHAIN, People, Reviewer
from hitl_vault.core.redaction import Redaction
from hitl_vault.core.voting import person, tally

CALLS = frozenset(
    {
        Kind.REQUESTED,
        Kind.VOTED,  # where the vote opens the next stage
        Kind.EDITED,
        Kind.REMINDED,
        Kind.ESCALATED,
        Kind.CODE_ISSUED,
    }
)
"""The events that call on people to answer."""

DEFAULT_EVENTS = CALLS | {Kind.EXPIRED, Kind.LOST}
"""What people are told of where the set-up does not say."""

ALERTS = frozenset({Kind.ALERT_FIRED, Kind.ALERT_ENDED})
"""What is told besides where a way is for no particular people."""

OF_REQUESTS = frozenset(Kind) - OF_THE_REGISTER

OLD = timedelta(days=7)
"""What ended longer ago than this is history: nobody is told of it late."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way to tell people, and what it is for.

    `people` true: each person is told at their own addresses. `complete` true: told of every event,
    also of what no longer calls on anybody; for programs. `urgent` is the risk from which neither
    `digest_s` nor `quiet` holds a message back. `redaction` is what its messages do not show.
    """

    name: str
    events: frozenset[Kind] = DEFAULT_EVENTS
    risk: Risk = Risk.LOW
    to: tuple[str, ...] = ()
    people: bool = False
    complete: bool = False
    digest_s: float = 0.0
    quiet: Quiet | None = None
    urgent: Risk = Risk.CRITICAL
    tries: int = 20
    redaction: Redaction = field(default_factory=Redaction)


@dataclass(frozen=True, slots=True, kw_only=True)
class Duty:
    """One event to tell one target: a way, and for personal ways the person's name.

    `gathered` duties of one target that are due together are one message.
    """

    id: str
    seq: int
    way: str
    person: str
    request_id: str
    kind: Kind
    urgent: bool
    gathered: bool
    due_at: datetime


def duties(
    recorded: Recorded,
    request: Request | None,
    ways: Iterable[Way],
    people: People,
    *,
    vault_id: str,
    now: datetime,
) -> list[Duty]:
    """Return what must be told because of one event. `request` is as it stands, None for events of
    the vault as a whole.
    """
    found: list[Duty] = []
    for way in ways:
        if not _is_for(way, recorded, request, now):
            continue
        told = _told(recorded, request, people, now)
        wanted = told if not way.to else [one for one in told if _is_among(one, way.to, people)]
        if way.people:
            targets = [one.name for one in wanted if one.notify]
        elif recorded.event.kind is Kind.CODE_ISSUED and not way.complete:
            targets = []  # a code is for one person's eyes
        else:
            targets = [""] if wanted or not way.to or _names(request, way.to) else []
        found += [
            _duty(recorded, request, way, target, vault_id=vault_id, now=now) for target in targets
        ]
    return found


def is_wanted(kind: Kind, request: Request | None, way: Way) -> bool:
    """True unless the event called on people to answer what no longer waits."""
    return (
        way.complete
        or kind not in CALLS
        or (request is not None and request.status is Status.PENDING)
    )


def held_until(duty: Duty, request: Request | None, way: Way, now: datetime) -> datetime | None:
    """Return until when quiet hours hold a message back, None to send it now."""
    if way.quiet is None or duty.urgent or duty.kind is Kind.CODE_ISSUED:
        return None
    until = way.quiet.until(now)
    return None if until is None or _ends_before(request, until) else until


def who_must_answer(request: Request, people: People, now: datetime) -> list[Reviewer]:
    """Return who may answer the open stage now and has not: stand-ins for those who are away.

    People named in the policy who are not on record are returned with their name alone.
    """
    if request.status is not Status.PENDING:
        return []
    stage = request.requirement.stages[tally(request).stage]
    barred = {person(request.action.requested_by), person(request.action.agent)} | {
        person(vote.reviewer)
        for vote in request.votes
        if vote.payload_sha256 == request.payload_in_force and vote.stage >= 0
    }
    named = _named(stage.approvers, people) if stage.approvers else people.reviewers.values()
    present = [_present(one, people, now) for one in named if person(one.name) not in barred]
    return [one for one in _once(present) if person(one.name) not in barred]


def _told(
    recorded: Recorded, request: Request | None, people: People, now: datetime
) -> list[Reviewer]:
    if request is None:
        everybody = people.reviewers.values() if recorded.event.kind in ALERTS else ()
        return _once([_present(one, people, now) for one in everybody])
    if recorded.event.kind is Kind.CODE_ISSUED:
        return _named([str(recorded.event.data.get("reviewer", ""))], people)
    if recorded.event.kind in CALLS:
        return who_must_answer(request, people, now)
    stages = [name for stage in request.requirement.stages for name in stage.approvers]
    named = _named([*stages, *request.reviewers], people)
    return _once([_present(one, people, now) for one in named or people.reviewers.values()])


def _named(names: Iterable[str], people: People) -> list[Reviewer]:
    return _once([one for name in names for one in people.holders(name) or [Reviewer(name=name)]])


def _present(one: Reviewer, people: People, now: datetime) -> Reviewer:
    """Return who answers for this person now: themselves, or at the end of the chain of stand-ins.

    Where the chain leads nowhere, it is the person: better told away than nobody told.
    """
    found = one
    for _ in range(MAX_CHAIN):
        to = found.stand_in(now)
        if not to:
            return found
        stands_in = people.find(to)
        if stands_in is None:
            return one  # who has left stands in no more
        found = stands_in
    return one if found.stand_in(now) else found


def _once(found: Iterable[Reviewer]) -> list[Reviewer]:
    return list({person(one.name): one for one in found}.values())


def _is_among(one: Reviewer, names: Sequence[str], people: People) -> bool:
    wanted = {person(name) for name in names}
    held = {person(role) for role in people.roles_of(one.name)}
    return person(one.name) in wanted or not wanted.isdisjoint(held)


def _names(request: Request | None, names: Sequence[str]) -> bool:
    """True if the request waits for one of these as the policy names them."""
    if request is None:
        return True
    stages = request.requirement.stages
    open_ones = [stages[tally(request).stage]] if request.status is Status.PENDING else list(stages)
    waits_for = {person(name) for stage in open_ones for name in stage.approvers}
    return not waits_for.isdisjoint({person(name) for name in names})


def _is_for(way: Way, recorded: Recorded, request: Request | None, now: datetime) -> bool:
    event = recorded.event
    if event.kind not in way.events or (request is None and event.kind not in OF_THE_REGISTER):
        return False
    if request is not None and request.verdict.risk.rank < way.risk.rank:
        return False
    if way.complete:
        return True
    if not is_wanted(event.kind, request, way) or (
        event.kind not in CALLS and now - event.at > OLD
    ):
        return False
    return event.kind is not Kind.VOTED or opens_a_stage(recorded, request)


def opens_a_stage(recorded: Recorded, request: Request | None) -> bool:
    """True for a vote after which other people must answer."""
    stage = recorded.event.data.get("stage")
    return request is not None and isinstance(stage, int) and 0 <= stage < tally(request).stage


def _duty(
    recorded: Recorded,
    request: Request | None,
    way: Way,
    target: str,
    *,
    vault_id: str,
    now: datetime,
) -> Duty:
    event = recorded.event
    due_at = _next(now, way.digest_s) if way.digest_s else now
    urgent = (
        event.kind is Kind.CODE_ISSUED
        or (request is not None and request.verdict.risk.rank >= way.urgent.rank)
        or _ends_before(request, due_at)
    )
    whom = f"-{hashlib.sha256(person(target).encode()).hexdigest()[:12]}" if target else ""
    return Duty(
        id=f"{vault_id}-{recorded.seq}-{way.name}{whom}",
        seq=recorded.seq,
        way=way.name,
        person=target,
        request_id=event.request_id,
        kind=event.kind,
        urgent=urgent,
        gathered=bool(way.digest_s) and not urgent,
        due_at=now if urgent else due_at,
    )


def _next(now: datetime, every_s: float) -> datetime:
    """Return the next full multiple of so many seconds, the same for every process."""
    return datetime.fromtimestamp((now.timestamp() // every_s + 1) * every_s, UTC)


def _ends_before(request: Request | None, at: datetime) -> bool:
    """True if the request would be over before somebody is told of it."""
    return request is not None and request.status is Status.PENDING and request.expires_at <= at
