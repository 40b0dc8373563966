"""Owns the other processes of the figures: who edits notes, and who decides. Run by `Child`."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
import zlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from benchmarks.gestures import GESTURES, tick
from benchmarks.web import serve_ours, serve_peer


def ready() -> None:
    """Tell the parent that it may begin."""
    print("ready", flush=True)


def editor() -> None:
    """Edit what each line names, `gesture<TAB>path`; answer the time just before the change."""
    ready()
    for line in sys.stdin:
        gesture, path = line.rstrip("\n").split("\t")
        print(GESTURES[gesture](Path(path)), flush=True)


def burst(root: str) -> None:
    """Write as many notes as each line says into sub-folders of `root`; answer when done."""
    ready()
    for line in sys.stdin:
        for number in range(int(line)):
            target = Path(root, f"n{number % 30}", f"other-{number}.md")
            target.parent.mkdir(exist_ok=True)
            target.write_text("# Not ours\n")
        print("done", flush=True)


async def _until_told_to_stop() -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    ready()
    await reader.read()


def _mine(id: str, number: int, count: int) -> bool:
    return zlib.crc32(id.encode()) % count == number


async def _follow(root: Path, decide: Callable[[Any, Any], Awaitable[None]], shard: Any) -> None:
    """Call `decide(ledger, event)` for each new request of our share, as the ledger tells it."""
    from hitl_vault.core.events import Kind
    from hitl_vault.wiring import open_ledger

    ledger = open_ledger(root)
    observer = _watch_bell(root, ledger)
    tasks: set[asyncio.Task[None]] = set()

    async def follow() -> None:
        async for recorded in ledger.changes((await ledger.head()).seq, follow=True):
            event = recorded.event
            if event.kind is Kind.REQUESTED and _mine(event.request_id, *shard):
                task = asyncio.ensure_future(decide(ledger, event))
                tasks.add(task)
                task.add_done_callback(tasks.discard)

    following = asyncio.ensure_future(follow())
    await asyncio.sleep(0)
    await _until_told_to_stop()
    following.cancel()
    observer.stop()
    await ledger.aclose()


def _watch_bell(root: Path, ledger: Any) -> Any:
    """Hint the ledger whenever its bell rings, as the product's watcher does."""
    from watchdog.events import FileClosedEvent, FileSystemEventHandler
    from watchdog.observers import Observer

    loop, bell = asyncio.get_running_loop(), str(root / ".hitl" / "bell")
    asked = False

    def hint() -> None:
        nonlocal asked
        asked = False
        ledger.hint()

    class Bell(FileSystemEventHandler):
        def dispatch(self, event: Any) -> None:
            nonlocal asked
            if event.src_path == bell and not asked:
                asked = True
                loop.call_soon_threadsafe(hint)

    ledger._loop = loop
    observer = Observer()
    observer.schedule(Bell(), str(root / ".hitl"), event_filter=[FileClosedEvent])
    observer.start()
    return observer


def voter(root: str, number: str, count: str) -> None:
    """Approve through the ledger whatever is asked."""
    from hitl_vault.core.commands import Vote
    from hitl_vault.core.model import Answer

    async def decide(ledger: Any, event: Any) -> None:
        await ledger.submit(
            Vote(
                id=event.request_id,
                reviewer="alice",
                answer=Answer.APPROVE,
                payload_sha256=event.data["payload_sha256"],
            )
        )

    asyncio.run(_follow(Path(root), decide, (int(number), int(count))))


def note_voter(root: str, number: str, count: str) -> None:
    """Approve by ticking the box in the note of whatever is asked."""

    async def decide(_ledger: Any, event: Any) -> None:
        path = Path(root, "Pending_Approval", f"approval_{event.request_id}.md")
        while True:
            with contextlib.suppress(FileNotFoundError):
                tick(path)
                return
            await asyncio.sleep(0.0005)

    asyncio.run(_follow(Path(root), decide, (int(number), int(count))))


def postgres(dsn: str, number: str, count: str) -> None:
    """Approve rows of the PostgreSQL peer."""
    from benchmarks.peers.postgres import decide_all

    async def both() -> None:
        deciding = asyncio.ensure_future(decide_all(dsn, int(number), int(count)))
        await asyncio.sleep(0.3)
        await _until_told_to_stop()
        deciding.cancel()

    asyncio.run(both())


def redis(socket: str, number: str, count: str) -> None:
    """Approve entries of the Redis peer."""
    from benchmarks.peers.redis_stream import decide_all

    async def both() -> None:
        deciding = asyncio.ensure_future(decide_all(socket, int(number), int(count)))
        await asyncio.sleep(0.3)
        await _until_told_to_stop()
        deciding.cancel()

    asyncio.run(both())


def echo(_number: str, _count: str) -> None:
    """Answer each line with itself: a person who approves whatever is shown."""
    ready()
    while True:
        chunk = os.read(0, 65536)
        if not chunk:
            return
        os.write(1, chunk)


_ROLES = (editor, burst, voter, note_voter, postgres, redis, echo, serve_ours, serve_peer)
ROLES = {role.__name__: role for role in _ROLES}

if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt, BrokenPipeError):
        started = time.monotonic_ns()
        ROLES[sys.argv[1]](*sys.argv[2:])  # type: ignore[operator]
