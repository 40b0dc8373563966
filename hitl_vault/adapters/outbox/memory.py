"""Owns an outbox in memory, for tests. Never survives its process."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hitl_vault.core.duties import Duty
from hitl_vault.ports_telling import Backlog, Parcel

_FAR = timedelta(days=8)


class MemoryOutbox:
    """The outbox of one vault in memory."""

    def __init__(self) -> None:
        self._upto: int | None = None
        self._parcels: dict[str, Parcel] = {}
        self._waiting: dict[str, Duty] = {}  # to be gathered
        self._leases: dict[str, tuple[str, datetime]] = {}

    async def told(self) -> int | None:
        """Return up to which event everything was told or given up."""
        left = [p.duties[0].seq for p in self._parcels.values() if not p.dead]
        left += [duty.seq for duty in self._waiting.values()]
        return None if self._upto is None else min([self._upto, *(seq - 1 for seq in left)])

    async def cursor(self) -> int | None:
        """Return how far the feed was followed."""
        return self._upto

    async def put(self, duties: Sequence[Duty], *, after: int | None, upto: int) -> bool:
        """Store duties together with how far the feed was followed."""
        if self._upto != after:
            return False
        known = {duty.id for parcel in self._parcels.values() for duty in parcel.duties}
        for duty in duties:
            if duty.id not in known and duty.gathered:
                self._waiting.setdefault(duty.id, duty)
            elif duty.id not in known:
                self._parcels[duty.id] = Parcel(id=duty.id, duties=(duty,), next_at=duty.due_at)
        self._upto = upto
        return True

    async def lease(
        self,
        way: str,
        *,
        holder: str,
        now: datetime,
        until: datetime,
        is_alive: Callable[[str], bool],
        limit: int,
    ) -> list[Parcel]:
        """Lease what is due this way."""
        self._gather(way, now)
        free = [
            parcel
            for parcel in self._parcels.values()
            if parcel.duties[0].way == way
            and parcel.next_at is not None
            and not now < parcel.next_at <= now + _FAR
            and not self._is_taken(parcel.id, now, is_alive)
        ]
        free.sort(key=lambda p: (not any(d.urgent for d in p.duties), p.duties[0].seq))
        found = [replace(parcel, tries=parcel.tries + 1, leased=True) for parcel in free[:limit]]
        for parcel in found:
            self._parcels[parcel.id] = parcel
            self._leases[parcel.id] = (holder, until)
        return found

    def _is_taken(self, id: str, now: datetime, is_alive: Callable[[str], bool]) -> bool:
        name, until = self._leases.get(id, ("", now))
        return bool(name) and now < until and is_alive(name)

    def _gather(self, way: str, now: datetime) -> None:
        due = [
            duty
            for duty in sorted(self._waiting.values(), key=lambda duty: duty.seq)
            if duty.way == way and not now < duty.due_at <= now + _FAR
        ]
        for whom in {duty.person for duty in due}:
            mine = tuple(duty for duty in due if duty.person == whom)
            id = mine[0].id
            self._parcels[id] = Parcel(id=id, duties=mine, next_at=mine[0].due_at)
            for duty in mine:
                del self._waiting[duty.id]

    def _held(self, id: str, holder: str) -> Parcel | None:
        return self._parcels.get(id) if self._leases.get(id, ("",))[0] == holder else None

    async def settle(self, id: str, *, holder: str) -> None:
        """Forget a parcel that was taken."""
        if self._held(id, holder):
            del self._parcels[id], self._leases[id]

    async def put_off(
        self,
        id: str,
        *,
        holder: str,
        at: datetime,
        problem: str = "",
        tried: bool = True,
        taken: frozenset[str] = frozenset(),
    ) -> None:
        """Try a parcel again later."""
        if parcel := self._held(id, holder):
            tries, took = parcel.tries - (not tried), parcel.taken | taken
            self._keep(replace(parcel, next_at=at, problem=problem, tries=tries, taken=took))

    async def give_up(
        self, id: str, *, holder: str, problem: str, taken: frozenset[str] = frozenset()
    ) -> None:
        """Keep a parcel as a dead letter."""
        if parcel := self._held(id, holder):
            took = parcel.taken | taken
            self._keep(replace(parcel, dead=True, next_at=None, problem=problem, taken=took))

    def _keep(self, parcel: Parcel) -> None:
        self._leases.pop(parcel.id, None)
        self._parcels[parcel.id] = replace(parcel, leased=False)

    async def next_due(self, ways: Collection[str]) -> datetime | None:
        """Return when something is due next."""
        leased = {id: until for id, (_, until) in self._leases.items()}
        due = [
            max(parcel.next_at, leased.get(parcel.id, parcel.next_at))
            for parcel in self._parcels.values()
            if parcel.duties[0].way in ways and parcel.next_at is not None
        ]
        due += [duty.due_at for duty in self._waiting.values() if duty.way in ways]
        return min(due, default=None)

    async def find(self) -> list[Parcel]:
        """Return everything that is not settled, oldest first."""
        alone = [
            Parcel(id=duty.id, duties=(duty,), next_at=duty.due_at)
            for duty in self._waiting.values()
        ]
        every = [*self._parcels.values(), *alone]
        return sorted(every, key=lambda parcel: (parcel.duties[0].seq, parcel.id))

    async def backlog(self, now: datetime) -> Backlog:
        """Count the duties."""
        open_, due, dead = 0, 0, 0
        for parcel in await self.find():
            number = len(parcel.duties)
            if parcel.next_at is None:
                dead += number
                continue
            open_ += number
            due += number * (not now < parcel.next_at <= now + _FAR)
        return Backlog(due=due, later=open_ - due, dead=dead)

    async def retry(self, ids: Collection[str] | None, now: datetime) -> int:
        """Make parcels due now."""
        chosen = self._chosen(ids)
        for parcel in chosen:
            self._parcels[parcel.id] = replace(
                parcel, dead=False, tries=0, next_at=now.astimezone(UTC)
            )
        return len(chosen)

    async def drop(self, ids: Collection[str] | None) -> int:
        """Forget parcels, untold."""
        chosen = self._chosen(ids)
        for parcel in chosen:
            del self._parcels[parcel.id]
        return len(chosen)

    def _chosen(self, ids: Collection[str] | None) -> list[Parcel]:
        return [
            parcel
            for parcel in self._parcels.values()
            if (parcel.dead if ids is None else parcel.id in ids)
        ]

    async def release(self, holder: str) -> None:
        """End every lease of a holder."""
        for id in [id for id, (name, _) in self._leases.items() if name == holder]:
            parcel = self._parcels.get(id)
            if parcel is not None:
                self._keep(replace(parcel, tries=parcel.tries - 1))

    async def aclose(self) -> None:
        """Nothing to release."""
