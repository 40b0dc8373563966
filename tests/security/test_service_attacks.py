"""Attacks on the service: whoever calls, nothing is answered in another's name, and no secret leaks.

Each shows the honest move beside the attack, over a real connection.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from http.cookies import SimpleCookie

import pytest
from itsdangerous import URLSafeSerializer
from server_kit import serving

from hitl_vault.core.access import Scope

PAYMENT = {"type": "payment", "description": "Pay", "details": {"amount": 1500, "to": "v@x.org"}}
REQUESTS = "/api/v1/requests"
CSRF = re.compile(r'name="csrf" value="([0-9a-f]{64})"')


@pytest.fixture
async def service(tmp_path):
    async with serving(tmp_path / "vault") as service:
        yield service


async def asked(service, name="bot"):
    """Ask as an agent; return the request's id."""
    answer = await service.agent(name).post(REQUESTS, json=PAYMENT)
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


async def is_untouched(service, id):
    """Nobody answered, nothing ran."""
    request = await service.hitl.get(id)
    return request.status == "pending" and not request.votes


async def approve(client, id, **more):
    return await client.post(f"{REQUESTS}/{id}/votes", json={"answer": "approve", **more})


async def csrf_on(browser, path="/sign-in"):
    return CSRF.search((await browser.get(path)).text)[1]


async def signed_in(service, name="alice", token=None):
    """Return a browser that is signed in, and its session's CSRF token."""
    browser = service.client()
    token = token or service.token("reviewer", name)
    body = {"csrf": await csrf_on(browser), "token": token}
    answer = await browser.post("/sign-in", data=body)
    assert answer.status_code == 303, answer.text
    sessions = service.serving.sessions
    jar = SimpleCookie({cookie.name: cookie.value for cookie in browser.cookies.jar})
    return browser, sessions.csrf_of(sessions.find(jar).text)


# tokens


async def test_a_forged_token_does_not_count(service):
    """Half a token, another's id with one's own secret, or a digest from the file is no token."""
    id = await asked(service)
    mine, hers = service.token("reviewer", "mallory"), service.token("reviewer", "alice")
    token_id, secret = hers.split("_", 2)[1:]
    digest = service.serving.tokens.load()[token_id].sha256
    forged = [
        f"hitl_{token_id}_{mine.split('_', 2)[2]}",
        f"hitl_{token_id}_{digest}",
        f"hitl_{token_id}_{secret[:-1]}",
        f"hitl_{token_id}_{secret}x",
        f"hitl_{token_id}_",
        f"HITL_{token_id}_{secret}",
        f"hitl__{secret}",
        "hitl_" + "é" * 40,
        f"{token_id}_{secret}",
        "null",
        "",
    ]
    for token in forged:
        header = b"Bearer " + token.encode()
        answer = await service.client().post(
            f"{REQUESTS}/{id}/votes",
            json={"answer": "approve"},
            headers=[(b"Authorization", header.rstrip())],
        )
        assert answer.status_code in {401, 429}, token
    assert await is_untouched(service, id)
    assert (await approve(service.client(hers), id)).status_code == 200


async def test_a_token_that_ended_or_was_revoked_does_not_count(service):
    """From that moment on, without a start of the service."""
    id = await asked(service)
    token = service.token("reviewer", "alice")
    now = datetime.now(UTC)
    _, short = service.serving.tokens.create(
        "reviewer", "alice", now, until=now - timedelta(seconds=1)
    )
    assert (await approve(service.client(short), id)).status_code == 401
    service.serving.tokens.revoke(token.split("_")[1], now)
    assert (await approve(service.client(token), id)).status_code == 401
    assert await is_untouched(service, id)


async def test_a_token_in_an_address_is_refused(service):
    """It would end up in logs: it does not count there, and the answer does not repeat it."""
    token = service.token("reviewer", "alice")
    for address in (f"{REQUESTS}?access_token={token}", f"{REQUESTS}?x={token}", f"/{token}"):
        answer = await service.client().get(address)
        assert (answer.status_code, answer.json()["code"]) == (400, "token_in_address")
        assert token not in answer.text
        assert (await service.client(token).get(address)).status_code == 400


