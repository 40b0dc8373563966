"""A service in the shape many are first written in: FastAPI around a dict, asked again and again.

The documented service of `docs/compatibility.md` in memory: nothing durable, no policy, no token.
Deadlines are looked at when somebody asks.
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from fastapi import FastAPI, HTTPException
from pydantic import BaseModel, Field

MODULES = ("fastapi", "uvicorn")
PATH = "/workflows"


class Wanted(BaseModel):
    """What an agent wants to do."""

    action: str
    requested_by: str
    context: dict[str, Any] = Field(default_factory=dict)
    timeout_minutes: int = 30


class Resolve(BaseModel):
    """Who answers."""

    reviewed_by: str


class Created(BaseModel):
    """What the agent polls for."""

    workflow_id: str
    status: str
    expires_at: datetime


class Detail(BaseModel):
    """A request as it stands."""

    workflow_id: str
    action: str
    requested_by: str
    context: dict[str, Any]
    status: str
    created_at: datetime
    expires_at: datetime
    resolved_at: datetime | None = None
    resolved_by: str | None = None


def create_app() -> FastAPI:
    """Return the service, with a store of its own."""
    app, store = FastAPI(), {}

    def found(workflow_id: str) -> Detail:
        detail = store.get(workflow_id)
        if detail is None:
            raise HTTPException(404, "workflow not found")
        if detail.status == "PENDING" and datetime.now(UTC) >= detail.expires_at:
            detail.status = "TIMED_OUT"
        return detail

    def resolve(workflow_id: str, by: str, status: str) -> Detail:
        detail = found(workflow_id)
        if detail.status not in {"PENDING", status}:
            raise HTTPException(
                409, {"error": "workflow already resolved", "current_status": detail.status}
            )
        if detail.status == "PENDING":
            detail.status, detail.resolved_by = status, by
            detail.resolved_at = datetime.now(UTC)
        return detail

    @app.post(PATH, status_code=201)
    async def create(wanted: Wanted) -> Created:
        now = datetime.now(UTC)
        detail = Detail(
            workflow_id=str(uuid.uuid4()),
            action=wanted.action,
            requested_by=wanted.requested_by,
            context=wanted.context,
            status="PENDING",
            created_at=now,
            expires_at=now + timedelta(minutes=wanted.timeout_minutes),
        )
        store[detail.workflow_id] = detail
        return Created(
            workflow_id=detail.workflow_id, status=detail.status, expires_at=detail.expires_at
        )

    @app.get(PATH + "/{workflow_id}")
    async def get(workflow_id: str) -> Detail:
        return found(workflow_id)

    @app.post(PATH + "/{workflow_id}/approve")
    async def approve(workflow_id: str, body: Resolve) -> Detail:
        return resolve(workflow_id, body.reviewed_by, "APPROVED")

    @app.post(PATH + "/{workflow_id}/reject")
    async def reject(workflow_id: str, body: Resolve) -> Detail:
        return resolve(workflow_id, body.reviewed_by, "REJECTED")

    return app
