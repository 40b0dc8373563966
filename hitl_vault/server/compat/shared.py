"""Owns the paths that two services share, and which of them a request is for. Never guesses: what
fits both or neither is refused.

A body with `action_id` or `action_type` is for `approvals`, one with `agent` or `action` for
`signatures`. A list by `run_id` is for `approvals`, one by `user_id`, `session_id` or `offset` for
`decisions`; without these, the slash at the end is for `approvals`. An id given out by `signatures`
is theirs, any other is for `approvals`.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from pydantic import Discriminator, Tag

from hitl_vault.errors import InvalidRequest
from hitl_vault.server.compat import approvals, decisions, signatures
from hitl_vault.server.compat.forms import (
    FORM,
    Detail,
    Error,
    Fault,
    detail_fault,
    detail_route,
    error_fault,
    faults,
    in_words,
    route_answering,
)
from hitl_vault.server.compat.views import see
from hitl_vault.server.identities import Anyone, Asker, At, check_sees
from hitl_vault.server.shapes import answer

_CHOSEN, _AGENT, _USERS = f"{FORM}approvals", f"{FORM}signatures", f"{FORM}decisions"


def _whose(body: Any) -> str | None:
    """Return which service a body is for, None if it fits both or neither."""
    if isinstance(body, approvals.ApprovalBody):
        return _CHOSEN
    if isinstance(body, signatures.AgentBody):
        return _AGENT
    keys = body.keys() if isinstance(body, dict) else set()
    chosen, agent = keys & {"action_id", "action_type"}, keys & {"agent", "action"}
    if bool(chosen) == bool(agent):
        return None
    return _CHOSEN if chosen else _AGENT


AskBody = Annotated[
    Annotated[approvals.ApprovalBody, Tag(_CHOSEN)] | Annotated[signatures.AgentBody, Tag(_AGENT)],
    Discriminator(
        _whose,
        custom_error_type="which_service",
        custom_error_message="give either action_id and action_type, or agent and action; this "
        "body has some of both, or none",
    ),
]

router = APIRouter(
    prefix="/api/v1/approvals",
    tags=["compatibility"],
    route_class=detail_route(approvals.faults_of),
)


@router.post(
    "",
    status_code=201,
    response_model=approvals.Approval | signatures.AgentApproval,
    responses={
        200: {"model": approvals.Approval, "description": "It was asked before."},
        **faults(400, 409, 422),
    },
)
@router.post("/", status_code=201, include_in_schema=False)
async def ask(body: AskBody, at: At, caller: Asker) -> Response:
    """Ask for approval, under an id of one's own or as an agent: the body says which."""
    if isinstance(body, signatures.AgentBody):
        return await signatures.create(body, at, caller)
    with in_words({"action_id": "action_id"}):
        approvals.check_chosen(body.action_id, signatures.PREFIX)
    return await approvals.create(body, at, caller)


@router.get(
    "/{id}",
    response_model=approvals.Approval | signatures.AgentDecided,
    responses=faults(404),
)
@router.get("/{id}/", include_in_schema=False)
async def get(id: str, at: At, caller: Anyone) -> Response:
    """Return an approval as it stands: the id says in whose shape."""
    theirs = id.lower().startswith(signatures.PREFIX)
    seen = await see(at.hitl, id if theirs else approvals.id_of(id))
    check_sees(caller, seen.request)
    return answer(signatures.record(seen) if theirs else approvals.record(seen))


def _list_of(request: Request) -> str | None:
    """Return which service a list is asked of, None if the filters are of both."""
    names = request.query_params.keys()
    by_run, by_user = "run_id" in names, names & {"user_id", "session_id", "offset"}
    if by_run and by_user:
        return None
    if by_run or (not by_user and request.url.path.endswith("/")):
        return _CHOSEN
    return _USERS


def _list_fault(request: Request, error: Exception) -> Fault:
    match _list_of(request):
        case None:
            status, body = error_fault(error)
            return status, body | {"detail": body["error"]}
        case asked:
            return detail_fault(error) if asked == _CHOSEN else error_fault(error)


lists = APIRouter(
    prefix="/api/v1/approvals",
    tags=["compatibility"],
    route_class=route_answering(_list_fault),
)


@lists.get(
    "",
    response_model=list[approvals.Approval] | decisions.PendingList,
    responses=faults(400, 422, model=Detail | Error),
)
@lists.get("/", include_in_schema=False)
async def find(
    request: Request,
    at: At,
    caller: Anyone,
    run_id: str | None = None,
    user_id: str | None = None,
    session_id: str | None = None,
    limit: Annotated[int, Query(ge=1, le=approvals.MOST)] = 50,
    offset: Annotated[int, Query(ge=0)] = 0,
) -> Response:
    """List what waits for an answer: the filters say in whose shape, else the slash at the end."""
    match _list_of(request):
        case None:
            raise InvalidRequest(
                "filter by run_id, or by user_id, session_id and offset, not by both"
            )
        case asked if asked == _CHOSEN:
            return await approvals.find(at, caller, run_id=run_id or None, limit=limit)
        case _:
            return await decisions.find(
                at,
                caller,
                user_id=user_id or None,
                session_id=session_id or None,
                limit=limit,
                offset=offset,
            )
