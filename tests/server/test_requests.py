"""Asking, looking, waiting and answering over HTTP."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime

import pytest
from server_kit import serving

PAYMENT = {"type": "payment", "description": "Pay", "details": {"amount": 1500, "to": "v@x.org"}}


async def test_an_agent_asks_a_reviewer_answers_and_the_agent_hears_of_it(tmp_path):
    async with serving(tmp_path / "vault") as service:
        agent, alice = service.agent(), service.reviewer()
        asked = await agent.post("/api/v1/requests", json=PAYMENT)
        assert asked.status_code == 201, asked.text
        id = asked.json()["id"]
        waiting = asyncio.create_task(agent.get(f"/api/v1/requests/{id}/wait"))
        voted = await alice.post(f"/api/v1/requests/{id}/votes", json={"answer": "approve"})
        assert voted.status_code == 200, voted.text
        decided = (await waiting).json()
        assert decided["status"] == "approved"
        assert decided["votes"][0]["reviewer"] == "alice"
        assert decided["votes"][0]["assurance"] == "authenticated"


async def test_an_agents_token_never_votes(tmp_path):
    async with serving(tmp_path / "vault") as service:
        agent = service.agent()
        id = (await agent.post("/api/v1/requests", json=PAYMENT)).json()["id"]
        voted = await agent.post(f"/api/v1/requests/{id}/votes", json={"answer": "approve"})
        assert (voted.status_code, voted.json()["code"]) == (403, "forbidden")
        assert (await service.hitl.get(id)).status == "pending"


async def test_a_caller_without_a_token_is_asked_for_one(tmp_path):
    async with serving(tmp_path / "vault") as service:
        found = await service.client().get("/api/v1/requests")
        assert (found.status_code, found.headers["www-authenticate"]) == (401, "Bearer")
        assert found.headers["content-type"] == "application/problem+json"


async def test_a_body_that_is_not_called_json_is_told_how_to_be_sent(tmp_path):
    """What curl sends where nothing is said."""
    async with serving(tmp_path / "vault") as service:
        agent = service.agent()
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        asked = await agent.post("/api/v1/requests", content='{"type": "payment"}', headers=form)
        assert asked.status_code == 422
        assert "Content-Type: application/json" in asked.json()["detail"]


@pytest.mark.parametrize("decided", [True, False])
async def test_a_wait_with_a_token_that_is_revoked_meanwhile_tells_nothing(tmp_path, decided):
    async with serving(tmp_path / "vault") as service:
        token = service.token("agent", "bot")
        agent = service.client(token)
        id = (await agent.post("/api/v1/requests", json=PAYMENT)).json()["id"]
        path, patience = f"/api/v1/requests/{id}/wait", {"timeout": 30 if decided else 1}
        waiting = asyncio.create_task(agent.get(path, params=patience))
        while not service.serving.stopping.waiters:
            await asyncio.sleep(0.01)
        service.serving.tokens.revoke(token.split("_")[1], datetime.now(UTC))
        if decided:
            voted = await service.reviewer().post(
                f"/api/v1/requests/{id}/votes", json={"answer": "approve"}
            )
            assert voted.status_code == 200
        answer = await waiting
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
        assert "v@x.org" not in answer.text


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/v1/requests", rb'{"type": "x", "requested_by": "\ud800"}'),
        ("/api/v1/policy/evaluate", rb'{"type": "x", "requested_by": "a\udfff"}'),
    ],
)
async def test_a_problem_can_be_written_whatever_was_sent(tmp_path, path, body):
    """Half a pair of UTF-16 is no text; told again in a problem it made the service fail."""
    async with serving(tmp_path / "vault") as service:
        headers = {"Content-Type": "application/json"}
        answer = await service.agent().post(path, content=body, headers=headers)
        assert answer.status_code == 403, answer.text
        assert "?" in answer.json()["detail"]
        assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("totp", ["123456", "\ud800"])
async def test_a_code_without_a_second_factor_is_the_senders_mistake(tmp_path, totp):
    async with serving(tmp_path / "vault") as service:
        id = (await service.agent().post("/api/v1/requests", json=PAYMENT)).json()["id"]
        body = json.dumps({"answer": "approve", "totp": totp})
        headers = {"Content-Type": "application/json"}
        path = f"/api/v1/requests/{id}/votes"
        answer = await service.reviewer("alice").post(path, content=body, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (422, "no_second_factor")
        assert "alice has no second factor" in answer.json()["detail"]
        assert (await service.hitl.get(id)).status == "pending"
