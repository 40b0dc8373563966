"""A real `hitl serve`: its log, its end by a signal, and its start after being killed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import httpx
import pytest

from hitl_vault.adapters.access.tokens import FILE, AccessTokens
from hitl_vault.cli.starting import make_vault
from hitl_vault.core.access import Caller
from hitl_vault.server.listening import listen

pytestmark = pytest.mark.timeout(180)
PAYMENT = {"type": "payment", "description": "Pay", "details": {"amount": 1500, "to": "v@x.org"}}
REQUESTS = "/api/v1/requests"


class Desk:
    """A vault and the process that serves it."""

    def __init__(self, root):
        self.root = root
        make_vault(root)
        tokens = AccessTokens(root / ".hitl" / "keys" / FILE)
        now = datetime.now(UTC)
        self.agent_token = tokens.create(Caller.AGENT, "bot", now, scopes=())[1]
        self.alice_token = tokens.create(Caller.REVIEWER, "alice", now, scopes=())[1]
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = root.parent / "log.txt"

    def client(self, token=None):
        return httpx.AsyncClient(
            base_url=self.url,
            headers={"Authorization": f"Bearer {token or self.agent_token}"},
            timeout=60,
        )

    @asynccontextmanager
    async def serving(self, *options):
        command = [sys.executable, "-m", "hitl_vault", "serve", "--vault", str(self.root)]
        with self.log.open("a") as log:
            process = subprocess.Popen(
                [*command, "--port", str(self.port), *options], stdout=log, stderr=log
            )
        try:
            await self._ready(process)
            yield process
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()

    async def _ready(self, process):
        async with httpx.AsyncClient(base_url=self.url) as client, asyncio.timeout(60):
            while True:
                assert process.poll() is None, self.log.read_text()
                try:
                    if (await client.get("/readyz")).status_code == 200:
                        return
                except httpx.TransportError:
                    await asyncio.sleep(0.05)

    def lines(self):
        return self.log.read_text().splitlines()


@pytest.fixture
def desk(tmp_path):
    return Desk(tmp_path / "vault")


async def ended(process, within_s=15):
    began = time.monotonic()
    code = await asyncio.to_thread(process.wait, within_s)
    return code, time.monotonic() - began


async def listening(client, until):
    """Read a stream to its end; sets `until` once it is open."""
    text = ""
    async with client.stream("GET", "/api/v1/events") as answer:
        async for piece in answer.aiter_text():
            text += piece
            until.set()
    return text


async def test_sigterm_answers_who_waits_ends_streams_and_drops_nothing(desk):
    """Exit 0 within seconds; the waiter asks the next process and hears the answer there."""
    async with desk.client() as agent, desk.client(desk.alice_token) as alice:
        async with desk.serving() as process:
            id = (await agent.post(REQUESTS, json=PAYMENT)).json()["id"]
            open_ = asyncio.Event()
            stream = asyncio.create_task(listening(alice, open_))
            await open_.wait()
            waiting = asyncio.create_task(agent.get(f"{REQUESTS}/{id}/wait?timeout=60"))
            async with desk.client(desk.alice_token) as watching, asyncio.timeout(20):
                while "hitl_waiters 1.0" not in (await watching.get("/metrics")).text:
                    await asyncio.sleep(0.05)
            process.send_signal(signal.SIGTERM)
            answer = await waiting
            assert (answer.status_code, answer.json()["status"]) == (200, "pending")
            told = await stream
            assert told.endswith("retry: 1000\n: the service stops; come back\n\n")
            code, seconds = await ended(process)
            assert code == 0, desk.log.read_text()
            assert seconds < 10
        async with desk.serving():
            waiting = asyncio.create_task(agent.get(f"{REQUESTS}/{id}/wait?timeout=60"))
            voted = await alice.post(f"{REQUESTS}/{id}/votes", json={"answer": "approve"})
            assert voted.status_code == 200
            assert (await waiting).json()["status"] == "approved"


async def test_who_reads_nothing_does_not_hold_the_end_up(desk):
    """A stream whose reader has stopped is cut; it goes on from its last event elsewhere."""
    async with desk.client() as agent, desk.serving() as process:
        id = (await agent.post(REQUESTS, json=PAYMENT)).json()["id"]
        with socket.socket() as stuck:
            stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            stuck.connect(("127.0.0.1", desk.port))
            head = f"GET /api/v1/events HTTP/1.1\r\nHost: 127.0.0.1:{desk.port}\r\n"
            stuck.sendall(f"{head}Authorization: Bearer {desk.alice_token}\r\n\r\n".encode())
            from hitl_vault import Orchestrator

            async with Orchestrator(desk.root, watching=False) as other:
                for number in range(190):
                    await other.comment(id, "x" * 9_000 + str(number), author=f"bot-{number % 2}")
            process.send_signal(signal.SIGTERM)
            code, seconds = await ended(process, 20)
        assert code == 0, desk.log.read_text()
        assert seconds < 12
        assert "Traceback" not in desk.log.read_text()


async def test_what_is_being_stored_at_the_end_is_stored_and_answered(desk):
    """Every call that was taken is answered; what was answered is on record."""
    async with desk.client() as agent:
        async with desk.serving() as process:
            first = await agent.post(REQUESTS, json=PAYMENT)
            assert first.status_code == 201
            asking = [
                asyncio.create_task(agent.post(REQUESTS, json={**PAYMENT, "key": f"k-{number}"}))
                for number in range(40)
            ]
            await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED)
            process.send_signal(signal.SIGTERM)
            answers = await asyncio.gather(*asking, return_exceptions=True)
            assert (await ended(process))[0] == 0, desk.log.read_text()
        stored = [one.json()["id"] for one in answers if isinstance(one, httpx.Response)]
        assert stored
        async with desk.serving():
            for id in stored:
                assert (await agent.get(f"{REQUESTS}/{id}")).status_code == 200


async def test_after_a_kill_in_the_middle_the_next_start_is_fine_and_nothing_answered_is_lost(desk):
    async with desk.client() as agent:
        async with desk.serving() as process:
            asking = [
                asyncio.create_task(agent.post(REQUESTS, json={**PAYMENT, "key": f"k-{number}"}))
                for number in range(40)
            ]
            await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED)
            os.kill(process.pid, signal.SIGKILL)
            answers = await asyncio.gather(*asking, return_exceptions=True)
        stored = {one.json()["id"] for one in answers if isinstance(one, httpx.Response)}
        assert stored
        async with desk.serving() as process:
            for id in stored:
                assert (await agent.get(f"{REQUESTS}/{id}")).json()["status"] == "pending"
            again = await asyncio.gather(
                *(agent.post(REQUESTS, json={**PAYMENT, "key": f"k-{n}"}) for n in range(40))
            )
            assert {one.status_code for one in again} <= {200, 201}
            assert stored <= {one.json()["id"] for one in again}
            process.send_signal(signal.SIGTERM)
            assert (await ended(process))[0] == 0


async def test_each_call_is_one_line_and_no_line_holds_a_secret(desk):
    """JSON for programs: who, what, how it went, and the trace; never what varies in an address."""
    parent = f"00-{'4' * 32}-{'a' * 16}-01"
    async with desk.client() as agent:
        async with desk.serving("--log-format", "json") as process:
            asked = await agent.post(
                REQUESTS,
                json=PAYMENT | {"description": "secret-text"},
                headers={"traceparent": parent, "X-Request-ID": "call-1"},
            )
            assert asked.headers["x-request-id"] == "call-1"
            id = asked.json()["id"]
            await agent.get(f"{REQUESTS}/{id}?code=secret-code")
            wrong = {"Authorization": "Bearer hitl_abc_secret-token", "X-Request-ID": "a b\x7f"}
            assert (await agent.get(REQUESTS, headers=wrong)).status_code == 401
            await agent.get("/secret-path")
            process.send_signal(signal.SIGTERM)
            await ended(process)
    lines = [json.loads(line) for line in desk.lines() if line.startswith("{")]
    calls = [line for line in lines if line["message"] == "call" and line["route"] != "/readyz"]
    assert [(one["method"], one["route"], one["status"]) for one in calls] == [
        ("POST", REQUESTS, 201),
        ("GET", REQUESTS + "/{id}", 200),
        ("GET", REQUESTS, 401),
        ("GET", "(unknown)", 404),
    ]
    assert (calls[0]["caller"], calls[0]["trace_id"]) == ("bot", "4" * 32)
    assert calls[0]["request_id"] == "call-1"
    assert calls[0]["ms"] > 0
    assert (calls[2]["caller"], len(calls[2]["request_id"])) == ("", 16)
    text = desk.log.read_text()
    assert "secret" not in text
    assert id not in text
    assert desk.agent_token not in text


async def test_text_lines_say_the_same(desk):
    async with desk.client() as agent, desk.serving() as process:
        await agent.get(REQUESTS)
        process.send_signal(signal.SIGTERM)
        await ended(process)
    (line,) = [line for line in desk.lines() if f"route={REQUESTS} " in line]
    assert " info call method=GET " in line
    assert "status=200" in line
    assert "caller=bot" in line


def test_an_unknown_format_is_said(desk):
    done = subprocess.run(
        [sys.executable, "-m", "hitl_vault", "serve", "--vault", str(desk.root), "--log-format=x"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2, done.stderr
    assert "log_format must be one of text, json" in done.stderr


async def test_no_answer_waits_until_the_one_before_is_acknowledged():
    """Nagle's algorithm would hold the second piece of each answer back for 40 ms."""
    accepted: asyncio.Future[asyncio.StreamWriter] = asyncio.get_running_loop().create_future()

    async def note(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.set_result(writer)

    with listen("127.0.0.1", 0) as listening:
        async with await asyncio.start_server(note, sock=listening):
            _, writer = await asyncio.open_connection(*listening.getsockname())
            theirs = await accepted
            kept = theirs.get_extra_info("socket")
            no_delay = kept.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            for each in (theirs, writer):
                each.close()
                await each.wait_closed()
    assert no_delay
