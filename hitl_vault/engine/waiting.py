"""Owns waiting for a person, across deadlines, crashes and processes. Never decides.

A waiter registers with the ledger and reads it first, so an answer given before, meanwhile or by
another process is never missed. It records a deadline itself when it passes, so that it needs no
timer.
"""

from __future__ import annotations

import logging

from hitl_vault.core import commands as c
from hitl_vault.core.lifecycle import is_overdue
from hitl_vault.core.model import Request, Status
from hitl_vault.engine.display import Display
from hitl_vault.engine.parts import Parts
from hitl_vault.engine.timers import Report, mark_if_dead
from hitl_vault.errors import (
    Cancelled,
    Expired,
    NotApproved,
    Rejected,
    RequestNotFound,
    WaitTimeout,
)

_log = logging.getLogger(__name__)
_LOOK_S = 5.0  # how often a waiter for an outcome makes sure that the executor lives
_CLOCK_S = 15.0  # how often a waiter looks at the wall clock, which may be set meanwhile
_AGAIN_S = 0.2  # for a ledger whose clock says that it is not time yet


class Waiting:
    """Waits on behalf of callers; any number at once."""

    def __init__(self, parts: Parts, display: Display, report: Report) -> None:
        self._ledger, self._clock, self._parts = parts.ledger, parts.clock, parts
        self._display, self._report = display, report

    async def for_decision(self, id: str, patience_s: float | None) -> Request:
        """Return the request once it is not pending; raise WaitTimeout after `patience_s`."""
        give_up = self._after(patience_s)
        heard = self._ledger.heard(id)
        # `wait` below looks at the ledger before it waits; what is decided is pending never again
        request = await self._get(id) if heard is None else heard.request
        if request.status is Status.PENDING and patience_s != 0:
            await self._say_where(request)
        while request.status is Status.PENDING:
            left = self._left(give_up)
            if left is not None and left <= 0:
                request = await self._get(id)
                if request.status is not Status.PENDING:
                    break
                raise WaitTimeout(f"{id} is not decided after {patience_s:g} s; it still waits")
            due = (request.expires_at - self._clock.now()).total_seconds()
            if due <= 0:
                receipt = await self._ledger.submit(c.Expire(id=request.id))
                self._display.show_soon(request.id)
                request = receipt.request or request
                due = _AGAIN_S
                if request.status is not Status.PENDING:
                    break
            pause = min(due, _CLOCK_S) if left is None else min(left, due, _CLOCK_S)
            request = await self._ledger.wait(request.id, after_rev=request.rev, timeout_s=pause)
        return request

    async def for_outcome(self, id: str, patience_s: float | None) -> Request:
        """Return the request once it has ended, or its executor is known to be dead."""
        give_up = self._after(patience_s)
        request = await self.for_decision(id, patience_s)
        while not request.status.is_terminal and request.status is not Status.UNKNOWN:
            left = self._left(give_up)
            if left is not None and left <= 0:
                raise WaitTimeout(f"{id} is {request.status} after {patience_s:g} s")
            if is_overdue(request, self._clock.now()):
                receipt = await self._ledger.submit(c.Expire(id=request.id))
                self._display.show_soon(request.id)
                request = receipt.request or request
                continue
            if await mark_if_dead(self._parts, request, self._report):
                return await self._get(id)
            pause = _LOOK_S if left is None else min(_LOOK_S, left)
            request = await self._ledger.wait(request.id, after_rev=request.rev, timeout_s=pause)
        return request

    async def _say_where(self, request: Request) -> None:
        """Log once a wait where the answer is to be given: a program that waits is silent else."""
        if not _log.isEnabledFor(logging.INFO):
            return
        known = self._display.known(request.id)
        path = None if known is None else known.path
        note = "its note" if path is None else self._parts.absolute(path)
        _log.info(
            "waiting for an answer in %s (or, in the vault, with: hitl review %s)", note, request.id
        )

    async def _get(self, id: str) -> Request:
        request = await self._ledger.get(id)
        if request is None:
            raise RequestNotFound(f"there is no request {id!r}")
        return request

    def _after(self, patience_s: float | None) -> float | None:
        return None if patience_s is None else self._clock.monotonic() + patience_s

    def _left(self, give_up: float | None) -> float | None:
        return None if give_up is None else give_up - self._clock.monotonic()


def refusal_of(request: Request) -> NotApproved:
    """Return the error that says why a decided request may not run."""
    by = f" by {request.votes[-1].reviewer}" if request.votes else ""
    why = f": {request.reason}" if request.reason else ""
    match request.status:
        case Status.REJECTED:
            return Rejected(f"{request.id} was rejected{by}{why}", request)
        case Status.EXPIRED:
            return Expired(f"{request.id} expired{why}", request)
        case Status.CANCELLED:
            return Cancelled(f"{request.id} was cancelled{why}", request)
        case _:
            raise AssertionError(f"{request.status} is not a refusal")
