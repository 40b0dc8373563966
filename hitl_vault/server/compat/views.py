"""Owns what all the other services' shapes are made of: a request as it stands now. Never changes
one.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from hitl_vault.core.access import Identity, Scope
from hitl_vault.core.lifecycle import deadline
from hitl_vault.core.model import Answer, Request, Status
from hitl_vault.records import standing
from hitl_vault.server.batches import each
from hitl_vault.server.identities import acting_as
from hitl_vault.wiring import Orchestrator


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A request and where it stands, a passed deadline included."""

    request: Request
    status: Status

    @property
    def plain_status(self) -> Status:
        """Where it stands, for clients that know no changed details.

        What was approved with changes is rejected for them: the action they asked about was not
        approved, and they would run it as they asked.
        """
        changed = self.request.edited is not None and self.status.was_approved
        return Status.REJECTED if changed else self.status

    @property
    def ended_at(self) -> datetime | None:
        """When it was decided, or its time was over; None while it waits."""
        if self.status is Status.PENDING:
            return None
        return self.request.decided_at or deadline(self.request)

    @property
    def decided_by(self) -> str | None:
        """Whose vote decided it, None where nobody's did."""
        decided = self.status.was_approved or self.status is Status.REJECTED
        return self.request.votes[-1].reviewer if decided and self.request.votes else None


def answer_of(*, approved: bool) -> Answer:
    """Return the answer to a request as it was asked."""
    return Answer.APPROVE if approved else Answer.REJECT


def digest_for(request: Request, said: Answer) -> str | None:
    """Return the digest an answer counts for: for an approval, of what was asked.

    These clients send none and are shown no changes: nobody approves through them what somebody
    else has changed since they looked. A rejection is of whatever is in force.
    """
    return None if said is Answer.REJECT else request.payload_sha256


async def see(hitl: Orchestrator, id: str) -> Seen:
    """Return a request as it stands by the engine's clock. Raises RequestNotFound."""
    request = await hitl.get(id)
    return Seen(request=request, status=standing(request, hitl.now()))


async def see_pending(
    hitl: Orchestrator, caller: Identity, *, run_id: str | None = None
) -> AsyncGenerator[Seen, None]:
    """Yield what waits for an answer and this caller may see, newest first."""
    own = None if caller.may(Scope.READ) else acting_as(caller, None, "requested_by")
    now = hitl.now()
    wanted = partial(hitl.list_requests, status=Status.PENDING, run_id=run_id, requested_by=own)
    async with aclosing(each(wanted)) as found:
        async for one in found:
            if standing(one, now) is Status.PENDING:
                yield Seen(request=one, status=one.status)


def seconds(at: datetime | None) -> str | None:
    """Return a time in whole seconds, such as `2026-02-24T16:00:00Z`; a deadline never later."""
    return None if at is None else f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def exact(at: datetime | None) -> str | None:
    """Return a time as exactly as it is stored; a signature over it must fit."""
    return None if at is None else at.astimezone(UTC).isoformat().replace("+00:00", "Z")
