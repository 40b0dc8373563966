"""Owns running what was approved, once. Never retries: a started action is reported, or unknown."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Self

import msgspec

from hitl_vault.core import commands as c
from hitl_vault.core.canonical import check_details, payload_sha256, with_details
from hitl_vault.core.model import Details, Request, Status
from hitl_vault.core.steps import resolving
from hitl_vault.engine.parts import Parts
from hitl_vault.engine.policies import Policies
from hitl_vault.engine.spans import said
from hitl_vault.errors import (
    Conflict,
    Denied,
    HitlVaultError,
    InvalidRequest,
    NotOpen,
    OutcomeNotRecorded,
    OutcomeUnknown,
    Refused,
    RequestNotFound,
    StorageError,
)
from hitl_vault.ports import Receipt

_log = logging.getLogger(__name__)
_MAX_RESULT_BYTES = 65_536
_MAX_ERROR_CHARS = 4_000

_ENDED = {
    Status.EXECUTED: "was executed",
    Status.FAILED: "was started and failed",
    Status.UNKNOWN: "was started and interrupted",
}

Submit = Callable[[Any], Awaitable[Receipt]]


class Execution(ABC):
    """The single right to execute one approved request, as an async context.

    Entering claims (raises `Conflict` if anybody did before, `Refused` if it may not run). Leaving
    records `executed` with `result`, `failed` if the block raised, `unknown` if it was torn away
    (cancelled, interrupted, exiting). One object claims once and is entered once.
    """

    def __init__(self, id: str, executor: str, claim_id: str) -> None:
        self._id, self._executor = id, executor
        self._request: Request | None = None
        self._claiming = self._entered = False
        self.claim_id = claim_id
        self.result: Any = None

    @abstractmethod
    async def _take(self) -> Request:
        """Take the claim and return the request as claimed; see `_not_begun` for a failed try."""

    @abstractmethod
    async def _record(self, finish: c.Finish) -> None:
        """Record how it ended. Raises StorageError if it could not be stored."""

    @property
    def request(self) -> Request:
        """The request as claimed."""
        assert self._request is not None, "use it inside `async with`"
        return self._request

    @property
    def details(self) -> Details:
        """The approved details: the edited ones where a reviewer changed them."""
        return self.request.details

    async def __aenter__(self) -> Self:
        if self._entered:
            raise Conflict("this execution was entered before; what it ran must not run again")
        self._entered = True
        if self._request is None:
            await self.claim()
        return self

    async def claim(self) -> Request:
        """Take the claim. The digest of what will run is computed afresh from what will run.

        Raises:
            Conflict: Somebody claimed it before.
            Refused: It is not approved.
            Denied: The policy forbids it now, whatever was approved.
        """
        if self._claiming:
            raise Conflict("this execution has claimed before; make a new one to claim again")
        self._claiming = True
        self._request = await self._take()
        return self._request

    async def _not_begun(self) -> None:
        """A claim that was on its way may have been stored: say that nothing ran under it."""
        with contextlib.suppress(HitlVaultError):  # it was not stored, or its death is noticed
            await self.finish(Status.FAILED, error="given up before it began; nothing was run")

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            await self.finish(Status.EXECUTED, result=self.result)
        elif isinstance(error, Exception):
            await self.finish(Status.FAILED, error=_described(error))
        else:
            await self._torn_away(error)

    async def _torn_away(self, error: BaseException) -> None:
        try:
            await self.finish(Status.UNKNOWN, error=f"interrupted by {type(error).__name__}")
        except OutcomeUnknown as problem:  # an interruption stays one, whatever the disk does
            _log.error("%s", problem)

    async def finish(self, status: Status, *, result: Any = None, error: str = "") -> None:
        """Record how it ended.

        Raises:
            OutcomeNotRecorded: It could not be stored; it is tried again while this process lives,
                and the request stays `executing` until then.
        """
        finish = c.Finish(
            id=self._id,
            claim_id=self.claim_id,
            status=status,
            by=self._executor,
            result=as_json(result),
            error=error[:_MAX_ERROR_CHARS],
        )
        try:
            await self._record(finish)
        except StorageError as problem:
            raise self._not_recorded(status, problem) from problem

    def _not_recorded(self, status: Status, problem: StorageError) -> OutcomeNotRecorded:
        told = f"{self._id} {_ENDED[status]}, and that could not be recorded"
        later = "It is recorded as soon as that works, while"
        if isinstance(problem, NotOpen):
            here = there = f"it must not run again: {resolving(self._id)}"
        else:
            here, there = (
                f"it must not run again. {later} {who} runs; after that, {resolving(self._id)}"
                for who in ("this program", "the service")
            )
        return OutcomeNotRecorded(
            f"{told} ({problem}); {here}", self._request, sentence=f"{told}; {there}"
        )


class LocalExecution(Execution):
    """An execution in the process that holds the vault open: it lives as long as the process, or as
    the lease that `holder` names.

    A `claim_id` of the caller's own makes claiming again the same claim; `expected` is the digest
    of what the caller means to run.
    """

    def __init__(
        self,
        parts: Parts,
        policies: Policies,
        submit: Submit,
        report: Submit,
        id: str,
        executor: str | None,
        *,
        claim_id: str | None = None,
        expected: str | None = None,
        holder: str = "",
    ) -> None:
        super().__init__(id, executor or parts.executor, claim_id or f"claim-{parts.token()}")
        self._named, self._expected, self._holder = claim_id is not None, expected, holder
        self._parts, self._policies = parts, policies
        self._submit, self._report = submit, report

    async def _take(self) -> Request:
        request = await self._approved()
        present = with_details(request.action, request.details)
        now = self._parts.clock.now()
        denied_by = self._policies.denied_by(present, now, request.verdict)
        digest = payload_sha256(present)
        claim = c.Claim(
            id=request.id,
            claim_id=self.claim_id,
            executor=self._executor,
            holder=self._holder or self._parts.presence.hold(),
            # what would not run as the executor means it is nothing that anybody approved
            payload_sha256=digest if self._expected in {None, digest} else "",
            denied_by=denied_by,
        )
        try:
            with self._parts.tracer.span("hitl.claim", request.trace, said(claim)):
                receipt = await self._submit(claim)
        except Refused as refused:
            if denied_by:
                raise Denied(str(refused), request) from refused
            raise
        except (asyncio.CancelledError, StorageError):
            if not self._named:  # who named the claim may claim again: it is the same one
                await asyncio.shield(self._not_begun())
            raise
        assert receipt.request is not None
        return receipt.request

    async def _approved(self) -> Request:
        heard = self._parts.ledger.heard(self._id)
        if heard is not None and heard.request.status is Status.APPROVED:
            return heard.request  # nothing of it changes any more; the ledger judges the claim
        request = await self._parts.ledger.get(self._id)
        if request is None:
            raise RequestNotFound(f"there is no request {self._id}")
        return request

    async def _record(self, finish: c.Finish) -> None:
        await self._report(finish)


def _described(error: Exception) -> str:
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return text.encode(errors="replace").decode()


def exact_json(result: Any) -> Any:
    """Return a result as the JSON values that are recorded for it.

    Raises:
        InvalidRequest, TypeError, ValueError, OverflowError, RecursionError: JSON cannot hold it
            exactly, or it is larger than 64 KiB.
    """
    check_details({"result": msgspec.to_builtins(result, str_keys=True)})  # NaN would become null
    plain = msgspec.json.encode(result)
    if len(plain) > _MAX_RESULT_BYTES:
        raise InvalidRequest(f"{len(plain):,} bytes, more than {_MAX_RESULT_BYTES:,}")
    known = msgspec.json.decode(plain)
    check_details({"result": known})
    return known


def as_json(result: Any) -> Any:
    """Return a result as JSON values; what JSON cannot hold becomes its text. Never raises: the
    action has run, and its end must be recorded whatever it returned.
    """
    with contextlib.suppress(Exception):  # said below in another form
        return exact_json(result)
    try:
        values = _writable(msgspec.to_builtins(result, enc_hook=repr, str_keys=True))
        plain = msgspec.json.encode(values)
    except Exception as error:  # a __repr__ or __str__ of the caller's may raise anything
        _log.warning("the result cannot be recorded: %s", type(error).__name__)
        return f"<{type(result).__name__}>"
    text = plain.decode(errors="replace")
    if len(plain) > _MAX_RESULT_BYTES:
        return f"{text[:2_000]} … ({len(plain):,} bytes, cut)"
    try:
        known = msgspec.json.decode(plain)
        check_details({"result": known})  # what the ledger can hold and others can read
    except (InvalidRequest, RecursionError, ValueError):
        return text
    return known


def _writable(value: Any) -> Any:
    """Return JSON values with texts for the numbers that readers of JSON would lose or round."""
    match value:
        case dict():
            return {key: _writable(item) for key, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_writable(item) for item in value]
        case int() | float():
            with contextlib.suppress(InvalidRequest):
                check_details({"result": value})
                return value
            return str(value)
    return value


def check_outcome(status: Status) -> None:
    """Raise InvalidRequest unless an execution can end so."""
    if status not in {Status.EXECUTED, Status.FAILED}:
        raise InvalidRequest(f"an execution ends executed or failed, not {status}")
