"""hitl_vault itself: ask, a note, a vote from another process, wake, claim, finish."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from benchmarks.common import ACTION, children, vault


class Ours:
    """One process of an agent; who decides is in another one."""

    def __init__(self, hitl: Any) -> None:
        self.hitl = hitl

    async def cycle(self, number: int) -> None:
        """Ask, wait, claim, finish."""
        request = await self.hitl.request_approval("payment", f"Pay invoice {number}", ACTION)
        await self.hitl.wait_for_approval(request.id)
        async with self.hitl.execution(request.id) as run:
            run.result = "paid"

    async def settled(self) -> float:
        """Return the seconds until every note says what the ledger says."""
        start = time.perf_counter()
        while self.hitl._display._stale or self.hitl._desk._wake.is_set():
            await asyncio.sleep(0.001)
        return time.perf_counter() - start


def opened(role: str) -> Any:
    """Return a factory of agents whose deciders play this role."""

    @asynccontextmanager
    async def open_(deciders: int) -> AsyncIterator[Ours]:
        from hitl_vault import Orchestrator

        with vault() as root:
            async with Orchestrator(root, settle_s=0) as hitl:
                with children(deciders, role, str(root)):
                    yield Ours(hitl)

    return open_
