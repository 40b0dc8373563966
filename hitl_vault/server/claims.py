"""Owns the routes of executors: claim, renew, finish. Never decides, and never runs anything."""

from __future__ import annotations

import secrets

import msgspec
from fastapi import APIRouter
from fastapi.responses import Response

from hitl_vault import records
from hitl_vault.core.access import Identity
from hitl_vault.core.model import Request
from hitl_vault.engine.claiming import Leased
from hitl_vault.server.idempotency import IdempotencyKey, named_by
from hitl_vault.server.identities import Anyone, At, check_owns
from hitl_vault.server.problems import responses
from hitl_vault.server.requests import Id
from hitl_vault.server.shapes import (
    ClaimBody,
    FinishBody,
    LeaseRecord,
    RenewBody,
    RequestRecord,
    answer,
)
from hitl_vault.server.strict_bodies import StrictRoute

router = APIRouter(route_class=StrictRoute, tags=["execution"])


@router.post(
    "/requests/{id}/claim",
    summary="Take the single right to execute an approved request",
    response_model=LeaseRecord,
    responses=responses(404, 409),
)
async def claim(
    id: Id, body: ClaimBody, at: At, caller: Anyone, idempotency_key: IdempotencyKey = None
) -> Response:
    """Of any number of callers one gets it, once. Run exactly the `details` of the answer.

    Name the run yourself (`claim_id`, or an Idempotency-Key): then claiming again after an answer
    that was lost is the same claim, with `again`, also at another process of the service or after
    its restart. Use another name for every run: what started anew and finds `again` cannot know
    whether it ran before, and must not run. Report its end with finish before the lease ends, or
    renew it; else its end is recorded as unknown, and a person resolves it. Only the agent that
    asked, or who operates the vault, may claim.
    """
    request = await at.hitl.get(id)
    check_owns(caller, request)
    claim_id = body.claim_id
    if claim_id is None:
        named = idempotency_key and named_by(caller, idempotency_key)
        claim_id = named or f"claim-{secrets.token_hex(5)}"
    leased = await at.hitl.claim(
        request.id,
        claim_id=claim_id,
        executor=_executor(caller, body.executor, request),
        payload_sha256=body.payload_sha256,
        lease_s=body.lease_s,
    )
    return answer(_lease_record(leased))


def _executor(caller: Identity, given: str | None, request: Request) -> str:
    """Return the executor's name on record: whose token it is, and which process of theirs."""
    if not caller.name:
        return given or request.action.requested_by
    return f"{caller.name}@{given}" if given else caller.name


def _lease_record(leased: Leased) -> dict[str, object]:
    request, lease = leased.request, leased.lease
    assert request.claim is not None
    return {
        "again": leased.again,
        "id": request.id,
        "claim_id": request.claim.claim_id,
        "executor": request.claim.executor,
        "type": request.action.type,
        "details": request.details,
        "payload_sha256": request.payload_in_force,
        "lease_s": lease.seconds,
        "lease_ends_at": msgspec.to_builtins(lease.ends_at),
        "request": records.request_record(request),
    }


@router.post(
    "/requests/{id}/claim/renew",
    summary="Let the lease of a claim begin anew",
    response_model=LeaseRecord,
    responses=responses(404, 409),
)
async def renew(id: Id, body: RenewBody, at: At, caller: Anyone) -> Response:
    """As long as it executes, at any process of the service and after its restart. A lease that has
    ended is a conflict: finish still counts then.
    """
    check_owns(caller, await at.hitl.get(id))
    return answer(_lease_record(await at.hitl.renew(id, body.claim_id, body.lease_s)))


@router.post(
    "/requests/{id}/finish",
    summary="Report how an execution ended",
    response_model=RequestRecord,
    responses=responses(404, 409),
)
async def finish(id: Id, body: FinishBody, at: At, caller: Anyone) -> Response:
    """By the claim's own `claim_id`. It counts late, too, while the end is recorded as unknown; the
    same report again changes nothing.
    """
    check_owns(caller, await at.hitl.get(id))
    request = await at.hitl.finish(
        id, body.claim_id, body.status, result=body.result, error=body.error
    )
    return answer(records.request_record(request))
