"""Owns what the outbox keeps in its SQLite file, `.hitl/outbox.db`. Never decides what is told.

Every statement runs in one thread (WAL, `synchronous=FULL`).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import TypeVar

from hitl_vault.adapters.outbox.file import Damaged, OutboxFile
from hitl_vault.adapters.vault.worker import Worker
from hitl_vault.core.duties import Duty
from hitl_vault.core.events import Kind
from hitl_vault.ports_telling import Backlog, Parcel

_T = TypeVar("_T")
_FAR = timedelta(days=8)  # nothing is put off for so long: the clock was set back since
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_COLUMNS = (
    "id, seq, way, person, request_id, kind, urgent, gathered, due_us, parcel, tries, problem, "
    "dead, holder, until_us, taken"
)
_IS_DUE = "way = :way AND dead = 0 AND (due_us <= :now OR due_us > :far)"


class SqliteOutbox:
    """The outbox of one vault, for any number of processes; opened, and made, at first use."""

    def __init__(self, path: Path, *, mends: bool = True) -> None:
        self._file = OutboxFile(path, mends=mends)
        self._worker = Worker("hitl-outbox")

    async def told(self) -> int | None:
        """Return up to which event everything was told or given up."""
        return await self._worker.do(self._file.told)

    async def cursor(self) -> int | None:
        """Return how far the feed was followed."""
        return await self._do(_cursor)

    async def put(self, duties: Sequence[Duty], *, after: int | None, upto: int) -> bool:
        """Store duties together with how far the feed was followed."""

        def work(connection: sqlite3.Connection) -> bool:
            if _cursor(connection) != after:
                return False
            connection.executemany(
                f"INSERT OR IGNORE INTO duties ({_COLUMNS}) "  # noqa: S608  our own words
                "VALUES (?,?,?,?,?,?,?,?,?,?,0,'',0,'',0,'')",
                [_row(duty) for duty in duties],
            )
            connection.execute("DELETE FROM followed")
            connection.execute("INSERT INTO followed VALUES (?)", (upto,))
            return True

        return await self._do(work, writing=True)

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
        """Lease what is due this way; read first, since mostly nothing is."""
        values = {"way": way, "now": _us(now), "far": _us(now + _FAR)}
        due = f"SELECT DISTINCT holder, until_us > :now FROM duties WHERE {_IS_DUE}"  # noqa: S608
        seen = await self._do(lambda connection: connection.execute(due, values).fetchall())
        dead = {name for name, runs in seen if name and runs and not is_alive(name)}
        if all(name and runs and name not in dead for name, runs in seen):
            return []  # nothing is due, or others send it

        def work(connection: sqlite3.Connection) -> list[Parcel]:
            return _lease(connection, values, dead, holder, _us(until), limit)

        return await self._do(work, writing=True)

    async def settle(self, id: str, *, holder: str) -> None:
        """Forget a parcel that was taken."""
        await self._write("DELETE FROM duties WHERE parcel = ? AND holder = ?", (id, holder))

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
        await self._write(
            "UPDATE duties SET holder = '', due_us = ?, problem = ?, tries = tries - ?, "
            "taken = taken || ? WHERE parcel = ? AND holder = ?",
            (_us(at), problem, 0 if tried else 1, _tags(taken), id, holder),
        )

    async def give_up(
        self, id: str, *, holder: str, problem: str, taken: frozenset[str] = frozenset()
    ) -> None:
        """Keep a parcel as a dead letter."""
        await self._write(
            "UPDATE duties SET holder = '', dead = 1, problem = ?, taken = taken || ? "
            "WHERE parcel = ? AND holder = ?",
            (problem, _tags(taken), id, holder),
        )

    async def next_due(self, ways: Collection[str]) -> datetime | None:
        """Return when something is due next."""
        marks = ",".join("?" * len(ways))
        statement = (
            "SELECT MIN(CASE WHEN holder = '' THEN due_us ELSE MAX(due_us, until_us) END) "  # noqa: S608
            f"FROM duties WHERE dead = 0 AND way IN ({marks})"
        )
        (due,) = await self._do(lambda c: c.execute(statement, tuple(ways)).fetchone())
        return None if due is None else _EPOCH + timedelta(microseconds=due)

    async def find(self) -> list[Parcel]:
        """Return everything that is not settled, oldest first."""
        statement = f"SELECT {_COLUMNS} FROM duties ORDER BY parcel, seq"  # noqa: S608
        found = await self._do(lambda c: _parcels(c.execute(statement).fetchall()))
        return sorted(found, key=lambda parcel: (parcel.duties[0].seq, parcel.id))

    async def backlog(self, now: datetime) -> Backlog:
        """Count by the columns alone."""
        statement = "SELECT dead, due_us <= ? OR due_us > ?, count(*) FROM duties GROUP BY 1, 2"
        values = (_us(now), _us(now + _FAR))
        rows = await self._do(lambda connection: connection.execute(statement, values).fetchall())
        found = {(bool(dead), bool(due)): number for dead, due, number in rows}
        return Backlog(
            due=found.get((False, True), 0),
            later=found.get((False, False), 0),
            dead=sum(number for (dead, _), number in found.items() if dead),
        )

    async def retry(self, ids: Collection[str] | None, now: datetime) -> int:
        """Make parcels due now."""
        return await self._each(
            "UPDATE duties SET dead = 0, tries = 0, due_us = ? ", ids, "dead = 1", _us(now)
        )

    async def drop(self, ids: Collection[str] | None) -> int:
        """Forget parcels, untold."""
        return await self._each("DELETE FROM duties ", ids, "dead = 1")

    async def release(self, holder: str) -> None:
        """End every lease of a holder."""
        await self._write(
            "UPDATE duties SET holder = '', tries = tries - 1 WHERE holder = ?", (holder,)
        )

    async def aclose(self) -> None:
        """Close the file."""
        await self._worker.do(self._file.close)
        await self._worker.aclose()

    async def _write(self, statement: str, values: Sequence[object]) -> None:
        await self._do(lambda connection: connection.execute(statement, values), writing=True)

    async def _each(
        self, change: str, ids: Collection[str] | None, otherwise: str, *values: object
    ) -> int:
        chosen = otherwise if ids is None else f"parcel IN ({','.join('?' * len(ids))})"

        def work(connection: sqlite3.Connection) -> int:
            found = (*(ids or ()),)
            (count,) = connection.execute(
                f"SELECT count(DISTINCT parcel) FROM duties WHERE {chosen}",  # noqa: S608
                found,
            ).fetchone()
            connection.execute(f"{change}WHERE {chosen}", (*values, *found))
            return int(count)

        return await self._do(work, writing=True)

    async def _do(self, work: Callable[[sqlite3.Connection], _T], *, writing: bool = False) -> _T:
        return await self._worker.do(lambda: self._file.do(work, writing=writing))


def _cursor(connection: sqlite3.Connection) -> int | None:
    found = connection.execute("SELECT seq FROM followed").fetchone()
    return None if found is None else int(found[0])


def _lease(
    connection: sqlite3.Connection,
    values: dict[str, object],
    dead: Collection[str],
    holder: str,
    until_us: int,
    limit: int,
) -> list[Parcel]:
    names = {f"dead{number}": name for number, name in enumerate(sorted(dead))}
    listed = ",".join(f":{key}" for key in names)
    free = f"{_IS_DUE} AND (holder = '' OR until_us <= :now OR holder IN ({listed}))"
    values = {**values, **names, "holder": holder, "until": until_us, "limit": limit}
    _gather(connection, f"{free} AND parcel = ''", values)
    chosen = connection.execute(
        f"SELECT parcel FROM duties WHERE {free} GROUP BY parcel "  # noqa: S608  our own words
        "ORDER BY MAX(urgent) DESC, MIN(seq) LIMIT :limit",
        values,
    ).fetchall()
    ids = [id for (id,) in chosen]
    marks = ",".join("?" * len(ids))
    connection.execute(
        f"UPDATE duties SET holder = ?, until_us = ?, tries = tries + 1 WHERE parcel IN ({marks})",  # noqa: S608
        (holder, until_us, *ids),
    )
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM duties WHERE parcel IN ({marks}) ORDER BY parcel, seq",  # noqa: S608
        ids,
    ).fetchall()
    return sorted(_parcels(rows), key=lambda parcel: ids.index(parcel.id))


def _gather(connection: sqlite3.Connection, free: str, values: dict[str, object]) -> None:
    """Make one parcel of all that one person is to be told together; it stays that parcel."""
    people = connection.execute(
        f"SELECT person, id FROM duties WHERE {free} ORDER BY person, seq DESC",  # noqa: S608
        values,
    )
    for whom, first in dict(people.fetchall()).items():
        connection.execute(
            f"UPDATE duties SET parcel = :first WHERE {free} AND person = :whom",  # noqa: S608
            {**values, "first": first, "whom": whom},
        )


def _us(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(microseconds=1)


def _row(duty: Duty) -> tuple[object, ...]:
    return (
        *(duty.id, duty.seq, duty.way, duty.person, duty.request_id, duty.kind.value),
        *(int(duty.urgent), int(duty.gathered), _us(duty.due_at)),
        "" if duty.gathered else duty.id,
    )


def _parcels(rows: Sequence[tuple[object, ...]]) -> list[Parcel]:
    found = []
    for parcel, group in groupby(rows, key=lambda row: row[9] or row[0]):
        members = list(group)
        tries, problem, dead, holder = members[0][10:14]
        duties = tuple(_duty(row) for row in members)
        found.append(
            Parcel(
                id=str(parcel),
                duties=duties,
                tries=int(tries),  # type: ignore[call-overload]
                problem=str(problem),
                dead=bool(dead),
                next_at=None if dead else duties[0].due_at,
                leased=bool(holder),
                taken=frozenset(str(members[0][15]).split()),
            )
        )
    return found


def _duty(row: tuple[object, ...]) -> Duty:
    id, seq, way, whom, request_id, kind, urgent, gathered, due_us = row[:9]
    try:
        return Duty(
            id=str(id),
            seq=int(seq),  # type: ignore[call-overload]
            way=str(way),
            person=str(whom),
            request_id=str(request_id),
            kind=Kind(str(kind)),
            urgent=bool(urgent),
            gathered=bool(gathered),
            due_at=_EPOCH + timedelta(microseconds=int(due_us)),  # type: ignore[call-overload]
        )
    except (ValueError, TypeError, OverflowError) as error:
        raise Damaged(f"it holds a duty that cannot be read: {error}") from error


def _tags(taken: frozenset[str]) -> str:
    return "".join(f"{tag} " for tag in sorted(taken))
