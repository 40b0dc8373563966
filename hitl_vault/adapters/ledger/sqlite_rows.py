"""Owns the tables of the embedded ledger and every SQL statement on them. Never commits.

`PRAGMA user_version` is the schema's version. `MIGRATIONS[n]` brings version n to n + 1; they are
only ever appended. A file with a higher version than this program knows is refused.
"""

from __future__ import annotations

import contextlib
import secrets
import sqlite3
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from hitl_vault.adapters.ledger.cas import Write
from hitl_vault.core import chain
from hitl_vault.core.chain import Break, Head
from hitl_vault.core.commands import Ask, Command
from hitl_vault.core.events import Recorded
from hitl_vault.core.lifecycle import next_due
from hitl_vault.core.model import Request
from hitl_vault.core.register import REGISTER_ID, Register
from hitl_vault.errors import LedgerCorrupt, NewerFormat, StorageError
from hitl_vault.ports import Filter

APPLICATION_ID = 0x4849544C  # "HITL"

MIGRATIONS = [
    """
    CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE requests (
        id TEXT PRIMARY KEY COLLATE NOCASE,
        rev INTEGER NOT NULL,
        status TEXT NOT NULL,
        key TEXT UNIQUE,
        type TEXT NOT NULL,
        requested_by TEXT NOT NULL,
        run_id TEXT NOT NULL,
        created_us INTEGER NOT NULL,
        due_us INTEGER,
        state BLOB NOT NULL
    );
    CREATE INDEX requests_by_status ON requests (status, created_us);
    CREATE INDEX requests_by_time ON requests (created_us);
    CREATE INDEX requests_by_due ON requests (due_us) WHERE due_us IS NOT NULL;
    CREATE TABLE events (
        seq INTEGER PRIMARY KEY,
        request_id TEXT NOT NULL COLLATE NOCASE,
        body BLOB NOT NULL,
        hash TEXT NOT NULL
    );
    CREATE INDEX events_by_request ON events (request_id, seq);
    """,
    """
    CREATE TABLE register (rev INTEGER NOT NULL, state BLOB NOT NULL)
    """,
]


def connect(path: Path) -> sqlite3.Connection:
    """Open the file. Raises StorageError if it cannot be opened."""
    try:
        connection = sqlite3.connect(
            path, timeout=15.0, isolation_level=None, check_same_thread=False
        )
    except sqlite3.Error as error:
        raise StorageError(f"cannot open the ledger {path}: {error}") from error
    try:
        connection.execute("PRAGMA synchronous=FULL")
    except sqlite3.Error as error:
        connection.close()
        raise StorageError(f"cannot open the ledger {path}: {error}") from error
    return connection


def prepare(connection: sqlite3.Connection, path: Path) -> str:
    """Bring the file to this program's schema and return the vault's id.

    Raises:
        NewerFormat: A newer version of hitl_vault wrote it.
        StorageError: It is not a ledger, or cannot be written.
    """
    try:
        version = _version(connection, path)
        if version < len(MIGRATIONS):
            _migrate(connection, path)
        found = connection.execute("SELECT value FROM meta WHERE name = 'vault_id'").fetchone()
    except sqlite3.Error as error:
        raise StorageError(f"cannot use {path} as a ledger: {error}") from error
    if found is None:
        raise LedgerCorrupt(f"{path} has lost the id of its vault")
    return str(found[0])


def _version(connection: sqlite3.Connection, path: Path) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if application != APPLICATION_ID and (application or version or tables):
        raise StorageError(f"{path} is a database of another program, not a ledger")
    if version > len(MIGRATIONS):
        raise NewerFormat(
            f"{path} was written by a newer version of hitl_vault (format {version}, this program "
            f"knows {len(MIGRATIONS)}); upgrade hitl-vault to open it. Nothing was changed."
        )
    return int(version)


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    _use_wal(connection)
    with contextlib.suppress(OSError):
        path.chmod(0o600)
    connection.execute("BEGIN IMMEDIATE")
    try:
        for number in range(_version(connection, path), len(MIGRATIONS)):
            for statement in MIGRATIONS[number].split(";"):
                connection.execute(statement)
            if number == 0:
                connection.execute(
                    "INSERT INTO meta VALUES ('vault_id', ?)", (secrets.token_hex(16),)
                )
        connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version={len(MIGRATIONS)}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # a full disk ends it by itself
            connection.execute("ROLLBACK")
        raise


