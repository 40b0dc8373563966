"""Owns how votes are judged and counted. Never sets a status: `lifecycle` does.

The rules: one vote per reviewer and the last one counts; stages open in order and one person
approves in one stage only; nobody answers their own request; a rejection ends it, unless the rule
says `veto: false`, where as many rejections as the stage's quorum end it; votes given before the
details were changed do not count, even if the same details come back. Who stands in for somebody
sits in their seat: a seat has one vote too, and a person's own answer takes it back.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, TypeVar

from hitl_vault.core import commands as c
from hitl_vault.core import hours
from hitl_vault.core.model import (
    Answer,
    Assurance,
    Edited,
    Effect,
    Request,
    Requirement,
    Stage,
    Status,
    Verdict,
    Vote,
)
from hitl_vault.core.requirements import is_sound, stricter, stricter_requirement, widened

UNNAMED = "unnamed"
"""The reviewer of an answer nobody put a name to."""

_NO_STAGE = -1  # the stage of a vote that does not count: from before an edit, or too weak for it

_T = TypeVar("_T")


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
    valid = [
        vote
        for vote in request.votes
        if vote.payload_sha256 == request.payload_in_force and vote.stage != _NO_STAGE
    ]
    rejections = [vote for vote in valid if vote.answer is Answer.REJECT]
    # in whichever stage they were given: an approval that completes a stage must never reject
    ended = any(
        sum(vote.stage == number for vote in rejections) >= (1 if need.veto else stage.quorum)
        for number, stage in enumerate(need.stages)
    )
    last = len(need.stages) - 1
    for number, stage in enumerate(need.stages):
        approvals = sum(
            1 for vote in valid if vote.stage == number and vote.answer is not Answer.REJECT
        )
        if approvals >= stage.quorum:
            continue
        return Tally(
            stage=number,
            approvals=approvals,
            needed=stage.quorum,
            decided=Status.REJECTED if ended else None,
        )
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


def was_counted(request: Request, vote: c.Vote, *, signed: bool) -> bool:
    """True if a vote of this reviewer, as sure as this one means to be, says the same already."""
    least = Assurance.SIGNED if signed else Assurance.AUTHENTICATED
    if request.status is Status.PENDING:
        return is_repeat(request, replace(vote, assurance=least))
    known = _vote_of(request, vote.reviewer)
    return known is not None and known.assurance.rank >= least.rank and agrees(request, vote)


def stranger_to(request: Request, vote: c.Vote) -> str:
    """Return why this reviewer could have had no part in the decision, "" if they could."""
    if _vote_of(request, vote.reviewer) is not None:
        return ""
    if _asked(request, vote.reviewer):
        return f"{vote.reviewer} asked for this and cannot answer it"
    if any(may_answer(stage, vote, request) for stage in request.requirement.stages):
        return ""
    names = ", ".join(name for stage in request.requirement.stages for name in stage.approvers)
    return f"{vote.reviewer} is not among those who may answer it ({names})"


def is_repeat(request: Request, vote: c.Vote) -> bool:
    """True if this reviewer's vote in force already says exactly this."""
    known = _vote_of(request, vote.reviewer)
    if known is None or known.assurance.rank < vote.assurance.rank:
        return False
    if vote.edit is not None and request.edited is not None:
        return (
            known.answer is vote.answer
            and vote.edit.payload_sha256 == request.payload_in_force
            and person(request.edited.by) == person(vote.reviewer)
        )
    if vote.edit is not None:
        return False
    return (
        known.payload_sha256 == vote.payload_sha256
        and (known.answer is Answer.REJECT) == (vote.answer is Answer.REJECT)
        and known.stage != _NO_STAGE
    )


_UNSEEN = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2065\u2800\u3164\uffa0"
) | frozenset(map(chr, (*range(0xFE00, 0xFE10), *range(0xFFF0, 0xFFF9), *range(0xE0000, 0xE1000))))
"""Unicode's default ignorable characters that are not of category Cf, those not assigned yet among
them: nothing shows them; and the blank Braille one."""


def person(name: str) -> str:
    """Return what all spellings of a name share, whatever the case, width, spaces and marks."""
    plain = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    return " ".join("".join(ch for ch in plain if not _is_unseen(ch)).split())


def _is_unseen(char: str) -> bool:
    """True for what leaves no mark: format characters, variation selectors, fillers, blanks."""
    return (unicodedata.category(char) in {"Cf", "Cc"} and not char.isspace()) or char in _UNSEEN


def _vote_of(request: Request, reviewer: str) -> Vote | None:
    name = person(reviewer)
    return next((known for known in request.votes if person(known.reviewer) == name), None)


