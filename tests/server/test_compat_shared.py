"""Where two services have a path in common, it is plain which of them answers."""

from __future__ import annotations

import pytest
from compat_kit import open_desk

AT = "/api/v1/approvals"
CHOSEN = {"action_id": "deploy-1", "action_type": "deploy", "description": "Deploy"}
AGENT = {"agent": "knowledge_update", "action": "apply", "context": {}, "reason": "Large"}


@pytest.mark.parametrize("slash", ["", "/"])
async def test_the_body_says_whose_request_it_is(tmp_path, slash):
    async with open_desk(tmp_path) as (_, client):
        chosen = (await client.post(AT + slash, json=CHOSEN)).json()
        agent = (await client.post(AT + slash, json=AGENT)).json()
        assert (chosen["action_id"], chosen["status"]) == ("deploy-1", "PENDING")
        assert (agent["id"][:5], agent["status"]) == ("appr_", "pending")


@pytest.mark.parametrize(
    "body", [CHOSEN | AGENT, CHOSEN | {"agent": "x"}, {}, {"context": {}, "reason": "x"}, [], "x"]
)
async def test_a_body_that_fits_both_or_neither_is_422_and_nothing_is_asked(tmp_path, body):
    async with open_desk(tmp_path) as (service, client):
        wrong = await client.post(AT, json=body)
        assert wrong.status_code == 422
        (problem,) = wrong.json()["detail"]
        assert problem["loc"] == ["body"]
        assert problem["msg"].startswith("give either action_id and action_type, or agent and")
        assert await service.hitl.list_requests() == []


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"action_id": "x", "description": "y"}, "action_type"),
        ({"agent": "x", "reason": "y"}, "action"),
        (AGENT | {"expires_in_seconds": "soon"}, "expires_in_seconds"),
        (CHOSEN | {"timeout_seconds": "soon"}, "timeout_seconds"),
    ],
)
async def test_a_body_that_is_begun_for_one_is_judged_as_that_ones(tmp_path, body, field):
    async with open_desk(tmp_path) as (_, client):
        wrong = await client.post(AT, json=body)
        assert (wrong.status_code, wrong.json()["detail"][0]["loc"]) == (422, ["body", field])


async def test_the_filters_say_whose_list_it_is_and_else_the_slash(tmp_path):
    async with open_desk(tmp_path) as (_, client):
        await client.post(AT, json=CHOSEN)
        for chosen in ("?run_id=", "/?run_id=", "/", "/?limit=5"):
            found = (await client.get(AT + chosen)).json()
            assert [one["action_id"] for one in found] == ["deploy-1"], chosen
        for users in ("", "?limit=5", "?user_id=", "/?session_id=", "/?offset=0"):
            found = (await client.get(AT + users)).json()
            assert [one["approval_id"] for one in found["approvals"]] == ["deploy-1"], users


@pytest.mark.parametrize("query", ["user_id=u", "session_id=s", "offset=0"])
@pytest.mark.parametrize("slash", ["", "/"])
async def test_filters_of_both_are_400(tmp_path, slash, query):
    async with open_desk(tmp_path) as (_, client):
        wrong = await client.get(f"{AT}{slash}?run_id=r&{query}")
        assert (wrong.status_code, set(wrong.json())) == (400, {"error", "detail"})
        assert "not by both" in wrong.json()["error"]


@pytest.mark.parametrize("query", ["limit=0", "limit=501", "limit=x"])
async def test_a_wrong_filter_is_answered_in_the_form_of_whose_list_it_is(tmp_path, query):
    async with open_desk(tmp_path) as (_, client):
        chosen = await client.get(f"{AT}/?{query}")
        assert (chosen.status_code, chosen.json()["detail"][0]["loc"]) == (422, ["query", "limit"])
        users = await client.get(f"{AT}?{query}")
        assert (users.status_code, set(users.json())) == (400, {"error"})
        assert users.json()["error"].startswith("limit: ")


async def test_an_id_says_in_whose_shape_it_is_shown(tmp_path):
    async with open_desk(tmp_path) as (service, client):
        await client.post(AT, json=CHOSEN)
        agent = (await client.post(AT, json=AGENT)).json()["id"]
        native = (await service.hitl.request_approval("read", "Look", {})).id
        for id in ("deploy-1", native):
            for slash in ("", "/"):
                assert (await client.get(f"{AT}/{id}{slash}")).json()["action_id"] == id
        for slash in ("", "/"):
            assert (await client.get(f"{AT}/{agent}{slash}")).json()["id"] == agent
        for missing in ("appr_none", "none"):
            missed = await client.get(f"{AT}/{missing}")
            assert (missed.status_code, missed.json()) == (404, {"detail": "Approval not found"})


async def test_an_approval_of_one_service_is_answered_at_the_door_of_another(tmp_path):
    async with open_desk(tmp_path) as (_, client):
        id = (await client.post(AT, json=AGENT)).json()["id"]
        assert (await client.get(f"/workflows/{id}")).json()["status"] == "PENDING"
        decided = {"approved": False, "decided_by": "alice"}
        assert (await client.post(f"{AT}/{id}/decide", json=decided)).json()["status"] == "REJECTED"
        assert (await client.get(f"{AT}/{id}")).json()["status"] == "rejected"


async def test_the_documentation_has_these_routes_with_their_answers(tmp_path):
    async with open_desk(tmp_path) as (_, client):
        paths = (await client.get("/api/v1/openapi.json")).json()["paths"]
        ours = {
            (method, path): set(route["responses"])
            for path, routes in paths.items()
            for method, route in routes.items()
            if route["tags"] == ["compatibility"]
        }
        always = {"401", "403", "429", "500", "503"}
        assert ours == {
            ("post", "/workflows"): always | {"400", "201", "409", "422"},
            ("get", "/workflows/{workflow_id}"): always | {"200", "404", "422"},
            ("post", "/workflows/{workflow_id}/approve"): always
            | {"200", "400", "404", "409", "422"},
            ("post", "/workflows/{workflow_id}/reject"): always
            | {"200", "400", "404", "409", "422"},
            ("post", AT): always | {"400", "200", "201", "409", "422"},
            ("get", AT): always | {"200", "400", "422"},
            ("get", f"{AT}/{{id}}"): always | {"200", "404", "422"},
            ("post", f"{AT}/cleanup"): always | {"200"},
            ("post", f"{AT}/{{action_id}}/decide"): always | {"200", "400", "404", "409", "422"},
            ("post", f"{AT}/{{action_id}}/cancel"): always | {"200", "404", "409", "422"},
            ("post", f"{AT}/decision"): always | {"200", "400", "404", "409", "422"},
            ("post", f"{AT}/{{id}}/approve"): always | {"200", "400", "404", "409", "422"},
            ("post", f"{AT}/{{id}}/verify"): always | {"200", "400", "404", "422"},
        }
