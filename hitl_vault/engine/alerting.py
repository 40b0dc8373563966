"""Owns when alerts are judged and put on record. Never tells anybody: the outbox tells the event.

Every desk judges; the ledger records each change once, and none too soon after another.
"""

from __future__ import annotations

import logging
from datetime import timedelta

from hitl_vault.core import commands as c
from hitl_vault.engine.alerts import Alert, firing, judged
from hitl_vault.engine.parts import Parts
from hitl_vault.ports import Counts, Kept

_log = logging.getLogger(__name__)
EVERY_S = 60.0


async def firing_now(parts: Parts) -> list[Alert]:
    """Return the alerts that fire now, by the thresholds in the settings."""
    return firing(await _counts(parts), parts.options, await parts.ledger.register())


class Alerting:
    """Judges the alerts of one vault every so often."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._next = 0.0

    async def look(self) -> None:
        """Record what began to fire, or no longer does, if it is time to look.

        Raises:
            StorageError: It cannot be recorded now; the next look tries again.
        """
        now = self._parts.clock.monotonic()
        if now < self._next:
            return
        self._next = now + EVERY_S
        register = await self._parts.ledger.register()
        for alert in judged(await _counts(self._parts), self._parts.options):
            known = register.alert(alert.name)
            if alert.fires != (known is not None and known.fires):
                await self._record(alert)

    async def _record(self, alert: Alert) -> None:
        receipt = await self._parts.ledger.record(
            c.RecordAlert(
                name=alert.name,
                fires=alert.fires,
                message=alert.message,
                value=alert.value,
                threshold=alert.threshold,
            )
        )
        if receipt.kept is Kept.ACCEPTED and alert.fires:
            _log.warning("an alert fires: %s", alert.message)


async def _counts(parts: Parts) -> Counts:
    since = parts.clock.now() - timedelta(seconds=parts.options.alert_within_s)
    return await parts.ledger.count(since)
