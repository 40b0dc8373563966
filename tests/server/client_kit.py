"""Desks near and far, a server that can be killed, and a proxy that cuts."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from server_kit import serving

from hitl_vault import ApprovalDesk, Orchestrator, connect
from hitl_vault.adapters.access.tokens import FILE, AccessTokens
from hitl_vault.cli.starting import make_vault
from hitl_vault.core.access import Caller, Scope

POLICY = """```yaml hitl-policy
default: ask
rules:
  - {id: small, when: "action.type == 'payment' && details.amount < 500", effect: allow, reason: Small}
  - {id: large, when: "action.type == 'payment' && details.amount >= 500", effect: ask, answers: [approve, reject, edit]}
  - {id: never, when: "action.type == 'wipe'", effect: deny, reason: Never}
```
"""
EVERYTHING = (Scope.READ, Scope.VOTE, Scope.OPERATE)


@dataclass
class Pair:
    """The desk of an agent, and that of a reviewer who may do everything."""

    hitl: Any
    alice: Any
    root: Path
    service: Any = None


@asynccontextmanager
async def near(root: Path) -> AsyncIterator[Pair]:
    """Both in the process that has the vault open."""
    make_vault(root)
    (root / "Policy.md").write_text(POLICY)
    async with Orchestrator(root, settle_s=0) as hitl:
        yield Pair(hitl, hitl, root)


@asynccontextmanager
async def far(root: Path, **options: Any) -> AsyncIterator[Pair]:
    """Both far from the vault, each with a token."""
    make_vault(root)
    (root / "Policy.md").write_text(POLICY)
    async with serving(root, **options) as service:
        async with (
            connect(service.url, token=service.token("agent", "bot")) as hitl,
            connect(service.url, token=service.token("reviewer", "alice", *EVERYTHING)) as alice,
        ):
            yield Pair(hitl, alice, root, service)


async def until(fact: Callable[[], Any], limit_s: float = 40) -> Any:
    """Wait for a fact and return it."""
    async with asyncio.timeout(limit_s):
        while True:
            told = fact()
            if isinstance(told, Awaitable):
                told = await told
            if told:
                return told
            await asyncio.sleep(0.01)


async def the_waiting(desk: ApprovalDesk) -> Any:
    """Return the one request that waits, as soon as there is one."""
    found = await until(lambda: desk.list_requests(status="pending"))
    return found[0]


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


class ServerProcess:
    """`hitl serve` in a process of its own, always at the same port."""

    def __init__(self, root: Path) -> None:
        make_vault(root)
        (root / "Policy.md").write_text(POLICY)
        self.root, self.port = root, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._tokens = AccessTokens(root / ".hitl" / "keys" / FILE)
        self._running: subprocess.Popen[bytes] | None = None

    def token(self, caller: str, name: str, *scopes: Scope) -> str:
        return self._tokens.create(Caller(caller), name, datetime.now(UTC), scopes=scopes)[1]

    async def start(self) -> None:
        """Start it, and return once it answers."""
        command = [sys.executable, "-m", "hitl_vault", "serve", "--port", str(self.port)]
        self._running = subprocess.Popen(
            [*command, "--vault", str(self.root)], env=os.environ | {"HITL_SETTLE_S": "0"}
        )
        await until(self._answers)

    async def _answers(self) -> bool:
        assert self._running is not None
        assert self._running.poll() is None, "it did not start"
        async with httpx.AsyncClient() as client:
            with contextlib.suppress(httpx.TransportError):
                return (await client.get(f"{self.url}/api/v1/openapi.json")).status_code > 0
        return False

    def end(self, how: int = signal.SIGKILL) -> None:
        """Kill it; nothing of it is left on return."""
        running, self._running = self._running, None
        if running is not None:
            running.send_signal(how)
            running.wait(timeout=30)


@contextmanager
def server_process(root: Path) -> Iterator[ServerProcess]:
    server = ServerProcess(root)
    try:
        yield server
    finally:
        server.end()


@dataclass
class Proxy:
    """A TCP proxy. Each connection takes the next of `plan`, the last ones go through whole.

    A number: so many bytes of the answer go through, then the connection is torn. Bytes: they are
    the answer, and the server hears nothing.
    """

    target: int
    plan: list[int | bytes] = field(default_factory=list)
    port: int = 0
    connections: int = 0
    _open: set[asyncio.StreamWriter] = field(default_factory=set)
    _serving: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def cut(self) -> None:
        """Tear every connection now."""
        for writer in list(self._open):
            writer.transport.abort()

    async def ends(self) -> None:
        """Tear every connection, and wait until each is done with."""
        self.cut()
        serving = list(self._serving)
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._open.add(writer)
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
        step = self.plan.pop(0) if self.plan else None
        try:
            if isinstance(step, bytes):
                await reader.readuntil(b"\r\n\r\n")
                writer.write(step)
                await writer.drain()
                return
            await self._pass_on(reader, writer, step)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self._open.discard(writer)
            if isinstance(step, int):
                writer.transport.abort()
            writer.close()

    async def _pass_on(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, most: int | None
    ) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self.target)

        async def up() -> None:
            with contextlib.suppress(OSError):
                while data := await reader.read(65_536):
                    back.write(data)
                    await back.drain()
                back.close()

        upward = asyncio.create_task(up())
        try:
            left = most
            while data := await there.read(65_536):
                if left is not None:
                    data, left = data[:left], left - len(data)
                if data:
                    writer.write(data)
                    await writer.drain()
                if left is not None and left <= 0:
                    return
        finally:
            upward.cancel()
            await asyncio.gather(upward, return_exceptions=True)
            back.close()


@asynccontextmanager
async def proxy(target: int, *plan: int | bytes) -> AsyncIterator[Proxy]:
    made = Proxy(target, list(plan))
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        await made.ends()


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2])


def says(status: int, body: str = "", *, headers: str = "") -> bytes:
    """Return an HTTP answer that closes the connection."""
    head = f"HTTP/1.1 {status} Said\r\nContent-Length: {len(body)}\r\nConnection: close\r\n"
    return (head + headers + "\r\n" + body).encode()
