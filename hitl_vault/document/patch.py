"""Owns bringing a note up to its request's state. Never changes a byte that is not the engine's.

The engine owns the values of `status`, `payload_sha256` and `risk`, its own tag, an empty
`reviewer` or `reason`, the `code` of a request that is decided, the code blocks and labelled lines
it wrote, the ticks of an answer that is counted, the feedback line, and the lines of Result and
Audit.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from hitl_vault.core import codes
from hitl_vault.core.events import Recorded
from hitl_vault.core.model import Answer, Request, Status
from hitl_vault.core.voting import UNNAMED, person
from hitl_vault.document import render, wording
from hitl_vault.document.ballot import Answered, Folder, Reading, read_ballot
from hitl_vault.document.feedback import with_feedback
from hitl_vault.document.frontmatter import CODE, quoted, text_of
from hitl_vault.document.outline import AUDIT, RESULT, Section
from hitl_vault.document.own_ballot import has_own_lines, read_properties
from hitl_vault.document.own_restate import restate_people
from hitl_vault.document.reading import Document, parse_document
from hitl_vault.document.render import Renderer
from hitl_vault.document.restate import restate_action, restate_lines
from hitl_vault.document.splices import BLANK, Splices
from hitl_vault.document.voters import NOBODY, Voters
from hitl_vault.errors import DocumentError

__all__ = ["updated", "with_feedback"]

_OUR_TAGS = frozenset(f"hitl/{status}" for status in Status)
# the second round changes nothing, unless the first took away what hid a part of the note
_ROUNDS = 4
_OUTCOME = re.compile(r"^Outcome: [^\r\n]*", re.MULTILINE)


def updated(
    data: bytes,
    request: Request,
    history: Sequence[Recorded],
    renderer: Renderer,
    voters: Voters = NOBODY,
    *,
    spent_code: str = "",
) -> bytes:
    """Return the note brought up to the request's state.

    Args:
        data: The note as it lies in the vault, whoever edited it.
        request: The request as it stands.
        history: Its events in order.
        renderer: Says how the request would be shown afresh.
        voters: Who may answer: those who have no lines yet get them, in a note of own lines.
        spent_code: The code that was just counted, as typed; it makes room for the next one.

    Raises:
        DocumentError: The note cannot be read or replaced in place, or is about another request.

    Guarantees:
        Idempotent. An unedited note becomes what `renderer.render` gives for the new state. A
        pending request's answer is left alone, unless it is counted already or was made for details
        that are no longer in force.
    """
    before = parse_document(data)
    if before.id != request.id:
        raise DocumentError(f"the note is about {before.id}, not about {request.id}")
    document = before
    for _ in range(_ROUNDS):
        text = _spliced(document, request, history, renderer, voters, spent_code)
        if text == document.text:
            _check(before, document, request)
            return document.encode(text)
        document = parse_document(document.encode(text))
    raise DocumentError("the note cannot be brought up to date as it stands")


def _spliced(
    document: Document,
    request: Request,
    history: Sequence[Recorded],
    renderer: Renderer,
    voters: Voters,
    spent_code: str,
) -> str:
    splices = Splices(document)
    decided, changed = request.status is not Status.PENDING, _is_changed(document, request)
    own = has_own_lines(document, {voter.mark for voter in voters.people})
    blank = not decided and (
        changed or _is_counted(document, request, own=own, spent_code=spent_code)
    )
    if decided:
        _close_ballot(splices, request)
    elif blank:
        _reset_properties(splices, request)
        if changed or not own:
            _reset_boxes(splices)
    if request.edited is not None:
        restate_action(splices, request, blank=blank and (changed or not own))
    if request.edited is not None or request.escalated:
        # as a note of its own form would be, whatever form a new one would have
        shown = replace(voters, own_lines=own)
        fresh = parse_document(renderer.render(request, history, shown).encode())
        restate_lines(splices, request, fresh)
    if own:
        restate_people(splices, request, voters, blank=blank and changed)
    _add_result(splices, request)
    _add_audit(splices, history)
    return splices.text()


def _is_changed(document: Document, request: Request) -> bool:
    """True if the note still shows the details as they were before a reviewer changed them."""
    return request.edited is not None and document.payload_sha256 != request.payload_in_force


def _is_counted(document: Document, request: Request, *, own: bool, spent_code: str) -> bool:
    """True if the ledger holds the very answer that stands here, and asks for more.

    Of a note with own lines, the properties: what stands in a person's own lines stays there.
    """
    if not request.votes:
        return False
    if own and document.code:
        return document.code == spent_code
    if own:
        read: Reading | None = read_properties(document, request)
    else:
        read = read_ballot(document, request, Folder.OTHER)
    if not isinstance(read, Answered):
        return False
    name = person(read.reviewer or UNNAMED)
    by_code = bool(read.code) and not read.reviewer  # the code says whose answer it is
    return any(
        (person(vote.reviewer) == name or (by_code and vote.channel == codes.CHANNEL))
        and vote.payload_sha256 == request.payload_in_force
        and (vote.answer is Answer.REJECT) == (read.answer is Answer.REJECT)
        for vote in request.votes
    )


def _close_ballot(splices: Splices, request: Request) -> None:
    _set_status(splices, request)
    entries = splices.document.entries
    for key, value in (("reviewer", render.reviewer(request)), ("reason", render.reason(request))):
        if value and key in entries and text_of(entries[key]) == "":
            splices.set_property(key, quoted(value, names=True))
    if "reviewer" in entries and _is_nobody_who_answered(splices.document, request):
        splices.set_property("reviewer", quoted(render.reviewer(request), names=True))
    if "reason" in entries and _is_former_reason(splices.document, request):
        splices.set_property("reason", quoted(render.reason(request), names=True))
    _empty(splices, CODE)


def _is_nobody_who_answered(document: Document, request: Request) -> bool:
    """True if the note names somebody for a decision that others made: their answer was too late.

    Properties are read by programs and dashboards, so a decision must not stand under a wrong name.
    """
    named = text_of(document.entries["reviewer"])
    answered = {person(vote.reviewer) for vote in request.votes}
    return bool(named and render.reviewer(request)) and person(named or "") not in answered


def _is_former_reason(document: Document, request: Request) -> bool:
    """True if the reason is byte for byte what we wrote when it was decided, and another since: an
    approved request may be cancelled, or expire.
    """
    entry = document.entries["reason"]
    start, end = entry.span(entry.value)
    stands = document.text[start:end]
    former = [quoted(render.as_reason(vote.reason), names=True) for vote in request.votes]
    return stands in former and stands != quoted(render.reason(request), names=True)


def _reset_properties(splices: Splices, request: Request) -> None:
    _set_status(splices, request)
    for key in ("reviewer", "reason", CODE):
        _empty(splices, key)


def _reset_boxes(splices: Splices) -> None:
    for box in splices.document.outline.boxes:
        if box.mark >= 0 and (box.in_ballot or not box.whose):
            splices.replace(box.mark, box.mark + 1, " ")
    for reason in splices.document.outline.reasons:
        splices.replace(reason.start, reason.line.stop, "")


def _empty(splices: Splices, key: str) -> None:
    entries = splices.document.entries
    if key in entries and text_of(entries[key]) != "":
        splices.set_property(key, '""')


def _set_status(splices: Splices, request: Request) -> None:
    if splices.document.status_text != request.status:
        splices.set_word("status", request.status.value)
    splices.set_tag(_OUR_TAGS, render.tag(request))
    for line in splices.document.outline.feedback:
        splices.replace(line.start, line.end, "")


def _add_result(splices: Splices, request: Request) -> None:
    if request.outcome is None:
        return
    document = splices.document
    lines = render.outcome_lines(request).split("\n")
    for section in document.outline.sections:
        known = _OUTCOME.search(document.text, section.heading.end, section.end)
        if section.title == RESULT and known is not None:
            if known.group() != lines[0]:
                splices.replace(known.start(), known.end(), splices.joined(lines))
            return
    audit = document.outline.section(AUDIT)
    at = audit.heading.start if audit is not None else _marker(document)
    splices.insert(at, *render.result_section(request).split("\n"))


def _add_audit(splices: Splices, history: Sequence[Recorded]) -> None:
    document = splices.document
    section = document.outline.section(AUDIT)
    if section is None:
        if history:
            splices.insert(_marker(document), f"## {AUDIT}", "", *wording.audit(history), "")
        return
    at, missing = _after_known(document, section, history)
    lines = wording.audit(missing)
    if len(missing) < len(history):
        if missing:
            splices.insert(at, *lines)
    elif history:
        above = BLANK.match(document.text, at)
        at = above.end() if above else at
        before = [] if above else [""]
        after = [] if BLANK.match(document.text, at) else [""]
        splices.insert(at, *before, *lines, *after)


def _after_known(
    document: Document, section: Section, history: Sequence[Recorded]
) -> tuple[int, Sequence[Recorded]]:
    """Return where the next audit line goes, and the events that have none."""
    text, end = document.text, min(section.end, _marker(document))
    for index in range(len(history) - 1, -1, -1):
        found = text.find(f"· {wording.mark(history[index])}", section.heading.end, end)
        if found >= 0:
            return text.index("\n", found) + 1, history[index + 1 :]
    return section.heading.end, history


def _check(before: Document, after: Document, request: Request) -> None:
    decided = request.status is not Status.PENDING
    missed = decided and "status" in before.entries and after.status_text != request.status
    others = (after.entries.keys() ^ before.entries.keys()) - {CODE}
    if missed or others or after.id != before.id:
        raise DocumentError("the properties cannot be replaced where they stand", line=2)


def _marker(document: Document) -> int:
    marker = document.outline.marker
    assert marker is not None
    return marker.start
