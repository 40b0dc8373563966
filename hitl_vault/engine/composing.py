"""Owns the calls of the API that are made of its other calls, the same wherever the desk is.

Never touches a ledger or a network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from hitl_vault.core.model import Answer, Details, Effect, Request, Status
from hitl_vault.core.steps import resolving
from hitl_vault.engine.approval_desk import ApprovalDesk
from hitl_vault.engine.checks import MAX_TEXT_BYTES, text_of
from hitl_vault.engine.execution import as_json
from hitl_vault.engine.guard import Guard
from hitl_vault.engine.waiting import refusal_of
from hitl_vault.errors import OutcomeUnknown


class Composing(ApprovalDesk):
    """What every approval desk does in the same way."""

    def requires_approval(self, type: str, details: Details, **who: str) -> bool:
        """True unless the policy allows the action without asking."""
        return self.evaluate(type, details, **who).effect is not Effect.ALLOW

    async def wait_for_approval(self, id: str, timeout: float | str | None = None) -> Request:
        """Return the request once it is approved; only then.

        Raises:
            Rejected, Expired, Cancelled: It will not be approved.
            OutcomeUnknown: It was approved and started, and how it ended is not known.
            WaitTimeout: `timeout` passed first; the request waits on.
            RequestNotFound: There is no such request.
        """
        request = await self.wait_for_decision(id, timeout)
        if request.status is Status.UNKNOWN:
            raise OutcomeUnknown(
                f"{request.id} was approved and started, and how it ended is not known; it must "
                f"not run again: {resolving(request.id)}",
                request,
            )
        if not request.status.was_approved:
            raise refusal_of(request)
        return request

    def guard(
        self,
        type: str,
        description: str = "",
        *,
        key: str | Callable[..., str] | None = None,
        requested_by: str = "agent",
        agent: str = "",
        run_id: str = "",
        timeout: float | str | None = None,
        ignore: Iterable[str] = (),
    ) -> Guard:
        """Return a decorator: evaluate, ask, wait, claim, run once, record.

        With a `key`, every call returns the result as JSON values, so that the call that ran it
        and the calls after it return the same; see `engine.guard.Guard`.

        Raises:
            InvalidRequest: An argument cannot be accepted, or the function cannot be guarded.
        """
        return Guard(
            self,
            type=type,
            description=description,
            key=key,
            who={"requested_by": requested_by, "agent": agent, "run_id": run_id},
            timeout=timeout,
            ignore=ignore,
        )

    async def approve(
        self,
        id: str,
        *,
        reviewer: str,
        reason: str = "",
        details: Details | None = None,
        payload_sha256: str | None = None,
    ) -> Request:
        """Vote for a request; with `details`, for the action with those details instead.

        Nothing proves who calls this, so the vote is recorded as `edited`.

        Args:
            payload_sha256: The digest of what the reviewer was shown (`payload_in_force`); None
                takes what is in force now.

        Raises:
            Refused: The vote may not count; the message says why and what to do.
            Conflict: It is decided otherwise, or no longer what was shown.
            InvalidRequest: The changed details cannot be accepted.
        """
        answer = Answer.APPROVE if details is None else Answer.EDIT
        return await self.vote(
            id,
            answer,
            reviewer=reviewer,
            reason=reason,
            details=details,
            payload_sha256=payload_sha256,
        )

    async def reject(
        self, id: str, *, reviewer: str, reason: str = "", payload_sha256: str | None = None
    ) -> Request:
        """Vote against a request. Takes and raises what `approve` does."""
        return await self.vote(
            id, Answer.REJECT, reviewer=reviewer, reason=reason, payload_sha256=payload_sha256
        )

    async def mark_executed(self, id: str, result: Any = None) -> Request:
        """Record that an approved request was executed elsewhere: claim and finish it at once."""
        return await self._mark(id, Status.EXECUTED, result=result)

    async def mark_failed(self, id: str, error: str) -> Request:
        """Record that executing an approved request failed."""
        text_of(error, "error", MAX_TEXT_BYTES)
        return await self._mark(id, Status.FAILED, error=error)

    async def _mark(
        self, id: str, status: Status, *, result: Any = None, error: str = ""
    ) -> Request:
        request = await self.get(id)
        if request.status is status and request.result == as_json(result):
            return request
        run = self.execution(id)
        await run.claim()
        await run.finish(status, result=result, error=error)
        return await self.get(id)
