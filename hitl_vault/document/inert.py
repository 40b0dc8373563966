"""Owns making text from agents harmless in a note. Never decides what is shown, only how.

What leaves this module cannot become a property, heading, list, box, fence, link, embed, inline
field, tag, comment, HTML or plugin command, and it cannot hide characters. HTML entities are used
where a program that reads the raw file could be triggered, backslashes where only Markdown could.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from functools import lru_cache

import msgspec

from hitl_vault.core.model import Details

_NEWLINES = re.compile(r"\r\n|[\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
_BLANK_LINES = re.compile(r"\n{3,}")

_SCHEMES = "javascript|vbscript|data|file|obsidian|mailto|tel|sms|vscode"
_ACTIVE = re.compile(
    r"[&<>\[\]`^]"  # markup, links, embeds, boxes, code, block ids
    r"|[\\*~$|#]"  # escapes, emphasis, strike, math, tables, tags and headings
    r"|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])"  # emphasis; a_b stays
    r"|(?<=[%{=])[%{=]|[%{=](?=[%{=])|(?<=})}|}(?=})"  # comments, templates, highlights
    r"|(?<=:):|:(?=:|//)"  # inline fields, addresses
    rf"|(?<=www)\.|(?i:(?<![a-z])(?P<scheme>{_SCHEMES}):)"
)
_BACKSLASH = frozenset("\\*~$|#_=")
_LINE_START = re.compile(r"^(?:(?P<sign>[-+=])|(?P<number>\d{1,12})(?P<stop>[.)]))", re.MULTILINE)

_JSON_ACTIVE = re.compile(
    r"[<>&`\x7f]|(?<=:):|:(?=//)|(?<=\[)\[|(?<=!)\[|(?<=\])\(|(?<=%)%|(?<=\{)\{|(?<=\})\}"
)

INVISIBLE = frozenset(
    chr(code)
    for first, last in (
        (0x34F, 0x34F),
        (0x115F, 0x1160),
        (0x17B4, 0x17B5),
        (0x180B, 0x180F),
        (0x2800, 0x2800),
        (0x3164, 0x3164),
        (0xFE00, 0xFE0F),
        (0xFFA0, 0xFFA0),
        (0xFFFC, 0xFFFC),
        (0xE0100, 0xE01EF),
    )
    for code in range(first, last + 1)
)
"""Letters, marks and symbols that show nothing, though Unicode calls them printable."""

_MAX_INDENTED = 100_000  # deep lists would grow sixtyfold by their indentation alone
_SHORT = 120  # names, addresses, numbers: where letters that look alike do harm
_MAX_MARKS = 3  # accents on one letter; more of them paint over the lines above and below


def inert(text: str, *, limit: int = 20_000) -> str:
    """Return the text as Markdown that shows it and does nothing else.

    Args:
        text: Anything.
        limit: How many characters of `text` are shown; a line says so where it is cut.

    Returns:
        Lines joined by line feeds, none at the end; no two blank lines in a row, and no line with
        spaces at its ends. "" for text without a visible character.
    """
    shown = _NEWLINES.sub("\n", text[:limit])
    lines = (line.strip() for line in visible(shown).split("\n"))
    block = _BLANK_LINES.sub("\n\n", "\n".join(lines)).strip("\n")
    block = _LINE_START.sub(_escape_start, _ACTIVE.sub(_escape, block))
    if len(text) <= limit:
        return block
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    cut = f"⟨cut: {limit:,} of {len(text):,} characters are shown; sha256 of all {digest}⟩"
    return f"{block}\n{cut}" if block else cut


def inert_line(text: str, *, limit: int = 200) -> str:
    """Return the text as one inert line, fit for a heading, list or table cell.

    Line ends become spaces. A cut is shown with the length of the whole text.
    """
    line = _inert_line(text[:limit])
    return line if len(text) <= limit else f"{line}… ⟨{limit:,} of {len(text):,} characters⟩"


@lru_cache(maxsize=512)  # the same few texts stand in many notes, and in each of them often
def _inert_line(text: str) -> str:
    return _LINE_START.sub(_escape_start, _ACTIVE.sub(_escape, one_line(text)))


def readable_line(text: str, *, limit: int = 200) -> str:
    """Return the text as `inert_line` does, but fit to be read in the raw file too.

    Where that would write an HTML entity, a sign stands that looks alike and does nothing.
    """
    line = one_line(text[:limit])
    line = _LINE_START.sub(_escape_start, _ACTIVE.sub(_look_alike, line))
    return line if len(text) <= limit else f"{line}…"


def action_json(details: Details) -> str:
    """Return the details as indented ASCII JSON whose raw text triggers nothing.

    Guarantees:
        `json.loads` gives back exactly the input. No line starts with three backticks or tildes.
    """
    # `json.dumps(indent=2)` writes the same, in Python, three times as slowly
    shown = msgspec.json.format(json.dumps(details, ensure_ascii=True), indent=2)
    if len(shown) > _MAX_INDENTED:
        shown = json.dumps(details, ensure_ascii=True, indent=0)
    return _JSON_ACTIVE.sub(_escape_json, shown)


def fence(language: str, body: str) -> str:
    """Return a code block whose fence is longer than any run of backticks in `body`."""
    longest = max((len(run) for run in re.findall(r"`+", body)), default=0)
    ticks = "`" * max(3, longest + 1)
    return f"{ticks}{language}\n{body}\n{ticks}"


def one_line(text: str) -> str:
    """Return the text on one line: visible characters only, single spaces, none at the ends."""
    return " ".join(visible(_NEWLINES.sub(" ", text).replace("\n", " ")).split())


def spelt_out(value: object) -> str:
    """Return a value as ASCII JSON where its letters may only look like ASCII ones, else "".

    Prose is not spelt out: text of several lines, and what takes more than 120 characters.
    """
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if text.isascii() or len(text) > _SHORT or "\n" in text:
        return ""
    return json.dumps(value)


def visible(text: str) -> str:
    """Return the text with every character that would not show, or reorders others, named.

    Line feeds stay; other white space becomes a plain space.
    """
    if text.isascii() and text.isprintable():
        return text
    if unicodedata.normalize("NFC", text) != text:
        text = unicodedata.normalize("NFC", text)
    shown: list[str] = []
    marks = 0
    for char in text:
        category = unicodedata.category(char) if not char.isascii() else ""
        marks = marks + 1 if category in {"Mn", "Me"} else 0
        if char == "\ufe0f" and shown and unicodedata.category(shown[-1][-1]) == "So":
            continue  # asks for a coloured emoji, which is how it shows anyway
        if char == "\n" or (char.isascii() and char.isprintable()):
            shown.append(char)
        elif char == "\t" or category == "Zs":
            shown.append(" ")
        elif char in INVISIBLE or not char.isprintable() or marks > _MAX_MARKS:
            shown.append(f"⟨U+{ord(char):04X}⟩")
        else:
            shown.append(char)
    return "".join(shown)


def _escape(match: re.Match[str]) -> str:
    found = match.group()
    if match.group("scheme"):
        return f"{found[:-1]}&#58;"
    if found in _BACKSLASH:
        return f"\\{found}"
    return _ENTITIES.get(found) or f"&#{ord(found)};"


_ALIKE = str.maketrans(
    "<>[]`^%{}:.&", "\u2039\u203a\uff3b\uff3d'\u02c6\uff05\uff5b\uff5d\uff1a\u2024\uff06"
)
_ENTITY = re.compile(r"&#?\w+;")


def _look_alike(match: re.Match[str]) -> str:
    found = match.group()
    if found in _BACKSLASH:
        return f"\\{found}"
    if found == "&" and not _ENTITY.match(match.string, match.start()):
        return found
    return found.translate(_ALIKE)


_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def _escape_start(match: re.Match[str]) -> str:
    if match.group("sign"):
        return f"\\{match.group('sign')}"
    return f"{match.group('number')}\\{match.group('stop')}"


def _escape_json(match: re.Match[str]) -> str:
    return f"\\u{ord(match.group()):04x}"
