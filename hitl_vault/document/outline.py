"""Owns what stands where in a note's body: sections, fences, boxes, the end. Never judges.

One pass over the lines. What stands in a code block is code and nothing else. Headings count in
comments too, so that a stray `%%` does not make our sections vanish; boxes and code blocks in
comments are marked. Positions count characters of the note
without its byte order mark.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from hitl_vault.core.model import Answer
from hitl_vault.errors import DocumentError

WILL_RUN, WHY, DECIDE, CHANGES = "What will run", "Why you are asked", "Decide", "Changes"
SECTION, SUBSECTION = 2, 3
SAYS, RESULT, AUDIT = "The agent says", "Result", "Audit"

LABELS = {
    Answer.APPROVE: "Approve",
    Answer.REJECT: "Reject",
    Answer.EDIT: "Approve with the changes below",
}
"""The words of each box. They are part of the format: a changed label is no longer that answer."""

_ONCE = frozenset({WILL_RUN, DECIDE, AUDIT})

_FENCE = re.compile(r" {0,3}(?P<ticks>`{3,}|~{3,})[ \t]*(?P<language>[^`]*)$")
_HEADING = re.compile(r" {0,3}(?P<level>#{1,6})(?:[ \t]+(?P<title>.*))?$")
_END = re.compile(r"%% hitl:end (?P<id>\S+) %%[ \t]*$")
_FEEDBACK = re.compile(r"> \[!warning\] .* %% hitl:feedback %%[ \t]*$")
_ANCHOR = r"\^(?P<answer>approve|reject|edit)(?:-(?P<whose>[a-z0-9-]+))?"
_ANCHORED = re.compile(rf"(?:^|\s){_ANCHOR}[ \t]*$")
_BOX = re.compile(r" {0,3}[-*+] \[(?P<mark>[ xX])\] +(?P<label>\S.*?)[ \t]+\^[a-z0-9-]+[ \t]*$")
_REASON = re.compile(r" {0,3}(?:[-*+] )?Reason \((?P<whose>[a-z0-9-]+)\):(?P<text>.*)$")
_ITEM = r"\s*(?:>\s*)*(?:[-*+]|\d+[.)])\s+"
_TICKED = re.compile(_ITEM + r"\[[^\]\s]\]")
# a box with words behind its mark: the mark no longer ends the line
_FOLLOWED = re.compile(_ITEM + rf"\[[^\]]?\].*\s{_ANCHOR}(?![\w-])")
MIXED = (
    "a merge left two versions in it (the lines that begin with <<<<<<< and >>>>>>>); keep one "
    "version, and delete those lines"
)
CONFLICT = ("<<<<<<< ", ">>>>>>> ", "||||||| ")
"""How the lines begin that a merge leaves around two versions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line without its line end; `stop` is where its text ends, `end` is past the line end."""

    number: int
    start: int
    stop: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A heading of level 1 to 3, and where what belongs to it ends."""

    title: str
    level: int
    heading: Line
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Fence:
    """A code block: its first line, its last, and the section titles above it.

    `hidden` is true for one in a comment, which readers do not see.
    """

    language: str
    section: str
    part: str
    hidden: bool
    opening: Line
    closing: Line


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A line that ends with one of our anchors.

    `whose` is the mark of the person it belongs to, "" for a box of all. `ticked` is None for a
    line that is not as we wrote it: another label or mark. `mark` is the position of the character
    between the brackets, -1 where there is none. `part` is the title it stands under in its
    section.
    """

    answer: Answer
    whose: str
    part: str
    ticked: bool | None
    in_ballot: bool
    mark: int
    line: Line


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """A line for one person's reason under `## Decide`; what is typed begins at `start`."""

    whose: str
    start: int
    line: Line


@dataclass(slots=True, kw_only=True)
class Outline:
    """What was found, in the order of the note.

    `coded` are the boxes, by answer and whose, that stand in a code block as we wrote them.
    """

    sections: list[Section] = field(default_factory=list)
    fences: list[Fence] = field(default_factory=list)
    boxes: list[Box] = field(default_factory=list)
    stray_ticks: list[Line] = field(default_factory=list)
    feedback: list[Line] = field(default_factory=list)
    reasons: list[Reason] = field(default_factory=list)
    coded: set[tuple[Answer, str]] = field(default_factory=set)
    marker: Line | None = None
    marker_id: str = ""

    def section(self, title: str, level: int = SECTION) -> Section | None:
        """Return the first section with this title."""
        return next((s for s in self.sections if s.title == title and s.level == level), None)

    def part_of(self, line: Line) -> str:
        """Return the title of level 3 that a line stands under, "" for none."""
        for part in self.sections:
            if part.level == SUBSECTION and part.heading.start < line.start < part.end:
                return part.title
        return ""


