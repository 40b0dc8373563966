"""Owns the leases of remote claims. Never decides: an end is reported, and the ledger judges.

An executor over HTTP holds no presence lock, so nothing shows that it died. Its claim lives with
this process, for as long as its lease: then the end is recorded as unknown, and a person resolves
it. Leases are kept in memory: when this process ends, its claims are seen to have no holder.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self

from hitl_vault.core.durations import show_duration
from hitl_vault.core.model import Request, Status
from hitl_vault.errors import Conflict, HitlVaultError, InvalidRequest, Refused, StorageError
from hitl_vault.ports import Clock
from hitl_vault.wiring import Orchestrator

_log = logging.getLogger(__name__)
_ROUND_S = 1.0
DEFAULT_S = 3600.0
LONGEST_S = 86400.0


@dataclass(slots=True, kw_only=True)
class Lease:
    """How long a claim is held for its executor; `ends` is monotonic."""

    id: str
    claim_id: str
    executor: str
    seconds: float
    ends: float
    ends_at: datetime


class Leases:
    """The leases of the claims that this process handed out."""

    def __init__(self, hitl: Orchestrator, clock: Clock) -> None:
        self._hitl, self._clock = hitl, clock
        self._held: dict[tuple[str, str], Lease] = {}
        self._begun: set[tuple[str, str]] = set()

    async def claim(
        self, id: str, claim_id: str, executor: str, payload_sha256: str | None, lease_s: float
    ) -> tuple[Request, Lease, bool]:
        """Claim for an executor elsewhere, and begin its lease; claimed before, it goes on, and the
        third is True: somebody may have run it under this name already.

        Raises what `Orchestrator.claim` raises.
        """
        _check(lease_s)
        name = (id.casefold(), claim_id)
        again = name in self._held or name in self._begun
        self._begun.add(name)
        try:
            request = await self._hitl.claim(
                id, claim_id=claim_id, executor=executor, payload_sha256=payload_sha256
            )
        except (StorageError, asyncio.CancelledError):  # it may be stored, and nobody may come back
            self._keep(id, claim_id, executor, lease_s)
            raise
        finally:
            self._begun.discard(name)
        return request, self._keep(request.id, claim_id, executor, lease_s), again

    def _keep(self, id: str, claim_id: str, executor: str, lease_s: float) -> Lease:
        known = self._held.get((id.casefold(), claim_id))
        if known is not None:
            return known
        lease = Lease(
            id=id,
            claim_id=claim_id,
            executor=executor,
            seconds=lease_s,
            ends=self._clock.monotonic() + lease_s,
            ends_at=self._clock.now() + timedelta(seconds=lease_s),
        )
        self._held[id.casefold(), claim_id] = lease
        return lease

    async def renew(self, id: str, claim_id: str, lease_s: float | None) -> tuple[Request, Lease]:
        """Let a claim's lease begin anew, as long as before unless said.

        Raises:
            Conflict: The request is not executing under this claim, or its lease is not kept here.
        """
        if lease_s is not None:
            _check(lease_s)
        request = await self._hitl.get(id)
        held = request.claim
        if request.status is not Status.EXECUTING or held is None or held.claim_id != claim_id:
            raise Conflict(
                f"{claim_id} is not executing: {request.id} is {request.status}", request
            )
        lease = self._held.get((request.id.casefold(), claim_id))
        if lease is None:
            raise Conflict(f"the lease of {claim_id} has ended, or is kept elsewhere", request)
        lease.seconds = lease.seconds if lease_s is None else lease_s
        lease.ends = self._clock.monotonic() + lease.seconds
        lease.ends_at = self._clock.now() + timedelta(seconds=lease.seconds)
        return request, lease

    def drop(self, id: str, claim_id: str) -> None:
        """Forget the lease of a claim whose end was reported."""
        self._held.pop((id.casefold(), claim_id), None)

    async def end_overdue(self) -> int:
        """Report every lease that has ended; return how many."""
        now = self._clock.monotonic()
        overdue = [lease for lease in self._held.values() if lease.ends <= now]
        for lease in overdue:
            if lease.ends <= now:  # renewed meanwhile, otherwise
                self.drop(lease.id, lease.claim_id)
                await self._report(lease)
        return len(overdue)

    async def _report(self, lease: Lease) -> None:
        said = f"{lease.executor} did not report within its lease of {show_duration(lease.seconds)}"
        try:
            if not self._hitl.holds(await self._hitl.get(lease.id), lease.claim_id):
                return  # it was claimed again elsewhere, and its lease is kept there
            await self._hitl.finish(
                lease.id, lease.claim_id, Status.UNKNOWN, error=said, by="clock"
            )
        except (Conflict, Refused):  # it was reported, or never claimed
            pass
        except HitlVaultError as error:
            _log.warning("the end of a lease: %s", error)

    async def __aenter__(self) -> Self:
        """Look at the leases from now on."""
        self._looking = asyncio.create_task(self._look(), name="hitl-leases")
        return self

    async def __aexit__(self, *_: object) -> None:
        """Look no more; whose lease goes on is found to have no holder by the next process."""
        self._looking.cancel()
        await asyncio.gather(self._looking, return_exceptions=True)

    async def _look(self) -> None:
        while True:
            await self._clock.sleep(_ROUND_S)
            try:
                await self.end_overdue()
            except Exception:  # whatever it was, leases must go on being looked at
                _log.exception("the leases could not be looked at, they are looked at again")


def _check(lease_s: float) -> None:
    if not 0 < lease_s <= LONGEST_S:
        raise InvalidRequest("lease_s must be more than 0 and at most 86400 (24 hours)")
