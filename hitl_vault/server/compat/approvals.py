"""Owns the approvals whose `action_id` the caller chooses, under `/api/v1/approvals`. Never
decides: the engine does. What shares a path with another service is in `shared`.

Its fields in the words of the engine: `action_id` is the request's id, `action_type` the type,
`context` the details, `timeout_seconds` the time to answer.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Literal

from fastapi import APIRouter
from fastapi.responses import Response
from pydantic import BaseModel, Field

from hitl_vault.core.access import Identity, Scope
from hitl_vault.core.model import Request, Status, is_valid_id
from hitl_vault.errors import Conflict, Forbidden, InvalidRequest, RequestNotFound
from hitl_vault.server import asking
from hitl_vault.server.answers import CHANNEL
from hitl_vault.server.batches import streamed
from hitl_vault.server.compat.forms import Fault, Said, detail_route, faults, in_words
from hitl_vault.server.compat.views import Seen, answer_of, digest_for, seconds, see, see_pending
from hitl_vault.server.identities import Anyone, At, Operator, Voter, acting_as, check_sees
from hitl_vault.server.shapes import answer

_WORDS = {"id": "action_id", "key": "action_id", "type": "action_type", "details": "context"} | {
    same: same for same in ("description", "run_id", "requested_by")
}
_FOREVER_S = 10 * 365 * 24 * 3600
_CODED = "action-"
MOST = 500

State = Literal["PENDING", "APPROVED", "REJECTED", "EXPIRED", "CANCELLED"]
_STATES: dict[Status, State] = {
    Status.PENDING: "PENDING",
    Status.REJECTED: "REJECTED",
    Status.CANCELLED: "CANCELLED",
    Status.EXPIRED: "EXPIRED",
}


class ApprovalBody(Said):
    """An action that needs approval, named by its caller: asked again, it is the same approval."""

    action_id: str = Field(min_length=1, max_length=200, examples=["deploy-vercel-1234567890"])
    action_type: str = Field(min_length=1, examples=["deploy"])
    description: str = Field(examples=["Deploy trading bot to Vercel"])
    context: dict[str, Any] = Field(default_factory=dict, examples=[{"platform": "vercel"}])
    run_id: str | None = Field(default=None, examples=["wf_abc123"])
    requested_by: str | None = Field(default=None, examples=["temporal-worker"])
    timeout_seconds: int = Field(default=3600, ge=1, le=_FOREVER_S)


class DecideBody(Said):
    """A person's decision."""

    approved: bool
    reason: str | None = Field(default=None, examples=["Deployment reviewed and approved"])
    decided_by: str | None = Field(default=None, examples=["admin@example.com"])


class Approval(BaseModel):
    """An approval as it stands."""

    action_id: str = Field(examples=["deploy-vercel-1234567890"])
    action_type: str
    description: str
    context: dict[str, Any]
    run_id: str
    requested_by: str
    status: State
    created_at: str = Field(examples=["2026-02-24T15:00:00Z"])
    expires_at: str
    decided_at: str | None
    decided_by: str | None
    reason: str


class CleanedUp(BaseModel):
    """How many approvals were found to be over."""

    cleaned_up: int


def faults_of(error: Exception) -> Fault | None:
    """Return the errors this service has words of its own for."""
    match error:
        case RequestNotFound():
            return 404, {"detail": "Approval not found"}
        case Conflict(current=Request() as now):
            state = state_of(Seen(request=now, status=now.status))
            return 409, {"detail": str(error), "current_status": state}
        case _:
            return None


def state_of(seen: Seen) -> State:
    """Return a status as this service names it."""
    return _STATES.get(seen.plain_status, "APPROVED")


def id_of(action_id: str) -> str:
    """Return the request's id for an action's: the same, or one made of it where it cannot be."""
    if is_valid_id(action_id):
        return action_id
    return _CODED + hashlib.sha256(action_id.encode("utf-8", "replace")).hexdigest()[:40]