def objection(request: Request, vote: c.Vote) -> str:
    """Return why the vote may not be counted, as a sentence for the reviewer; "" if it may."""
    need = request.requirement
    if not person(vote.reviewer):
        return "an answer needs a reviewer"
    if _asked(request, vote.reviewer):
        return f"{vote.reviewer} asked for this and cannot answer it; somebody else must"
    if vote.is_role and not vote.roles:
        return f"{vote.reviewer} is a role, not a person; put your own name with the answer"
    if vote.answer not in need.answers:
        allowed = ", ".join(answer.value for answer in need.answers)
        return f"'{vote.answer}' is not an answer this rule allows; it allows {allowed}"
    if vote.assurance is Assurance.SIGNED and not (vote.proof and vote.proof_id):
        return "an answer that is signed needs its signature, and this one has none"
    if vote.assurance.rank < need.assurance.rank:
        return (
            f"this rule asks for an answer that is {need.assurance}, and this one is only "
            f"{vote.assurance}; answer {_HOW[need.assurance.value].format(id=request.id)}"
        )
    if _lacks_reason(need, vote):
        return f"a reason is required to {vote.answer}"
    if _lacks_name(need, vote):
        return "put your name with the answer: this rule counts who answered"
    return _edit_objection(request, vote) or _stage_objection(request, vote)


_HOW = {
    "authenticated": "with the code you were sent, in the property `code` of the note or as "
    "`hitl approve {id} --code CODE`, or as yourself with `hitl approve {id}` or "
    "`hitl reject {id}`",
    "signed": "with your key, as `hitl approve {id} --sign KEY` or `hitl reject {id} --sign KEY`, "
    "or on another machine with `hitl ballot`, or have the rule's `assurance` lowered in the "
    "policy",
}


def _lacks_reason(need: Requirement, vote: c.Vote) -> bool:
    as_approval = vote.answer is Answer.EDIT and Answer.APPROVE in need.require_reason
    return (as_approval or vote.answer in need.require_reason) and not vote.reason.strip()


def _lacks_name(need: Requirement, vote: c.Vote) -> bool:
    first, *more = need.stages
    names_matter = bool(more) or first.quorum > 1 or bool(first.approvers)
    return names_matter and person(vote.reviewer) == UNNAMED


def _edit_objection(request: Request, vote: c.Vote) -> str:
    if vote.answer is not Answer.EDIT:
        return "" if vote.edit is None else f"changed details cannot come with '{vote.answer}'"
    if vote.edit is None or vote.edit.payload_sha256 == request.payload_in_force:
        return "nothing was changed; approve it as it is, or change a value"
    if not vote.edit.changes:
        return "these are the details as first asked for; reject the change, or change a value"
    if not is_sound(vote.edit.verdict.requirement):
        return "the policy's requirement for the changed action cannot be met"
    if vote.edit.verdict.effect is Effect.DENY:
        return f"the policy forbids the changed action: {vote.edit.verdict.reason}"
    return ""


def _asked(request: Request, name: str) -> bool:
    return person(name) in {person(request.action.requested_by), person(request.action.agent)}


def _stage_objection(request: Request, vote: c.Vote) -> str:
    need = request.requirement
    open_stage = tally(request).stage
    spent = spent_stage(request, vote.reviewer)
    if vote.answer is Answer.REJECT and (
        spent is not None or any(may_answer(stage, vote, request) for stage in need.stages)
    ):
        return ""
    if spent is not None:
        return f"{vote.reviewer} approved in stage {spent + 1} already; somebody else must now"
    if may_answer(need.stages[open_stage], vote, request):
        return ""
    wanted = ", ".join(need.stages[open_stage].approvers)
    step = (
        f"stage {open_stage + 1} of {len(need.stages)}" if len(need.stages) > 1 else "this request"
    )
    why = f": {vote.not_on_record}" if vote.not_on_record else ""
    taken = _taken_seat(need.stages[open_stage], vote, request)
    if taken:
        did = "asked for it" if _asked(request, taken) else "has answered"
        why = f": {taken}, for whom they stand in, {did}"
    return f"{vote.reviewer} may not answer {step}{why}; it waits for {wanted}"


def spent_stage(request: Request, reviewer: str) -> int | None:
    """Return the closed stage an approval by or for this person stands in, None if there is none.

    A person's seat is spent by their stand-in's approval too.
    """
    name, open_stage = person(reviewer), tally(request).stage
    for known in request.votes:
        closed = _NO_STAGE < known.stage < open_stage
        if closed and known.answer is not Answer.REJECT and name in _seat(known):
            return known.stage
    return None


def may_answer(stage: Stage, vote: c.Vote, request: Request | None = None) -> bool:
    """True if the stage is open to anyone, names the reviewer or one of their roles, or names
    somebody the reviewer stands in for, who neither asked for the request nor answered it.

    A name that is a role's stands for those who hold the role, never for a person of that name.
    """
    return (
        not stage.approvers or _in_own_right(stage, vote) or bool(_stands_in(stage, vote, request))
    )


