"""Owns the stream of approvals by workflow, in the form of a documented service: two kinds of
events, `APPROVAL_REQUESTED` and `APPROVAL_DECISION`. Never shows what the caller may not see.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import Response

from hitl_vault.core.access import Identity, Scope
from hitl_vault.core.events import Kind
from hitl_vault.core.model import Request as Asked
from hitl_vault.server import samples
from hitl_vault.server.events import beginning, streamed
from hitl_vault.server.feed import Told, framed
from hitl_vault.server.identities import Anyone, At
from hitl_vault.server.problems import responses
from hitl_vault.server.shapes import event_stream

router = APIRouter(tags=["approvals by workflow"])
REQUESTED, DECISION = "APPROVAL_REQUESTED", "APPROVAL_DECISION"
_NAMES = {
    Kind.REQUESTED: REQUESTED,
    Kind.APPROVED: DECISION,
    Kind.REJECTED: DECISION,
    Kind.EXPIRED: DECISION,
    Kind.CANCELLED: DECISION,
}


@router.get(
    "/stream/sse",
    response_class=Response,
    responses={
        200: {
            "description": "Server-sent events.",
            "content": event_stream(REQUESTED, samples.STREAMED),
        },
        **responses(),
    },
)
async def stream(
    request: Request,
    at: At,
    caller: Anyone,
    workflow_id: Annotated[str, Query(min_length=1, max_length=500)],
    types: Annotated[str, Query(description="Names, with commas between; else both.")] = "",
    last_event_id: Annotated[str | None, Header()] = None,
    after: Annotated[str | None, Query(alias="last_event_id")] = None,
) -> Response:
    """Stream what is asked and decided in one workflow, from its beginning, then live.

    A request belongs to the workflow that `workflow_id` in its details names, else its `run_id`,
    else to one of its own id.
    """
    names = {name.strip() for name in types.split(",") if name.strip()}

    async def pick(told: Told) -> bytes:
        name = _NAMES.get(told.recorded.event.kind)
        if name is None or (names and name not in names):
            return b""
        if not _is_of(told, workflow_id, caller) or _was_decided(told):
            return b""
        asked = await at.hitl.get(told.recorded.event.request_id)
        return framed(shown(told, asked, name, workflow_id), name, told.recorded.seq)

    return streamed(request, at, caller, await beginning(at, last_event_id or after), pick)


def _is_of(told: Told, workflow_id: str, caller: Identity) -> bool:
    about = told.about
    if about is None or about.workflow_id != workflow_id:
        return False
    return caller.may(Scope.READ) or caller.is_named(about.requested_by)


def _was_decided(told: Told) -> bool:
    """True for what ends an approval that was given: it is no decision of its own."""
    event = told.recorded.event
    return event.kind is Kind.EXPIRED and event.data.get("was") != "pending"


def shown(told: Told, asked: Asked, name: str, workflow_id: str) -> dict[str, Any]:
    """Return an event in the form of that service."""
    event = told.recorded.event
    payload: dict[str, Any] = {"approval_id": asked.id, "run_id": asked.action.run_id}
    if name == REQUESTED:
        message = asked.action.description or asked.action.type
        payload |= {
            "query": asked.action.description,
            "proposed_action": asked.action.type,
            "reason": "; ".join(asked.verdict.reasons),
            "metadata": asked.action.details,
        }
    else:
        approved = event.kind is Kind.APPROVED
        feedback = "approval timeout" if event.kind is Kind.EXPIRED else asked.reason
        message = "approved" if approved else "denied"
        payload |= {
            "approved": approved,
            "feedback": feedback,
            "approved_by": ", ".join(asked.reviewers),
            "status": event.kind.value,
        }
    return {
        "type": name,
        "workflow_id": workflow_id,
        "approval_id": asked.id,
        "agent_id": asked.action.agent or asked.action.requested_by,
        "message": message,
        "timestamp": msgspec.to_builtins(event.at),
        "seq": told.recorded.seq,
        "payload": payload,
    }
