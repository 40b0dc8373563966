"""Owns what people are told of an event: the words, and the same as JSON. Never sends anything.

The words come from templates, whose values are inert, as those of notes are. The first line a
template makes is the subject, and after a blank line comes the body.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import msgspec

from hitl_vault.core.chain import decode_request, encode_request
from hitl_vault.core.durations import show_duration
from hitl_vault.core.duties import ALERTS, CALLS, opens_a_stage
from hitl_vault.core.events import Event, Kind, Recorded
from hitl_vault.core.hiding import Hider, shown_grant
from hitl_vault.core.model import Answer, Assurance, Request, Status
from hitl_vault.core.redaction import Redaction
from hitl_vault.core.register import REGISTER_ID
from hitl_vault.document.inert import one_line, spelt_out, visible
from hitl_vault.document.plain import plain, plain_json, plain_line, readable
from hitl_vault.document.render import compiled

ONE = "message.txt.j2"
SEVERAL = "digest.txt.j2"
MAX_JSON = 4_000
MAX_SUBJECT = 160
_MAX_HIDDEN = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """One event to tell. `request` is as it stands now, None for events of the vault as a whole.

    `waits_for` names who must answer now; `code` is the one-time code of whom it is told to, and
    `link` the address of the page that shows the request, which answers with that code. `hidden`
    are the places of the details that are not shown, as JSON Pointers.
    """

    recorded: Recorded
    request: Request | None
    waits_for: tuple[str, ...] = ()
    note: str = ""
    code: str = field(default="", repr=False)
    link: str = field(default="", repr=False)
    hidden: tuple[str, ...] = ()


def without(news: News, redaction: Redaction) -> News:
    """Return the news without hidden values: in the details, and wherever else they stand again.

    Digests, the id and how to answer stay; what was recorded, and the note, stay whole.
    """
    if not redaction:
        return news
    event, request = news.recorded.event, news.request
    if request is None:
        data = shown_grant(event.data, redaction)
        return replace(news, recorded=replace(news.recorded, event=replace(event, data=data)))
    hider = _hider(request, redaction)
    shown = replace(event, data=hider.shown_data(event.data))
    return replace(
        news,
        recorded=replace(news.recorded, event=shown),
        request=_shown(hider),
        hidden=tuple(hider.hidden_places()),
    )


def request_without(request: Request, redaction: Redaction) -> tuple[Request, tuple[str, ...]]:
    """Return a request as a message shows it, and where its details are hidden (JSON Pointers)."""
    if not redaction:
        return request, ()
    hider = _hider(request, redaction)
    return _shown(hider), tuple(hider.hidden_places())


def _hider(request: Request, redaction: Redaction) -> Hider:
    return Hider(redaction=redaction, state=json.loads(encode_request(request)))


def _shown(hider: Hider) -> Request:
    return decode_request(json.dumps(hider.shown_state()).encode())


class MessageRenderer:
    """Makes messages. Templates are compiled when they are first needed."""

    def __init__(self, templates: Mapping[str, str]) -> None:
        self._templates = templates
        self._compiled: dict[str, Callable[[dict[str, Any]], str]] = {}

    def render(self, news: Sequence[News], now: datetime) -> tuple[str, str]:
        """Return subject and body.

        Raises:
            DocumentError: A template of one's own cannot be used; `path` names it.
        """
        if len(news) == 1:
            return self._filled(ONE, words(news[0], now))
        items = [words(one, now) for one in news]
        requests = {one.recorded.event.request_id for one in news} - {REGISTER_ID}
        return self._filled(SEVERAL, {"items": items, "count": len(requests)})

    def _filled(self, name: str, values: dict[str, Any]) -> tuple[str, str]:
        if name not in self._compiled:
            self._compiled[name] = compiled(self._templates, name)
        subject, _, body = self._compiled[name](values).partition("\n")
        return one_line(subject)[:MAX_SUBJECT], visible(body).strip("\n") + "\n"


def words(news: News, now: datetime) -> dict[str, Any]:
    """Return what a template may place: inert lines and lists of them, by name."""
    event, request = news.recorded.event, news.request
    values: dict[str, Any] = {
        "what": _what(news),
        "calls": event.kind in CALLS,
        "kind": event.kind.value,
        "at": _time(event.at),
        "code": one_line(news.code),
        "link": one_line(news.link),
        "waits_for": [plain_line(name, limit=80) for name in news.waits_for],
        "title": "",
        "details": _of_alert(event) if event.kind in ALERTS else [],
        "how": ["hitl alerts"] if event.kind is Kind.ALERT_FIRED else [],
        "exact": "",
        "hidden": [],
        "id": "",
        "deadline": "",
    }
    return values if request is None else values | _of_request(news, request, now)


def _of_alert(event: Event) -> list[str]:
    found = [f"alert: {_name(event, 'name')}", f"threshold: above {_name(event, 'threshold')}"]
    since = event.data.get("since")
    return [*found, f"since: {_time(datetime.fromisoformat(since))}"] if since else found


def _of_request(news: News, request: Request, now: datetime) -> dict[str, Any]:
    action, verdict = request.action, request.verdict
    exact = plain_json(request.details, limit=MAX_JSON)
    return {
        "id": plain_line(request.id),
        "title": title(request),
        "status": request.status.value,
        "details": readable(request.details),
        "exact": exact or "longer than a message; it stands in the note",
        "hidden": _hidden(news.hidden),
        "payload_sha256": request.payload_in_force,
        "edited": request.edited is not None,
        "risk": verdict.risk.value,
        "why": [plain_line(reason, limit=300) for reason in verdict.reasons]
        or ["no rule allows it without asking"],
        "rules": ", ".join(plain_line(rule, limit=80) for rule in verdict.rules),
        "asked_by": plain_line(action.requested_by, limit=120),
        "agent": "" if action.agent == action.requested_by else plain_line(action.agent, limit=120),
        "deadline": deadline(request, now),
        "how": how(request, news.note, with_code=bool(news.code)),
        "says": plain(action.description),
    }


def _hidden(places: Sequence[str]) -> list[str]:
    shown = [plain_line(place, limit=120) for place in places[:_MAX_HIDDEN]]
    more = len(places) - len(shown)
    return [*shown, f"{more} more"] if more else shown


def title(request: Request) -> str:
    """Return what an action is, in one line."""
    kind = plain_line(request.action.type.replace("_", " "), limit=60) or "action"
    exact = plain_line(spelt_out(request.action.type), limit=400)
    kind = f"{kind} ({exact})" if exact else kind
    rest = plain_line(request.verdict.summary or request.action.description, limit=100)
    return f"{kind}: {rest}" if rest else kind


def deadline(request: Request, now: datetime) -> str:
    """Return until when it can be answered, "" where it no longer can."""
    if request.status is not Status.PENDING:
        return ""
    left = (request.expires_at - now).total_seconds()
    return f"{_time(request.expires_at)} ({show_duration(left)} left)"


def how(request: Request, note: str, *, with_code: bool) -> list[str]:
    """Return how to answer, one way a line; nothing once it is answered."""
    if request.status is Status.UNKNOWN:
        return [f"hitl resolve {plain_line(request.id)} with executed or failed"]
    if request.status is not Status.PENDING:
        return []
    need = request.requirement
    if plain_line(request.id) != request.id:  # an id of the caller's own that looks like an address
        return ["hitl review"]
    verbs = [
        f"hitl {verb} {request.id}"
        for verb, answer in (("approve", Answer.APPROVE), ("reject", Answer.REJECT))
        if answer in need.answers
    ]
    if with_code:
        verbs = [f"{verb} --code CODE" for verb in verbs]
    ways = [" or ".join(verbs) or f"hitl review {request.id}"]
    if note:
        ways.append(_in_the_note(note, need.assurance, with_code=with_code))
    return ways


def _in_the_note(note: str, needed: Assurance, *, with_code: bool) -> str:
    if with_code:
        return f"in the note {note}: the code goes in code, your name in reviewer; then tick a box"
    if needed is Assurance.AUTHENTICATED:
        return f"in the note {note}, with a one-time code that was sent to you"
    if needed is Assurance.EDITED:
        return f"in the note {note}"
    return f"read the note {note}; it cannot answer, as the rule asks for a signature"


def facts(news: News) -> dict[str, Any]:
    """Return the same as JSON values, as recorded but for what is hidden; never a code."""
    recorded, request = news.recorded, news.request
    event = recorded.event
    found: dict[str, Any] = {
        "seq": recorded.seq,
        "hash": recorded.hash,
        "kind": event.kind.value,
        "at": msgspec.to_builtins(event.at),
        "actor": event.actor,
        "data": event.data,
        "request": None,
    }
    if request is not None:
        found["request"] = {
            "id": request.id,
            "rev": request.rev,
            "status": request.status.value,
            "type": request.action.type,
            "description": request.action.description,
            "details": request.details,
            "hidden": list(news.hidden),
            "payload_sha256": request.payload_in_force,
            "requested_by": request.action.requested_by,
            "agent": request.action.agent,
            "run_id": request.action.run_id,
            "traceparent": request.trace.traceparent if request.trace else "",
            "tracestate": request.trace.tracestate if request.trace else "",
            "risk": request.verdict.risk.value,
            "summary": request.verdict.summary,
            "rules": list(request.verdict.rules),
            "reasons": list(request.verdict.reasons),
            "waits_for": list(news.waits_for),
            "reviewers": list(request.reviewers),
            "reason": request.reason,
            "created_at": msgspec.to_builtins(request.created_at),
            "expires_at": msgspec.to_builtins(request.expires_at),
            "note": news.note,
            "answer": how(request, news.note, with_code=False),
        }
    return found


def _time(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _name(event: Event, key: str = "") -> str:
    found = event.data.get(key) if key else event.actor
    return plain_line(str(found or ""), limit=80) or "nobody named"


def _because(event: Event, key: str = "reason") -> str:
    text = plain_line(str(event.data.get(key) or ""), limit=300)
    return f": {text}" if text else ""


def _escalated(event: Event) -> str:
    names = ", ".join(plain_line(str(name), limit=80) for name in event.data.get("to", ()))
    return f"Nobody has answered: {names} may answer too"


_SAYS: dict[str, str] = {
    Answer.APPROVE: "approves",
    Answer.EDIT: "approves with changes",
    Answer.REJECT: "rejects",
}


def _voted(event: Event) -> str:
    says = _SAYS.get(str(event.data.get("answer")), "answers")
    return f"{_name(event)} {says}{_because(event)}"


def _what(news: News) -> str:
    """Say in a few words what happened; what asks for an answer, only while it waits for one."""
    event, request = news.recorded.event, news.request
    waits = request is not None and request.status is Status.PENDING
    if event.kind is Kind.VOTED and waits and opens_a_stage(news.recorded, request):
        return "The next stage needs an answer"
    if event.kind is Kind.REQUESTED and not waits:
        return "Asked"
    return _FACTS[event.kind](event)


_FACTS: dict[Kind, Callable[[Event], str]] = {
    Kind.REQUESTED: lambda _: "An answer is needed",
    Kind.VOTED: _voted,
    Kind.EDITED: lambda _: "The details were changed: an answer is needed",
    Kind.APPROVED: lambda _: "Approved",
    Kind.REJECTED: lambda _: "Rejected",
    Kind.EXPIRED: lambda event: f"Expired{_because(event)}",
    Kind.CANCELLED: lambda event: f"Cancelled by {_name(event)}{_because(event)}",
    Kind.CLAIMED: lambda event: f"Started by {_name(event)}",
    Kind.EXECUTED: lambda _: "Executed",
    Kind.FAILED: lambda event: f"Failed{_because(event, 'error')}",
    Kind.LOST: lambda event: f"How it ended is not known{_because(event, 'error')}",
    Kind.RESOLVED: lambda event: f"Resolved as {_name(event, 'status')} by {_name(event)}",
    Kind.REMINDED: lambda _: "It still waits for an answer",
    Kind.ESCALATED: _escalated,
    Kind.COMMENTED: lambda event: f"{_name(event)} remarks{_because(event, 'text')}",
    Kind.CODE_ISSUED: lambda event: f"A one-time code for {_name(event, 'reviewer')}",
    Kind.REFUSED: lambda event: (
        f"An answer in the name of {_name(event, 'reviewer')} was refused"
        f"{_because(event, 'problem')}"
    ),
    Kind.POLICY_CHANGED: lambda event: (
        f"A policy came into force{', which is looser' if event.data.get('loosens') else ''}"
    ),
    Kind.REVIEWERS_CHANGED: lambda _: "The reviewers or their keys were changed",
    Kind.GRANTED: lambda event: f"{_name(event)} granted {_name(event, 'type')}",
    Kind.GRANT_USED: lambda event: f"A grant was used for {_name(event, 'request_id')}",
    Kind.GRANT_REVOKED: lambda event: f"{_name(event)} revoked a grant{_because(event)}",
    Kind.FACTOR_SPENT: lambda event: f"{_name(event)} used a second factor",
    Kind.FACTOR_MISSED: lambda event: f"A wrong code of {_name(event)}'s second factor was given",
    Kind.ALERT_FIRED: lambda event: f"An alert fires{_because(event, 'message')}",
    Kind.ALERT_ENDED: lambda event: f"An alert has ended{_because(event, 'message')}",
}
