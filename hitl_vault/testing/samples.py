"""Owns commands to play with: an ask, a vote and an edit that are right unless told otherwise.

Never used outside tests.
"""

from __future__ import annotations

from typing import Any

from hitl_vault.core import commands as c
from hitl_vault.core.canonical import changes_between, payload_sha256, with_details
from hitl_vault.core.model import (
    Action,
    Answer,
    Assurance,
    Details,
    Effect,
    Request,
    Requirement,
    Status,
    Verdict,
)

DETAILS: Details = {"amount": 1500, "to": "v@example.com"}


def make_ask(
    id: str = "pay-1",
    *,
    details: Details | None = None,
    type: str = "payment",
    requested_by: str = "invoice-agent",
    agent: str = "",
    run_id: str = "",
    key: str | None = None,
    effect: Effect = Effect.ASK,
    **requirement: Any,
) -> c.Ask:
    """Return an ask for a payment; `requirement` takes the fields of a Requirement."""
    action = Action(
        type=type,
        description="Pay the invoice",
        details=DETAILS if details is None else details,
        requested_by=requested_by,
        agent=agent,
        run_id=run_id,
    )
    verdict = Verdict(
        effect=effect,
        rules=("large-payment",),
        reasons=("Large payments need a person",),
        requirement=Requirement(**requirement),
    )
    return c.Ask(
        id=id, action=action, payload_sha256=payload_sha256(action), verdict=verdict, key=key
    )


def make_vote(
    request: Request,
    reviewer: str = "alice",
    answer: Answer = Answer.APPROVE,
    *,
    roles: tuple[str, ...] = (),
    is_role: bool = False,
    reason: str = "",
    assurance: Assurance = Assurance.EDITED,
    edit: c.ProposedEdit | None = None,
    payload_sha256: str | None = None,
) -> c.Vote:
    """Return a vote for the payload in force; with `edit`, an edit."""
    signed = assurance is Assurance.SIGNED
    return c.Vote(
        id=request.id,
        reviewer=reviewer,
        answer=answer if edit is None else Answer.EDIT,
        payload_sha256=payload_sha256 or request.payload_in_force,
        reason=reason,
        assurance=assurance,
        roles=frozenset(roles),
        is_role=is_role,
        edit=edit,
        proof="a signature" if signed else "",
        proof_id=f"{request.id}-{request.rev}-{reviewer}-{answer}" if signed else "",
    )


def make_edit(
    request: Request, *, effect: Effect = Effect.ASK, requirement: Requirement, **details: Any
) -> c.ProposedEdit:
    """Return an edit of the details asked for, which the policy judges by `requirement`."""
    new = request.action.details | details
    return c.ProposedEdit(
        details=new,
        payload_sha256=payload_sha256(with_details(request.action, new)),
        changes=changes_between(request.action.details, new),
        verdict=Verdict(effect=effect, rules=("edited",), requirement=requirement),
    )


def make_claim(request: Request, claim_id: str = "claim-1", *, denied_by: str = "") -> c.Claim:
    """Return a claim for the payload in force."""
    return c.Claim(
        id=request.id,
        claim_id=claim_id,
        executor="worker",
        holder="presence",
        payload_sha256=request.payload_in_force,
        denied_by=denied_by,
    )


def make_finish(
    request: Request,
    status: Status = Status.EXECUTED,
    claim_id: str = "claim-1",
    *,
    result: Any = None,
    error: str = "",
) -> c.Finish:
    """Return the report of an executor."""
    return c.Finish(
        id=request.id, claim_id=claim_id, status=status, by="worker", result=result, error=error
    )
