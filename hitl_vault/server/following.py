"""Owns keeping the figures and the streams up with the ledger while the service runs. Never holds
a call up.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial

from hitl_vault.server.serving import Serving


@asynccontextmanager
async def following(serving: Serving) -> AsyncIterator[None]:
    """Add up what there is, then follow the ledger until the block ends."""
    metrics = serving.metrics
    metrics.tally = await serving.hitl.tally()
    task = asyncio.create_task(
        serving.feed.run(metrics.tally.seq, partial(metrics.hear, serving.hitl)), name="hitl-feed"
    )
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