async def create(body: ApprovalBody, at: At, caller: Identity) -> Response:
    """Ask, or return what was asked with this `action_id` before.

    Raises:
        Conflict: It was used for another action.
    """
    requester = acting_as(caller, body.requested_by, "requested_by", default="agent")
    id = id_of(body.action_id)
    with in_words(_WORDS):
        asked = await asking.ask(
            at,
            caller,
            body.action_type,
            body.description,
            body.context,
            requested_by=requester,
            run_id=body.run_id or "",
            id=id,
            key=None if id == body.action_id else body.action_id,
            timeout=body.timeout_seconds,
        )
    request = asked.request
    if request.action.description != body.description:  # here it is part of what is asked
        raise asking.hidden_from(
            caller,
            Conflict(f"the action_id {body.action_id} was used for another action", request),
        )
    return answer(record(await see(at.hitl, request.id)), 200 if asked.known else 201)


async def find(at: At, caller: Identity, *, run_id: str | None, limit: int) -> Response:
    """List what waits, newest first."""
    return await streamed(_records(see_pending(at.hitl, caller, run_id=run_id), limit))


async def _records(
    waiting: AsyncGenerator[Seen, None], limit: int
) -> AsyncGenerator[dict[str, Any], None]:
    number = 0
    async with aclosing(waiting):
        async for one in waiting:
            yield record(one)
            number += 1
            if number == limit:
                return


def record(seen: Seen) -> dict[str, Any]:
    """Return an approval as this service writes it."""
    request = seen.request
    # anybody may choose such an id, or such a key, for another request of their own
    coded = request.key is not None and id_of(request.key) == request.id
    return {
        "action_id": request.key if coded else request.id,
        "action_type": request.action.type,
        "description": request.action.description,
        "context": request.details,
        "run_id": request.action.run_id,
        "requested_by": request.action.requested_by,
        "status": state_of(seen),
        "created_at": seconds(request.created_at),
        "expires_at": seconds(request.expires_at),
        "decided_at": seconds(seen.ended_at),
        "decided_by": seen.decided_by,
        "reason": request.reason,
    }


router = APIRouter(
    prefix="/api/v1/approvals", tags=["compatibility"], route_class=detail_route(faults_of)
)


@router.post("/cleanup", response_model=CleanedUp, responses=faults())
@router.post("/cleanup/", include_in_schema=False)
async def clean_up(at: At, _: Operator) -> Response:
    """Record the deadlines that have passed; the desk does so by itself too."""
    return answer({"cleaned_up": await at.hitl.settle_overdue()})


@router.post("/{action_id}/decide", response_model=Approval, responses=faults(400, 404, 409, 422))
@router.post("/{action_id}/decide/", include_in_schema=False)
async def decide(action_id: str, body: DecideBody, at: At, caller: Voter) -> Response:
    """Approve or reject; the same decision again is no error."""
    reviewer = acting_as(caller, body.decided_by, "decided_by")
    request, said = await at.hitl.get(id_of(action_id)), answer_of(approved=body.approved)
    check_sees(caller, request)
    with in_words({"reviewer": "decided_by", "reason": "reason"}):
        request = await at.hitl.vote(
            request.id,
            said,
            reviewer=reviewer,
            reason=body.reason or "",
            payload_sha256=digest_for(request, said),
            assurance=caller.assurance,
            channel=CHANNEL,
        )
    return answer(record(await see(at.hitl, request.id)))


@router.post("/{action_id}/cancel", response_model=Approval, responses=faults(404, 409, 422))
@router.post("/{action_id}/cancel/", include_in_schema=False)
async def cancel(action_id: str, at: At, caller: Anyone, reason: str = "") -> Response:
    """Withdraw what does not run yet: one's own, or anybody's for an operator."""
    request = await at.hitl.get(id_of(action_id))
    own = caller.may(Scope.ASK) and caller.is_named(request.action.requested_by)
    if not own and not caller.may(Scope.OPERATE):
        raise Forbidden(f"{request.id} was asked by somebody else; withdrawing it needs: operate")
    check_sees(caller, request)
    by = acting_as(caller, None, "by", default="agent")
    await at.hitl.cancel(request.id, by=by, reason=reason)
    return answer(record(await see(at.hitl, request.id)))


def check_chosen(action_id: str, given_out: str) -> None:
    """Raise InvalidRequest for an id that belongs to another service's approvals."""
    if action_id.lower().startswith(given_out):
        raise InvalidRequest(
            f"action_id: ids that begin with {given_out} are given out here; choose another"
        )
