"""Owns what every SQLite file of a vault needs, whatever is in it. Never knows a table."""

from __future__ import annotations

import sqlite3
import time


def use_wal(connection: sqlite3.Connection) -> None:
    """Switch the file to WAL; SQLite does not wait by itself while another process does so too."""
    give_up = time.monotonic() + 15.0
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > give_up:
                raise
            time.sleep(0.005)
        else:
            return


def version_of(connection: sqlite3.Connection) -> int:
    """Return the version of the tables, 0 for a new file."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)


def roll_back(connection: sqlite3.Connection) -> None:
    """Undo what is open; some errors have done so by themselves."""
    if connection.in_transaction:
        connection.execute("ROLLBACK")


def is_damaged(error: sqlite3.DatabaseError) -> bool:
    """True if the file itself is broken, and not only busy, full or locked."""
    code = getattr(error, "sqlite_errorcode", 0) or 0
    return code & 0xFF in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
