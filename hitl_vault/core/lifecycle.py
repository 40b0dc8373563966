"""Owns the rules of an approval: `apply` is the only place that sets a status. Never does I/O.

`apply(request, command, now)` is pure: same arguments, same answer, on every engine.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from hitl_vault.core import claims, codes, hours, proofs, requirements, steps, voting
from hitl_vault.core import commands as c
from hitl_vault.core.events import Kind
from hitl_vault.core.model import Answer, Comment, Effect, Request, Status, is_valid_id
from hitl_vault.core.register import Register
from hitl_vault.core.steps import TRANSITIONS, Refusal, Step, Why
from hitl_vault.core.tracing import headers_of

MAX_COMMENTS, MAX_COMMENT_CHARS = 200, 10_000  # they are stored with every later state
MAX_COMMENTS_EACH = MAX_COMMENTS // 2  # of one author: nobody can keep everybody else from asking
MAX_REFUSED = 100  # of one request; more of them prove nothing new and would fill the disk


def apply(
    request: Request | None, command: c.Command, now: datetime, register: Register | None = None
) -> Step | Refusal:
    """Judge one command.

    Args:
        request: The request as it stands, None if there is none.
        command: What somebody wants.
        now: The ledger's time of commit, aware UTC.
        register: As it stands in that commit; looked at for a vote under a standing grant only.

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
        refusal = _judge(step.request, command, now, register)
        assert isinstance(refusal, Refusal), "nothing but a remark follows an expiry"
        return replace(refusal, step=step)
    return _judge(request, command, now, register)


def _judge(
    request: Request, command: c.Command, now: datetime, register: Register | None
) -> Step | Refusal:
    match command:
        case c.Vote():
            return _vote(request, command, now, register)
        case c.Cancel():
            return _cancel(request, command, now)
        case c.Claim():
            return claims.claim(request, command, now)
        case c.Finish():
            return claims.finish(request, command, now)
        case c.Resolve():
            return claims.resolve(request, command, now)
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


def joins(ask: c.Ask, request: Request, now: datetime) -> bool:
    """True if the ask is one with this request: it waits for the identical action as asked."""
    return (
        ask.join
        and ask.key is None
        and request.key is None
        and request.status is Status.PENDING
        and request.edited is None
        and request.payload_sha256 == ask.payload_sha256
        and not is_overdue(request, now)
    )


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


def _ask(request: Request | None, ask: c.Ask, now: datetime) -> Step | Refusal:
    if request is not None:
        if ask.key is not None and request.key != ask.key:
            return Refusal(
                why=Why.CONFLICT,
                message=f"the id {request.id} was used without the key {ask.key!r}",
            )
        if request.payload_sha256 == ask.payload_sha256:
            return steps.duplicate(f"{request.id} was asked before")
        same = (
            f"the key {ask.key!r}" if ask.key and request.key == ask.key else f"the id {request.id}"
        )
        return Refusal(
            why=Why.CONFLICT,
            message=f"{same} was used for another action; use a new one for a new action",
        )
    need = ask.verdict.requirement
    if not is_valid_id(ask.id):
        return steps.refused(f"{ask.id[:120]!r} cannot be an id")
    if ask.verdict.effect is Effect.DENY:
        return steps.refused(f"the policy forbids this: {ask.verdict.reason}")
    if not requirements.is_sound(need):
        return steps.refused(
            "the policy's requirement cannot be met: no stage, quorum or time to answer"
        )
    need = hours.resolved(need, now, now)
    new = Request(
        id=ask.id,
        rev=1,
        status=Status.PENDING,
        action=ask.action,
        payload_sha256=ask.payload_sha256,
        verdict=replace(ask.verdict, requirement=need),
        created_at=now,
        updated_at=now,
        expires_at=now + timedelta(seconds=need.timeout_s),
        key=ask.key,
        trace=ask.trace,
    )
    data = {
        "payload_sha256": ask.payload_sha256,
        "type": ask.action.type,
        "rules": list(ask.verdict.rules),
        "policy_sha256": ask.verdict.policy_sha256,
        "expires_at": new.expires_at.isoformat(),
        **headers_of(ask.trace),
    }
    return Step(
        request=new,
        events=steps.events(new, now, [(Kind.REQUESTED, ask.action.requested_by, data)]),
    )


