"""Owns the rules of the register: `record` is the only place that changes it. Never does I/O."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, assert_never

from hitl_vault.core import commands as c
from hitl_vault.core import grants
from hitl_vault.core.events import Event, Kind
from hitl_vault.core.register import (
    REGISTER_ID,
    Grant,
    MissedFactor,
    Register,
    SpentFactor,
    StandingAlert,
)
from hitl_vault.core.steps import Refusal, Why
from hitl_vault.core.voting import person

MAX_GRANTS = 1_000
MAX_MISSED, MISSED_FOR = 20, timedelta(hours=1)
ALERT_STANDS = timedelta(minutes=10)
"""An alert that fired, or ended, stays so for this long: what goes up and down is told calmly."""
_KEEP_ENDED = 100  # grants that can no longer be used, kept for `list`; the chain keeps all


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisterStep:
    """The new register and the events that lead to it; committed together or not at all."""

    register: Register
    events: tuple[Event, ...]


def record(register: Register, command: c.RegisterCommand, now: datetime) -> RegisterStep | Refusal:
    """Judge one command on the register. Pure; `now` is the ledger's time of commit."""
    if register.updated_at is not None:
        now = max(now, register.updated_at)  # a clock set back never reorders the record
    match command:
        case c.RecordPolicy():
            return _policy(register, command, now)
        case c.RecordReviewers():
            return _reviewers(register, command, now)
        case c.MakeGrant():
            return _make(register, command.grant, now)
        case c.UseGrant():
            return _use(register, command, now)
        case c.RevokeGrant():
            return _revoke(register, command, now)
        case c.SpendFactor():
            return _spend(register, command, now)
        case c.MissFactor():
            return _miss(register, command, now)
        case c.RecordAlert():
            return _alert(register, command, now)
        case _:
            assert_never(command)


def is_in_force(grant: Grant, now: datetime) -> bool:
    """True while the grant can be used: not revoked, not over, not used up."""
    return grant.revoked_at is None and now < grant.expires_at and len(grant.used_for) < grant.uses


def _step(
    register: Register, now: datetime, kind: Kind, actor: str, data: dict[str, Any], **changes: Any
) -> RegisterStep:
    new = replace(register, rev=register.rev + 1, updated_at=now, **changes)
    event = Event(kind=kind, request_id=REGISTER_ID, rev=new.rev, at=now, actor=actor, data=data)
    return RegisterStep(register=new, events=(event,))


def _refused(message: str) -> Refusal:
    return Refusal(why=Why.REFUSED, message=message)


def _duplicate(message: str) -> Refusal:
    return Refusal(why=Why.DUPLICATE, message=message)


def _policy(register: Register, command: c.RecordPolicy, now: datetime) -> RegisterStep | Refusal:
    if command.sha256 == register.policy_sha256:
        return _duplicate("this policy is on record")
    data = {
        "policy_sha256": command.sha256,
        "before": register.policy_sha256,
        "changes": list(command.changes),
        "loosens": command.loosens,
        "signed_by": command.signed_by,
    }
    actor = command.signed_by or "the policy file"
    return _step(register, now, Kind.POLICY_CHANGED, actor, data, policy_sha256=command.sha256)


def _reviewers(
    register: Register, command: c.RecordReviewers, now: datetime
) -> RegisterStep | Refusal:
    if command.sha256 == register.reviewers_sha256:
        return _duplicate("these reviewers are on record")
    data = {
        "reviewers_sha256": command.sha256,
        "before": register.reviewers_sha256,
        "changes": list(command.changes),
    }
    return _step(
        register,
        now,
        Kind.REVIEWERS_CHANGED,
        "the reviewers file",
        data,
        reviewers_sha256=command.sha256,
    )


def _make(register: Register, grant: Grant, now: datetime) -> RegisterStep | Refusal:
    if register.grant(grant.grant_id) is not None:
        return _duplicate(f"{grant.grant_id} was made before")
    flaw = grants.flaw(grant)
    if flaw:
        return _refused(flaw)
    if now >= grant.expires_at:
        return _refused("the grant would be over before it begins")
    kept = [known for known in register.grants if is_in_force(known, now)]
    if len(kept) >= MAX_GRANTS:
        return _refused(f"there are {MAX_GRANTS:,} grants in force; revoke some first")
    ended = [known for known in register.grants if not is_in_force(known, now)][-_KEEP_ENDED:]
    data = {
        "grant_id": grant.grant_id,
        "type": grant.type,
        "requested_by": grant.requested_by,
        "bounds": [
            [bound.path, bound.equals, bound.at_most, bound.anything] for bound in grant.bounds
        ],
        "uses": grant.uses,
        "expires_at": grant.expires_at.isoformat(),
        "assurance": grant.assurance.value,
        "from_request": grant.from_request,
        "reason": grant.reason,
    }
    new = replace(grant, made_at=now, used_for=(), revoked_at=None, revoked_by="")
    return _step(register, now, Kind.GRANTED, grant.by, data, grants=(*ended, *kept, new))


