"""Owns the one line that answers a person in their note. Never touches another byte.

It works on text that cannot be read as a document too, because that is when a person needs it.
"""

from __future__ import annotations

import re

from hitl_vault.document.inert import readable_line
from hitl_vault.document.outline import DECIDE
from hitl_vault.document.reading import MAX_BYTES, UTF16

_FRONT_MATTER = re.compile(r"\ufeff?---[ \t]*\r?\n(?:.*\n)*?---[ \t]*\r?\n")
_HEADING = re.compile(rf"^## {DECIDE}[ \t]*\r?\n", re.MULTILINE)
_LINE = re.compile(
    r"^> \[!warning\] .* %% hitl:feedback %%[ \t]*(?P<end>\r?\n|\r?\Z)", re.MULTILINE
)
_FENCE = re.compile(r"^ {0,3}(?P<ticks>`{3,}|~{3,})[ \t]*(?P<language>[^`\r\n]*)\r?$", re.MULTILINE)


def with_feedback(data: bytes, sentence: str) -> bytes:
    """Return the note with this sentence as its feedback line, directly under `## Decide`.

    Args:
        data: The bytes of a note, readable or not. What can take no line comes back unchanged: a
            file that is too large to be read whole, and UTF-16 that is not whole or has no mark.
        sentence: Plain text; made inert here. "" takes the line away.

    Guarantees:
        Idempotent. Every other byte stays. Without that heading the line is the last one; where
        the heading stands in a code block, it is above that block.
    """
    if len(data) > MAX_BYTES:
        return data
    if UTF16.match(data):
        return _in_utf16(data, sentence)
    text = data.decode("utf-8", "surrogateescape")
    return _with_line(text, sentence).encode("utf-8", "surrogateescape")


def takes_feedback(data: bytes) -> bool:
    """Return True if a sentence can be put into this note."""
    return with_feedback(data, "x") != with_feedback(data, "")


def _in_utf16(data: bytes, sentence: str) -> bytes:
    codec = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}.get(data[:2])
    if codec is None:
        return data
    try:
        text = data.decode(codec)
    except UnicodeDecodeError:
        return data
    return _with_line(text, sentence).encode(codec)


def _with_line(text: str, sentence: str) -> str:
    said = readable_line(sentence, limit=600)
    line = f"> [!warning] {said} %% hitl:feedback %%" if said else ""
    known = list(_LINE.finditer(text))
    if known:
        return _replaced(text, known, line)
    return _inserted(text, line) if line else text


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
        at = _above_code(text, front.end() if front else 0, headings[0])
        return f"{text[:at]}{line}{newline}{text[at:]}"
    between = "" if not text or text.endswith("\n") else newline
    return f"{text}{between}{line}{newline}"


def _above_code(text: str, start: int, heading: re.Match[str]) -> int:
    """Return the end of the heading, or the start of the code block that swallowed it."""
    opened: re.Match[str] | None = None
    for fence in _FENCE.finditer(text, start, heading.start()):
        if opened is None:
            opened = fence
        elif fence["ticks"].startswith(opened["ticks"]) and not fence["language"].strip():
            opened = None
    return heading.end() if opened is None else opened.start()
