"""Clients that decide at /api/v1/approvals/decision work here as they do there."""

from __future__ import annotations

import json

import pytest
from compat_kit import EDIT, JSON, TWO, WHOLE_SECONDS, now_clock, open_desk
from server_kit import serving

AT = "/api/v1/approvals"
DETAILS = {
    "workflow_id": "wf-7",
    "user_id": "u-1",
    "session_id": "s-1",
    "query": "Clean up the old servers",
    "proposed_action": "terminate i-abc123",
    "reason": "Complexity 0.9",
}
TRACED = {
    "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    "tracestate": "a=b",
    "X-Request-ID": "r-1",
    "X-Workflow-ID": "wf-7",
    "Idempotency-Key": "k-1",
}
ANSWER = {"status", "success", "message", "workflow_id", "run_id", "approval_id"}
LISTED = {
    "approval_id", "workflow_id", "query", "proposed_action", "reason", "requested_at", "metadata",
}  # fmt: skip


async def ask(service, run_id="", **changes):
    request = await service.hitl.request_approval(
        "terminate", "Terminate one server", DETAILS | changes, requested_by="bot", run_id=run_id
    )
    return request.id


def said(id, **more):
    return {"workflow_id": "wf-7", "approval_id": id, "approved": True} | more


async def test_a_decision_with_every_field_is_sent(tmp_path):
    async with open_desk(tmp_path) as (service, client):
        id = await ask(service, run_id="run-1")
        body = said(id, run_id="run-1", feedback="Looks right", approved_by="alice")
        sent = await client.post(f"{AT}/decision", json=body, headers=TRACED)
        assert (sent.status_code, set(sent.json())) == (200, ANSWER)
        assert sent.json() == {
            "status": "sent",
            "success": True,
            "message": "the decision is on record; the approval is approved",
            "workflow_id": "wf-7",
            "run_id": "run-1",
            "approval_id": id,
        }
        request = await service.hitl.get(id)
        assert (request.status, request.reason, request.reviewers) == (
            "approved", "Looks right", ("alice",),
        )  # fmt: skip


async def test_the_required_fields_are_enough_with_a_token_that_says_who_decides(tmp_path):
    async with serving(tmp_path / "vault") as service:
        id = await ask(service)
        alice = service.reviewer("alice")
        sent = await alice.post(f"{AT}/decision/", json=said(id, approved=False, feedback=None))
        assert (sent.status_code, sent.json()["run_id"]) == (200, "")
        request = await service.hitl.get(id)
        assert (request.status, request.reviewers) == ("rejected", ("alice",))
        assert request.votes[0].assurance == "authenticated"


async def test_the_same_decision_again_is_sent_and_another_is_409(tmp_path):
    async with open_desk(tmp_path) as (service, client):
        id = await ask(service)
        for approved, status in ((True, 200), (True, 200), (False, 409)):
            body = said(id, approved=approved, approved_by="alice")
            sent = await client.post(f"{AT}/decision", json=body)
            assert sent.status_code == status
        assert set(sent.json()) == {"error"}


async def test_a_decision_after_the_deadline_is_409(tmp_path):
    clock = now_clock()
    async with open_desk(tmp_path, clock=clock) as (service, client):
        id = await ask(service)
        clock.jump(3600)
        late = await client.post(f"{AT}/decision", json=said(id, approved_by="alice"))
        assert (late.status_code, (await service.hitl.get(id)).status) == (409, "expired")


async def test_one_of_two_decisions_is_sent_and_the_approval_still_waits(tmp_path):
    async with open_desk(tmp_path, TWO) as (service, client):
        id = await ask(service)
        sent = await client.post(f"{AT}/decision", json=said(id, approved_by="alice"))
        assert sent.json()["message"].endswith("the approval is pending")


@pytest.mark.parametrize(
    "modified", ["stop i-abc123", json.dumps(DETAILS | {"proposed_action": "stop i-abc123"})]
)
async def test_a_modified_action_is_approved_with_its_changes(tmp_path, modified):
    async with open_desk(tmp_path, EDIT) as (service, client):
        id = await ask(service)
        body = said(id, approved_by="alice", modified_action=modified)
        for _ in range(2):
            sent = await client.post(f"{AT}/decision", json=body)
            assert (sent.status_code, sent.json()["status"]) == (200, "sent")
        request = await service.hitl.get(id)
        assert request.status == "approved"
        assert request.details == DETAILS | {"proposed_action": "stop i-abc123"}