def _use(register: Register, use: c.UseGrant, now: datetime) -> RegisterStep | Refusal:
    grant = register.grant(use.grant_id)
    if grant is None:
        return Refusal(why=Why.NOT_FOUND, message=f"there is no grant {use.grant_id}")
    if use.request_id in grant.used_for:
        return _duplicate(f"{use.grant_id} was used for {use.request_id}")
    if any(use.request_id in other.used_for for other in register.grants):
        return _refused(f"another grant was used for {use.request_id}")
    if not grants.is_within(grant, use.limit, now):
        return _refused(f"{use.grant_id} is revoked, over or used up")
    data = {
        "grant_id": use.grant_id,
        "request_id": use.request_id,
        "left": grant.uses - len(grant.used_for) - 1,
    }
    used = replace(grant, used_for=(*grant.used_for, use.request_id))
    return _step(register, now, Kind.GRANT_USED, grant.by, data, grants=_with(register, used))


def _revoke(register: Register, revoke: c.RevokeGrant, now: datetime) -> RegisterStep | Refusal:
    grant = register.grant(revoke.grant_id)
    if grant is None:
        return Refusal(why=Why.NOT_FOUND, message=f"there is no grant {revoke.grant_id}")
    if grant.revoked_at is not None:
        return _duplicate(f"{revoke.grant_id} is revoked already")
    if not person(revoke.by):
        return _refused("say who takes the grant back")
    revoked = replace(grant, revoked_at=now, revoked_by=revoke.by)
    data = {"grant_id": revoke.grant_id, "reason": revoke.reason}
    return _step(
        register, now, Kind.GRANT_REVOKED, revoke.by, data, grants=_with(register, revoked)
    )


def _with(register: Register, changed: Grant) -> tuple[Grant, ...]:
    return tuple(
        changed if grant.grant_id == changed.grant_id else grant for grant in register.grants
    )


def guessing(register: Register, reviewer: str, now: datetime) -> str:
    """Return why no code of this reviewer's second factor counts now, "" if one may.

    Counted over all requests: tries for each of them alone would be as many as there are requests.
    """
    known = _missed(register, reviewer, now)
    if known is None or known.count < MAX_MISSED:
        return ""
    return (
        f"{MAX_MISSED} codes in this name were wrong within an hour; none counts until "
        f"{known.since + MISSED_FOR:%H:%M} UTC, answer in another way"
    )


def _missed(register: Register, reviewer: str, now: datetime) -> MissedFactor | None:
    name = person(reviewer)
    return next(
        (
            item
            for item in register.missed_factors
            if item.reviewer == name and now < item.since + MISSED_FOR
        ),
        None,
    )


def _miss(register: Register, miss: c.MissFactor, now: datetime) -> RegisterStep | Refusal:
    name, known = person(miss.reviewer), _missed(register, miss.reviewer, now)
    if known is not None and known.count >= MAX_MISSED:
        return _duplicate("more wrong codes prove nothing new")
    new = MissedFactor(reviewer=name, since=now, count=1)
    if known is not None:
        new = replace(known, count=known.count + 1)
    others = (
        item
        for item in register.missed_factors
        if item.reviewer != name and now < item.since + MISSED_FOR
    )
    data = {"count": new.count}
    return _step(
        register, now, Kind.FACTOR_MISSED, miss.reviewer, data, missed_factors=(*others, new)
    )


def _spend(register: Register, spend: c.SpendFactor, now: datetime) -> RegisterStep | Refusal:
    name = person(spend.reviewer)
    known = next((item for item in register.spent_factors if item.reviewer == name), None)
    if known is not None and known.step == spend.step and known.use_id == spend.use_id:
        return _duplicate("this code was given for this answer before")
    if known is not None and spend.step <= known.step:
        return _refused("this code was used before; wait for the next one")
    if problem := guessing(register, spend.reviewer, now):
        return _refused(problem)
    others = tuple(item for item in register.spent_factors if item.reviewer != name)
    spent = SpentFactor(reviewer=name, step=spend.step, use_id=spend.use_id)
    data = {"step": spend.step, "use_id": spend.use_id}
    return _step(
        register, now, Kind.FACTOR_SPENT, spend.reviewer, data, spent_factors=(*others, spent)
    )


def _alert(register: Register, alert: c.RecordAlert, now: datetime) -> RegisterStep | Refusal:
    known = register.alert(alert.name)
    if (known is not None and known.fires) == alert.fires:
        return _duplicate(f"{alert.name} {'fires' if alert.fires else 'does not fire'} already")
    if known is not None and now < known.since + ALERT_STANDS:
        return _refused(f"{alert.name} changed less than {ALERT_STANDS} ago")
    data = {
        "name": alert.name,
        "message": alert.message,
        "value": alert.value,
        "threshold": alert.threshold,
    }
    if known is not None and not alert.fires:
        data["since"] = known.since.isoformat()
    kind = Kind.ALERT_FIRED if alert.fires else Kind.ALERT_ENDED
    others = tuple(other for other in register.alerts if other.name != alert.name)
    new = StandingAlert(name=alert.name, fires=alert.fires, since=now)
    return _step(register, now, kind, "clock", data, alerts=(*others, new))
