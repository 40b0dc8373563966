"""Owns the rules of an approval: `apply` is the only place that sets a status. Never does I/O.

`apply(request, command, now)` is pure: same arguments, same answer, on every engine.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from hitl_vault.core import codes, voting
from hitl_vault.core import commands as c
from hitl_vault.core.events import Event, Kind
from hitl_vault.core.model import (
    Answer,
    Claim,
    Comment,
    Effect,
    Outcome,
    Request,
    Status,
    is_valid_id,
)

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

MAX_COMMENTS, MAX_COMMENT_CHARS = 200, 10_000  # they are stored with every later state
MAX_REFUSED = 100  # of one request; more of them prove nothing new and would fill the disk
_ENDINGS = {
    Status.EXECUTED: Kind.EXECUTED,
    Status.FAILED: Kind.FAILED,
    Status.UNKNOWN: Kind.LOST,
}


class Why(StrEnum):
    """Why a command was not accepted."""

    DUPLICATE = "duplicate"  # already so; nothing to do
    CONFLICT = "conflict"  # contradicts what is recorded
    STALE = "stale"  # made for a payload that is no longer the one in force
    REFUSED = "refused"  # a rule says no
    NOT_FOUND = "not_found"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """The new request and the events that lead to it; committed together or not at all."""

    request: Request
    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """The command is not accepted.

    `step`, where present, is committed all the same: a deadline passed before the command came.
    """

    why: Why
    message: str
    step: Step | None = None


def apply(request: Request | None, command: c.Command, now: datetime) -> Step | Refusal:
    """Judge one command.

    Args:
        request: The request as it stands, None if there is none.
        command: What somebody wants.
        now: The ledger's time of commit, aware UTC.

    Guarantees:
        Pure. Never moves a request out of a terminal status; every step moves along TRANSITIONS.
        A deadline counts from `now >= deadline`, whether or not anybody noticed it before.
    """
    if isinstance(command, c.Ask):
        return _ask(request, command, now)
    if request is None:
        return Refusal(why=Why.NOT_FOUND, message=f"there is no request {command.id}")
    now = max(now, request.updated_at)  # a clock set back never reorders the record
    overdue = is_overdue(request, now)
    if isinstance(command, c.Expire) or (overdue and isinstance(command, c.Remind | c.Escalate)):
        return _expire(request, now)  # after a long sleep, a timer's overdue reminder finds the end
    if overdue and not isinstance(command, c.Comment | c.Refuse):
        step = _expired(request, now)
        refusal = _judge(step.request, command, now)
        assert isinstance(refusal, Refusal), "nothing but a remark follows an expiry"
        return replace(refusal, step=step)
    return _judge(request, command, now)


def _judge(request: Request, command: c.Command, now: datetime) -> Step | Refusal:
    match command:
        case c.Vote():
            return _vote(request, command, now)
        case c.Cancel():
            return _cancel(request, command, now)
        case c.Claim():
            return _claim(request, command, now)
        case c.Finish():
            return _finish(request, command, now)
        case c.Resolve():
            return _resolve(request, command, now)
        case _:
            return _note(request, command, now)


def _note(request: Request, command: c.Command, now: datetime) -> Step | Refusal:
    """Judge what decides nothing."""
    match command:
        case c.Remind():
            return _remind(request, command, now)
        case c.Escalate():
            return _escalate(request, command, now)
        case c.Comment():
            return _comment(request, command, now)
        case c.IssueCode():
            return _issue_code(request, command, now)
        case c.Refuse():
            return _refuse(request, command, now)
        case _:
            raise AssertionError(f"{type(command).__name__} is judged elsewhere")


def deadline(request: Request) -> datetime | None:
    """Return when the request expires by itself, None where it cannot."""
    if request.status is Status.PENDING:
        return request.expires_at
    if request.status is Status.APPROVED:
        return request.use_by
    return None


def is_overdue(request: Request, now: datetime) -> bool:
    """True if a deadline has passed and is not recorded yet."""
    due = deadline(request)
    return due is not None and now >= due


def next_due(request: Request) -> tuple[datetime, c.Expire | c.Remind | c.Escalate] | None:
    """Return the next thing time alone will bring, and when; None if nothing."""
    due = deadline(request)
    if due is None:
        return None
    timed: list[tuple[datetime, c.Expire | c.Remind | c.Escalate]] = [
        (due, c.Expire(id=request.id))
    ]
    if request.status is Status.PENDING:
        need, asked = request.requirement, request.created_at
        if request.escalated < len(need.escalate):
            at = asked + timedelta(seconds=need.escalate[request.escalated].after_s)
            timed.append((at, c.Escalate(id=request.id, number=request.escalated)))
        if request.reminded < len(need.remind_s):
            at = asked + timedelta(seconds=need.remind_s[request.reminded])
            timed.append((at, c.Remind(id=request.id, number=request.reminded)))
    return min(timed, key=lambda item: item[0])


def _step(
    request: Request, now: datetime, facts: list[tuple[Kind, str, dict[str, Any]]], **changes: Any
) -> Step:
    after = changes.get("status", request.status)
    if after is not request.status and after not in TRANSITIONS[request.status]:
        raise AssertionError(f"{request.status} -> {after} is not a legal move")
    new = replace(request, rev=request.rev + 1, updated_at=now, **changes)
    return Step(request=new, events=_events(new, now, facts))


def _events(
    request: Request, now: datetime, facts: list[tuple[Kind, str, dict[str, Any]]]
) -> tuple[Event, ...]:
    return tuple(
        Event(kind=kind, request_id=request.id, rev=request.rev, at=now, actor=actor, data=data)
        for kind, actor, data in facts
    )


def _conflict(request: Request) -> Refusal:
    return Refusal(why=Why.CONFLICT, message=f"{request.id} is already {request.status}")


def _duplicate(message: str) -> Refusal:
    return Refusal(why=Why.DUPLICATE, message=message)


def _refused(message: str) -> Refusal:
    return Refusal(why=Why.REFUSED, message=message)


def _ask(request: Request | None, ask: c.Ask, now: datetime) -> Step | Refusal:
    if request is not None:
        if ask.key is not None and request.key != ask.key:
            return Refusal(
                why=Why.CONFLICT,
                message=f"the id {request.id} was used without the key {ask.key!r}",
            )
        if request.payload_sha256 == ask.payload_sha256:
            return _duplicate(f"{request.id} was asked before")
        same = (
            f"the key {ask.key!r}" if ask.key and request.key == ask.key else f"the id {request.id}"
        )
        return Refusal(
            why=Why.CONFLICT,
            message=f"{same} was used for another action; use a new one for a new action",
        )
    need = ask.verdict.requirement
    if not is_valid_id(ask.id):
        return _refused(f"{ask.id[:120]!r} cannot be an id")
    if ask.verdict.effect is Effect.DENY:
        return _refused(f"the policy forbids this: {ask.verdict.reason}")
    if not voting.is_sound(need):
        return _refused(
            "the policy's requirement cannot be met: no stage, quorum or time to answer"
        )
    new = Request(
        id=ask.id,
        rev=1,
        status=Status.PENDING,
        action=ask.action,
        payload_sha256=ask.payload_sha256,
        verdict=ask.verdict,
        created_at=now,
        updated_at=now,
        expires_at=now + timedelta(seconds=need.timeout_s),
        key=ask.key,
    )
    data = {
        "payload_sha256": ask.payload_sha256,
        "type": ask.action.type,
        "rules": list(ask.verdict.rules),
        "policy_sha256": ask.verdict.policy_sha256,
        "expires_at": new.expires_at.isoformat(),
    }
    return Step(
        request=new, events=_events(new, now, [(Kind.REQUESTED, ask.action.requested_by, data)])
    )


def _vote(request: Request, vote: c.Vote, now: datetime) -> Step | Refusal:
    refusal = _unfit(request, vote, now)
    if refusal is not None:
        return refusal
    changes = voting.count(request, vote, now)
    if vote.code_id:
        changes["codes"] = codes.spent(request, vote.code_id)
    if vote.proof_id:
        changes["spent_proofs"] = (*request.spent_proofs, vote.proof_id)
    counted: Request = replace(request, **changes)
    facts = _facts(counted, vote)
    verdict = voting.tally(counted).decided
    if verdict is None:
        return _step(request, now, facts, **changes)
    changes |= {"status": verdict, "decided_at": now, "reason": vote.reason}
    ending: dict[str, Any] = {"payload_sha256": counted.payload_in_force}
    if verdict is Status.APPROVED:
        changes["use_by"] = now + timedelta(seconds=counted.requirement.use_within_s)
        ending["use_by"] = changes["use_by"].isoformat()
    kind = Kind.APPROVED if verdict is Status.APPROVED else Kind.REJECTED
    return _step(request, now, [*facts, (kind, vote.reviewer, ending)], **changes)


def _unfit(request: Request, vote: c.Vote, now: datetime) -> Refusal | None:
    if request.status is not Status.PENDING:
        return _late(request, vote)
    if voting.is_repeat(request, vote):
        spent = voting.spent_stage(request, vote.reviewer)
        if spent is not None and vote.answer is not Answer.REJECT:
            return _duplicate(
                f"{vote.reviewer} approved in stage {spent + 1}; somebody else must now"
            )
        return _duplicate(f"{vote.reviewer} already answered {vote.answer}")
    if vote.payload_sha256 != request.payload_in_force:
        return Refusal(
            why=Why.STALE,
            message="the details were changed since they were shown; read them again, then answer",
        )
    objection = voting.objection(request, vote) or codes.objection(request, vote, now)
    return _refused(objection) if objection else None


def _facts(counted: Request, vote: c.Vote) -> list[tuple[Kind, str, dict[str, Any]]]:
    cast = counted.votes[-1]
    data: dict[str, Any] = {
        "answer": vote.answer.value,
        "reason": vote.reason,
        "assurance": vote.assurance.value,
        "channel": vote.channel,
        "payload_sha256": cast.payload_sha256,
        "stage": cast.stage,
        "proof": vote.proof,
    }
    if cast.on_behalf_of:
        data["on_behalf_of"] = cast.on_behalf_of
    facts = [(Kind.VOTED, vote.reviewer, data)]
    if vote.edit is not None:
        edited = {
            "payload_sha256": vote.edit.payload_sha256,
            "changes": [[ch.path, ch.before, ch.after] for ch in vote.edit.changes],
            "expires_at": counted.expires_at.isoformat(),
        }
        facts.append((Kind.EDITED, vote.reviewer, edited))
    return facts


def _late(request: Request, vote: c.Vote) -> Refusal:
    if not voting.agrees(request, vote):
        return _conflict(request)
    stranger = voting.stranger_to(request, vote)
    if stranger:
        by = ", ".join(request.reviewers) or "nobody"
        return _refused(f"{request.id} is already {request.status}, by {by}; {stranger}")
    return _duplicate(f"{request.id} is already {request.status}")


def _cancel(request: Request, cancel: c.Cancel, now: datetime) -> Step | Refusal:
    if request.status is Status.CANCELLED:
        return _duplicate(f"{request.id} is already cancelled")
    if Status.CANCELLED not in TRANSITIONS[request.status]:
        return _conflict(request)
    facts = [(Kind.CANCELLED, cancel.by, {"reason": cancel.reason})]
    return _step(
        request,
        now,
        facts,
        status=Status.CANCELLED,
        reason=cancel.reason,
        decided_at=request.decided_at or now,
    )


def _claim(request: Request, claim: c.Claim, now: datetime) -> Step | Refusal:
    held = request.claim
    if held is not None and held.claim_id == claim.claim_id and request.status is Status.EXECUTING:
        return _duplicate(f"{claim.claim_id} holds the claim already")
    if request.status is Status.PENDING:
        return _refused(f"{request.id} is not approved yet")
    if request.status is not Status.APPROVED:
        return _conflict(request)
    if claim.payload_sha256 != request.payload_in_force:
        return Refusal(
            why=Why.STALE, message="what would run is not what was approved; nothing may run"
        )
    if claim.denied_by:
        return _refused(
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
    return _step(
        request, now, [(Kind.CLAIMED, claim.executor, data)], status=Status.EXECUTING, claim=taken
    )


def _finish(request: Request, finish: c.Finish, now: datetime) -> Step | Refusal:
    if finish.status not in _ENDINGS:
        return _refused(f"an execution ends executed, failed or unknown, not {finish.status}")
    held = request.claim
    if held is None or held.claim_id != finish.claim_id:
        if request.status is Status.EXECUTING:
            return _refused("somebody else holds the claim; only its holder reports how it ended")
        return _conflict(request)
    if request.status is finish.status:
        return _duplicate(f"{request.id} is already {request.status}")
    if finish.status not in TRANSITIONS[request.status]:
        return _conflict(request)
    return _end(
        request, now, _ENDINGS[finish.status], finish.status, finish.by, finish.result, finish.error
    )


def _end(
    request: Request, now: datetime, kind: Kind, status: Status, by: str, result: Any, error: str
) -> Step:
    outcome = Outcome(status=status, at=now, by=by, result=result, error=error)
    data = {"status": status.value, "result": result, "error": error}
    return _step(request, now, [(kind, by, data)], status=status, outcome=outcome)


def _resolve(request: Request, resolve: c.Resolve, now: datetime) -> Step | Refusal:
    if resolve.status not in (Status.EXECUTED, Status.FAILED):
        return _refused(f"resolve to executed or failed, not {resolve.status}")
    if request.status is resolve.status:
        return _duplicate(f"{request.id} is already {request.status}")
    if request.status is Status.EXECUTING:
        return _refused(f"{request.id} is still executing; its executor is alive and will report")
    if request.status is not Status.UNKNOWN:
        return _conflict(request)
    return _end(request, now, Kind.RESOLVED, resolve.status, resolve.by, None, resolve.reason)


def _expire(request: Request, now: datetime) -> Step | Refusal:
    if request.status is Status.EXPIRED:
        return _duplicate(f"{request.id} is already expired")
    if deadline(request) is None:
        return _conflict(request)
    if not is_overdue(request, now):
        return _refused(f"{request.id} is not due yet")
    return _expired(request, now)


def _expired(request: Request, now: datetime) -> Step:
    what = "answered" if request.status is Status.PENDING else "claimed"
    reason = f"nobody {what} it in time"
    data = {"was": request.status.value, "reason": reason}
    return _step(
        request,
        now,
        [(Kind.EXPIRED, "clock", data)],
        status=Status.EXPIRED,
        reason=reason,
        decided_at=request.decided_at or now,
    )


def _remind(request: Request, remind: c.Remind, now: datetime) -> Step | Refusal:
    if request.status is not Status.PENDING:
        return _conflict(request)
    if remind.number < request.reminded:
        return _duplicate(f"reminder {remind.number} was given")
    if remind.number >= len(request.requirement.remind_s) or remind.number > request.reminded:
        return _refused(f"there is no reminder {remind.number} to give now")
    if now < request.created_at + timedelta(seconds=request.requirement.remind_s[remind.number]):
        return _refused(f"reminder {remind.number} is not due yet")
    facts = [(Kind.REMINDED, "clock", {"number": remind.number})]
    return _step(request, now, facts, reminded=request.reminded + 1)


def _escalate(request: Request, escalate: c.Escalate, now: datetime) -> Step | Refusal:
    if request.status is not Status.PENDING:
        return _conflict(request)
    if escalate.number < request.escalated:
        return _duplicate(f"escalation {escalate.number} was made")
    ladder = request.requirement.escalate
    if escalate.number >= len(ladder) or escalate.number > request.escalated:
        return _refused(f"there is no escalation {escalate.number} to make now")
    rung = ladder[escalate.number]
    if now < request.created_at + timedelta(seconds=rung.after_s):
        return _refused(f"escalation {escalate.number} is not due yet")
    return _step(
        request,
        now,
        [(Kind.ESCALATED, "clock", {"number": escalate.number, "to": list(rung.to)})],
        escalated=request.escalated + 1,
        verdict=replace(request.verdict, requirement=voting.widened(request.requirement, rung)),
    )


def _comment(request: Request, comment: c.Comment, now: datetime) -> Step | Refusal:
    if any(known.comment_id == comment.comment_id for known in request.comments):
        return _duplicate("this comment is recorded")
    if not comment.text.strip():
        return _refused("the comment is empty")
    if len(comment.text) > MAX_COMMENT_CHARS or len(request.comments) >= MAX_COMMENTS:
        return _refused(
            f"a request takes {MAX_COMMENTS} remarks of {MAX_COMMENT_CHARS:,} characters; "
            "keep longer texts elsewhere"
        )
    said = Comment(comment_id=comment.comment_id, author=comment.author, text=comment.text, at=now)
    facts: list[tuple[Kind, str, dict[str, Any]]] = [
        (Kind.COMMENTED, comment.author, {"text": comment.text})
    ]
    return _step(request, now, facts, comments=(*request.comments, said))


def _issue_code(request: Request, command: c.IssueCode, now: datetime) -> Step | Refusal:
    if any(code.code_id == command.code_id for code in request.codes):
        return _duplicate("this code was sent before")
    if request.status is not Status.PENDING:
        return _conflict(request)
    if not voting.person(command.reviewer) or command.valid_s <= 0:
        return _refused("a code is for a named reviewer and a time")
    if sum(not code.used and now < code.expires_at for code in request.codes) >= codes.MAX_OPEN:
        return _refused(f"{codes.MAX_OPEN} codes are open for this request; use one of them")
    code = codes.issued(request, command, now, now + timedelta(seconds=command.valid_s))
    data = {
        "code_id": code.code_id,
        "reviewer": code.reviewer,
        "expires_at": code.expires_at.isoformat(),
        "payload_sha256": code.payload_sha256,
    }
    facts = [(Kind.CODE_ISSUED, "ledger", data)]
    return _step(request, now, facts, codes=(*request.codes, code))


def _refuse(request: Request, refuse: c.Refuse, now: datetime) -> Step | Refusal:
    guessed = any(code.code_id == refuse.code_id for code in request.codes)
    if request.refused >= MAX_REFUSED and not guessed:
        return _duplicate(f"{MAX_REFUSED} refused answers are recorded; more prove nothing new")
    data = {"reviewer": refuse.reviewer, "channel": refuse.channel, "problem": refuse.problem}
    return _step(
        request,
        now,
        [(Kind.REFUSED, refuse.reviewer or voting.UNNAMED, data)],
        refused=request.refused + 1,
        codes=codes.mistyped(request, refuse.code_id),
    )
