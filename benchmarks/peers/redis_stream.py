"""A hand-written Redis stream and hashes: compare-and-set in Lua, AOF with `appendfsync always`."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import tempfile
import time
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from benchmarks.common import ACTION, children, folder

MODULES = ("redis",)
PROGRAMS = ("redis-server",)
_CONNECTIONS = 32  # measured: 16, 32 and 100 are alike
_ASK = """
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
redis.call('HSET', KEYS[1], 'status', 'pending', 'action', ARGV[2])
redis.call('XADD', 'asked', '*', 'id', ARGV[1])
return 1
"""
_DECIDE = """
if redis.call('HGET', KEYS[1], 'status') ~= 'pending' then return 0 end
redis.call('HSET', KEYS[1], 'status', 'approved', 'reviewer', 'alice')
redis.call('XADD', 'decided', '*', 'id', ARGV[1])
return 1
"""
_STEP = """
if redis.call('HGET', KEYS[1], 'status') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'status', ARGV[2])
return 1
"""


def _client(socket: str) -> Any:
    import redis.asyncio

    pool = redis.asyncio.BlockingConnectionPool(
        connection_class=redis.asyncio.UnixDomainSocketConnection,
        path=socket,
        decode_responses=True,
        max_connections=_CONNECTIONS,
        timeout=60,
    )
    return redis.asyncio.Redis(connection_pool=pool)


class Agent:
    """An agent that keeps its requests in hashes."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._ask, self._step = client.register_script(_ASK), client.register_script(_STEP)
        self._waiting: dict[str, asyncio.Future[None]] = {}
        self._listening = asyncio.ensure_future(self._listen())

    async def _listen(self) -> None:
        after = "0"
        while True:
            for _, entries in await self._client.xread({"decided": after}, block=1000, count=500):
                for after, fields in entries:  # noqa: B007
                    future = self._waiting.pop(fields["id"], None)
                    if future is not None:
                        future.set_result(None)

    async def cycle(self, number: int) -> None:
        """Ask, wait, claim, finish."""
        id = f"r{number}"
        self._waiting[id] = future = asyncio.get_running_loop().create_future()
        await self._ask(keys=[f"request:{id}"], args=[id, json.dumps(ACTION)])
        await future
        for before, after in (("approved", "executing"), ("executing", "executed")):
            if await self._step(keys=[f"request:{id}"], args=[before, after]) != 1:
                raise RuntimeError(f"{id} was not {before}")


async def decide_all(socket: str, number: int, count: int) -> None:
    """Approve our share of what is asked, for ever."""
    client = _client(socket)
    decide = client.register_script(_DECIDE)
    tasks: set[asyncio.Future[Any]] = set()
    after = "0"
    while True:
        for _, entries in await client.xread({"asked": after}, block=1000, count=500):
            for after, fields in entries:  # noqa: B007
                id = fields["id"]
                if zlib.crc32(id.encode()) % count == number:
                    task = asyncio.ensure_future(decide(keys=[f"request:{id}"], args=[id]))
                    tasks.add(task)
                    task.add_done_callback(tasks.discard)


@contextlib.contextmanager
def _server() -> Iterator[str]:
    with folder("redis") as root, tempfile.TemporaryDirectory() as short:
        socket = str(Path(short) / "s")  # a socket's path may not be long
        options = ["--port", "0", "--unixsocket", socket, "--dir", str(root), "--save", ""]
        server = subprocess.Popen(
            [
                "redis-server",
                *options,
                "--appendonly",
                "yes",
                "--appendfsync",
                "always",
                "--auto-aof-rewrite-percentage",
                "0",
            ],
            stdout=subprocess.DEVNULL,
        )
        try:
            give_up = time.monotonic() + 10
            while not Path(socket).exists() and time.monotonic() < give_up:
                time.sleep(0.02)
            yield socket
        finally:
            server.terminate()
            server.wait()


@asynccontextmanager
async def open_(deciders: int) -> AsyncIterator[Agent]:
    """Start a server, connect."""
    with _server() as socket:
        client = _client(socket)
        with children(deciders, "redis", socket):
            agent = Agent(client)
            try:
                yield agent
            finally:
                agent._listening.cancel()
                await asyncio.gather(agent._listening, return_exceptions=True)
                await client.aclose()
