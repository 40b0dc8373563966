"""Owns the shapes of bodies and answers of the API, as its documentation shows them. Never judges:
what a value may be is the engine's to say.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from hitl_vault.core.model import Answer, Status

_AN_ID = "20261121-093012-payment-7f3ac91e04"


class Body(BaseModel):
    """A body that takes no other fields than its own: a typing error must not be lost."""

    model_config = ConfigDict(extra="forbid")


class Ask(Body):
    """What an agent wants to do."""

    type: str = Field(examples=["payment"])
    description: str = Field(default="", examples=["Pay the invoice INV-2024-001"])
    details: dict[str, Any] = Field(
        default_factory=dict, examples=[{"amount": 1500, "to": "vendor@example.com"}]
    )
    requested_by: str | None = Field(default=None, examples=["invoice-agent"])
    agent: str = ""
    run_id: str = ""
    key: str | None = Field(
        default=None,
        examples=["INV-2024-001"],
        description="Names the action for ever: asked again, it is the same request.",
    )
    id: str | None = Field(default=None, description="Your own id for the request.")
    timeout: float | str | None = Field(default=None, examples=["1h"])
    join: bool = False


class VoteBody(Body):
    """One reviewer's answer."""

    answer: Answer = Field(examples=["approve"])
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


class RequestRecord(BaseModel):
    """A request as it stands."""

    model_config = ConfigDict(extra="allow")

    id: str = Field(examples=[_AN_ID])
    rev: int
    status: Status
    type: str
    description: str
    details: dict[str, Any]
    payload_sha256: str
    requested_by: str
    created_at: datetime
    expires_at: datetime


class RequestList(BaseModel):
    """A page of requests, newest first. `next` is the `after` of the next page, null at the end."""

    requests: list[RequestRecord]
    next: str | None = None


def answer(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return JSON values as the answer."""
    return Response(
        msgspec.json.encode(value),
        status_code=status,
        media_type="application/json",
        headers=headers,
    )
