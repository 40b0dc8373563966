"""Owns the words of an approval gateway, `ApprovalClient` and `PolicyClient`, over any approval
desk. Never decides, and adds no rule: each call is one or two of the desk's.
"""

from __future__ import annotations

from dataclasses import dataclass

from hitl_vault.core.model import Answer, Details, Effect, Request, Verdict
from hitl_vault.engine.approval_desk import ApprovalDesk

CODE_EXECUTION_S = 1800.0
DEPLOYMENT_S = 3600.0
BILLING_S = 7200.0
USUAL_S = 3600.0


def _deployment(platform: str, config: Details) -> tuple[str, Details]:
    return "deploy", {"platform": platform, "config": config}


def _code_execution(command: str) -> tuple[str, Details]:
    return "code_execution", {"command": command}


def _billing(operation: str, amount: float) -> tuple[str, Details]:
    return "create_billing", {"operation": operation, "amount": amount}


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyDecision:
    """What the policy says of an action. `allowed` is false only if it is forbidden."""

    allowed: bool
    requires_approval: bool
    reason: str
    verdict: Verdict


class PolicyClient:
    """Asks the policy before anything is asked of a person."""

    def __init__(self, hitl: ApprovalDesk) -> None:
        self._hitl = hitl

    async def check(
        self, type: str, details: Details, *, requested_by: str = "agent", run_id: str = ""
    ) -> PolicyDecision:
        """Return what the policy says of any action."""
        verdict = await self._hitl.verdict_on(
            type, details, requested_by=requested_by, run_id=run_id
        )
        return PolicyDecision(
            allowed=verdict.effect is not Effect.DENY,
            requires_approval=verdict.effect is Effect.ASK,
            reason=verdict.reason,
            verdict=verdict,
        )

    async def check_deployment(self, platform: str, config: Details) -> PolicyDecision:
        """Return what the policy says of a deployment."""
        return await self.check(*_deployment(platform, config))

    async def check_code_execution(self, command: str) -> PolicyDecision:
        """Return what the policy says of running a command."""
        return await self.check(*_code_execution(command))

    async def check_billing(self, operation: str, amount: float) -> PolicyDecision:
        """Return what the policy says of a billing operation."""
        return await self.check(*_billing(operation, amount))


class ApprovalClient:
    """Asks people and waits for them. An answer is heard at once: there is no interval to choose.

    Raises, in every method, what the desk raises: `Rejected`, `Expired`, `Cancelled`, `Denied` (all
    `NotApproved`), `WaitTimeout`, `Conflict`, `StorageError`.
    """

    def __init__(self, hitl: ApprovalDesk) -> None:
        self._hitl = hitl

    async def request_approval(
        self,
        action_type: str,
        description: str,
        context: Details,
        *,
        action_id: str | None = None,
        run_id: str = "",
        requested_by: str = "agent",
        timeout_seconds: float = USUAL_S,
    ) -> Request:
        """Ask, and return at once. The same `action_id` with the same content is asked once."""
        return await self._hitl.request_approval(
            action_type,
            description,
            context,
            requested_by=requested_by,
            run_id=run_id,
            id=action_id,
            timeout=timeout_seconds,
        )

    async def wait_for_approval(
        self, action_id: str, timeout_seconds: float | None = None
    ) -> Request:
        """Return the request once it is approved; only then."""
        return await self._hitl.wait_for_approval(action_id, timeout_seconds)

    async def request_and_wait(
        self,
        action_type: str,
        description: str,
        context: Details,
        *,
        action_id: str | None = None,
        run_id: str = "",
        requested_by: str = "agent",
        timeout_seconds: float = USUAL_S,
    ) -> Request:
        """Ask, and return once it is approved; only then."""
        asked = await self.request_approval(
            action_type,
            description,
            context,
            action_id=action_id,
            run_id=run_id,
            requested_by=requested_by,
            timeout_seconds=timeout_seconds,
        )
        return await self.wait_for_approval(asked.id)

    async def request_code_execution_approval(
        self, command: str, run_id: str = "", timeout_seconds: float = CODE_EXECUTION_S
    ) -> Request:
        """Ask whether a command may be run."""
        type, details = _code_execution(command)
        return await self.request_approval(
            type, f"Run {command}", details, run_id=run_id, timeout_seconds=timeout_seconds
        )

    async def request_deployment_approval(
        self,
        platform: str,
        config: Details,
        run_id: str = "",
        timeout_seconds: float = DEPLOYMENT_S,
    ) -> Request:
        """Ask whether something may be deployed."""
        type, details = _deployment(platform, config)
        return await self.request_approval(
            type, f"Deploy to {platform}", details, run_id=run_id, timeout_seconds=timeout_seconds
        )

    async def request_billing_approval(
        self, operation: str, amount: float, run_id: str = "", timeout_seconds: float = BILLING_S
    ) -> Request:
        """Ask whether money may be charged."""
        type, details = _billing(operation, amount)
        return await self.request_approval(
            type,
            f"{operation}: {amount}",
            details,
            run_id=run_id,
            timeout_seconds=timeout_seconds,
        )

    async def approve(
        self,
        approval_id: str,
        *,
        approved: bool = True,
        feedback: str = "",
        approved_by: str = "",
    ) -> Request:
        """Answer as a reviewer: yes, or no with `approved=False`.

        Args:
            approved_by: Who answers; at a service it may be left out: whose token it is.
        """
        return await self._hitl.vote(
            approval_id,
            Answer.APPROVE if approved else Answer.REJECT,
            reviewer=approved_by,
            reason=feedback,
        )
