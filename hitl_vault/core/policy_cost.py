"""Owns how much work a condition may be: its loops, and the lists they would go through. Never runs
one.

The evaluator knows no limit and cannot be stopped, and the lists are the agent's: 100,000 items in
a loop within a loop would hold the engine for hours.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from hitl_vault.core.model import Details

MAX_DEPTH = 2
MAX_STEPS = 4_000_000  # about a second: a step is a quarter of a microsecond
_PATTERN_STEPS = 600  # a pattern is compiled at each step
_COPIED = 4  # values that are copied in the time of a step
_STEP_CHARS = 64  # of a text that is looked through in the time of a step

_TOKEN = re.compile(
    r"(?P<loop>\.\s*(?:all|exists|exists_one|existsOne)\s*\()"
    r"|(?P<copying>\.\s*(?:filter|map)\s*\()|(?P<open>\()|(?P<close>\))"
    r"|(?P<pattern>\bmatches\s*\()"
    r"|(?P<outside>(?<![\w.])details\b(?:\s*\.\s*[A-Za-z_]\w*(?!\s*\(|\w))*)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Loops:
    """The loops of a condition.

    `depth` counts loops within loops. `outside` names the details that a loop looks at besides its
    own item, each with the number of loops around it: they may themselves be long. `patterns` is
    true if one matches a pattern, `copying` if one makes a list: that copies all of it, with all
    that its items hold, for each item.
    """

    depth: int = 0
    outside: tuple[tuple[int, tuple[str, ...]], ...] = ()
    patterns: bool = False
    copying: bool = False

    def steps(self, details: Details) -> int:
        """Return the most steps the loops can take with these details."""
        if not self.depth:
            return 0
        items, _, values = _measured(details)
        steps: int = items**self.depth
        for around, path in self.outside:
            _, chars, many = _measured(_at(details, path))
            reach = max(many // _COPIED, chars // _STEP_CHARS, 1)  # reading a value copies it
            steps = max(steps, items**around * reach)
        if self.copying:
            steps *= max(values // _COPIED, 1)
        return steps * (_PATTERN_STEPS if self.patterns else 1)


def find_loops(code: str) -> Loops:
    """Return the loops of a condition, given without its texts and comments."""
    opened: list[bool] = []  # the brackets around: true for those of a loop
    outside: list[tuple[int, tuple[str, ...]]] = []
    deepest, patterns, copying = 0, False, False
    for token in _TOKEN.finditer(code):
        around = sum(opened)
        match token.lastgroup:
            case "close":
                del opened[-1:]
            case "outside":
                path = tuple(re.sub(r"\s", "", token[0]).split(".")[1:])
                outside += [(around, path)] if around else []
            case kind:
                patterns |= kind == "pattern" and around > 0
                copying |= kind == "copying"
                opened.append(kind in {"loop", "copying"})
                deepest = max(deepest, sum(opened))
    return Loops(depth=deepest, outside=tuple(outside), patterns=patterns, copying=copying)


def _at(details: Details, path: tuple[str, ...]) -> Any:
    """Return the value there, or the last one on the way to it."""
    value: Any = details
    for step in path:
        if not isinstance(value, dict) or step not in value:
            break
        value = value[step]
    return value


def _measured(value: Any) -> tuple[int, int, int]:
    """Return the lengths of the longest list or object within and of the longest text, and how many
    values there are.
    """
    items = chars = values = 0
    waiting = [value]
    while waiting:
        found = waiting.pop()
        values += 1
        if isinstance(found, str):
            chars = max(chars, len(found))
        elif isinstance(found, dict | list | tuple):
            items = max(items, len(found))
            waiting.extend(found.values() if isinstance(found, dict) else found)
    return items, chars, values
