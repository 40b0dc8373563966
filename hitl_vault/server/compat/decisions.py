"""Owns `/api/v1/approvals/decision` and the list of what waits for a user or a session. Never
decides: the engine does.

Approvals are asked for elsewhere. Whom they concern stands in their details: `workflow_id`,
`user_id`, `session_id`, `query`, `proposed_action` and `reason`, each where the asker gives it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Literal

from fastapi import APIRouter
from fastapi.responses import Response
from pydantic import BaseModel, Field

from hitl_vault.core.access import Identity
from hitl_vault.core.canonical import parse_json_object
from hitl_vault.core.model import Answer, Details, Request
from hitl_vault.errors import InvalidRequest, RequestNotFound, Unauthenticated
from hitl_vault.records import as_json
from hitl_vault.server.answers import CHANNEL
from hitl_vault.server.batches import streamed
from hitl_vault.server.compat.forms import Error, Said, error_route, faults, in_words
from hitl_vault.server.compat.views import Seen, answer_of, digest_for, seconds, see_pending
from hitl_vault.server.identities import At, Voter, acting_as, check_sees
from hitl_vault.server.shapes import answer


class DecisionBody(Said):
    """A person's decision about an approval of a workflow."""

    workflow_id: str = Field(min_length=1, examples=["wf_abc123"])
    run_id: str | None = None
    approval_id: str = Field(min_length=1, examples=["20261121-093012-deploy-7f3ac91e04"])
    approved: bool
    feedback: str | None = None
    modified_action: str | None = Field(
        default=None,
        description="What is approved instead: all details as JSON, or the text that takes the "
        "place of `proposed_action` in them.",
    )
    approved_by: str | None = Field(default=None, description="Else whose token it is.")


class DecisionSent(BaseModel):
    """The decision is on record."""

    status: Literal["sent"]
    success: bool
    message: str
    workflow_id: str
    run_id: str
    approval_id: str


class PendingApproval(BaseModel):
    """An approval that waits for an answer."""

    approval_id: str
    workflow_id: str
    query: str
    proposed_action: str
    reason: str
    requested_at: str = Field(examples=["2026-11-21T09:30:12Z"])
    metadata: dict[str, Any]


class PendingList(BaseModel):
    """A page of what waits, newest first."""

    approvals: list[PendingApproval]


router = APIRouter(prefix="/api/v1/approvals", tags=["compatibility"], route_class=error_route())


@router.post("/decision", response_model=DecisionSent, responses=faults(400, 404, 409, model=Error))
@router.post("/decision/", include_in_schema=False)
async def decide(body: DecisionBody, at: At, caller: Voter) -> Response:
    """Approve, approve with changes, or reject; the same decision again is no error."""
    reviewer = acting_as(caller, body.approved_by, "approved_by")
    if not reviewer:
        raise Unauthenticated("approved_by: say who decides, or send a token that does")
    request = await at.hitl.get(body.approval_id)
    check_sees(caller, request)
    _check_meant(request, body)
    changed = _changed(request, body)
    said = answer_of(approved=body.approved) if changed is None else Answer.EDIT
    with in_words({"reviewer": "approved_by", "details": "modified_action", "reason": "feedback"}):
        request = await at.hitl.vote(
            request.id,
            said,
            reviewer=reviewer,
            reason=body.feedback or "",
            details=changed,
            payload_sha256=digest_for(request, said),
            assurance=caller.assurance,
            channel=CHANNEL,
        )
    return answer(
        {
            "status": "sent",
            "success": True,
            "message": f"the decision is on record; the approval is {request.status}",
            "workflow_id": body.workflow_id,
            "run_id": body.run_id or request.action.run_id,
            "approval_id": request.id,
        }
    )


def _check_meant(request: Request, body: DecisionBody) -> None:
    """Raise RequestNotFound for an approval of another workflow, or of another run of it."""
    run_id = request.action.run_id
    another_run = body.run_id and run_id and body.run_id != run_id
    if body.workflow_id != _workflow_of(request) or another_run:
        raise RequestNotFound(f"there is no approval {request.id} of this workflow and run")


def _changed(request: Request, body: DecisionBody) -> Details | None:
    """Return the details that are approved instead, None for those asked for."""
    text = (body.modified_action or "").strip()
    if not text:
        return None
    if not body.approved:
        raise InvalidRequest("modified_action: it goes with an approval, not with a rejection")
    if text.startswith(("{", "[")):
        try:
            return parse_json_object(text)
        except InvalidRequest as error:
            raise InvalidRequest(f"modified_action: {error}") from error
    if isinstance(request.details.get("proposed_action"), str):
        return request.details | {"proposed_action": body.modified_action}
    raise InvalidRequest(
        "modified_action: write the changed details as a JSON object; this approval has no "
        "proposed_action that a text could replace"
    )


async def find(
    at: At,
    caller: Identity,
    *,
    user_id: str | None,
    session_id: str | None,
    limit: int,
    offset: int,
) -> Response:
    """List what waits, newest first, of this user and session."""
    wanted = {"user_id": user_id, "session_id": session_id}
    found = _records(see_pending(at.hitl, caller), wanted, offset, offset + limit)
    return await streamed(found, b'{"approvals":[', b"]}")


async def _records(
    waiting: AsyncGenerator[Seen, None], wanted: dict[str, str | None], start: int, stop: int
) -> AsyncGenerator[dict[str, Any], None]:
    number = 0
    async with aclosing(waiting):
        async for one in waiting:
            if not _fits(one.request.details, wanted):
                continue
            if number >= start:
                yield _record(one)
            number += 1
            if number == stop:
                return


def _fits(details: Details, wanted: dict[str, str | None]) -> bool:
    return all(given is None or details.get(name) == given for name, given in wanted.items())


def _record(seen: Seen) -> dict[str, Any]:
    request, action = seen.request, seen.request.action
    return {
        "approval_id": request.id,
        "workflow_id": _workflow_of(request),
        "query": _text(request, "query", action.description),
        "proposed_action": _text(
            request, "proposed_action", f"{action.type} {as_json(request.details, indent=None)}"
        ),
        "reason": _text(request, "reason", request.verdict.reason),
        "requested_at": seconds(request.created_at),
        "metadata": request.details,
    }


def _workflow_of(request: Request) -> str:
    """Return the workflow an approval belongs to: as its details, else its run, else itself say."""
    return _text(request, "workflow_id", request.action.run_id or request.id)


def _text(request: Request, name: str, otherwise: str) -> str:
    found = request.details.get(name)
    return found if isinstance(found, str) and found else otherwise
