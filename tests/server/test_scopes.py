"""What a token's scopes keep from its holder: no answer shows a request that a look would not."""

from __future__ import annotations

import pytest
from server_kit import serving

from hitl_vault.core.access import Scope

SECRET = "IBAN77"
ASKED = {"id": "r1", "type": "pay", "details": {"to": SECRET, "workflow_id": "wf1"}}
AT = "/api/v1/requests/r1"
BLIND = [(Scope.VOTE,), (Scope.OPERATE,), (Scope.VOTE, Scope.OPERATE)]
STREAMS = {"/api/v1/events", "/stream/sse"}
BODIES = (
    {"answer": "reject"},
    {"answer": "reject", "payload_sha256": "0" * 64},
    {"answer": "edit"},
    {"approved": False, "decided_by": "vera"},
    {"decision": "rejected", "approver": "vera", "signature": "aa"},
    {"reviewed_by": "vera"},
    {"text": "x"},
    {"claim_id": "c"},
    {"claim_id": "c", "status": "failed"},
    {"status": "executed"},
    {"reason": "x"},
    {"workflow_id": "wf1", "approval_id": "r1", "approved": False},
    {"signature": "aa"},
    {},
)


async def calls(client, spec):
    """Call every route with every body and return what each answered."""
    told = []
    for path, methods in spec["paths"].items():
        at = path
        for name in ("id", "action_id", "workflow_id", "approval_id"):
            at = at.replace(f"{{{name}}}", "r1")
        if at in STREAMS:
            continue
        for method in set(methods) & {"get", "post"}:
            for body in BODIES if method == "post" else (None,):
                answer = await client.request(method, at, json=body)
                told.append((f"{method} {path} {body}", answer))
    return told


@pytest.mark.parametrize("scopes", BLIND, ids=" ".join)
async def test_who_may_not_look_at_a_request_is_shown_it_by_no_answer(tmp_path, scopes):
    """Nor does anything they send count: whoever answers has seen what."""
    async with serving(tmp_path / "vault") as service:
        bot, vera = service.agent("bot"), service.reviewer("vera", *scopes)
        assert (await bot.post("/api/v1/requests", json=ASKED)).is_success
        spec = (await bot.get("/api/v1/openapi.json")).json()
        before = (await bot.get(AT)).json()
        for status in ("pending", "approved", "executing"):
            told = await calls(vera, spec)
            assert [what for what, answer in told if SECRET in answer.text] == []
            now = (await bot.get(AT)).json()
            assert (now["status"], now["rev"]) == (status, before["rev"])
            if status == "pending":
                await service.hitl.approve("r1", reviewer="alice")
            elif status == "approved":
                assert (await bot.post(f"{AT}/claim", json={"claim_id": "own"})).is_success
            before = (await bot.get(AT)).json()


async def test_an_error_shows_the_request_to_who_may_look_at_it(tmp_path):
    stale = {"answer": "approve", "payload_sha256": "0" * 64}
    async with serving(tmp_path / "vault") as service:
        assert (await service.agent("bot").post("/api/v1/requests", json=ASKED)).is_success
        blind, alice = service.reviewer("vera", Scope.VOTE), service.reviewer("alice")
        shown = await alice.post(f"{AT}/votes", json=stale)
        assert (shown.status_code, shown.json()["request"]["id"]) == (409, "r1")
        refused = await blind.post(f"{AT}/votes", json=stale)
        assert (refused.status_code, "request" in refused.json()) == (403, False)
        assert "may not read it" in refused.json()["detail"]
