"""Owns sending one-time codes. Never shows one but to who delivers it, and never records one."""

from __future__ import annotations

import hmac
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from hitl_vault.core import codes
from hitl_vault.core import commands as c
from hitl_vault.core.events import Event, Kind
from hitl_vault.core.model import Assurance, Code, Request, Status
from hitl_vault.core.people import MAX_CHAIN, People, Reviewer
from hitl_vault.core.redaction import Redaction
from hitl_vault.core.voting import person
from hitl_vault.engine.parts import Parts
from hitl_vault.errors import ConfigError, HitlVaultError
from hitl_vault.ports import Receipt

AUTO = "auto"

_log = logging.getLogger(__name__)


async def issue(parts: Parts, request: Request, reviewer: str, code_id: str) -> Receipt:
    """Issue a code: what follows the ledger then delivers it. Idempotent on `code_id`."""
    code_secret(parts)  # a key that cannot be used is noticed before anything is sent
    command = c.IssueCode(
        id=request.id, code_id=code_id, reviewer=reviewer, valid_s=parts.options.code_valid_s
    )
    return await parts.ledger.submit(command)


def can_send(parts: Parts) -> bool:
    """True if codes are sent by themselves, and there is anybody to send one to."""
    if parts.options.codes != AUTO or parts.code_key is None:
        return False
    try:
        return any(reviewer.notify for reviewer in parts.people().reviewers.values())
    except ConfigError:
        return False  # said wherever somebody answers


async def issue_where_wanted(parts: Parts, request: Request) -> Request:
    """Issue a code to each named reviewer who can be reached, where the rule asks for one.

    Once for each reviewer and payload, however often it is called; return the request after it.
    Never raises: what was asked stands, and a code can be sent later.
    """
    if request.requirement.assurance is not Assurance.AUTHENTICATED or not can_send(parts):
        return request
    try:
        return await _issued(parts, request)
    except HitlVaultError as error:
        _log.error("no codes were sent for %s; hitl code send sends one: %s", request.id, error)
        return request


async def _issued(parts: Parts, request: Request) -> Request:
    need, now = request.requirement, parts.clock.now()
    names = {name for stage in need.stages for name in stage.approvers}
    asker = person(request.action.requested_by)
    reached = {
        person(reviewer.name): reviewer.name
        for reviewer in _reached(parts.people(), sorted(names), now)
    }
    known = {code.code_id for code in request.codes}
    for key, name in reached.items():
        code_id = f"asked-{request.payload_in_force[:16]}-{key}"
        if key != asker and code_id not in known and request.status is Status.PENDING:
            receipt = await issue(parts, request, name, code_id)
            request = receipt.request or request
    return request


def _reached(people: People, names: list[str], now: datetime) -> Iterator[Reviewer]:
    for name in names:
        for holder in people.holders(name):
            found = holder
            for _ in range(MAX_CHAIN):
                found = people.find(found.stand_in(now)) or found
            if found.notify:
                yield found


def text_for(parts: Parts, event: Event) -> str:
    """Return the code that a `CODE_ISSUED` event stands for, to be delivered to its reviewer.

    Raises:
        ValueError: It is an event of another kind.
        ConfigError: The vault's code key cannot be used.
    """
    if event.kind is not Kind.CODE_ISSUED:
        raise ValueError(f"no code was issued by an event of kind {event.kind}")
    data = event.data
    return codes.code_text(
        code_secret(parts),
        vault=parts.vault_id,
        request=event.request_id,
        payload_sha256=data["payload_sha256"],
        reviewer=data["reviewer"],
        code_id=data["code_id"],
    )


def text_of_code(parts: Parts, request: Request, code: Code) -> str:
    """Return what a code on record is, to compare it with what was typed."""
    return codes.code_text(
        code_secret(parts),
        vault=parts.vault_id,
        request=request.id,
        payload_sha256=code.payload_sha256,
        reviewer=code.reviewer,
        code_id=code.code_id,
    )


def link_of_code(parts: Parts, request: Request, code: Code) -> str:
    """Return what a link carries that answers with this code."""
    return codes.link_text(
        code_secret(parts),
        vault=parts.vault_id,
        request=request.id,
        payload_sha256=code.payload_sha256,
        reviewer=code.reviewer,
        code_id=code.code_id,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Linked:
    """What a link stands for: whose one-time `code`, and why it proves nothing any more.

    `problem` is a sentence, "" while the code counts. `redaction` is what the message that carried
    the link may not have shown: what any way to people hides.
    """

    reviewer: str
    problem: str
    code: str = field(repr=False)
    redaction: Redaction = field(default_factory=Redaction)


def linked(parts: Parts, request: Request, typed: str) -> Linked | None:
    """Return what a link with this text stands for, None if it is none of this request's.

    Takes the same time whichever of the request's links it is, or none.
    """
    found = None
    for code in request.codes:
        right = link_of_code(parts, request, code)
        if hmac.compare_digest(right.encode(), typed.encode("utf-8", "replace")):
            found = code
    if found is None:
        return None
    return Linked(
        reviewer=found.reviewer,
        problem=codes.spent_or_over(request, found, parts.clock.now()),
        code=text_of_code(parts, request, found),
        redaction=_hidden_from_people(parts),
    )


def _hidden_from_people(parts: Parts) -> Redaction:
    channels = {} if parts.telling is None else parts.telling.channels.load()
    hidden = Redaction()
    for channel in channels.values():
        if channel.way.people:
            hidden |= channel.way.redaction
    return hidden


def code_secret(parts: Parts) -> bytes:
    """Return the vault's code key. Raises ConfigError."""
    if parts.code_key is None:
        raise ConfigError("this vault sends no codes: it was opened without a code key")
    return parts.code_key.load()
