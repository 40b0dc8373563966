"""Clients of a service with approvals under an id of their own work here as they do there."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from compat_kit import ALLOW, DENY, WHOLE_SECONDS, now_clock, open_desk
from server_kit import serving

from hitl_vault.core.access import Scope

AT = "/api/v1/approvals"
ASKED = {
    "action_id": "deploy-vercel-1234567890",
    "action_type": "deploy",
    "description": "Deploy trading bot to Vercel",
    "context": {"platform": "vercel", "config": {"projectName": "trading-bot"}},
    "run_id": "wf_abc123",
    "requested_by": "temporal-worker",
    "timeout_seconds": 3600,
}
APPROVED = {
    "approved": True,
    "reason": "Deployment reviewed and approved",
    "decided_by": "admin@example.com",
}
KEYS = {
    "action_id", "action_type", "description", "context", "run_id", "requested_by", "status",
    "created_at", "expires_at", "decided_at", "decided_by", "reason",
}  # fmt: skip


async def ask(client, **changes):
    created = await client.post(f"{AT}/", json=ASKED | changes)
    assert created.status_code == 201, created.text
    return created.json()


@pytest.mark.parametrize("slash", ["", "/"])
async def test_a_request_keeps_every_field_that_was_sent(tmp_path, slash):
    async with open_desk(tmp_path) as (_, client):
        created = await client.post(f"{AT}{slash}", json=ASKED)
        body = created.json()
        assert (created.status_code, set(body)) == (201, KEYS)
        assert {name: body[name] for name in ASKED if name in body} == {
            name: ASKED[name] for name in ASKED if name != "timeout_seconds"
        }
        assert (body["status"], body["decided_at"], body["decided_by"]) == ("PENDING", None, None)
        times = [datetime.fromisoformat(body[name]) for name in ("created_at", "expires_at")]
        assert times[1] - times[0] == timedelta(seconds=3600)
        assert WHOLE_SECONDS.fullmatch(body["created_at"])
        found = await client.get(f"{AT}/{ASKED['action_id']}{slash}")
        assert (found.status_code, found.json()) == (200, body)


async def test_the_other_documented_bodies_are_taken(tmp_path):
    billing = {
        "action_id": "billing-op77",
        "action_type": "create_billing",
        "description": "Create Stripe subscription",
        "context": {"operation": "create_subscription", "amount": 29.99},
        "run_id": "wf_abc123",
        "timeout_seconds": 7200,
    }
    bare = {"action_id": "d-1", "action_type": "deploy", "description": "Deploy"}
    async with open_desk(tmp_path) as (_, client):
        for body in (billing, bare):
            created = await client.post(f"{AT}/", json=body)
            assert created.status_code == 201, created.text
            assert created.json()["requested_by"] == "agent"


async def test_the_same_action_asked_again_is_the_same_approval(tmp_path):
    async with open_desk(tmp_path) as (service, client):
        first = await ask(client)
        again = await client.post(f"{AT}/", json=ASKED)
        assert (again.status_code, again.json()) == (200, first)
        assert len(await service.hitl.list_requests()) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"context": {"platform": "netlify"}},
        {"action_type": "delete"},
        {"description": "Deploy something else"},
        {"requested_by": "another-worker"},
        {"run_id": "wf_other"},
    ],
)
async def test_another_action_under_the_same_id_is_409(tmp_path, change):
    async with open_desk(tmp_path) as (_, client):
        first = await ask(client)
        other = await client.post(f"{AT}/", json=ASKED | change)
        assert (other.status_code, other.json()["current_status"]) == (409, "PENDING")
        assert "was used for another action" in other.json()["detail"]
        assert (await client.get(f"{AT}/{ASKED['action_id']}")).json() == first


@pytest.mark.parametrize("action_id", ["deploy:vercel 1", "é", "x" * 200, "a..b", "déploy%1"])
async def test_any_id_is_the_callers_to_choose(tmp_path, action_id):
    async with open_desk(tmp_path) as (_, client):
        body = await ask(client, action_id=action_id)
        assert body["action_id"] == action_id
        again = await client.post(f"{AT}/", json=ASKED | {"action_id": action_id})
        assert (again.status_code, again.json()) == (200, body)
        path = action_id.replace("%", "%25")
        assert (await client.get(f"{AT}/{path}")).json() == body
        decided = await client.post(f"{AT}/{path}/decide", json=APPROVED)
        assert decided.json()["status"] == "APPROVED"


@pytest.mark.parametrize(("approved", "status"), [(True, "APPROVED"), (False, "REJECTED")])
async def test_a_decision_is_shown_with_its_reason_and_accepted_twice(tmp_path, approved, status):
    async with open_desk(tmp_path) as (_, client):
        id = (await ask(client))["action_id"]
        for slash in ("", "/"):
            done = await client.post(
                f"{AT}/{id}/decide{slash}", json=APPROVED | {"approved": approved}
            )
            body = done.json()
            assert (done.status_code, set(body), body["status"]) == (200, KEYS, status)
            assert body["decided_by"] == "admin@example.com"
            assert body["reason"] == "Deployment reviewed and approved"
            assert WHOLE_SECONDS.fullmatch(body["decided_at"])
        other = await client.post(f"{AT}/{id}/decide", json=APPROVED | {"approved": not approved})
        assert (other.status_code, other.json()["current_status"]) == (409, status)


async def test_a_passed_deadline_is_expired_at_the_first_look(tmp_path):
    clock = now_clock()
    async with open_desk(tmp_path, clock=clock) as (_, client):
        id = (await ask(client))["action_id"]
        clock.jump(3600)
        assert (await client.get(f"{AT}/{id}")).json()["status"] == "EXPIRED"
        assert (await client.get(f"{AT}/")).json() == []
        late = await client.post(f"{AT}/{id}/decide", json=APPROVED)
        assert (late.status_code, late.json()["current_status"]) == (409, "EXPIRED")


@pytest.mark.parametrize("slash", ["", "/"])
async def test_cleaning_up_records_what_is_over(tmp_path, slash):
    clock = now_clock()
    async with open_desk(tmp_path, clock=clock) as (service, client):
        id = (await ask(client, timeout_seconds=60))["action_id"]
        await ask(client, action_id="later")
        clock.jump(60)
        done = await client.post(f"{AT}/cleanup{slash}")
        assert (done.status_code, done.json()) == (200, {"cleaned_up": 1})
        assert (await service.hitl.get(id)).status == "expired"
        assert (await client.post(f"{AT}/cleanup")).json() == {"cleaned_up": 0}


@pytest.mark.parametrize("slash", ["", "/"])
async def test_a_request_is_cancelled_with_its_reason(tmp_path, slash):
    async with open_desk(tmp_path) as (_, client):
        id = (await ask(client))["action_id"]
        done = await client.post(f"{AT}/{id}/cancel{slash}?reason=Workflow+cancelled")
        body = done.json()
        assert (done.status_code, body["status"]) == (200, "CANCELLED")
        assert body["reason"] == "Workflow cancelled"
        assert (await client.post(f"{AT}/{id}/cancel")).status_code == 200
        late = await client.post(f"{AT}/{id}/decide", json=APPROVED)
        assert (late.status_code, late.json()["current_status"]) == (409, "CANCELLED")


@pytest.mark.parametrize("slash", ["", "/"])
async def test_the_list_holds_what_waits_of_one_run(tmp_path, slash):
    async with open_desk(tmp_path) as (_, client):
        await ask(client, action_id="decided")
        await client.post(f"{AT}/decided/decide", json=APPROVED)
        await ask(client, action_id="elsewhere", run_id="wf_other")
        older, newer = await ask(client, action_id="older"), await ask(client, action_id="newer")
        found = await client.get(f"{AT}{slash}?run_id=wf_abc123&limit=50")
        assert (found.status_code, found.json()) == (200, [newer, older])
        assert (await client.get(f"{AT}{slash}?run_id=wf_abc123&limit=1")).json() == [newer]
        assert len((await client.get(f"{AT}/")).json()) == 3


async def test_an_unknown_approval_is_404(tmp_path):
    async with open_desk(tmp_path) as (_, client):
        for method, path, body in (
            ("GET", "", None), ("POST", "/decide", APPROVED), ("POST", "/cancel", None),
        ):  # fmt: skip
            missed = await client.request(method, f"{AT}/none{path}", json=body)
            assert (missed.status_code, missed.json()) == (404, {"detail": "Approval not found"})


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/", {"action_id": "x", "action_type": "deploy"}, "description"),
        ("/", ASKED | {"timeout_seconds": -1}, "timeout_seconds"),
        ("/", ASKED | {"action_id": ""}, "action_id"),
        ("/", ASKED | {"action_type": " "}, "action_type"),
        ("/", ASKED | {"action_type": "x" * 201}, "action_type"),
        ("/", ASKED | {"requested_by": "x" * 201}, "requested_by"),
        ("/", ASKED | {"run_id": "x" * 201}, "run_id"),
        ("/x/decide", {"approved": True, "decided_by": "x" * 201}, "decided_by"),
        ("/", ASKED | {"context": {"n": 2**60}}, "context"),
        ("/", ASKED | {"action_id": "appr_1234"}, "action_id"),
        ("/x/decide", {"decided_by": "alice"}, "approved"),
        ("/x/decide", {"approved": "yes", "decided_by": "alice"}, "approved"),
        ("/x/decide", {"approved": True}, "decided_by"),
    ],
)
async def test_a_wrong_field_is_named(tmp_path, path, body, field):
    async with open_desk(tmp_path) as (service, client):
        await ask(client, action_id="x")
        wrong = await client.post(AT + path, json=body)
        assert (wrong.status_code, wrong.json()["detail"][0]["loc"]) == (422, ["body", field])
        assert len(await service.hitl.list_requests()) == 1


async def test_the_policy_is_asked_and_can_only_be_stricter(tmp_path):
    async with open_desk(tmp_path / "a", DENY) as (_, client):
        denied = await client.post(f"{AT}/", json=ASKED)
        assert denied.status_code == 403
        assert denied.json() == {"detail": "the policy forbids this: Never do this"}
    async with open_desk(tmp_path / "b", ALLOW) as (_, client):
        assert (await ask(client))["status"] == "PENDING"


async def test_with_tokens_an_agent_asks_and_withdraws_its_own_and_a_person_decides(tmp_path):
    async with serving(tmp_path / "vault") as service:
        worker, other = service.agent("temporal-worker"), service.agent("other")
        admin = service.reviewer("admin@example.com")
        anybody = await service.client().post(f"{AT}/", json=ASKED)
        assert (anybody.status_code, anybody.headers["www-authenticate"]) == (401, "Bearer")
        assert set(anybody.json()) == {"detail"}
        id = (await ask(worker))["action_id"]
        assert (await other.post(f"{AT}/", json=ASKED)).status_code == 403
        assert (await other.get(f"{AT}/{id}")).status_code == 403
        assert (await other.get(f"{AT}/")).json() == []
        assert (await other.post(f"{AT}/{id}/cancel")).status_code == 403
        assert (await worker.post(f"{AT}/{id}/decide", json=APPROVED)).status_code == 403
        named = await admin.post(f"{AT}/{id}/decide", json=APPROVED | {"decided_by": "bob"})
        assert named.status_code == 403
        assert (await worker.post(f"{AT}/cleanup")).status_code == 403
        operator = service.reviewer("olga", Scope.OPERATE)
        assert (await operator.post(f"{AT}/cleanup")).status_code == 200
        unnamed = {"approved": True, "reason": "fine"}
        decided = (await admin.post(f"{AT}/{id}/decide", json=unnamed)).json()
        assert (decided["status"], decided["decided_by"]) == ("APPROVED", "admin@example.com")
        assert (await worker.post(f"{AT}/{id}/cancel")).json()["status"] == "CANCELLED"


async def test_an_id_of_somebody_elses_says_nothing_of_how_it_stands(tmp_path):
    async with serving(tmp_path / "vault") as service:
        mine, spy, alice = service.agent("bot"), service.agent("spy"), service.reviewer()
        body = {name: ASKED[name] for name in ("action_id", "action_type", "description")}
        assert (await mine.post(AT, json=body)).status_code == 201
        at = f"/api/v1/requests/{ASKED['action_id']}"
        for _ in range(2):
            for changed in ({"context": {"n": 2}}, {"action_type": "x"}):
                hit = await spy.post(AT, json=body | changed)
                assert (hit.status_code, list(hit.json())) == (409, ["detail"]), hit.text
                assert "alice" not in hit.text
            await alice.post(f"{at}/votes", json={"answer": "reject"})
        own = await mine.post(AT, json=body | {"context": {"n": 2}})
        assert own.json()["current_status"] == "REJECTED"


async def test_an_action_id_cannot_take_the_name_of_an_idempotency_key(tmp_path):
    async with open_desk(tmp_path) as (_, client):
        taken = await client.post(AT, json=ASKED | {"action_id": "http:agent:1:K9"})
        assert taken.status_code == 422
        assert taken.json()["detail"][0]["loc"] == ["body", "action_id"]
        assert "Idempotency-Key" in taken.text
