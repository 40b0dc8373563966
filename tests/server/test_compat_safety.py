"""Through the routes of other services nobody approves another action than the one they were shown."""

from __future__ import annotations

import pytest
from compat_kit import open_desk

from hitl_vault.core.model import Answer

BOTH = '  - {id: both, when: "true", effect: ask, quorum: 2, answers: [approve, reject, edit]}\n'
WIPE = {"id": "deploy-1", "type": "deploy", "description": "Wipe it", "details": {"wipe": True}}
NOTE = {"type": "note", "description": "Harmless", "details": {"text": "hi"}}


@pytest.mark.parametrize(
    ("id", "key"),
    [("action-0", "deploy-1"), (f"action-{'0' * 40}", "deploy-1"), ("action-0", "a deploy/1")],
)
async def test_a_request_never_goes_by_another_ones_name(tmp_path, id, key):
    """An id and a key that look as if they were made of each other name what they are of, alone."""
    async with open_desk(tmp_path) as (service, client):
        for body in (WIPE, NOTE | {"id": id, "key": key}):
            assert (await client.post("/api/v1/requests", json=body)).status_code == 201
        listed = (await client.get("/api/v1/approvals/?limit=10")).json()
        (shown,) = (one for one in listed if one["action_type"] == "note")
        assert shown["action_id"] == id
        path = f"/api/v1/approvals/{shown['action_id']}/decide"
        await client.post(path, json={"approved": True, "decided_by": "alice"})
        assert (await service.hitl.get("deploy-1")).status == "pending"
        assert (await service.hitl.get(id)).status == "approved"


def decisions(id):
    """Return how each service approves."""
    chosen = {"approved": True, "decided_by": "alice"}
    users = {"workflow_id": id, "approval_id": id, "approved": True, "approved_by": "alice"}
    return {
        "approvals": (f"/api/v1/approvals/{id}/decide", chosen),
        "workflows": (f"/workflows/{id}/approve", {"reviewed_by": "alice"}),
        "decisions": ("/api/v1/approvals/decision", users),
    }


@pytest.mark.parametrize("service_of", ["approvals", "workflows", "decisions"])
async def test_details_changed_by_another_are_not_approved_unseen(tmp_path, service_of):
    async with open_desk(tmp_path, BOTH) as (service, client):
        asked = await service.hitl.request_approval("payment", "Pay", {"amount": 1})
        changed = {"amount": 5000}
        await service.hitl.vote(asked.id, Answer.EDIT, reviewer="bob", details=changed)
        path, body = decisions(asked.id)[service_of]
        refused = await client.post(path, json=body)
        assert refused.status_code == 409, refused.text
        assert "changed" in refused.text
        standing = await service.hitl.get(asked.id)
        assert (standing.status, [vote.reviewer for vote in standing.votes]) == ("pending", ["bob"])


@pytest.mark.parametrize("service_of", ["approvals", "workflows", "decisions"])
async def test_details_changed_by_another_can_be_rejected(tmp_path, service_of):
    async with open_desk(tmp_path, BOTH) as (service, client):
        asked = await service.hitl.request_approval("payment", "Pay", {"amount": 1})
        await service.hitl.vote(asked.id, Answer.EDIT, reviewer="bob", details={"amount": 5000})
        path, body = decisions(asked.id)[service_of]
        path, body = path.replace("/approve", "/reject", path.startswith("/workflows")), dict(body)
        if "approved" in body:
            body |= {"approved": False, "reason": "no", "feedback": "no"}
        assert (await client.post(path, json=body)).status_code == 200
        assert (await service.hitl.get(asked.id)).status == "rejected"
