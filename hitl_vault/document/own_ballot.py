"""Owns what several people answered in one note, each in lines of their own. Never decides.

Whose a line is follows from its mark and from who may answer, never from a name that stands in the
note.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from hitl_vault.core.events import Kind, Recorded
from hitl_vault.core.model import Answer, Request
from hitl_vault.core.voting import person
from hitl_vault.document.ballot import (
    Answered,
    Folder,
    Unclear,
    holds_several_names,
    read_ballot,
    read_typed_status,
)
from hitl_vault.document.own_reader import NOTE, Reader, Readings
from hitl_vault.document.reading import Document
from hitl_vault.document.voters import Voters, mark_of


def read_answers(
    document: Document,
    request: Request,
    folder: Folder,
    voters: Voters,
    counted: Mapping[str, Answer],
    said: Mapping[str, frozenset[Answer]] | None = None,
) -> Readings:
    """Return what the note answers to the request, one answer a person at most.

    Args:
        document: The note, as `parse_document` read it.
        request: The request with the note's id, as it stands.
        folder: Where the note lies.
        voters: Who may answer, as the request and the record of people say now.
        counted: What was counted from this note before, as `counted_from_note` says.
        said: What each person answered before, anywhere, as `said_before` says.

    Guarantees:
        Pure. A tick that was counted is not returned again, whatever its person answered elsewhere
        since. Each answer from a person's own lines has that person's name.
    """
    names = _names(request, voters)
    if has_own_lines(document, names):
        return Reader(document, request, folder, names, counted, said or {}).read()
    reading = read_ballot(document, request, folder)
    if isinstance(reading, Answered):
        return Readings(answers=(reading,))
    return Readings(sentences=(reading.sentence,) if isinstance(reading, Unclear) else ())


def has_own_lines(document: Document, marks: Iterable[str] = ()) -> bool:
    """Return True if the note has lines for each person, False if it has one ballot for all."""
    known, boxes = set(marks), document.outline.boxes
    if any(box.whose in known for box in boxes):
        return True
    if any(whose in known for _, whose in document.outline.coded):
        return True
    return any(box.whose and box.in_ballot for box in boxes) and all(box.whose for box in boxes)


def counted_from_note(request: Request, history: Iterable[Recorded]) -> dict[str, Answer]:
    """Return what each person's last counted answer in a note was, for the payload in force.

    The keys are `voting.person` of the names.
    """
    found: dict[str, Answer] = {}
    for event in (recorded.event for recorded in history):
        name = person(event.actor)
        if event.kind is Kind.EDITED:  # what was said before is not said of the details since
            found = {name: found[name]} if name in found else {}
        elif event.kind is not Kind.VOTED or event.data.get("channel") != NOTE:
            continue
        elif event.data.get("payload_sha256") == request.payload_in_force:
            found[name] = Answer(event.data["answer"])
    return found


def said_before(request: Request, history: Iterable[Recorded]) -> dict[str, frozenset[Answer]]:
    """Return the kinds of answer each person gave to the payload in force, over any channel."""
    found: dict[str, frozenset[Answer]] = {}
    payload = request.payload_in_force
    for event in (recorded.event for recorded in history):
        name = person(event.actor)
        if event.kind is Kind.EDITED:  # as in `counted_from_note`
            found = {name: found[name]} if name in found else {}
        elif event.kind is Kind.VOTED and event.data.get("payload_sha256") == payload:
            kind = Answer.REJECT if event.data["answer"] == Answer.REJECT else Answer.APPROVE
            found[name] = found.get(name, frozenset()) | {kind}
    return found


def read_properties(document: Document, request: Request) -> Answered | None:
    """Return the answer that the properties alone give for the person they name."""
    status = read_typed_status(document, request)
    if isinstance(status, Unclear) or holds_several_names(document):
        return None
    answer, reason = status
    if answer is None:
        return None
    name = document.reviewer
    return Answered(answer=answer, reviewer=name, reason=document.reason or reason)


def _names(request: Request, voters: Voters) -> dict[str, str]:
    """Return whose each mark is; who has answered stays known whatever became of the record."""
    names = {mark_of(vote.reviewer): vote.reviewer for vote in request.votes}
    return {voter.mark: voter.name for voter in voters.people} | {
        mark: name for mark, name in names.items() if mark not in {v.mark for v in voters.people}
    }
