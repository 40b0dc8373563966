"""Clients that ask as agents and answer with an HMAC signature work here as they do there."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from datetime import datetime, timedelta

import pytest
from compat_kit import DENY, EDIT, now_clock, open_desk
from server_kit import serving

from hitl_vault.adapters.proof.hmac import HmacKeys
from hitl_vault.signatures import SignedApproval, approval_signature, check_execution

AT = "/api/v1/approvals"
ASKED = {
    "agent": "knowledge_update",
    "action": "apply",
    "context": {"file": "config/production.yaml", "changes_count": 1500, "risk_score": 85},
    "reason": "Large configuration change for production deployment",
}
KEYS = {
    "id", "status", "requested_by", "requested_at", "expires_at", "agent", "action", "context",
    "reason",
}  # fmt: skip
DECISION = {"decision", "approver", "approved_at", "comment", "signature"}
APPROVER, SECRET = "user@company.com", "prod-secret-abc123-of-this-test"


@pytest.fixture
def secret(monkeypatch):
    monkeypatch.setenv("HMAC_SECRET", SECRET)


def enrol(service, name=APPROVER, key_id="shared", env="HMAC_SECRET"):
    keys = HmacKeys(service.root / ".hitl" / "keys" / "hmac.toml")
    return keys.add(name, key_id, service.hitl.now(), until=None, env=env)


def sign(id, decision, approver, expires_at, secret=SECRET):
    """What the documented client does, step by step."""
    message = f"{id}:{decision}:{approver}:{expires_at}"
    return hmac.new(key=secret.encode(), msg=message.encode(), digestmod=hashlib.sha256).hexdigest()


def decided(asked, decision="approved", approver=APPROVER, **more):
    expires_at = datetime.fromisoformat(asked["expires_at"]).isoformat()
    signature = sign(asked["id"], decision, approver, expires_at)
    return {"decision": decision, "approver": approver, "signature": signature} | more


async def ask(client, **changes):
    created = await client.post(AT, json=ASKED | changes)
    assert created.status_code == 201, created.text
    return created.json()


async def verify(client, asked, signature, **more):
    found = await client.post(f"{AT}/{asked['id']}/verify", json={"signature": signature} | more)
    assert found.status_code == 200
    return found.json()


async def test_a_request_is_answered_with_every_field(tmp_path):
    async with open_desk(tmp_path) as (_, client):
        body = await ask(client)
        assert set(body) == KEYS
        assert body["id"].startswith("appr_")
        assert (body["status"], body["requested_by"]) == ("pending", "agent:knowledge_update")
        assert {name: body[name] for name in ASKED} == ASKED
        times = [datetime.fromisoformat(body[name]) for name in ("requested_at", "expires_at")]
        assert times[1] - times[0] == timedelta(hours=1)
        assert body["expires_at"].endswith("Z")
        shown = (await client.get(f"{AT}/{body['id']}")).json()
        assert shown == body | dict.fromkeys(DECISION)


@pytest.mark.parametrize(("asked_s", "given_s"), [(300, 300), (7200, 1800)])
async def test_a_request_says_when_it_expires_and_a_rule_may_shorten_it(tmp_path, asked_s, given_s):
    async with open_desk(tmp_path) as (_, client):
        body = await ask(
            client,
            agent="inbox_triage",
            action="quarantine",
            context={"email_id": "email_123", "risk_score": 92},
            reason="High-risk email quarantine",
            expires_in_seconds=asked_s,
        )
        times = [datetime.fromisoformat(body[name]) for name in ("requested_at", "expires_at")]
        assert times[1] - times[0] == timedelta(seconds=given_s)


def test_the_documented_formula_is_the_one_of_this_vault_byte_for_byte():
    """The expected digest was made by `openssl dgst -sha256 -hmac`."""
    said = ("appr_abc123", "approved", APPROVER, "2025-10-17T11:30:00+00:00", "your-hmac-secret")
    wanted = "e122343bad40512ad605ec7ae4633aacdd1bf4b9079f94c358eb39c4687a731f"
    assert sign(*said) == approval_signature(*said) == wanted


@pytest.mark.parametrize("decision", ["approved", "rejected"])
async def test_a_signed_decision_is_recorded_with_its_signature(tmp_path, secret, decision):
    async with open_desk(tmp_path) as (service, client):
        enrol(service)
        asked = await ask(client)
        body = decided(asked, decision, comment="Reviewed changes - looks safe")
        done = await client.post(f"{AT}/{asked['id']}/approve", json=body)
        found = done.json()
        assert (done.status_code, set(found)) == (200, {"id", "status"} | DECISION)
        approved_at = found.pop("approved_at")
        assert (approved_at is not None) == (decision == "approved")
        assert found == body | {"id": asked["id"], "status": decision}
        shown = (await client.get(f"{AT}/{asked['id']}")).json()
        assert shown == asked | found | {"approved_at": approved_at}
        vote = (await service.hitl.get(asked["id"])).votes[0]
        assert (vote.assurance, vote.channel) == ("authenticated", "http")


@pytest.mark.parametrize("spelling", ["offset", "zulu", "naive"])
async def test_the_deadline_may_be_signed_in_every_spelling_in_use(tmp_path, secret, spelling):
    async with open_desk(tmp_path) as (service, client):
        enrol(service)
        asked = await ask(client)
        zulu = asked["expires_at"]
        at = {"offset": zulu.replace("Z", "+00:00"), "zulu": zulu, "naive": zulu[:-1]}[spelling]
        signature = sign(asked["id"], "approved", APPROVER, at)
        body = {"decision": "approved", "approver": APPROVER, "signature": signature.upper()}
        done = await client.post(f"{AT}/{asked['id']}/approve", json=body)
        assert (done.status_code, done.json()["signature"]) == (200, signature)
        assert (await verify(client, asked, signature))["valid"] is True
        assert (await service.hitl.get(asked["id"])).refused == 0


@pytest.mark.parametrize(
    "change",
    [
        {"approver": "other@company.com"},
        {"decision": "rejected"},
        {"signature": "0" * 64},
        {"signature": "00"},
        {"id": "another"},
        {"expires_at": "later"},
        {"secret": "another"},
    ],
)
async def test_a_tampered_decision_is_refused_and_recorded(tmp_path, secret, change):
    async with open_desk(tmp_path) as (service, client):
        enrol(service)
        enrol(service, "other@company.com", "theirs", env="")
        asked, another = await ask(client), await ask(client)
        id, expires_at = asked["id"], asked["expires_at"]
        if "id" in change:
            id = another["id"]
        if "expires_at" in change:
            expires_at = "2099-01-01T00:00:00+00:00"
        key = "another-secret-of-this-test" if "secret" in change else SECRET
        body = {"decision": "approved", "approver": APPROVER}
        body["signature"] = sign(id, "approved", APPROVER, expires_at, key)
        body |= {name: change[name] for name in body.keys() & change}
        done = await client.post(f"{AT}/{asked['id']}/approve", json=body)
        assert (done.status_code, done.json()["detail"]) == (403, "Invalid signature")
        request = await service.hitl.get(asked["id"])
        assert (request.status, request.refused) == ("pending", 1)
        honest = await client.post(f"{AT}/{asked['id']}/approve", json=decided(asked))
        assert honest.status_code == 200


async def test_who_has_no_key_cannot_sign_whatever_they_know(tmp_path, secret):
    async with open_desk(tmp_path) as (_, client):
        asked = await ask(client)
        done = await client.post(f"{AT}/{asked['id']}/approve", json=decided(asked))
        assert (done.status_code, done.json()["detail"]) == (403, "Invalid signature")


async def test_an_approval_is_decided_once(tmp_path, secret):
    async with open_desk(tmp_path) as (service, client):
        enrol(service)
        asked = await ask(client)
        path = f"{AT}/{asked['id']}/approve"
        assert (await client.post(path, json=decided(asked))).status_code == 200
        for body in (decided(asked), decided(asked, "rejected")):
            again = await client.post(path, json=body)
            assert (again.status_code, again.json()) == (
                409,
                {"detail": "Approval already decided"},
            )


async def test_of_two_who_decide_at_once_each_hears_how_it_was(tmp_path, secret):
    async with open_desk(tmp_path) as (service, client):
        enrol(service)
        enrol(service, "bob", "bobs")
        asked = await ask(client)
        path = f"{AT}/{asked['id']}/approve"
        bodies = [decided(asked), decided(asked, approver="bob")]
        done = await asyncio.gather(*(client.post(path, json=body) for body in bodies))
        shown = (await client.get(f"{AT}/{asked['id']}")).json()
        for body, one in zip(bodies, done, strict=True):
            theirs = shown["approver"] == body["approver"]
            assert one.status_code == (200 if theirs else 409)


async def test_a_signature_that_comes_too_late_does_not_count(tmp_path, secret):
    clock = now_clock()
    async with open_desk(tmp_path, clock=clock) as (service, client):
        enrol(service)
        asked = await ask(client)
        clock.jump(3600)
        assert (await client.get(f"{AT}/{asked['id']}")).json()["status"] == "expired"
        late = await client.post(f"{AT}/{asked['id']}/approve", json=decided(asked))
        assert (late.status_code, late.json()) == (409, {"detail": "Approval has expired"})


async def test_an_executor_may_go_on_with_what_was_approved(tmp_path, secret):
    async with open_desk(tmp_path) as (service, client):
        enrol(service)
        asked = await ask(client)
        body = decided(asked)
        await client.post(f"{AT}/{asked['id']}/approve", json=body)
        found = await verify(client, asked, body["signature"])
        assert found == {
            "valid": True,
            "approval": {
                "id": asked["id"],
                "status": "approved",
                "decision": "approved",
                "approver": APPROVER,
                "expires_at": asked["expires_at"],
            },
        }
        same = {"agent": "knowledge_update", "action": "apply"}
        assert (await verify(client, asked, body["signature"], **same))["valid"] is True


async def test_the_five_checks_of_an_executor_hold_here_and_at_the_executor(tmp_path, secret):
    clock = now_clock()
    async with open_desk(tmp_path, clock=clock) as (service, client):
        enrol(service)
        missing = await client.post(f"{AT}/appr_none/verify", json={"signature": "00"})
        assert (missing.status_code, missing.json()) == (404, {"detail": "Approval not found"})

        waiting = await ask(client)
        body = decided(waiting)
        early = await verify(client, waiting, body["signature"])
        assert early == {"valid": False, "error": "Approval is pending"}

        no = await ask(client)
        rejection = decided(no, "rejected")
        await client.post(f"{AT}/{no['id']}/approve", json=rejection)
        assert (await verify(client, no, rejection["signature"]))["error"] == "Approval is rejected"

        await client.post(f"{AT}/{waiting['id']}/approve", json=body)
        for forged in ("0" * 64, "", "é", body["signature"][:-1], rejection["signature"]):
            found = await verify(client, waiting, forged)
            assert found == {"valid": False, "error": "Invalid signature"}

        for other in ({"agent": "inbox_triage"}, {"action": "quarantine"}):
            found = await verify(client, waiting, body["signature"], **other)
            assert found["error"] == "Agent/action doesn't match approval"

        shown = (await client.get(f"{AT}/{waiting['id']}")).json()
        held = SignedApproval(
            **{name: shown[name] for name in SignedApproval.__dataclass_fields__}
            | {"expires_at": datetime.fromisoformat(shown["expires_at"])}
        )
        run = {"agent": "knowledge_update", "action": "apply", "secrets": SECRET}
        assert check_execution(held, now=clock.now(), **run) == ""

        clock.jump(3600)
        over = await verify(client, waiting, body["signature"])
        assert over == {"valid": False, "error": "Approval has expired"}
        assert check_execution(held, now=clock.now(), **run) == "it has expired"


async def test_an_approval_that_was_used_is_not_valid_again(tmp_path, secret):
    async with open_desk(tmp_path) as (service, client):
        enrol(service)
        asked = await ask(client)
        body = decided(asked)
        await client.post(f"{AT}/{asked['id']}/approve", json=body)
        async with service.hitl.execution(asked["id"]):
            during = await verify(client, asked, body["signature"])
        after = await verify(client, asked, body["signature"])
        assert during == after == {"valid": False, "error": "Approval is executed"}


async def test_an_approval_that_nobody_signed_is_not_valid(tmp_path):
    async with open_desk(tmp_path) as (service, client):
        asked = await ask(client)
        await service.hitl.approve(asked["id"], reviewer="alice")
        assert (await client.get(f"{AT}/{asked['id']}")).json()["status"] == "approved"
        assert (await verify(client, asked, ""))["error"] == "Invalid signature"


async def test_an_approval_with_changed_details_is_not_valid(tmp_path, secret):
    async with open_desk(tmp_path, EDIT) as (service, client):
        enrol(service)
        asked = await ask(client)
        changed = ASKED["context"] | {"changes_count": 1}
        await service.hitl.approve(asked["id"], reviewer="alice", details=changed)
        found = await verify(client, asked, decided(asked)["signature"])
        assert found == {"valid": False, "error": "Approval is rejected"}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"decision": "maybe"}, "decision"),
        ({"approver": ""}, "approver"),
        ({"approver": "x" * 201}, "approver"),
        ({"approver": "user:admin"}, "approver"),
        ({"signature": "a3f7c2d1e5b8..."}, "signature"),
        ({"signature": None}, "signature"),
    ],
)
async def test_a_wrong_field_of_a_decision_is_named(tmp_path, change, field):
    async with open_desk(tmp_path) as (service, client):
        asked = await ask(client)
        body = decided(asked) | change
        wrong = await client.post(f"{AT}/{asked['id']}/approve", json=body)
        assert (wrong.status_code, wrong.json()["detail"][0]["loc"]) == (422, ["body", field])
        assert (await service.hitl.get(asked["id"])).refused == 0


async def test_an_unknown_approval_is_404(tmp_path):
    async with open_desk(tmp_path) as (_, client):
        body = {"decision": "approved", "approver": APPROVER, "signature": "00"}
        missed = await client.post(f"{AT}/appr_none/approve", json=body)
        assert (missed.status_code, missed.json()) == (404, {"detail": "Approval not found"})


async def test_what_the_policy_forbids_is_403(tmp_path):
    async with open_desk(tmp_path, DENY) as (_, client):
        denied = await client.post(AT, json=ASKED)
        assert denied.status_code == 403
        assert denied.json() == {"detail": "the policy forbids this: Never do this"}


async def test_with_tokens_the_agent_is_the_tokens_and_so_is_the_approver(tmp_path, secret):
    async with serving(tmp_path / "vault") as service:
        enrol(service)
        agent, other = service.agent("knowledge_update"), service.agent("inbox_triage")
        user, bob = service.reviewer("User@company.com"), service.reviewer("bob")
        assert (await other.post(AT, json=ASKED)).status_code == 403
        asked = await ask(agent)
        body, path = decided(asked), f"{AT}/{asked['id']}"
        for client, status in ((service.client(), 401), (agent, 403), (bob, 403)):
            assert (await client.post(f"{path}/approve", json=body)).status_code == status
        assert (await user.post(f"{path}/approve", json=body)).status_code == 200
        assert (await other.post(f"{path}/verify", json=body)).status_code == 403
        assert (await verify(agent, asked, body["signature"]))["valid"] is True
