"""A hand-written PostgreSQL table with LISTEN/NOTIFY: compare-and-set rows, durable commits."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pwd
import shutil
import stat
import subprocess
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from benchmarks.common import ACTION, children, folder

MODULES = ("psycopg",)
PROGRAMS = ("initdb", "pg_ctl")
_AGENT_CONNECTIONS, _DECIDER_CONNECTIONS = 16, 8
_TABLE = """
CREATE TABLE requests (id text PRIMARY KEY, status text NOT NULL, action jsonb NOT NULL,
    reviewer text, claim text, result text, created_at timestamptz DEFAULT now())
"""


class Connections:
    """A few connections, each used by one task at a time."""

    def __init__(self) -> None:
        self._free: asyncio.Queue[Any] = asyncio.Queue()
        self._all: list[Any] = []

    async def open(self, dsn: str, count: int) -> None:
        """Connect."""
        import psycopg

        for _ in range(count):
            connection = await psycopg.AsyncConnection.connect(dsn, autocommit=True)
            self._all.append(connection)
            self._free.put_nowait(connection)

    async def change(self, statement: str, values: tuple[Any, ...]) -> int:
        """Run one statement in its own transaction; return the rows it changed."""
        connection = await self._free.get()
        try:
            return int((await connection.execute(statement, values)).rowcount)
        finally:
            self._free.put_nowait(connection)

    async def close(self) -> None:
        """Close all."""
        for connection in self._all:
            await connection.close()


class Agent:
    """An agent that keeps its requests in rows."""

    def __init__(self, rows: Connections, listener: Any) -> None:
        self._rows, self._listener = rows, listener
        self._waiting: dict[str, asyncio.Future[None]] = {}
        self._listening = asyncio.ensure_future(self._listen())

    async def _listen(self) -> None:
        async for note in self._listener.notifies():
            future = self._waiting.pop(note.payload, None)
            if future is not None:
                future.set_result(None)

    async def cycle(self, number: int) -> None:
        """Ask, wait, claim, finish."""
        id = f"r{number}"
        self._waiting[id] = future = asyncio.get_running_loop().create_future()
        await self._rows.change(
            "WITH asked AS (INSERT INTO requests (id, status, action) VALUES (%s, 'pending', %s) "
            "RETURNING id) SELECT pg_notify('asked', id) FROM asked",
            (id, json.dumps(ACTION)),
        )
        await future
        for before, after in (("approved", "executing"), ("executing", "executed")):
            changed = await self._rows.change(
                "UPDATE requests SET status = %s WHERE id = %s AND status = %s", (after, id, before)
            )
            if changed != 1:
                raise RuntimeError(f"{id} was not {before}")


async def decide_all(dsn: str, number: int, count: int) -> None:
    """Approve our share of what is asked, for ever."""
    import psycopg

    rows = Connections()
    await rows.open(dsn, max(1, _DECIDER_CONNECTIONS // count))
    listener = await psycopg.AsyncConnection.connect(dsn, autocommit=True)
    await listener.execute("LISTEN asked")
    tasks: set[asyncio.Task[int]] = set()
    async for note in listener.notifies():
        if zlib.crc32(note.payload.encode()) % count == number:
            task = asyncio.ensure_future(
                rows.change(
                    "WITH decided AS (UPDATE requests SET status = 'approved', reviewer = 'alice' "
                    "WHERE id = %s AND status = 'pending' RETURNING id) "
                    "SELECT pg_notify('decided', id) FROM decided",
                    (note.payload,),
                )
            )
            tasks.add(task)
            task.add_done_callback(tasks.discard)


def _become(user: str) -> Any:
    account = pwd.getpwnam(user)

    def demote() -> None:
        os.setgroups([])
        os.setgid(account.pw_gid)
        os.setuid(account.pw_uid)

    return demote


def _is_open(path: Path) -> bool:
    return all(part.stat().st_mode & stat.S_IXOTH for part in (path, *path.parents))


@contextlib.contextmanager
def _server() -> Iterator[str]:
    """Run a server of our own on a socket in its folder; it refuses to run as root."""
    with folder("postgres") as root:
        base = root
        if os.geteuid() == 0:  # beside ours where another user gets there, for the same disk
            base = root.parent if _is_open(root.parent) else Path("/tmp")
        base = Path(
            subprocess.run(
                ["mktemp", "-d", "-p", str(base)], check=True, capture_output=True, text=True
            ).stdout.strip()
        )
        options: dict[str, Any] = {"check": True, "capture_output": True, "cwd": base}
        if os.geteuid() == 0:
            shutil.chown(base, "postgres")
            options["preexec_fn"] = _become("postgres")
        data = base / "data"
        try:
            subprocess.run(
                ["initdb", "-D", data, "-A", "trust", "-U", "bench", "--no-sync"], **options
            )
            settings = f"-c listen_addresses='' -k {base} -c max_connections=120 -c shared_buffers=128MB -c synchronous_commit=on"
            subprocess.run(
                ["pg_ctl", "-D", data, "-w", "-l", base / "log", "-o", settings, "start"], **options
            )
            try:
                yield f"host={base} user=bench dbname=postgres"
            finally:
                subprocess.run(["pg_ctl", "-D", data, "-m", "immediate", "stop"], **options)
        finally:
            shutil.rmtree(base, ignore_errors=True)


@asynccontextmanager
async def open_(deciders: int) -> AsyncIterator[Agent]:
    """Start a server, make the table, connect."""
    import psycopg

    with _server() as dsn:
        rows = Connections()
        await rows.open(dsn, _AGENT_CONNECTIONS)
        await rows.change(_TABLE, ())
        listener = await psycopg.AsyncConnection.connect(dsn, autocommit=True)
        await listener.execute("LISTEN decided")
        with children(deciders, "postgres", dsn):
            agent = Agent(rows, listener)
            try:
                yield agent
            finally:
                agent._listening.cancel()
                await asyncio.gather(agent._listening, return_exceptions=True)
                await listener.close()
                await rows.close()
