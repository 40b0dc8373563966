"""Owns `hitl watch` and `hitl archive`: the desk in the foreground. Never answers anything."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections import deque
from typing import TYPE_CHECKING, Annotated

import typer

from hitl_vault.cli.options import JsonOption, VaultOption

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from hitl_vault.cli.printing import Cell
    from hitl_vault.core.events import Recorded
    from hitl_vault.core.model import Request
    from hitl_vault.wiring import Orchestrator

_RECENT, _NOTICES = 8, 5


def watch(vault: VaultOption = None, json: JsonOption = False) -> None:
    """Keep the desk open: read answers, expire, remind, archive.

    On a terminal, what waits and what happened is shown live; in a pipe, each event is one line.
    """
    from hitl_vault.cli.printing import is_terminal

    asyncio.run(_live(vault) if is_terminal() and not json else _lines(vault, as_json=json))


def archive(
    older_than: Annotated[
        str | None,
        typer.Option(
            "--older-than", metavar="TIME", help="Finished for so long; 0 for all that is finished."
        ),
    ] = None,
    vault: VaultOption = None,
) -> None:
    """Move notes of finished requests to the Done folder."""
    from hitl_vault.cli.opening import desk
    from hitl_vault.core.durations import parse_duration
    from hitl_vault.errors import InvalidRequest

    try:
        age_s = None if older_than is None else parse_duration(older_than)
    except ValueError as error:
        raise InvalidRequest(f"older-than: {error}") from error

    async def move() -> int:
        async with desk(vault) as hitl:
            await hitl.settle_overdue()
            return await hitl.archive(age_s)

    moved = asyncio.run(move())
    print(f"{moved} {'note' if moved == 1 else 'notes'} moved")


@contextlib.contextmanager
def _ending_by_signal() -> object:
    """Let Ctrl-C and SIGTERM end the work quietly: everything recorded is recorded."""
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