class _Scan:
    """One walk over a body. Refuses what cannot be a whole note."""

    def __init__(self, text: str, start: int, line: int) -> None:
        self._text = text
        self._at = start
        self._number = line
        self._open: list[tuple[str, int, Line]] = []
        self._section, self._part = "", ""
        self._seen: set[str] = set()
        self._fence: tuple[str, str, Line] | None = None
        self._comment = ""
        self.outline = Outline()

    def run(self) -> Outline:
        text, size = self._text, len(self._text)
        while self._at < size and self.outline.marker is None:
            line = self._next()
            self._look(line, text[line.start : line.stop])
        if self._fence is not None:
            raise DocumentError("a code block is not closed", line=self._fence[2].number)
        self._close(1, self._at)
        self._after_marker()
        return self.outline

    def _next(self) -> Line:
        text, start = self._text, self._at
        newline = text.find("\n", start)
        end = len(text) if newline < 0 else newline + 1
        stop = end if newline < 0 else newline
        while stop > start and text[stop - 1] == "\r":
            stop -= 1
        line = Line(number=self._number, start=start, stop=stop, end=end)
        self._at, self._number = end, self._number + 1
        return line

    def _look(self, line: Line, text: str) -> None:
        plain = text.lstrip(" ")
        if plain.startswith(("```", "~~~")) and self._fence_line(line, text):
            return
        if not plain:
            return
        if self._fence is not None:
            if "^" in text:
                self._coded(text)
            return
        if plain[0] == "#":
            self._heading(line, text)
        elif plain.startswith(CONFLICT):
            raise DocumentError(MIXED, line=line.number)
        elif "%% hitl:" in text and self._own_line(line, text):
            return
        if (
            not self._is_ballot(line, text)
            and "[" in text
            and self._section == DECIDE
            and _TICKED.match(text)
        ):
            self.outline.stray_ticks.append(line)
        if "%%" in text or "--" in text:
            self._comments(text)

    def _fence_line(self, line: Line, text: str) -> bool:
        match = _FENCE.match(text)
        if match is None:
            return False
        ticks, language = match.group("ticks"), match.group("language").strip()
        if self._fence is None:
            self._fence = (ticks, language, line)
            return True
        opened, name, first = self._fence
        if ticks[0] == opened[0] and len(ticks) >= len(opened) and not language:
            self.outline.fences.append(
                Fence(
                    language=name,
                    section=self._section,
                    part=self._part,
                    hidden=bool(self._comment),
                    opening=first,
                    closing=line,
                )
            )
            self._fence = None
        return True

    def _heading(self, line: Line, text: str) -> None:
        match = _HEADING.match(text)
        if match is None or len(match.group("level")) > SUBSECTION:
            return
        level, title = len(match.group("level")), (match.group("title") or "").strip(" \t#")
        self._close(level, line.start)
        self._open.append((title, level, line))
        if level == SUBSECTION:
            self._part = title
            return
        # a title line never opens the ballot, whatever the action is called
        self._section, self._part = title if level == SECTION else "", ""
        if self._section in _ONCE and self._section in self._seen:
            raise DocumentError(f"the heading `## {title}` stands twice", line=line.number)
        self._seen.add(self._section)

    def _close(self, level: int, at: int) -> None:
        while self._open and self._open[-1][1] >= level:
            title, depth, heading = self._open.pop()
            self.outline.sections.append(Section(title=title, level=depth, heading=heading, end=at))

    def _own_line(self, line: Line, text: str) -> bool:
        end = _END.match(text)
        if end is not None:
            self.outline.marker, self.outline.marker_id = line, end.group("id")
            return True
        if _FEEDBACK.match(text):
            self.outline.feedback.append(line)
            return True
        return False

    def _coded(self, text: str) -> None:
        anchor, box = _ANCHORED.search(text), _BOX.match(text)
        if anchor is not None and box is not None and _is_ours(box, Answer(anchor["answer"])):
            self.outline.coded.add((Answer(anchor["answer"]), anchor["whose"] or ""))

    def _is_ballot(self, line: Line, text: str) -> bool:
        if "Reason (" in text and self._section == DECIDE and not self._comment:
            match = _REASON.match(text)
            if match is not None:
                start = line.start + match.start("text")
                self.outline.reasons.append(Reason(whose=match["whose"], start=start, line=line))
        return "^" in text and self._anchored(line, text)

    def _anchored(self, line: Line, text: str) -> bool:
        anchor = _ANCHORED.search(text)
        if anchor is None and self._section == DECIDE:
            anchor = _FOLLOWED.match(text)
        if anchor is None:
            return False
        answer, whose = Answer(anchor.group("answer")), anchor.group("whose") or ""
        box = _BOX.match(text)
        ticked: bool | None = None
        if box is not None and _is_ours(box, answer):
            ticked = box.group("mark") != " "
        self.outline.boxes.append(
            Box(
                answer=answer,
                whose=whose,
                part=self._part,
                ticked=ticked,
                in_ballot=self._section == DECIDE
                and (self._part != CHANGES if whose else not self._part)
                and not self._comment,
                mark=line.start + box.start("mark") if box is not None else -1,
                line=line,
            )
        )
        return True

    def _comments(self, text: str) -> None:
        at = 0
        while True:
            if self._comment:
                found = text.find(self._comment, at)
                if found < 0:
                    return
                at, self._comment = found + len(self._comment), ""
            else:
                starts = [(text.find("%%", at), "%%", 2), (text.find("<!--", at), "-->", 4)]
                found, closing, width = min(
                    (start for start in starts if start[0] >= 0), default=(-1, "", 0)
                )
                if found < 0:
                    return
                at, self._comment = found + width, closing

    def _after_marker(self) -> None:
        while self._at < len(self._text):
            line = self._next()
            text = self._text[line.start : line.stop]
            if _END.match(text):
                raise DocumentError("the end marker stands twice", line=line.number)
            if text.startswith(CONFLICT):
                raise DocumentError(MIXED, line=line.number)
            if _FEEDBACK.match(text):
                self.outline.feedback.append(line)


def _is_ours(box: re.Match[str], answer: Answer) -> bool:
    return " ".join(box.group("label").split()) == LABELS[answer]


def outline(text: str, start: int, line: int) -> Outline:
    """Find what stands in the body that starts at `start`, on the 1-based line `line`.

    The scan ends at the end marker; what people write below it is theirs.

    Raises:
        DocumentError: A code block is not closed, one of our headings or the marker stands twice,
            or a merge left its conflict markers.
    """
    return _Scan(text, start, line).run()
