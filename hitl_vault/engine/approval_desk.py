"""Owns the protocol of an approval desk: what an agent can ask of the vault it has open, and of a
service far away, in the same words. Never says how.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable
from datetime import datetime
from types import TracebackType
from typing import Any, Protocol, Self, runtime_checkable

from hitl_vault.core.chain import Break, Head
from hitl_vault.core.events import Recorded
from hitl_vault.core.model import Answer, Details, Request, Status, Verdict
from hitl_vault.engine.alerts import Alert
from hitl_vault.engine.execution import Execution
from hitl_vault.engine.guard import Guard


@runtime_checkable
class ApprovalDesk(Protocol):
    """What `Orchestrator` and `client.RemoteDesk` both are; see there for errors and guarantees.

    Guarantees:
        Nothing runs that was not approved, nothing approved runs twice, nothing asked, answered or
        done is lost: every method that changes something returns after a durable commit.
    """

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    async def open(self) -> None:
        """Open it."""

    async def aclose(self) -> None:
        """Release everything; whoever waits hears of it."""

    def evaluate(
        self,
        type: str,
        details: Details,
        *,
        requested_by: str = "agent",
        agent: str = "",
        run_id: str = "",
    ) -> Verdict:
        """Return what the policy says of an action: allow, ask or deny, and why."""
        ...

    async def verdict_on(
        self,
        type: str,
        details: Details,
        *,
        requested_by: str = "agent",
        agent: str = "",
        run_id: str = "",
    ) -> Verdict:
        """Return what `evaluate` returns, without blocking the event loop."""
        ...

    def requires_approval(self, type: str, details: Details, **who: str) -> bool:
        """True unless the policy allows the action without asking."""
        ...

    async def request_approval(
        self,
        type: str,
        description: str,
        details: Details,
        *,
        requested_by: str = "agent",
        agent: str = "",
        run_id: str = "",
        key: str | None = None,
        id: str | None = None,
        timeout: float | str | None = None,
        join: bool = False,
    ) -> Request:
        """Ask for approval of exactly this action."""
        ...

    async def was_asked(self, key: str) -> bool:
        """True if a request was made with this key."""
        ...

    async def wait_for_decision(self, id: str, timeout: float | str | None = None) -> Request:
        """Return the request once it is decided, however it was decided."""
        ...

    async def wait_for_approval(self, id: str, timeout: float | str | None = None) -> Request:
        """Return the request once it is approved; only then."""
        ...

    async def wait_for_outcome(self, id: str, timeout: float | str | None = None) -> Request:
        """Return the request once its execution has ended, or it can no longer be executed."""
        ...

    def execution(self, id: str, *, executor: str | None = None) -> Execution:
        """Return the single right to execute an approved request, as an async context."""
        ...

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
        """Return a decorator: evaluate, ask, wait, claim, run once, record."""
        ...

    async def mark_executed(self, id: str, result: Any = None) -> Request:
        """Record that an approved request was executed elsewhere."""
        ...

    async def mark_failed(self, id: str, error: str) -> Request:
        """Record that executing an approved request failed."""
        ...

    async def get(self, id: str) -> Request:
        """Return one request."""
        ...

    async def check_status(self, id: str) -> Status:
        """Return where a request stands now, a passed deadline included."""
        ...

    async def list_requests(
        self,
        *,
        status: Status | str | Iterable[Status] | None = None,
        type: str | None = None,
        requested_by: str | None = None,
        run_id: str | None = None,
        since: datetime | str | None = None,
        until: datetime | str | None = None,
        text: str | None = None,
        limit: int | None = None,
    ) -> list[Request]:
        """Return the requests that match, newest first."""
        ...

    async def approve(
        self,
        id: str,
        *,
        reviewer: str,
        reason: str = "",
        details: Details | None = None,
        payload_sha256: str | None = None,
    ) -> Request:
        """Vote for a request; with `details`, for the action with those details instead."""
        ...

    async def reject(
        self, id: str, *, reviewer: str, reason: str = "", payload_sha256: str | None = None
    ) -> Request:
        """Vote against a request."""
        ...

    async def vote(
        self,
        id: str,
        answer: Answer,
        *,
        reviewer: str,
        reason: str = "",
        details: Details | None = None,
        payload_sha256: str | None = None,
        proof: str = "",
        code: str = "",
        totp: str = "",
    ) -> Request:
        """Hand in one reviewer's answer, with what proves it if there is anything."""
        ...

    async def cancel(self, id: str, *, by: str = "agent", reason: str = "") -> Request:
        """Withdraw a request that does not run yet."""
        ...

    async def comment(self, id: str, text: str, *, author: str = "agent") -> Request:
        """Add a remark; it decides nothing."""
        ...

    def subscribe(self, after: int = 0, *, follow: bool = True) -> AsyncGenerator[Recorded, None]:
        """Yield every event after sequence number `after`, then live. Store `seq` to go on."""
        ...

    async def history(self, id: str) -> list[Recorded]:
        """Return what happened to a request, in order."""
        ...

    async def alerts(self) -> list[Alert]:
        """Return the alerts that fire now."""
        ...

    async def verify(self) -> Head | Break:
        """Prove the chain of events; returns its head, or the first event that is wrong."""
        ...
