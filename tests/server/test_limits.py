"""What the service takes from one caller, and what every answer says to browsers."""

from __future__ import annotations

import asyncio
import json

import pytest
from server_kit import serving

from hitl_vault.errors import TooFast
from hitl_vault.server.limits import Limits
from hitl_vault.server.serving import OidcSettings

PAYMENT = {"type": "payment", "description": "Pay", "details": {"amount": 1500, "to": "v@x.org"}}


async def raw(service, head, *chunks):
    """Send bytes, and return the whole answer until the service closes the connection."""
    host, port = service.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(head.replace(b"\n", b"\r\n"))
        for chunk in chunks:
            writer.write(chunk)
        await writer.drain()
        return await asyncio.wait_for(reader.read(), 20)
    finally:
        writer.close()
        await writer.wait_closed()


async def test_a_body_that_says_it_is_too_large_is_not_read(tmp_path):
    async with serving(tmp_path / "vault", max_body_bytes=1000) as service:
        head = b"POST /api/v1/requests HTTP/1.1\nHost: localhost\nContent-Length: 1001\n\n"
        answer = await raw(service, head)  # nothing of the body is sent
        assert answer.startswith(b"HTTP/1.1 413")
        assert json.loads(answer.rpartition(b"\r\n\r\n")[2])["code"] == "too_large"


async def test_a_body_in_chunks_is_cut_where_it_is_too_large(tmp_path):
    async with serving(tmp_path / "vault", max_body_bytes=1000) as service:
        token = service.token("agent", "bot").encode()
        head = (
            b"POST /api/v1/requests HTTP/1.1\nHost: localhost\nContent-Type: application/json\n"
            b"Authorization: Bearer " + token + b"\nTransfer-Encoding: chunked\n\n"
        )
        chunk = b"258\r\n" + b" " * 600 + b"\r\n"
        answer = await raw(service, head, chunk, chunk)  # and no last chunk
        assert answer.startswith(b"HTTP/1.1 413")
        assert await service.hitl.list_requests() == []


async def test_a_body_that_does_not_come_is_given_up(tmp_path):
    async with serving(tmp_path / "vault", body_within_s=0.2) as service:
        token = service.token("agent", "bot").encode()
        head = (
            b"POST /api/v1/requests HTTP/1.1\nHost: localhost\nContent-Type: application/json\n"
            b"Authorization: Bearer " + token + b"\nContent-Length: 100\n\n"
        )
        assert (await raw(service, head, b"{")).startswith(b"HTTP/1.1 408")
        head = b"POST /sign-in HTTP/1.1\nHost: localhost\nContent-Length: 9\n"
        form = b"Content-Type: application/x-www-form-urlencoded\n\n"
        assert (await raw(service, head + form, b"a")).startswith(b"HTTP/1.1 408")


async def test_addresses_and_headers_have_a_measure(tmp_path):
    async with serving(tmp_path / "vault") as service:
        bot = service.agent()
        assert (await bot.get("/api/v1/requests", params={"type": "x" * 9000})).status_code == 414
        assert (await bot.get("/api/v1/requests", headers={"X": "x" * 40_000})).status_code == 431
        assert (await bot.get("/api/v1/requests")).status_code == 200


async def test_a_caller_who_sends_too_much_hears_when_to_go_on(tmp_path):
    async with serving(tmp_path / "vault", per_minute=5) as service:
        bot, other = service.agent("bot"), service.agent("other")
        answers = [await bot.get("/api/v1/requests") for _ in range(12)]
        slow = [one for one in answers if one.status_code == 429]
        assert slow
        assert slow[-1].json()["code"] == "too_fast"
        assert 1 <= int(slow[-1].headers["retry-after"]) <= 60
        assert (await other.get("/api/v1/requests")).status_code == 200


def test_no_more_than_that_many_count_in_about_any_minute():
    now = 30.0
    limits = Limits(per_minute=60, failures_per_minute=1, at_once=9, max_waits=9, now=lambda: now)

    def sent(most: int) -> int:
        for number in range(most):
            try:
                with limits.counting("bot"):
                    pass
            except TooFast as error:
                assert 0 < error.after_s <= 60
                return number
        return most

    assert sent(100) == 60
    with limits.counting("other"):
        pass
    now = 75.0  # a quarter of the next minute: three quarters of those before still count
    assert sent(100) == 15
    with pytest.raises(TooFast) as caught, limits.counting("bot"):
        pass
    now += caught.value.after_s  # when it was told to come again, it may
    assert sent(1) == 1
    now = 300.0  # nothing of then counts
    assert sent(100) == 60


async def test_tokens_that_do_not_count_are_slowed_and_those_that_do_are_not(tmp_path):
    async with serving(tmp_path / "vault", failures_per_minute=5) as service:
        guesser, bot = service.client("hitl_0123456789_guess"), service.agent()
        statuses = [(await guesser.get("/api/v1/requests")).status_code for _ in range(12)]
        assert statuses[0] == 401
        assert statuses[-1] == 429
        assert (await bot.get("/api/v1/requests")).status_code == 200


