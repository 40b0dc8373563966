"""The rest of the native resource: lists and pages, waiting, checks, repeats, the vault as a whole."""

from __future__ import annotations

import asyncio
import io
import json
import subprocess
import sys
import zipfile

import httpx
import pytest
from server_kit import serving

from hitl_vault.core.access import Scope
from hitl_vault.errors import RequestNotFound

PAYMENT = {"type": "payment", "description": "Pay", "details": {"amount": 1500, "to": "v@x.org"}}
REQUESTS = "/api/v1/requests"


async def ask(agent, headers=None, **more):
    return await agent.post(REQUESTS, json=PAYMENT | more, headers=headers)


async def until(fact, timeout_s=10.0):
    async with asyncio.timeout(timeout_s):
        while not fact():
            await asyncio.sleep(0.005)


# lists


async def test_pages_hold_every_request_once_while_others_ask(tmp_path):
    async with serving(tmp_path / "vault") as service:
        agent = service.agent()
        before = [(await ask(agent, run_id=f"r-{n}")).json()["id"] for n in range(7)]
        read, after = [], None
        while True:
            page = (
                await agent.get(REQUESTS, params={"limit": 2} | ({"after": after} if after else {}))
            ).json()
            read += [one["id"] for one in page["requests"]]
            await asyncio.gather(*(ask(agent) for _ in range(3)))
            after = page["next"]
            if after is None:
                break
        assert read == before[::-1]


async def test_each_filter_leaves_out_the_rest(tmp_path):
    async with serving(tmp_path / "vault") as service:
        agent, alice = service.agent(), service.reviewer()
        pay = (await ask(agent, run_id="run-1")).json()
        ship = (await ask(agent, type="ship", description="Send Ünal's parcel")).json()
        await alice.post(f"{REQUESTS}/{ship['id']}/votes", json={"answer": "reject"})

        async def ids(**params):
            found = await alice.get(REQUESTS, params=params)
            assert found.status_code == 200, found.text
            return [one["id"] for one in found.json()["requests"]]

        both = [ship["id"], pay["id"]]
        assert await ids() == await ids(since="1h") == await ids(requested_by="bot") == both
        assert await ids(status=["pending", "rejected"]) == both
        assert await ids(status="pending") == await ids(run_id="run-1") == [pay["id"]]
        assert await ids(type="ship") == await ids(text="Ünal'S PARCEL") == [ship["id"]]
        assert await ids(text="ünal") == []
        assert await ids(text="v@X.org") == both
        assert await ids(since=ship["created_at"]) == [ship["id"]]
        assert await ids(until=ship["created_at"]) == [pay["id"]]
        assert await ids(until="1h") == await ids(requested_by="nobody") == []


@pytest.mark.parametrize(
    "params",
    [
        {"after": "!"},
        {"after": "MTIz"},
        {"after": "é"},
        {"since": "soon"},
        {"until": "2026-11-21T09:30:12"},
        {"status": "asleep"},
        {"limit": 0},
        {"limit": 501},
        {"text": "x" * 201},
    ],
)
async def test_what_no_list_can_be_asked_for_is_said(tmp_path, params):
    async with serving(tmp_path / "vault") as service:
        found = await service.reviewer().get(REQUESTS, params=params)
        assert (found.status_code, found.json()["code"]) == (422, "invalid"), found.text
        assert next(iter(params)) in found.json()["detail"]


async def test_an_agent_sees_its_own_requests_only(tmp_path):
    """In lists, one by one, and in the problems that a key or an id of another's causes."""
    async with serving(tmp_path / "vault") as service:
        agent, other = service.agent("bot"), service.agent("spy")
        id = (await ask(agent, key="INV-1", id="pay-1")).json()["id"]
        at = f"{REQUESTS}/{id}"
        assert (await other.get(REQUESTS)).json()["requests"] == []
        for path in ("", "/wait?timeout=0", "/events", "/note", "/evidence"):
            assert (await other.get(at + path)).status_code == 403, path
        for path, body in (("verify", {}), ("comments", {"text": "hi"}), ("cancel", {})):
            assert (await other.post(f"{at}/{path}", json=body)).status_code == 403, path
        for hit in ({"key": "INV-1"}, {"id": "pay-1"}, {"id": "PAY-1"}):
            stolen = await other.post(REQUESTS, json=PAYMENT | hit)
            assert (stolen.status_code, stolen.json()["code"]) == (409, "conflict")
            assert "request" not in stolen.json()
        mine = await ask(agent, key="INV-1", details={"amount": 1})
        assert mine.json()["request"]["id"] == id
        assert (
            len((await service.agent("auditor", Scope.READ).get(REQUESTS)).json()["requests"]) == 1
        )


