"""Owns when a one-time code counts: for one answer, to one payload, for a while. Never knows it.

What the code itself is follows from the vault's code key, which never comes near the ledger.
"""

from __future__ import annotations

import base64
import hmac
import unicodedata
from dataclasses import replace
from datetime import datetime

import rfc8785

from hitl_vault.core.commands import IssueCode, Vote
from hitl_vault.core.model import Code, Request
from hitl_vault.core.voting import person

CHANNEL = "code"
"""The channel of answers that a one-time code proves."""

MAX_TRIES = 5
MAX_OPEN = 50
DIGITS = 8

_SKIPPED = frozenset({"Pd", "Zs", "Cf", "Cc"})  # dashes, spaces and what leaves no mark
_MINUS = "\u2212"


def code_text(
    secret: bytes, *, vault: str, request: str, payload_sha256: str, reviewer: str, code_id: str
) -> str:
    """Return the code that a `CODE_ISSUED` event stands for, as people read it: `4821 9375`.

    HMAC-SHA256 over everything the code is good for, made into digits as RFC 4226 does. Whoever
    holds the secret can work out every code.
    """
    bound = rfc8785.dumps([vault, request, payload_sha256, reviewer, code_id])
    digest = hmac.digest(secret, b"hitl-vault:code:1\n" + bound, "sha256")
    at = digest[-1] & 0x0F
    number = int.from_bytes(digest[at : at + 4], "big") & 0x7FFF_FFFF
    digits = f"{number % 10**DIGITS:0{DIGITS}d}"
    return f"{digits[: DIGITS // 2]} {digits[DIGITS // 2 :]}"


def link_text(
    secret: bytes, *, vault: str, request: str, payload_sha256: str, reviewer: str, code_id: str
) -> str:
    """Return what a link carries in the place of the code it stands for: 32 letters and digits.

    It follows from the same as the code, and is too long to be guessed: a link may be looked at
    any number of times, which a code may not.
    """
    bound = rfc8785.dumps([vault, request, payload_sha256, reviewer, code_id])
    digest = hmac.digest(secret, b"hitl-vault:link:1\n" + bound, "sha256")
    return base64.b32encode(digest[:20]).decode().lower()


def guess_text(secret: bytes, *, request: str, code_id: str, digits: str) -> str:
    """Return what tells one wrong guess from another, and tells nobody what was typed."""
    bound = rfc8785.dumps([request, code_id, digits])
    return hmac.digest(secret, b"hitl-vault:guess:1\n" + bound, "sha256").hex()[:16]


def typed_digits(text: str) -> str:
    """Return the digits of a code as typed, however they are grouped and whatever their script.

    "" if it is not a code: something else than digits, spaces and dashes, or too few or many.
    """
    digits = ""
    for char in unicodedata.normalize("NFKC", text):
        value = unicodedata.decimal(char, None)
        if value is not None:
            digits += str(value)
        elif unicodedata.category(char) not in _SKIPPED and char != _MINUS:
            return ""
    return digits if len(digits) == DIGITS else ""


def latest(request: Request, reviewer: str) -> Code | None:
    """Return the code this reviewer was sent last, used or not; it replaced the others."""
    mine = [code for code in request.codes if person(code.reviewer) == person(reviewer)]
    return mine[-1] if mine else None


def holders(request: Request, now: datetime) -> list[str]:
    """Return the reviewers who hold a code they may still use."""
    names = {person(code.reviewer): code.reviewer for code in request.codes}
    return [name for name in names.values() if open_codes(request, name, now)]


def open_codes(request: Request, reviewer: str, now: datetime) -> list[Code]:
    """Return the code this reviewer may still use, if any."""
    newest = latest(request, reviewer)
    return [] if newest is None or spent_or_over(request, newest, now) else [newest]


def issued(request: Request, command: IssueCode, now: datetime, until: datetime) -> Code:
    """Return the code a command issues; it ends with the request at the latest."""
    return Code(
        code_id=command.code_id,
        reviewer=command.reviewer,
        at=now,
        expires_at=min(until, request.expires_at),
        payload_sha256=request.payload_in_force,
    )


def objection(request: Request, vote: Vote, now: datetime) -> str:
    """Return why the code of a vote does not prove it, as a sentence; "" if it does or has none."""
    if not vote.code_id:
        return ""
    code = next((code for code in request.codes if code.code_id == vote.code_id), None)
    if code is None or person(code.reviewer) != person(vote.reviewer):
        return "this code was not sent to you for this request"
    return spent_or_over(request, code, now)


def spent_or_over(request: Request, code: Code, now: datetime) -> str:
    """Return why a code proves nothing any more, as a sentence; "" if it may."""
    if code != latest(request, code.reviewer):
        return "a newer code was sent to you; use that one"
    if code.used:
        return "this code was used before; ask for a new one"
    if code.tries >= MAX_TRIES:
        return f"this code was mistyped {MAX_TRIES} times and no longer counts; ask for a new one"
    if now >= code.expires_at:
        return "this code has expired; ask for a new one"
    if code.payload_sha256 != request.payload_in_force:
        return "the details were changed since this code was sent; ask for a new one"
    return ""


def spent(request: Request, code_id: str) -> tuple[Code, ...]:
    """Return the codes after this one was used."""
    return tuple(
        replace(code, used=True) if code.code_id == code_id else code for code in request.codes
    )


def mistyped(request: Request, code_id: str, guess: str = "") -> tuple[Code, ...]:
    """Return the codes after a wrong guess at this one."""
    return tuple(
        replace(code, tries=code.tries + 1, wrong=(*code.wrong, guess) if guess else code.wrong)
        if code.code_id == code_id
        else code
        for code in request.codes
    )


def was_guessed(request: Request, code_id: str, guess: str) -> bool:
    """True if this very guess is counted: who reads a note twice must not count it twice."""
    return bool(guess) and any(
        code.code_id == code_id and guess in code.wrong for code in request.codes
    )
