"""Owns what the header `Idempotency-Key` names. Never stores one by itself: it becomes the key of a
request, or the id of a remark or a claim, and the ledger knows which it has seen.

So a repeat is the same request, the same remark, the same claim, also after a restart. Votes,
withdrawals and reports of an end need no key for that: said twice, they change nothing.
"""

from __future__ import annotations

import hashlib
from typing import Annotated

from fastapi import Header

from hitl_vault.core.access import Identity
from hitl_vault.core.voting import person
from hitl_vault.errors import InvalidRequest

_PREFIX = "http:"
_MOST = 128

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=_MOST,
        pattern=r"^[\x21-\x7e]+$",
        description="Your own name for this call: sent again with the same key, it counts once.",
        examples=["3f0c2f6e-6c1b-4a53-9e0f-2a6e5d2f7b11"],
    ),
]


def named_by(caller: Identity, key: str) -> str:
    """Return the id a caller's key stands for; no other caller's key stands for it.

    The caller, not the token: with a renewed token, or after signing in again, it is a repeat.
    """
    who = hashlib.sha256(person(caller.name).encode("utf-8", "replace")).hexdigest()[:32]
    return f"{_PREFIX}{caller.caller or 'anyone'}:{who}:{key}"


def request_key(caller: Identity, key: str | None, header: str | None) -> str | None:
    """Return the key a request is asked with: by the header, or by its own field.

    Raises:
        InvalidRequest: Both are given, or the field names what only a header can.
    """
    if key is not None and key.startswith(_PREFIX):
        raise InvalidRequest(f"key: keys that begin with {_PREFIX} are those of Idempotency-Key")
    if header is None:
        return key
    if key is not None:
        raise InvalidRequest("key: give either a key or the header Idempotency-Key, not both")
    return named_by(caller, header)