@pytest.mark.parametrize(
    ("modified", "approved"),
    [('{"proposed_action": ', True), ('{"other": 1}', True), ("[]", True), ("stop it", False)],
)
async def test_a_modified_action_that_cannot_be_one_is_400_and_nothing_is_decided(
    tmp_path, modified, approved
):
    async with open_desk(tmp_path, EDIT) as (service, client):
        id = await ask(service)
        body = said(id, approved=approved, approved_by="alice", modified_action=modified)
        wrong = await client.post(f"{AT}/decision", json=body)
        assert (wrong.status_code, set(wrong.json())) == (400, {"error"})
        assert "modified_action" in wrong.json()["error"]
        assert (await service.hitl.get(id)).votes == ()


async def test_a_text_cannot_replace_a_proposed_action_that_is_not_there(tmp_path):
    async with open_desk(tmp_path, EDIT) as (service, client):
        request = await service.hitl.request_approval("terminate", "x", {"n": 1}, run_id="wf-7")
        body = said(request.id, approved_by="alice", modified_action="stop it")
        wrong = await client.post(f"{AT}/decision", json=body)
        assert wrong.status_code == 400
        assert "JSON object" in wrong.json()["error"]


async def test_changes_that_the_rule_does_not_allow_are_403(tmp_path):
    async with open_desk(tmp_path) as (service, client):
        id = await ask(service)
        body = said(id, approved_by="alice", modified_action="stop it")
        refused = await client.post(f"{AT}/decision", json=body)
        assert refused.status_code == 403
        assert "'edit' is not an answer" in refused.json()["error"]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("{", "body: it is no JSON"),
        ("[]", "should be a valid dictionary"),
        ('{"approval_id": "x", "approved": true}', "workflow_id"),
        ('{"workflow_id": "wf-7", "approved": true}', "approval_id"),
        ('{"workflow_id": "wf-7", "approval_id": "x"}', "approved"),
        ('{"workflow_id": "", "approval_id": "x", "approved": true}', "workflow_id"),
        ('{"workflow_id": "wf-7", "approval_id": "x", "approved": "true"}', "approved"),
    ],
)
async def test_what_cannot_be_read_is_400_and_names_the_field(tmp_path, text, named):
    async with open_desk(tmp_path) as (_, client):
        wrong = await client.post(f"{AT}/decision", content=text, headers=JSON)
        assert (wrong.status_code, set(wrong.json())) == (400, {"error"})
        assert named in wrong.json()["error"]


async def test_an_unknown_workflow_run_or_approval_is_404(tmp_path):
    async with open_desk(tmp_path) as (service, client):
        id = await ask(service, run_id="run-1")
        for wrong in (
            said("none"),
            said(id, workflow_id="wf-8"),
            said(id, run_id="run-2"),
        ):
            missed = await client.post(f"{AT}/decision", json=wrong | {"approved_by": "alice"})
            assert (missed.status_code, set(missed.json())) == (404, {"error"})
        assert (await service.hitl.get(id)).status == "pending"


async def test_nobody_decides_without_saying_who_they_are(tmp_path):
    async with open_desk(tmp_path / "a") as (service, client):
        id = await ask(service)
        unnamed = await client.post(f"{AT}/decision", json=said(id))
        assert (unnamed.status_code, set(unnamed.json())) == (401, {"error"})
    async with serving(tmp_path / "b" / "vault") as service:
        id = await ask(service)
        for client, status in (
            (service.client(), 401),
            (service.client("hitl_0_wrong"), 401),
            (service.agent("bot"), 403),
        ):
            refused = await client.post(f"{AT}/decision", json=said(id, approved_by="bot"))
            assert (refused.status_code, set(refused.json())) == (status, {"error"})
        named = await service.reviewer("alice").post(
            f"{AT}/decision", json=said(id, approved_by="bob")
        )
        assert named.status_code == 403
        assert (await service.hitl.get(id)).votes == ()


async def test_a_fault_of_the_service_is_500_and_tells_nothing_of_its_insides(tmp_path):
    async with open_desk(tmp_path) as (service, client):
        id = await ask(service)

        def broken():
            raise OSError(f"{service.root} is gone")

        service.hitl.now = broken
        failed = await client.get(AT)
        assert (failed.status_code, set(failed.json())) == (500, {"error"})
        assert str(service.root) not in failed.text
        assert (await service.hitl.get(id)).status == "pending"


