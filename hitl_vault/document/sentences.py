"""Owns the sentences about requests and events, for terminals and pages. Never prints one.

Every text from elsewhere in them is on one line, with what would act or hide named; a page escapes
it besides.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from hitl_vault.core.durations import show_duration
from hitl_vault.core.events import Event, Kind
from hitl_vault.core.model import Assurance, Repeats, Request, Requirement, Stage, Status, Vote
from hitl_vault.core.register import REGISTER_ID
from hitl_vault.core.statement import key_id_of
from hitl_vault.core.voting import tally
from hitl_vault.document.inert import one_line, spelt_out

_FOLLOWING = frozenset({Kind.EDITED, Kind.APPROVED, Kind.REJECTED, Kind.EXPIRED})
_ANSWERS = {"approve": "approves", "reject": "rejects", "edit": "approves with changes"}


def safe(text: object, *, limit: int = 2_000) -> str:
    """Return text fit to be shown: one line, its control, bidi and hidden characters named."""
    plain = str(text)
    return one_line(plain) if len(plain) <= limit else f"{one_line(plain[:limit])}…"


def headline(request: Request) -> str:
    """Return what an action is, in one line: the policy's summary, else the agent's words."""
    kind = safe(request.action.type).replace("_", " ")
    exact = spelt_out(request.action.type)
    kind = f"{kind} ({safe(exact)})" if exact else kind
    rest = safe(request.verdict.summary or request.action.description, limit=300)
    return f"{kind}: {rest}" if rest else kind


def time_left(request: Request, now: datetime) -> str:
    """Return how long there is to answer, or since when it is answered."""
    if request.status is not Status.PENDING:
        since = request.decided_at or request.updated_at
        return f"{show_duration((now - since).total_seconds())} ago"
    left = (request.expires_at - now).total_seconds()
    return show_duration(left) if left > 0 else "passed"


def needed(need: Requirement) -> str:
    """Return who must approve and how sure we must be."""
    sure = {
        Assurance.EDITED: "an edited note is enough",
        Assurance.AUTHENTICATED: "authenticated: with hitl approve, or by a code in the note",
        Assurance.SIGNED: "signed: with hitl approve --sign KEY, or hitl ballot",
    }[need.assurance]
    reasons = ", ".join(answer.value for answer in need.require_reason)
    said = [groups(need), sure]
    said += [f"a reason is required to {reasons}"] if reasons else []
    said += ["a repeat joins it while it waits"] if need.repeats is Repeats.JOIN else []
    return "; ".join(said)


def groups(need: Requirement) -> str:
    """Return who must approve, and how many."""
    return ", then ".join(_group(stage) for stage in need.stages)


def _group(stage: Stage) -> str:
    if not stage.approvers:
        return "one person" if stage.quorum == 1 else f"{stage.quorum} different people"
    names = ", ".join(safe(name) for name in stage.approvers)
    if stage.quorum == 1 and len(stage.approvers) == 1:
        return names
    return f"{'one' if stage.quorum == 1 else stage.quorum} of {names}"


def count_so_far(request: Request) -> str:
    """Return how far the votes of a pending request have come."""
    count, stages = tally(request), len(request.requirement.stages)
    stage = f" in stage {count.stage + 1} of {stages}" if stages > 1 else ""
    return f"{count.approvals} of {count.needed} approvals{stage}"


def vote_line(vote: Vote) -> str:
    """Return one vote as a sentence."""
    says = _ANSWERS[vote.answer.value]
    if vote.on_behalf_of:
        says = f"{says} for {safe(vote.on_behalf_of)}"
    why = f": {safe(vote.reason)}" if vote.reason else ""
    sure = f"{vote.assurance}{_with_key(vote.proof)}"
    return f"{safe(vote.reviewer)} {says} ({sure}, over {safe(vote.channel)}){why}"


def decision_line(request: Request, status: Status | None = None) -> str:
    """Return how a request stands as a sentence, without its id."""
    status = status or request.status
    if status is Status.PENDING:
        return f"still pending, {count_so_far(request)}"
    by = ", ".join(_voter(vote) for vote in request.votes)
    why = f": {safe(request.reason)}" if request.reason else ""
    if status is Status.REJECTED:
        return f"rejected by {by}{why}"
    if not status.was_approved:
        return f"{status}{why}"
    changed = " with changes" if request.edited is not None else ""
    approved = f"approved{changed} by {by}{why}"
    if status is Status.APPROVED:
        return approved
    error = request.outcome.error if request.outcome else ""
    return f"{status}{f' ({safe(error)})' if error else ''}, {approved}"


def _voter(vote: Vote) -> str:
    for_whom = f" for {safe(vote.on_behalf_of)}" if vote.on_behalf_of else ""
    return f"{safe(vote.reviewer)}{for_whom}"


def subject(event: Event) -> str:
    """Return what an event is about: a request's id, or the vault as a whole."""
    return "(the vault)" if event.request_id == REGISTER_ID else event.request_id


