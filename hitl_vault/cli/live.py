"""Owns the live view of `hitl watch` on a terminal. Never changes anything."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from contextlib import aclosing
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from hitl_vault.cli.lines import ending_by_signal
from hitl_vault.cli.opening import desk, log_to
from hitl_vault.cli.printing import Cell, Column, console, rich_table, risk_cell, safe, stamp
from hitl_vault.document.sentences import headline, subject, time_left, what, who

if TYPE_CHECKING:
    from hitl_vault.core.events import Recorded
    from hitl_vault.core.model import Request
    from hitl_vault.wiring import Orchestrator

_RECENT, _NOTICES, _AROUND = 8, 4, 9
_REFRESH_S = 1.0
_URGENT_S = 300


async def watch_live(vault: str | None) -> None:
    """Keep the desk open and show it, until a signal ends it."""
    async with desk(vault, watching=True) as hitl:
        with ending_by_signal():
            await LiveDesk(hitl).run()


class LiveDesk:
    """What waits, what happened lately and what is wrong, kept up to date."""

    def __init__(self, hitl: Orchestrator) -> None:
        self._hitl = hitl
        self._console = console()
        self._waiting: list[Request] = []
        self._recent: deque[Recorded] = deque(maxlen=_RECENT)
        self._warnings = _Kept()

    async def run(self) -> None:
        """Show it until cancelled."""
        log_to(self._warnings)
        following = asyncio.create_task(self._follow())
        try:
            with Live(console=self._console, auto_refresh=False) as live:
                while True:
                    self._waiting = await self._hitl.list_requests(status="pending")
                    live.update(self._view(), refresh=True)
                    await asyncio.sleep(_REFRESH_S)
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)

    async def _follow(self) -> None:
        async with aclosing(self._hitl.subscribe()) as events:
            async for recorded in events:
                self._recent.append(recorded)

    def _view(self) -> RenderableType:
        now = datetime.now(UTC)
        notices = self._notices()
        room = max(3, self._console.height - _AROUND - len(self._recent) - len(notices))
        parts: list[RenderableType] = [self._header(), self._queue(now, room)]
        if self._recent:
            parts += [Text("Lately", style="bold"), self._history(), Text()]
        parts += [Text(f"! {notice}", style="yellow") for notice in notices]
        return Group(*parts)

    def _header(self) -> Text:
        waiting = len(self._waiting)
        text = Text(no_wrap=True, overflow="ellipsis")
        text.append("hitl watch", style="bold")
        text.append(f"  {waiting} waiting", style="yellow" if waiting else "green")
        text.append(f"  {safe(self._hitl.root)}  {self._hitl.watch_health()}", style="dim")
        return text.append("  Ctrl-C ends", style="dim")

    def _queue(self, now: datetime, room: int) -> RenderableType:
        if not self._waiting:
            return Text("\nNothing waits for an answer.\n", style="dim")
        columns = [
            Column(name="id"),
            Column(name="risk", spare=True),
            Column(name="action", wide=True),
            Column(name="asked by", spare=True),
            Column(name="left", right=True),
        ]
        oldest = list(reversed(self._waiting))
        rows = [self._row(request, now) for request in oldest[:room]]
        table = rich_table(columns, rows, width=self._console.width)
        if len(oldest) <= room:
            return Group(Text(), table, Text())
        return Group(Text(), table, Text(f"and {len(oldest) - room} more\n", style="dim"))

    def _row(self, request: Request, now: datetime) -> list[Cell]:
        urgent = (request.expires_at - now).total_seconds() < _URGENT_S
        return [
            Cell(request.id),
            risk_cell(request.verdict.risk),
            Cell(headline(request)),
            Cell(safe(request.action.requested_by, limit=24)),
            Cell(time_left(request, now), "bold red" if urgent else ""),
        ]

    def _history(self) -> Table:
        grid = Table.grid(padding=(0, 2), expand=True)
        for ratio in (None, None, None, 1):
            grid.add_column(no_wrap=True, overflow="ellipsis", ratio=ratio)
        for recorded in reversed(self._recent):
            event = recorded.event
            grid.add_row(
                Text(stamp(event.at)[11:19], style="dim"),
                Text(subject(event), style="dim"),
                Text(who(event)),
                Text(what(event)),
            )
        return grid

    def _notices(self) -> list[str]:
        found = [safe(notice.sentence) for notice in self._hitl.notices()]
        problem = self._hitl.policies.problem
        if problem is not None:
            found.insert(0, f"the policy cannot be used: {safe(problem)}")
        known = " ".join(found)
        found += [text for text in self._warnings.texts if text not in known]
        return found[:_NOTICES]


class _Kept(logging.Handler):
    """Keeps the last warnings of the engine, which would tear the picture apart."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: deque[str] = deque(maxlen=_NOTICES)

    def emit(self, record: logging.LogRecord) -> None:
        text = safe(record.getMessage())
        if text not in self.texts:
            self.texts.append(text)
