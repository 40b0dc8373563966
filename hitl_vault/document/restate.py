"""Owns showing a changed action in a note that shows the old one. Never touches what people added.

A reviewer's change, or an escalation, changes what the note says above the ballot: the code blocks,
the title, and the lines of the form `label: text`. Each is replaced where it stands once; a line a
person took away stays away.
"""

from __future__ import annotations

import re

from hitl_vault.core.model import Answer, Request
from hitl_vault.document import render, wording
from hitl_vault.document.ballot import shows
from hitl_vault.document.frontmatter import CODE, quoted, text_of
from hitl_vault.document.outline import CHANGES, DECIDE, SUBSECTION, WHY, WILL_RUN, Fence
from hitl_vault.document.reading import Document
from hitl_vault.document.splices import Splices

_LABELLED = re.compile(r"^(?P<label>[^\r\n:]{1,40}:) [^\r\n]*", re.MULTILINE)
_SHORT = "In short:"

_Found = tuple[int, int, str]


def restate_action(splices: Splices, request: Request, *, blank: bool) -> None:
    """Show the details in force, and a box for each answer that is allowed now.

    Args:
        splices: Where the replacements are collected.
        request: A request with details that a reviewer changed.
        blank: The ballot is being made blank, so a ticked box may go too.
    """
    document = splices.document
    if document.payload_sha256 != request.payload_in_force:
        splices.set_property("payload_sha256", quoted(request.payload_in_force))
    if text_of(document.entries.get("risk")) != request.verdict.risk:
        splices.set_word("risk", request.verdict.risk.value)
    _restate_code(splices, request)
    _restate_fence(splices, document.fence(WILL_RUN), request)
    if Answer.EDIT in request.requirement.answers:
        _restate_fence(splices, document.fence(DECIDE, CHANGES), request)
    else:
        _drop_changes(splices)
    _restate_boxes(splices, request, blank=blank)


def restate_lines(splices: Splices, request: Request, fresh: Document) -> None:
    """Bring the title and the labelled lines to what they are in a `fresh` note."""
    old, new = _title(splices.document), _title(fresh)
    if old and new and old[2].startswith(wording.title_start(request)):
        splices.replace(old[0], old[1], new[2])
    for title in (WILL_RUN, WHY, DECIDE):
        known, wanted = _labelled(splices.document, title), _labelled(fresh, title)
        for label in known.keys() & wanted.keys():
            if len(known[label]) == len(wanted[label]) == 1:
                start, end, _ = known[label][0]
                splices.replace(start, end, wanted[label][0][2])
    _restate_summary(splices, fresh)


def _restate_summary(splices: Splices, fresh: Document) -> None:
    known = _labelled(splices.document, WILL_RUN).get(_SHORT, [])
    wanted = _labelled(fresh, WILL_RUN).get(_SHORT, [])
    fence = splices.document.fence(WILL_RUN)
    if wanted and not known and fence is not None:
        splices.insert(fence.opening.start, wanted[0][2], "")
    elif len(known) == 1 and not wanted:
        start, end, _ = known[0]
        splices.remove_lines(start, splices.document.text.index("\n", end) + 1)


def _restate_fence(splices: Splices, fence: Fence | None, request: Request) -> None:
    if fence is not None and not shows(splices.document, fence, request.details):
        block = render.action_block(request).split("\n")
        splices.replace(fence.opening.start, fence.closing.stop, splices.joined(block))


def _restate_code(splices: Splices, request: Request) -> None:
    """Give a note the property for a code if the change asks for one; take an empty one away."""
    entries, text = splices.document.entries, splices.document.text
    wanted, known = CODE in render.keys_of(request), entries.get(CODE)
    if wanted and known is None and "action" in entries:
        splices.insert(entries["action"].span(entries["action"].key)[0], f'{CODE}: ""')
    elif known is not None and not wanted and text_of(known) == "":
        start, end = known.span(known.key)[0], known.span(known.value)[1]
        splices.replace(start, text.index("\n", end) + 1, "")


def _drop_changes(splices: Splices) -> None:
    section = splices.document.outline.section(CHANGES, level=SUBSECTION)
    fence = splices.document.fence(DECIDE, CHANGES)
    if section is not None and fence is not None:
        splices.remove_lines(section.heading.start, fence.closing.end)


def _restate_boxes(splices: Splices, request: Request, *, blank: bool) -> None:
    boxes = [box for box in splices.document.outline.boxes if not box.whose]
    allowed = request.requirement.answers
    for box in boxes:
        if box.answer not in allowed and (blank or box.ticked is False):
            splices.replace(box.line.start, box.line.end, "")
    known = {box.answer for box in boxes}
    missing = [answer for answer in wording.BOXES if answer in allowed and answer not in known]
    if missing and boxes:
        splices.insert(boxes[-1].line.end, *map(wording.box, missing))


def _title(document: Document) -> _Found | None:
    titles = [found.heading for found in document.outline.sections if found.level == 1]
    if not titles:
        return None
    line = min(titles, key=lambda heading: heading.start)
    return line.start, line.stop, document.text[line.start : line.stop]


def _labelled(document: Document, title: str) -> dict[str, list[_Found]]:
    """Return the lines `label: text` of a section by label, code blocks left out."""
    section = document.outline.section(title)
    found: dict[str, list[_Found]] = {}
    if section is None:
        return found
    code = [(fence.opening.start, fence.closing.end) for fence in document.outline.fences]
    for match in _LABELLED.finditer(document.text, section.heading.end, section.end):
        if not any(start <= match.start() < end for start, end in code):
            line = (match.start(), match.end(), match.group())
            found.setdefault(match.group("label"), []).append(line)
    return found
