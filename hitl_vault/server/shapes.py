"""Owns the shapes of bodies and answers of the API, as its documentation shows them. Never judges:
what a value may be is the engine's to say.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from hitl_vault.core.events import Kind
from hitl_vault.core.model import Answer, Effect, Risk, Status
from hitl_vault.server import samples


def shown(example: Any) -> ConfigDict:
    """Return the settings of a model that is documented by this example."""
    return ConfigDict(json_schema_extra={"examples": [example]})


def event_stream(name: str, data: dict[str, Any]) -> dict[str, Any]:
    """Return how a stream of server-sent events is documented: the shape of one, and an example."""
    text = {"type": "string"}
    shape = {"id": text, "event": text, "data": text | {"description": "JSON."}}
    line = msgspec.json.encode(data).decode()
    return {
        "text/event-stream": {
            "schema": {"type": "object", "properties": shape},
            "example": f"id: {data['seq']}\nevent: {name}\ndata: {line}\n\n",
        }
    }


class Body(BaseModel):
    """A body that takes no other fields than its own: a typing error must not be lost."""

    model_config = ConfigDict(extra="forbid")


class Ask(Body):
    """What an agent wants to do."""

    model_config = shown(samples.ASK)

    type: str = Field(description="What kind of action it is; the policy's rules look at it.")
    description: str = Field(default="", description="The agent's own words for the reviewer.")
    details: dict[str, Any] = Field(
        default_factory=dict, description="Everything the action needs; the executor gets it back."
    )
    requested_by: str | None = Field(
        default=None, description="Yourself; else whose token it is, or `agent`."
    )
    agent: str = ""
    run_id: str = ""
    key: str | None = Field(
        default=None, description="Names the action for ever: asked again, it is the same request."
    )
    id: str | None = Field(default=None, description="Your own id for the request.")
    timeout: float | str | None = Field(
        default=None, description="Time to answer: seconds, or such as `1h`."
    )
    join: bool = Field(
        default=False, description="Be one with the identical request that waits, if there is one."
    )


class VoteBody(Body):
    """One reviewer's answer."""

    model_config = shown({"answer": "approve", "reason": "The invoice is right"})

    answer: Answer
    reviewer: str | None = Field(default=None, description="Yourself; else whose token it is.")
    reason: str = ""
    details: dict[str, Any] | None = Field(
        default=None, description="With `edit`: what is approved instead."
    )
    payload_sha256: str | None = Field(
        default=None, description="The digest of what you were shown; else what is in force."
    )
    proof: str = Field(default="", description="A signed envelope (DSSE).")
    code: str = Field(default="", description="A one-time code you were sent.")
    totp: str = Field(default="", description="The present code of your second factor.")


class CancelBody(Body):
    """Why it is withdrawn."""

    model_config = shown({"reason": "The invoice was paid by card"})

    reason: str = ""
    by: str | None = Field(default=None, description="Yourself; else whose token it is.")


class CommentBody(Body):
    """A remark; it decides nothing."""

    model_config = shown({"text": "The invoice is attached to ticket 4711."})

    text: str
    author: str | None = Field(default=None, description="Yourself; else whose token it is.")


class ClaimBody(Body):
    """Who is going to execute, and what."""

    model_config = shown(
        {
            "claim_id": "worker-3.run-8a1f",
            "executor": "worker-3",
            "payload_sha256": samples.PENDING["payload_sha256"],
            "lease_s": 3600,
        }
    )

    claim_id: str | None = Field(
        default=None,
        description="Your name of this one run; claimed again, it is the same claim, with `again`.",
    )
    executor: str | None = Field(default=None, description="Which of your processes it is.")
    payload_sha256: str | None = Field(
        default=None, description="The digest of what you mean to run: another one is refused."
    )
    lease_s: float = Field(
        default=3600.0, gt=0, le=86400, description="Until then, finish or renew."
    )


class RenewBody(Body):
    """Which claim lives on."""

    model_config = shown({"claim_id": "worker-3.run-8a1f"})

    claim_id: str
    lease_s: float | None = Field(
        default=None, gt=0, le=86400, description="From now on; else as long as before."
    )


class FinishBody(Body):
    """How the execution ended."""

    model_config = shown(
        {
            "claim_id": "worker-3.run-8a1f",
            "status": "executed",
            "result": {"receipt": "R-88123"},
        }
    )

    claim_id: str
    status: Status = Field(description="`executed`, `failed`, or `unknown` if you cannot tell.")
    result: Any = Field(default=None, description="JSON, at most 64 KiB; more of it is cut.")
    error: str = ""


class ResolveBody(Body):
    """How an execution with an unknown end really ended, as a person found out."""

    model_config = shown({"status": "executed", "reason": "The bank shows the transfer"})

    status: Status = Field(description="`executed` or `failed`.")
    reason: str = ""
    by: str | None = Field(default=None, description="Yourself; else whose token it is.")


class CheckBody(Body):
    """What you are about to execute."""

    model_config = shown({"details": samples.DETAILS})

    details: dict[str, Any] | None = Field(default=None, description="Must be those approved.")
    payload_sha256: str | None = Field(default=None, description="Must be the digest in force.")
    claim_id: str = Field(default="", description="Your claim, if you hold one.")


