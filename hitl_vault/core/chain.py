"""Owns how the ledger's records become bytes and how events are chained. Never opens a file.

The chain: `hash(n) = SHA-256(hash(n-1) || LF || SHA-256(body(n)))`, digests in hexadecimal, where
`body(n)` is the stored JSON text of event n, its `seq` included, and
`hash(0) = SHA-256("hitl-vault:chain:1:" || vault id)`.
The stored bytes themselves are hashed, so checking needs no canonical form and no library. Since
only a body's digest enters the chain, a proof about one request need not show the events of others.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

import msgspec

from hitl_vault.core.events import Event, Kind, Recorded
from hitl_vault.core.model import Request
from hitl_vault.core.register import Register

FORMAT = 1


class _Body(msgspec.Struct, frozen=True, gc=False):
    """The stored form of one event."""

    seq: int
    kind: Kind
    request: str
    rev: int
    at: datetime
    actor: str
    data: dict[str, Any]
    state_sha256: str


_bodies = msgspec.json.Decoder(_Body)
_encode = msgspec.json.Encoder().encode
_T = TypeVar("_T")
_decoders: dict[type, msgspec.json.Decoder[Any]] = {}  # resolving the types costs milliseconds
_building = threading.Lock()  # msgspec ends the process if two threads resolve a type at once


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
    return decoder_of(Request).decode(data)


def encode_register(register: Register) -> bytes:
    """Return the register as JSON bytes; the same register always gives the same bytes."""
    return _encode(register)


def decode_register(data: bytes) -> Register:
    """Read what `encode_register` wrote. Raises ValueError if it is not a register."""
    return decoder_of(Register).decode(data)


def decoder_of(type: type[_T]) -> msgspec.json.Decoder[_T]:
    """Return what reads a value from JSON bytes, built on first use; safe in any thread."""
    found = _decoders.get(type)
    if found is None:
        with _building:
            found = _decoders[type] = msgspec.json.Decoder(type)
    return found


def genesis(vault_id: str) -> Head:
    """Return the head of an empty chain."""
    return Head(
        seq=0, hash=hashlib.sha256(f"hitl-vault:chain:{FORMAT}:{vault_id}".encode()).hexdigest()
    )


def link(head: Head, events: Iterable[Event], state: bytes) -> tuple[list[Link], Head]:
    """Chain the events of one step. `state` is what the step led to; its digest is covered too."""
    links: list[Link] = []
    state_sha256 = hashlib.sha256(state).hexdigest()
    for event in events:
        seq = head.seq + 1
        body = _encode(
            _Body(
                seq=seq,
                kind=event.kind,
                request=event.request_id,
                rev=event.rev,
                at=event.at,
                actor=event.actor,
                data=event.data,
                state_sha256=state_sha256,
            )
        )
        head = Head(seq=seq, hash=_next(head.hash, body))
        links.append(Link(seq=seq, body=body, hash=head.hash, event=event))
    return links, head


def _next(previous: str, body: bytes) -> str:
    return next_hash(previous, hashlib.sha256(body).hexdigest())


def next_hash(previous: str, body_sha256: str) -> str:
    """Return the hash of an event, from the one before it and the digest of its stored text."""
    return hashlib.sha256(f"{previous}\n{body_sha256}".encode()).hexdigest()


def decode_event(body: bytes, hash_: str) -> Recorded:
    """Read one stored event body."""
    raw = _bodies.decode(body)
    event = Event(
        kind=raw.kind,
        request_id=raw.request,
        rev=raw.rev,
        at=raw.at,
        actor=raw.actor,
        data=raw.data,
    )
    return Recorded(seq=raw.seq, hash=hash_, event=event)


@dataclass(frozen=True, slots=True, kw_only=True)
class Walked:
    """A chain that holds: its head, and per request the seq, rev and state digest last recorded."""

    head: Head
    states: dict[str, tuple[int, int, str]]


def verify(start: Head, stored: Iterable[tuple[int, bytes, str]]) -> Walked | Break:
    """Walk the chain of (seq, body, hash) from `start`.

    Returns:
        What was walked, or the first Break: a missing, moved or changed event.
    """
    head = start
    states: dict[str, tuple[int, int, str]] = {}
    for seq, body, hash_ in stored:
        if seq != head.seq + 1:
            return Break(
                seq=head.seq + 1, problem=f"event {head.seq + 1} is missing; {seq} follows"
            )
        if _next(head.hash, body) != hash_:
            return Break(seq=seq, problem=f"event {seq} was changed, or one before it was replaced")
        try:
            raw = _bodies.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            return Break(seq=seq, problem=f"event {seq} cannot be read: {error}")
        if raw.seq != seq:
            return Break(seq=seq, problem=f"event {seq} says that it is event {raw.seq}")
        states[raw.request] = (seq, raw.rev, raw.state_sha256)
        head = Head(seq=seq, hash=hash_)
    return Walked(head=head, states=states)


def check_state(walked: Walked, id: str, state: bytes | None) -> Break | None:
    """Compare one stored request with the digest its newest event holds."""
    recorded = walked.states.get(id)
    if recorded is None:
        return Break(seq=walked.head.seq + 1, problem=f"request {id} has no events")
    seq, _, digest = recorded
    if state is None:
        return Break(seq=seq, problem=f"request {id} is missing, although event {seq} is there")
    if hashlib.sha256(state).hexdigest() != digest:
        return Break(seq=seq, problem=f"request {id} was changed without an event")
    return None
