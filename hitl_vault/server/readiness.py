"""Owns asking whether the desk can work, for all who ask at a moment together. Never mends it."""

from __future__ import annotations

import asyncio
import logging

from hitl_vault.engine.orchestrator import Orchestrator

_log = logging.getLogger(__name__)


class Readiness:
    """What keeps the desk from working, by part; asked of the desk once at a time."""

    def __init__(self, hitl: Orchestrator) -> None:
        self._hitl = hitl
        self._asking: asyncio.Task[dict[str, str]] | None = None
        self._logged: dict[str, str] = {}

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
            if self._logged.get(part, "") != problem:  # probes come every few seconds
                _log.warning("%s: %s", part, f"not ready: {problem}" if problem else "ready again")
        self._logged = problems
        return problems
