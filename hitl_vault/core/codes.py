"""Owns when a one-time code counts: for one answer, to one payload, for a while. Never knows it.

What the code itself is, and whether the one that was typed is it, is judged where the key is.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from hitl_vault.core.commands import IssueCode, Vote
from hitl_vault.core.model import Code, Request
from hitl_vault.core.voting import person

CHANNEL = "code"
"""The channel of answers that a one-time code proves."""

MAX_TRIES = 5
MAX_OPEN = 50


def open_codes(request: Request, reviewer: str, now: datetime) -> list[Code]:
    """Return the codes this reviewer may still use, newest first."""
    mine = [code for code in request.codes if person(code.reviewer) == person(reviewer)]
    return [code for code in reversed(mine) if not _objection(request, code, now)]


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
        return "an answer by code needs its code" if vote.channel == CHANNEL else ""
    code = next((code for code in request.codes if code.code_id == vote.code_id), None)
    if code is None or person(code.reviewer) != person(vote.reviewer):
        return "this code was not sent to you for this request"
    return _objection(request, code, now)


def _objection(request: Request, code: Code, now: datetime) -> str:
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


def mistyped(request: Request, code_id: str) -> tuple[Code, ...]:
    """Return the codes after a wrong guess at this one."""
    return tuple(
        replace(code, tries=code.tries + 1) if code.code_id == code_id else code
        for code in request.codes
    )