# waiting


async def test_waiting_for_the_outcome_ends_with_the_execution(tmp_path):
    async with serving(tmp_path / "vault") as service:
        agent, alice = service.agent(), service.reviewer()
        at = f"{REQUESTS}/{(await ask(agent)).json()['id']}"
        early = await agent.get(f"{at}/wait", params={"until": "outcome", "timeout": 0})
        assert early.json()["status"] == "pending"
        waiting = asyncio.create_task(agent.get(f"{at}/wait", params={"until": "outcome"}))
        await alice.post(f"{at}/votes", json={"answer": "approve"})
        await agent.post(f"{at}/claim", json={"claim_id": "c"})
        assert not waiting.done()
        await agent.post(f"{at}/finish", json={"claim_id": "c", "status": "executed"})
        assert (await waiting).json()["status"] == "executed"


async def test_a_client_that_disconnects_leaves_no_task_behind(tmp_path):
    async with serving(tmp_path / "vault") as service:
        agent = service.agent()
        id = (await ask(agent)).json()["id"]
        ledger = service.hitl._parts.ledger
        before = len(asyncio.all_tasks())
        for what in ("decision", "outcome"):
            async with httpx.AsyncClient(base_url=service.url, headers=agent.headers) as client:
                waiting = asyncio.create_task(
                    client.get(f"{REQUESTS}/{id}/wait", params={"until": what, "timeout": 50})
                )
                await until(lambda: ledger._waiters)
                waiting.cancel()
                await asyncio.gather(waiting, return_exceptions=True)
            await until(lambda: not ledger._waiters)
        await until(lambda: len(asyncio.all_tasks()) <= before)


# checks


async def test_verify_says_why_an_approval_is_not_good_to_be_executed(tmp_path):
    async with serving(tmp_path / "vault") as service:
        agent, alice = service.agent(), service.reviewer()
        asked = (await ask(agent)).json()
        at = f"{REQUESTS}/{asked['id']}"

        async def checked(**body):
            found = await agent.post(f"{at}/verify", json=body)
            assert found.status_code == 200, found.text
            assert found.json()["valid"] is not bool(found.json()["why"])
            return found.json()["why"]

        assert "not approved yet" in await checked()
        await alice.post(f"{at}/votes", json={"answer": "approve"})
        assert await checked(details=PAYMENT["details"]) == ""
        assert await checked(payload_sha256=asked["payload_sha256"]) == ""
        assert "not what was approved" in await checked(details={"amount": 1501, "to": "v@x.org"})
        await agent.post(f"{at}/claim", json={"claim_id": "mine"})
        assert await checked(claim_id="mine") == ""
        assert "another claim" in await checked(claim_id="yours")
        nothing = await agent.post(f"{REQUESTS}/nothing/verify", json={})
        assert (nothing.status_code, nothing.json()["code"]) == (404, "not_found")


# repeats


