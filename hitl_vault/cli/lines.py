"""Owns `hitl watch` in a pipe: one line an event. Never changes anything."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Generator
from contextlib import aclosing
from typing import TYPE_CHECKING

from hitl_vault import records
from hitl_vault.cli.opening import desk, reading
from hitl_vault.cli.printing import remark, safe, stamp
from hitl_vault.document.sentences import subject, what, who

if TYPE_CHECKING:
    from hitl_vault.core.events import Recorded


async def watch_lines(vault: str | None, *, as_json: bool) -> None:
    """Print one line an event, from now on."""

    def line(recorded: Recorded) -> str:
        if as_json:
            return records.as_json(records.event_record(recorded), indent=None)
        event = recorded.event
        return f"{stamp(event.at)}  {subject(event)}  {who(event)}  {what(event)}"

    with reading(vault, warn=False) as opened:
        seen = opened.ledger.head().seq
    async with desk(vault, watching=True) as hitl:
        waiting = len(await hitl.list_requests(status="pending"))
        with ending_by_signal():
            remark(f"watching {safe(hitl.root)}, {hitl.watch_health()}; {waiting} waiting")
            async with aclosing(hitl.subscribe(seen)) as events:
                async for recorded in events:
                    print(line(recorded), flush=True)
    remark("ended")


@contextlib.contextmanager
def ending_by_signal() -> Generator[None, None, None]:
    """Let Ctrl-C and SIGTERM end the work quietly: what is recorded stays recorded."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)
    try:
        yield
    except asyncio.CancelledError:
        task.uncancel()
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