async def test_one_caller_may_wait_so_often_at_once(tmp_path):
    async with serving(tmp_path / "vault", max_waits=3) as service:
        bot = service.agent()
        id = (await bot.post("/api/v1/requests", json=PAYMENT)).json()["id"]
        path = f"/api/v1/requests/{id}/wait"
        waits = [asyncio.create_task(bot.get(path)) for _ in range(3)]
        while service.serving.limits.answering < 3:
            await asyncio.sleep(0.01)
        assert (await bot.get(path)).status_code == 429
        assert (await bot.get("/api/v1/events")).status_code == 429
        assert (await service.agent("bot").get(path, params={"timeout": 0})).status_code == 200
        alice = service.reviewer("alice")
        await alice.post(f"/api/v1/requests/{id}/votes", json={"answer": "approve"})
        assert {one.status_code for one in await asyncio.gather(*waits)} == {200}
        assert (await bot.get(path)).status_code == 200
        assert service.serving.limits.answering == 0


async def test_waits_and_streams_hold_up_no_other_call_of_their_caller(tmp_path):
    async with serving(tmp_path / "vault", at_once=2, max_waits=10) as service:
        bot, limits = service.agent(), service.serving.limits
        id = (await bot.post("/api/v1/requests", json=PAYMENT)).json()["id"]
        path = f"/api/v1/requests/{id}/wait"
        waits = [asyncio.create_task(bot.get(path)) for _ in range(4)]
        async with (
            bot.stream("GET", "/api/v1/events") as one,
            bot.stream("GET", "/api/v1/events") as other,
        ):
            assert (one.status_code, other.status_code) == (200, 200)
            while limits.waiting.total() < 6:
                await asyncio.sleep(0.01)
            assert limits.answered.total() == 0
            alice = service.reviewer("alice")
            await alice.post(f"/api/v1/requests/{id}/votes", json={"answer": "approve"})
            claim = f"/api/v1/requests/{id}/claim"
            assert (await bot.post(claim, json={})).status_code == 200
        await asyncio.gather(*waits)
        while limits.answering:  # streams end with their connection
            await asyncio.sleep(0.01)
        assert not limits.waiting


async def test_calls_that_do_not_wait_are_so_many_at_once(tmp_path, monkeypatch):
    async with serving(tmp_path / "vault", at_once=2) as service:
        bot, go_on, hitl = service.agent(), asyncio.Event(), service.hitl
        find = hitl.list_requests

        async def slow(**filters):
            await go_on.wait()
            return await find(**filters)

        monkeypatch.setattr(hitl, "list_requests", slow)
        calls = [asyncio.create_task(bot.get("/api/v1/requests")) for _ in range(2)]
        while service.serving.limits.answered.total() < 2:
            await asyncio.sleep(0.01)
        assert (await bot.get("/api/v1/requests")).status_code == 429
        go_on.set()
        assert {one.status_code for one in await asyncio.gather(*calls)} == {200}


@pytest.mark.parametrize("path", ["/sign-in", "/api/v1/requests", "/nowhere", "/sign-in/link.js"])
async def test_every_answer_tells_browsers_to_load_nothing_from_elsewhere(tmp_path, path):
    async with serving(tmp_path / "vault") as service:
        headers = (await service.client().get(path)).headers
        policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
        assert policy == {
            "default-src": "'none'",
            "script-src": "'self'",
            "style-src": "'self'",
            "img-src": "'self' data:",
            "connect-src": "'self'",
            "form-action": "'self'",
            "frame-ancestors": "'none'",
            "base-uri": "'none'",
        }
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cache-control"] == "no-store"
        assert headers["cross-origin-opener-policy"] == "same-origin"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert "camera=()" in headers["permissions-policy"]
        assert "strict-transport-security" not in headers
        assert "access-control-allow-origin" not in headers


async def test_an_answer_to_a_fault_has_the_headers_too(tmp_path, monkeypatch):
    async with serving(tmp_path / "vault", url="https://hitl.example") as service:

        async def fail(*_, **__):
            raise RuntimeError("a fault")

        monkeypatch.setattr(service.hitl, "list_requests", fail)
        answer = await service.reviewer().get("/api/v1/requests")
        assert answer.status_code == 500
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["strict-transport-security"] == "max-age=31536000"


async def test_pages_of_other_sites_are_told_nothing(tmp_path):
    async with serving(tmp_path / "vault") as service:
        asks = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
        answer = await service.client().options("/api/v1/requests", headers=asks)
        assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize("path", ["/sign-in", "/sign-in/link", "/link/x/y", "/sign-in/oidc/back"])
async def test_an_address_where_nobody_is_known_may_send_so_much(tmp_path, path):
    oidc = OidcSettings(issuer="http://127.0.0.1:9", client_id="hitl")
    async with serving(
        tmp_path / "vault", oidc=oidc, per_minute=5, failures_per_minute=1000
    ) as service:
        anyone, bot = service.client(), service.agent()
        answers = [await anyone.get(path) for _ in range(12)]
        assert answers[0].status_code != 429
        assert answers[-1].status_code == 429
        assert 1 <= int(answers[-1].headers["retry-after"]) <= 60
        assert answers[-1].headers["content-type"].startswith("text/html")  # people look at it
        assert "in a minute" in answers[-1].text
        assert (await bot.get("/api/v1/requests")).status_code == 200
