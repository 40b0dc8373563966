"""Figure 5: what one waiting coroutine costs in memory."""

from __future__ import annotations

import asyncio
import gc
import json
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

from benchmarks.common import ACTION, REPOSITORY, Scale, Table, say, vault

TITLE = "Memory: KiB for each waiting coroutine"


def resident_kib() -> int:
    """Return what the process holds in memory now."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return 0


async def _waiting(kind: str, root: Path, count: int, *, trace: bool) -> dict[str, float]:
    from hitl_vault import Orchestrator

    async with Orchestrator(root, settle_s=0, watching=False) as hitl:
        ids = [request.id for request in await hitl.list_requests()][:count]
        gc.collect()
        if trace:
            tracemalloc.start()
        before, traced = resident_kib(), tracemalloc.get_traced_memory()[0]
        loop = asyncio.get_running_loop()

        async def on_future() -> None:
            await loop.create_future()

        work: Any = hitl.wait_for_approval if kind == "ours" else (lambda _: on_future())
        tasks = [asyncio.create_task(work(id)) for id in ids]
        await asyncio.sleep(0.5)
        while kind == "ours" and len(hitl._parts.ledger._waiters) < count:
            await asyncio.sleep(0.1)
        gc.collect()
        found = {
            "resident": (resident_kib() - before) / count,
            "traced": (tracemalloc.get_traced_memory()[0] - traced) / count / 1024,
        }
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return found


async def _fill(root: Path, count: int) -> None:
    from hitl_vault.core.canonical import payload_sha256
    from hitl_vault.core.commands import Ask
    from hitl_vault.core.model import Action, Effect, Verdict
    from hitl_vault.wiring import open_ledger

    ledger = open_ledger(root)
    action = Action(type="payment", description="Pay", details=ACTION, requested_by="agent")
    verdict = Verdict(effect=Effect.ASK, rules=("large-payment",), reasons=("large",))
    digest = payload_sha256(action)
    asks = [
        Ask(id=f"m-{n}", action=action, payload_sha256=digest, verdict=verdict)
        for n in range(count)
    ]
    for start in range(0, count, 500):
        await asyncio.gather(*(ledger.submit(ask) for ask in asks[start : start + 500]))
    await ledger.aclose()


def _apart(kind: str, root: Path, count: int, *, trace: bool) -> dict[str, float]:
    argv = [sys.executable, "-m", "benchmarks.memory", kind, str(root), str(count), str(int(trace))]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, cwd=REPOSITORY)
    return json.loads(done.stdout)


def run(scale: Scale) -> list[Table]:
    """Measure each in a process of its own."""
    count = scale.pick(2000, 10_000)
    table = Table(title=TITLE, columns=["", "resident", "traced by Python"])
    with vault() as root:
        asyncio.run(_fill(root, count))
        for kind, name in (
            ("ours", "hitl_vault wait_for_approval"),
            ("bare", "a task on a bare future"),
        ):
            say(f"memory: {name}")
            resident = _apart(kind, root, count, trace=False)["resident"]
            traced = _apart(kind, root, count, trace=True)["traced"]
            table.add(name, f"{resident:.1f}", f"{traced:.1f}")
            table.raw[kind] = [resident, traced]
    table.notes.append(
        f"{count:,} tasks, each waiting for a request of its own; the difference to none."
    )
    return [table]


if __name__ == "__main__":
    _kind, _root, _count, _trace = sys.argv[1:]
    print(json.dumps(asyncio.run(_waiting(_kind, Path(_root), int(_count), trace=_trace == "1"))))
