"""Figure 8: what one durable change costs, beside raw SQLite and a raw synced append."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from pathlib import Path
from typing import Any

from benchmarks.common import (
    ACTION,
    Scale,
    Table,
    folder,
    median,
    p50_p99,
    percentile,
    rate,
    say,
    times,
    vault,
)

TITLE = "Commit: one durable change, ms (p50 / p99), and changes a second"


def _ask(number: int, round: int) -> Any:
    from hitl_vault.core.canonical import payload_sha256
    from hitl_vault.core.commands import Ask
    from hitl_vault.core.model import Action, Effect, Verdict

    action = Action(type="payment", description="Pay", details=ACTION, requested_by="agent")
    return Ask(
        id=f"r{round}-{number}",
        action=action,
        payload_sha256=payload_sha256(action),
        verdict=Verdict(effect=Effect.ASK, rules=("large-payment",), reasons=("large",)),
    )


async def _ours(root: Path, round: int, single: int, many: int) -> tuple[list[float], float]:
    from hitl_vault.wiring import open_ledger

    ledger = open_ledger(root)
    asks = [_ask(number, round) for number in range(single + many)]
    taken = []
    for ask in asks[:single]:
        start = time.perf_counter()
        await ledger.submit(ask)
        taken.append(time.perf_counter() - start)
    rest = iter(asks[single:])

    async def worker() -> None:
        for ask in rest:
            await ledger.submit(ask)

    start = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(100)))
    grouped = many / (time.perf_counter() - start)
    await ledger.aclose()
    return taken, grouped


def _sqlite(path: Path, single: int, many: int) -> tuple[list[float], float]:
    """One row of the same size a transaction; then 100 rows a transaction."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE IF NOT EXISTS t (n INTEGER PRIMARY KEY, body BLOB)")
    body, taken = b"x" * 1500, []
    for _ in range(single):
        start = time.perf_counter()
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO t (body) VALUES (?)", (body,))
        connection.execute("COMMIT")
        taken.append(time.perf_counter() - start)
    start = time.perf_counter()
    for _ in range(many // 100):
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("INSERT INTO t (body) VALUES (?)", [(body,)] * 100)
        connection.execute("COMMIT")
    grouped = many / (time.perf_counter() - start)
    connection.close()
    return taken, grouped


def _append(path: Path, single: int, many: int) -> tuple[list[float], float]:
    """One record appended and fdatasync'ed; then 100 records a sync."""
    taken, body = [], b"x" * 1500
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    sync = getattr(os, "fdatasync", os.fsync)
    for _ in range(single):
        start = time.perf_counter()
        os.write(descriptor, body)
        sync(descriptor)
        taken.append(time.perf_counter() - start)
    start = time.perf_counter()
    for _ in range(many // 100):
        for _ in range(100):
            os.write(descriptor, body)
        sync(descriptor)
    grouped = many / (time.perf_counter() - start)
    os.close(descriptor)
    return taken, grouped


def run(scale: Scale) -> list[Table]:
    """Measure."""
    rounds, single, many = scale.pick(3, 5), scale.pick(200, 600), scale.pick(2000, 6000)
    found: dict[str, tuple[list[float], list[float]]] = {
        "hitl_vault submit": ([], []),
        "raw SQLite, synchronous=FULL": ([], []),
        "raw append + fdatasync": ([], []),
    }
    with vault() as root, folder("raw") as raw:
        for round in range(rounds):
            say(f"commit: round {round + 1} of {rounds}")
            measured = (
                asyncio.run(_ours(root, round, single, many)),
                _sqlite(raw / "t.db", single, many),
                _append(raw / "log", single, many),
            )
            for (taken, grouped), (one, hundred) in zip(found.values(), measured, strict=True):
                taken += one
                grouped.append(hundred)
    table = Table(
        title=TITLE,
        columns=["", "one, ms", "of raw SQLite", "100 in flight, a second", "of raw SQLite"],
        raw={name: {"one": one, "grouped": many} for name, (one, many) in found.items()},
    )
    base, base_rate = found["raw SQLite, synchronous=FULL"]
    for name, (one, grouped) in found.items():
        table.add(
            name,
            p50_p99(one),
            times(percentile(one, 0.5), percentile(base, 0.5)),
            rate(median(grouped)),
            times(median(grouped), median(base_rate)),
        )
    table.notes.append(
        "submit: judged, chained by hash, two rows and an index, from a coroutine through the writing "
        "thread and back; the raw ones write 1,500 bytes. 100 in flight: 100 rows or records a sync "
        "for the raw ones."
    )
    return [table]
