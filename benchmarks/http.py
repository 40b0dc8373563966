"""Figure 11: over HTTP: ask, decide, wake; beside a service in memory whose clients poll."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from benchmarks.common import (
    ACTION,
    Scale,
    Table,
    median,
    ms,
    p50_p99,
    percentile,
    rate,
    say,
    times,
    vault,
)
from benchmarks.peers.workflow_service import PATH
from benchmarks.web import Connection, Server, connections, server, tokens

_ASK = {"type": "payment", "description": "Pay the invoice", "details": ACTION}
_WANTED = {"action": "Pay the invoice", "requested_by": "agent", "context": ACTION}
_ASKERS = 10


@dataclass(kw_only=True)
class Side:
    """One of the two services: how it is asked, answered and waited for; what was measured."""

    server: Server
    ask: Callable[[Connection], Awaitable[str]]
    decide: Callable[[Connection, str], Awaitable[None]]
    rates: dict[int, list[float]] = field(default_factory=dict)
    costs: dict[int, list[float]] = field(default_factory=dict)

    async def creates(self, clients: int, count: int) -> list[str]:
        """Ask this often from this many clients at once; note how fast, and what it cost."""
        ids: list[str] = []
        async with connections(self.server.port, clients) as made:
            for one in made:  # each knows the way
                if clients <= 100:
                    await self.ask(one)
            left = iter(range(count))

            async def client(connection: Connection) -> None:
                for _ in left:
                    ids.append(await self.ask(connection))

            used, begun = self.server.cpu(), time.perf_counter()
            await asyncio.gather(*map(client, made))
            self.rates.setdefault(clients, []).append(count / (time.perf_counter() - begun))
            self.costs.setdefault(clients, []).append((self.server.cpu() - used) / count)
        return ids

    async def creates_beside(
        self, waiting: int, count: int, wait: Callable[[Connection, str], Awaitable[None]]
    ) -> float:
        """Return how many requests a second ten clients ask while this many others wait."""
        async with connections(self.server.port, waiting + _ASKERS) as made:
            askers, waiters = made[:_ASKERS], made[_ASKERS:]
            ids = [await self.ask(askers[0]) for _ in waiters]
            pairs = zip(waiters, ids, strict=True)
            tasks = [asyncio.create_task(wait(*pair)) for pair in pairs]
            await asyncio.sleep(3.5)  # every one of them has asked how it stands at least once
            left = iter(range(count))

            async def client(connection: Connection) -> None:
                for _ in left:
                    await self.ask(connection)

            begun = time.perf_counter()
            await asyncio.gather(*map(client, askers))
            taken = time.perf_counter() - begun
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return count / taken

    async def wakes(
        self, clients: int, decisions: int, wait: Callable[[Connection, str], Awaitable[None]]
    ) -> list[float]:
        """Return the seconds from sending a decision until who waits for it knows.

        All `clients` wait; as many as `decisions` of them are decided, one after the other.
        """
        found: list[float] = []
        sent: dict[str, float] = {}
        async with connections(self.server.port, clients + 1) as (decider, *made):
            ids = [await self.ask(decider) for _ in made]

            async def waiting(connection: Connection, id: str) -> None:
                await wait(connection, id)
                found.append(time.perf_counter() - sent[id])

            tasks = [asyncio.create_task(waiting(*pair)) for pair in zip(made, ids, strict=True)]
            await asyncio.sleep(1 if clients > 1 else 0.1)
            picked = random.sample(range(clients), min(decisions, clients))
            for number in picked:
                sent[ids[number]] = time.perf_counter()
                await self.decide(decider, ids[number])
            await asyncio.gather(*(tasks[number] for number in picked))
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return found


@contextlib.asynccontextmanager
async def sides() -> AsyncIterator[tuple[Side, Side, Callable[..., Awaitable[None]]]]:
    """Both services, and how one waits at ours."""
    with vault() as root:
        agent, reviewer = tokens(root)

        async def ask_ours(connection: Connection) -> str:
            return (await connection.json("POST", "/api/v1/requests", agent, _ASK))["id"]

        async def decide_ours(connection: Connection, id: str) -> None:
            path = f"/api/v1/requests/{id}/votes"
            await connection.json("POST", path, reviewer, {"answer": "approve"})

        async def wait(connection: Connection, id: str) -> None:
            path = f"/api/v1/requests/{id}/wait?timeout=60"
            while (await connection.json("GET", path, agent))["status"] == "pending":
                pass

        async def ask_peer(connection: Connection) -> str:
            return (await connection.json("POST", PATH, "", _WANTED))["workflow_id"]

        async def decide_peer(connection: Connection, id: str) -> None:
            await connection.json("POST", f"{PATH}/{id}/approve", "", {"reviewed_by": "alice"})

        with server("serve_ours", str(root)) as ours, server("serve_peer") as peer:
            yield (
                Side(server=ours, ask=ask_ours, decide=decide_ours),
                Side(server=peer, ask=ask_peer, decide=decide_peer),
                wait,
            )


def polled(every: float) -> Callable[[Connection, str], Awaitable[None]]:
    """Return how a client waits that asks again and again; no two begin at the same moment."""

    async def wait(connection: Connection, id: str) -> None:
        await asyncio.sleep(random.random() * every)
        while (await connection.json("GET", f"{PATH}/{id}"))["status"] == "PENDING":
            await asyncio.sleep(every)

    return wait


async def _measure(scale: Scale) -> list[Table]:
    shapes = scale.pick((1, 20), (1, 100, 1000))
    rounds = scale.pick(1, 2)
    woken: dict[tuple[str, int], list[float]] = {}
    beside: dict[tuple[str, int], list[float]] = {}
    async with sides() as (ours, peer, wait):
        for side in (ours, peer):
            await side.creates(10, scale.pick(50, 500))
            side.rates.clear()
            side.costs.clear()
        for number in range(rounds):
            for clients in shapes:
                say(f"http: {clients} clients, round {number + 1}")
                for side in (ours, peer) if number % 2 else (peer, ours):
                    await side.creates(clients, scale.pick(100, 300 if clients == 1 else 2000))
                ways: list[tuple[str, Side, Any, int]] = [
                    ("ours", ours, wait, scale.pick(5, 100)),
                    ("0.1", peer, polled(0.1), scale.pick(5, 100)),
                    ("3.0", peer, polled(3.0), scale.pick(1, 100)),
                ]
                for name, side, way, _ in ways:
                    found = await side.creates_beside(clients, scale.pick(100, 500), way)
                    beside.setdefault((name, clients), []).append(found)
                for name, side, way, decisions in ways:
                    taken = woken.setdefault((name, clients), [])
                    # who is alone waits for one answer after another
                    again = min(decisions, {"3.0": 5}.get(name, 30)) if clients == 1 else 1
                    for _ in range(again):
                        taken += await side.wakes(clients, decisions, way)
    return [
        _creates_table(ours, peer, shapes, rounds),
        _beside_table(beside, shapes),
        _wake_table(woken, shapes),
    ]


def _creates_table(ours: Side, peer: Side, shapes: tuple[int, ...], rounds: int) -> Table:
    table = Table(
        title="HTTP: requests created a second, and the server's processor time for one",
        columns=["clients", "ours", "in memory", "ours : it", "ours, ms", "in memory, ms", "x"],
    )
    for clients in shapes:
        one, other = median(ours.rates[clients]), median(peer.rates[clients])
        cost, least = median(ours.costs[clients]), median(peer.costs[clients])
        table.add(
            f"{clients:,}",
            *(rate(one), rate(other), times(one, other)),
            *(ms(cost), ms(least), times(cost, least)),
        )
    table.notes.append(
        f"medians of {rounds} rounds in turn; servers and clients in processes of their own, the "
        "same uvicorn. Ours: token, policy, fsync, chained event, note, log line. In memory: FastAPI "
        "around a dict, nothing kept."
    )
    table.raw = {"ours": ours.rates, "peer": peer.rates, "ms": [ours.costs, peer.costs]}
    return table


def _beside_table(beside: dict[tuple[str, int], list[float]], shapes: tuple[int, ...]) -> Table:
    table = Table(
        title="HTTP: requests created a second by ten clients, while others wait",
        columns=[
            "waiting",
            "ours, long poll",
            "in memory, polled at 0.1 s",
            "at 3 s",
            "ours : 0.1 s",
        ],
    )
    for clients in shapes:
        mine, fast, slow = (median(beside[name, clients]) for name in ("ours", "0.1", "3.0"))
        table.add(f"{clients:,}", rate(mine), rate(fast), rate(slow), times(mine, fast))
    table.notes.append(
        "all clients share one process, as in the other tables: what polling costs them is counted."
    )
    table.raw = {f"{name}/{clients}": values for (name, clients), values in beside.items()}
    return table


def _wake_table(woken: dict[tuple[str, int], list[float]], shapes: tuple[int, ...]) -> Table:
    table = Table(
        title="HTTP: from sending a decision until who waits for it knows, ms (p50 / p99)",
        columns=["waiting", "ours, long poll", "polled at 0.1 s", "at 3 s", "3 s : ours, p50"],
    )
    for clients in shapes:
        mine, fast, slow = (woken[name, clients] for name in ("ours", "0.1", "3.0"))
        table.add(
            f"{clients:,}",
            *(p50_p99(mine), p50_p99(fast), p50_p99(slow)),
            times(percentile(slow, 0.5), percentile(mine, 0.5)),
        )
    table.notes.append(
        "one decision after the other by one reviewer; ours is a vote, judged and committed with "
        "an fsync before anybody knows. The polled service keeps nothing."
    )
    table.raw = {f"{name}/{clients}": values for (name, clients), values in woken.items()}
    return table


def run(scale: Scale) -> list[Table]:
    """Measure."""
    return asyncio.run(_measure(scale))
