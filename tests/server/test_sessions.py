"""Signing in to the inbox, and what a session may do."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime, timedelta
from html import unescape

import pytest
from server_kit import serving

from hitl_vault.core.access import Scope

PAYMENT = {"type": "payment", "description": "Pay", "details": {"amount": 1500, "to": "v@x.org"}}
CSRF = re.compile(r'name="csrf" value="([0-9a-f]{64})"')


async def csrf_of(client, path="/sign-in"):
    page = await client.get(path)
    assert page.status_code == 200, page.text
    return CSRF.search(page.text)[1]


async def test_the_pages_for_signing_in_look_like_the_inbox(tmp_path):
    """They share its stylesheet, which is there for who is not signed in."""
    async with serving(tmp_path / "vault") as service:
        client = service.client()
        text = (await client.get("/sign-in")).text
        for path in ("/inbox/static/inbox.css", "/sign-in/sign-in.css"):
            assert f'href="{path}"' in text
            assert (await client.get(path)).headers["content-type"].startswith("text/css")


async def test_a_field_that_is_too_long_is_refused_with_a_page_and_not_shown(tmp_path):
    async with serving(tmp_path / "vault") as service:
        browser = service.client()
        body = {"csrf": await csrf_of(browser), "token": "t" * 2001}
        answer = await browser.post("/sign-in", data=body)
        assert answer.status_code == 422
        assert answer.headers["content-type"].startswith("text/html")
        assert "too long" in answer.text
        assert "tttt" not in answer.text


async def sign_in(service, token, browser=None, **more):
    """Return a browser that is signed in with this token."""
    browser = browser or service.client()
    body = {"csrf": await csrf_of(browser), "token": token, **more}
    answer = await browser.post("/sign-in", data=body)
    assert answer.status_code == 303, answer.text
    return browser


async def csrf_in(service, browser):
    """Return the CSRF token of the session a browser has."""
    sessions = service.serving.sessions
    from http.cookies import SimpleCookie

    jar = SimpleCookie({c.name: c.value for c in browser.cookies.jar})
    return sessions.csrf_of(sessions.find(jar).text)


async def test_a_reviewer_signs_in_with_a_token_and_votes(tmp_path):
    async with serving(tmp_path / "vault") as service:
        id = (await service.agent().post("/api/v1/requests", json=PAYMENT)).json()["id"]
        browser = await sign_in(service, service.token("reviewer", "alice"))
        headers = {"X-CSRF-Token": await csrf_in(service, browser)}
        path = f"/api/v1/requests/{id}"
        voted = await browser.post(f"{path}/votes", json={"answer": "approve"}, headers=headers)
        assert voted.status_code == 200, voted.text
        vote = voted.json()["votes"][0]
        assert (vote["reviewer"], vote["assurance"]) == ("alice", "authenticated")


async def test_a_cookie_alone_never_counts_for_the_api(tmp_path):
    async with serving(tmp_path / "vault") as service:
        browser = await sign_in(service, service.token("reviewer", "alice"))
        assert (await browser.get("/api/v1/requests")).status_code == 401
        headers = {"X-CSRF-Token": "0" * 64}
        wrong = await browser.get("/api/v1/requests", headers=headers)
        assert (wrong.status_code, wrong.json()["code"]) == (403, "csrf")
        headers = {"X-CSRF-Token": await csrf_in(service, browser)}
        assert (await browser.get("/api/v1/requests", headers=headers)).status_code == 200


async def test_an_agents_token_signs_nobody_in(tmp_path):
    async with serving(tmp_path / "vault") as service:
        browser = service.client()
        body = {"csrf": await csrf_of(browser), "token": service.token("agent", "bot")}
        answer = await browser.post("/sign-in", data=body)
        assert answer.status_code == 403
        assert "agent's token" in unescape(answer.text)
        assert not service.serving.sessions.on_record.sessions()


@pytest.mark.parametrize("token", ["", "hitl_1_2", "hitl_3f9a1c7be2_" + "x" * 43])
async def test_an_unknown_token_signs_nobody_in_and_is_not_shown(tmp_path, token):
    async with serving(tmp_path / "vault") as service:
        browser = service.client()
        body = {"csrf": await csrf_of(browser), "token": token}
        answer = await browser.post("/sign-in", data=body)
        assert answer.status_code in {401, 422}
        assert not token or token not in answer.text


async def test_a_session_ends_when_its_token_is_revoked(tmp_path):
    async with serving(tmp_path / "vault") as service:
        token = service.token("reviewer", "alice")
        browser = await sign_in(service, token)
        headers = {"X-CSRF-Token": await csrf_in(service, browser)}
        assert (await browser.get("/api/v1/requests", headers=headers)).status_code == 200
        service.serving.tokens.revoke(token.split("_")[1], datetime.now(UTC))
        assert (await browser.get("/api/v1/requests", headers=headers)).status_code == 401


async def test_a_session_ends_when_it_is_not_used_and_at_its_end_in_any_case(tmp_path):
    async with serving(tmp_path / "vault", session_idle_s=600, session_s=3600) as service:
        at = datetime.now(UTC)
        service.serving.now = lambda: at
        token = service.token("reviewer", "alice")
        browser = await sign_in(service, token)
        headers = {"X-CSRF-Token": await csrf_in(service, browser)}

        async def status():
            return (await browser.get("/api/v1/requests", headers=headers)).status_code

        start = at
        for minutes in range(5, 60, 5):  # used, it goes on by new cookies
            at = start + timedelta(minutes=minutes)
            assert await status() == 200, minutes
        at = start + timedelta(minutes=60)
        assert await status() == 401
        await sign_in(service, token, browser)
        headers = {"X-CSRF-Token": await csrf_in(service, browser)}
        at += timedelta(minutes=10)
        assert await status() == 401


async def test_signing_out_ends_the_session_for_every_copy_of_its_cookie(tmp_path):
    async with serving(tmp_path / "vault") as service:
        browser = await sign_in(service, service.token("reviewer", "alice"))
        csrf = await csrf_in(service, browser)
        copy = service.client(cookies=dict(browser.cookies))
        assert (await copy.post("/sign-out", data={})).status_code == 403
        assert (await browser.post("/sign-out", data={"csrf": csrf})).status_code == 200
        assert not service.serving.sessions.on_record.sessions()
        headers = {"X-CSRF-Token": csrf}
        assert (await copy.get("/api/v1/requests", headers=headers)).status_code == 401
        assert not [c for c in browser.cookies.jar if "session" in c.name]


async def test_a_link_signs_one_person_in_once_and_a_look_at_it_spends_nothing(tmp_path):
    async with serving(tmp_path / "vault") as service:
        now = datetime.now(UTC)
        record = service.serving.sessions.on_record
        scopes = frozenset({Scope.READ, Scope.VOTE})
        _, code = record.make_link("bob", scopes, now, now + timedelta(minutes=10))
        first, second = service.client(), service.client()
        for browser in (first, second):
            await csrf_of(browser, "/sign-in/link")
        body = {"code": f"{service.url}/sign-in/link#{code}"}
        csrf = await csrf_of(first, "/sign-in/link")
        assert (await first.post("/sign-in/link", data={**body, "csrf": csrf})).status_code == 303
        csrf = await csrf_of(second, "/sign-in/link")
        late = await second.post("/sign-in/link", data={**body, "csrf": csrf})
        assert late.status_code == 401
        assert code not in late.text
        [session] = record.sessions().values()
        assert (session.name, session.way, session.token_id) == ("bob", "link", "")


async def test_a_link_that_has_ended_signs_nobody_in(tmp_path):
    async with serving(tmp_path / "vault") as service:
        now = datetime.now(UTC)
        record = service.serving.sessions.on_record
        _, code = record.make_link("bob", frozenset({Scope.READ}), now, now + timedelta(minutes=10))
        service.serving.now = lambda: now + timedelta(minutes=10)
        browser = service.client()
        body = {"csrf": await csrf_of(browser, "/sign-in/link"), "code": code}
        assert (await browser.post("/sign-in/link", data=body)).status_code == 401


async def test_the_cookie_is_out_of_reach_of_scripts_and_bound_to_tls(tmp_path):
    async with serving(tmp_path / "vault", tls=True) as service:
        browser = service.client()
        page = await browser.get("/sign-in")
        cookie = page.headers["set-cookie"]
        assert cookie.startswith("__Host-hitl_form_")
        assert {"HttpOnly", "Secure", "SameSite=Strict", "Path=/"} <= set(cookie.split("; "))
        body = {"csrf": CSRF.search(page.text)[1], "token": service.token("reviewer", "alice")}
        headers = {"Cookie": cookie.split(";")[0]}  # the client itself keeps it from plain HTTP
        signed = await service.client().post("/sign-in", data=body, headers=headers)
        cookie = signed.headers["set-cookie"]
        assert cookie.startswith("__Host-hitl_session_")
        assert {"HttpOnly", "Secure", "SameSite=Lax", "Path=/"} <= set(cookie.split("; "))


@pytest.mark.parametrize(
    "next",
    [
        "//evil.example",
        "https://evil.example",
        "/\\evil.example",
        "/inbox\\..",
        "/api/v1",
        "javascript:1",
        "/inbox//x y",
        "/inboxes",
        "\thttps://evil.example",
        "/inbox\r\nSet-Cookie: a=b",
    ],
)
async def test_after_signing_in_nobody_is_led_away(tmp_path, next):
    async with serving(tmp_path / "vault") as service:
        browser = service.client()
        body = {"csrf": await csrf_of(browser), "token": service.token("reviewer", "alice")}
        answer = await browser.post("/sign-in", data={**body, "next": next})
        assert (answer.status_code, answer.headers["location"]) == (303, "/inbox")


async def test_what_another_sites_page_sends_is_refused(tmp_path):
    async with serving(tmp_path / "vault", open=True) as service:
        evil = {"Origin": "https://evil.example"}
        refused = await service.client().post("/api/v1/requests", json=PAYMENT, headers=evil)
        assert (refused.status_code, refused.json()["code"]) == (403, "csrf")
        evil = {"Sec-Fetch-Site": "cross-site"}
        refused = await service.client().post("/api/v1/requests", json=PAYMENT, headers=evil)
        assert refused.status_code == 403
        assert await service.hitl.list_requests() == []
        own = {"Origin": service.url, "Sec-Fetch-Site": "same-origin"}
        asked = await service.client().post("/api/v1/requests", json=PAYMENT, headers=own)
        assert asked.status_code == 201


@pytest.mark.parametrize("authorization", ["Basic eDp5", "Bearer", "Bearerx y", ""])
async def test_a_header_that_holds_no_token_switches_no_check_off(tmp_path, authorization):
    """Not on a service that asks for no token, and not for who is signed in."""
    async with serving(tmp_path / "vault", open=True) as service:
        some = {"Authorization": authorization}
        evil = some | {"Origin": "https://evil.example"}
        anybody = service.client()
        asked = (await anybody.post("/api/v1/requests", json=PAYMENT, headers=some)).json()
        path = f"/requests/{asked['id']}/votes"
        vote = {"answer": "approve", "payload_sha256": asked["payload_sha256"], "reviewer": "eve"}
        for headers in (evil, some):  # the second: a form without our token
            assert (await anybody.post(f"/inbox{path}", data=vote, headers=headers)).is_error
        assert (await anybody.post(f"/api/v1{path}", json=vote, headers=evil)).status_code == 403
        asks = await anybody.post("/api/v1/requests", json=PAYMENT, headers=evil)
        assert (asks.status_code, asks.json()["code"]) == (403, "csrf")
        browser = await sign_in(service, service.token("reviewer", "alice"))
        csrf = {"X-CSRF-Token": await csrf_in(service, browser)}
        assert (await browser.post(f"/inbox{path}", data=vote, headers=some)).status_code == 403
        vote["reviewer"] = "alice"
        signed = await browser.post(f"/inbox{path}", data=vote, headers=some | csrf)
        assert (signed.status_code, signed.headers["location"][:7]) == (303, "/inbox/")
        (only,) = await service.hitl.list_requests()
        assert [vote.reviewer for vote in only.votes] == ["alice"]


async def test_another_sites_page_cannot_use_a_token_either(tmp_path):
    async with serving(tmp_path / "vault") as service:
        evil = {"Origin": "https://evil.example"}
        refused = await service.agent().post("/api/v1/requests", json=PAYMENT, headers=evil)
        assert (refused.status_code, refused.json()["code"]) == (403, "csrf")


async def test_sessions_that_cannot_be_read_hold_up_nobody_with_a_token(tmp_path):
    async with serving(tmp_path / "vault") as service:
        token = service.token("reviewer", "alice")
        browser = await sign_in(service, token)
        (service.root / ".hitl/keys/sessions.toml").write_text("no toml")
        assert (await browser.get("/healthz")).status_code == 200
        assert (await browser.get("/api/v1/requests")).status_code == 401
        bearer = {"Authorization": f"Bearer {token}"}
        assert (await browser.get("/api/v1/requests", headers=bearer)).status_code == 200
        assert (await browser.get("/inbox", headers=bearer)).status_code == 200
        assert (await browser.get("/inbox")).status_code == 500


async def test_an_open_page_that_nobody_uses_does_not_keep_a_session(tmp_path):
    async with serving(tmp_path / "vault", session_idle_s=600) as service:
        id = (await service.agent().post("/api/v1/requests", json=PAYMENT)).json()["id"]
        at = datetime.now(UTC)
        service.serving.now = lambda: at
        browser = await sign_in(service, service.token("reviewer", "alice"))
        at += timedelta(minutes=5)
        itself = {"HX-Request": "true"}
        parts = ("queue", "waiting", f"requests/{id}/live", f"cards/{id}")
        for part in parts:
            answer = await browser.get(f"/inbox/{part}", headers=itself)
            assert (answer.status_code, "set-cookie" in answer.headers) == (200, False), part
        async with browser.stream("GET", "/inbox/live") as news:
            assert (news.status_code, "set-cookie" in news.headers) == (200, False)
        assert "set-cookie" in (await browser.get("/inbox/queue")).headers  # as a page of its own
        at += timedelta(minutes=10)
        assert (await browser.get("/inbox/queue", headers=itself)).status_code == 303


@pytest.mark.parametrize("path", ["/inbox/live", "/api/v1/events?after=now"])
async def test_a_stream_ends_with_the_session_that_nobody_uses(tmp_path, path):
    """It goes on while the session is used by other pages, and is no use itself."""
    async with serving(tmp_path / "vault", session_idle_s=600, heartbeat_s=600) as service:
        at = datetime.now(UTC)
        service.serving.now = lambda: at
        browser = await sign_in(service, service.token("reviewer", "alice"))
        headers = {"X-CSRF-Token": await csrf_in(service, browser)}
        async with browser.stream("GET", path, headers=headers) as news:
            told = news.aiter_text()

            async def next_of():
                """Return what is told once something happens, "" at the end."""
                await service.hitl.request_approval("payment", "Pay", {"amount": 1})
                async with asyncio.timeout(20):
                    return await anext(told, "")

            assert "retry: " in await anext(told)
            at += timedelta(minutes=9)
            assert "data: " in await next_of()
            assert (await browser.get("/inbox")).status_code == 200  # used: a new cookie
            at += timedelta(minutes=9)
            assert "data: " in await next_of()
            at += timedelta(minutes=1)
            assert await next_of() == ""
        assert (await browser.get("/inbox")).status_code == 303


async def test_when_sessions_were_last_used_is_not_kept_for_ever(tmp_path):
    async with serving(tmp_path / "vault", session_idle_s=600) as service:
        at = datetime.now(UTC)
        service.serving.now = lambda: at
        sessions, token = service.serving.sessions, service.token("reviewer", "alice")
        for _ in range(3):
            await sign_in(service, token)
        assert len(sessions._seen) == 3
        at += timedelta(minutes=10)
        await sign_in(service, token)
        assert len(sessions._seen) == 1