def _vote(
    request: Request, vote: c.Vote, now: datetime, register: Register | None
) -> Step | Refusal:
    refusal = _unfit(request, vote) or _unproved(request, vote, now, register)
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
        return steps.step(request, now, facts, **changes)
    changes |= {"status": verdict, "decided_at": now, "reason": vote.reason}
    ending: dict[str, Any] = {"payload_sha256": counted.payload_in_force}
    if verdict is Status.APPROVED:
        changes["use_by"] = now + timedelta(seconds=counted.requirement.use_within_s)
        ending["use_by"] = changes["use_by"].isoformat()
    kind = Kind.APPROVED if verdict is Status.APPROVED else Kind.REJECTED
    return steps.step(request, now, [*facts, (kind, vote.reviewer, ending)], **changes)


def _unfit(request: Request, vote: c.Vote) -> Refusal | None:
    if request.status is not Status.PENDING:
        return _late(request, vote)
    if voting.is_repeat(request, vote):
        spent = voting.spent_stage(request, vote.reviewer)
        if spent is not None and vote.answer is not Answer.REJECT:
            return steps.duplicate(
                f"{vote.reviewer} approved in stage {spent + 1}; somebody else must now"
            )
        return steps.duplicate(f"{vote.reviewer} already answered {vote.answer}")
    if vote.payload_sha256 != request.payload_in_force:
        return Refusal(
            why=Why.STALE,
            message="the details were changed since they were shown; read them again, then answer",
        )
    objection = voting.objection(request, vote) or proofs.missing(vote)
    return steps.refused(objection) if objection else None


def _unproved(
    request: Request, vote: c.Vote, now: datetime, register: Register | None
) -> Refusal | None:
    """Refuse, and record it, where what came with a vote does not prove it any more."""
    problem = proofs.objection(request, vote, now, register)
    if not problem:
        return None
    tried = c.Refuse(id=vote.id, reviewer=vote.reviewer, channel=vote.channel, problem=problem)
    recorded = _refuse(request, tried, now)
    step = recorded if isinstance(recorded, Step) else None
    return Refusal(why=Why.UNPROVED, message=problem, step=step)


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
        return steps.conflict(request)
    stranger = voting.stranger_to(request, vote)
    if stranger:
        by = ", ".join(request.reviewers) or "nobody"
        return steps.refused(f"{request.id} is already {request.status}, by {by}; {stranger}")
    return steps.duplicate(f"{request.id} is already {request.status}")


def _cancel(request: Request, cancel: c.Cancel, now: datetime) -> Step | Refusal:
    if request.status is Status.CANCELLED:
        return steps.duplicate(f"{request.id} is already cancelled")
    if Status.CANCELLED not in TRANSITIONS[request.status]:
        return steps.conflict(request)
    facts = [(Kind.CANCELLED, cancel.by, {"reason": cancel.reason})]
    return steps.step(
        request,
        now,
        facts,
        status=Status.CANCELLED,
        reason=cancel.reason,
        decided_at=request.decided_at or now,
    )


def _expire(request: Request, now: datetime) -> Step | Refusal:
    if request.status is Status.EXPIRED:
        return steps.duplicate(f"{request.id} is already expired")
    if deadline(request) is None:
        return steps.conflict(request)
    if not is_overdue(request, now):
        return steps.refused(f"{request.id} is not due yet")
    return _expired(request, now)


def _expired(request: Request, now: datetime) -> Step:
    what = "answered" if request.status is Status.PENDING else "claimed"
    reason = f"nobody {what} it in time"
    data = {"was": request.status.value, "reason": reason}
    return steps.step(
        request,
        now,
        [(Kind.EXPIRED, "clock", data)],
        status=Status.EXPIRED,
        reason=reason,
        decided_at=request.decided_at or now,
    )


def _remind(request: Request, remind: c.Remind, now: datetime) -> Step | Refusal:
    if request.status is not Status.PENDING:
        return steps.conflict(request)
    if remind.number < request.reminded:
        return steps.duplicate(f"reminder {remind.number} was given")
    if remind.number >= len(request.requirement.remind_s) or remind.number > request.reminded:
        return steps.refused(f"there is no reminder {remind.number} to give now")
    if now < request.created_at + timedelta(seconds=request.requirement.remind_s[remind.number]):
        return steps.refused(f"reminder {remind.number} is not due yet")
    facts = [(Kind.REMINDED, "clock", {"number": remind.number})]
    return steps.step(request, now, facts, reminded=request.reminded + 1)


