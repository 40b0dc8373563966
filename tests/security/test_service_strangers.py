"""Who is not known costs the service little: nothing of theirs is read, and nothing is held open.

Each shows that callers who are known are served meanwhile, over a real connection.
"""

from __future__ import annotations

import asyncio
import re
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import pytest
from server_kit import serving

REQUESTS = "/api/v1/requests"
_JSON, _FORM = "application/json", "application/x-www-form-urlencoded"


@asynccontextmanager
async def connection(service):
    """Connect, and close."""
    host, port = service.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def status_of(reader):
    """Return the status the service answers with, in time."""
    return int((await asyncio.wait_for(reader.readline(), 10)).split()[1])


def head_of(path, token="", kind=_JSON, method="POST"):
    """Return the head of a request whose body is still to come."""
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", f"Content-Type: {kind}"]
    lines += [f"Authorization: Bearer {token}"] if token else []
    return "\r\n".join([*lines, "Content-Length: 900000", "", ""]).encode()


async def test_a_stranger_is_refused_before_anything_of_a_body_is_read(tmp_path):
    """On every route that takes one: the answer is there though the body never comes."""
    async with serving(tmp_path / "vault") as service:
        schema = (await service.client().get("/api/v1/openapi.json")).json()
        taking = [
            (method.upper(), re.sub(r"\{[^}]*\}", "x", path))
            for path, methods in schema["paths"].items()
            for method, about in methods.items()
            if "requestBody" in about
        ]
        assert len(taking) > 15
        for method, path in taking:
            async with connection(service) as (reader, writer):
                writer.write(head_of(path, method=method))
                assert await status_of(reader) == 401, path


async def test_an_address_that_guesses_is_slowed_before_a_body_is_read(tmp_path):
    async with serving(tmp_path / "vault", failures_per_minute=2) as service:
        for wanted in (401, 401, 429):
            async with connection(service) as (reader, writer):
                writer.write(head_of(REQUESTS, "hitl_0123456789_guess"))
                assert await status_of(reader) == wanted


@pytest.mark.parametrize("path", ["/sign-in", "/inbox/requests/x/vote", "/link/x/y"])
async def test_a_page_that_asks_nobody_who_they_are_reads_so_many_forms_at_once(tmp_path, path):
    async with serving(tmp_path / "vault", at_once=2) as service, AsyncExitStack() as open:
        for _ in range(2):
            _, writer = await open.enter_async_context(connection(service))
            writer.write(head_of(path, kind=_FORM))
        while service.serving.limits.answering < 2:
            await asyncio.sleep(0.01)
        reader, writer = await open.enter_async_context(connection(service))
        writer.write(head_of(path, kind=_FORM))
        assert await status_of(reader) == 429
        assert (await service.agent().get(REQUESTS)).status_code == 200


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET /api/v1/requests HT",
        b"GET /healthz HTTP/1.1\r\n\r\nGET /",
        b"POST /healthz HTTP/1.1\r\nContent-Length: 9\r\n\r\nabc",
    ],
    ids=["nothing", "half a line", "half a second one", "half a body that nobody reads"],
)
async def test_half_a_request_is_not_held_open(tmp_path, sent):
    async with (
        serving(tmp_path / "vault", head_within_s=0.2) as service,
        connection(service) as (reader, writer),
    ):
        writer.write(sent.replace(b"HTTP/1.1", b"HTTP/1.1\r\nHost: localhost"))
        with suppress(ConnectionError):
            await asyncio.wait_for(reader.read(), 10)  # to the end of the connection
        assert reader.at_eof() or reader.exception()


async def test_strangers_who_hold_every_connection_keep_nobody_out(tmp_path):
    async with serving(tmp_path / "vault", max_connections=4) as service, AsyncExitStack() as held:
        for _ in range(12):
            _, writer = await held.enter_async_context(connection(service))
            writer.write(b"GET /api/v1/requests HT")
        assert (await service.agent().get(REQUESTS)).status_code == 200


async def test_a_call_that_waits_keeps_its_connection_whoever_comes(tmp_path):
    async with (
        serving(tmp_path / "vault", max_connections=4, head_within_s=0.2) as service,
        AsyncExitStack() as held,
    ):
        bot, asked = service.agent(), {"type": "x", "description": "x", "details": {}}
        id = (await bot.post(REQUESTS, json=asked)).json()["id"]
        wait = asyncio.create_task(bot.get(f"{REQUESTS}/{id}/wait", params={"timeout": 1}))
        while not service.serving.limits.waiting:
            await asyncio.sleep(0.01)
        for _ in range(12):
            await held.enter_async_context(connection(service))
        assert (await wait).status_code == 200
