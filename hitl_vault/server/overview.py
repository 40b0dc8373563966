"""Owns the routes about the vault as a whole: policy, figures, the chain. Never changes it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import Response

from hitl_vault import records
from hitl_vault.core.access import Scope
from hitl_vault.server.identities import Anyone, At, Looker, Operator, acting_as, agent_of
from hitl_vault.server.problems import responses
from hitl_vault.server.requests import Id, seen
from hitl_vault.server.shapes import (
    AlertRecord,
    ChainRecord,
    EvaluateBody,
    HeadRecord,
    PolicyRecord,
    StatsRecord,
    VerdictRecord,
    answer,
)
from hitl_vault.server.strict_bodies import StrictRoute

router = APIRouter(route_class=StrictRoute, tags=["overview"])


@router.post(
    "/policy/evaluate",
    summary="Say what the policy makes of an action",
    response_model=VerdictRecord,
    responses=responses(),
)
async def evaluate(body: EvaluateBody, at: At, caller: Anyone) -> Response:
    """Nothing is asked by it. An agent without the scope `read` asks about itself."""
    who = body.requested_by or caller.name or "agent"
    if not caller.may(Scope.READ):
        who = acting_as(caller, body.requested_by, "requested_by")
    verdict = at.hitl.evaluate(
        body.type,
        body.details,
        requested_by=who,
        agent=agent_of(caller, body.agent),
        run_id=body.run_id,
    )
    return answer(records.verdict_record(verdict))


@router.get(
    "/policy",
    summary="Return the policy in force",
    response_model=PolicyRecord,
    responses=responses(),
)
async def policy(at: At, _: Looker) -> Response:
    """`problem` says why a newer text is not in force: it cannot be read, or nobody signed it."""
    policies = at.hitl.policies
    policies.reload()
    text, problem = policies.text(), policies.problem
    return answer(
        {
            "name": policies.current.name,
            "sha256": policies.current.sha256,
            "text": None if text is None else text.decode("utf-8", "replace"),
            "problem": None if problem is None else str(problem),
        }
    )


@router.get(
    "/stats",
    summary="Count requests: waiting, decided, how fast, by whom",
    response_model=StatsRecord,
    responses=responses(),
)
async def stats(
    at: At,
    _: Looker,
    since: Annotated[
        str | None,
        Query(description="Of what was asked since: a time, or how long ago.", examples=["7d"]),
    ] = None,
) -> Response:
    """As `hitl stats --json` prints them."""
    return answer(await at.hitl.stats(since))


@router.get(
    "/alerts",
    summary="Return the alerts that fire",
    response_model=list[AlertRecord],
    responses=responses(),
)
async def alerts(at: At, _: Looker) -> Response:
    """As `hitl alerts --json` prints them; their thresholds are the settings `alert_…`."""
    return answer([records.alert_record(alert) for alert in await at.hitl.alerts()])


@router.get(
    "/audit/verify",
    summary="Prove that no event and no request was changed",
    response_model=ChainRecord,
    response_model_exclude_unset=True,
    responses=responses(),
)
async def verify(at: At, _: Operator) -> Response:
    """Walks the whole chain: seconds for a large vault. As `hitl audit verify --json` prints it."""
    return answer(records.chain_record(await at.hitl.verify(), at.hitl.vault_id))


@router.get(
    "/audit/head",
    summary="Return the end of the chain of events",
    response_model=HeadRecord,
    responses=responses(),
)
async def head(at: At, _: Operator) -> Response:
    """To be noted elsewhere: a chain that was cut or made anew no longer leads to it."""
    found = await at.hitl.head()
    return answer({"vault": at.hitl.vault_id, "seq": found.seq, "hash": found.hash})


@router.get(
    "/requests/{id}/evidence",
    summary="Download the evidence about a request",
    response_class=Response,
    responses={
        200: {
            "description": "A .zip: `evidence.json`, the script that checks it, and a README.",
            "content": {
                "application/zip": {
                    "schema": {"type": "string", "contentMediaType": "application/zip"},
                    "example": "PK…",
                }
            },
        },
        **responses(404),
    },
)
async def evidence(id: Id, at: At, caller: Looker) -> Response:
    """As `hitl audit export ID` writes it; details that the settings hide are hidden."""
    request = await seen(id, at, caller)
    content = await at.hitl.evidence(request.id)
    name = f"evidence-{request.id}.zip"
    return Response(
        content,
        media_type="application/zip",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )
