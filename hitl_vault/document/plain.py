"""Owns making text from agents harmless in messages. Never decides what is shown, only how.

A message may be shown as plain text, Markdown or HTML, by mail and chat programs that make links
and mentions of what looks like one. What leaves this module is nothing of the kind in any of them:
addresses are taken apart in brackets, as people do who warn of one: `https(:)//a(.)example`.
"""

from __future__ import annotations

import re

from hitl_vault.core.model import Details
from hitl_vault.document.inert import action_json, one_line, visible
from hitl_vault.document.listing import listed

_ACTIVE = re.compile(
    r"(?P<at>@)"
    r"|(?P<scheme>:)(?=//)"
    r"|(?<=[^\W_])(?P<dot>\.)(?=[^\W\d_]{2})"
    r"|(?i:(?<![a-z])(?:javascript|vbscript|data|file|mailto|tel|sms|obsidian)(?P<bare>:))"
    r"|(?P<sign>[<>`\[\]*~|])"
)
_SIGNS = {
    "<": "\u2039",
    ">": "\u203a",
    "`": "'",
    "[": "(",
    "]": ")",
    "*": "\u2217",
    "~": "\u223c",
    "|": "\u00a6",
}
"""What looks alike and does nothing."""

_JSON_ACTIVE = re.compile(r"@|(?<=[A-Za-z0-9])\.(?=[A-Za-z]{2})")
_MAX_LINES = 40
_NEWLINES = re.compile(r"\r\n|[\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")


def plain(text: str, *, limit: int = 2_000) -> list[str]:
    """Return the text as inert lines; the last one says so where it is cut."""
    shown = _NEWLINES.sub("\n", text[:limit])
    lines = [plain_line(line, limit=limit) for line in visible(shown).split("\n")]
    found = [line for line in lines if line]
    cut = len(text) > limit or len(found) > _MAX_LINES
    return [*found[:_MAX_LINES], *(["… (cut)"] if cut else [])]


def plain_line(text: str, *, limit: int = 200) -> str:
    """Return the text as one inert line."""
    line = _ACTIVE.sub(_defused, one_line(text[:limit]))
    return f"{line}…" if len(text) > limit else line


def plain_json(details: Details, *, limit: int) -> str:
    """Return the details as indented ASCII JSON whose raw text triggers nothing.

    What was escaped reads back as it was: `json.loads` gives the details, "" if they are longer
    than `limit` characters.
    """
    text = _JSON_ACTIVE.sub(lambda found: f"\\u{ord(found.group()):04x}", action_json(details))
    return text if len(text) <= limit else ""


def readable(details: Details) -> list[str]:
    """Return one line for each value of the details, for reading: `server/region: eu`."""
    lines = [f"{one.path}: {one.text}" for one in listed(details)]
    shown = [plain_line(line, limit=300) for line in lines[:_MAX_LINES]]
    return shown if len(lines) <= _MAX_LINES else [*shown, f"… ({len(lines):,} values in all)"]


def _defused(match: re.Match[str]) -> str:
    if match["sign"]:
        return _SIGNS[match["sign"]]
    if match["bare"]:
        return f"{match.group()[:-1]}(:)"
    return f"({match.group()})"