def who(event: Event) -> str:
    """Return who caused an event; for an unproved answer, what it came over."""
    if event.kind in _FOLLOWING:
        return "ledger"
    if event.kind is Kind.VOTED and event.data.get("assurance") == Assurance.EDITED:
        channel = safe(event.data.get("channel"))
        return "the note" if channel in {"note", "file"} else channel
    return safe(event.actor) or "nobody named"


def what(event: Event) -> str:
    """Return what an event says happened."""
    return _FACTS[event.kind](safe(event.actor), event.data)


def _because(data: dict[str, Any], key: str = "reason") -> str:
    text = safe(data.get(key) or "")
    return f": {text}" if text else ""


def _voted(actor: str, data: dict[str, Any]) -> str:
    says = _ANSWERS.get(str(data.get("answer")), "answers")
    if data.get("on_behalf_of"):
        says = f"{says} for {safe(data['on_behalf_of'])}"
    if data.get("assurance") == Assurance.EDITED:
        return f"says {actor} {says}{_because(data)}"
    sure = f"{safe(data.get('assurance'))}{_with_key(str(data.get('proof') or ''))}"
    return f"{says} ({sure}, over {safe(data.get('channel'))}){_because(data)}"


def _with_key(proof: str) -> str:
    key = key_id_of(proof)
    return f" with {safe(key)}" if key else ""


def _changes(data: dict[str, Any]) -> str:
    return "; ".join(
        f"{safe(path)} {safe(before, limit=80)} → {safe(after, limit=80)}"
        for path, before, after in data.get("changes", ())
    )


def _names(data: dict[str, Any], key: str, between: str = ", ") -> str:
    return between.join(safe(name) for name in data.get(key, ()))


def _nobody(data: dict[str, Any]) -> str:
    return f"; on record nobody is {_names(data, 'nobody')}" if data.get("nobody") else ""


def _until(data: dict[str, Any]) -> str:
    text = safe(data.get("use_by") or "")
    return f", to be started before {text[:19].replace('T', ' ')} UTC" if text else ""


_FACTS: dict[Kind, Callable[[str, dict[str, Any]], str]] = {
    Kind.REQUESTED: lambda _, data: f"asks for {safe(data.get('type') or 'an action')}",
    Kind.VOTED: _voted,
    Kind.EDITED: lambda _, data: f"the details are changed: {_changes(data)}",
    Kind.APPROVED: lambda _, data: f"it is approved{_until(data)}",
    Kind.REJECTED: lambda *_: "it is rejected",
    Kind.EXPIRED: lambda _, data: f"it expires{_because(data)}",
    Kind.CANCELLED: lambda _, data: f"cancels it{_because(data)}",
    Kind.CLAIMED: lambda *_: "starts it",
    Kind.EXECUTED: lambda *_: "reports success",
    Kind.FAILED: lambda _, data: f"reports failure{_because(data, 'error')}",
    Kind.LOST: lambda _, data: f"how it ended is not known{_because(data, 'error')}",
    Kind.RESOLVED: lambda _, data: (
        f"resolves it as {safe(data.get('status'))}{_because(data, 'error')}"
    ),
    Kind.REMINDED: lambda *_: "reminds",
    Kind.ESCALATED: lambda _, data: f"escalates to {_names(data, 'to')}{_nobody(data)}",
    Kind.COMMENTED: lambda _, data: f"remarks{_because(data, 'text')}",
    Kind.CODE_ISSUED: lambda _, data: f"a code is sent to {safe(data.get('reviewer'))}",
    Kind.REFUSED: lambda _, data: f"an answer is refused{_because(data, 'problem')}",
    Kind.POLICY_CHANGED: lambda _, data: (
        f"a policy comes into force, {'looser' if data.get('loosens') else 'not looser'}"
    ),
    Kind.REVIEWERS_CHANGED: lambda _, data: (
        f"the reviewers change: {_names(data, 'changes', '; ') or 'no name, role or key'}"
    ),
    Kind.GRANTED: lambda _, data: f"grants {safe(data.get('type'))}, {data.get('uses')} times",
    Kind.GRANT_USED: lambda _, data: (
        f"{safe(data.get('grant_id'))} is used for {safe(data.get('request_id'))}"
    ),
    Kind.GRANT_REVOKED: lambda _, data: f"revokes {safe(data.get('grant_id'))}{_because(data)}",
    Kind.FACTOR_SPENT: lambda *_: "a second factor is used",
    Kind.FACTOR_MISSED: lambda *_: "a code of a second factor is wrong",
    Kind.ALERT_FIRED: lambda _, data: f"an alert fires{_because(data, 'message')}",
    Kind.ALERT_ENDED: lambda _, data: f"an alert ends{_because(data, 'message')}",
}


def unwritten(id: str) -> str:
    """Return what to do where a request that waits has no note."""
    return f"the note cannot be written; answer with: hitl approve {id}"
