"""Owns the contracts of telling people: how it is set up, and what is still to be told. Never
implements one.

A `Notifier` carries a message; the others say which, to whom, and whether it was.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from hitl_vault.core.duties import Duty, Way
from hitl_vault.core.tracing import Trace


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What people are told. `id` is the same at every try, so that a receiver can leave out
    repeats. `body` is plain text or Markdown whose agent text is inert; `facts` the same as JSON.
    `trace` is the one trace context of everything told, where it is one.
    """

    id: str
    subject: str
    body: str
    facts: dict[str, Any]
    urgent: bool = False
    trace: Trace | None = None


class Notifier(Protocol):
    """A way to tell people.

    Guarantees: returns once the message was taken, within a time of its own; never shows a secret.
    """

    name: str

    async def send(
        self, message: Message, to: Sequence[str] = (), *, but: Collection[str] = ()
    ) -> None:
        """Hand the message over; `to` are addresses, none for the notifier's own. `but` are the
        tags of those that took it at an earlier try (`NotSent.taken`), and are left out.

        Raises:
            NotSent: It was not taken by all, for now or for ever; the message says why, without
                secrets.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """One way to tell people, as it is set up: what it is for, and what carries it."""

    way: Way
    notifier: Notifier


class ChannelSource(Protocol):
    """Where it is set up how people are told; read again whenever it has changed."""

    def load(self) -> Mapping[str, Channel]:
        """Return the ways by their names; none where nobody is to be told.

        Raises:
            ConfigError: It cannot be read; the message names the file, the way and the key.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """What is sent as one message: one duty, or several that were gathered.

    `tries` counts this one, too. `next_at` is None where it is given up (`dead`). `taken` are tags
    of the addresses that have taken it, where others have not.
    """

    id: str
    duties: tuple[Duty, ...]
    tries: int = 0
    problem: str = ""
    dead: bool = False
    next_at: datetime | None = None
    leased: bool = False
    taken: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """How many duties are still to be told: `due` now, or put off (`later`), and given up."""

    due: int = 0
    later: int = 0
    dead: int = 0


class Outbox(Protocol):
    """What is still to be told, durably. The ledger says what happened; this says who knows.

    Guarantees of every adapter:
        Durable: what a method stored survives a kill at any later instruction.
        Together: `put` stores the duties and how far the feed was followed, or nothing.
        Once each: a duty that was put is there until it is settled or dropped, whoever puts it.
        One at a time: a parcel that is leased is given to nobody else until the lease ends.
        Losing it is safe: `cursor` is then None, and `told` says from where to follow the feed
        again. What was told since may then be told twice; nothing is left out.
    """

    async def told(self) -> int | None:
        """Return the ledger `seq` up to which all was told or given up, None where that is not
        known. It may be too low, never too high.
        """
        ...

    async def cursor(self) -> int | None:
        """Return the ledger `seq` up to which all is put, None if nothing ever was."""
        ...

    async def put(self, duties: Sequence[Duty], *, after: int | None, upto: int) -> bool:
        """Store duties from the events after `after` up to `upto`.

        False, and nothing is stored, if the cursor is not `after`: another process was quicker.
        """
        ...

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
        """Return what is due this way, urgent and oldest first, leased to `holder` and counted as
        a try. A lease ends at `until`, or with its holder's life.
        """
        ...

    async def settle(self, id: str, *, holder: str) -> None:
        """The parcel was taken: forget it."""
        ...

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
        """Try the parcel again then; without `tried` it was no try. `taken` is kept beside what
        was known of it.
        """
        ...

    async def give_up(
        self, id: str, *, holder: str, problem: str, taken: frozenset[str] = frozenset()
    ) -> None:
        """Keep the parcel as a dead letter; `taken` as `put_off` does."""
        ...

    async def next_due(self, ways: Collection[str]) -> datetime | None:
        """Return when the next parcel or lease of these ways is due, None if there is none."""
        ...

    async def find(self) -> list[Parcel]:
        """Return everything that is not settled, oldest first."""
        ...

    async def backlog(self, now: datetime) -> Backlog:
        """Count what is not settled, without reading it."""
        ...

    async def retry(self, ids: Collection[str] | None, now: datetime) -> int:
        """Make these parcels (None: every dead one) due now, as if never tried; say how many."""
        ...

    async def drop(self, ids: Collection[str] | None) -> int:
        """Forget these parcels (None: every dead one), untold; say how many."""
        ...

    async def release(self, holder: str) -> None:
        """End every lease of this holder: its parcels are due, and were not tried."""
        ...

    async def aclose(self) -> None:
        """Release everything."""
        ...
