"""Owns putting on record what is decided outside of the ledger: who may answer, and by which keys.

Never lets a file that cannot be read pass in silence, and never records one.
"""

from __future__ import annotations

import logging
from datetime import timedelta

from hitl_vault.core import commands as c
from hitl_vault.core.events import Kind
from hitl_vault.core.people import People, after_changes, differences, facts_of
from hitl_vault.core.register import REGISTER_ID
from hitl_vault.engine.parts import Parts
from hitl_vault.errors import ConfigError

_log = logging.getLogger(__name__)
_SETTLE_S = 1.0  # a file in the middle of being saved is not a change of reviewers
_TRUSTED_S = 60.0  # how long what this process knows of the register is taken for true


class Recording:
    """Compares the record with the register; runs in every process, the first one records."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._on_record: tuple[str, float] | None = None  # the digest, and until when to trust it
        self._seen: tuple[str, float] = ("", 0.0)
        self._problem = ""

    async def look(self, *, at_once: bool = False) -> None:
        """Record what differs from the register; costs next to nothing while nothing does.

        Args:
            at_once: Do not wait until the change has settled: something is about to rely on it.

        Raises:
            StorageError: It cannot be recorded now; nothing changed.
        """
        people = self._people()
        if people is None or self._is_known(people.sha256):
            return
        if at_once or self._is_settled(people):
            await self._record(people)

    def _is_known(self, sha256: str) -> bool:
        """True if this is on record; another process may have recorded another one since."""
        if self._on_record is None:
            return False
        known, until = self._on_record
        return sha256 == known and self._parts.clock.monotonic() < until

    def _people(self) -> People | None:
        try:
            people = self._parts.people()
        except ConfigError as error:
            self._complain(f"no name and no role counts until it is mended: {error}")
            return None
        if people.keys_problem:
            self._complain(f"no signature counts until it is mended: {people.keys_problem}")
        elif self._problem:
            self._problem = ""
            _log.warning("the record of reviewers can be read again")
        return people

    def _complain(self, problem: str) -> None:
        if problem != self._problem:
            _log.error("the record of reviewers cannot be read; %s", problem)
        self._problem = problem

    def _is_settled(self, people: People) -> bool:
        clock = self._parts.clock
        changed_at = people.changed_at
        if changed_at and clock.now() - changed_at >= timedelta(seconds=_SETTLE_S):
            return True
        if self._seen[0] != people.sha256:
            self._seen = (people.sha256, clock.monotonic())
        return clock.monotonic() - self._seen[1] >= _SETTLE_S

    async def _record(self, people: People) -> None:
        ledger = self._parts.ledger
        register = await ledger.register()
        if register.reviewers_sha256 != people.sha256:
            changes = differences(await self._facts_on_record(), facts_of(people))
            await ledger.record(c.RecordReviewers(sha256=people.sha256, changes=changes))
            _log.info("the reviewers changed: %s", "; ".join(changes) or "in no name, role or key")
        self._on_record = (people.sha256, self._parts.clock.monotonic() + _TRUSTED_S)

    async def _facts_on_record(self) -> frozenset[str]:
        return after_changes(
            line
            for recorded in await self._parts.ledger.history(REGISTER_ID)
            if recorded.event.kind is Kind.REVIEWERS_CHANGED
            for line in recorded.event.data.get("changes", ())
        )