async def test_what_waits_is_listed_with_every_field(tmp_path):
    async with open_desk(tmp_path) as (service, client):
        id = await ask(service, run_id="run-1")
        found = await client.get(AT)
        assert (found.status_code, set(found.json())) == (200, {"approvals"})
        (one,) = found.json()["approvals"]
        assert set(one) == LISTED
        assert WHOLE_SECONDS.fullmatch(one.pop("requested_at"))
        assert one == {
            "approval_id": id,
            "workflow_id": "wf-7",
            "query": "Clean up the old servers",
            "proposed_action": "terminate i-abc123",
            "reason": "Complexity 0.9",
            "metadata": DETAILS,
        }


async def test_an_action_that_says_nothing_of_a_workflow_is_listed_in_its_own_words(tmp_path):
    async with open_desk(tmp_path) as (service, client):
        request = await service.hitl.request_approval("terminate", "Stop it", {"n": 1})
        (one,) = (await client.get(AT)).json()["approvals"]
        assert (one["workflow_id"], one["query"]) == (request.id, "Stop it")
        assert one["proposed_action"] == 'terminate {"n": 1}'
        assert one["reason"] == "Cloud resources are terminated"
        body = {"workflow_id": request.id, "approval_id": request.id, "approved": True}
        sent = await client.post(f"{AT}/decision", json=body | {"approved_by": "alice"})
        assert sent.status_code == 200


async def test_the_list_is_filtered_by_user_and_session_and_paged(tmp_path):
    async with open_desk(tmp_path) as (service, client):
        ids = [
            await ask(service, user_id=user, session_id=session)
            for user, session in (("u-1", "s-1"), ("u-1", "s-2"), ("u-2", "s-1"))
        ]
        newest_first = ids[::-1]
        for query, wanted in {
            "": newest_first,
            "?user_id=u-1": newest_first[1:],
            "?session_id=s-1": [ids[2], ids[0]],
            "?user_id=u-1&session_id=s-1": [ids[0]],
            "?user_id=nobody": [],
            "?user_id=&limit=2": newest_first[:2],
            "?limit=2&offset=2": newest_first[2:],
            "?offset=9": [],
        }.items():
            found = (await client.get(f"{AT}{query}")).json()["approvals"]
            assert [one["approval_id"] for one in found] == wanted, query


async def test_the_list_shows_nobody_what_another_agent_asked(tmp_path):
    async with serving(tmp_path / "vault") as service:
        id = await ask(service)
        for client, wanted in ((service.agent("other"), []), (service.agent("bot"), [id])):
            found = (await client.get(AT)).json()["approvals"]
            assert [one["approval_id"] for one in found] == wanted
        assert (await service.client().get(AT)).status_code == 401


async def test_a_list_reads_what_waits_in_small_batches_and_no_further_than_it_must(
    tmp_path, monkeypatch
):
    async with open_desk(tmp_path) as (service, client):
        for number in range(50):
            await service.hitl.request_approval(
                "x", "", {"user_id": "u" if number % 2 else "v", "n": number}, id=f"r{number}"
            )
        sizes, find = [], service.hitl.list_requests

        async def counted(**wanted):
            sizes.append(wanted["limit"])
            return await find(**wanted)

        monkeypatch.setattr(service.hitl, "list_requests", counted)
        at = "/api/v1/approvals"
        page = await client.get(at, params={"user_id": "u", "limit": 3, "offset": 2})
        ids = [one["approval_id"] for one in page.json()["approvals"]]
        assert (ids, sizes) == (["r45", "r43", "r41"], [20])
        everything = (await client.get(at, params={"user_id": "u", "limit": 500})).json()
        assert [one["approval_id"] for one in everything["approvals"]] == [
            f"r{number}" for number in range(49, 0, -2)
        ]
        assert set(sizes) == {20}
        nobody = await client.get(at, params={"user_id": "w"})
        assert nobody.json() == {"approvals": []}


async def test_a_decision_that_is_no_json_is_said_to_be_none(tmp_path):
    async with open_desk(tmp_path) as (_, client):
        found = await client.post(
            "/api/v1/approvals/decision", content=b'{"a": oops}', headers=JSON
        )
        assert found.status_code == 400
        assert found.json() == {"error": "body: it is no JSON (Expecting value) at character 6"}