async def test_scopes_written_into_an_agents_token_do_not_count(service):
    """Whoever can write the file of tokens cannot make an agent a reviewer by one word."""
    id = await asked(service)
    token = service.token("agent", "bot")
    file = service.root / ".hitl/keys/tokens.toml"
    text = file.read_text().replace('scopes = ["ask"]', 'scopes = ["ask", "operate", "vote"]')
    file.write_text(text)
    assert "vote" in file.read_text()
    assert (await approve(service.client(token), id)).status_code == 403
    assert await is_untouched(service, id)


# every route, with every kind of caller


_VALUES = {
    **dict.fromkeys(("answer", "vote", "action"), "approve"),
    **dict.fromkeys(("status", "decision"), "approved"),
    **dict.fromkeys(("reviewer", "by", "decided_by", "decider", "author", "user"), "alice"),
    "type": "payment",
    "description": "x",
    "reason": "x",
    "text": "x",
    "details": {},
}


def operations(schema):
    """Return every route of the documentation: method, path, and a body that it would take."""
    for path, methods in schema["paths"].items():
        for method, about in methods.items():
            body = about.get("requestBody", {}).get("content", {}).get("application/json", {})
            shape = body.get("schema", {})
            if "$ref" in shape:
                shape = schema["components"]["schemas"][shape["$ref"].rpartition("/")[2]]
            properties = shape.get("properties", {})
            wanted = set(shape.get("required", [])) | (set(properties) & set(_VALUES))
            yield method.upper(), path, {name: _VALUES.get(name, "x") for name in sorted(wanted)}


_OPEN = {"/healthz", "/readyz"}
_ANSWERING = re.compile(r"/(votes?|approve|reject|decide|decision|resolve|respond|modify)$")


async def call(client, operation, id):
    method, path, body = operation
    filled = re.sub(r"\{[^}]*id\}", id, path)
    filled = re.sub(r"\{[^}]*\}", "x", filled)
    try:
        answer = await client.request(method, filled, json=body or None, timeout=3)
    except Exception:  # a stream or a wait goes on: what it shows is looked at elsewhere
        return 200
    return answer.status_code


@pytest.mark.parametrize("scopes", [(), (Scope.READ,)], ids=["asks", "asks and reads"])
async def test_no_route_lets_an_agent_answer(service, scopes):
    """All of them, as the documentation lists them: nothing is decided, and each vote is a 403."""
    id = await asked(service, "other")
    schema = (await service.client().get("/api/v1/openapi.json")).json()
    found = list(operations(schema))
    assert len(found) >= 5
    agent = service.agent("bot", Scope.ASK, *scopes)
    for operation in found:
        method, path, _ = operation
        status = await call(agent, operation, id)
        assert status < 500, operation
        if _ANSWERING.search(path) and method != "GET" and "{" in path:
            assert status in {403, 404}, operation
        elif method != "GET" and "{" in path and "claim" not in path and "verify" not in path:
            assert status >= 400, operation  # it is somebody else's request
    assert await is_untouched(service, id)
    assert (await approve(service.reviewer(), id)).status_code == 200


async def test_no_route_answers_who_has_no_token(service):
    """401, before anything else is said; only the probes tell how the service is."""
    id = await asked(service)
    schema = (await service.client().get("/api/v1/openapi.json")).json()
    for operation in operations(schema):
        if operation[1] not in _OPEN:
            assert await call(service.client(), operation, id) == 401, operation
    assert await is_untouched(service, id)


async def test_a_token_may_do_what_it_is_for_and_no_more(service):
    """The table of the routes of requests."""
    id = await asked(service, "bot")
    table = {  # agent, other agent, agent that reads, reviewer who reads, reviewer
        ("POST", REQUESTS): (201, 201, 201, 403, 403),
        ("GET", REQUESTS): (200, 200, 200, 200, 200),
        ("GET", f"{REQUESTS}/{id}"): (200, 403, 200, 200, 200),
        ("GET", f"{REQUESTS}/{id}/wait?timeout=0"): (200, 403, 200, 200, 200),
        ("POST", f"{REQUESTS}/{id}/votes"): (403, 403, 403, 403, 200),
    }
    callers = [
        service.agent("bot"),
        service.agent("other"),
        service.agent("reader", Scope.ASK, Scope.READ),
        service.reviewer("bob", Scope.READ),
        service.reviewer("alice"),
    ]
    for (method, path), wanted in table.items():
        body = {"answer": "approve"} if path.endswith("votes") else PAYMENT
        got = [
            (await caller.request(method, path, json=body if method == "POST" else None))
            for caller in callers
        ]
        assert tuple(one.status_code for one in got) == wanted, (method, path)


