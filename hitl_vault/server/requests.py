"""Owns the routes of requests: ask, look, wait, answer. Never decides: the engine judges."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import Response

from hitl_vault import records
from hitl_vault.core.access import Scope
from hitl_vault.core.model import Status
from hitl_vault.errors import RequestNotFound, WaitTimeout
from hitl_vault.server.identities import Anyone, Asker, At, Voter, acting_as, check_sees
from hitl_vault.server.problems import responses
from hitl_vault.server.shapes import Ask, RequestList, RequestRecord, VoteBody, answer

router = APIRouter(tags=["requests"])
CHANNEL = "http"


@router.post(
    "/requests",
    status_code=201,
    response_model=RequestRecord,
    responses={200: {"description": "It was asked before."}, **responses(409)},
)
async def ask(body: Ask, at: At, caller: Asker) -> Response:
    """Ask for approval of exactly this action."""
    known = await _is_known(at, body)
    request = await at.hitl.request_approval(
        body.type,
        body.description,
        body.details,
        requested_by=acting_as(caller, body.requested_by, "requested_by", default="agent"),
        agent=body.agent,
        run_id=body.run_id,
        key=body.key,
        id=body.id,
        timeout=body.timeout,
        join=body.join,
    )
    return answer(
        records.request_record(request),
        200 if known else 201,
        {"Location": f"/api/v1/requests/{request.id}"},
    )


async def _is_known(at: At, body: Ask) -> bool:
    if body.key is not None and body.key:
        return await at.hitl.was_asked(body.key)
    if body.id is not None:
        try:
            await at.hitl.get(body.id)
        except RequestNotFound:
            return False
        return True
    return False


@router.get("/requests", response_model=RequestList, responses=responses())
async def find(
    at: At,
    caller: Anyone,
    status: Annotated[list[Status] | None, Query()] = None,
    type: str | None = None,
    requested_by: str | None = None,
    run_id: str | None = None,
    since: str | None = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> Response:
    """List requests, newest first."""
    if not caller.may(Scope.READ):
        requested_by = acting_as(caller, requested_by, "requested_by")
    found = await at.hitl.list_requests(
        status=status,
        type=type,
        requested_by=requested_by,
        run_id=run_id,
        since=since,
        limit=limit,
    )
    return answer({"requests": [records.request_record(one) for one in found], "next": None})


@router.get("/requests/{id}", response_model=RequestRecord, responses=responses(404))
async def get(id: str, at: At, caller: Anyone) -> Response:
    """Return one request as it stands."""
    request = await at.hitl.get(id)
    check_sees(caller, request)
    return answer(records.request_record(request))


@router.get("/requests/{id}/wait", response_model=RequestRecord, responses=responses(404))
async def wait(
    id: str,
    at: At,
    caller: Anyone,
    timeout: Annotated[float, Query(ge=0, description="Seconds; cut to what is allowed.")] = 30.0,
) -> Response:
    """Return the request once it is decided, or as it stands when the time is over.

    The answer's `status` says which; waiting again loses nothing.
    """
    check_sees(caller, await at.hitl.get(id))
    try:
        waited = at.hitl.wait_for_decision(id, min(timeout, at.options.max_wait_s))
        request = await at.stopping.unless(waited)
    except WaitTimeout:
        request = None
    return answer(records.request_record(request or await at.hitl.get(id)))


@router.post("/requests/{id}/votes", response_model=RequestRecord, responses=responses(404, 409))
async def vote(id: str, body: VoteBody, at: At, caller: Voter) -> Response:
    """Answer a request, as the person whose token it is."""
    request = await at.hitl.vote(
        id,
        body.answer,
        reviewer=acting_as(caller, body.reviewer, "reviewer"),
        reason=body.reason,
        details=body.details,
        payload_sha256=body.payload_sha256,
        assurance=caller.assurance,
        channel=CHANNEL,
        proof=body.proof,
        code=body.code,
        totp=body.totp,
    )
    return answer(records.request_record(request))
