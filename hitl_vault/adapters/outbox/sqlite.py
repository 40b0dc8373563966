"""Owns the outbox in one SQLite file, `.hitl/outbox.db`. Never decides what is told.

Every statement runs in one thread (WAL, `synchronous=FULL`). A damaged file is put away and begun
anew: what waits is then told again.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import TypeVar

from hitl_vault.adapters.sqlite_file import is_damaged, roll_back, use_wal, version_of
from hitl_vault.adapters.vault.worker import Worker
from hitl_vault.core.duties import Duty
from hitl_vault.core.events import Kind
from hitl_vault.errors import NewerFormat, StorageError
from hitl_vault.ports_telling import Backlog, Parcel

_log = logging.getLogger(__name__)
_T = TypeVar("_T")
_VERSION = 1
_FAR = timedelta(days=8)  # nothing is put off for so long: the clock was set back since
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SCHEMA = """
CREATE TABLE followed (seq INTEGER NOT NULL);
CREATE TABLE duties (
    id TEXT PRIMARY KEY, seq INTEGER NOT NULL, way TEXT NOT NULL, person TEXT NOT NULL,
    request_id TEXT NOT NULL, kind TEXT NOT NULL, urgent INTEGER NOT NULL,
    gathered INTEGER NOT NULL, due_us INTEGER NOT NULL, parcel TEXT NOT NULL,
    tries INTEGER NOT NULL DEFAULT 0, problem TEXT NOT NULL DEFAULT '',
    dead INTEGER NOT NULL DEFAULT 0, holder TEXT NOT NULL DEFAULT '',
    until_us INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX duties_by_due ON duties (way, dead, due_us);
CREATE INDEX duties_by_parcel ON duties (parcel);
CREATE INDEX duties_by_holder ON duties (holder) WHERE holder <> ''
"""
_COLUMNS = (
    "id, seq, way, person, request_id, kind, urgent, gathered, due_us, parcel, tries, problem, "
    "dead, holder, until_us"
)
_IS_DUE = "way = :way AND dead = 0 AND (due_us <= :now OR due_us > :far)"


class SqliteOutbox:
    """The outbox of one vault, for any number of processes; opened, and made, at first use."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._worker = Worker("hitl-outbox")
        self._connection: sqlite3.Connection | None = None

    # the port

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
                "VALUES (?,?,?,?,?,?,?,?,?,?,0,'',0,'',0)",
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
        self, id: str, *, holder: str, at: datetime, problem: str = "", tried: bool = True
    ) -> None:
        """Try a parcel again later."""
        await self._write(
            "UPDATE duties SET holder = '', due_us = ?, problem = ?, tries = tries - ? "
            "WHERE parcel = ? AND holder = ?",
            (_us(at), problem, 0 if tried else 1, id, holder),
        )

    async def give_up(self, id: str, *, holder: str, problem: str) -> None:
        """Keep a parcel as a dead letter."""
        await self._write(
            "UPDATE duties SET holder = '', dead = 1, problem = ? WHERE parcel = ? AND holder = ?",
            (problem, id, holder),
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
        rows = await self._do(lambda connection: connection.execute(statement).fetchall())
        return sorted(_parcels(rows), key=lambda parcel: (parcel.duties[0].seq, parcel.id))

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
        if self._connection is not None:
            with contextlib.suppress(StorageError):
                await self._worker.do(self._close)
        await self._worker.aclose()

    # the file

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
        return await self._worker.do(lambda: self._undamaged(work, writing=writing))

    def _undamaged(self, work: Callable[[sqlite3.Connection], _T], *, writing: bool) -> _T:
        """Do the work; if the file turns out to be damaged, once more with an empty one."""
        try:
            try:
                return self._in_transaction(work, writing=writing)
            except sqlite3.DatabaseError as error:
                if not is_damaged(error):
                    raise
                self._throw_away(error)
                return self._in_transaction(work, writing=writing)
        except (sqlite3.Error, OSError) as error:
            raise StorageError(f"cannot use {self._path}: {error}") from error

    def _in_transaction(self, work: Callable[[sqlite3.Connection], _T], *, writing: bool) -> _T:
        connection = self._open()
        if not writing:
            return work(connection)
        connection.execute("BEGIN IMMEDIATE")
        try:
            done = work(connection)
            connection.execute("COMMIT")
        except BaseException:
            roll_back(connection)
            raise
        return done

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            self._path.touch(mode=0o600)
            connection = sqlite3.connect(
                self._path, timeout=15.0, isolation_level=None, check_same_thread=False
            )
            try:
                with contextlib.suppress(OSError):
                    self._path.chmod(0o600)
                _prepare(connection, self._path)
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    def _throw_away(self, error: sqlite3.DatabaseError) -> None:
        _log.error("%s is damaged (%s); what waits is told again", self._path, error)
        self._close()
        for suffix in ("-wal", "-shm", ""):
            Path(f"{self._path}{suffix}").unlink(missing_ok=True)

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    use_wal(connection)
    connection.execute("PRAGMA synchronous=FULL")
    if version_of(connection) > _VERSION:
        raise NewerFormat(f"{path} was written by a newer version of hitl_vault; upgrade to use it")
    if version_of(connection) == _VERSION:
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        if version_of(connection) == 0:  # else another process was quicker
            for statement in _SCHEMA.split(";"):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version={_VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        roll_back(connection)
        raise


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
            )
        )
    return found


def _duty(row: tuple[object, ...]) -> Duty:
    id, seq, way, whom, request_id, kind, urgent, gathered, due_us = row[:9]
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