async def test_an_idempotency_key_is_one_request_and_its_callers_own(tmp_path):
    """Repeated, also with a renewed token: the same; with another body: a conflict; another
    caller's, also a reviewer's of the same name: another request.
    """
    async with serving(tmp_path / "vault") as service:
        agent, renewed, other = service.agent("bot"), service.agent("bot"), service.agent("spy")
        namesake = service.reviewer("bot", Scope.ASK, Scope.READ)
        key = {"Idempotency-Key": "k-1"}
        first, again = await ask(agent, key), await ask(agent, key)
        assert (first.status_code, again.status_code) == (201, 200)
        assert first.json() == again.json()
        assert (await ask(renewed, key)).json() == first.json()
        changed = await ask(agent, key, details={"amount": 2})
        assert (changed.status_code, changed.json()["code"]) == (409, "conflict")
        for client in (namesake, other):
            separate = await ask(client, key)
            assert separate.status_code == 201
            assert separate.json()["id"] != first.json()["id"]
        stolen = await other.post(REQUESTS, json=PAYMENT | {"key": first.json()["key"]})
        assert (stolen.status_code, stolen.json()["code"]) == (422, "invalid")
        doubled = await ask(agent, key, key="INV-1")
        assert doubled.status_code == 422
        for wrong in ("", "a b", "x" * 129):
            assert (await ask(agent, {"Idempotency-Key": wrong})).status_code == 422


async def test_many_repeats_at_once_are_one_request(tmp_path):
    async with serving(tmp_path / "vault") as service:
        agent = service.agent()
        asked = await asyncio.gather(*(ask(agent, {"Idempotency-Key": "k"}) for _ in range(10)))
        assert len({one.json()["id"] for one in asked}) == 1
        assert len(await service.hitl.list_requests()) == 1


async def test_a_repeated_remark_vote_and_withdrawal_change_nothing(tmp_path):
    async with serving(tmp_path / "vault") as service:
        agent, alice = service.agent(), service.reviewer()
        at = f"{REQUESTS}/{(await ask(agent)).json()['id']}"
        key = {"Idempotency-Key": "k"}
        said = [
            (await agent.post(f"{at}/comments", json={"text": "look"}, headers=key)).json()
            for _ in range(2)
        ]
        assert said[0] == said[1]
        assert said[0]["comments"][0]["author"] == "bot"
        other = await agent.post(f"{at}/comments", json={"text": "else"}, headers=key)
        assert (other.status_code, other.json()["code"]) == (409, "conflict")
        mine = await alice.post(f"{at}/comments", json={"text": "mine"}, headers=key)
        assert [one["author"] for one in mine.json()["comments"]] == ["bot", "alice"]
        votes = [
            (await alice.post(f"{at}/votes", json={"answer": "approve"}, headers=key)).json()
            for _ in range(2)
        ]
        assert votes[0] == votes[1]
        contrary = await alice.post(f"{at}/votes", json={"answer": "reject"}, headers=key)
        assert (contrary.status_code, contrary.json()["request"]["status"]) == (409, "approved")
        gone = [
            (await agent.post(f"{at}/cancel", json={"reason": "paid"}, headers=key)).json()
            for _ in range(2)
        ]
        assert gone[0] == gone[1]
        assert (gone[0]["status"], gone[0]["reason"]) == ("cancelled", "paid")


async def test_a_repeated_vote_does_not_spend_its_code_twice(tmp_path):
    """Without the key a spent code is refused, and that is on record; with it, it is the answer."""
    async with serving(tmp_path / "vault") as service:
        agent, alice = service.agent(), service.reviewer()
        id = (await ask(agent)).json()["id"]
        await service.hitl.send_code(id, to="alice")
        issued = [one for one in await service.hitl.history(id) if one.event.kind == "code_issued"]
        body = {"answer": "approve", "code": service.hitl.code_for(issued[0].event)}
        at = f"{REQUESTS}/{id}/votes"
        for _ in range(2):
            voted = await alice.post(at, json=body, headers={"Idempotency-Key": "k"})
            assert (voted.status_code, voted.json()["status"]) == (200, "approved"), voted.text
        events = (await alice.get(f"{REQUESTS}/{id}/events")).json()["events"]
        assert [one["kind"] for one in events].count("refused") == 0


# one request, seen otherwise


