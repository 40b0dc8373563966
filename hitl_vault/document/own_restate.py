"""Owns bringing the people of a note with own lines up to date. Never touches what they wrote.

New people get lines of their own below those of whoever comes before them; nobody's lines are taken
away. The line of who was counted and the headings are the engine's.
"""

from __future__ import annotations

import re

from hitl_vault.core.model import Answer, Request, Status
from hitl_vault.document import own_lines
from hitl_vault.document.outline import CHANGES, DECIDE, SUBSECTION, Box, Section
from hitl_vault.document.splices import Splices
from hitl_vault.document.voters import MAX_VOTERS, Voter, Voters
from hitl_vault.document.wording import BOXES

_COUNTED = re.compile(rf"^{own_lines.COUNTED} [^\r\n]*", re.MULTILINE)
_HOW = re.compile(r"^To answer: [^\r\n]*\r?\n", re.MULTILINE)


def restate_people(splices: Splices, request: Request, voters: Voters, *, blank: bool) -> None:
    """Show who was counted and, while it waits, lines for everybody who may answer now.

    Args:
        splices: Where the replacements are collected.
        request: The request as it stands.
        voters: Who may answer now; past `MAX_VOTERS` nobody is added.
        blank: The details were changed since: the boxes are made blank, and one that is no longer
            allowed may go, ticked or not.
    """
    section = splices.document.outline.section(DECIDE)
    if section is None:
        return
    _restate_counted(splices, request, section)
    at = _first_place(splices, section)
    for voter in voters.people if len(voters.people) <= MAX_VOTERS else ():
        boxes = [box for box in splices.document.outline.boxes if box.whose == voter.mark]
        if not boxes:
            if request.status is Status.PENDING:  # once it is decided nobody is asked any more
                splices.insert(at, *own_lines.lines(request, voter))
            continue
        if request.edited is not None:
            _restate_heading(splices, voter)
            _restate_boxes(splices, request, voter, boxes, blank=blank)
        at = _below(splices, section, boxes)


def _restate_counted(splices: Splices, request: Request, section: Section) -> None:
    text, line = splices.document.text, own_lines.counted(request)
    known = list(_COUNTED.finditer(text, section.heading.end, section.end))
    if len(known) == 1:
        if line:
            splices.replace(known[0].start(), known[0].end(), line)
        else:
            splices.remove_lines(known[0].start(), text.index("\n", known[0].end()) + 1)
    elif line and not known:
        above = _HOW.search(text, section.heading.end, section.end)
        if above is not None:
            splices.insert(above.end(), "", line)


def _restate_heading(splices: Splices, voter: Voter) -> None:
    for part in splices.document.outline.sections:
        if part.level == SUBSECTION and own_lines.stands_under(part.title, voter.name):
            splices.replace(part.heading.start, part.heading.stop, own_lines.heading(voter))
            return


def _restate_boxes(
    splices: Splices, request: Request, voter: Voter, boxes: list[Box], *, blank: bool
) -> None:
    allowed = request.requirement.answers
    for box in boxes:
        if box.answer not in allowed and (blank or box.ticked is False):
            splices.replace(box.line.start, box.line.end, "")
    known: set[Answer] = {box.answer for box in boxes}
    missing = [answer for answer in BOXES if answer in allowed and answer not in known]
    splices.insert(boxes[-1].line.end, *(own_lines.box(answer, voter) for answer in missing))


def _first_place(splices: Splices, section: Section) -> int:
    """Return where lines stand before anybody else's: above the first heading of the section."""
    starts = [
        part.heading.start
        for part in splices.document.outline.sections
        if part.level == SUBSECTION and section.heading.start < part.heading.start < section.end
    ]
    return min(starts, default=section.end)


def _below(splices: Splices, section: Section, boxes: list[Box]) -> int:
    """Return the end of a person's lines: where the next heading begins."""
    line, parts = boxes[-1].line, splices.document.outline.sections
    ends = [
        part.end
        for part in parts
        if part.level == SUBSECTION
        and part.heading.start < line.start < part.end
        and part.title != CHANGES
    ]
    return min([*ends, section.end])
