"""Owns reading the embedded ledger without an event loop. Never changes a request.

Commands that only print need nothing more than this, and start sooner for it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from hitl_vault.adapters.ledger import faults, sqlite_file, sqlite_find, sqlite_proof
from hitl_vault.adapters.ledger import sqlite_counts as counts
from hitl_vault.adapters.ledger import sqlite_rows as rows
from hitl_vault.core import chain
from hitl_vault.core.chain import Break, Head
from hitl_vault.core.events import Recorded
from hitl_vault.core.figures import Brief
from hitl_vault.core.model import Request
from hitl_vault.core.register import Register
from hitl_vault.core.tally import Tally
from hitl_vault.errors import LedgerCorrupt, NotOpen
from hitl_vault.ports import Counts, Filter


class LedgerReader:
    """The ledger in one file, for reading; the file is made if it is missing.

    Every method reads what was last committed, by any process. Raises StorageError.

    Args:
        path: The database.
        lost: Says what shows that there was a ledger, "" if nothing does. With such a trace, no
            new ledger is begun in the place of a missing or empty one: LedgerLost.
    """

    def __init__(self, path: Path, lost: sqlite_file.Lost = str) -> None:
        self._path = path
        self._closed = False
        self._connection, self.vault_id = sqlite_file.open_ledger(path, lost)
        self._genesis = chain.genesis(self.vault_id)

    @contextmanager
    def _readable(self) -> Iterator[sqlite3.Connection]:
        if self._closed:
            raise NotOpen(f"the ledger {self._path} is closed")
        try:
            yield self._connection
        except sqlite3.Error as error:
            raise faults.unreadable(error, self._path) from error
        except (ValueError, TypeError, RecursionError) as error:
            raise LedgerCorrupt(
                f"{self._path} holds a record that cannot be read ({error}); "
                "`hitl audit verify` names the first bad event"
            ) from error

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Let every read inside see the same moment."""
        with self._readable() as connection:
            connection.execute("BEGIN")
        try:
            yield
        finally:
            self._connection.execute("ROLLBACK")

    def stored_state(self, id: str) -> bytes | None:
        """Return one request exactly as its digest covers it, None if there is none."""
        with self._readable() as connection:
            return rows.stored_state(connection, id)

    def get(self, id: str) -> Request | None:
        """Return one request, None if there is none."""
        with self._readable() as connection:
            return rows.by_id(connection, id)

    def get_all(self, ids: Sequence[str]) -> dict[str, Request]:
        """Return those of these requests that there are, as of one moment, by their ids."""
        with self._readable() as connection:
            return rows.by_ids(connection, ids)

    def get_by_key(self, key: str) -> Request | None:
        """Return the request that was asked with this key."""
        with self._readable() as connection:
            return rows.by_key(connection, key)

    def register(self) -> Register:
        """Return what is on record for the vault as a whole."""
        with self._readable() as connection:
            return rows.register(connection) or Register()

    def find(self, filter: Filter) -> list[Request]:
        """Return the requests that match."""
        with self._readable() as connection:
            return sqlite_find.find(connection, filter)

    def count(self, since: datetime, now: datetime) -> Counts:
        """Return how the desk stands, by the columns alone."""
        with self._readable() as connection:
            return counts.count(connection, since, now)

    def tally(self) -> Tally:
        """Add up every request there is, as of one moment."""
        with self._readable() as connection:
            return counts.tally(connection)

    def briefs(self, since: datetime | None) -> Iterator[Brief]:
        """Yield what is counted of the requests asked since then, oldest first."""
        with self._readable() as connection:
            yield from counts.briefs(connection, since)

    def history(self, id: str) -> list[Recorded]:
        """Return the events of one request in order."""
        with self._readable() as connection:
            return rows.history(connection, id)

    def events_after(self, seq: int, limit: int) -> list[Recorded]:
        """Return events after `seq` in order, at most `limit`."""
        with self._readable() as connection:
            return rows.events_after(connection, seq, limit)

    def stored_after(self, seq: int, limit: int) -> list[tuple[int, bytes, str]]:
        """Return (seq, body, hash) of events after `seq`, the bytes exactly as they are hashed."""
        with self._readable() as connection:
            return rows.stored_after(connection, seq, limit)

    def neighbours(self, id: str) -> list[str]:
        """Return the ids next to this one in their order: how much of it is enough to name it."""
        with self._readable() as connection:
            return rows.neighbours(connection, id)

    def head(self) -> Head:
        """Return the end of the chain."""
        with self._readable() as connection:
            return rows.head(connection, self._genesis)

    def verify(self) -> Head | Break:
        """Walk the whole chain, compare every request with it, and look through the file.

        Raises:
            LedgerCorrupt: The chain holds, and the file around it is damaged.
        """
        with self._readable() as connection:
            return sqlite_proof.verify(connection, self._genesis)

    def rebuild_indexes(self) -> Head:
        """Build the search indexes anew from the requests and events, which must prove themselves.

        Raises:
            LedgerCorrupt: They do not, or more than the indexes is damaged; nothing was changed.
        """
        with self._readable() as connection:
            return sqlite_proof.rebuild_indexes(connection, self._genesis)

    def journal_mode(self) -> str:
        """Return how the file is journaled, "wal" where the file system allows it."""
        with self._readable() as connection:
            return sqlite_file.journal_mode(connection)

    def close(self) -> None:
        """Close the file."""
        self._closed = True
        self._connection.close()