async def test_an_agent_sees_its_own_requests_only(service):
    """The list too, whatever it asks for."""
    await asked(service, "other")
    mine = await asked(service, "bot")
    bot = service.agent("bot")
    listed = (await bot.get(REQUESTS)).json()["requests"]
    assert [one["id"] for one in listed] == [mine]
    assert (await bot.get(REQUESTS, params={"requested_by": "other"})).status_code == 403


async def test_nobody_votes_or_asks_in_anothers_name(service):
    """The name in a body never counts more than the token."""
    id = await asked(service)
    mallory = service.reviewer("mallory")
    for name in ("alice", "alice ", "ALICE"):
        assert (await approve(mallory, id, reviewer=name)).status_code == 403
    assert await is_untouched(service, id)
    body = {**PAYMENT, "requested_by": "cfo"}
    assert (await service.agent("bot").post(REQUESTS, json=body)).status_code == 403
    voted = await approve(service.reviewer("alice"), id, reviewer="Alice")
    assert voted.json()["votes"][0]["reviewer"] == "alice"


async def test_an_agent_does_not_pass_for_another_agent(service):
    """A rule may let one agent do what it denies to others, so no token names another's."""
    bot = service.agent("bot")
    for path, body in ((REQUESTS, PAYMENT), ("/api/v1/policy/evaluate", {"type": "payment"})):
        assert (await bot.post(path, json=body | {"agent": "bot"})).status_code < 300
        other = await bot.post(path, json=body | {"agent": "release-bot"})
        assert (other.status_code, other.json()["code"]) == (403, "forbidden")
    assert len(await service.hitl.list_requests()) == 1


async def test_headers_that_name_a_person_do_not_count(service):
    """A header that a proxy would set says nothing here, and raises nobody above their token."""
    id = await asked(service)
    names = ["X-Forwarded-User", "X-Remote-User", "Remote-User", "X-Auth-Request-User", "X-User"]
    smuggled = dict.fromkeys(names, "alice")
    answer = await service.client().post(
        f"{REQUESTS}/{id}/votes", json={"answer": "approve"}, headers=smuggled
    )
    assert answer.status_code == 401
    bot = service.agent("bot")
    answer = await bot.post(f"{REQUESTS}/{id}/votes", json={"answer": "approve"}, headers=smuggled)
    assert answer.status_code == 403
    assert await is_untouched(service, id)


async def test_an_address_that_a_stranger_says_does_not_count(tmp_path):
    """X-Forwarded-For of a proxy that nobody trusts does not take failures off somebody."""
    async with serving(tmp_path / "vault", failures_per_minute=3) as service:
        client = service.client("hitl_0123456789_guess")
        statuses = [
            (await client.get(REQUESTS, headers={"X-Forwarded-For": f"10.0.0.{n}"})).status_code
            for n in range(8)
        ]
        assert statuses[-1] == 429


async def test_a_method_cannot_be_overridden(service):
    """What a GET says it is besides is not looked at."""
    id = await asked(service)
    alice = service.reviewer()
    for name in ("X-HTTP-Method-Override", "X-Method-Override", "X-HTTP-Method"):
        answer = await alice.get(f"{REQUESTS}/{id}/votes?_method=POST", headers={name: "POST"})
        assert answer.status_code in {404, 405}
    assert await is_untouched(service, id)


# sessions


async def test_a_session_votes_only_from_our_own_page(service):
    """Without the token of the session, or with another's, nothing is done."""
    id = await asked(service)
    alice, csrf = await signed_in(service)
    _, others = await signed_in(service, "bob")
    path, body = f"{REQUESTS}/{id}/votes", {"answer": "approve"}
    assert (await alice.post(path, json=body)).status_code == 401  # the cookie alone is nothing
    for wrong in ("", "0" * 64, others, csrf[:-1]):
        refused = await alice.post(path, json=body, headers={"X-CSRF-Token": wrong})
        assert (refused.status_code, refused.json()["code"]) == (403, "csrf")
    for site in ("cross-site", "same-site"):
        headers = {"X-CSRF-Token": csrf, "Sec-Fetch-Site": site}
        assert (await alice.post(path, json=body, headers=headers)).status_code == 403
    headers = {"X-CSRF-Token": csrf, "Origin": "https://evil.example"}
    assert (await alice.post(path, json=body, headers=headers)).status_code == 403
    assert await is_untouched(service, id)
    own = {"X-CSRF-Token": csrf, "Origin": service.url}
    assert (await alice.post(path, json=body, headers=own)).status_code == 200


