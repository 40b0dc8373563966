"""Owns where the rules stand in a policy's text: fenced blocks of a note, or a whole YAML file.

Never passes over a block that may have been meant as rules: what is almost a block is a problem.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

MAX_BYTES = 1_000_000
_MARK = "hitl-policy"
_FENCE = re.compile(r"( {0,3})(`{3,}|~{3,})(.*)", re.DOTALL)
_LINE_END = re.compile(r"\r\n|\n|\r")


class Severity(StrEnum):
    """Whether a policy can be used with a problem."""

    ERROR = "error"  # no: it does not load
    WARNING = "warning"  # yes, but it may not say what was meant
    HINT = "hint"  # yes; something around it might be set up better


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something wrong with a policy. `line` is 1-based, of the file."""

    line: int
    severity: Severity
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """The YAML of one block. Its first line is line `line` of the file."""

    text: str
    line: int


def find_blocks(text: bytes, name: str) -> tuple[list[Block], list[Problem]]:
    """Return the blocks of a text in order, and what is wrong with where they stand."""
    if len(text) > MAX_BYTES:
        return [], [_error(1, f"larger than {MAX_BYTES:,} bytes")]
    try:
        plain = text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = len(_LINE_END.findall(text[: error.start].decode("utf-8", "replace"))) + 1
        return [], [_error(line, "not UTF-8; save the file as UTF-8")]
    lines = _LINE_END.split(plain)
    if name.lower().endswith((".yaml", ".yml")):
        return [Block(text="\n".join(lines), line=1)], []
    reader = _Reader(lines)
    reader.read()
    if not reader.blocks and not reader.problems:
        reader.problems.append(_error(1, f"no ```yaml {_MARK} block: there are no rules in it"))
    return reader.blocks, reader.problems


class _Reader:
    """Goes through the lines of a note once, fence by fence."""

    def __init__(self, lines: list[str]) -> None:
        self.lines = lines
        self.blocks: list[Block] = []
        self.problems: list[Problem] = []
        self._comment = ""  # the mark that ends the comment we are in
        self._comment_line = 0

    def read(self) -> None:
        at = 0
        while at < len(self.lines):
            opening = _opening(self.lines[at])
            if opening is None:
                self._follow_comment(self.lines[at], at + 1)
                at += 1
                continue
            end = self._end_of(opening[1], at + 1)
            self._take(opening, at, end)
            at = end + 1

    def _end_of(self, fence: str, start: int) -> int:
        closing = re.compile(rf" {{0,3}}{re.escape(fence[0])}{{{len(fence)},}}[ \t]*")
        for at in range(start, len(self.lines)):
            if closing.fullmatch(self.lines[at]):
                return at
        return len(self.lines)

    def _take(self, opening: tuple[str, str, str], at: int, end: int) -> None:
        indent, fence, info = opening
        body = self.lines[at + 1 : end]
        if not _looks_meant(info):
            self._look_inside(fence, body, at)
            return
        words = info.split()
        if "yaml" not in words or _MARK not in words:
            self._complain(at, f"`{info.strip()}` is almost a rules block; write ```yaml {_MARK}")
        elif self._comment:
            self._complain(
                at,
                f"a rules block inside the comment of line {self._comment_line}: take the block or "
                "the comment marks away",
            )
        elif end == len(self.lines):
            self._complain(at, f"this rules block is not closed: a line {fence} must end it")
        else:
            shift = re.compile(rf" {{0,{len(indent)}}}")
            text = "\n".join(shift.sub("", line, count=1) for line in body)
            self.blocks.append(Block(text=text, line=at + 2))

    def _look_inside(self, fence: str, body: list[str], at: int) -> None:
        """Complain of rules that an outer block swallows, most likely because it is not closed."""
        for number, line in enumerate(body, start=at + 2):
            inner = _opening(line)
            if inner is None or inner[1][0] != fence[0] or len(inner[1]) < len(fence):
                continue
            if _looks_meant(inner[2]):
                self._complain(
                    number - 1,
                    f"a rules block inside the code block of line {at + 1}, which is not closed "
                    "before it",
                )

    def _follow_comment(self, line: str, number: int) -> None:
        plain = line.strip()
        if self._comment:
            if self._comment in plain:
                self._comment = ""
            return
        for start, end in (("<!--", "-->"), ("%%", "%%")):
            if plain.startswith(start) and end not in plain[len(start) :]:
                self._comment, self._comment_line = end, number

    def _complain(self, at: int, message: str) -> None:
        self.problems.append(_error(at + 1, message))


def _opening(line: str) -> tuple[str, str, str] | None:
    found = _FENCE.fullmatch(line)
    if found is None or (found[2][0] == "`" and "`" in found[3]):
        return None
    return found[1], found[2], found[3]


def _looks_meant(info: str) -> bool:
    return re.search(r"hitl[\W_]*polic", info, re.IGNORECASE) is not None


def _error(line: int, message: str) -> Problem:
    return Problem(line=line, severity=Severity.ERROR, message=message)
