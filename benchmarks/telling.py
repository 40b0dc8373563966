"""Figure 9: what telling people costs: cycles with nobody to tell, and with a webhook told of each."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from benchmarks.common import (
    ACTION,
    Scale,
    Table,
    median,
    missing,
    ms,
    percentile,
    rate,
    say,
    vault,
)

TITLE = "What telling people costs: cycles a second, ask, approve, claim, finish in one process"
_KEY = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
_WAYS = {
    "nobody is told": "",
    "a webhook is told of what waits": 'events = ["requested"]',
    "a webhook is told of every event": "",
    "the webhook hangs": 'events = ["requested"]\nlimit = "10s"',
}


class _Receiver(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, *, hangs: bool) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.taken, self.hangs, self.end = 0, hangs, threading.Event()


class _Handler(BaseHTTPRequestHandler):
    server: _Receiver

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.server.taken += 1
        if self.server.hangs:
            self.server.end.wait(60)
        with contextlib.suppress(OSError):
            self.send_response(204)
            self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def _told(root: Path, name: str) -> Iterator[_Receiver]:
    os.environ["BENCH_HOOK_KEY"] = _KEY
    receiver = _Receiver(hangs=name == "the webhook hangs")
    thread = threading.Thread(target=receiver.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    if name != "nobody is told":
        (root / ".hitl" / "notify.toml").write_text(
            f'[hook]\nvia = "webhook"\nurl = "http://127.0.0.1:{receiver.server_port}/"\n'
            f'secret = "env:BENCH_HOOK_KEY"\n{_WAYS[name]}\n'
        )
    try:
        yield receiver
    finally:
        receiver.end.set()
        receiver.shutdown()
        receiver.server_close()


async def _run(name: str, waiters: int, total: int) -> tuple[float, list[float], float]:
    """Return cycles a second, seconds of each, and messages taken a second until all were."""
    from hitl_vault import Orchestrator

    with vault() as root, _told(root, name) as receiver:
        async with Orchestrator(root, settle_s=0) as hitl:
            left, taken = itertools.count(), []

            async def worker() -> None:
                while (number := next(left)) < total:
                    begun = time.perf_counter()
                    request = await hitl.request_approval("payment", f"Pay {number}", ACTION)
                    await hitl.approve(request.id, reviewer="alice")
                    async with hitl.execution(request.id) as run:
                        run.result = "paid"
                    taken.append(time.perf_counter() - begun)

            await asyncio.sleep(0.2)
            start = time.perf_counter()
            await asyncio.gather(*(worker() for _ in range(waiters)))
            spent = time.perf_counter() - start
            wanted = {"a webhook is told of what waits": 1, "a webhook is told of every event": 5}
            messages = wanted.get(name, 0) * total
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(30):
                    while receiver.taken < messages:
                        await asyncio.sleep(0.01)
            told = receiver.taken / (time.perf_counter() - start) if messages else float("nan")
    return total / spent, taken, told


def run(scale: Scale) -> list[Table]:
    """Measure each way in turn, round by round."""
    table = Table(
        title=TITLE, columns=["", "one at a time", "p50 / p99 ms", "100 at once", "told a second"]
    )
    if lacking := missing("httpx", "standardwebhooks"):
        table.add("no", lacking, "–", "–", "–")
        return [table]
    alone: dict[str, list[float]] = {name: [] for name in _WAYS}
    crowd: dict[str, list[float]] = {name: [] for name in _WAYS}
    each: dict[str, list[float]] = {name: [] for name in _WAYS}
    told: dict[str, list[float]] = {name: [] for name in _WAYS}
    rounds = scale.pick(1, 3)
    for round, name in itertools.product(range(rounds), _WAYS):
        say(f"telling: {name}, round {round + 1}")
        cycles, taken, _ = asyncio.run(_run(name, 1, scale.pick(60, 200)))
        alone[name].append(cycles)
        each[name] += taken
        cycles, _, messages = asyncio.run(_run(name, 100, scale.pick(300, 1000)))
        crowd[name].append(cycles)
        told[name].append(messages)
    for name in _WAYS:
        speed = median(told[name])
        table.add(
            name,
            rate(median(alone[name])),
            f"{ms(percentile(each[name], 0.5))} / {ms(percentile(each[name], 0.99))}",
            rate(median(crowd[name])),
            rate(speed) if speed == speed else "–",  # noqa: PLR0124  not a number
        )
    table.notes.append(
        f"medians of {rounds} rounds in turn; the receiver is a thread of the same process, and takes "
        "its share of it. Messages people are late for are left out for people, never for webhooks."
    )
    table.raw = {"alone": alone, "crowd": crowd}
    return [table]