def _use_wal(connection: sqlite3.Connection) -> None:
    """Switch the file to WAL; SQLite does not wait by itself while another process does so too."""
    give_up = time.monotonic() + 15.0
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if not is_busy(error) or time.monotonic() > give_up:
                raise
            time.sleep(0.005)
        else:
            return


def head(connection: sqlite3.Connection, genesis: Head) -> Head:
    """Return the end of the chain."""
    newest = connection.execute("SELECT seq, hash FROM events ORDER BY seq DESC LIMIT 1").fetchone()
    return genesis if newest is None else Head(seq=newest[0], hash=newest[1])


def load(connection: sqlite3.Connection, command: Command) -> Request | None:
    """Return the request a command is about."""
    found = by_id(connection, command.id)
    if found is None and isinstance(command, Ask) and command.key is not None:
        return by_key(connection, command.key)
    return found


def by_id(connection: sqlite3.Connection, id: str) -> Request | None:
    """Return the request with this id."""
    return _one(connection, "SELECT state FROM requests WHERE id = ?", id)


def by_key(connection: sqlite3.Connection, key: str) -> Request | None:
    """Return the request asked with this key."""
    return _one(connection, "SELECT state FROM requests WHERE key = ?", key)


def _one(connection: sqlite3.Connection, statement: str, name: str) -> Request | None:
    try:
        found = connection.execute(statement, (name,)).fetchone()
    except UnicodeEncodeError:  # half a character: nothing was ever stored under such a name
        return None
    return None if found is None else chain.decode_request(found[0])


def register(connection: sqlite3.Connection) -> Register | None:
    """Return the register, None if nothing was ever recorded in it."""
    found = connection.execute("SELECT state FROM register").fetchone()
    return None if found is None else chain.decode_register(found[0])


def store(connection: sqlite3.Connection, write: Write) -> None:
    """Write one step: the row of its request, or the register's, and its events."""
    request = write.request
    if request is None:
        connection.execute("DELETE FROM register")
        connection.execute("INSERT INTO register VALUES (?,?)", (write.rev, write.state))
    else:
        _store_request(connection, request, write.state)
    connection.executemany(
        "INSERT INTO events VALUES (?,?,?,?)",
        [(link.seq, link.event.request_id, link.body, link.hash) for link in write.links],
    )


def _store_request(connection: sqlite3.Connection, request: Request, state: bytes) -> None:
    columns = _columns(request)
    if request.rev == 1:
        connection.execute("INSERT INTO requests VALUES (?,?,?,?,?,?,?,?,?,?)", (*columns, state))
    else:
        connection.execute(
            "UPDATE requests SET rev = ?, status = ?, due_us = ?, state = ? WHERE id = ?",
            (request.rev, request.status.value, columns[-1], state, request.id),
        )


