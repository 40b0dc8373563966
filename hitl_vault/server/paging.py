"""Owns the cursors of pages: opaque texts that say where a page ended. Never reads a request."""

from __future__ import annotations

import base64
import binascii
from datetime import UTC, datetime, timedelta

from hitl_vault.core.model import Request, is_valid_id
from hitl_vault.errors import InvalidRequest
from hitl_vault.ports import Place

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DIGITS = 18


def cursor_of(request: Request) -> str:
    """Return the cursor for what follows this request."""
    at = (request.created_at - _EPOCH) // timedelta(microseconds=1)
    return base64.urlsafe_b64encode(f"{at}:{request.id}".encode()).decode().rstrip("=")


def place_of(cursor: str | None) -> Place | None:
    """Return where a page begins.

    Raises:
        InvalidRequest: It is no cursor of ours.
    """
    if cursor is None:
        return None
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        at, _, id = base64.b64decode(padded, altchars=b"-_", validate=True).decode().partition(":")
        if len(at) <= _DIGITS and at.isdecimal() and is_valid_id(id):
            return Place(created_at=_EPOCH + timedelta(microseconds=int(at)), id=id)
    except (ValueError, binascii.Error, OverflowError):
        pass
    raise InvalidRequest("after: this is no cursor; pass on `next` as a page gave it")
