"""Owns the sentences of a note: why, who, how, and what happened. Never parses any of them back.

Everything returned is inert Markdown on one line.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from hitl_vault.core.events import Event, Kind, Recorded
from hitl_vault.core.model import Answer, Assurance, Repeats, Request, Requirement, Stage, Status
from hitl_vault.core.statement import key_id_of
from hitl_vault.document.inert import inert_line, spelt_out
from hitl_vault.document.outline import LABELS

BOXES = (Answer.APPROVE, Answer.REJECT, Answer.EDIT)

_ANSWERS = {
    Answer.APPROVE: "approves",
    Answer.REJECT: "rejects",
    Answer.EDIT: "approves with changes",
}

_FILE_CHANNELS = frozenset({None, "", "file", "note", "document", "vault"})


def stamp(at: datetime) -> str:
    """Return a time as it stands in the properties: `2026-11-21T09:30:12Z`."""
    return f"{at.astimezone(UTC).isoformat()[:19]}Z"


def _time(at: datetime) -> str:
    return f"{at.astimezone(UTC).isoformat(' ')[:19]} UTC"


def title(request: Request) -> str:
    """Return the heading: the kind of action, and in short what it is."""
    rest = inert_line(request.verdict.summary or request.action.description, limit=120)
    exact = inert_line(spelt_out(request.action.type), limit=400)
    start = f"{title_start(request)} ({exact})" if exact else title_start(request)
    return f"{start}: {rest}" if rest else start


def title_start(request: Request) -> str:
    """Return the part of the heading that never changes."""
    kind = request.action.type.replace("_", " ").strip()
    return f"# {inert_line(kind[:1].upper() + kind[1:], limit=60) or 'Action'}"


def summary(request: Request) -> str:
    """Return the policy's summary of what will run, "" if it gives none."""
    if not request.verdict.summary.strip():
        return ""
    return f"In short: {inert_line(request.verdict.summary, limit=400)}"


def why(request: Request) -> list[str]:
    """Return the list under "Why you are asked": one line a label, always the same labels."""
    verdict, action = request.verdict, request.action
    lines = {
        "Reason": "; ".join(inert_line(reason, limit=300) for reason in verdict.reasons)
        or "no rule allows it without asking",
        "Rule": ", ".join(inert_line(rule, limit=80) for rule in verdict.rules) or "the default",
        "Risk": verdict.risk.value,
        "Needed": needed(verdict.requirement),
        "Answer by": _time(request.expires_at),
        "Asked by": inert_line(action.requested_by, limit=120),
    }
    if action.agent and action.agent != action.requested_by:
        lines["Agent"] = inert_line(action.agent, limit=120)
    if action.run_id:
        lines["Run"] = inert_line(action.run_id, limit=120)
    return [f"- {label}: {text}" for label, text in lines.items()]


def needed(need: Requirement) -> str:
    """Return who must approve, how many, and how sure we must be, in words."""
    groups = ", then ".join(_group(stage) for stage in need.stages)
    against = (
        "one rejection ends it"
        if need.veto
        else "it takes as many rejections as approvals to end it"
    )
    sure = {
        Assurance.EDITED: "an answer in this note is enough",
        Assurance.AUTHENTICATED: "the answer must be authenticated, in this note by a code",
        Assurance.SIGNED: "the answer must be signed, which a note cannot be",
    }[need.assurance]
    again = "; a repeat joins it while it waits" if need.repeats is Repeats.JOIN else ""
    return f"approval by {groups}; {against}; {sure}{again}"


def _group(stage: Stage) -> str:
    if not stage.approvers:
        return "one person" if stage.quorum == 1 else f"{stage.quorum} different people"
    names = ", ".join(inert_line(name, limit=80) for name in stage.approvers)
    if stage.quorum == 1 and len(stage.approvers) == 1:
        return names
    return f"{'one' if stage.quorum == 1 else stage.quorum} of {names}"


def boxes(request: Request) -> list[str]:
    """Return the box lines for the answers the requirement allows."""
    return [box(answer) for answer in BOXES if answer in request.requirement.answers]


def box(answer: Answer) -> str:
    """Return one unticked box."""
    return f"- [ ] {LABELS[answer]} ^{answer.value}"


def how(request: Request) -> str:
    """Return the sentence that says how to answer."""
    need = request.requirement
    if need.assurance is Assurance.SIGNED:
        return (
            f"To answer: run {_commands(request, ' --sign KEY')}, with your key. This note cannot "
            "answer, because the rule asks for a signed answer."
        )
    words = [
        (word, folder)
        for word, folder, answer in (
            ("approved", "Approved", Answer.APPROVE),
            ("rejected", "Rejected", Answer.REJECT),
        )
        if answer in need.answers
    ]
    ways = ["tick one box"]
    if words:
        ways.append(f"set `status` to {' or '.join(word for word, _ in words)}")
        ways.append(f"move this note to {' or '.join(folder for _, folder in words)}")
    if need.assurance is Assurance.AUTHENTICATED:
        return (
            f"To answer: write the code you were sent in `code`, then {'; or '.join(ways)}; or run "
            f"{_commands(request)}. Without a code this note cannot answer, because the rule asks "
            f"for an authenticated answer. {_name_and_reason(need)}"
        )
    return f"To answer: {'; or '.join(ways)}. {_name_and_reason(need)}"


def _commands(request: Request, options: str = "") -> str:
    verbs = [
        verb
        for verb, answer in (("approve", Answer.APPROVE), ("reject", Answer.REJECT))
        if answer in request.requirement.answers
    ]
    if not verbs:  # approving with changes is the only answer
        return f"`hitl approve {request.id} --set NAME=VALUE{options}`"
    return " or ".join(f"`hitl {verb} {request.id}{options}`" for verb in verbs)


