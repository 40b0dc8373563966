"""Owns how votes are judged and counted. Never sets a status: `lifecycle` does.

The rules: one vote per reviewer and the last one counts; stages open in order and one person
approves in one stage only; nobody answers their own request; a rejection ends it, unless the rule
says `veto: false`, where as many rejections as the stage's quorum end it; votes for details that
are no longer in force do not count.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from hitl_vault.core import commands as c
from hitl_vault.core.model import (
    Answer,
    Edited,
    Effect,
    Escalation,
    Request,
    Requirement,
    Risk,
    Stage,
    Status,
    Verdict,
    Vote,
)

UNNAMED = "unnamed"
"""The reviewer of an answer nobody put a name to."""

_PROPOSAL = -1  # the stage of an edit by somebody whose approval does not count for it


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Where the count stands. `stage` is the open stage (from 0); `decided` None while open."""

    stage: int
    approvals: int
    needed: int
    decided: Status | None


def tally(request: Request) -> Tally:
    """Count the votes that are for the payload in force."""
    need = request.requirement
    valid = [vote for vote in request.votes if vote.payload_sha256 == request.payload_in_force]
    rejections = [vote for vote in valid if vote.answer is Answer.REJECT]
    last = len(need.stages) - 1
    for number, stage in enumerate(need.stages):
        approvals = sum(
            1 for vote in valid if vote.stage == number and vote.answer is not Answer.REJECT
        )
        if approvals >= stage.quorum:
            continue
        against = sum(1 for vote in rejections if vote.stage == number)
        ended = bool(rejections) if need.veto else against >= stage.quorum
        return Tally(
            stage=number,
            approvals=approvals,
            needed=stage.quorum,
            decided=Status.REJECTED if ended else None,
        )
    ended = bool(rejections) and need.veto
    return Tally(
        stage=last,
        approvals=need.stages[last].quorum,
        needed=need.stages[last].quorum,
        decided=Status.REJECTED if ended else Status.APPROVED,
    )


def agrees(request: Request, vote: c.Vote) -> bool:
    """True if the vote says what was decided: the same answer twice changes nothing."""
    if vote.answer is Answer.REJECT:
        return request.status is Status.REJECTED
    if not request.status.was_approved:
        return False
    if vote.answer is Answer.APPROVE:
        return vote.payload_sha256 == request.payload_in_force
    return vote.edit is not None and vote.edit.payload_sha256 == request.payload_in_force


def is_repeat(request: Request, vote: c.Vote) -> bool:
    """True if this reviewer's vote in force already says exactly this."""
    if vote.edit is not None:
        return False  # an edit changes the payload in force, so it is never a repeat
    return any(
        known.reviewer.casefold() == vote.reviewer.casefold()
        and known.payload_sha256 == vote.payload_sha256
        and (known.answer is Answer.REJECT) == (vote.answer is Answer.REJECT)
        and known.stage != _PROPOSAL
        and known.assurance.rank >= vote.assurance.rank
        for known in request.votes
    )


def objection(request: Request, vote: c.Vote) -> str:
    """Return why the vote may not be counted, as a sentence for the reviewer; "" if it may."""
    need = request.requirement
    if not vote.reviewer.strip():
        return "an answer needs a reviewer"
    if vote.reviewer.casefold() in {
        request.action.requested_by.casefold(),
        request.action.agent.casefold(),
    }:
        return f"{vote.reviewer} asked for this and cannot answer it; somebody else must"
    if vote.answer not in need.answers:
        allowed = ", ".join(answer.value for answer in need.answers)
        return f"'{vote.answer}' is not an answer this rule allows; it allows {allowed}"
    if vote.assurance.rank < need.assurance.rank:
        return (
            f"this rule asks for an answer that is {need.assurance}, and this one is only "
            f"{vote.assurance}; answer {_HOW[need.assurance.value]}"
        )
    if vote.answer in need.require_reason and not vote.reason.strip():
        return f"a reason is required to {vote.answer}"
    if vote.reviewer == UNNAMED and _names_matter(need):
        return "put your name with the answer: this rule counts who answered"
    return _edit_objection(request, vote) or _stage_objection(request, vote)


_HOW = {
    "authenticated": "with `hitl approve` or `hitl reject` on the command line",
    "signed": "with a signature",
}


def _names_matter(need: Requirement) -> bool:
    first, *more = need.stages
    return bool(more) or first.quorum > 1 or bool(first.approvers)


def _edit_objection(request: Request, vote: c.Vote) -> str:
    if vote.answer is not Answer.EDIT:
        return ""
    if vote.edit is None or not vote.edit.changes:
        return "nothing was changed; approve it as it is, or change a value"
    if vote.edit.payload_sha256 == request.payload_in_force:
        return "nothing was changed; approve it as it is, or change a value"
    if vote.edit.verdict.effect is Effect.DENY:
        return f"the policy forbids the changed action: {vote.edit.verdict.reason}"
    return ""


