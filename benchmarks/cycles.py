"""Figure 2: whole durable cycles: ask, decided by another process, wake, claim, finish."""

from __future__ import annotations

import asyncio
import gc
import itertools
import shutil
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from benchmarks.common import Scale, Table, median, missing, ms, percentile, rate, say, times
from benchmarks.peers import langgraph_sqlite, ours, postgres, redis_stream

TITLE = "Whole durable cycles a second: ask, decide elsewhere, wake, claim, finish"
_LONG_S = 40.0


@dataclass(kw_only=True)
class Runner:
    """One way to do it, and what was measured of it by (waiters, deciders)."""

    name: str
    open: Callable[[int], Any]
    absent: str = ""
    slow: bool = False
    stalled: bool = False
    rates: dict[tuple[int, int], list[float]] = field(default_factory=dict)
    latencies: dict[tuple[int, int], list[float]] = field(default_factory=dict)
    settling: dict[tuple[int, int], list[float]] = field(default_factory=dict)


def runners() -> list[Runner]:
    """Return every way, with the one word that is missing for it here."""
    return [
        Runner(name="hitl_vault, vote through the ledger", open=ours.opened("voter")),
        Runner(name="hitl_vault, box ticked in the note", open=ours.opened("note_voter")),
        Runner(
            name="LangGraph interrupt + AsyncSqliteSaver",
            open=langgraph_sqlite.open_,
            absent=missing(*langgraph_sqlite.MODULES),
            slow=True,
        ),
        Runner(
            name="PostgreSQL rows + LISTEN/NOTIFY",
            open=postgres.open_,
            absent=missing(*postgres.MODULES) or _no_program(postgres.PROGRAMS),
        ),
        Runner(
            name="Redis stream + hashes, AOF always",
            open=redis_stream.open_,
            absent=missing(*redis_stream.MODULES) or _no_program(redis_stream.PROGRAMS),
        ),
    ]


def _no_program(names: tuple[str, ...]) -> str:
    return next((name for name in names if shutil.which(name) is None), "")


async def _run(runner: Runner, waiters: int, deciders: int, total: int) -> None:
    async with runner.open(deciders) as agent:
        numbers = itertools.count()
        for _ in range(3):
            await agent.cycle(next(numbers))
        left, taken = itertools.count(), []

        async def worker() -> None:
            while next(left) < total:
                begun = time.perf_counter()
                await agent.cycle(next(numbers))
                taken.append(time.perf_counter() - begun)

        gc.collect()
        start = time.perf_counter()
        async with asyncio.timeout(_LONG_S):
            await asyncio.gather(*(worker() for _ in range(waiters)))
        spent = time.perf_counter() - start
        where = (waiters, deciders)
        runner.rates.setdefault(where, []).append(total / spent)
        runner.latencies.setdefault(where, []).extend(taken)
        if hasattr(agent, "settled"):
            late = await agent.settled()
            runner.settling.setdefault(where, []).append(total / (spent + late))


def run(scale: Scale) -> list[Table]:
    """Measure every way in turn, round by round."""
    found = runners()
    shapes = scale.pick([(1, 1), (100, 1)], [(1, 1), (100, 1), (1000, 1), (100, 8), (1000, 8)])
    rounds = scale.pick(1, 3)
    for round, (waiters, deciders) in itertools.product(range(rounds), shapes):
        for runner in found:
            if runner.absent or runner.stalled:
                continue
            say(f"cycles: {waiters} waiters, {deciders} deciders, round {round + 1}: {runner.name}")
            total = _total(waiters, slow=runner.slow, quick=scale.quick)
            if runner.slow and deciders > 1:
                continue  # one pipe answers; more processes would not change it
            try:
                asyncio.run(_run(runner, waiters, deciders, total))
            except TimeoutError:
                say(f"cycles: {runner.name} did not finish in {_LONG_S:g} s")
                runner.stalled = True
            except Exception:
                traceback.print_exc()
    return [_table(found, shapes, rounds)]


def _total(waiters: int, *, slow: bool, quick: bool) -> int:
    if waiters == 1:
        return 60 if quick else 200
    if slow:
        return max(waiters, 150 if quick else 300)
    return max(2 * waiters, 600 if quick else 2000)


def _table(found: list[Runner], shapes: list[tuple[int, int]], rounds: int) -> Table:
    names = [
        f"{_of(waiters, 'waiter')}, {_of(deciders, 'decider')}" for waiters, deciders in shapes
    ]
    table = Table(
        title=TITLE, columns=["", *names, "one cycle alone, p50 / p99 ms", "ours : it, at 100"]
    )
    hundred = (100, 1)
    first = median(found[0].rates.get(hundred, []))
    for runner in found:
        if runner.absent or runner.stalled:
            why = f"no {runner.absent}" if runner.absent else "stalled"
            table.add(runner.name, *("–" for _ in shapes), why, "–")
            continue
        alone = runner.latencies.get((1, 1), [])
        table.add(
            runner.name,
            *(
                rate(median(runner.rates[shape])) if shape in runner.rates else "–"
                for shape in shapes
            ),
            f"{ms(percentile(alone, 0.5))} / {ms(percentile(alone, 0.99))}" if alone else "–",
            times(first, median(runner.rates.get(hundred, []))),
        )
    settled = [rate(median(found[0].settling.get(shape, []))) for shape in shapes]
    table.notes.append(
        f"medians of {rounds} rounds in turn. Ours counts until the last finish is committed; until "
        f"the last note shows it: {', '.join(settled)}."
    )
    table.notes.append(
        "each has four durable steps. Only ours writes a note for a person, judges by a policy, "
        "chains an audit record, and claims against the payload's digest."
    )
    table.raw = {
        runner.name: {f"{w}/{d}": values for (w, d), values in runner.rates.items()}
        for runner in found
    }
    return table


def _of(count: int, what: str) -> str:
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"