async def test_events_note_and_evidence_of_a_request(tmp_path):
    async with serving(tmp_path / "vault") as service:
        agent, alice = service.agent(), service.reviewer()
        id = (await ask(agent)).json()["id"]
        at = f"{REQUESTS}/{id}"
        await alice.post(f"{at}/votes", json={"answer": "approve"})
        events = (await agent.get(f"{at}/events")).json()["events"]
        assert [one["kind"] for one in events] == ["requested", "voted", "approved"]
        assert [one["seq"] for one in events] == sorted(one["seq"] for one in events)
        note = await agent.get(f"{at}/note")
        assert note.headers["content-type"].startswith("text/markdown")
        assert "v@x.org" in note.text.replace("\\", "")
        found = await alice.get(f"{at}/evidence")
        assert found.headers["content-type"] == "application/zip"
        with pytest.raises(RequestNotFound):
            await service.hitl.evidence("pay-none")
        with zipfile.ZipFile(io.BytesIO(found.content)) as bundle:
            bundle.extractall(tmp_path / "evidence")
        done = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "check.py"],
            cwd=tmp_path / "evidence",
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode in {0, 3}, done.stdout + done.stderr


async def test_a_note_shows_nothing_that_was_typed_into_it(tmp_path):
    """What somebody types into a note, a code at worst, is not for whoever reads it here."""
    async with serving(tmp_path / "vault") as service:
        agent = service.agent()
        id = (await ask(agent)).json()["id"]
        path = service.root / "Pending_Approval" / f"approval_{id}.md"
        written = path.read_text()
        path.write_text(written + "\n4821 9375\n")
        assert (await agent.get(f"{REQUESTS}/{id}/note")).text == written


# the vault as a whole


async def test_the_policy_is_asked_without_asking_a_person(tmp_path):
    async with serving(tmp_path / "vault") as service:
        agent, alice = service.agent(), service.reviewer()
        body = {"type": "payment", "details": PAYMENT["details"]}
        verdict = (await agent.post("/api/v1/policy/evaluate", json=body)).json()
        assert verdict["effect"] in {"allow", "ask", "deny"}
        assert verdict["reasons"] and verdict["requirement"]["stages"]
        stolen = await agent.post("/api/v1/policy/evaluate", json=body | {"requested_by": "boss"})
        assert stolen.status_code == 403
        as_other = await alice.post("/api/v1/policy/evaluate", json=body | {"requested_by": "bot"})
        assert as_other.json()["policy_sha256"] == verdict["policy_sha256"]
        assert await service.hitl.list_requests() == []
        assert (await agent.get("/api/v1/policy")).status_code == 403
        policy = (await alice.get("/api/v1/policy")).json()
        assert policy["sha256"] == verdict["policy_sha256"]
        assert policy["text"] == (service.root / policy["name"]).read_text()
        assert policy["problem"] is None
        (service.root / policy["name"]).write_text("```yaml\ndefault: [\n```\n")
        async with asyncio.timeout(20):
            while (now := (await alice.get("/api/v1/policy")).json())["problem"] is None:
                await asyncio.sleep(0.05)
        assert now | {"problem": None} == policy


