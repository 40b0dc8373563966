"""Owns how the ledger's records become bytes and how events are chained. Never reads or writes files.

The chain: `hash(n) = SHA-256(hash(n-1) || LF || body(n))`, hexadecimal, where `body(n)` is the
stored JSON text of event n, its `seq` included, and `hash(0) = SHA-256("hitl-vault:chain:1:" || vault id)`.
The stored bytes themselves are hashed, so checking needs no canonical form and no library.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from hitl_vault.core.events import Event, Kind, Recorded
from hitl_vault.core.model import Request

FORMAT = 1

_encode = msgspec.json.Encoder().encode
_requests: msgspec.json.Decoder[Request] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The end of the chain: the sequence number and hash of the newest event."""

    seq: int
    hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One event as it is stored: its place, its bytes and its hash."""

    seq: int
    body: bytes
    hash: str
    event: Event


@dataclass(frozen=True, slots=True, kw_only=True)
class Break:
    """The first event that contradicts the chain."""

    seq: int
    problem: str


def encode_request(request: Request) -> bytes:
    """Return the request as JSON bytes; the same request always gives the same bytes."""
    return _encode(request)


def decode_request(data: bytes) -> Request:
    """Read what `encode_request` wrote.

    Raises:
        ValueError: It is not a request.
    """
    global _requests  # built on first use: resolving the types costs milliseconds
    if _requests is None:
        _requests = msgspec.json.Decoder(Request)
    return _requests.decode(data)


def genesis(vault_id: str) -> Head:
    """Return the head of an empty chain."""
    return Head(
        seq=0, hash=hashlib.sha256(f"hitl-vault:chain:{FORMAT}:{vault_id}".encode()).hexdigest()
    )


def link(head: Head, events: Iterable[Event], state: bytes) -> tuple[list[Link], Head]:
    """Chain the events of one step. `state` is the request after it; its digest is covered too."""
    links: list[Link] = []
    state_sha256 = hashlib.sha256(state).hexdigest()
    for event in events:
        seq = head.seq + 1
        body = _encode(
            {
                "seq": seq,
                "kind": event.kind,
                "request": event.request_id,
                "rev": event.rev,
                "at": event.at,
                "actor": event.actor,
                "data": event.data,
                "state_sha256": state_sha256,
            }
        )
        head = Head(seq=seq, hash=_next(head.hash, body))
        links.append(Link(seq=seq, body=body, hash=head.hash, event=event))
    return links, head


def _next(previous: str, body: bytes) -> str:
    return hashlib.sha256(previous.encode() + b"\n" + body).hexdigest()


def decode_event(body: bytes, hash_: str) -> Recorded:
    """Read one stored event body."""
    raw = json.loads(body)
    return Recorded(
        seq=raw["seq"],
        hash=hash_,
        event=Event(
            kind=Kind(raw["kind"]),
            request_id=raw["request"],
            rev=raw["rev"],
            at=datetime.fromisoformat(raw["at"]),
            actor=raw["actor"],
            data=raw["data"],
        ),
    )


def verify(start: Head, stored: Iterable[tuple[int, bytes, str]]) -> Head | Break:
    """Walk the chain of (seq, body, hash) from `start`.

    Returns:
        The head reached, or the first Break: a missing, moved or changed event.
    """
    head = start
    for seq, body, hash_ in stored:
        if seq != head.seq + 1:
            return Break(
                seq=head.seq + 1, problem=f"event {head.seq + 1} is missing; {seq} follows"
            )
        if _next(head.hash, body) != hash_:
            return Break(seq=seq, problem=f"event {seq} was changed, or one before it was replaced")
        problem = _problem(seq, body)
        if problem:
            return Break(seq=seq, problem=problem)
        head = Head(seq=seq, hash=hash_)
    return head


def _problem(seq: int, body: bytes) -> str:
    try:
        raw: Any = json.loads(body)
        Kind(raw["kind"])
    except (ValueError, KeyError, TypeError) as error:
        return f"event {seq} cannot be read: {error}"
    return "" if raw.get("seq") == seq else f"event {seq} says that it is event {raw.get('seq')}"