def _stage_objection(request: Request, vote: c.Vote) -> str:
    need = request.requirement
    mine = next(
        (known for known in request.votes if known.reviewer.casefold() == vote.reviewer.casefold()),
        None,
    )
    open_stage = tally(request).stage
    spent = (
        mine is not None
        and mine.payload_sha256 == vote.payload_sha256
        and mine.answer is not Answer.REJECT
        and 0 <= mine.stage < open_stage
    )
    if vote.answer is Answer.REJECT and (spent or any(may_answer(s, vote) for s in need.stages)):
        return ""
    if spent:
        return f"{vote.reviewer} approved in stage {mine.stage + 1} already; somebody else must now"  # type: ignore[union-attr]
    if may_answer(need.stages[open_stage], vote):
        return ""
    wanted = ", ".join(need.stages[open_stage].approvers)
    step = (
        f"stage {open_stage + 1} of {len(need.stages)}" if len(need.stages) > 1 else "this request"
    )
    return f"{vote.reviewer} may not answer {step}; it waits for {wanted}"


def may_answer(stage: Stage, vote: c.Vote) -> bool:
    """True if the stage is open to anyone, or names the reviewer or one of their roles."""
    if not stage.approvers:
        return True
    names = {name.casefold() for name in stage.approvers}
    return vote.reviewer.casefold() in names or bool(
        names & {role.casefold() for role in vote.roles}
    )


def count(request: Request, vote: c.Vote, now: datetime) -> dict[str, Any]:
    """Return the changed fields of the request after the vote: votes, and on an edit the details."""
    changes: dict[str, Any] = {}
    payload, stage = vote.payload_sha256, tally(request).stage
    if vote.edit is not None:
        payload = vote.edit.payload_sha256
        verdict = stricter(request.verdict, vote.edit.verdict)
        changes["verdict"] = verdict
        changes["edited"] = Edited(
            details=vote.edit.details,
            payload_sha256=payload,
            by=vote.reviewer,
            at=now,
            changes=vote.edit.changes,
        )
        stage = 0 if may_answer(verdict.requirement.stages[0], vote) else _PROPOSAL
    cast = Vote(
        reviewer=vote.reviewer,
        answer=vote.answer,
        at=now,
        payload_sha256=payload,
        reason=vote.reason,
        assurance=vote.assurance,
        channel=vote.channel,
        stage=stage,
        proof=vote.proof,
    )
    others = (v for v in request.votes if v.reviewer.casefold() != vote.reviewer.casefold())
    changes["votes"] = (*others, cast)
    return changes


def widened(need: Requirement, rung: Escalation) -> Requirement:
    """Return the requirement with the people of an escalation among those who may answer."""
    stages = tuple(
        replace(stage, approvers=tuple(dict.fromkeys((*stage.approvers, *rung.to))))
        if stage.approvers
        else stage
        for stage in need.stages
    )
    return replace(need, stages=stages)


def stricter(one: Verdict, two: Verdict) -> Verdict:
    """Return the verdict that satisfies both: what an edited action must meet."""
    risks: tuple[Risk, Risk] = (one.risk, two.risk)
    return Verdict(
        effect=max((one.effect, two.effect), key=lambda effect: effect.rank),
        rules=tuple(dict.fromkeys((*one.rules, *two.rules))),
        reasons=tuple(dict.fromkeys((*one.reasons, *two.reasons))),
        risk=max(risks, key=lambda risk: risk.rank),
        requirement=stricter_requirement(one.requirement, two.requirement),
        policy_sha256=two.policy_sha256,
        summary=two.summary,
    )


def stricter_requirement(one: Requirement, two: Requirement) -> Requirement:
    """Return the requirement that meets both: most reviewers, shortest times, highest assurance."""
    both = tuple(answer for answer in one.answers if answer in two.answers)
    settles = [s for s in (one.settle_s, two.settle_s) if s is not None]
    return Requirement(
        stages=_merge_stages(one.stages, two.stages),
        timeout_s=min(one.timeout_s, two.timeout_s),
        use_within_s=min(one.use_within_s, two.use_within_s),
        answers=both or (Answer.REJECT,),
        require_reason=tuple(dict.fromkeys((*one.require_reason, *two.require_reason))),
        assurance=max((one.assurance, two.assurance), key=lambda level: level.rank),
        veto=one.veto or two.veto,
        settle_s=max(settles) if settles else None,
        remind_s=tuple(sorted({*one.remind_s, *two.remind_s})),
        escalate=tuple(
            sorted({*one.escalate, *two.escalate}, key=lambda rung: (rung.after_s, rung.to))
        ),
    )


def _merge_stages(one: tuple[Stage, ...], two: tuple[Stage, ...]) -> tuple[Stage, ...]:
    """Keep each distinct group of approvers once, with the larger quorum; anyone is the weakest."""
    merged: dict[tuple[str, ...], Stage] = {}
    for stage in (*one, *two):
        known = merged.get(stage.approvers)
        if known is None or known.quorum < stage.quorum:
            merged[stage.approvers] = stage
    anyone = merged.pop((), None)
    if anyone is None:
        return tuple(merged.values())
    named = sum(stage.quorum for stage in merged.values())
    if named >= anyone.quorum:
        return tuple(merged.values())
    # named groups first, then as many more people as the open group asked for beyond them
    return (*merged.values(), replace(anyone, quorum=anyone.quorum - named))
