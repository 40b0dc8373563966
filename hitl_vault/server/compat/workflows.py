"""Owns `/workflows`: ask with a sentence, poll, approve or reject. Never decides: the engine does.

Its fields in the words of the engine: `action` is the type (cut to what a type may be, and then
whole in the description), `context` the details, `timeout_minutes` the time to answer.
"""

from __future__ import annotations

import uuid
from typing import Any, Literal

from fastapi import APIRouter
from fastapi.responses import Response
from pydantic import BaseModel, Field

from hitl_vault.core.model import Answer, Request, Status
from hitl_vault.engine.checks import MAX_NAME_BYTES
from hitl_vault.errors import Conflict, Refused, RequestNotFound
from hitl_vault.server import asking
from hitl_vault.server.answers import CHANNEL
from hitl_vault.server.compat.forms import Fault, Said, detail_route, faults, in_words
from hitl_vault.server.compat.views import Seen, digest_for, seconds, see
from hitl_vault.server.identities import Anyone, Asker, At, Voter, acting_as, check_sees
from hitl_vault.server.shapes import answer

_WORDS = {
    "type": "action",
    "description": "action",
    "details": "context",
    "requested_by": "requested_by",
}
_FOREVER_MIN = 10 * 365 * 24 * 60

State = Literal["PENDING", "APPROVED", "REJECTED", "TIMED_OUT"]
_STATES: dict[Status, State] = {
    Status.PENDING: "PENDING",
    Status.REJECTED: "REJECTED",
    Status.CANCELLED: "REJECTED",
    Status.EXPIRED: "TIMED_OUT",
}


class WorkflowBody(Said):
    """An action that needs a person's approval."""

    action: str = Field(min_length=1, examples=["terminate EC2 instance i-abc123"])
    requested_by: str = Field(min_length=1, examples=["infra-agent"])
    context: dict[str, Any] = Field(
        default_factory=dict, examples=[{"instance_id": "i-abc123", "region": "us-east-1"}]
    )
    timeout_minutes: int = Field(default=30, ge=1, le=_FOREVER_MIN)


class ReviewBody(Said):
    """Who answers."""

    reviewed_by: str = Field(min_length=1, examples=["alice"])


class WorkflowCreated(BaseModel):
    """A workflow that waits."""

    workflow_id: str = Field(examples=["550e8400-e29b-41d4-a716-446655440000"])
    status: State
    expires_at: str = Field(examples=["2026-02-24T16:00:00Z"])


class Workflow(WorkflowCreated):
    """A workflow as it stands."""

    action: str
    requested_by: str
    context: dict[str, Any]
    created_at: str
    resolved_at: str | None
    resolved_by: str | None


def _state(seen: Seen) -> State:
    return _STATES.get(seen.plain_status, "APPROVED")


def _faults(error: Exception) -> Fault | None:
    match error:
        case RequestNotFound():
            return 404, {"detail": "workflow not found"}
        case Conflict(current=Request() as now):
            state = _state(Seen(request=now, status=now.status))
            waits = now.status is Status.PENDING  # its details were changed
            said = str(error) if waits else "workflow already resolved"
            return 409, {"detail": {"error": said, "current_status": state}}
        case Refused(current=Request() as now):
            state = _state(Seen(request=now, status=now.status))
            return 403, {"detail": {"error": str(error), "current_status": state}}
        case _:
            return None


router = APIRouter(prefix="/workflows", tags=["compatibility"], route_class=detail_route(_faults))


@router.post("", status_code=201, response_model=WorkflowCreated, responses=faults(400, 409, 422))
async def create(body: WorkflowBody, at: At, caller: Asker) -> Response:
    """Ask for a person's approval, and go on at once."""
    requester = acting_as(caller, body.requested_by, "requested_by")
    kind = _cut(" ".join(body.action.split()))
    with in_words(_WORDS):
        asked = await asking.ask(
            at,
            caller,
            kind,
            "" if kind == body.action else body.action,
            body.context,
            requested_by=requester,
            id=str(uuid.uuid4()),
            timeout=body.timeout_minutes * 60,
        )
    record = _record(Seen(request=asked.request, status=asked.request.status))
    return answer({name: record[name] for name in WorkflowCreated.model_fields}, 201)


@router.get("/{workflow_id}", response_model=Workflow, responses=faults(404))
async def get(workflow_id: str, at: At, caller: Anyone) -> Response:
    """Return a workflow as it stands."""
    seen = await see(at.hitl, workflow_id)
    check_sees(caller, seen.request)
    return answer(_record(seen))


@router.post(
    "/{workflow_id}/approve", response_model=Workflow, responses=faults(400, 404, 409, 422)
)
async def approve(workflow_id: str, body: ReviewBody, at: At, caller: Voter) -> Response:
    """Approve a workflow that waits; again is no error."""
    return await _vote(workflow_id, Answer.APPROVE, body, at, caller)


@router.post("/{workflow_id}/reject", response_model=Workflow, responses=faults(400, 404, 409, 422))
async def reject(workflow_id: str, body: ReviewBody, at: At, caller: Voter) -> Response:
    """Reject a workflow that waits; again is no error."""
    return await _vote(workflow_id, Answer.REJECT, body, at, caller)


async def _vote(id: str, said: Answer, body: ReviewBody, at: At, caller: Voter) -> Response:
    reviewer = acting_as(caller, body.reviewed_by, "reviewed_by")
    asked = await at.hitl.get(id)
    check_sees(caller, asked)
    with in_words({"reviewer": "reviewed_by"}):
        await at.hitl.vote(
            id,
            said,
            reviewer=reviewer,
            payload_sha256=digest_for(asked, said),
            assurance=caller.assurance,
            channel=CHANNEL,
        )
    return answer(_record(await see(at.hitl, id)))


def _record(seen: Seen) -> dict[str, Any]:
    request = seen.request
    return {
        "workflow_id": request.id,
        "action": request.action.description or request.action.type,
        "requested_by": request.action.requested_by,
        "context": request.details,
        "status": _state(seen),
        "created_at": seconds(request.created_at),
        "expires_at": seconds(request.expires_at),
        "resolved_at": seconds(seen.ended_at),
        "resolved_by": seen.decided_by,
    }


def _cut(sentence: str) -> str:
    """Return as much of a sentence as a type holds."""
    return sentence.encode("utf-8", "surrogatepass")[:MAX_NAME_BYTES].decode("utf-8", "ignore")
