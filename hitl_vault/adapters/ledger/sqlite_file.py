"""Owns the file of the embedded ledger: its format, its journal, its first moment. Never judges.

`PRAGMA user_version` is the format's version. `MIGRATIONS[n]` brings version n to n + 1; they are
only ever appended. A file with a higher version than this program knows is refused.
"""

from __future__ import annotations

import contextlib
import secrets
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

from hitl_vault.adapters.ledger import faults
from hitl_vault.errors import LedgerCorrupt, LedgerLost, NewerFormat, StorageError

Lost = Callable[[], str]
"""Says what shows that there was a ledger, and what to do; "" if nothing does."""

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
    """
    CREATE INDEX requests_by_type ON requests (type, created_us);
    CREATE INDEX requests_by_requester ON requests (requested_by, created_us);
    CREATE INDEX requests_by_run ON requests (run_id, created_us) WHERE run_id <> ''
    """,
]


def connect(path: Path, *, create: bool = False) -> sqlite3.Connection:
    """Open the file. Raises StorageError if it cannot be opened, or is missing and not `create`d.

    `synchronous=EXTRA` is FULL for a write-ahead log; for a rollback journal it also makes the end
    of a transaction durable. `fullfsync` is what an fsync means elsewhere, on macOS.
    """
    try:
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode={'rwc' if create else 'rw'}",
            uri=True,
            timeout=15.0,
            isolation_level=None,
            check_same_thread=False,
        )
    except sqlite3.Error as error:
        raise StorageError(f"cannot open the ledger {path}: {faults.said(error, path)}") from error
    try:
        for setting in ("synchronous=EXTRA", "fullfsync=ON", "checkpoint_fullfsync=ON"):
            connection.execute(f"PRAGMA {setting}")
    except sqlite3.Error as error:
        connection.close()
        raise StorageError(f"cannot open the ledger {path}: {faults.said(error, path)}") from error
    return connection


def store_nothing(path: Path) -> None:
    """Commit the format's version as it is: a change that changes nothing, written for real.

    Raises:
        sqlite3.Error, StorageError: It could not be stored.
    """
    with contextlib.closing(connect(path)) as connection:
        connection.execute("PRAGMA busy_timeout=1000")
        connection.execute("BEGIN IMMEDIATE")
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        connection.execute(f"PRAGMA user_version={version}")
        connection.execute("COMMIT")


def open_ledger(path: Path, lost: Lost) -> tuple[sqlite3.Connection, str]:
    """Open the ledger, brought to this program's format, and return it with the vault's id.

    Raises:
        NewerFormat: A newer version of hitl_vault wrote it.
        LedgerLost: It is missing or empty, and something shows that there was one.
        LedgerCorrupt: It is damaged.
        StorageError: It is not a ledger, or cannot be written.
    """
    missing = _is_missing(path)
    if missing:
        _refuse_to_forget(path, lost, lambda: _is_missing(path), "is missing")
    connection = connect(path, create=missing)
    try:
        return connection, _prepare(connection, path, lost)
    except sqlite3.Error as error:
        connection.close()
        raise faults.unreadable(error, path) from error
    except BaseException:
        connection.close()
        raise


def _is_missing(path: Path) -> bool:
    """True if it is not there; a folder we may not look into is for opening to complain of."""
    try:
        path.stat()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return False


def _prepare(connection: sqlite3.Connection, path: Path, lost: Lost) -> str:
    version = _version(connection, path)
    if version == 0:
        _refuse_to_forget(path, lost, lambda: _version(connection, path) == 0, "is empty")
    if version < len(MIGRATIONS):
        _migrate(connection, path)
    elif journal_mode(connection) != "wal":
        with contextlib.suppress(sqlite3.OperationalError):  # others have it open: as it was made
            connection.execute("PRAGMA journal_mode=WAL")
    found = connection.execute("SELECT value FROM meta WHERE name = 'vault_id'").fetchone()
    if found is None:
        raise LedgerCorrupt(f"{path} has lost the id of its vault; {faults.RESTORE}")
    return str(found[0])


def _refuse_to_forget(path: Path, lost: Lost, still: Callable[[], bool], how: str) -> None:
    """Raise LedgerLost where a new ledger would take the place of one that is gone.

    Another process may be beginning one right now: what it left behind is no sign of a loss, and
    `still` is asked after looking, since it leaves nothing behind before its ledger is there.
    """
    trace = lost()
    if trace and still():
        raise LedgerLost(f"the ledger {path} {how}, but {trace}")


def _version(connection: sqlite3.Connection, path: Path) -> int:
    version, application, tables = connection.execute(  # of one moment: another may be making it
        "SELECT user_version, application_id, (SELECT count(*) FROM sqlite_master)"
        " FROM pragma_user_version, pragma_application_id"
    ).fetchone()
    if application != APPLICATION_ID and (application or version or tables):
        raise StorageError(
            f"{path} is a database of another program, not a ledger; nothing was changed. Move it "
            "away, and restore the ledger from a backup if there was one"
        )
    if version > len(MIGRATIONS):
        raise NewerFormat(
            f"{path} was written by a newer version of hitl_vault (format {version}, this program "
            f"knows {len(MIGRATIONS)}); upgrade hitl-vault to open it. Nothing was changed."
        )
    if version < 0 or (tables and not version):
        raise LedgerCorrupt(
            f"{path} holds tables and says that its format is {version} (PRAGMA user_version): "
            f"something other than hitl_vault changed it. Nothing was changed; {faults.RESTORE}"
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
    """Switch the file to WAL; SQLite does not wait by itself while another process does so too.

    A file system without shared memory keeps its rollback journal: slower, and as safe, since
    every statement here holds its lock and `connect` makes each commit durable.
    """
    give_up = time.monotonic() + 15.0
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if not faults.is_busy(error) or time.monotonic() > give_up:
                raise
            time.sleep(0.005)
        else:
            return


def journal_mode(connection: sqlite3.Connection) -> str:
    """Return how the file is journaled: "wal", or "delete" where the file system refuses that."""
    (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
    return str(mode)