def _escalate(request: Request, escalate: c.Escalate, now: datetime) -> Step | Refusal:
    if request.status is not Status.PENDING:
        return steps.conflict(request)
    if escalate.number < request.escalated:
        return steps.duplicate(f"escalation {escalate.number} was made")
    ladder = request.requirement.escalate
    if escalate.number >= len(ladder) or escalate.number > request.escalated:
        return steps.refused(f"there is no escalation {escalate.number} to make now")
    rung = ladder[escalate.number]
    if now < request.created_at + timedelta(seconds=rung.after_s):
        return steps.refused(f"escalation {escalate.number} is not due yet")
    wider = requirements.widened(request.requirement, rung)
    data: dict[str, Any] = {"number": escalate.number, "to": list(rung.to)}
    nobody = [name for name in rung.to if name in escalate.nobody]
    if nobody:
        data["nobody"] = nobody
    return steps.step(
        request,
        now,
        [(Kind.ESCALATED, "clock", data)],
        escalated=request.escalated + 1,
        verdict=replace(request.verdict, requirement=wider),
    )


def _comment(request: Request, comment: c.Comment, now: datetime) -> Step | Refusal:
    if any(known.comment_id == comment.comment_id for known in request.comments):
        return steps.duplicate("this comment is recorded")
    if not comment.text.strip():
        return steps.refused("the comment is empty")
    author = voting.person(comment.author)
    if len(comment.text) > MAX_COMMENT_CHARS or len(request.comments) >= MAX_COMMENTS:
        return steps.refused(
            f"a request takes {MAX_COMMENTS} remarks of {MAX_COMMENT_CHARS:,} characters; "
            "keep longer texts elsewhere"
        )
    own = sum(voting.person(known.author) == author for known in request.comments)
    if own >= MAX_COMMENTS_EACH:
        return steps.refused(
            f"a request takes {MAX_COMMENTS_EACH} remarks of one author: others are to be heard too"
        )
    said = Comment(comment_id=comment.comment_id, author=comment.author, text=comment.text, at=now)
    facts: list[tuple[Kind, str, dict[str, Any]]] = [
        (Kind.COMMENTED, comment.author, {"text": comment.text})
    ]
    return steps.step(request, now, facts, comments=(*request.comments, said))


def _issue_code(request: Request, command: c.IssueCode, now: datetime) -> Step | Refusal:
    if any(code.code_id == command.code_id for code in request.codes):
        return steps.duplicate("this code was sent before")
    if request.status is not Status.PENDING:
        return steps.conflict(request)
    if not voting.person(command.reviewer) or command.valid_s <= 0:
        return steps.refused("a code is for a named reviewer and a time")
    if sum(not code.used and now < code.expires_at for code in request.codes) >= codes.MAX_OPEN:
        return steps.refused(f"{codes.MAX_OPEN} codes are open for this request; use one of them")
    code = codes.issued(request, command, now, now + timedelta(seconds=command.valid_s))
    data = {
        "code_id": code.code_id,
        "reviewer": code.reviewer,
        "expires_at": code.expires_at.isoformat(),
        "payload_sha256": code.payload_sha256,
    }
    facts = [(Kind.CODE_ISSUED, "ledger", data)]
    return steps.step(request, now, facts, codes=(*request.codes, code))


def _refuse(request: Request, refuse: c.Refuse, now: datetime) -> Step | Refusal:
    if codes.was_guessed(request, refuse.code_id, refuse.guess):
        return steps.duplicate("this wrong guess is recorded")
    guessed = any(
        code.code_id == refuse.code_id and code.tries < codes.MAX_TRIES for code in request.codes
    )
    if request.refused >= MAX_REFUSED and not guessed:
        return steps.duplicate(
            f"{MAX_REFUSED} refused answers are recorded; more prove nothing new"
        )
    data = {"reviewer": refuse.reviewer, "channel": refuse.channel, "problem": refuse.problem}
    return steps.step(
        request,
        now,
        [(Kind.REFUSED, refuse.reviewer or voting.UNNAMED, data)],
        refused=request.refused + 1,
        codes=codes.mistyped(request, refuse.code_id, refuse.guess),
    )
