"""Clients of a service with `/workflows` work here as they do there."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

import pytest
from compat_kit import ALLOW, DENY, EDIT, JSON, TWO, WHOLE_SECONDS, now_clock, open_desk
from server_kit import serving

ASKED = {
    "action": "terminate EC2 instance i-abc123",
    "requested_by": "infra-agent",
    "context": {"instance_id": "i-abc123", "region": "us-east-1"},
    "timeout_minutes": 30,
}
DETAIL = {
    "workflow_id", "action", "requested_by", "context", "status", "created_at", "expires_at",
    "resolved_at", "resolved_by",
}  # fmt: skip


async def ask(client, **changes):
    created = await client.post("/workflows", json=ASKED | changes)
    assert created.status_code == 201, created.text
    return created.json()["workflow_id"]


async def test_a_created_workflow_has_an_id_a_status_and_a_deadline(tmp_path):
    async with open_desk(tmp_path) as (_, client):
        created = await client.post("/workflows", json=ASKED)
        body = created.json()
        assert created.status_code == 201
        assert created.headers["content-type"] == "application/json"
        assert set(body) == {"workflow_id", "status", "expires_at"}
        assert str(UUID(body["workflow_id"])) == body["workflow_id"]
        assert body["status"] == "PENDING"
        assert WHOLE_SECONDS.fullmatch(body["expires_at"])


async def test_a_waiting_workflow_is_shown_in_full(tmp_path):
    async with open_desk(tmp_path) as (_, client):
        id = await ask(client)
        found = await client.get(f"/workflows/{id}")
        body = found.json()
        assert (found.status_code, set(body)) == (200, DETAIL)
        assert body["action"] == "terminate EC2 instance i-abc123"
        assert body["requested_by"] == "infra-agent"
        assert body["context"] == ASKED["context"]
        assert body["status"] == "PENDING"
        assert WHOLE_SECONDS.fullmatch(body["created_at"])
        assert (body["resolved_at"], body["resolved_by"]) == (None, None)


@pytest.mark.parametrize(("verb", "status"), [("approve", "APPROVED"), ("reject", "REJECTED")])
async def test_a_decision_answers_the_full_workflow_and_is_accepted_twice(tmp_path, verb, status):
    async with open_desk(tmp_path) as (service, client):
        id = await ask(client)
        for _ in range(2):
            done = await client.post(f"/workflows/{id}/{verb}", json={"reviewed_by": "alice"})
            body = done.json()
            assert (done.status_code, set(body)) == (200, DETAIL)
            assert (body["status"], body["resolved_by"]) == (status, "alice")
            assert WHOLE_SECONDS.fullmatch(body["resolved_at"])
        assert (await client.get(f"/workflows/{id}")).json() == body
        vote = (await service.hitl.get(id)).votes[0]
        assert (vote.assurance, vote.channel) == ("edited", "http")


async def test_a_contradicting_decision_names_the_status_in_force(tmp_path):
    async with open_desk(tmp_path) as (_, client):
        id = await ask(client)
        await client.post(f"/workflows/{id}/reject", json={"reviewed_by": "alice"})
        late = await client.post(f"/workflows/{id}/approve", json={"reviewed_by": "alice"})
        assert late.status_code == 409
        assert late.json() == {
            "detail": {"error": "workflow already resolved", "current_status": "REJECTED"}
        }


@pytest.mark.parametrize("verb", ["approve", "reject"])
async def test_a_passed_deadline_is_seen_at_the_first_look_and_ends_every_answer(tmp_path, verb):
    clock = now_clock()
    async with open_desk(tmp_path, clock=clock) as (_, client):
        looked, answered = await ask(client), await ask(client)
        clock.jump(30 * 60)
        seen = (await client.get(f"/workflows/{looked}")).json()
        assert (seen["status"], seen["resolved_by"]) == ("TIMED_OUT", None)
        assert seen["resolved_at"] == seen["expires_at"]
        late = await client.post(f"/workflows/{answered}/{verb}", json={"reviewed_by": "alice"})
        assert late.status_code == 409
        assert late.json()["detail"] == {
            "error": "workflow already resolved",
            "current_status": "TIMED_OUT",
        }


async def test_context_and_time_may_be_left_out(tmp_path):
    async with open_desk(tmp_path) as (_, client):
        named = {"action": "post the notes", "requested_by": "infra-agent"}
        id = (await client.post("/workflows", json=named)).json()["workflow_id"]
        body = (await client.get(f"/workflows/{id}")).json()
        assert body["context"] == {}
        times = [datetime.fromisoformat(body[name]) for name in ("created_at", "expires_at")]
        assert times[1] - times[0] == timedelta(minutes=30)


async def test_an_unknown_workflow_is_404(tmp_path):
    async with open_desk(tmp_path) as (_, client):
        for method, path in (("GET", ""), ("POST", "/approve"), ("POST", "/reject")):
            body = {"reviewed_by": "alice"} if method == "POST" else None
            missed = await client.request(method, f"/workflows/none{path}", json=body)
            assert (missed.status_code, missed.json()) == (404, {"detail": "workflow not found"})


@pytest.mark.parametrize(
    ("body", "field", "kind"),
    [
        ({"requested_by": "a"}, "action", "missing"),
        ({"action": "x"}, "requested_by", "missing"),
        (ASKED | {"timeout_minutes": "soon"}, "timeout_minutes", "int_type"),
        (ASKED | {"timeout_minutes": 0}, "timeout_minutes", "greater_than_equal"),
        (ASKED | {"context": []}, "context", "dict_type"),
        (ASKED | {"action": ""}, "action", "string_too_short"),
        (ASKED | {"action": " "}, "action", "value_error"),
        (ASKED | {"requested_by": " "}, "requested_by", "value_error"),
        (ASKED | {"context": {"n": 2**60}}, "context", "value_error"),
    ],
)
async def test_a_wrong_field_is_named_as_fastapi_names_it(tmp_path, body, field, kind):
    async with open_desk(tmp_path) as (service, client):
        wrong = await client.post("/workflows", json=body)
        assert wrong.status_code == 422
        (found,) = wrong.json()["detail"]
        assert (found["loc"], found["type"]) == (["body", field], kind)
        assert found["msg"]
        assert await service.hitl.list_requests() == []


@pytest.mark.parametrize(
    "text",
    [
        *("{", "[1]", '{"action": "x", "requested_by": NaN}', '"\\ud800"', b"\xff"),
        '{"action": "x", "action": "y", "requested_by": "bot"}',
    ],
)
async def test_what_cannot_be_read_is_422_whatever_it_holds(tmp_path, text):
    async with open_desk(tmp_path) as (_, client):
        wrong = await client.post("/workflows", content=text, headers=JSON)
        assert wrong.status_code == 422
        assert wrong.json()["detail"][0]["loc"][0] == "body"


async def test_what_the_policy_forbids_is_403_and_is_not_asked(tmp_path):
    async with open_desk(tmp_path, DENY) as (service, client):
        denied = await client.post("/workflows", json=ASKED)
        assert denied.status_code == 403
        assert denied.json() == {"detail": "the policy forbids this: Never do this"}
        assert await service.hitl.list_requests() == []


async def test_what_the_policy_allows_is_asked_all_the_same(tmp_path):
    async with open_desk(tmp_path, ALLOW) as (_, client):
        assert (await client.post("/workflows", json=ASKED)).json()["status"] == "PENDING"


async def test_nobody_approves_their_own_workflow(tmp_path):
    async with open_desk(tmp_path) as (_, client):
        id = await ask(client)
        own = await client.post(f"/workflows/{id}/approve", json={"reviewed_by": "Infra-Agent"})
        assert own.status_code == 403
        assert own.json()["detail"]["current_status"] == "PENDING"
        assert "asked for this" in own.json()["detail"]["error"]


async def test_a_workflow_that_needs_two_waits_after_the_first(tmp_path):
    async with open_desk(tmp_path, TWO) as (_, client):
        id = await ask(client)
        for name, status in (("alice", "PENDING"), ("bob", "APPROVED")):
            done = await client.post(f"/workflows/{id}/approve", json={"reviewed_by": name})
            assert (done.status_code, done.json()["status"]) == (200, status)


async def test_the_sentence_is_the_type_that_rules_see_and_comes_back_as_it_was_sent(tmp_path):
    async with open_desk(tmp_path) as (service, client):
        for sentence in ("Reset  the password of bob", "délete " * 60):
            id = await ask(client, action=sentence)
            request = await service.hitl.get(id)
            assert " ".join(sentence.split()).startswith(request.action.type)
            assert len(request.action.type.encode()) <= 200
            assert (await client.get(f"/workflows/{id}")).json()["action"] == sentence
        terminating = await service.hitl.get(await ask(client))
        assert "terminate-resources" in terminating.verdict.rules


async def test_an_executed_workflow_stays_approved_and_a_withdrawn_one_is_rejected(tmp_path):
    async with open_desk(tmp_path) as (service, client):
        ran, withdrawn = await ask(client), await ask(client)
        await client.post(f"/workflows/{ran}/approve", json={"reviewed_by": "alice"})
        await service.hitl.mark_executed(ran)
        await service.hitl.cancel(withdrawn)
        assert (await client.get(f"/workflows/{ran}")).json()["status"] == "APPROVED"
        body = (await client.get(f"/workflows/{withdrawn}")).json()
        assert (body["status"], body["resolved_by"]) == ("REJECTED", None)


async def test_what_was_approved_with_changes_is_not_approved_for_who_cannot_see_them(tmp_path):
    async with open_desk(tmp_path, EDIT) as (service, client):
        id = await ask(client)
        changed = {"instance_id": "i-abc123", "region": "eu-west-1"}
        await service.hitl.approve(id, reviewer="alice", details=changed)
        body = (await client.get(f"/workflows/{id}")).json()
        assert (body["status"], body["context"]) == ("REJECTED", changed)


async def test_too_much_at_once_is_429_in_the_form_of_the_service(tmp_path):
    settings = {"max_requests_per_minute": 1}
    async with serving(tmp_path / "vault", settings, open=True) as service:
        client = service.client()
        await ask(client)
        more = await client.post("/workflows", json=ASKED)
        assert (more.status_code, set(more.json())) == (429, {"detail"})
        assert len(await service.hitl.list_requests()) == 1


async def test_with_tokens_names_are_the_tokens_own(tmp_path):
    async with serving(tmp_path / "vault") as service:
        agent, other = service.agent("infra-agent"), service.agent("other")
        alice = service.reviewer("alice")
        assert (await service.client().post("/workflows", json=ASKED)).status_code == 401
        assert (await other.post("/workflows", json=ASKED)).status_code == 403
        id = await ask(agent)
        assert (await other.get(f"/workflows/{id}")).status_code == 403
        for client, name in ((agent, "infra-agent"), (agent, "alice"), (alice, "bob")):
            forged = await client.post(f"/workflows/{id}/approve", json={"reviewed_by": name})
            assert forged.status_code == 403
            assert isinstance(forged.json()["detail"], str)
        done = await alice.post(f"/workflows/{id}/approve", json={"reviewed_by": "alice"})
        assert done.json()["status"] == "APPROVED"
        assert (await service.hitl.get(id)).votes[0].assurance == "authenticated"
        assert (await agent.get(f"/workflows/{id}")).json()["resolved_by"] == "alice"
