"""Owns what a person answered in a note. Never decides: it returns an answer or a question.

Three gestures are equal: one box ticked, a `status` word, the folder the note was moved to. All
that were made must agree, and the note must show what would run. Anything else is `Unclear`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

import rfc8785
import yaml

from hitl_vault.core.canonical import check_same_shape, parse_json_object
from hitl_vault.core.model import Answer, Details, Request, Status
from hitl_vault.document.inert import action_json
from hitl_vault.document.outline import Box, Fence, Line
from hitl_vault.document.reading import Document
from hitl_vault.document.words import clean, plain_word, read_status, shortened
from hitl_vault.errors import InvalidRequest


class Folder(StrEnum):
    """Which of the vault's folders a note lies in."""

    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"
    DONE = "done"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Untouched:
    """Nobody answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """One clear answer. `reviewer`, `reason` and `code` are "" where nothing was typed.

    `details` are the changed ones for `Answer.EDIT`, else None. `by_line` is true where it stands
    in lines that are the reviewer's own, and stays there.
    """

    answer: Answer
    reviewer: str
    reason: str
    details: Details | None = None
    by_line: bool = False
    code: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unclear:
    """An answer was attempted. `sentence` says what was read and what to write, as plain text."""

    sentence: str


Reading: TypeAlias = Untouched | Answered | Unclear

SEVERAL_NAMES = (
    "The property reviewer holds more than one name; this note takes one answer at a time, so "
    "leave only your own name there."
)
MOVED = {Folder.APPROVED: Answer.APPROVE, Folder.REJECTED: Answer.REJECT}
SAYS = {Answer.APPROVE: "approve", Answer.REJECT: "reject", Answer.EDIT: "approve with changes"}
_WRITE = "tick one box, or write approved or rejected in the property status"


def read_ballot(document: Document, request: Request, folder: Folder) -> Reading:
    """Return what the note answers to the request, where it has one ballot for all.

    Args:
        document: The note, as `parse_document` read it.
        request: The request with the note's id, as it stands.
        folder: Where the note lies.

    Guarantees:
        Pure. Answered only if every gesture agrees, the note names this request and its payload in
        force, and the JSON it shows is exactly the details in force.
    """
    status = read_typed_status(document, request)
    if isinstance(status, Unclear):
        return status
    box = _box(document)
    if isinstance(box, Unclear):
        return box
    said, reason = status
    answer = _agreed(said, box, MOVED.get(folder), folder)
    if answer is None:
        return Untouched()
    if isinstance(answer, Unclear):
        return answer
    remarked = _remarked(document)
    if remarked is not None:
        return remarked
    mismatch = mismatch_of(document, request)
    if mismatch:
        return Unclear(sentence=mismatch)
    if holds_several_names(document):
        return Unclear(sentence=SEVERAL_NAMES)
    details = changed_details(document, request, answer)
    if isinstance(details, Unclear):
        return details
    return Answered(
        answer=answer,
        reviewer=document.reviewer,
        reason=document.reason or reason,
        details=details,
        code=document.code,
    )


def read_typed_status(document: Document, request: Request) -> tuple[Answer | None, str] | Unclear:
    """Return the answer in the property `status`, None for a waiting word, and its reason."""
    typed = document.status_text
    if typed is None:
        shown = shortened(document.typed("status"))
        return Unclear(
            sentence=f"The property status holds more than one word (“{shown}”); write only "
            "approved or rejected there."
        )
    if not typed or typed == request.status:
        return None, ""
    said = read_status(typed)
    if said is not None:
        return _remarked(document) or (said.answer, clean(said.reason, limit=2_000))
    if request.status is not Status.PENDING and plain_word(typed) in set(Status):
        return None, ""  # our own earlier word; the note has not been brought up to date yet
    return Unclear(
        sentence=f"I read “{shortened(typed)}” in the property status and do not know what it "
        "means; write approved or rejected there, or tick one box."
    )


def _remarked(document: Document) -> Unclear | None:
    """Ask back for words that YAML drops, and that may say the opposite of the word before them."""
    remark = document.status_remark
    if not remark:
        return None
    return Unclear(
        sentence=f"Words stand behind a # beside the property status (“{shortened(remark)}”) "
        "and may change what is meant; take them away. What you want to say goes in the "
        "property reason."
    )


def _box(document: Document) -> Answer | Unclear | None:
    found = document.outline
    boxes = [box for box in found.boxes if not box.whose]
    read = read_boxes(document, boxes, {answer for answer, whose in found.coded if not whose})
    strangers = [box.line for box in found.boxes if box.whose and box.ticked and box.in_ballot]
    if not isinstance(read, Unclear) and (found.stray_ticks or strangers):
        line = (*found.stray_ticks, *strangers)[0]
        return Unclear(sentence=f"{_not_ours(document, line)}; {_WRITE}.")
    return read


def _not_ours(document: Document, line: Line) -> str:
    return (
        f"The ticked box “{quoted_line(document, line)}” is not one of mine (the mark at its end "
        "is missing or it was added)"
    )


def read_boxes(
    document: Document, boxes: Sequence[Box], coded: set[Answer], *, says: str = "the property"
) -> Answer | Unclear | None:
    """Return the answer whose box alone is ticked, None where none is.

    Args:
        boxes: All boxes of the ballot, or of one person.
        coded: The answers that have a box in a code block.
        says: Where a remark of the person goes.
    """
    if coded - {box.answer for box in boxes}:
        return Unclear(
            sentence="The boxes stand inside a code block, so I do not read them; delete the line "
            "of three backticks or tildes above them that opens it."
        )
    for box in boxes:
        if box.ticked is None:
            return Unclear(
                sentence=f"The box “{quoted_line(document, box.line)}” was changed or has words "
                "behind its mark, so I cannot read it; make it as it was, with an x between the "
                "brackets to tick it, or write approved or rejected in the property status. What "
                f"you want to say goes in {says} reason."
            )
    ticked = [box for box in boxes if box.ticked]
    for box in ticked:
        if not box.in_ballot:
            return Unclear(
                sentence=f"The ticked box “{quoted_line(document, box.line)}” does not stand under "
                f"the heading Decide; {_WRITE}."
            )
        if sum(1 for other in boxes if other.answer is box.answer) > 1:
            return Unclear(
                sentence=f"The box “{SAYS[box.answer]}” stands more than once; leave it once."
            )
    if len(ticked) > 1:
        return Unclear(sentence="More than one box is ticked; leave the tick in one box only.")
    return ticked[0].answer if ticked else None


def quoted_line(document: Document, line: Line) -> str:
    """Return a line as it is repeated to a person."""
    # not its number: the sentence itself moves the line down by one
    return shortened(document.text[line.start : line.stop].strip(), limit=60)


def _agreed(
    status: Answer | None, box: Answer | None, moved: Answer | None, folder: Folder
) -> Answer | Unclear | None:
    given = [answer for answer in (status, box, moved) if answer is not None]
    if not given:
        return None
    # "approve with changes" says how; a status or a folder can only say "approve"
    kinds = {Answer.APPROVE if answer is Answer.EDIT else answer for answer in given}
    if len(kinds) == 1:
        return box if box is Answer.EDIT else given[0]
    parts = [
        f"the property status says {SAYS[status]}" if status else "",
        f"the ticked box says {SAYS[box]}" if box else "",
        f"the note lies in the folder for {folder} requests" if moved else "",
    ]
    listed = " and ".join(part for part in parts if part)
    return Unclear(sentence=f"{listed[0].upper()}{listed[1:]}; make them say the same.")


def mismatch_of(document: Document, request: Request) -> str:
    """Return why the note does not show what would run, "" if it does."""
    if document.id != request.id:
        return (
            f"This note is about {document.id}, not about {request.id}; what it shows is not what "
            "would run, so nothing was decided."
        )
    if document.payload_sha256 != request.payload_in_force:
        return (
            "The property payload_sha256 is not that of the action; what this note shows is not "
            f"what would run, so nothing was decided. Look at it with: hitl show {request.id}"
        )
    if not shows(document, document.action_fence, request.details):
        return (
            "The JSON under What will run was changed; what this note shows is not what would "
            f"run, so nothing was decided. Undo that change, or look at it with: "
            f"hitl show {request.id}"
        )
    return ""


def shows(document: Document, fence: Fence | None, details: Details) -> bool:
    """Return True if the code block holds exactly these details, however they are laid out."""
    if fence is None:
        return False
    body = document.body_of(fence)
    if body.replace("\r\n", "\n") == f"{action_json(details)}\n":
        return True
    try:
        return same_details(parse_json_object(body), details)
    except (InvalidRequest, ValueError):  # ValueError: beyond RFC 8785
        return False


def same_details(one: Details, two: Details) -> bool:
    """Return True if both are the same JSON: what a payload's digest cannot tell apart."""
    return rfc8785.dumps(one) == rfc8785.dumps(two)


