"""Owns the embedded ledger: one SQLite file, many processes. Never decides: `cas.decide` does.

One thread writes. Commands that arrive while it commits go into its next transaction together, so
that many share one fsync (WAL, `synchronous=EXTRA`). After each commit it touches the bell file,
which the other processes watch.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import random
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from hitl_vault.adapters.ledger import faults, sqlite_file
from hitl_vault.adapters.ledger import sqlite_counts as counts
from hitl_vault.adapters.ledger import sqlite_rows as rows
from hitl_vault.adapters.ledger.bell import Bell
from hitl_vault.adapters.ledger.cas import Write, decide, decide_register, needs_register
from hitl_vault.adapters.ledger.reader import LedgerReader
from hitl_vault.adapters.ledger.sqlite_batch import Batch
from hitl_vault.adapters.ledger.waking import WakingLedger
from hitl_vault.adapters.storing import Storing, try_in
from hitl_vault.core import chain
from hitl_vault.core.chain import Break, Head
from hitl_vault.core.commands import Ask, Command, RegisterCommand
from hitl_vault.core.events import Recorded
from hitl_vault.core.figures import figures_of
from hitl_vault.core.model import Request
from hitl_vault.core.rates import Asked, is_limited
from hitl_vault.core.register import Register
from hitl_vault.core.tally import Tally
from hitl_vault.core.trends import Trends, trends_of
from hitl_vault.errors import Indeterminate, LedgerCorrupt, NotOpen, StorageError
from hitl_vault.ports import Capabilities, Clock, Counts, Filter, Receipt

_MAX_BATCH = 512
_BUSY_S = 15.0
_REPLACED = (
    "was deleted or replaced while this program had it open; nothing was stored. Put the right "
    "file in its place, then start this program again"
)

_T = TypeVar("_T")
_Item = tuple[Command | RegisterCommand, "asyncio.Future[Receipt]"]


class SqliteLedger(WakingLedger):
    """The ledger in one file, for any number of processes on one machine.

    Args:
        path: The database; made with its folder if missing.
        bell: A file touched after every commit, None for none.
        lost: What shows that there was a ledger, asked before a new one is begun; see
            `LedgerReader`.
    """

    def __init__(
        self,
        path: Path,
        clock: Clock,
        bell: Path | None = None,
        lost: sqlite_file.Lost = str,
    ) -> None:
        super().__init__()
        self._path, self._clock, self._bell = path, clock, bell
        with contextlib.suppress(OSError):  # opening it says what is wrong
            path.parent.mkdir(parents=True, exist_ok=True)
        self._reader = LedgerReader(path, lost)
        try:
            self._seen = self._reader.head().seq
        except BaseException:
            self._reader.close()
            raise
        self._opened = _identity(path)
        self.vault_id = self._reader.vault_id
        self._genesis = chain.genesis(self.vault_id)
        self._queue: queue.SimpleQueue[_Item | None] = queue.SimpleQueue()
        self._writer: threading.Thread | None = None
        self._storing = Storing(lambda: asyncio.to_thread(self._try_to_store))

    async def submit(self, command: Command) -> Receipt:
        """Commit the command in the next transaction of the writer."""
        if not isinstance(command, Ask):
            return await self._commit_soon(command)
        with self._hearing.asking(command.id):
            return await self._commit_soon(command)

    async def record(self, command: RegisterCommand) -> Receipt:
        """Commit a command on the register, in the same transactions as those on requests."""
        return await self._commit_soon(command)

    async def _commit_soon(self, command: Command | RegisterCommand) -> Receipt:
        if self._closed:
            raise NotOpen("the ledger is closed; nothing was stored")
        self._loop = asyncio.get_running_loop()
        if self._writer is None:
            self._writer = threading.Thread(target=self._write_all, name="hitl-ledger", daemon=True)
            self._writer.start()
        future: asyncio.Future[Receipt] = self._loop.create_future()
        self._queue.put((command, future))
        return await future  # a cancelled caller leaves the command to be stored all the same

    def _write_all(self) -> None:
        connection: sqlite3.Connection | None = None
        bell = Bell(self._bell)
        while True:
            try:
                item = self._queue.get(timeout=bell.due_in())
            except queue.Empty:
                bell.ring()
                continue
            batch: list[_Item] = []
            while item is not None:
                batch.append(item)
                if len(batch) == _MAX_BATCH or self._queue.empty():
                    break
                item = self._queue.get()
            if batch:
                connection = self._commit(connection, [command for command, _ in batch], batch)
                bell.rung()
            if item is None:
                bell.ring()
                if connection is not None:
                    connection.close()
                return

    def _commit(
        self,
        connection: sqlite3.Connection | None,
        commands: list[Command | RegisterCommand],
        batch: list[_Item],
    ) -> sqlite3.Connection | None:
        """Store the batch in one transaction; tell every asker what became of it."""
        futures = [future for _, future in batch]
        committing = False
        try:
            connection = connection or sqlite_file.connect(self._path)
            _begin(connection)
            self._check_in_place()
            receipts, writes = self._judge(connection, commands)
            committing = True
            connection.execute("COMMIT")
        except Exception as error:  # every asker must hear of it, whatever it is
            failure = _failure(error, self._path, committing=committing)
            self._storing.failed(failure)
            if connection is not None:
                # after a failed fsync this handle is never trusted again; closing rolls back
                connection.close()
            self._tell(lambda: _fail(futures, failure))
            return None
        if writes:
            self._storing.stored()
        self._tell(lambda: self._settle(futures, receipts, writes))
        return connection

    def _check_in_place(self) -> None:
        """What another process opens now must be what we use: else two would hold one claim."""
        if _identity(self._path) != self._opened:
            raise StorageError(f"{self._path} {_REPLACED}")

    def _judge(
        self, connection: sqlite3.Connection, commands: list[Command | RegisterCommand]
    ) -> tuple[list[Receipt | Exception], list[Write]]:
        """Judge each command after the one before; one that cannot be written fails alone."""
        head = rows.head(connection, self._genesis)
        batch = Batch(connection, commands)
        now = self._clock.now()
        receipts: list[Receipt | Exception] = []
        writes: list[Write] = []
        for command in commands:
            if _looks_at_all(command):
                batch.flush()
            try:
                if isinstance(command, RegisterCommand):
                    register = rows.register(connection)
                    receipt, write, head = decide_register(register, head, command, now)
                else:
                    current = batch.load(command)
                    asked = None
                    if current is None and isinstance(command, Ask) and _looks_around(command):
                        current, asked = _around(connection, command, now)
                    register = rows.register(connection) if needs_register(command) else None
                    receipt, write, head = decide(current, head, command, now, asked, register)
            except sqlite3.Error:
                raise
            except Exception as error:  # no command may keep its neighbours from being stored
                receipts.append(_alone(error, self._path))
                continue
            if write is not None:
                batch.add(write)
                writes.append(write)
            receipts.append(receipt)
        batch.flush()
        return receipts, writes

    def _tell(self, callback: Callable[[], None]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is gone, and with it everybody who asked
            if self._loop is not None:
                self._loop.call_soon_threadsafe(callback)

    def _settle(
        self,
        futures: list[asyncio.Future[Receipt]],
        receipts: list[Receipt | Exception],
        writes: list[Write],
    ) -> None:
        for future, receipt in zip(futures, receipts, strict=True):
            if future.done():
                continue
            if isinstance(receipt, Exception):
                future.set_exception(receipt)
            else:
                future.set_result(receipt)
        if writes:
            self._announce(writes)

    def _read_all(self, ids: Sequence[str]) -> dict[str, Request]:
        return self._reader.get_all(ids)

    async def get(self, id: str) -> Request | None:
        """Return the request as last committed by any process."""
        self._loop = asyncio.get_running_loop()
        return self._reader.get(id)

    async def get_by_key(self, key: str) -> Request | None:
        """Return the request that was asked with this key."""
        return self._reader.get_by_key(key)

    async def register(self) -> Register:
        """Return the register as last committed by any process."""
        return self._reader.register()

    async def find(self, filter: Filter) -> list[Request]:
        """Return the requests that match; reads in a thread, since they may be many."""
        return await asyncio.to_thread(self._aside, lambda reader: reader.find(filter))

    async def count(self, since: datetime) -> Counts:
        """Count in a thread."""
        now = self._clock.now()
        return await asyncio.to_thread(self._aside, lambda reader: reader.count(since, now))

    async def tally(self) -> Tally:
        """Add up every request in a thread."""
        return await asyncio.to_thread(self._aside, LedgerReader.tally)

    async def trends(self, since: datetime, moments: int) -> Trends:
        """Count in a thread."""
        now = self._clock.now()
        return await asyncio.to_thread(
            self._aside, lambda reader: trends_of(reader.briefs(None), since, now, moments)
        )

    async def figures(self, since: datetime | None) -> dict[str, Any]:
        """Return the figures, counted in a thread."""
        now = self._clock.now()
        return await asyncio.to_thread(
            self._aside, lambda reader: figures_of(reader.briefs(since), now)
        )

    async def history(self, id: str) -> list[Recorded]:
        """Return the events of one request in order."""
        return self._reader.history(id)

    def _events_after(self, seq: int, limit: int) -> list[Recorded]:
        return self._reader.events_after(seq, limit)

    async def verify(self) -> Head | Break:
        """Walk the whole chain in a thread."""
        return await asyncio.to_thread(self._aside, LedgerReader.verify)

    async def read_aside(self, read: Callable[[LedgerReader], _T]) -> _T:
        """Return what a long look finds: in a thread, beside what is read and written meanwhile."""
        return await asyncio.to_thread(self._aside, read)

    def _aside(self, read: Callable[[LedgerReader], _T]) -> _T:
        self._check_in_place()
        with contextlib.closing(LedgerReader(self._path, lambda: "it was there")) as reader:
            return read(reader)

    async def check_storing(self) -> None:
        """Return if something can be stored now."""
        await self._storing.check()

    def _try_to_store(self) -> None:
        """Store a file beside the ledger, and after a failure something in the ledger itself."""
        folder = self._path.parent
        try:
            try_in(folder)
        except OSError as error:
            raise StorageError(
                f"{folder}: nothing can be stored in it: {error.strerror}"
            ) from error
        if self._storing.has_failed:
            self._check_in_place()
            try:
                sqlite_file.store_nothing(self._path)
            except sqlite3.Error as error:
                raise _failure(error, self._path, committing=False) from error

    async def head(self) -> Head:
        """Return the end of the chain."""
        return self._reader.head()

    def capabilities(self) -> Capabilities:
        """One machine, fsynced."""
        return Capabilities(
            durability="fsynced file (SQLite WAL, synchronous=EXTRA)",
            ordered_feed=True,
            processes="many on one machine",
        )

    def close(self) -> None:
        """Close the file of a ledger that was never used."""
        self._closed = True
        self._reader.close()

    async def aclose(self) -> None:
        """Store what was submitted, then stop the writer and close the file."""
        if self._closed:
            return
        self._closed = True
        try:
            if self._writer is not None:
                self._queue.put(None)
                await asyncio.to_thread(self._writer.join)
                await asyncio.sleep(0)  # let the last receipts arrive
        finally:
            self._dismiss_waiters()
            self._reader.close()


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _begin(connection: sqlite3.Connection) -> None:
    """Take the write lock.

    SQLite's own back-off starts at 1 ms and grows to 100: too coarse here, where a whole
    transaction takes a fraction of a millisecond.
    """
    give_up = time.monotonic() + _BUSY_S
    pause = 0.0001
    while True:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if not faults.is_busy(error) or time.monotonic() > give_up:
                raise
            time.sleep(pause * (0.5 + random.random()))  # noqa: S311  only spreads the tries
            pause = min(pause * 1.5, 0.003)
        else:
            return


def _looks_at_all(command: Command | RegisterCommand) -> bool:
    """True if a command is judged by more than its own request: all before it must be written."""
    if isinstance(command, RegisterCommand):
        return True
    return needs_register(command) or (isinstance(command, Ask) and _looks_around(command))


def _looks_around(ask: Ask) -> bool:
    return ask.join or is_limited(ask)


def _around(
    connection: sqlite3.Connection, ask: Ask, now: datetime
) -> tuple[Request | None, Asked | None]:
    """Return the request that a new ask is one with, and what its requester has asked for."""
    if ask.join:
        found = counts.joined(connection, ask, now)
        if found is not None:
            return found, None
    return None, counts.asked(connection, ask, now) if is_limited(ask) else None


def _alone(error: Exception, path: Path) -> Exception:
    if isinstance(
        error, ValueError
    ):  # the stored request, since `decide` wraps what a command holds
        return LedgerCorrupt(f"{path} holds a request that cannot be read: {error}")
    return error


def _failure(error: Exception, path: Path, *, committing: bool) -> Exception:
    if isinstance(error, StorageError) or not isinstance(error, sqlite3.Error | OSError):
        return error
    why = faults.said(error, path)
    if committing and not faults.is_rolled_back(error):
        return Indeterminate(
            f"{path}: the commit failed: {why}; it may or may not be stored: try again"
        )
    return StorageError(f"{path}: not stored: {why}")


def _fail(futures: list[asyncio.Future[Receipt]], failure: Exception) -> None:
    for future in futures:
        if not future.done():
            future.set_exception(failure)
