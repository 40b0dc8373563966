"""Owns a ledger in memory, for tests. Never survives its process."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from hitl_vault.adapters.ledger.cas import Write, decide, decide_register, needs_register
from hitl_vault.adapters.ledger.searching import matches
from hitl_vault.adapters.ledger.waking import WakingLedger
from hitl_vault.core import chain
from hitl_vault.core.chain import Break, Head
from hitl_vault.core.commands import Ask, Command, RegisterCommand
from hitl_vault.core.events import Recorded
from hitl_vault.core.figures import figures_of, read_brief
from hitl_vault.core.lifecycle import is_overdue, joins
from hitl_vault.core.model import Request, Status
from hitl_vault.core.rates import WINDOW_S, Asked, is_limited
from hitl_vault.core.register import REGISTER_ID, Register
from hitl_vault.core.tally import Tally
from hitl_vault.core.trends import Trends, trends_of
from hitl_vault.errors import NotOpen
from hitl_vault.ports import Capabilities, Clock, Counts, Filter, Receipt


class MemoryLedger(WakingLedger):
    """Keeps requests and chained events in dictionaries; the same promises, except durability."""

    def __init__(self, clock: Clock, vault_id: str = "memory") -> None:
        super().__init__()
        self._clock = clock
        self._genesis = self._head = chain.genesis(vault_id)
        self._states: dict[str, bytes] = {}
        self._ids_by_key: dict[str, str] = {}
        self._stored: list[tuple[int, bytes, str]] = []

    async def record(self, command: RegisterCommand) -> Receipt:
        """Judge and keep a command on the register."""
        if self._closed:
            raise NotOpen("the ledger is closed; nothing was stored")
        current = await self.register()
        receipt, write, self._head = decide_register(
            current, self._head, command, self._clock.now()
        )
        if write is not None:
            self._states[REGISTER_ID] = write.state
            self._keep(write)
        return receipt

    async def register(self) -> Register:
        """Return the register."""
        state = self._states.get(REGISTER_ID)
        return Register() if state is None else chain.decode_register(state)

    async def submit(self, command: Command) -> Receipt:
        """Judge and keep the command."""
        if self._closed:
            raise NotOpen("the ledger is closed; nothing was stored")
        self._loop = asyncio.get_running_loop()
        current = self._read(command.id)
        if current is None and isinstance(command, Ask) and command.key is not None:
            current = self._read(self._ids_by_key.get(command.key, ""))
        now, asked = self._clock.now(), None
        if current is None and isinstance(command, Ask):
            current = next((one for one in self._all() if joins(command, one, now)), None)
            asked = self._asked(command, now) if is_limited(command) else None
        register = await self.register() if needs_register(command) else None
        receipt, write, self._head = decide(current, self._head, command, now, asked, register)
        if write is not None and write.request is not None:
            self._states[write.request.id.casefold()] = write.state
            if write.request.key is not None:
                self._ids_by_key[write.request.key] = write.request.id
            self._keep(write)
        return receipt

    async def check_storing(self) -> None:
        """Memory takes everything."""

    def _keep(self, write: Write) -> None:
        self._stored += [(link.seq, link.body, link.hash) for link in write.links]
        self._announce([write])

    def _read_all(self, ids: Sequence[str]) -> dict[str, Request]:
        found = [request for id in ids if (request := self._read(id)) is not None]
        return {request.id: request for request in found}

    def _read(self, id: str) -> Request | None:
        state = None if id == REGISTER_ID else self._states.get(id.casefold())
        return None if state is None else chain.decode_request(state)

    async def get(self, id: str) -> Request | None:
        """Return the request."""
        return self._read(id)

    async def get_by_key(self, key: str) -> Request | None:
        """Return the request that was asked with this key."""
        return self._read(self._ids_by_key.get(key, ""))

    async def find(self, filter: Filter) -> list[Request]:
        """Return the requests that match."""
        found = [request for request in self._all() if matches(request, filter)]
        found.sort(
            key=lambda request: (request.created_at, request.id.casefold()),
            reverse=not filter.oldest_first,
        )
        return found[: filter.limit]

    def _all(self) -> list[Request]:
        return [
            chain.decode_request(state) for id, state in self._states.items() if id != REGISTER_ID
        ]

    def _asked(self, ask: Ask, now: datetime) -> Asked:
        own = [one for one in self._all() if one.action.requested_by == ask.action.requested_by]
        since = now - timedelta(seconds=WINDOW_S)
        return Asked(
            pending=sum(one.status is Status.PENDING and not is_overdue(one, now) for one in own),
            last_minute=sum(one.created_at > since for one in own),
        )

    async def count(self, since: datetime) -> Counts:
        """Count what waits, and how what was asked since then was decided."""
        now = self._clock.now()
        stands = [
            (one, Status.EXPIRED if is_overdue(one, now) else one.status) for one in self._all()
        ]
        waits = [one.created_at for one, status in stands if status is Status.PENDING]
        late = [status for one, status in stands if one.created_at >= since]
        return Counts(
            pending=len(waits),
            oldest_pending_s=(now - min(waits)).total_seconds() if waits else None,
            approved=sum(status.was_approved for status in late),
            rejected=late.count(Status.REJECTED),
            expired=late.count(Status.EXPIRED),
        )

    async def tally(self) -> Tally:
        """Add up every request."""
        added = Tally(seq=self._head.seq)
        for request in sorted(self._all(), key=lambda one: one.created_at):
            added.add(request)
        return added

    async def trends(self, since: datetime, moments: int) -> Trends:
        """Count everything that was asked."""
        return trends_of(self._all(), since, self._clock.now(), moments)

    async def figures(self, since: datetime | None) -> dict[str, Any]:
        """Return the figures."""
        asked = [
            read_brief(chain.encode_request(one))
            for one in sorted(self._all(), key=lambda one: one.created_at)
            if since is None or one.created_at >= since
        ]
        return figures_of(asked, self._clock.now())

    async def history(self, id: str) -> list[Recorded]:
        """Return the events of one request."""
        return [
            recorded
            for recorded in self._events_after(0, len(self._stored))
            if recorded.event.request_id.casefold() == id.casefold()
        ]

    def _events_after(self, seq: int, limit: int) -> list[Recorded]:
        return [
            chain.decode_event(body, hash_) for _, body, hash_ in self._stored[seq : seq + limit]
        ]

    async def verify(self) -> Head | Break:
        """Walk the chain and compare every request with it."""
        walked = chain.verify(self._genesis, self._stored)
        if isinstance(walked, Break):
            return walked
        for id in walked.states:
            broken = chain.check_state(walked, id, self._states.get(id.casefold()))
            if broken is not None:
                return broken
        return walked.head

    async def head(self) -> Head:
        """Return the end of the chain."""
        return self._head

    def capabilities(self) -> Capabilities:
        """Nothing survives."""
        return Capabilities(durability="none", ordered_feed=True, processes="one")

    async def aclose(self) -> None:
        """Dismiss who still waits."""
        self._closed = True
        self._dismiss_waiters()