async def test_signing_in_and_out_cannot_be_done_from_another_page(service):
    """Nobody is signed in as somebody else without noticing it."""
    browser = service.client()
    token = service.token("reviewer", "mallory")
    assert (await browser.post("/sign-in", data={"token": token})).status_code == 403
    csrf = await csrf_on(browser)
    foreign = await csrf_on(service.client())  # of the attacker's own browser
    for sent, headers in ((foreign, {}), (csrf, {"Sec-Fetch-Site": "cross-site"})):
        answer = await browser.post(
            "/sign-in", data={"token": token, "csrf": sent}, headers=headers
        )
        assert answer.status_code == 403
    assert not service.serving.sessions.on_record.sessions()
    body = {"token": token, "csrf": csrf}
    assert (await browser.post("/sign-in", data=body)).status_code == 303


async def test_a_cookie_that_was_touched_does_not_count(service):
    """Nor one signed with another key, nor the text of a session that is not on record."""
    alice, csrf = await signed_in(service)
    sessions = service.serving.sessions
    [good] = [c.value for c in alice.cookies.jar if c.name == sessions.cookie_name]
    other_key = URLSafeSerializer(b"k" * 32, salt="hitl_vault session")
    middle = len(good) // 2
    tampered = [
        good[:middle] + ("A" if good[middle] != "A" else "B") + good[middle + 1 :],
        good[:-4],
        good + "A",
        good.partition(".")[0],
        other_key.dumps(["0123456789_x", 0]),
        sessions.cookie("0123456789_x").partition("=")[2].partition(";")[0],  # well signed
        "",
    ]
    for value in tampered:
        client = service.client(headers={"Cookie": f"{sessions.cookie_name}={value}"})
        answer = await client.get(REQUESTS, headers={"X-CSRF-Token": csrf})
        assert answer.status_code == 401, value
    assert (await alice.get(REQUESTS, headers={"X-CSRF-Token": csrf})).status_code == 200


async def test_a_session_cannot_be_fixed_from_outside(service):
    """A cookie that an attacker put there before is not the one that is signed in with."""
    sessions = service.serving.sessions
    mallory, _ = await signed_in(service, "mallory")
    [planted] = [c.value for c in mallory.cookies.jar if c.name == sessions.cookie_name]
    victim = service.client()
    victim.cookies.set(sessions.cookie_name, planted, domain="127.0.0.1")
    jar = SimpleCookie({sessions.cookie_name: planted})
    csrf = sessions.csrf_of(sessions.find(jar).text)
    body = {"csrf": csrf, "token": service.token("reviewer", "alice")}
    answer = await victim.post("/sign-in", data=body)
    assert answer.status_code == 303
    cookie = SimpleCookie(answer.headers["set-cookie"])
    assert cookie[sessions.cookie_name].value != planted
    assert sessions.find(cookie).identity.name == "alice"
    assert sessions.find(jar) is None  # what was planted has ended


async def test_a_session_ends_with_its_token_and_with_signing_out(service):
    """For every copy of its cookie."""
    token = service.token("reviewer", "alice")
    first, csrf = await signed_in(service, token=token)
    second, csrf_2 = await signed_in(service, token=token)
    assert (await first.post("/sign-out", headers={"X-CSRF-Token": csrf})).status_code == 200
    copy = service.client(cookies=dict(first.cookies))
    assert (await copy.get(REQUESTS, headers={"X-CSRF-Token": csrf})).status_code == 401
    assert (await second.get(REQUESTS, headers={"X-CSRF-Token": csrf_2})).status_code == 200
    service.serving.tokens.revoke(token.split("_")[1], datetime.now(UTC))
    assert (await second.get(REQUESTS, headers={"X-CSRF-Token": csrf_2})).status_code == 401


