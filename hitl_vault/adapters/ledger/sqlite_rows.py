"""Owns the tables of the embedded ledger and every SQL statement on them. Never commits.

`PRAGMA user_version` is the schema's version. `MIGRATIONS[n]` brings version n to n + 1; they are
only ever appended. A file with a higher version than this program knows is refused.
"""

from __future__ import annotations

import contextlib
import secrets
import sqlite3
from datetime import datetime
from pathlib import Path
from typing import Any

from hitl_vault.adapters.ledger.cas import Write
from hitl_vault.core import chain
from hitl_vault.core.chain import Break, Head
from hitl_vault.core.commands import Ask, Command
from hitl_vault.core.events import Recorded
from hitl_vault.core.lifecycle import next_due
from hitl_vault.core.model import Request
from hitl_vault.errors import NewerFormat, StorageError
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
]


def connect(path: Path) -> sqlite3.Connection:
    """Open the file. Raises StorageError if it cannot be opened."""
    try:
        connection = sqlite3.connect(
            path, timeout=15.0, isolation_level=None, check_same_thread=False
        )
        connection.execute("PRAGMA synchronous=FULL")
    except sqlite3.Error as error:
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
    return str(found[0])


def _version(connection: sqlite3.Connection, path: Path) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    if application not in {0, APPLICATION_ID} or (application == 0 and version):
        raise StorageError(f"{path} is a database of another program, not a ledger")
    if version > len(MIGRATIONS):
        raise NewerFormat(
            f"{path} was written by a newer version of hitl_vault (format {version}, this program "
            f"knows {len(MIGRATIONS)}); upgrade hitl-vault to open it. Nothing was changed."
        )
    return int(version)


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    connection.execute("PRAGMA journal_mode=WAL")
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
        connection.execute("ROLLBACK")
        raise


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
    return _one(connection.execute("SELECT state FROM requests WHERE id = ?", (id,)))


def by_key(connection: sqlite3.Connection, key: str) -> Request | None:
    """Return the request asked with this key."""
    return _one(connection.execute("SELECT state FROM requests WHERE key = ?", (key,)))


def _one(cursor: sqlite3.Cursor) -> Request | None:
    found = cursor.fetchone()
    return None if found is None else chain.decode_request(found[0])


def store(connection: sqlite3.Connection, write: Write) -> None:
    """Write one step: the request's row and its events."""
    request = write.request
    due = next_due(request)
    due_us = None if due is None else _us(due[0])
    if request.rev == 1:
        connection.execute(
            "INSERT INTO requests VALUES (?,?,?,?,?,?,?,?,?,?)",
            (
                request.id,
                request.rev,
                request.status.value,
                request.key,
                request.action.type,
                request.action.requested_by,
                request.action.run_id,
                _us(request.created_at),
                due_us,
                write.state,
            ),
        )
    else:
        connection.execute(
            "UPDATE requests SET rev = ?, status = ?, due_us = ?, state = ? WHERE id = ?",
            (request.rev, request.status.value, due_us, write.state, request.id),
        )
    connection.executemany(
        "INSERT INTO events VALUES (?,?,?,?)",
        [(link.seq, request.id, link.body, link.hash) for link in write.links],
    )


def _us(at: datetime) -> int:
    return int(at.timestamp() * 1_000_000)


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
    return [chain.decode_request(state) for (state,) in connection.execute(statement, values)]


def history(connection: sqlite3.Connection, id: str) -> list[Recorded]:
    """Return the events of one request in order."""
    found = connection.execute(
        "SELECT body, hash FROM events WHERE request_id = ? ORDER BY seq", (id,)
    )
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
        stored = connection.execute("SELECT seq, body, hash FROM events ORDER BY seq")
        walked = chain.verify(genesis, stored)
        if isinstance(walked, Break):
            return walked
        unseen = set(walked.states)
        for id, state in connection.execute("SELECT id, state FROM requests ORDER BY created_us"):
            broken = chain.check_state(walked, id, state)
            if broken is not None:
                return broken
            unseen.discard(id)
        for id in unseen:
            return chain.check_state(walked, id, None) or walked.head
        return walked.head
    finally:
        connection.execute("ROLLBACK")


def is_busy(error: sqlite3.OperationalError) -> bool:
    """True if another process holds the lock."""
    return error.sqlite_errorcode & 0xFF in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


def is_full(error: Exception) -> bool:
    """True if the disk is full: SQLite has rolled back by itself."""
    code = getattr(error, "sqlite_errorcode", 0) or 0
    return code & 0xFF in {sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_BUSY}
