"""Owns the words a status may be, and how typed text is cleaned. Never guesses at a near miss.

An approval must be exact. A rejection may be followed by its reason, because a rejection read
wrongly runs nothing.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from hitl_vault.core.model import Answer
from hitl_vault.document.inert import INVISIBLE, visible

APPROVE_WORDS = frozenset({"approve", "approved", "accept", "accepted", "ok"})
REJECT_WORDS = frozenset({"reject", "rejected", "deny", "denied", "decline", "declined"})
PENDING_WORDS = frozenset(
    {
        "",
        "pending",
        "pending_approval",
        "awaiting_approval",
        "awaiting-approval",
        "pending_review",
    }
)

_SPACES = " \t\r\n"
_QUOTES = "\"'\u201c\u201d\u201e\u201f\u2018\u2019\u201a\u201b«»\u2039\u203a"
_TICKS = "✅✔☑✓"
_CROSSES = "❌✖✗✘"
_EMOJI_STYLE = "\ufe0f"

_WITH_REASON = re.compile(r"(?P<word>[A-Za-z]+)\s*[,:;\u2013\u2014-]\s*(?P<reason>\S.*)", re.DOTALL)
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a status says. `answer` is None for a waiting word; `word` is the typed word, plain."""

    answer: Answer | None
    word: str
    reason: str = ""


def read_status(typed: str) -> Said | None:
    """Return what a typed status says, None if it is not exactly one of our words.

    Read after Unicode NFKC and case folding, without spaces, quotes, one final `.` or `!`, and a
    tick (for an approval) or cross (for a rejection) around the word.
    """
    folded = unicodedata.normalize("NFKC", typed).casefold()
    word, around = _trimmed(folded)
    if word in PENDING_WORDS and not around:
        return Said(answer=None, word=word)
    if word in APPROVE_WORDS and around <= set(_TICKS):
        return Said(answer=Answer.APPROVE, word=word)
    if word in REJECT_WORDS and around <= set(_CROSSES):
        return Said(answer=Answer.REJECT, word=word)
    return _rejection_with_reason(typed)


def plain_word(typed: str) -> str:
    """Return the typed status as it is compared: folded, and without what stands around it."""
    return _trimmed(unicodedata.normalize("NFKC", typed).casefold())[0]


def clean(text: str, *, limit: int) -> str:
    """Return typed text as it may be recorded: NFC, one line, nothing invisible."""
    plain = unicodedata.normalize("NFC", text[: limit * 4])
    kept = (
        char for char in plain if char.isspace() or (char.isprintable() and char not in INVISIBLE)
    )
    return " ".join("".join(kept).split())[:limit].rstrip()


def shortened(text: str, *, limit: int = 40) -> str:
    """Return typed text to be repeated to a person: one line, invisible characters named."""
    line = " ".join(visible(text[: limit * 4].replace("\n", " ").replace("\r", " ")).split())
    return line if len(line) <= limit else f"{line[:limit].rstrip()}…"


def _trimmed(text: str) -> tuple[str, set[str]]:
    around: set[str] = set()
    stopped = False
    while True:
        before = text
        text = text.strip(_SPACES + _QUOTES)
        if text and text[-1] in ".!" and not stopped:
            text, stopped = text[:-1], True
        bare = text.removesuffix(_EMOJI_STYLE)
        if bare and bare[-1] in _TICKS + _CROSSES:
            around.add(bare[-1])
            text = bare[:-1]
        if text and text[0] in _TICKS + _CROSSES:
            around.add(text[0])
            text = text[1:].removeprefix(_EMOJI_STYLE)
        if text == before:
            return text, around


def _rejection_with_reason(typed: str) -> Said | None:
    match = _WITH_REASON.fullmatch(unicodedata.normalize("NFKC", typed).strip(_SPACES))
    if match is None or match.group("word").casefold() not in REJECT_WORDS:
        return None
    reason = match.group("reason")
    if (APPROVE_WORDS | PENDING_WORDS) & set(_WORD.findall(reason.casefold())):
        return None
    return Said(answer=Answer.REJECT, word=match.group("word").casefold(), reason=reason)