def holds_several_names(document: Document) -> bool:
    """Return True if the property `reviewer` is a list of names, or worse."""
    entry = document.entries.get("reviewer")
    node = entry.value if entry is not None else None
    return isinstance(node, yaml.CollectionNode) and (
        isinstance(node, yaml.MappingNode) or len(node.value) > 1
    )


def changed_details(
    document: Document, request: Request, answer: Answer
) -> Details | Unclear | None:
    """Return the details of an approval with changes, None for any other answer."""
    fence = document.changes_fence
    if answer is Answer.APPROVE:
        if fence is None or shows(document, fence, request.details):
            return None
        return Unclear(
            sentence="The JSON under Changes differs from what will run, but the box for changes "
            "is not ticked; tick Approve with the changes below instead, or undo the changes."
        )
    if answer is Answer.REJECT:
        return None
    if Answer.EDIT not in request.requirement.answers:
        return Unclear(
            sentence="This rule does not allow changes; approve it as it is, or reject it."
        )
    if fence is None:
        return Unclear(
            sentence="I do not find the one JSON block under Changes; put it back, or approve it "
            "as it is, or reject it."
        )
    try:
        details = parse_json_object(document.body_of(fence))
        check_same_shape(request.action.details, details)
        unchanged = same_details(details, request.details)
    except (InvalidRequest, ValueError) as error:
        problem = shortened(str(error), limit=160)
        return Unclear(sentence=f"The JSON under Changes cannot be used: {problem}")
    if unchanged:
        return Unclear(
            sentence="Nothing was changed under Changes; tick Approve to approve it as it is, or "
            "change a value."
        )
    return details
