"""Owns the memory of what the notes show: a cache beside the ledger. Never the truth.

It spares reading notes that have not changed. It is not fsynced; a damaged one is thrown away and
everything is read again.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
from collections.abc import Collection, Sequence
from pathlib import Path

from hitl_vault.errors import StorageError
from hitl_vault.ports import Shown, Signature

_log = logging.getLogger(__name__)
_VERSION = 1
_SCHEMA = """
CREATE TABLE IF NOT EXISTS shown (
    id TEXT PRIMARY KEY, path TEXT NOT NULL, rev INTEGER NOT NULL, pristine INTEGER NOT NULL,
    device INTEGER, inode INTEGER, size INTEGER, mtime_ns INTEGER, ctime_ns INTEGER
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS upto (seq INTEGER NOT NULL);
"""


class DocumentIndex:
    """What each note last showed, in a small SQLite file; used by one thread at a time."""

    def __init__(self, path: Path, done_folder: str) -> None:
        self._path, self._done = path, done_folder
        try:
            self._connection = self._open()
        except sqlite3.OperationalError as error:
            raise StorageError(f"cannot open {path}: {error}") from error
        except sqlite3.DatabaseError as error:
            _log.warning("%s is damaged (%s); every note is read again", path, error)
            for suffix in ("", "-wal", "-shm"):
                Path(f"{path}{suffix}").unlink(missing_ok=True)
            self._connection = self._open()

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._path, timeout=15.0, isolation_level=None, check_same_thread=False
        )
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=OFF")
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version != _VERSION:
            connection.executescript("DROP TABLE IF EXISTS shown; DROP TABLE IF EXISTS upto;")
            connection.executescript(_SCHEMA)
            connection.execute(f"PRAGMA user_version={_VERSION}")
        with contextlib.suppress(OSError):
            self._path.chmod(0o600)
        return connection

    def load(self, ids: Collection[str] | None) -> dict[str, Shown]:
        """Return what is shown of these requests; for None, of all that are not in Done."""
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

    def save(self, shown: Sequence[Shown], seq: int | None) -> None:
        """Remember these, and the ledger sequence number everything is shown up to."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            self._connection.executemany(
                "INSERT OR REPLACE INTO shown VALUES (?,?,?,?,?,?,?,?,?)",
                [_row(item) for item in shown],
            )
            if seq is not None:
                self._connection.execute("DELETE FROM upto WHERE seq < ?", (seq,))
                self._connection.execute(
                    "INSERT INTO upto SELECT ? WHERE NOT EXISTS (SELECT 1 FROM upto)", (seq,)
                )
            self._connection.execute("COMMIT")
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise

    def seq(self) -> int:
        """Return the remembered sequence number, 0 if none."""
        (seq,) = self._connection.execute("SELECT COALESCE(MAX(seq), 0) FROM upto").fetchone()
        return int(seq)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()


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
