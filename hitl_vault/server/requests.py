"""Owns the routes of requests: ask, find, look, wait. Never decides: the engine judges."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response

from hitl_vault import records
from hitl_vault.core.access import Scope
from hitl_vault.core.model import Request as Asked
from hitl_vault.core.model import Status
from hitl_vault.errors import WaitTimeout
from hitl_vault.server import asking, samples
from hitl_vault.server.batches import page
from hitl_vault.server.idempotency import IdempotencyKey
from hitl_vault.server.identities import (
    Anyone,
    Asker,
    At,
    acting_as,
    agent_of,
    check_sees,
    judge_again,
    sees,
    waits,
)
from hitl_vault.server.leaving import unless_gone
from hitl_vault.server.paging import place_of
from hitl_vault.server.problems import responses
from hitl_vault.server.shapes import (
    Ask,
    CheckBody,
    CheckRecord,
    EventList,
    RequestList,
    RequestRecord,
    answer,
)
from hitl_vault.server.strict_bodies import StrictRoute

router = APIRouter(route_class=StrictRoute, tags=["requests"])
Id = Annotated[str, Path(description="The request's id.", examples=[samples.ID])]


async def seen(id: str, at: At, caller: Anyone) -> Asked:
    """Return a request that this caller may see."""
    request = await at.hitl.get(id)
    check_sees(caller, request)
    return request


@router.post(
    "/requests",
    status_code=201,
    summary="Ask for approval of exactly this action",
    response_model=RequestRecord,
    responses={
        200: {"model": RequestRecord, "description": "It was asked before."},
        **responses(409),
    },
)
async def ask(body: Ask, at: At, caller: Asker, idempotency_key: IdempotencyKey = None) -> Response:
    """It waits for a person from now on, unless a standing grant covers it or the policy denies it.

    Asked again with the same `key`, `id` or Idempotency-Key, it is the same request: 200 in place
    of 201. With the same one and another action it is a conflict.
    """
    asked = await asking.ask(
        at,
        caller,
        body.type,
        body.description,
        body.details,
        requested_by=acting_as(caller, body.requested_by, "requested_by", default="agent"),
        agent=agent_of(caller, body.agent),
        run_id=body.run_id,
        key=body.key,
        header=idempotency_key,
        id=body.id,
        timeout=body.timeout,
        join=body.join,
    )
    return answer(
        records.request_record(asked.request),
        200 if asked.known else 201,
        {"Location": f"/api/v1/requests/{asked.request.id}"},
    )


@router.get(
    "/requests",
    summary="List requests, newest first",
    response_model=RequestList,
    responses=responses(),
)
async def find(
    at: At,
    caller: Anyone,
    status: Annotated[list[Status] | None, Query(description="One of these.")] = None,
    type: Annotated[str | None, Query()] = None,
    requested_by: Annotated[str | None, Query()] = None,
    run_id: Annotated[str | None, Query()] = None,
    since: Annotated[
        str | None,
        Query(
            description="Asked then or later: a date and time with its zone, or how long ago.",
            examples=["7d"],
        ),
    ] = None,
    until: Annotated[
        str | None, Query(description="Asked before then, as `since`.", examples=["1h"])
    ] = None,
    text: Annotated[
        str | None,
        Query(description="Stands in its id, description, details, names, reasons or remarks."),
    ] = None,
    key: Annotated[
        str | None, Query(description="Asked with this key: one, or none; nothing else counts.")
    ] = None,
    after: Annotated[
        str | None, Query(description="`next` of the page before: go on from there.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> Response:
    """An agent without the scope `read` gets its own ones.

    Pages hold every request once, whatever is asked meanwhile: newer ones stand before the first. A
    page ends at `limit` or at 4 MB, so go on while there is a `next`.
    """
    if key is not None:
        asked = await at.hitl.get_by_key(key)
        mine = [asked] if asked is not None and sees(caller, asked) else []
        return answer({"requests": [records.request_record(one) for one in mine], "next": None})
    if not caller.may(Scope.READ):
        requested_by = acting_as(caller, requested_by, "requested_by")
    wanted = partial(
        at.hitl.list_requests,
        status=status,
        type=type,
        requested_by=requested_by,
        run_id=run_id,
        since=since,
        until=until,
        text=text,
    )
    return await page(wanted, after=place_of(after), limit=limit)


@router.get(
    "/requests/{id}",
    summary="Return one request as it stands",
    response_model=RequestRecord,
    responses=responses(404),
)
async def get(id: Id, at: At, caller: Anyone) -> Response:
    """`rev` grows with every step; the same `rev` is the same request."""
    return answer(records.request_record(await seen(id, at, caller)))


@router.get(
    "/requests/{id}/wait",
    summary="Wait until a request is decided, or has ended",
    response_model=RequestRecord,
    responses=responses(404),
)
async def wait(
    request: Request,
    id: Id,
    at: At,
    caller: Anyone,
    timeout: Annotated[
        float,
        Query(ge=0, allow_inf_nan=False, description="Seconds; cut to what is allowed."),
    ] = 30.0,
    until: Annotated[
        str,
        Query(
            pattern="^(decision|outcome)$",
            description="`decision`: it no longer waits for people; `outcome`: it has ended, or "
            "nobody knows how.",
            examples=["decision"],
        ),
    ] = "decision",
) -> Response:
    """Returns at once where there is nothing to wait for, and after `timeout` as it then stands.

    The answer's `status` says which; waiting again loses nothing.
    """
    await seen(id, at, caller)
    waits(request)
    hitl, patience = at.hitl, min(timeout, at.options.max_wait_s)
    waiting = hitl.wait_for_outcome if until == "outcome" else hitl.wait_for_decision
    try:
        waited = at.stopping.unless(waiting(id, patience))
        found = await unless_gone(request, waited)
    except WaitTimeout:
        found = None
    found = found or await hitl.get(id)
    judge_again(request, caller)  # the token may have ended while it waited
    check_sees(caller, found)
    return answer(records.request_record(found))


@router.post(
    "/requests/{id}/verify",
    summary="Check that an approval is good to be executed now",
    response_model=CheckRecord,
    responses=responses(404),
)
async def verify(id: Id, body: CheckBody, at: At, caller: Anyone) -> Response:
    """It is where it is approved, or executing as your `claim_id`; in time; for exactly these
    details; and not forbidden meanwhile. Nothing is claimed by it: only a claim makes sure that
    nobody else executes.
    """
    await seen(id, at, caller)
    found = await at.hitl.check_approval(
        id, body.details, payload_sha256=body.payload_sha256, claim_id=body.claim_id
    )
    record = records.request_record(found.request)
    told = {name: record[name] for name in ("id", "status", "payload_sha256", "use_by")}
    return answer({"valid": not found.why, "why": found.why} | told)


@router.get(
    "/requests/{id}/events",
    summary="Return what happened to a request, in order",
    response_model=EventList,
    responses=responses(404),
)
async def events(id: Id, at: At, caller: Anyone) -> Response:
    """Each event is chained to the one before it in the vault by `hash`."""
    request = await seen(id, at, caller)
    found = await at.hitl.history(request.id)
    return answer({"events": [records.event_record(one) for one in found]})


@router.get(
    "/requests/{id}/note",
    summary="Return a request's note",
    response_class=Response,
    responses={
        200: {
            "description": "Markdown, as the note is written new: without what people typed in.",
            "content": {"text/markdown": {"schema": {"type": "string"}, "example": samples.NOTE}},
        },
        **responses(404),
    },
)
async def note(id: Id, at: At, caller: Anyone) -> Response:
    """To be read, not to be answered in: answers count in the vault, and as votes."""
    await seen(id, at, caller)
    return Response(await at.hitl.note(id), media_type="text/markdown")
