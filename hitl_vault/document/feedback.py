"""Owns the one line that answers a person in their note. Never touches another byte.

It works on text that cannot be read as a document too, because that is when a person needs it.
"""

from __future__ import annotations

import re

from hitl_vault.document.inert import inert_line
from hitl_vault.document.outline import DECIDE

_FRONT_MATTER = re.compile(r"\ufeff?---[ \t]*\r?\n(?:.*\n)*?---[ \t]*\r?\n")
_HEADING = re.compile(rf"^## {DECIDE}[ \t]*\r?\n", re.MULTILINE)
_LINE = re.compile(
    r"^> \[!warning\] .* %% hitl:feedback %%[ \t]*(?P<end>\r?\n|\r?\Z)", re.MULTILINE
)
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


def with_feedback(data: bytes, sentence: str) -> bytes:
    """Return the note with this sentence as its feedback line, directly under `## Decide`.

    Args:
        data: The bytes of a note, readable or not. UTF-16 comes back unchanged.
        sentence: Plain text; made inert here. "" takes the line away.

    Guarantees:
        Idempotent. Every other byte stays. Without that heading the line is the last one.
    """
    if data.startswith(_UTF16):
        return data
    text = data.decode("utf-8", "surrogateescape")
    said = inert_line(sentence, limit=600)
    line = f"> [!warning] {said} %% hitl:feedback %%" if said else ""
    known = list(_LINE.finditer(text))
    if known:
        text = _replaced(text, known, line)
    elif line:
        text = _inserted(text, line)
    return text.encode("utf-8", "surrogateescape")


def _replaced(text: str, known: list[re.Match[str]], line: str) -> str:
    for number, match in reversed(list(enumerate(known))):
        new = f"{line}{match.group('end')}" if line and number == 0 else ""
        text = text[: match.start()] + new + text[match.end() :]
    return text


def _inserted(text: str, line: str) -> str:
    first = text.find("\n")
    newline = "\r\n" if first > 0 and text[first - 1] == "\r" else "\n"
    front = _FRONT_MATTER.match(text)
    opens_only = front is None and text.removeprefix("\ufeff").startswith("---")
    headings = list(_HEADING.finditer(text, front.end() if front else 0))
    if len(headings) == 1 and not opens_only:
        at = headings[0].end()
        return f"{text[:at]}{line}{newline}{text[at:]}"
    between = "" if not text or text.endswith("\n") else newline
    return f"{text}{between}{line}{newline}"
