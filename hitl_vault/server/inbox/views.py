"""Owns what a page shows of one request, ready to be placed. Never changes or judges one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from hitl_vault import records
from hitl_vault.core.access import Identity, Scope
from hitl_vault.core.model import Answer, Assurance, Change, Request, Status, Vote
from hitl_vault.core.standings import stage_counts
from hitl_vault.core.voting import person, tally
from hitl_vault.document import sentences
from hitl_vault.document.inert import visible
from hitl_vault.document.listing import Listed, listed, may_mislead

MOST_VALUES, LONGEST_VALUE = 14, 400
"""How much of the details a card in the queue shows; who wants to answer must see all of it."""

_ALL_VALUES, _WHOLE_VALUE = 2_000, 20_000
_LONGEST_RESULT = 50_000
_SURE = {
    Assurance.EDITED: "any answer counts",
    Assurance.AUTHENTICATED: "the answer must show who gave it: by signing in, or by a one-time "
    "code",
    Assurance.SIGNED: "the answer must be signed with a key",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """One value of the details, as `Listed`, harmless and no longer than the page shows."""

    path: str
    text: str
    exact_path: str
    exact: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StageView:
    """One stage: who approved, of whom, and how many must."""

    number: int
    needed: int
    who: str
    approved_by: tuple[str, ...]
    is_open: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A request as a page shows it. `bar` says why there is nothing to answer here, "" if there is.

    `complete` is false where not all of the details are shown; `misleads` is true where a name in
    them, or the type, can be taken for another. `needs_code` is true where the
    caller's answer counts only with a one-time code.
    """

    request: Request
    status: Status
    title: str
    why: tuple[str, ...]
    values: tuple[Value, ...]
    complete: bool
    misleads: bool
    json: str
    changes: tuple[Change, ...]
    needed: str
    so_far: str
    stages: tuple[StageView, ...]
    waits_for: tuple[str, ...]
    votes: tuple[tuple[Vote, str], ...]
    left_s: float
    bar: str
    needs_code: bool
    must_say_why: tuple[str, ...]
    decision: str
    result: str

    @property
    def id(self) -> str:
        """The request's id."""
        return self.request.id

    @property
    def is_open(self) -> bool:
        """True while it waits for an answer."""
        return self.status is Status.PENDING


def view_of(
    request: Request,
    now: datetime,
    caller: Identity | None,
    waits_for: tuple[str, ...] = (),
    *,
    whole: bool = False,
) -> View:
    """Return a request for a page; `whole` shows all of it."""
    status = records.standing(request, now)
    found = listed(request.details)
    values, complete = _values(found, whole=whole)
    need = request.requirement
    short = caller is None or caller.assurance.rank < need.assurance.rank
    return View(
        request=request,
        status=status,
        title=_sentence(sentences.headline(request)),
        why=tuple(sentences.safe(reason, limit=400) for reason in request.verdict.reasons)
        or ("no rule allows it without asking",),
        values=values,
        complete=complete,
        misleads=not request.action.type.isascii() or may_mislead(found),
        json=records.as_json(request.details) if whole else "",
        changes=() if request.edited is None else request.edited.changes,
        needed=_needed(request),
        so_far=sentences.count_so_far(request),
        stages=_stages(request),
        waits_for=tuple(sentences.safe(name, limit=80) for name in waits_for),
        votes=tuple((vote, sentences.vote_line(vote)) for vote in request.votes),
        left_s=(request.expires_at - now).total_seconds(),
        bar=_bar(request, status, caller),
        needs_code=short and need.assurance is Assurance.AUTHENTICATED,
        must_say_why=tuple(_VERBS[answer] for answer in need.require_reason),
        decision=_sentence(sentences.decision_line(request, status)),
        result=_result(request) if whole else "",
    )


_VERBS = {
    Answer.APPROVE: "approve",
    Answer.REJECT: "reject",
    Answer.EDIT: "approve with changes",
}


def _sentence(line: str) -> str:
    return f"{line[:1].upper()}{line[1:]}"


def _result(request: Request) -> str:
    text = records.as_json(request.result)
    more = len(text) - _LONGEST_RESULT
    return text if more <= 0 else f"{text[:_LONGEST_RESULT]}\n… ({more:,} more characters)"


def _needed(request: Request) -> str:
    need = request.requirement
    against = (
        "one rejection ends it"
        if need.veto
        else "it takes as many rejections as approvals to end it"
    )
    return f"Approval by {sentences.groups(need)}; {against}; {_SURE[need.assurance]}"


def _bar(request: Request, status: Status, caller: Identity | None) -> str:
    if status is not Status.PENDING:
        return "There is nothing left to answer."
    if request.requirement.assurance is Assurance.SIGNED:
        return (
            "This rule asks for an answer signed with a key, which a page cannot give. Run: "
            f"hitl approve {request.id} --sign KEY, or hitl reject {request.id} --sign KEY"
        )
    if caller is None:
        return ""
    if not caller.may(Scope.VOTE):
        return "You may look at this, and not answer it."
    asked = {person(request.action.requested_by), person(request.action.agent)} - {""}
    if caller.name and person(caller.name) in asked:
        return "You asked for this, so somebody else must answer it."
    return ""


def _stages(request: Request) -> tuple[StageView, ...]:
    need, now_open = request.requirement, tally(request).stage
    return tuple(
        StageView(
            number=count.number + 1,
            needed=count.needed,
            who=", ".join(sentences.safe(name, limit=80) for name in stage.approvers) or "anybody",
            approved_by=tuple(sentences.safe(vote.reviewer, limit=80) for vote in count.approvals),
            is_open=count.number == now_open and request.status is Status.PENDING,
        )
        for stage, count in zip(need.stages, stage_counts(request), strict=True)
    )


def _values(found: list[Listed], *, whole: bool) -> tuple[tuple[Value, ...], bool]:
    most, longest = (_ALL_VALUES, _WHOLE_VALUE) if whole else (MOST_VALUES, LONGEST_VALUE)
    complete = len(found) <= most and all(
        len(one.path) <= longest and len(one.text) <= longest for one in found
    )
    return tuple(_value(one, longest) for one in found[:most]), complete


def _value(one: Listed, longest: int) -> Value:
    return Value(
        path=sentences.safe(one.path, limit=longest),
        text=visible(one.text[:longest].replace("\r", "\n"))
        + ("…" if len(one.text) > longest else ""),
        exact_path=sentences.safe(one.exact_path, limit=longest),
        exact=one.exact,
    )
