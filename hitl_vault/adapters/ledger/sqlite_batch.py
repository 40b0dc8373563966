"""Owns the rows of one transaction of the embedded ledger: read together, written together.

Every statement lets the other threads of the process run, and has to wait for them afterwards:
under load that costs more than the statement. So there are a few for a whole batch of commands,
not a few for each.
"""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Iterable, Sequence

from hitl_vault.adapters.ledger import sqlite_rows as rows
from hitl_vault.adapters.ledger.cas import Write
from hitl_vault.core.commands import Ask, Command, RegisterCommand
from hitl_vault.core.model import Request

_MOST_VALUES = 999  # in one statement, for every SQLite


class Batch:
    """What the commands of one transaction are about, each as the commands before it left it.

    Args:
        commands: What will be judged; what any of them is about is read now, at once.
    """

    def __init__(
        self, connection: sqlite3.Connection, commands: Sequence[Command | RegisterCommand]
    ) -> None:
        self._connection = connection
        about = [command for command in commands if not isinstance(command, RegisterCommand)]
        keys = [one.key for one in about if isinstance(one, Ask) and one.key is not None]
        self._by_id = rows.known(connection, "id", [command.id for command in about])
        self._by_key = rows.known(connection, "key", keys)
        self._waiting: list[Write] = []

    def load(self, command: Command) -> Request | None:
        """Return the request a command is about. Raises LedgerCorrupt as `rows.by_id` does."""
        id = rows.folded(command.id)
        if id not in self._by_id:
            self._by_id[id] = rows.by_id(self._connection, command.id)
        found = self._by_id[id]
        if found is not None or not isinstance(command, Ask) or command.key is None:
            return found
        if command.key not in self._by_key:
            self._by_key[command.key] = rows.by_key(self._connection, command.key)
        same = self._by_key[command.key]
        return None if same is None else self._by_id.get(rows.folded(same.id)) or same

    def add(self, write: Write) -> None:
        """Take one step to be written, and let the next command see it."""
        self._waiting.append(write)
        if write.request is not None:
            self._by_id[rows.folded(write.request.id)] = write.request
            if write.request.key is not None:
                self._by_key[write.request.key] = write.request

    def flush(self) -> None:
        """Write what was added, for statements that look at all rows and for the commit.

        Whatever it raises, the transaction must not be committed: some of it is missing.
        """
        waiting, self._waiting = self._waiting, []
        registers = [write for write in waiting if write.request is None]
        if registers:
            rows.store_register(self._connection, registers[-1])
        states = {write.request.id: write for write in waiting if write.request is not None}
        new = {write.request.id for write in waiting if write.request and write.request.rev == 1}
        self._put(rows.NEW, (_row(write) for id, write in states.items() if id in new))
        self._put(rows.CHANGED, (_row(write) for id, write in states.items() if id not in new))
        self._put(rows.EVENT, (rows.event_row(link) for write in waiting for link in write.links))

    def _put(self, statement: rows.Inserting, values: Iterable[tuple[object, ...]]) -> None:
        left = list(values)
        while left:
            size = min(len(left), _MOST_VALUES // statement.columns)
            some, left = left[:size], left[size:]
            self._connection.execute(statement.of(size), list(itertools.chain(*some)))


def _row(write: Write) -> tuple[object, ...]:
    assert write.request is not None
    return rows.request_row(write.request, write.state)