async def test_a_token_beside_a_cookie_counts_alone(service):
    """A session never lends its rights to a request that says who it is."""
    id = await asked(service)
    browser, csrf = await signed_in(service)
    headers = {"X-CSRF-Token": csrf, "Authorization": f"Bearer {service.token('agent', 'bot')}"}
    answer = await browser.post(
        f"{REQUESTS}/{id}/votes", json={"answer": "approve"}, headers=headers
    )
    assert answer.status_code == 403
    headers["Authorization"] = "Bearer hitl_0123456789_x"
    assert (await browser.get(REQUESTS, headers=headers)).status_code == 401
    assert await is_untouched(service, id)


async def test_a_sign_in_link_counts_once_even_for_two_at_once(service):
    """Of ten who use it at the same moment, one is signed in."""
    now = datetime.now(UTC)
    record = service.serving.sessions.on_record
    _, code = record.make_link("alice", frozenset({Scope.READ}), now, now + timedelta(minutes=1))
    browsers = [service.client() for _ in range(10)]
    tokens = [await csrf_on(browser, "/sign-in/link") for browser in browsers]
    answers = await asyncio.gather(
        *(
            browser.post("/sign-in/link", data={"csrf": csrf, "code": code})
            for browser, csrf in zip(browsers, tokens, strict=True)
        )
    )
    assert sorted(one.status_code for one in answers) == [303] + [401] * 9
    assert len(record.sessions()) == 1


@pytest.mark.parametrize(
    "next",
    ["//evil.example", "https:evil.example", "/\\evil.example", "/inbox/\\..\\", "/sign-out"],
)
async def test_signing_in_leads_nowhere_else(service, next):
    """Not by the page, nor by its form."""
    browser = service.client()
    page = await browser.get("/sign-in", params={"next": next})
    assert "evil" not in page.text
    body = {"csrf": await csrf_on(browser), "token": service.token("reviewer"[:8], "alice")}
    answer = await browser.post("/sign-in", data={**body, "next": next})
    assert answer.headers["location"] == "/inbox"
    again = await browser.get("/sign-in", params={"next": next})
    assert (again.status_code, again.headers["location"]) == (303, "/inbox")


# hosts, bodies, ids


async def test_a_name_that_somebody_let_point_here_is_refused(tmp_path):
    """DNS rebinding: the page of evil.example reaches 127.0.0.1 under its own name, and gets 421."""
    async with serving(tmp_path / "vault", open=True, url="https://hitl.example") as service:
        client = service.client()
        port = service.url.rpartition(":")[2]
        for host in ("evil.example", f"evil.example:{port}", "127.0.0.1.evil.example", "[::2]"):
            for path in (REQUESTS, "/sign-in"):
                answer = await client.get(path, headers={"Host": host})
                assert answer.status_code == 421, host
            body = json.dumps(PAYMENT)
            headers = {"Host": host, "Content-Type": "application/json"}
            answer = await client.post(REQUESTS, content=body, headers=headers)
            assert answer.status_code == 421, host
        assert await service.hitl.list_requests() == []
        smuggled = {"Host": "evil.example", "X-Forwarded-Host": "localhost"}
        assert (await client.get(REQUESTS, headers=smuggled)).status_code == 421
        for host in ("localhost", f"localhost:{port}", "[::1]:80", "hitl.example", "HITL.example"):
            assert (await client.get(REQUESTS, headers={"Host": host})).status_code == 200, host


async def test_an_open_service_takes_nothing_from_a_proxy(tmp_path):
    """Whoever asks for no token is for one machine; a proxy would open it to all."""
    async with serving(tmp_path / "vault", open=True, metrics_open=True) as service:
        assert (await service.client().post(REQUESTS, json=PAYMENT)).status_code == 201
        for header in ("X-Forwarded-For", "X-Real-IP", "Forwarded", "Via", "X-Forwarded-Host"):
            sent_on = service.client(headers={header: "203.0.113.9"})
            assert (await sent_on.post(REQUESTS, json=PAYMENT)).status_code == 403
            assert (await sent_on.get("/metrics")).status_code == 403
        assert len(await service.hitl.list_requests()) == 1


