"""Figure 4: a ledger of 100,000 requests, 10,000 of them pending with notes."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

from benchmarks.cold import command, environment, works
from benchmarks.common import (
    ACTION,
    Child,
    Scale,
    Table,
    median,
    ms,
    p50_p99,
    say,
    vault,
    whole_process,
)
from benchmarks.wake import edit

_LONG_S = 180.0
TITLE = "Scale: {:,} requests in the ledger, {:,} of them pending with notes"


async def _fill(root: Path, count: int, pending: int) -> None:
    from hitl_vault.core.canonical import payload_sha256
    from hitl_vault.core.commands import Ask, Cancel
    from hitl_vault.core.model import Action, Effect, Requirement, Risk, Verdict
    from hitl_vault.wiring import open_ledger

    ledger = open_ledger(root)
    action = Action(type="payment", description="Pay", details=ACTION, requested_by="agent")
    verdict = Verdict(
        effect=Effect.ASK,
        rules=("large-payment",),
        risk=Risk.HIGH,
        requirement=Requirement(timeout_s=864_000),
    )
    digest = payload_sha256(action)

    async def one(number: int) -> None:
        id = f"20261121-093012-payment-{number:010x}"
        await ledger.submit(Ask(id=id, action=action, payload_sha256=digest, verdict=verdict))
        if number < count - pending:
            await ledger.submit(Cancel(id=id, by="agent"))

    for start in range(0, count, 500):
        await asyncio.gather(*(one(number) for number in range(start, min(count, start + 500))))
    await ledger.aclose()


class Parses:
    """Remembers which notes are parsed."""

    def __init__(self) -> None:
        from hitl_vault.document import patch
        from hitl_vault.engine import answers, display

        self.ids: set[str] = set()
        for module in (answers, display, patch):
            if hasattr(module, "parse_document"):
                module.parse_document = self._counting(module.parse_document)

    def _counting(self, parse: Any) -> Any:
        def counted(*args: Any, **options: Any) -> Any:
            document = parse(*args, **options)
            self.ids.add(document.id)
            return document

        return counted


async def _start(root: Path, parses: Parses, edits: int) -> dict[str, Any]:
    """Open, have a first note answered at once, then measure a few more."""
    from hitl_vault import Orchestrator

    child = Child("editor")
    parses.ids.clear()
    begun = time.perf_counter()
    async with Orchestrator(root, settle_s=0) as hitl:
        opened = time.perf_counter() - begun
        waiting = sorted(hitl._display.waiting, reverse=True)
        known = hitl._display.known_ids()
        ready = [id for id in waiting if id in known][: edits + 1]
        if not ready:  # the first start of all writes the notes
            give_up = begun + _LONG_S
            while len(hitl._display.known_ids()) < len(waiting) and time.perf_counter() < give_up:
                await asyncio.sleep(0.05)
            written = time.perf_counter() - begun
            done = len(hitl._display.known_ids()) >= len(waiting)
            await asyncio.sleep(1)
            child.close()
            return {"written": written, "done": done}
        first = asyncio.create_task(hitl.wait_for_approval(ready[0]))
        await edit(child, "tick", Path(await hitl.document_path(ready[0])))
        await first
        serving = time.perf_counter() - begun
        taken = []
        await asyncio.sleep(1)
        for id in ready[1:]:
            waiter = asyncio.create_task(hitl.wait_for_approval(id))
            path = Path(await hitl.document_path(id))
            await asyncio.sleep(0.03)
            edited = await edit(child, "tick", path)
            await waiter
            taken.append((time.monotonic_ns() - edited) / 1e9)
        await asyncio.sleep(2.5)  # a full look at the folders
        unread = parses.ids - set(ready)
    child.close()
    return {
        "opened": opened,
        "serving": serving,
        "parsed": len(unread),
        "wakes": taken,
        "notes": len(waiting),
    }


def run(scale: Scale) -> list[Table]:
    """Measure."""
    count, pending = scale.pick((3_000, 300), (100_000, 10_000))
    edits, starts = scale.pick(10, 60), scale.pick(2, 3)
    parses = Parses()
    with vault() as root:
        say(f"scale: asking {count:,} times")
        asyncio.run(_fill(root, count, pending))
        say("scale: first start, which writes the notes")
        written = asyncio.run(_start(root, parses, edits))
        if not written["done"]:
            table = Table(title=TITLE.format(count, pending), columns=["", "median"], raw=written)
            table.add("first start: every note rendered and written", f"not done in {_LONG_S:g} s")
            return [table]
        say("scale: later starts")
        later = [asyncio.run(_start(root, parses, edits)) for _ in range(starts)]
        say("scale: hitl list")
        listed: dict[str, list[float]] = {}
        for name, words in {"hitl list": ["list"], "hitl list --json": ["list", "--json"]}.items():
            if works(root, *words):
                listed[name] = whole_process(
                    command(root, *words), scale.pick(3, 7), env=environment(root)
                )
    table = Table(title=TITLE.format(count, pending), columns=["", "median"])
    wakes = [seconds for start in later for seconds in start["wakes"]]
    table.add("first start: every note rendered and written", f"{ms(written['written'])} ms")
    table.add("later start: open()", f"{ms(median([start['opened'] for start in later]))} ms")
    table.add(
        "later start: open, first edit, waiter resumed",
        f"{ms(median([start['serving'] for start in later]))} ms",
    )
    table.add(
        "notes parsed in a later start, but for those edited", f"{max(s['parsed'] for s in later)}"
    )
    table.add("one edit to its waiter (p50 / p99)", f"{p50_p99(wakes)} ms")
    for name in ("hitl list", "hitl list --json"):
        shown = f"{ms(median(listed[name]))} ms" if name in listed else "not there yet"
        table.add(f"{name}, whole process ({pending:,} rows)", shown)
    table.raw = {"first": written, "later": later, "listed": listed}
    return [table]
