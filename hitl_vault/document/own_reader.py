"""Owns one reading of a note with own lines: who answers what, and what is unclear. Never decides.

What is unclear in one person's lines is unclear for that person alone. The properties and the
folder answer for the one person `reviewer` names. What nobody's name is on lets rejections through,
and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from hitl_vault.core.model import Answer, Request, Status, Vote
from hitl_vault.core.voting import person
from hitl_vault.document.ballot import (
    MOVED,
    SAYS,
    SEVERAL_NAMES,
    Answered,
    Folder,
    Unclear,
    changed_details,
    holds_several_names,
    mismatch_of,
    quoted_line,
    read_boxes,
    read_typed_status,
)
from hitl_vault.document.outline import Line
from hitl_vault.document.own_lines import stands_under
from hitl_vault.document.reading import MAX_REASON, Document
from hitl_vault.document.words import clean, shortened


@dataclass(frozen=True, slots=True, kw_only=True)
class Readings:
    """What a note answers: rejections first, then in the order of the people.

    `sentences` say what is unclear, `remarks` what is clear and changes nothing. `ticked` are those
    whose own lines hold exactly one tick.
    """

    answers: tuple[Answered, ...] = ()
    sentences: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    ticked: frozenset[str] = frozenset()


@dataclass(slots=True, kw_only=True)
class _Found:
    lines: dict[str, Answered] = field(default_factory=dict)
    unclear: set[str] = field(default_factory=set)
    sentences: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    nameless: bool = False  # somebody said something, and nobody knows who


class Reader:
    """One reading of a note with own lines."""

    def __init__(
        self,
        document: Document,
        request: Request,
        folder: Folder,
        names: Mapping[str, str],
        counted: Mapping[str, Answer],
        said: Mapping[str, frozenset[Answer]],
    ) -> None:
        self._document, self._request, self._folder = document, request, folder
        self._names, self._counted, self._said_before = names, counted, said
        self._found = _Found()

    def read(self) -> Readings:
        """Return what the note answers."""
        found = self._found
        for mark, name in self._names.items():
            self._line(mark, name)
        self._strangers()
        ticked = frozenset(each.reviewer for each in found.lines.values())
        self._properties()
        answers = [each for each in found.lines.values() if self._is_new(each)]
        if found.nameless:
            answers = [each for each in answers if each.answer is Answer.REJECT]
        mismatch = mismatch_of(self._document, self._request) if answers else ""
        if mismatch:
            found.sentences, answers = [mismatch], []
        answers = [each for each in map(self._with_details, answers) if each is not None]
        answers = self._with_code(answers)
        return Readings(
            answers=tuple(sorted(answers, key=lambda each: each.answer is not Answer.REJECT)),
            sentences=tuple(found.sentences),
            remarks=tuple(found.remarks),
            ticked=ticked,
        )

    def _with_code(self, answers: list[Answered]) -> list[Answered]:
        """Give the code that was typed to the one answer it can be of."""
        code, name = self._document.code, person(self._document.reviewer)
        of = [each for each in answers if not name or person(each.reviewer) == name]
        if code and len(answers) > 1 and not name:
            self._found.sentences.append(
                "A code was typed, and more than one answer; put the name of whom it was sent to "
                "in the property reviewer."
            )
            return []
        if not code or not of:
            return answers
        return [replace(each, code=code) if each is of[0] else each for each in answers]

    def _unclear(self, name: str, sentence: str) -> None:
        self._found.unclear.add(person(name))
        self._found.lines.pop(person(name), None)
        self._found.sentences.append(f"{shortened(name)}: {sentence}")

    # a person's own lines

    def _line(self, mark: str, name: str) -> None:
        outline = self._document.outline
        boxes = [box for box in outline.boxes if box.whose == mark]
        coded = {answer for answer, whose in outline.coded if whose == mark}
        read = read_boxes(self._document, boxes, coded, says="your line for the")
        if isinstance(read, Unclear):
            self._unclear(name, read.sentence)
            return
        astray = [box for box in boxes if box.ticked and self._is_elsewhere(box.part, name)]
        if astray:
            self._unclear(
                name,
                f"The ticked box “{quoted_line(self._document, astray[0].line)}” stands under "
                "another person's heading; put it back under its own.",
            )
        elif read is not None:
            self._found.lines[person(name)] = Answered(
                answer=read, reviewer=name, reason=self._reason(mark), by_line=True
            )

    def _is_elsewhere(self, part: str, name: str) -> bool:
        if stands_under(part, name):
            return False
        return self._owner(part) != ""

    def _owner(self, part: str) -> str:
        """Return whose heading this is, "" for nobody's."""
        return next((name for name in self._names.values() if stands_under(part, name)), "")

    def _reason(self, mark: str) -> str:
        lines = (reason for reason in self._document.outline.reasons if reason.whose == mark)
        texts = (self._document.text[reason.start : reason.line.stop] for reason in lines)
        typed = dict.fromkeys(clean(text, limit=MAX_REASON) for text in texts)
        return clean("; ".join(text for text in typed if text), limit=MAX_REASON)

    # what has no person's mark

    def _strangers(self) -> None:
        outline = self._document.outline
        for line in outline.stray_ticks:
            owner = self._owner(outline.part_of(line))
            if owner:
                self._unclear(owner, f"{self._said(line)} is not one of mine; {_TICK}.")
            else:
                self._nobodys(line)
        for box in outline.boxes:
            if box.ticked is False or box.whose in self._names:
                continue
            if not box.whose:
                self._nobodys(box.line)
            elif box.ticked and box.in_ballot:
                self._found.sentences.append(
                    f"{self._said(box.line)} is of nobody who may answer, and is not counted."
                )

    def _nobodys(self, line: Line) -> None:
        self._found.nameless = True
        self._found.sentences.append(f"{self._said(line)} is nobody's; {_TICK}.")

    def _said(self, line: Line) -> str:
        return f"The ticked box “{quoted_line(self._document, line)}”"

    # the properties and the folder

    def _properties(self) -> None:
        document, name = self._document, self._document.reviewer
        status, moved = read_typed_status(document, self._request), MOVED.get(self._folder)
        if isinstance(status, Unclear):
            self._unclear_property(name, status.sentence)
            return
        answer, reason = status
        given = [each for each in (answer, moved) if each is not None]
        if not given:
            return
        if len(set(given)) > 1:
            self._unclear_property(
                name,
                f"The property status says {SAYS[given[0]]} and the note lies in the folder for "
                f"{self._folder} requests; make them say the same.",
            )
        elif not name:
            self._without_name(answer, given[0])
        elif answer is None and self._is_counted_move(given[0]):
            self._only_moved(name)
        elif holds_several_names(document) and self._request.status is Status.PENDING:
            self._found.nameless = True
            self._found.sentences.append(SEVERAL_NAMES)
        else:
            self._named(name, given[0], document.reason or reason)

    def _is_counted_move(self, answer: Answer) -> bool:
        """True if another answer that was counted may be why the note lies here."""
        waits = self._request.status is Status.PENDING
        return waits and answer in {_kind(each) for each in self._counted.values()}

    def _only_moved(self, name: str) -> None:
        if person(name) not in self._counted and person(name) not in self._found.lines:
            self._unclear(
                name,
                f"The note may lie in the folder for {self._folder} requests by an answer that "
                f"was counted before; {_TICK}.",
            )

    def _unclear_property(self, name: str, sentence: str) -> None:
        if name:
            self._unclear(name, sentence)
        else:
            self._found.nameless = True
            self._found.sentences.append(sentence)

    def _without_name(self, word: Answer | None, answer: Answer) -> None:
        """A move beside a person's own tick says nothing more; a word always lacks its name."""
        said = {_kind(each.answer) for each in self._found.lines.values()}
        said |= {_kind(each) for each in self._counted.values()}
        if self._request.status is not Status.PENDING:
            self._found.lines.setdefault("", Answered(answer=answer, reviewer="", reason=""))
            return
        self._found.nameless |= answer not in said
        if word is not None or answer not in said:
            self._found.sentences.append(
                f"The property status or the folder says {SAYS[answer]}, but not who says so; put "
                f"your name in the property reviewer, or take it back and {_TICK}."
            )

    def _named(self, name: str, answer: Answer, reason: str) -> None:
        found, key = self._found, person(name)
        if key in found.unclear:
            return
        line = found.lines.get(key)
        if line is not None and _kind(line.answer) is not answer:
            self._unclear(
                name,
                f"The property status or the folder says {SAYS[answer]}, your own box "
                f"{SAYS[line.answer]}; make them say the same.",
            )
        elif line is not None:
            found.lines[key] = replace(line, reason=line.reason or reason, by_line=False)
        else:
            found.lines[key] = Answered(answer=answer, reviewer=name, reason=reason)

    # what is new

    def _is_new(self, answered: Answered) -> bool:
        if not answered.by_line:
            return True
        if answered.answer is Answer.EDIT and not isinstance(
            changed_details(self._document, self._request, Answer.EDIT), Unclear
        ):
            return True
        name, kind = person(answered.reviewer), _kind(answered.answer)
        before, in_force = self._counted.get(name), self._vote_of(name)
        counted = before is not None and _kind(before) is kind
        if counted or (in_force is not None and self._is_stale(name, kind, in_force)):
            self._remark_of_another_answer(answered)
            return False
        return in_force is None or _kind(in_force.answer) is not kind

    def _vote_of(self, name: str) -> Vote | None:
        payload = self._request.payload_in_force
        votes = [
            vote
            for vote in self._request.votes
            if vote.payload_sha256 == payload and vote.stage >= 0  # it counts
        ]
        return next((vote for vote in votes if person(vote.reviewer) == name), None)

    def _is_stale(self, name: str, kind: Answer, in_force: Vote) -> bool:
        """True if the tick may be older than what its person said elsewhere since: they have said
        both, and nothing tells which the tick repeats. A code of theirs would.
        """
        if _kind(in_force.answer) is kind or in_force.channel == NOTE:
            return False
        has_code = bool(self._document.code) and person(self._document.reviewer) == name
        return kind in self._said_before.get(name, frozenset()) and not has_code

    def _remark_of_another_answer(self, answered: Answered) -> None:
        for vote in self._request.votes:
            if person(vote.reviewer) != person(answered.reviewer):
                continue
            if _kind(vote.answer) is not _kind(answered.answer):
                self._found.remarks.append(
                    f"{shortened(answered.reviewer)}: what counts is your later answer, over "
                    f"{shortened(vote.channel)}; your box here was counted before it."
                )

    def _with_details(self, answered: Answered) -> Answered | None:
        details = changed_details(self._document, self._request, answered.answer)
        if isinstance(details, Unclear):
            self._unclear(answered.reviewer, details.sentence)
            return None
        return replace(answered, details=details)


_TICK = "tick a box under your own name"
NOTE = "note"
"""The channel of an answer that was read in a note."""


def _kind(answer: Answer) -> Answer:
    return Answer.APPROVE if answer is Answer.EDIT else answer
