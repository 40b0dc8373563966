"""Owns the memory of what the notes show: a cache beside the ledger. Never the truth.

It spares reading notes that have not changed. It is not fsynced; a damaged one is thrown away and
everything is read again.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TypeVar

from hitl_vault.adapters.ledger.faults import said
from hitl_vault.adapters.sqlite_file import is_damaged, roll_back, use_wal, version_of
from hitl_vault.core.chain import Head
from hitl_vault.errors import StorageError
from hitl_vault.ports import Shown, Signature

_log = logging.getLogger(__name__)
_T = TypeVar("_T")
_VERSION = 3
_SCHEMA = """
DROP TABLE IF EXISTS shown;
DROP TABLE IF EXISTS upto;
DROP TABLE IF EXISTS known;
CREATE TABLE shown (
    id TEXT PRIMARY KEY, path TEXT NOT NULL, rev INTEGER NOT NULL, pristine INTEGER NOT NULL,
    device INTEGER, inode INTEGER, size INTEGER, mtime_ns INTEGER, ctime_ns INTEGER
) WITHOUT ROWID;
CREATE TABLE upto (seq INTEGER NOT NULL);
CREATE TABLE known (seq INTEGER NOT NULL, hash TEXT NOT NULL)
"""


class DocumentIndex:
    """What each note last showed, in a small SQLite file; used by one thread at a time."""

    def __init__(self, path: Path, done_folder: str) -> None:
        self._path, self._done = path, done_folder
        try:
            self._connection = self._open_undamaged()
        except (sqlite3.Error, OSError) as error:
            raise StorageError(f"cannot open {path}: {said(error, path)}") from error

    def _open_undamaged(self) -> sqlite3.Connection:
        try:
            return self._open()
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError as error:
            return self._throw_away(error)

    def _throw_away(self, error: sqlite3.DatabaseError) -> sqlite3.Connection:
        _log.warning("%s is damaged (%s); every note is read again", self._path, error)
        for suffix in ("", "-wal", "-shm"):
            Path(f"{self._path}{suffix}").unlink(missing_ok=True)
        return self._open()

    def _open(self) -> sqlite3.Connection:
        with contextlib.suppress(OSError):  # before SQLite makes it: its companions get its mode
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600))
        connection = sqlite3.connect(
            self._path, timeout=15.0, isolation_level=None, check_same_thread=False
        )
        try:
            _prepare(connection)
        except BaseException:
            connection.close()
            raise
        with contextlib.suppress(OSError):
            self._path.chmod(0o600)
        return connection

    def _undamaged(self, work: Callable[[], _T]) -> _T:
        """Do the work; if the file turns out to be damaged, once more with an empty one."""
        try:
            return work()
        except sqlite3.DatabaseError as error:
            if not is_damaged(error):
                raise
            self._connection.close()
            self._connection = self._throw_away(error)
            return work()

    def load(self, ids: Collection[str] | None) -> dict[str, Shown]:
        """Return what is shown of these requests; for None, of all that are not in Done."""
        return self._undamaged(lambda: self._load(ids))

    def _load(self, ids: Collection[str] | None) -> dict[str, Shown]:
        if ids is None:
            found = self._connection.execute(
                "SELECT * FROM shown WHERE substr(path, 1, ?) <> ?",
                (len(self._done) + 1, f"{self._done}/"),
            ).fetchall()
        else:
            found = [
                row
                for id in ids
                if (
                    row := self._connection.execute(
                        "SELECT * FROM shown WHERE id=?", (id,)
                    ).fetchone()
                )
            ]
        return {row[0]: _shown(row) for row in found}

    def save(self, shown: Sequence[Shown], seq: int | None, known: Head | None = None) -> None:
        """Remember these, the ledger sequence number everything is shown up to, and the newest one
        that anything shown may state.
        """
        self._undamaged(lambda: self._save(shown, seq, known))

    def _save(self, shown: Sequence[Shown], seq: int | None, known: Head | None) -> None:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            self._connection.executemany(
                # another process may have shown more of a request since
                "INSERT INTO shown VALUES (?,?,?,?,?,?,?,?,?) ON CONFLICT (id) DO UPDATE SET "
                "path=excluded.path, rev=excluded.rev, pristine=excluded.pristine, "
                "device=excluded.device, inode=excluded.inode, size=excluded.size, "
                "mtime_ns=excluded.mtime_ns, ctime_ns=excluded.ctime_ns "
                "WHERE excluded.rev >= shown.rev",
                [_row(item) for item in shown],
            )
            if seq:
                self._raise("upto", (seq,))
            if known is not None and known.seq:
                self._raise("known", (known.seq, known.hash))
            self._connection.execute("COMMIT")
        except BaseException:
            roll_back(self._connection)
            raise

    def _raise(self, table: str, row: tuple[int | str, ...]) -> None:
        marks = ",".join("?" * len(row))
        self._connection.execute(f"DELETE FROM {table} WHERE seq < ?", row[:1])  # noqa: S608
        self._connection.execute(
            f"INSERT INTO {table} SELECT {marks} WHERE NOT EXISTS (SELECT 1 FROM {table})",  # noqa: S608
            row,
        )

    def seq(self) -> int:
        """Return the sequence number everything is shown up to, 0 if none."""
        return self._undamaged(self._seq)

    def _seq(self) -> int:
        (seq,) = self._connection.execute("SELECT COALESCE(MAX(seq), 0) FROM upto").fetchone()
        return int(seq)

    def known(self) -> Head | None:
        """Return the newest head of the ledger that anything shown may state, None if none."""
        return self._undamaged(self._known)

    def _known(self) -> Head | None:
        found = self._connection.execute("SELECT seq, hash FROM known").fetchone()
        return None if found is None else Head(seq=found[0], hash=found[1])

    def close(self) -> None:
        """Close the file."""
        self._connection.close()


def _prepare(connection: sqlite3.Connection) -> None:
    """Make the tables, or make them anew where another version made them."""
    use_wal(connection)
    connection.execute("PRAGMA synchronous=OFF")
    if version_of(connection) == _VERSION:
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        if version_of(connection) != _VERSION:  # else another process was quicker
            for statement in _SCHEMA.split(";"):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version={_VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        roll_back(connection)
        raise


def _row(item: Shown) -> tuple[object, ...]:
    s = item.signature
    seen = (None,) * 5 if s is None else (s.device, s.inode, s.size, s.mtime_ns, s.ctime_ns)
    return (item.id, item.path, item.rev, int(item.pristine), *seen)


def _shown(row: tuple[object, ...]) -> Shown:
    id, path, rev, pristine, device, *rest = row
    signature = None
    if device is not None:
        inode, size, mtime_ns, ctime_ns = rest
        signature = Signature(
            device=device,  # type: ignore[arg-type]
            inode=inode,  # type: ignore[arg-type]
            size=size,  # type: ignore[arg-type]
            mtime_ns=mtime_ns,  # type: ignore[arg-type]
            ctime_ns=ctime_ns,  # type: ignore[arg-type]
        )
    return Shown(
        id=str(id),
        path=str(path),
        rev=int(rev),  # type: ignore[call-overload]
        signature=signature,
        pristine=bool(pristine),
    )
