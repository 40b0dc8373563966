"""Owns the routes that say something of a request: vote, cancel, remark, resolve. Never decides."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import Response

from hitl_vault import records
from hitl_vault.core.access import Scope
from hitl_vault.server.idempotency import IdempotencyKey, named_by
from hitl_vault.server.identities import (
    Anyone,
    At,
    Operator,
    Voter,
    acting_as,
    check_may_see,
    check_owns,
    check_sees,
)
from hitl_vault.server.problems import responses
from hitl_vault.server.requests import Id
from hitl_vault.server.shapes import (
    CancelBody,
    CommentBody,
    RequestRecord,
    ResolveBody,
    VoteBody,
    answer,
)
from hitl_vault.server.strict_bodies import StrictRoute

router = APIRouter(route_class=StrictRoute, tags=["answers"])
CHANNEL = "http"


@router.post(
    "/requests/{id}/votes",
    summary="Answer a request",
    response_model=RequestRecord,
    responses=responses(404, 409),
)
async def vote(
    id: Id, body: VoteBody, at: At, caller: Voter, idempotency_key: IdempotencyKey = None
) -> Response:
    """As the person whose token it is. The same answer again changes nothing; with an
    Idempotency-Key, a code that was used for it is not asked about again.
    """
    await check_may_see(at, caller, id)
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
        may_repeat=idempotency_key is not None,
    )
    return answer(records.request_record(request))


@router.post(
    "/requests/{id}/cancel",
    summary="Withdraw a request that does not run yet",
    response_model=RequestRecord,
    responses=responses(404, 409),
)
async def cancel(id: Id, body: CancelBody, at: At, caller: Anyone) -> Response:
    """By the agent that asked, or who operates the vault. Withdrawn twice, it is withdrawn."""
    request = await at.hitl.get(id)
    check_owns(caller, request)
    by = acting_as(caller, body.by, "by", default=request.action.requested_by)
    request = await at.hitl.cancel(id, by=by, reason=body.reason)
    return answer(records.request_record(request))


@router.post(
    "/requests/{id}/comments",
    summary="Add a remark",
    response_model=RequestRecord,
    responses=responses(404, 409),
)
async def comment(
    id: Id, body: CommentBody, at: At, caller: Anyone, idempotency_key: IdempotencyKey = None
) -> Response:
    """By the agent that asked, or anybody who may read and answer it; it decides nothing."""
    request = await at.hitl.get(id)
    if not caller.may(Scope.VOTE):
        check_owns(caller, request)
    check_sees(caller, request)  # the answer shows it
    request = await at.hitl.comment(
        id,
        body.text,
        author=acting_as(caller, body.author, "author", default=request.action.requested_by),
        comment_id=None if idempotency_key is None else named_by(caller, idempotency_key),
    )
    return answer(records.request_record(request))


@router.post(
    "/requests/{id}/resolve",
    summary="Say how an execution with an unknown end really ended",
    response_model=RequestRecord,
    responses=responses(404, 409),
)
async def resolve(id: Id, body: ResolveBody, at: At, caller: Operator) -> Response:
    """As a person who looked. An execution that still runs is reported by its executor."""
    await check_may_see(at, caller, id)
    request = await at.hitl.resolve(
        id, body.status, by=acting_as(caller, body.by, "by"), reason=body.reason
    )
    return answer(records.request_record(request))