async def test_a_stream_ends_with_its_session(tmp_path):
    """Signing out ends what the session listens to, in the API and on the page."""
    async with serving(tmp_path / "vault", heartbeat_s=0.05) as service:
        browser, csrf = await signed_in(service)

        async def follow(path):
            async with browser.stream("GET", path, headers={"X-CSRF-Token": csrf}) as stream:
                assert stream.status_code == 200
                opened.set()
                async for _ in stream.aiter_lines():
                    pass

        for path in ("/api/v1/events?after=now", "/inbox/live"):
            opened = asyncio.Event()
            following = asyncio.create_task(follow(path))
            await opened.wait()
            signed_out = await browser.post("/sign-out", data={"csrf": csrf})
            assert signed_out.status_code in {200, 303}
            async with asyncio.timeout(20):
                await following
            browser, csrf = await signed_in(service)


async def test_an_open_service_takes_nothing_from_other_sites_pages(tmp_path):
    """What a page of another site can send without asking first is refused."""
    async with serving(tmp_path / "vault", open=True) as service:
        client, body = service.client(), json.dumps(PAYMENT)
        for headers in (
            {"Origin": "https://evil.example", "Content-Type": "text/plain"},
            {"Origin": "null", "Sec-Fetch-Site": "cross-site", "Content-Type": "application/json"},
            {"Sec-Fetch-Site": "same-site", "Content-Type": "application/json"},
        ):
            assert (await client.post(REQUESTS, content=body, headers=headers)).status_code == 403
        headers = {"Origin": "null", "Content-Type": "text/plain"}  # of an old browser
        assert (await client.post(REQUESTS, content=body, headers=headers)).status_code >= 400
        assert await service.hitl.list_requests() == []


@pytest.mark.parametrize(
    "id",
    [
        "..%2f..%2f.hitl%2fkeys%2ftokens.toml",
        "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "....//....//etc/passwd",
        "x%00.md",
        "x%0d%0aSet-Cookie:%20a=b",
        "%",
        "a" * 5000,
        "*",
        "%7b%7bid%7d%7d",
        "'%20or%201=1--",
    ],
)
async def test_an_id_is_no_path(service, id):
    """It names a request or nothing; nothing of the machine is shown."""
    alice = service.reviewer()
    for path in (f"{REQUESTS}/{id}", f"{REQUESTS}/{id}/votes", f"/sign-in/{id}"):
        answer = await alice.get(path)
        assert answer.status_code in {404, 405, 422}, path
        assert "sha256" not in answer.text
        assert "root:" not in answer.text
        assert str(service.root) not in answer.text
        assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("id", ["../x", "a/b", "..", "x\x00", "", "x" * 300, "a b", "\u202ex"])
async def test_an_id_of_ones_own_is_no_path(service, id):
    """Nothing is asked, and no note is written outside."""
    before = sorted(service.root.parent.rglob("*"))
    answer = await service.agent().post(REQUESTS, json={**PAYMENT, "id": id})
    assert answer.status_code == 422, answer.text
    assert await service.hitl.list_requests() == []
    assert {p for p in service.root.parent.rglob("*") if p.suffix == ".md"} <= set(before)


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 200_000,
        b'{"a":' * 100_000,
        b'{"type":"p","details":' + b'{"a":' * 5_000 + b"1" + b"}" * 5_001,
        b'{"type":"p","details":{"a":' + b"9" * 100_000 + b"}}",
        b'{"type":"p","details":{"a":1e999999}}',
        b'{"type":"p","details":{"a":NaN}}',
        b'{"type":"p","details":{"a":"\\ud800"}}',
        b"\xff\xfe{}",
        b'{"type":',
        b"null",
        b"[]",
        b'{"type":["p"]}',
        b'{"type":"p","__proto__":{"vote":true}}',
    ],
    ids=lambda body: body[:24].decode("latin-1"),
)
async def test_a_body_that_is_a_bomb_is_refused_and_the_service_lives(service, body):
    """A problem, no traceback, and the next caller is served."""
    agent = service.agent()
    headers = {"Content-Type": "application/json"}
    answer = await agent.post(REQUESTS, content=body, headers=headers)
    assert answer.status_code in {400, 413, 422}, answer.text[:300]
    assert "Traceback" not in answer.text
    assert (await agent.get(REQUESTS)).json()["requests"] == []
    assert (await agent.post(REQUESTS, json=PAYMENT)).status_code == 201


