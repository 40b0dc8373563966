"""Owns the approvals that are answered with an HMAC signature, under `/api/v1/approvals`. Never
sees a secret: the engine judges a signature, and what it found right is on record.

Its fields in the words of the engine: `agent` asks, `action` is the type, `context` the details,
`reason` the description, `expires_in_seconds` the time to answer. The signature is HMAC-SHA256 over
`id:decision:approver:expires_at`; see `hitl_vault.signatures`.
"""

from __future__ import annotations

import hmac
import secrets
from datetime import datetime
from typing import Any, Literal

from fastapi import APIRouter
from fastapi.responses import Response
from pydantic import BaseModel, Field

from hitl_vault.core.access import Identity
from hitl_vault.core.model import Answer, Request, Status, Vote
from hitl_vault.core.statement import parse_envelope
from hitl_vault.errors import Conflict, RequestNotFound, TrustError
from hitl_vault.server import asking
from hitl_vault.server.answers import CHANNEL
from hitl_vault.server.compat.forms import Fault, Said, detail_route, faults, in_words
from hitl_vault.server.compat.views import Seen, exact, see
from hitl_vault.server.identities import Anyone, At, Voter, acting_as, check_sees
from hitl_vault.server.shapes import answer
from hitl_vault.signatures import DECISIONS, FORMULA_TYPE, formula_envelope

PREFIX = "appr_"
_WORDS = {
    "type": "action",
    "requested_by": "agent",
    "agent": "agent",
    "details": "context",
    "description": "reason",
}
_SAID = {"reviewer": "approver", "reason": "comment"} | {
    same: same for same in ("approver", "signature")
}
_FOREVER_S = 10 * 365 * 24 * 3600
_ID_BYTES = 8
_INVALID = "Invalid signature"

State = Literal["pending", "approved", "rejected", "executed", "expired"]
_STATES: dict[Status, State] = {
    Status.PENDING: "pending",
    Status.APPROVED: "approved",
    Status.REJECTED: "rejected",
    Status.CANCELLED: "rejected",
    Status.EXPIRED: "expired",
}
Decision = Literal["approved", "rejected"]
_ANSWERS = {said: given for given, said in DECISIONS.items()}


class AgentBody(Said):
    """What an agent wants to do, and why."""

    agent: str = Field(min_length=1, examples=["knowledge_update"])
    action: str = Field(min_length=1, examples=["apply"])
    context: dict[str, Any] = Field(
        default_factory=dict, examples=[{"file": "config/production.yaml", "changes_count": 1500}]
    )
    reason: str = Field(examples=["Large configuration change for production deployment"])
    expires_in_seconds: int = Field(default=3600, ge=1, le=_FOREVER_S)


class SignedBody(Said):
    """A person's signed decision."""

    decision: Decision
    approver: str = Field(min_length=1, examples=["user@company.com"])
    comment: str | None = Field(default=None, examples=["Reviewed changes - looks safe"])
    signature: str = Field(min_length=1, description="HMAC-SHA256, 64 hexadecimal digits.")


class VerifyBody(Said):
    """The signature an executor holds; with the agent and the action, these are compared too."""

    signature: str
    agent: str | None = None
    action: str | None = None


class AgentApproval(BaseModel):
    """An approval as it stands."""

    id: str = Field(examples=["appr_3f9a1c7be2d04a51"])
    status: State
    requested_by: str = Field(examples=["agent:knowledge_update"])
    requested_at: str = Field(examples=["2025-10-17T10:30:00Z"])
    expires_at: str = Field(description="As exactly as it is signed.")
    agent: str
    action: str
    context: dict[str, Any]
    reason: str


class AgentDecided(AgentApproval):
    """An approval as it stands, with its decision; null where there is none."""

    decision: Decision | None
    approver: str | None
    approved_at: str | None
    comment: str | None
    signature: str | None


class Signed(BaseModel):
    """A decision as it was recorded."""

    id: str
    status: State
    decision: Decision
    approver: str
    approved_at: str | None
    comment: str
    signature: str


class Verified(BaseModel):
    """Whether an executor may go on: the approval, or why not."""

    valid: bool
    approval: dict[str, Any] | None = None
    error: str | None = None


def _faults(error: Exception) -> Fault | None:
    match error:
        case RequestNotFound():
            return 404, {"detail": "Approval not found"}
        case TrustError():
            return 403, {"detail": _INVALID, "reason": str(error)}
        case Conflict(current=Request() as now):
            over = now.status is Status.EXPIRED
            return 409, {"detail": "Approval has expired" if over else "Approval already decided"}
        case _:
            return None


def _state(seen: Seen) -> State:
    return _STATES.get(seen.plain_status, "executed")