class EvaluateBody(Body):
    """An action that the policy is asked about."""

    model_config = shown({"type": "payment", "details": samples.DETAILS})

    type: str
    details: dict[str, Any] = Field(default_factory=dict)
    requested_by: str | None = None
    agent: str = ""
    run_id: str = ""


class RequestRecord(BaseModel):
    """A request as it stands. `details` and `payload_sha256` are those in force: where a reviewer
    changed them, the ones that were approved, and `requested_details` those that were asked for.
    """

    model_config = ConfigDict(extra="allow", json_schema_extra={"examples": [samples.APPROVED]})

    id: str
    rev: int = Field(description="Grows by one with every step.")
    status: Status
    type: str
    description: str
    details: dict[str, Any]
    payload_sha256: str
    requested_by: str
    agent: str
    run_id: str
    key: str | None
    risk: Risk
    summary: str
    rules: list[str]
    reasons: list[str]
    requirement: dict[str, Any]
    policy_sha256: str
    reviewers: list[str]
    created_at: datetime
    updated_at: datetime
    expires_at: datetime
    use_by: datetime | None
    decided_at: datetime | None
    reason: str
    votes: list[dict[str, Any]]
    edited: dict[str, Any] | None
    claim: dict[str, Any] | None
    outcome: dict[str, Any] | None
    comments: list[dict[str, Any]]
    reminded: int
    escalated: int


class RequestList(BaseModel):
    """A page of requests, newest first. `next` is the `after` of the next page, null at the end."""

    model_config = shown(
        {"requests": [samples.APPROVED], "next": "MTc5NTI1MzQxMjAwMDAwMDoyMDI2MTEyMS0wOTMwMTI"}
    )

    requests: list[RequestRecord]
    next: str | None


class LeaseRecord(BaseModel):
    """A claim and how long it is held. Run exactly `details`, once."""

    model_config = shown(samples.LEASE)

    id: str
    claim_id: str
    executor: str
    type: str
    details: dict[str, Any] = Field(description="What was approved.")
    payload_sha256: str
    lease_s: float
    lease_ends_at: datetime = Field(description="Then its end is recorded as unknown.")
    again: bool = Field(description="This name had the claim before: it may have run already.")
    request: RequestRecord


class CheckRecord(BaseModel):
    """Whether a request is good to be executed now; `why` says in a sentence why not."""

    model_config = shown(samples.CHECKED)

    valid: bool
    why: str
    id: str
    status: Status
    payload_sha256: str
    use_by: datetime | None


class EventRecord(BaseModel):
    """A fact, chained to the one before by `hash`."""

    model_config = shown(samples.EVENT)

    seq: int
    at: datetime
    id: str
    rev: int
    kind: Kind
    actor: str
    data: dict[str, Any]
    hash: str


class EventList(BaseModel):
    """What happened to a request, in order."""

    model_config = shown({"events": [samples.EVENT]})

    events: list[EventRecord]


class VerdictRecord(BaseModel):
    """What the policy says of an action: `allow` it, `ask` a person, or `deny` it; and why."""

    model_config = shown(samples.VERDICT)

    effect: Effect
    rules: list[str]
    reasons: list[str]
    risk: Risk
    requirement: dict[str, Any]
    policy_sha256: str
    summary: str


class PolicyRecord(BaseModel):
    """The policy in force. `problem` says why a newer text is not, null where there is none."""

    model_config = shown(samples.POLICY)

    name: str
    sha256: str
    text: str | None = Field(description="Null where the text in force can no longer be read.")
    problem: str | None


class StatsRecord(BaseModel):
    """The figures of the desk. Rates are shares of the decided ones, 0 to 1; times are seconds."""

    model_config = shown(samples.STATS)

    requests: int
    pending: dict[str, float | None]
    by_status: dict[str, int]
    rates: dict[str, float | None]
    under_grants: int
    decision_s: dict[str, float | None]
    by_type: dict[str, int]
    by_rule: dict[str, int]
    by_risk: dict[str, int]
    by_requester: dict[str, int]
    by_reviewer: dict[str, dict[str, int]]


class AlertRecord(BaseModel):
    """An alert that fires: `value` is above `threshold`. `since` is null where it just began."""

    model_config = shown(samples.ALERT)

    name: str
    message: str
    value: float
    threshold: float
    since: datetime | None


class ChainRecord(BaseModel):
    """What proving the chain found: `events` and `head` where it holds, else where it breaks."""

    model_config = shown(samples.CHAIN)

    ok: bool
    vault: str
    events: int | None = None
    head: str | None = None
    seq: int | None = None
    problem: str | None = None


class HeadRecord(BaseModel):
    """The end of the chain: note it elsewhere, and nobody can cut the chain unseen."""

    model_config = shown(samples.HEAD)

    vault: str
    seq: int
    hash: str


def answer(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return JSON values as the answer."""
    return Response(
        msgspec.json.encode(value),
        status_code=status,
        media_type="application/json",
        headers=headers,
    )