async def test_two_bodies_in_one_are_not_taken(service):
    """Lengths that contradict each other, and headers with line breaks, end the connection."""
    host, port = service.url.removeprefix("http://").split(":")
    token = service.token("agent", "bot").encode()
    begin = b"POST /api/v1/requests HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " + token
    for wrong in (
        b"\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
        b"\r\nContent-Length: +5\r\n\r\nabcde",
        b"\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
        b"\r\nHost: evil.example\r\n\r\n",
        b"\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
    ):
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(begin + wrong)
        answer = await asyncio.wait_for(reader.read(), 20)
        writer.close()
        await writer.wait_closed()
        assert answer.split()[1] in {b"400", b"413", b"431", b"501"}, answer[:200]
    assert await service.hitl.list_requests() == []


# secrets


async def test_a_fault_says_nothing_of_this_machine(service, caplog):
    """A file that cannot be used is named in the log alone, and nobody gets in meanwhile."""
    token = service.token("reviewer", "alice")
    browser, csrf = await signed_in(service, token=token)
    for name in ("tokens.toml", "sessions.toml"):
        (service.root / ".hitl/keys" / name).chmod(0o644)
    with_token = service.client(token)
    for answer in (
        await with_token.get(REQUESTS),
        await browser.get(REQUESTS, headers={"X-CSRF-Token": csrf}),
        await browser.get("/sign-in"),
    ):
        assert answer.status_code == 500
        assert str(service.root) not in answer.text
        assert ".toml" not in answer.text
    assert "tokens.toml" in caplog.text


@pytest.mark.parametrize("fields", ["a=1&" * 5000, "csrf", "csrf=" + "é" * 90, "csrf=%ff%fe"])
async def test_a_form_that_is_a_bomb_signs_nobody_in(service, fields):
    """A page that says so, and the next one is served."""
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = await service.client().post("/sign-in", content=fields.encode(), headers=headers)
    assert answer.status_code == 403
    assert (await service.client().get("/sign-in")).status_code == 200


def stored_below(root):
    """Yield what every file holds; one may go meanwhile, as the watcher's own do."""
    for file in root.rglob("*"):
        if file.name != "session.key":
            with suppress(FileNotFoundError, IsADirectoryError):
                yield file.read_bytes()


async def test_no_secret_is_in_a_log_a_note_an_event_or_an_error(service, caplog):
    """After a full run and every kind of failure, with every log switched on."""
    caplog.set_level(logging.DEBUG)
    now, record = datetime.now(UTC), service.serving.sessions.on_record
    tokens = [service.token("agent", "bot"), service.token("reviewer", "alice")]
    _, code = record.make_link("bob", frozenset({Scope.READ}), now, now + timedelta(minutes=1))
    answers = []
    id = (await service.client(tokens[0]).post(REQUESTS, json=PAYMENT)).json()["id"]
    browser, csrf = await signed_in(service, token=tokens[1])
    other = service.client()
    body = {"code": code, "csrf": await csrf_on(other, "/sign-in/link")}
    answers.append(await other.post("/sign-in/link", data=body))
    answers.append(await other.post("/sign-in/link", data=body))
    answers.append(await service.client().get(REQUESTS, params={"access_token": tokens[0]}))
    answers.append(await service.client(tokens[1] + "x").get(REQUESTS))
    answers.append(await service.client(tokens[0]).post(REQUESTS, content=b"{"))
    answers.append(await approve(service.client(tokens[1]), id))
    answers.append(await browser.get(REQUESTS, headers={"X-CSRF-Token": csrf}))
    answers.append(await service.reviewer("carol").get(f"{REQUESTS}/nothing"))
    assert {one.status_code for one in answers} >= {200, 303, 400, 401, 403, 404}
    secrets = [token.split("_", 2)[2] for token in tokens] + [code.split("_", 1)[1]]
    for client in (browser, other):
        secrets += [c.value for c in client.cookies.jar if "session" in c.name]
        secrets += [c.value.split(".")[0] for c in client.cookies.jar if "session" in c.name]
    ours = [one for one in caplog.records if not one.name.startswith(("httpx", "httpcore"))]
    logged = "\n".join(one.name + one.getMessage() + str(one.exc_info or "") for one in ours)
    shown = "\n".join(one.text for one in answers)
    stored = list(stored_below(service.root))
    for secret in secrets:
        assert secret not in logged
        assert secret not in shown
        assert not [1 for data in stored if secret.encode() in data]
    assert "Bearer" not in logged
