"""Owns what a terminal shows while a command waits for a person. Never writes into a pipe."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hitl_vault.core.model import Request


@contextlib.asynccontextmanager
async def waiting(request: Request) -> AsyncGenerator[None, None]:
    """Show on stderr, if a person looks at it, that a request waits and for how long it may."""
    if not sys.stderr.isatty() or request.status != "pending":
        yield
        return
    from hitl_vault.cli.printing import console

    with console(sys.stderr).status(_line(request), spinner="dots") as status:

        async def tick() -> None:
            while True:
                await asyncio.sleep(1)
                status.update(_line(request))

        ticking = asyncio.create_task(tick())
        try:
            yield
        finally:
            ticking.cancel()
            await asyncio.gather(ticking, return_exceptions=True)


def _line(request: Request) -> str:
    from hitl_vault.document.sentences import time_left

    left = time_left(request, datetime.now(UTC))
    return f"waiting for an answer to {request.id}, {left} left"
