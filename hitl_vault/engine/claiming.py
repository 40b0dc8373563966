"""Owns the half of the API for executors elsewhere: claim, finish, check. Never runs anything.

Such an executor holds no presence lock: its claim lives by a lease, for all processes of the vault.
When its time has passed, whichever of them looks records an unknown end.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

from hitl_vault.core import commands as c
from hitl_vault.core import lifecycle
from hitl_vault.core.canonical import payload_sha256 as digest_over
from hitl_vault.core.canonical import with_details
from hitl_vault.core.model import Details, Request, Status
from hitl_vault.engine.checks import MAX_TEXT_BYTES, digest_of, name_of, text_of, word_of
from hitl_vault.engine.execution import LocalExecution
from hitl_vault.engine.looking import Looking
from hitl_vault.engine.policies import Policies
from hitl_vault.engine.timers import mark_if_dead
from hitl_vault.errors import Conflict, HitlVaultError, InvalidRequest, StorageError
from hitl_vault.ports import LONGEST_LEASE_S, Lease, Receipt

LEASE_S = 3600.0
_ENDS = frozenset({Status.EXECUTED, Status.FAILED, Status.UNKNOWN})


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """Whether a request may be executed now; `why` says in a sentence why not, "" where it may."""

    request: Request
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leased:
    """A claim and the lease it lives by. `again`: its name had it before, and may have run it."""

    request: Request
    lease: Lease
    again: bool


class Claiming(Looking):
    """What an executor that is not this process may do."""

    policies: Policies

    @abstractmethod
    async def _submit(self, command: c.Command, *, show: bool = True) -> Receipt: ...

    @abstractmethod
    async def _report(self, finish: c.Finish) -> Receipt: ...

    async def claim(
        self,
        id: str,
        *,
        claim_id: str | None = None,
        executor: str | None = None,
        payload_sha256: str | None = None,
        lease_s: float = LEASE_S,
    ) -> Leased:
        """Take the single right to execute for somebody elsewhere, for as long as its lease.

        Args:
            claim_id: The caller's own name of the claim, so that claiming again is the same claim
                and never a second one, at any process of the vault; its lease goes on as it is.
            payload_sha256: The digest of what the executor means to run.
            lease_s: How long it has to report the end or to `renew`, at most 24 hours.

        Raises:
            Conflict: It was claimed before, or what was approved is not what would run.
            Refused: It is not approved.
            Denied: The policy forbids it now, whatever was approved.
            StorageError: Not stored, or if it is, its lease ends; claim it again by its name.
        """
        _check_lease(lease_s)
        request = await self.get(id)
        expected = digest_of(payload_sha256, "payload_sha256")
        executor = None if executor is None else name_of(executor, "executor")
        claim_id = None if claim_id is None else name_of(claim_id, "claim_id")
        leases = self._parts.presence.leases
        lease = await leases.begin(request.id, lease_s)  # before anything may live by it
        run = LocalExecution(
            self._parts,
            self.policies,
            self._submit,
            self._report,
            request.id,
            executor,
            claim_id=claim_id,
            expected=expected,
            holder=lease.holder,
        )
        try:
            claimed = await run.claim()
        except (StorageError, asyncio.CancelledError):
            raise  # it may be stored: who claims again finds its lease, or the lease ends
        except HitlVaultError:
            leases.drop(lease.holder)
            raise
        assert claimed.claim is not None
        if claimed.claim.holder == lease.holder:
            return Leased(request=claimed, lease=lease, again=False)
        leases.drop(lease.holder)
        if payload_sha256 not in {None, claimed.claim.payload_sha256}:
            raise Conflict(f"{run.claim_id} was claimed for other details before", claimed)
        if executor not in {None, claimed.claim.executor}:
            raise Conflict(
                f"{run.claim_id} was claimed by {claimed.claim.executor} before", claimed
            )
        return Leased(request=claimed, lease=await self._living_lease(claimed, lease_s), again=True)

    async def renew(self, id: str, claim_id: str, lease_s: float | None = None) -> Leased:
        """Let the lease of a claim begin anew, as long as before unless said.

        Raises:
            Conflict: The request is not executing under this claim, or its lease has ended.
            StorageError: Not stored; the lease is as it was.
        """
        if lease_s is not None:
            _check_lease(lease_s)
        request = self._executing(await self.get(id), claim_id)
        lease = await self._living_lease(request, lease_s or LEASE_S)
        leases = self._parts.presence.leases
        lease = await leases.begin(request.id, lease_s or lease.seconds, lease.holder)
        try:
            request = self._executing(await self.get(id), claim_id)
        except Conflict:  # it ended meanwhile
            leases.drop(lease.holder)
            raise
        return Leased(request=request, lease=lease, again=True)

    def _executing(self, request: Request, claim_id: str) -> Request:
        held = request.claim
        if request.status is not Status.EXECUTING or held is None or held.claim_id != claim_id:
            raise Conflict(
                f"{claim_id} is not executing: {request.id} is {request.status}", request
            )
        return request

    async def _living_lease(self, request: Request, seconds: float) -> Lease:
        """Return the lease of a claim; one that was removed is made again while that counts."""
        assert request.claim is not None
        holder, leases = request.claim.holder, self._parts.presence.leases
        if not leases.names(holder) or not leases.is_alive(holder):
            await mark_if_dead(self._parts, request, self._report)
            now = await self.get(request.id)
            raise Conflict(
                f"{request.claim.claim_id} has no lease, or it has ended, and {now.id} is "
                f"{now.status}; report its end if it has run",
                now,
            )
        return leases.find(holder) or await leases.begin(request.id, seconds, holder)

    async def finish(
        self,
        id: str,
        claim_id: str,
        status: Status,
        *,
        result: Any = None,
        error: str = "",
        by: str | None = None,
    ) -> Request:
        """Record how a claimed execution ended; also late, when its end was recorded as unknown.

        Args:
            claim_id: Which claim: nobody else's report counts.
            status: executed, failed, or unknown for a person to resolve.
            by: Who says so; else who claimed.

        Raises:
            Refused, Conflict: It is not this claim's to say, or it ended otherwise.
            OutcomeNotRecorded: It could not be stored; report it again.
        """
        status = word_of(status, Status, "status")
        if status not in _ENDS:
            raise InvalidRequest(f"an execution ends executed, failed or unknown, not {status}")
        text_of(error, "error", MAX_TEXT_BYTES)
        request = await self.get(id)
        held = request.claim
        run = LocalExecution(
            self._parts,
            self.policies,
            self._submit,
            self._report,
            request.id,
            by or (held.executor if held is not None else None),
            claim_id=name_of(claim_id, "claim_id"),
        )
        await run.finish(status, result=result, error=error)
        return await self.get(request.id)

    async def check_approval(
        self,
        id: str,
        details: Details | None = None,
        *,
        payload_sha256: str | None = None,
        claim_id: str = "",
    ) -> Checked:
        """Say whether a request is good to be executed now, and why not.

        It is where it is approved, or executing under `claim_id`; in time; for exactly these
        details (or this digest); and not forbidden by the policy meanwhile. Nothing is claimed.

        Raises:
            RequestNotFound: There is no such request.
            InvalidRequest: The details cannot be accepted.
        """
        request = await self.get(id)
        wanted = digest_of(payload_sha256, "payload_sha256")
        found = [] if wanted is None else [wanted]
        if details is not None:
            found.append(digest_over(with_details(request.action, details)))
        return Checked(request=request, why=self._why_not(request, found, claim_id))

    def _why_not(self, request: Request, digests: list[str], claim_id: str) -> str:
        now = self._parts.clock.now()
        if lifecycle.is_overdue(request, now):
            return f"{request.id} has expired"
        if request.status is Status.PENDING:
            return f"{request.id} is not approved yet"
        mine = bool(claim_id) and request.claim is not None and request.claim.claim_id == claim_id
        if request.status is Status.EXECUTING and not mine:
            return f"{request.id} is executing already, under another claim"
        if request.status not in {Status.APPROVED, Status.EXECUTING}:
            return f"{request.id} is {request.status}"
        if any(digest != request.payload_in_force for digest in digests):
            return "what would run is not what was approved"
        present = with_details(request.action, request.details)
        denied_by = self.policies.denied_by(present, now, request.verdict)
        return f"the policy forbids it now ({denied_by})" if denied_by else ""


def _check_lease(seconds: float) -> None:
    """Raise InvalidRequest unless a lease may last so long."""
    if not 0 < seconds <= LONGEST_LEASE_S:
        raise InvalidRequest("lease_s must be more than 0 and at most 86400 (24 hours)")