async def test_figures_alerts_and_the_chain_are_those_of_the_command_line(tmp_path):
    async with serving(tmp_path / "vault", {"alert_pending": 0}) as service:
        agent, alice = service.agent(), service.reviewer()
        olga = service.reviewer("olga", Scope.OPERATE)
        file = service.root / ".hitl" / "config.toml"
        file.write_text(f"alert_pending = 0\n{file.read_text()}")
        ids = [(await ask(agent)).json()["id"] for _ in range(3)]
        await alice.post(f"{REQUESTS}/{ids[0]}/votes", json={"answer": "approve"})

        async def cli(*command, code=0):
            done = await asyncio.to_thread(
                subprocess.run,
                [sys.executable, "-m", "hitl_vault", *command, "--json"],
                cwd=service.root,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == code, done.stderr
            return json.loads(done.stdout)

        def timeless(figures):
            figures["pending"].pop("oldest_s")
            return figures

        figures = (await alice.get("/api/v1/stats", params={"since": "1d"})).json()
        assert timeless(figures) == timeless(await cli("stats", "--since", "1d"))
        assert figures["by_status"] == {"pending": 2, "approved": 1}
        firing = (await alice.get("/api/v1/alerts")).json()
        assert firing == await cli("alerts", code=11)
        assert [one["name"] for one in firing] == ["pending"]
        proved = (await olga.get("/api/v1/audit/verify")).json()
        assert proved == await cli("audit", "verify")
        assert proved["ok"]
        head = (await olga.get("/api/v1/audit/head")).json()
        assert (head["seq"], head["hash"], head["vault"]) == (
            proved["events"],
            proved["head"],
            proved["vault"],
        )
        for path in ("stats", "alerts", "policy"):
            assert (await agent.get(f"/api/v1/{path}")).status_code == 403
        for path in ("verify", "head"):
            assert (await alice.get(f"/api/v1/audit/{path}")).status_code == 403


async def test_a_broken_chain_is_told_as_such(tmp_path):
    import sqlite3
    from contextlib import closing

    async with serving(tmp_path / "vault") as service:
        agent, olga = service.agent(), service.reviewer("olga", Scope.OPERATE)
        await ask(agent)
        with closing(sqlite3.connect(service.root / ".hitl" / "ledger.db")) as ledger:
            ledger.execute(
                "UPDATE events SET body = replace(CAST(body AS TEXT), 'bot', 'bad') WHERE seq > 1"
            )
            ledger.commit()
        found = (await olga.get("/api/v1/audit/verify")).json()
        assert (found["ok"], found["seq"] > 0) == (False, True)


# bodies that are none


@pytest.mark.parametrize(
    ("content", "type"),
    [
        (b"", "application/json"),
        (b"{", "application/json"),
        (b"null", "application/json"),
        (b"[]", "application/json"),
        (b"\xff\xfe", "application/json"),
        (b'{"type": "pay"}', "text/plain"),
        (b"type=pay", "application/x-www-form-urlencoded"),
        (b'{"type": "pay", "details": {"n": NaN}}', "application/json"),
        (b'{"type": "pay", "details": {"n": 1e999}}', "application/json"),
        (b'{"type": "pay", "details": {"n": 9007199254740993}}', "application/json"),
        (b'{"type": "pay", "details": {"n": ' + b"9" * 5000 + b"}}", "application/json"),
        (b'{"type": "pay", "details": ' + b'{"a":' * 500 + b"1" + b"}" * 501, "application/json"),
        (b'{"type": "pay", "details": ' + b"[" * 100_000, "application/json"),
        (b'{"type": "\\ud800"}', "application/json"),
        (b'{"type": "pay", "details": {"a": "\\udfff"}}', "application/json"),
        (b'{"type": "pay", "details": {"\\ud800": 1}}', "application/json"),
        (b'{"type": "pay", "\\ud800": 1}', "application/json"),
        (b'{"type": "pay", "id": "a\\u0000b"}', "application/json"),
        (b'{"type": "pay", "timeout": 1e400}', "application/json"),
        (b'{"type": "pay", "timeout": -1}', "application/json"),
        (b'{"type": 7}', "application/json"),
        (b'{"type": "pay", "detials": {}}', "application/json"),
        (b'{"type": "pay", "key": ""}', "application/json"),
    ],
)
async def test_a_body_that_is_none_is_refused_by_name(tmp_path, content, type):
    async with serving(tmp_path / "vault") as service:
        agent = service.agent()
        found = await agent.post(REQUESTS, content=content, headers={"Content-Type": type})
        assert found.status_code in {400, 422}, found.text
        assert found.headers["content-type"] == "application/problem+json"
        assert found.json()["detail"]
        assert await service.hitl.list_requests() == []


@pytest.mark.parametrize("id", ["%00", "%ED%A0%80", "%FF", "..%5C", "é", "a" * 3000, "%2E%2E%2Fx"])
async def test_an_id_that_is_none_is_not_found(tmp_path, id):
    async with serving(tmp_path / "vault") as service:
        alice = service.reviewer("alice", *Scope)
        for path in ("", "/wait", "/events", "/note", "/evidence"):
            found = await alice.get(f"{REQUESTS}/{id}{path}")
            assert (found.status_code, found.json()["code"]) == (404, "not_found"), found.text


async def test_a_description_is_bounded_over_http_on_every_way_of_asking(tmp_path):
    """All of them stand in every list; who asks in the same process may say more."""
    async with serving(tmp_path / "vault") as service:
        agent, long = service.agent("bot"), "d" * 65_537
        for path, body in (
            (REQUESTS, {"type": "x", "description": long}),
            ("/api/v1/approvals", {"action_id": "a", "action_type": "x", "description": long}),
            ("/api/v1/approvals", {"agent": "bot", "action": "x", "reason": long}),
            ("/workflows", {"action": long, "requested_by": "bot", "context": {}}),
        ):
            refused = await agent.post(path, json=body)
            assert refused.status_code == 422, (path, refused.text)
            assert "65,536" in refused.text
        assert (await agent.post(REQUESTS, json={"type": "x", "description": long[1:]})).is_success
        await service.hitl.request_approval("x", "d" * 1_000_000, {}, requested_by="bot")


async def test_a_token_that_may_only_vote_reads_no_request_by_a_remark(tmp_path):
    async with serving(tmp_path / "vault") as service:
        id = (await ask(service.agent("bot"))).json()["id"]
        blind, alice = service.reviewer("eve", Scope.VOTE), service.reviewer("alice")
        at = f"{REQUESTS}/{id}/comments"
        told = await blind.post(at, json={"text": "hm"})
        assert told.status_code == 403, told.text
        assert "details" not in told.text
        assert (await alice.post(at, json={"text": "hm"})).is_success


async def test_a_page_of_large_requests_ends_before_it_is_too_large(tmp_path):
    """And the pages together hold every request once, in order, whatever the limit says."""
    async with serving(tmp_path / "vault") as service:
        agent = service.agent("bot")
        for number in range(23):
            body = {"id": f"r{number}", "type": "x", "details": {"t": "x" * 250_000}}
            assert (await agent.post(REQUESTS, json=body)).status_code == 201
        pages, after = [], {}
        while not pages or after["after"]:
            found = await agent.get(REQUESTS, params={"limit": 500} | after)
            assert len(found.content) < 4_100_000
            pages.append([one["id"] for one in found.json()["requests"]])
            after = {"after": found.json()["next"]}
        assert len(pages) > 1
        assert [id for ids in pages for id in ids] == [f"r{n}" for n in reversed(range(23))]


async def test_a_request_larger_than_a_page_is_a_page(tmp_path, monkeypatch):
    monkeypatch.setattr("hitl_vault.server.batches.MAX_PAGE_BYTES", 10)
    async with serving(tmp_path / "vault") as service:
        agent = service.agent("bot")
        ids = [(await ask(agent, id=f"r{number}")).json()["id"] for number in range(2)]
        first = (await agent.get(REQUESTS)).json()
        second = (await agent.get(REQUESTS, params={"after": first["next"]})).json()
        assert [one["id"] for one in first["requests"] + second["requests"]] == ids[::-1]
        assert second["next"] is None


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b'{"type": "pay", oops}', "body: it is no JSON (Expecting property name"),
        (b'{"type": "pay", oops}', ") at character 16"),
        (b'{"type": "a", "type": "b"}', "body: the key 'type' stands twice"),
        (b'{"type": "a", "details": {"n": 1, "n": 2}}', "body: the key 'n' stands twice"),
        (b'{"type": "a", "details": {"n": NaN}}', "body: NaN is not a number"),
        (b'{"type": "\xff"}', "body: not JSON that can be held exactly"),
    ],
)
async def test_a_body_that_could_be_read_in_two_ways_is_refused_in_words(tmp_path, body, says):
    async with serving(tmp_path / "vault") as service:
        agent = service.agent("bot")
        found = await agent.post(
            REQUESTS, content=body, headers={"Content-Type": "application/json"}
        )
        assert (found.status_code, found.json()["code"]) == (422, "invalid"), found.text
        assert says in found.json()["detail"]
        assert not await service.hitl.list_requests()
