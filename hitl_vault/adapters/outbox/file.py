"""Owns the file of the outbox, `.hitl/outbox.db`: its format, and what to do when it is damaged,
removed or replaced. Never reads a duty, and never deletes anything.

Beside it `outbox.told` holds the number of the event up to which everything was told or given up,
so that a file begun anew follows the events from there. It may be too low, and is never too high.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from filelock import FileLock, Timeout

from hitl_vault.adapters.sqlite_file import is_damaged, roll_back, use_wal, version_of
from hitl_vault.errors import NewerFormat, StorageError

_log = logging.getLogger(__name__)
_T = TypeVar("_T")
_TRIES = 5
_WAIT_S = 10.0
_MIGRATIONS = [
    """
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
    """,
    "ALTER TABLE duties ADD COLUMN taken TEXT NOT NULL DEFAULT ''",
]
_TABLES = {"followed", "duties"}
_TOLD = """
    SELECT MIN(seq, (SELECT COALESCE(MIN(seq) - 1, 1 << 62) FROM duties WHERE dead = 0))
    FROM followed
"""


class Damaged(sqlite3.DatabaseError):
    """The file holds what cannot be in it."""

    sqlite_errorcode = sqlite3.SQLITE_CORRUPT


class OutboxFile:
    """The file as one process has it open; for one thread at a time.

    Args:
        mends: A damaged file is set aside and begun anew; else it is an error, and left alone.
    """

    def __init__(self, path: Path, *, mends: bool = True) -> None:
        self.path = path
        self._mends = mends
        self._told = path.with_name("outbox.told")
        self._connection: sqlite3.Connection | None = None
        self._opened: tuple[_Id, _Id] = (None, None)

    def do(self, work: Callable[[sqlite3.Connection], _T], *, writing: bool) -> _T:
        """Do the work on the file that is there now; on a new one if that is damaged.

        Raises:
            StorageError: It could not be done.
        """
        try:
            for _ in range(_TRIES):
                try:
                    return self._in_transaction(work, writing=writing)
                except sqlite3.DatabaseError as error:
                    if not _is_damaged(error):
                        raise
                    self._set_aside(error)
            return self._in_transaction(work, writing=writing)
        except (sqlite3.Error, OSError, Timeout) as error:
            raise StorageError(f"cannot use {self.path}: {error}") from error

    def _in_transaction(self, work: Callable[[sqlite3.Connection], _T], *, writing: bool) -> _T:
        connection = self._open()
        if not writing:
            return work(connection)
        connection.execute("BEGIN IMMEDIATE")
        try:
            done = work(connection)
            self._note(connection)
            connection.execute("COMMIT")
        except BaseException:
            roll_back(connection)
            raise
        return done

    # life

    def _open(self) -> sqlite3.Connection:
        if self._connection is not None and self._ids() != self._opened:
            self._leave()
        for _ in range(_TRIES):
            if self._connection is not None:
                return self._connection
            self.path.touch(mode=0o600)
            self._opened = (_id(self.path), None)
            connection = self._connect()
            opened = self._ids()
            if opened[0] == self._opened[0]:
                self._connection, self._opened = connection, opened
            else:  # it was replaced meanwhile; which of both this one is cannot be told
                connection.close()
        if self._connection is None:
            raise StorageError(f"{self.path} is replaced again and again")
        return self._connection

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path, timeout=15.0, isolation_level=None, check_same_thread=False
        )
        connection.text_factory = _text
        try:
            with contextlib.suppress(OSError):
                self.path.chmod(0o600)
            _prepare(connection, self.path)
        except BaseException:
            connection.close()
            raise
        return connection

    def _ids(self) -> tuple[_Id, _Id]:
        """Return which files there are now. While one is open, nothing of ours removes its log."""
        return _id(self.path), _id(Path(f"{self.path}-wal"))

    def close(self) -> None:
        """Close the file. SQLite leaves alone what is not its own any more."""
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None

    def _set_aside(self, error: sqlite3.DatabaseError) -> None:
        if not self._mends:
            raise StorageError(
                f"{self.path} is damaged ({error}); a running desk sets it aside, and tells again "
                "what may not have been told"
            ) from error
        self.close()
        with self._lock():
            if _id(self.path) != self._opened[0]:
                return  # another process was quicker
            aside = self._rename("damaged", ("", "-wal", "-shm"))
        _log.error(
            "%s is damaged (%s); it is kept as %s, and what may not have been told is told again",
            *(self.path, error, aside.name),
        )

    def _leave(self) -> None:
        """Let go of a file that is not in its place any more, and take its log away: SQLite would
        take that for the log of the file that is there now.
        """
        _log.warning("%s was removed or replaced while it was open", self.path)
        main, log = self._opened
        self.close()
        with self._lock():
            if _id(self.path) != main and log is not None and self._ids()[1] == log:
                self._rename("replaced", ("-wal", "-shm"))

    def _lock(self) -> FileLock:
        return FileLock(self.path.with_name("outbox.lock"), timeout=_WAIT_S, mode=0o600)

    def _rename(self, why: str, suffixes: Sequence[str]) -> Path:
        number = 1
        while any(self.path.parent.glob(f"{self.path.name}.{why}-{number}*")):
            number += 1
        aside = Path(f"{self.path}.{why}-{number}")
        for suffix in suffixes:
            with contextlib.suppress(FileNotFoundError):
                Path(f"{self.path}{suffix}").rename(f"{aside}{suffix}")
        return aside

    # how far everything was told

    def told(self) -> int | None:
        """Return up to which event everything was told or given up, None where that is lost."""
        try:
            found = self._told.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError):
            return None
        return int(found) if found.isdecimal() else None

    def _note(self, connection: sqlite3.Connection) -> None:
        """Note it before the commit, under its lock: what this says was told, was."""
        row = connection.execute(_TOLD).fetchone()
        known = self.told()
        if row is None or row[0] == known:
            return
        try:
            new = self._told.with_name("outbox.told.new")
            opened = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(opened, "w") as file:
                file.write(f"{row[0]}\n")
                file.flush()
                os.fsync(file.fileno())
            new.replace(self._told)
        except OSError:
            if known is not None and row[0] < known:
                raise  # else it says less than it could


_Id = tuple[int, int] | None


def _id(path: Path) -> _Id:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _text(stored: bytes) -> str:
    try:
        return stored.decode()
    except UnicodeDecodeError as error:
        raise Damaged("it holds what is no text") from error


def _is_damaged(error: sqlite3.DatabaseError) -> bool:
    """True also where its log is shorter than it was: somebody took that away."""
    code = getattr(error, "sqlite_errorcode", 0)
    return is_damaged(error) or code == sqlite3.SQLITE_IOERR_SHORT_READ


def asides(path: Path) -> list[str]:
    """Return the names of the damaged files that were set aside."""
    found = path.parent.glob(f"{path.name}.damaged-*")
    return sorted(one.name for one in found if one.name.rpartition("-")[2].isdecimal())


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    use_wal(connection)
    connection.execute("PRAGMA synchronous=FULL")
    if version_of(connection) > len(_MIGRATIONS):
        raise NewerFormat(f"{path} was written by a newer version of hitl_vault; upgrade to use it")
    if version_of(connection) < len(_MIGRATIONS):
        _migrate(connection)
    (found,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    if found != "ok":
        raise Damaged(found)
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    if not tables >= _TABLES:
        raise Damaged("its tables are missing")


def _migrate(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        for number in range(version_of(connection), len(_MIGRATIONS)):  # another may be quicker
            for statement in _MIGRATIONS[number].split(";"):
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version={len(_MIGRATIONS)}")
        connection.execute("COMMIT")
    except BaseException:
        roll_back(connection)
        raise
