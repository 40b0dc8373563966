"""Owns talking HTTP in the figures: servers in processes of their own, and a client that costs as
little as it can, so that what is measured is the server. Never reads what it did not ask for.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

from benchmarks.common import Child

_NO_LIMIT = 10**9


# the server's side


def _serve(server: Any, listening: Any, loop_ran: Any) -> None:
    """Serve until the parent lets go; answer what it asks: `port`, `cpu` and `resident`."""

    def answer() -> None:
        while not server.started:
            time.sleep(0.01)
        print("ready", flush=True)
        for line in sys.stdin:
            match line.strip():
                case "port":
                    print(listening.getsockname()[1], flush=True)
                case "cpu":
                    print(time.process_time(), flush=True)
                case "resident":
                    print(_resident(), flush=True)
        server.should_exit = True

    threading.Thread(target=answer, daemon=True).start()
    loop_ran(server.serve(sockets=[listening]))


def _resident() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])


def _run(work: Any) -> None:
    """Run it; with BENCH_PROFILE=FILE, note there where its event loop spends its time."""
    where = os.environ.get("BENCH_PROFILE")
    if not where:
        asyncio.run(work)
        return
    import cProfile

    profile = cProfile.Profile()
    profile.runcall(asyncio.run, work)
    profile.dump_stats(where)


def serve_ours(root: str) -> None:
    """Serve a vault as `hitl serve` does, with limits that are out of the way."""
    from hitl_vault import Orchestrator
    from hitl_vault.adapters.access.tokens import FILE, AccessTokens
    from hitl_vault.server.app import create_app
    from hitl_vault.server.listening import config_of, listen
    from hitl_vault.server.logs import LogFormat, log_to_stderr
    from hitl_vault.server.serving import ServerOptions, Serving
    from hitl_vault.server.settings import ServerSettings
    from hitl_vault.server.stopping import Server

    sys.stderr = open(os.devnull, "w")
    log_to_stderr(LogFormat.TEXT)
    serving = Serving(
        hitl=Orchestrator(Path(root), settle_s=0),
        tokens=AccessTokens(Path(root, ".hitl", "keys", FILE)),
        options=ServerOptions(per_minute=_NO_LIMIT, at_once=_NO_LIMIT, max_waits=_NO_LIMIT),
    )
    server = Server(config_of(create_app(serving), ServerSettings()), serving.stopping)
    _serve(server, listen("127.0.0.1", 0), _run)


def serve_peer() -> None:
    """Serve the in-memory service with the same uvicorn and the same parser of HTTP."""
    import uvicorn

    from benchmarks.peers.workflow_service import create_app
    from hitl_vault.server.listening import listen

    config = uvicorn.Config(create_app(), http="h11", ws="none", access_log=False, log_level=50)
    _serve(uvicorn.Server(config), listen("127.0.0.1", 0), _run)


class Server(Child):
    """A server in a process of its own."""

    def __init__(self, *argv: str) -> None:
        super().__init__(*argv)
        self.port = int(self._asked("port"))

    def _asked(self, what: str) -> str:
        self.tell(what)
        return self.read()

    def cpu(self) -> float:
        """Return the seconds of processor time it has used."""
        return float(self._asked("cpu"))

    def resident(self) -> int:
        """Return the KiB of memory it holds."""
        return int(self._asked("resident"))


@contextlib.contextmanager
def server(*argv: str) -> Iterator[Server]:
    """A server until the block ends."""
    started = Server(*argv)
    try:
        yield started
    finally:
        started.close()


def tokens(root: Path) -> tuple[str, str]:
    """Return a token of an agent and one of a reviewer."""
    from datetime import UTC, datetime

    from hitl_vault.adapters.access.tokens import FILE, AccessTokens
    from hitl_vault.core.access import Caller, Scope

    (root / ".hitl" / "keys").mkdir(mode=0o700, exist_ok=True)
    known, now = AccessTokens(root / ".hitl" / "keys" / FILE), datetime.now(UTC)
    scopes = (Scope.READ, Scope.VOTE, Scope.OPERATE)
    agent = known.create(Caller.AGENT, "agent", now)[1]
    return agent, known.create(Caller.REVIEWER, "alice", now, scopes=scopes)[1]


# the client's side


class Connection:
    """One connection that is kept, used by one task at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def call(self, method: str, path: str, token: str = "", body: Any = None) -> Any:
        """Return the status and the body of an answer, as bytes."""
        self._send(method, path, token, body)
        status, headers = await self._head()
        said = headers.get("content-length")
        if said is not None:
            return status, await self._reader.readexactly(int(said))
        chunks = b""
        while size := int(await self._reader.readline(), 16):
            chunks += (await self._reader.readexactly(size + 2))[:-2]
        await self._reader.readline()
        return status, chunks

    async def json(self, method: str, path: str, token: str = "", body: Any = None) -> Any:
        """Return what was answered; it must have worked."""
        status, text = await self.call(method, path, token, body)
        assert status in {200, 201}, f"{method} {path}: {status} {text[:300]!r}"
        return json.loads(text)

    async def stream(self, path: str, token: str) -> AsyncIterator[bytes]:
        """Yield what a stream sends, as it comes."""
        self._send("GET", path, token, None)
        status, _ = await self._head()
        assert status == 200, status
        while size := int(await self._reader.readline(), 16):
            yield (await self._reader.readexactly(size + 2))[:-2]

    def close(self) -> None:
        """Let go."""
        self._writer.close()

    def _send(self, method: str, path: str, token: str, body: Any) -> None:
        data = b"" if body is None else json.dumps(body).encode()
        head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n"
        if token:
            head += f"Authorization: Bearer {token}\r\n"
        if body is not None:
            head += f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n"
        self._writer.write(f"{head}\r\n".encode() + data)

    async def _head(self) -> tuple[int, dict[str, str]]:
        lines = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        named = (line.partition(":") for line in lines[1:] if line)
        return int(lines[0].split(" ")[1]), {
            name.strip().lower(): value.strip() for name, _, value in named
        }


@contextlib.asynccontextmanager
async def connections(port: int, count: int) -> AsyncIterator[list[Connection]]:
    """This many connections to a port of this machine."""
    made = [
        Connection(*await asyncio.open_connection("127.0.0.1", port, limit=2**20))
        for _ in range(count)
    ]
    try:
        yield made
    finally:
        for one in made:
            one.close()