def _columns(request: Request) -> tuple[str | int | None, ...]:
    """Return what the table holds of a request beside its state, for searching."""
    due = next_due(request)
    return (
        request.id,
        request.rev,
        request.status.value,
        request.key,
        request.action.type,
        request.action.requested_by,
        request.action.run_id,
        _us(request.created_at),
        None if due is None else _us(due[0]),
    )


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _us(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(microseconds=1)


def find(connection: sqlite3.Connection, want: Filter) -> list[Request]:
    """Return the requests that match."""
    where: list[str] = []
    values: list[Any] = []
    if want.statuses is not None:
        where.append(f"status IN ({','.join('?' * len(want.statuses))})")
        values += [status.value for status in want.statuses]
    for column, value in (
        ("type", want.type),
        ("requested_by", want.requested_by),
        ("run_id", want.run_id),
    ):
        if value is not None:
            where.append(f"{column} = ?")
            values.append(value)
    if want.since is not None:
        where.append("created_us >= ?")
        values.append(_us(want.since))
    if want.due_before is not None:
        where.append("due_us <= ?")
        values.append(_us(want.due_before))
    if want.id_prefix is not None:
        where.append("id LIKE ? ESCAPE '\\'")
        plain = want.id_prefix.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        values.append(plain + "%")
    order = "ASC" if want.oldest_first else "DESC"
    statement = (
        "SELECT state FROM requests"  # noqa: S608  only our own words are put in
        + (f" WHERE {' AND '.join(where)}" if where else "")
        + f" ORDER BY created_us {order}, id {order} LIMIT ?"
    )
    values.append(-1 if want.limit is None else want.limit)
    try:
        found = connection.execute(statement, values).fetchall()
    except UnicodeEncodeError:
        return []
    return [chain.decode_request(state) for (state,) in found]


def history(connection: sqlite3.Connection, id: str) -> list[Recorded]:
    """Return the events of one request in order."""
    try:
        found = connection.execute(
            "SELECT body, hash FROM events WHERE request_id = ? ORDER BY seq", (id,)
        )
    except UnicodeEncodeError:
        return []
    return [chain.decode_event(body, hash_) for body, hash_ in found]


def events_after(connection: sqlite3.Connection, seq: int, limit: int) -> list[Recorded]:
    """Return events after `seq` in order."""
    found = connection.execute(
        "SELECT body, hash FROM events WHERE seq > ? ORDER BY seq LIMIT ?", (seq, limit)
    )
    return [chain.decode_event(body, hash_) for body, hash_ in found]


def stored_after(
    connection: sqlite3.Connection, seq: int, limit: int
) -> list[tuple[int, bytes, str]]:
    """Return (seq, body, hash) of events after `seq` in order, the bytes exactly as stored."""
    found = connection.execute(
        "SELECT seq, body, hash FROM events WHERE seq > ? ORDER BY seq LIMIT ?", (seq, limit)
    )
    return [(number, bytes(body), hash_) for number, body, hash_ in found]


def neighbours(connection: sqlite3.Connection, id: str) -> list[str]:
    """Return the ids directly before and after this one in their order, as far as there are any."""
    near = [
        connection.execute(
            "SELECT id FROM requests WHERE id < ? ORDER BY id DESC LIMIT 1", (id,)
        ).fetchone(),
        connection.execute(
            "SELECT id FROM requests WHERE id > ? ORDER BY id ASC LIMIT 1", (id,)
        ).fetchone(),
    ]
    return [row[0] for row in near if row is not None]


def verify(connection: sqlite3.Connection, genesis: Head) -> Head | Break:
    """Walk the chain, then compare every request with its newest event; one snapshot of both."""
    connection.execute("BEGIN")
    try:
        misfiled: list[int] = []
        walked = chain.verify(genesis, _stored(connection, misfiled))
        if isinstance(walked, Break):
            return walked
        for seq in misfiled:
            return Break(seq=seq, problem=f"event {seq} is filed under another request")
        unseen = set(walked.states)
        rows = connection.execute(f"SELECT CAST(state AS BLOB), {_SEARCHED} FROM requests")  # noqa: S608  our own words
        for state, *columns in rows:
            id = columns[0]
            broken = chain.check_state(walked, id, state)
            if broken is not None:
                return broken
            if tuple(columns) != _columns(chain.decode_request(state)):
                problem = f"request {id} is filed under other values than it holds"
                return Break(seq=walked.states[id][0], problem=problem)
            unseen.discard(id)
        for (state,) in connection.execute("SELECT CAST(state AS BLOB) FROM register"):
            broken = chain.check_state(walked, REGISTER_ID, state)
            if broken is not None:
                return broken
            unseen.discard(REGISTER_ID)
        for id in unseen:
            return chain.check_state(walked, id, None) or walked.head
        return walked.head
    finally:
        connection.execute("ROLLBACK")


_SEARCHED = "id, rev, status, key, type, requested_by, run_id, created_us, due_us"


def _stored(
    connection: sqlite3.Connection, misfiled: list[int]
) -> Iterator[tuple[int, bytes, str]]:
    """Yield the events as stored; note those whose row names another request than their text."""
    for seq, body, hash_, request_id in connection.execute(
        "SELECT seq, CAST(body AS BLOB), hash, request_id FROM events ORDER BY seq"
    ):
        yield seq, body, hash_
        if chain.decode_event(body, hash_).event.request_id != request_id:
            misfiled.append(seq)


def is_busy(error: sqlite3.OperationalError) -> bool:
    """True if another process holds the lock."""
    return error.sqlite_errorcode & 0xFF in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


def is_full(error: Exception) -> bool:
    """True if the disk is full: SQLite has rolled back by itself."""
    code = getattr(error, "sqlite_errorcode", 0) or 0
    return code & 0xFF in {sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_BUSY}