async def create(body: AgentBody, at: At, caller: Identity) -> Response:
    """Ask on behalf of an agent; the id is given out here."""
    agent = acting_as(caller, body.agent, "agent")
    with in_words(_WORDS):
        asked = await asking.ask(
            at,
            caller,
            body.action,
            body.reason,
            body.context,
            requested_by=agent,
            agent=agent,
            id=f"{PREFIX}{secrets.token_hex(_ID_BYTES)}",
            timeout=body.expires_in_seconds,
        )
    return answer(_record(Seen(request=asked.request, status=asked.request.status)), 201)


def record(seen: Seen) -> dict[str, Any]:
    """Return an approval and its decision as this service writes them."""
    if seen.decided_by is None:
        nothing = dict.fromkeys(["decision", "approver", "approved_at", "comment", "signature"])
        return _record(seen) | nothing
    return _record(seen) | _decision(seen.request.votes[-1])


router = APIRouter(
    prefix="/api/v1/approvals", tags=["compatibility"], route_class=detail_route(_faults)
)


@router.post("/{id}/approve", response_model=Signed, responses=faults(400, 404, 409, 422))
async def approve(id: str, body: SignedBody, at: At, caller: Voter) -> Response:
    """Decide, approve or reject, with a signature; once."""
    acting_as(caller, body.approver, "approver")  # what was signed is the name as it was said
    request = await at.hitl.get(id)
    check_sees(caller, request)
    if request.status is not Status.PENDING:
        raise Conflict("it is decided already", request)
    with in_words(_SAID):
        request = await at.hitl.vote(
            id,
            _ANSWERS[body.decision],
            reviewer=body.approver,
            reason=body.comment or "",
            assurance=caller.assurance,
            channel=CHANNEL,
            proof=formula_envelope(
                request.id, body.decision, body.approver, request.expires_at, body.signature
            ),
        )
    vote = next((one for one in request.votes if _is_signed(one, body.signature)), None)
    if vote is None:  # somebody else said the same first
        raise Conflict("it is decided already", request)
    seen = Seen(request=request, status=request.status)
    return answer({"id": request.id, "status": _state(seen)} | _decision(vote))


@router.post(
    "/{id}/verify",
    response_model=Verified,
    response_model_exclude_none=True,
    responses=faults(400, 404, 422),
)
async def verify(id: str, body: VerifyBody, at: At, caller: Anyone) -> Response:
    """Say whether an executor may go on: approved, with this signature, not expired, not used.

    It stops nothing from running twice; claim it for that.
    """
    seen = await see(at.hitl, id)
    check_sees(caller, seen.request)
    problem = _problem(seen, body, at.hitl.now())
    problem = problem or (await at.hitl.check_approval(seen.request.id)).why
    if problem:
        return answer({"valid": False, "error": problem})
    full = record(seen)
    names = ("id", "status", "decision", "approver", "expires_at")
    return answer({"valid": True, "approval": {name: full[name] for name in names}})


def _problem(seen: Seen, body: VerifyBody, now: datetime) -> str:
    """Return why this must not be executed, "" if nothing speaks against it."""
    request = seen.request
    if _state(seen) != "approved":
        return f"Approval is {_state(seen)}"
    in_force = [one for one in request.votes if one.payload_sha256 == request.payload_in_force]
    if not any(
        one.answer is Answer.APPROVE and _is_signed(one, body.signature) for one in in_force
    ):
        return _INVALID
    if now >= request.expires_at:
        return "Approval has expired"
    full = _record(seen)
    if body.agent not in {None, full["agent"]} or body.action not in {None, full["action"]}:
        return "Agent/action doesn't match approval"
    return ""


def _is_signed(vote: Vote, signature: str) -> bool:
    """True if this vote was found right with just this signature when it was given."""
    known = _signature_of(vote) or ""
    given = signature.strip().lower().encode("utf-8", "replace")
    return bool(known) and hmac.compare_digest(known.encode(), given)


def _signature_of(vote: Vote) -> str | None:
    """Return the signature on record, as it was sent; None if it was proved in another way."""
    if not vote.proof:
        return None
    envelope = parse_envelope(vote.proof)
    return envelope.signature.hex() if envelope.payload_type == FORMULA_TYPE else None


def _decision(vote: Vote) -> dict[str, Any]:
    approved = vote.answer is not Answer.REJECT
    return {
        "decision": "approved" if approved else "rejected",
        "approver": vote.reviewer,
        "approved_at": exact(vote.at) if approved else None,
        "comment": vote.reason,
        "signature": _signature_of(vote),
    }


def _record(seen: Seen) -> dict[str, Any]:
    request = seen.request
    agent = request.action.agent or request.action.requested_by
    return {
        "id": request.id,
        "status": _state(seen),
        "requested_by": f"agent:{agent}",
        "requested_at": exact(request.created_at),
        "expires_at": exact(request.expires_at),
        "agent": agent,
        "action": request.action.type,
        "context": request.details,
        "reason": request.action.description,
    }