def _name_and_reason(need: Requirement) -> str:
    matters = len(need.stages) > 1 or need.stages[0].quorum > 1 or bool(need.stages[0].approvers)
    name = (
        "Your name must stand in `reviewer`, because this rule counts who answers"
        if matters
        else "Your name goes in `reviewer`"
    )
    if not need.require_reason:
        return f"{name}; your reason, if you give one, in `reason`."
    verbs = " or ".join(
        {"approve": "approve", "reject": "reject", "edit": "approve with changes"}[answer]
        for answer in need.require_reason
    )
    return f"{name}; a reason is required to {verbs}: write it in `reason`."


def outcome(request: Request) -> str:
    """Return how the execution ended, "" before it did."""
    ended = request.outcome
    if ended is None:
        return ""
    at = _time(ended.at)
    by = inert_line(ended.by, limit=120)
    match ended.status:
        case Status.EXECUTED:
            return f"Outcome: executed, {at}, reported by {by}"
        case Status.FAILED:
            return f"Outcome: failed, {at}, reported by {by}"
        case _:
            why_not = f" ({inert_line(ended.error)})" if ended.error else ""
            return (
                f"Outcome: not known{why_not}. Find out how it ended, then run "
                f"`hitl resolve {request.id}`."
            )


def audit_line(recorded: Recorded) -> str:
    """Return the line for one event: time, who, what, and the start of its chain hash."""
    event = recorded.event
    who, what = _fact(event)
    return f"- {_time(event.at)} · {who} · {what} · {mark(recorded)}"


def mark(recorded: Recorded) -> str:
    """Return the end of an event's audit line, by which the line is known again."""
    return f"`{recorded.hash[:8]}`"


def audit(history: Sequence[Recorded]) -> list[str]:
    """Return the audit lines in order."""
    return [audit_line(recorded) for recorded in history]


def _fact(event: Event) -> tuple[str, str]:
    who = inert_line(event.actor, limit=80) or "nobody named"
    return _FACTS[event.kind](who, event.data)


def _vote(who: str, data: dict[str, Any]) -> tuple[str, str]:
    says = _ANSWERS.get(data.get("answer", ""), "answers")
    if data.get("on_behalf_of"):
        says = f"{says} for {_text(data, 'on_behalf_of')}"
    reason = _because(data)
    if data.get("assurance") == Assurance.EDITED:
        # a file shows that somebody who can write it typed a name, not who that was
        if data.get("channel") in _FILE_CHANNELS:
            return "the file", f"the file says {who} {says}{reason}"
        channel = _text(data, "channel")
        return channel, f"an unproved call over {channel} says {who} {says}{reason}"
    key = inert_line(key_id_of(str(data.get("proof") or "")), limit=80)
    sure = f"{_text(data, 'assurance')}{f' with {key}' if key else ''}"
    return who, f"{says} ({sure}, over {_text(data, 'channel')}){reason}"


def _changes(data: dict[str, Any]) -> str:
    return "; ".join(
        f"{inert_line(str(path), limit=80)} {inert_line(str(before), limit=80)} → "
        f"{inert_line(str(after), limit=80)}"
        for path, before, after in data.get("changes", ())
    )


def _because(data: dict[str, Any], key: str = "reason") -> str:
    text = _text(data, key)
    return f": {text}" if text else ""


def _until(data: dict[str, Any]) -> str:
    try:
        return f"; it may be started until {_time(datetime.fromisoformat(data['use_by']))}"
    except (KeyError, TypeError, ValueError):
        return ""


def _names(data: dict[str, Any], key: str) -> str:
    return ", ".join(inert_line(str(name)) for name in data.get(key, ()))


def _nobody(data: dict[str, Any]) -> str:
    return f"; on record nobody is {_names(data, 'nobody')}" if data.get("nobody") else ""


def _text(data: dict[str, Any], key: str) -> str:
    return inert_line(str(data.get(key) or ""))


_FACTS: dict[Kind, Callable[[str, dict[str, Any]], tuple[str, str]]] = {
    Kind.REQUESTED: lambda who, _: (who, "asked"),
    Kind.VOTED: _vote,
    Kind.EDITED: lambda _, data: ("ledger", f"the details were changed: {_changes(data)}"),
    Kind.APPROVED: lambda _, data: ("ledger", f"approved{_until(data)}"),
    Kind.REJECTED: lambda *_: ("ledger", "rejected"),
    Kind.EXPIRED: lambda _, data: ("ledger", f"expired{_because(data)}"),
    Kind.CANCELLED: lambda who, data: (who, f"cancelled{_because(data)}"),
    Kind.CLAIMED: lambda who, _: (who, "started it"),
    Kind.EXECUTED: lambda who, _: (who, "reported success"),
    Kind.FAILED: lambda who, data: (who, f"reported failure{_because(data, 'error')}"),
    Kind.LOST: lambda who, data: (who, f"how it ended is not known{_because(data, 'error')}"),
    Kind.RESOLVED: lambda who, data: (
        who,
        f"resolved it as {_text(data, 'status')}{_because(data, 'error')}",
    ),
    Kind.REMINDED: lambda *_: ("clock", "reminded"),
    Kind.ESCALATED: lambda _, data: ("clock", f"escalated to {_names(data, 'to')}{_nobody(data)}"),
    Kind.COMMENTED: lambda who, data: (who, f"commented{_because(data, 'text')}"),
    Kind.CODE_ISSUED: lambda _, data: ("ledger", f"sent a code to {_text(data, 'reviewer')}"),
    Kind.REFUSED: lambda who, data: (
        "ledger",
        f"refused an answer in the name of {who}{_because(data, 'problem')}",
    ),
}
