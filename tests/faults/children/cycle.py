"""Owns the work that is killed, and the look at what is left. Run by the nursery, never imported by
the package.

A side effect is one line in `effects`; an acknowledgement is one line in `acks`, written only after
the engine returned.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from hitl_vault.adapters.clock import SystemClock
from hitl_vault.core.chain import Head
from hitl_vault.core.model import Request, Status
from hitl_vault.wiring import Orchestrator

SETTINGS: dict[str, Any] = {
    "settle_s": 0, "rescan_s": 0.05, "missing_after_s": 0.1, "watch": "polling",
}  # fmt: skip


class Later(SystemClock):
    """The next start comes a while after the kill: every lease is over."""

    def now(self) -> datetime:
        return super().now() + timedelta(seconds=100)


def append(file: Path, **line: Any) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(descriptor, json.dumps(line).encode() + b"\n")
    os.close(descriptor)


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


async def cycle(root: str, how: str, rounds: int) -> None:
    """Ask, answer, claim, run, finish, archive."""
    vault = Path(root)
    acks, effects = vault.parent / "acks", vault.parent / "effects"
    async with Orchestrator(vault, **SETTINGS) as hitl:
        for number in range(rounds):
            asked = await hitl.request_approval("pay", "Pay", {"n": number}, key=f"{how}-{number}")
            append(acks, asked=asked.id)
            way = ("api", "note", "reject")[number % 3] if how.startswith("mixed") else how
            if asked.status is not Status.PENDING:
                decided = asked  # an earlier life got this far
            elif way == "note":
                path = Path(await hitl.document_path(asked.id) or "")
                path.write_text(path.read_text().replace("- [ ] Approve ^", "- [x] Approve ^"))
                decided = await hitl.wait_for_decision(asked.id, timeout=30)
            elif way == "reject":
                decided = await hitl.reject(asked.id, reviewer="alice", reason="no")
            else:
                decided = await hitl.approve(asked.id, reviewer="alice")
            append(acks, decided=asked.id, status=decided.status)
            if decided.status is Status.APPROVED and way == "lease":
                await _run_elsewhere(hitl, asked.id, effects)
                append(acks, finished=asked.id)
            elif decided.status is Status.APPROVED:
                async with hitl.execution(asked.id) as run:
                    append(effects, ran=asked.id)
                    run.result = number
                append(acks, finished=asked.id)
            await hitl.archive(0)


async def _run_elsewhere(hitl: Orchestrator, id: str, effects: Path) -> None:
    """Claim by a lease, renew it, run, report: as an executor over HTTP does."""
    leased = await hitl.claim(id, claim_id="elsewhere", lease_s=5)
    assert not leased.again
    append(effects, ran=id)
    await hitl.renew(id, "elsewhere")
    await hitl.finish(id, "elsewhere", Status.EXECUTED)


async def check(root: str, how: str, rounds: int) -> None:
    """Start again and prove the invariants; assert what must hold whenever the kill came."""
    vault = Path(root)
    acks, effects = vault.parent / "acks", vault.parent / "effects"
    told = lines(acks)
    async with Orchestrator(vault, clock=Later(), **SETTINGS) as hitl:
        await hitl.settle_overdue()
        requests = {request.id: request for request in await hitl.list_requests()}
        ran = Counter(line["ran"] for line in lines(effects))
        for line in told:
            _check_ack(line, requests)
        assert all(times == 1 for times in ran.values()), ran
        for id in ran:
            assert requests[id].status in {Status.EXECUTED, Status.UNKNOWN}, requests[id]
        assert not any(request.status is Status.EXECUTING for request in requests.values())
        await _go_on(hitl, requests, effects)
        ran = Counter(line["ran"] for line in lines(effects))
        assert all(times == 1 for times in ran.values()), ran
        for id in requests:
            await _check_note(hitl, vault, id)
        await hitl._timers.end_leases()
        assert not list((vault / ".hitl").glob("leases/lease-*.json"))
        assert isinstance(await hitl.verify(), Head)
        assert len({request.key for request in requests.values()}) == len(requests)


def _check_ack(line: dict[str, Any], requests: dict[str, Request]) -> None:
    if "asked" in line:
        assert line["asked"] in requests, f"{line} was lost"
    elif "decided" in line:
        status = requests[line["decided"]].status
        if line["status"] == Status.REJECTED:
            assert status is Status.REJECTED, (line, status)
        else:
            assert status.was_approved, (line, status)
    else:
        assert requests[line["finished"]].status is Status.EXECUTED, line


async def _go_on(hitl: Orchestrator, requests: dict[str, Request], effects: Path) -> None:
    """The agent starts again: what waits can be answered, what is approved runs once."""
    for id in requests:
        status = (await hitl.get(id)).status
        if status is Status.PENDING:
            status = (await hitl.approve(id, reviewer="bob")).status
        if status is Status.APPROVED:
            async with hitl.execution(id):
                append(effects, ran=id)
        if status is Status.UNKNOWN:
            await hitl.resolve(id, Status.EXECUTED, by="bob")


async def _check_note(hitl: Orchestrator, vault: Path, id: str) -> None:
    """Exactly one note, whole, and saying what the ledger says."""
    wanted = f"\nstatus: {(await hitl.get(id)).status}\n"
    async with asyncio.timeout(20):
        while True:
            found = list(vault.rglob(f"approval_{id}.md"))
            texts = [path.read_text() for path in found]
            if len(texts) == 1 and wanted in texts[0] and texts[0].endswith("%%\n"):
                return
            try:
                await asyncio.sleep(0.02)
            except asyncio.CancelledError:
                raise AssertionError(f"{found}: not {wanted!r} in {texts}") from None
