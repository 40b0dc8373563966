"""Owns judging a command against a row as loaded, for ledgers of rows. Never stores anything.

An adapter loads the row, calls `decide`, and commits what it returns, all in one transaction.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from hitl_vault.core import chain
from hitl_vault.core.canonical import MAX_DEPTH
from hitl_vault.core.chain import Head, Link
from hitl_vault.core.commands import Ask, Command, Finish, RegisterCommand, Vote
from hitl_vault.core.events import Recorded
from hitl_vault.core.lifecycle import apply
from hitl_vault.core.model import Request
from hitl_vault.core.rates import Asked, excess
from hitl_vault.core.register import Register
from hitl_vault.core.registering import RegisterStep, record
from hitl_vault.core.steps import Refusal, Step
from hitl_vault.errors import InvalidRequest
from hitl_vault.ports import Kept, Receipt

_MAX_WIDTH = 1_000_000  # a value that holds itself twice over doubles with every level


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """What one accepted step stores: a new state and its chained events.

    `request` is None where the step is one of the register.
    """

    request: Request | None
    rev: int
    state: bytes
    links: list[Link]

    @property
    def recorded(self) -> list[Recorded]:
        """The events as every later reader gets them."""
        return [Recorded(seq=link.seq, hash=link.hash, event=link.event) for link in self.links]


def decide(
    current: Request | None,
    head: Head,
    command: Command,
    now: datetime,
    asked: Asked | None = None,
    register: Register | None = None,
) -> tuple[Receipt, Write | None, Head]:
    """Judge `command` against the row as loaded, and chain what follows.

    Args:
        asked: For an ask with limits, what its requester has asked for, read in the transaction.
        register: For a vote under a grant, the register, read in the transaction.

    Returns:
        The receipt, what to store (None: nothing), and the chain's head after it.

    Raises:
        InvalidRequest: A value of the command cannot be written as JSON.
    """
    if isinstance(command, Finish) and _is_deep(command.result):
        raise InvalidRequest(f"the result is nested deeper than {MAX_DEPTH} levels")
    if isinstance(command, Ask) and current is None and asked is not None:
        too_many = excess(command, asked)
        if too_many:
            return Receipt(kept=Kept.TOO_MANY, message=too_many), None, head
    judged = apply(current, command, now, register)
    try:
        if isinstance(judged, Step):
            write, head = _write(judged, head)
            return Receipt(kept=Kept.ACCEPTED, request=judged.request), write, head
        return _refused(current, judged, head)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise InvalidRequest(f"cannot be written as JSON: {error}") from error


def decide_register(
    current: Register | None, head: Head, command: RegisterCommand, now: datetime
) -> tuple[Receipt, Write | None, Head]:
    """Judge a command on the register as loaded, as `decide` does for a request."""
    register = current or Register()
    judged = record(register, command, now)
    if isinstance(judged, RegisterStep):
        state = chain.encode_register(judged.register)
        links, head = chain.link(head, judged.events, state)
        write = Write(request=None, rev=judged.register.rev, state=state, links=links)
        return Receipt(kept=Kept.ACCEPTED, register=judged.register), write, head
    kept = Kept(judged.why.value)
    return Receipt(kept=kept, register=register, message=judged.message), None, head


def needs_register(command: Command) -> bool:
    """True if a command is judged by what the register says too."""
    return isinstance(command, Vote) and command.grant is not None


def _is_deep(value: Any) -> bool:
    """Say whether a value nests so deep that reading it back may fail where writing it did not."""
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        level = [
            inner
            for one in level
            if isinstance(one, dict | list | tuple)
            for inner in (one.values() if isinstance(one, dict) else one)
        ]
        if not level or len(level) > _MAX_WIDTH:
            return bool(level)
    return True


def _refused(
    current: Request | None, refusal: Refusal, head: Head
) -> tuple[Receipt, Write | None, Head]:
    write, after = None, current
    if refusal.step is not None:
        write, head = _write(refusal.step, head)
        after = refusal.step.request
    receipt = Receipt(kept=Kept(refusal.why.value), request=after, message=refusal.message)
    return receipt, write, head


def _write(step: Step, head: Head) -> tuple[Write, Head]:
    state = chain.encode_request(step.request)
    links, head = chain.link(head, step.events, state)
    return Write(request=step.request, rev=step.request.rev, state=state, links=links), head
