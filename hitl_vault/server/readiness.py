"""Owns asking whether the desk can work, for all who ask at a moment together. Never mends it."""

from __future__ import annotations

import asyncio
import logging
import time

from hitl_vault.engine.complaints import Complaints
from hitl_vault.engine.orchestrator import Orchestrator

_log = logging.getLogger(__name__)


class Readiness:
    """What keeps the desk from working, by part; asked of the desk once at a time."""

    def __init__(self, hitl: Orchestrator) -> None:
        self._hitl = hitl
        self._asking: asyncio.Task[dict[str, str]] | None = None
        self._complaints = Complaints(
            _log, time.monotonic, failing="%s: not ready", working="%s: ready again"
        )

    async def look(self) -> dict[str, str]:
        """Return what is wrong with each part, "" where it works."""
        if self._asking is None:
            self._asking = asyncio.create_task(self._look())
        return await asyncio.shield(self._asking)

    async def _look(self) -> dict[str, str]:
        try:
            problems = await self._hitl.readiness()
        finally:
            self._asking = None
        for part, problem in problems.items():
            self.note(part, problem)
        return problems

    def note(self, part: str, problem: str) -> None:
        """Let the log say what is wrong with a part, "" for nothing, however often it is asked."""
        if problem:
            self._complaints.failed(part, problem)
        else:
            self._complaints.worked(part)
