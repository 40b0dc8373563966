"""Figure 12: many open streams; the inbox, the metrics and the proof of a large vault."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from benchmarks.common import ACTION, Scale, Table, median, ms, p50_p99, percentile, say, vault
from benchmarks.scale import _fill
from benchmarks.web import Connection, Server, connections, server, tokens

_ASK = {"type": "payment", "description": "Pay the invoice", "details": ACTION}
_LONG_S = 180.0


async def _streams(scale: Scale) -> Table:
    count, events = scale.pick((50, 3), (1000, 20))
    say(f"http: {count:,} streams")
    with vault() as root:
        agent, reviewer = tokens(root)
        with server("serve_ours", str(root)) as ours:
            async with connections(ours.port, count + 1) as (asker, *made):
                for _ in range(20):
                    await asker.json("POST", "/api/v1/requests", agent, _ASK)
                before = ours.resident()
                heard: dict[str, list[float]] = {}
                open_ = asyncio.Semaphore(0)

                async def listen(connection: Connection) -> None:
                    async for piece in connection.stream("/api/v1/events?after=now", reviewer):
                        now = time.perf_counter()
                        if b"event: requested" in piece:
                            for id, times in heard.items():
                                if id.encode() in piece:
                                    times.append(now)
                        elif b"the events of the desk" in piece:
                            open_.release()

                tasks = [asyncio.create_task(listen(one)) for one in made]
                for _ in made:
                    await open_.acquire()
                after = ours.resident()
                first, last, cost = [], [], []
                for number in range(events):
                    id = f"event-{number:04}"
                    heard[id] = []
                    used, begun = ours.cpu(), time.perf_counter()
                    await asker.json("POST", "/api/v1/requests", agent, {**_ASK, "id": id})
                    while len(heard[id]) < count:
                        await asyncio.sleep(0.002)
                    first.append(min(heard[id]) - begun)
                    last.append(max(heard[id]) - begun)
                    cost.append((ours.cpu() - used) / count)
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
    table = Table(title=f"HTTP: {count:,} open streams of events", columns=["", ""])
    table.add("memory of the server for each, KiB", f"{(after - before) / count:.1f}")
    table.add("asking until the first stream has the event, p50 ms", ms(percentile(first, 0.5)))
    table.add("until the last one has it (p50 / p99)", f"{p50_p99(last)} ms")
    table.add("processor time for each stream and event, ms", ms(median(cost)))
    table.raw = {"before": before, "after": after, "first": first, "last": last}
    return table


async def _timed(connection: Connection, runs: int, *call: Any) -> list[float]:
    taken = []
    for number in range(runs + 1):
        begun = time.perf_counter()
        status, text = await connection.call(*call)
        assert status == 200, f"{call[1]}: {status} {text[:200]!r}"
        if number:  # the first one loads what is loaded once
            taken.append(time.perf_counter() - begun)
    return taken


async def _until_shown(root: Any, pending: int) -> None:
    give_up = time.perf_counter() + _LONG_S
    folder = root / "Pending_Approval"
    while sum(1 for _ in folder.iterdir()) < pending and time.perf_counter() < give_up:
        await asyncio.sleep(0.2)
    await asyncio.sleep(2)


async def _pages(root: Any, ours: Server, reviewer: str, runs: int) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    ways = {
        "the inbox's first page": ("GET", "/inbox"),
        "GET /api/v1/requests, the newest 50": ("GET", "/api/v1/requests"),
        "GET /api/v1/requests?status=pending": ("GET", "/api/v1/requests?status=pending"),
        "GET /metrics": ("GET", "/metrics"),
        "GET /api/v1/stats": ("GET", "/api/v1/stats"),
    }
    async with connections(ours.port, 1) as (one,):
        for name, call in ways.items():
            found[name] = await _timed(one, runs, *call, reviewer)
        found["GET /api/v1/audit/verify"] = await _timed(
            one, max(1, runs // 7), "GET", "/api/v1/audit/verify", reviewer
        )
    return found


def _large(scale: Scale) -> Table:
    sizes = scale.pick([(300, 300), (3_000, 300)], [(10_000, 10_000), (100_000, 10_000)])
    found = []
    for count, pending in sizes:
        say(f"http: {count:,} requests, {pending:,} pending")
        with vault() as root:
            _, reviewer = tokens(root)
            asyncio.run(_fill(root, count, pending))
            with server("serve_ours", str(root)) as ours:
                asyncio.run(_until_shown(root, pending))
                found.append(asyncio.run(_pages(root, ours, reviewer, scale.pick(5, 21))))
    table = Table(
        title=f"HTTP: answers of a vault with {sizes[0][1]:,} pending, ms (p50 / p99)",
        columns=["", *(f"{count:,} requests in all" for count, _ in sizes)],
    )
    for name in found[0]:
        table.add(name, *(p50_p99(each[name]) for each in found))
    table.notes.append("one call at a time, from sending it until the whole answer is there.")
    table.raw = {f"{count}": each for (count, _), each in zip(sizes, found, strict=True)}
    return table


def run(scale: Scale) -> list[Table]:
    """Measure."""
    return [asyncio.run(_streams(scale)), _large(scale)]
