"""Owns when the running desk notes the head of the chain elsewhere. Never lets it hold up anything:
it runs beside the desk, and what fails is tried again.
"""

from __future__ import annotations

import logging
from datetime import timedelta

from hitl_vault.core.checkpoint import Checkpoint, checkpoint_line, parse_checkpoint
from hitl_vault.engine.parts import Parts
from hitl_vault.errors import HitlVaultError
from hitl_vault.ports_trust import CheckpointStore

_log = logging.getLogger(__name__)
_LOOK_S = 60.0


class Checkpoints:
    """Notes the head every so often, where it has moved."""

    def __init__(self, parts: Parts, store: CheckpointStore, vault: str) -> None:
        self._parts, self._store, self._vault = parts, store, vault
        self._every_s = parts.options.checkpoint_every_s
        self._complained = ""

    async def run(self) -> None:
        """Note what is due, until cancelled."""
        while True:
            try:
                await self.tick()
                self._complained = ""
            except HitlVaultError as error:
                self._complain(str(error))
            except Exception as error:  # whatever it was, the next round tries again
                self._complain(f"{type(error).__name__}: {error}")
            await self._parts.clock.sleep(min(_LOOK_S, self._every_s))

    def _complain(self, text: str) -> None:
        if text != self._complained:
            _log.warning("no checkpoint could be noted, it is tried again: %s", text)
        self._complained = text

    async def tick(self) -> bool:
        """Note the head if it has moved and the last checkpoint is old enough; True if it did."""
        head, now = await self._parts.ledger.head(), self._parts.clock.now()
        last = await self._last()
        if last is not None and last.vault == self._vault:
            due = last.at + timedelta(seconds=self._every_s)
            if last.hash == head.hash or last.at <= now < due:
                return False
        if head.seq == 0:
            return False
        noted = Checkpoint(vault=self._vault, seq=head.seq, hash=head.hash, at=now)
        await self._store.note(checkpoint_line(noted))
        return True

    async def _last(self) -> Checkpoint | None:
        try:
            return parse_checkpoint(await self._store.newest())
        except ValueError:
            return None