def _in_own_right(stage: Stage, vote: c.Vote) -> bool:
    name = "" if vote.is_role else vote.reviewer
    return not vote.not_on_record and _names(stage, name, vote.roles)


def _names(stage: Stage, reviewer: str, roles: frozenset[str]) -> bool:
    wanted = {person(name) for name in stage.approvers} - {""}
    return not wanted.isdisjoint({person(reviewer), *map(person, roles)})


def _stands_in(stage: Stage, vote: c.Vote, request: Request | None) -> str:
    """Return whom the reviewer stands in for in this stage, "" where in their own right or not."""
    if not stage.approvers or _in_own_right(stage, vote):
        return ""
    return next((who for who in _seats(stage, vote) if not _is_taken(request, who)), "")


def _taken_seat(stage: Stage, vote: c.Vote, request: Request) -> str:
    return next((who for who in _seats(stage, vote) if _is_taken(request, who)), "")


def _seats(stage: Stage, vote: c.Vote) -> list[str]:
    return [absent for absent, roles in vote.standing_for if _names(stage, absent, roles)]


def _is_taken(request: Request | None, absent: str) -> bool:
    """True if nobody may answer for this person: they asked for it, or have answered themselves,
    or their seat is in a stage that is closed.
    """
    if request is None:
        return False
    own = _vote_of(request, absent)
    answered = own is not None and own.stage != _NO_STAGE
    return _asked(request, absent) or answered or spent_stage(request, absent) is not None


def _on_behalf_of(
    stages: tuple[Stage, ...], open_stage: int, vote: c.Vote, request: Request
) -> str:
    """Return whom a vote that may be counted is given for, "" where in the reviewer's own right.

    A rejection may come from who is named in another stage than the open one.
    """
    for stage in (stages[open_stage], *(stages if vote.answer is Answer.REJECT else ())):
        if may_answer(stage, vote, request):
            return _stands_in(stage, vote, request)
    return ""


def count(request: Request, vote: c.Vote, now: datetime) -> dict[str, Any]:
    """Return the changed fields of the request after the vote.

    An edit changes the details, the requirement that both the old and the new details must meet,
    and the deadline if that requirement's is sooner. It approves only where it satisfies that
    requirement; and every vote from before stops counting, since its stage was of the old one.
    """
    changes: dict[str, Any] = {}
    payload, stage, need = vote.payload_sha256, tally(request).stage, request.requirement
    for_whom = _on_behalf_of(need.stages, stage, vote, request)
    mine = {person(vote.reviewer), person(for_whom or vote.reviewer)}
    others = [known for known in request.votes if mine.isdisjoint(_seat(known))]
    if vote.edit is not None:
        payload = vote.edit.payload_sha256
        verdict = _judged_again(request, vote.edit.verdict, now)
        need = verdict.requirement
        changes["verdict"] = verdict
        changes["expires_at"] = min(request.expires_at, now + timedelta(seconds=need.timeout_s))
        changes["edited"] = Edited(
            details=vote.edit.details,
            payload_sha256=payload,
            by=vote.reviewer,
            at=now,
            changes=vote.edit.changes,
        )
        stage = 0 if _satisfies(need, vote, request) else _NO_STAGE
        for_whom = _on_behalf_of(need.stages, 0, vote, request) or for_whom
        others = [replace(known, stage=_NO_STAGE) for known in others]
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
        on_behalf_of=for_whom,
    )
    changes["votes"] = (*others, cast)
    return changes


def _seat(known: Vote) -> set[str]:
    """Return who gave a vote; where they stood in, also whose it is."""
    return {person(known.reviewer), person(known.on_behalf_of or known.reviewer)}


def _satisfies(need: Requirement, vote: c.Vote, request: Request) -> bool:
    return (
        vote.assurance.rank >= need.assurance.rank
        and may_answer(need.stages[0], vote, request)
        and not _lacks_reason(need, vote)
        and not _lacks_name(need, vote)
    )


def _judged_again(request: Request, fresh: Verdict, now: datetime) -> Verdict:
    """Return the verdict after an edit; what was reminded and escalated before stays so."""
    fresh = replace(fresh, requirement=hours.resolved(fresh.requirement, request.created_at, now))
    verdict, need = stricter(request.verdict, fresh), request.requirement
    if fresh.effect is Effect.ALLOW:  # it asks for nothing; its requirement is only a default
        return replace(verdict, requirement=need)
    new = fresh.requirement
    for rung in need.escalate[: request.escalated]:
        new = widened(new, rung)
    new = stricter_requirement(need, new)
    new = replace(
        new,
        remind_s=_onward(need.remind_s[: request.reminded], new.remind_s),
        escalate=_onward(need.escalate[: request.escalated], new.escalate),
    )
    return replace(verdict, requirement=new)


def _onward(past: tuple[_T, ...], every: tuple[_T, ...]) -> tuple[_T, ...]:
    return (*past, *(item for item in every if item not in past))
