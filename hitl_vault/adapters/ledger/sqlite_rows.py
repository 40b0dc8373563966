"""Owns every SQL statement on the requests and events of the embedded ledger. Never commits.

A search index that is damaged may hide a row that is there, and the same action would be asked for
twice. So whoever finds nothing looks at the neighbours: where the index leads to rows that hold
another value than it says, it is not to be believed.
"""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from hitl_vault.adapters.ledger.cas import Write
from hitl_vault.adapters.ledger.searching import says
from hitl_vault.core import chain
from hitl_vault.core.chain import Head
from hitl_vault.core.commands import Ask, Command
from hitl_vault.core.events import Recorded
from hitl_vault.core.lifecycle import next_due
from hitl_vault.core.model import Request, Status
from hitl_vault.core.register import Register
from hitl_vault.errors import LedgerCorrupt
from hitl_vault.ports import Filter

_AT_ONCE = 500  # values in one statement


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
    """Return the request with this id. Raises LedgerCorrupt if the index cannot be believed."""
    found = _one(connection, "id", id)
    if found is not None and found.id.casefold() != id.casefold():
        raise LedgerCorrupt(misled("id"))
    return found


def by_ids(connection: sqlite3.Connection, ids: Sequence[str]) -> dict[str, Request]:
    """Return those of these requests that there are. Raises LedgerCorrupt as `by_id` does."""
    found: dict[str, Request] = {}
    for at in range(0, len(ids), _AT_ONCE):
        some = ids[at : at + _AT_ONCE]
        marks = ",".join("?" * len(some))
        statement = f"SELECT state FROM requests WHERE id IN ({marks})"  # noqa: S608  our own words
        for (state,) in connection.execute(statement, some):
            request = chain.decode_request(state)
            found[request.id] = request
    for id in ids:
        if id not in found and (there := by_id(connection, id)) is not None:
            found[there.id] = there
    return found


def by_key(connection: sqlite3.Connection, key: str) -> Request | None:
    """Return the request asked with this key. Raises LedgerCorrupt as `by_id` does."""
    found = _one(connection, "key", key)
    if found is not None and found.key != key:
        raise LedgerCorrupt(misled("key"))
    return found


def _one(connection: sqlite3.Connection, column: str, name: str) -> Request | None:
    statement = f"SELECT state FROM requests WHERE {column} = ?"  # noqa: S608  our own words
    try:
        found = connection.execute(statement, (name,)).fetchone()
    except UnicodeEncodeError:  # half a character: nothing was ever stored under such a name
        return None
    if found is None:
        _check_neighbours(connection, column, name)
        return None
    return chain.decode_request(found[0])


def _check_neighbours(connection: sqlite3.Connection, column: str, name: str) -> None:
    """Make sure that nothing is where it would be: a damaged entry stands beside its own place."""
    for sign, order in (("<", "DESC"), (">", "ASC")):
        beside = connection.execute(
            f"SELECT near.{column} IS (SELECT {column} FROM requests WHERE rowid = near.rowid)"  # noqa: S608
            f" FROM requests AS near WHERE {column} {sign} ? ORDER BY {column} {order} LIMIT 1",
            (name,),
        ).fetchone()
        if beside is not None and not beside[0]:
            raise LedgerCorrupt(misled(column))


def misled(column: str) -> str:
    """Return what to say of a search index that cannot be believed."""
    return (
        f"the ledger's search index by {column} is damaged, so what was asked before may not be "
        "found; nothing was stored. See: hitl doctor"
    )


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
    columns = searched_by(request)
    if request.rev == 1:
        connection.execute("INSERT INTO requests VALUES (?,?,?,?,?,?,?,?,?,?)", (*columns, state))
    else:
        changed = connection.execute(
            "UPDATE requests SET rev = ?, status = ?, due_us = ?, state = ? WHERE id = ?",
            (request.rev, request.status.value, columns[-1], state, request.id),
        ).rowcount
        if changed != 1:
            raise LedgerCorrupt(misled("id"))


def searched_by(request: Request) -> tuple[str | int | None, ...]:
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
        microseconds(request.created_at),
        None if due is None else microseconds(due[0]),
    )


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def microseconds(at: datetime) -> int:
    """Return a time as the columns hold it."""
    return (at - _EPOCH) // timedelta(microseconds=1)


def find(connection: sqlite3.Connection, want: Filter) -> list[Request]:
    """Return the requests that match."""
    if want.statuses is not None and len(want.statuses) > 1 and want.limit is not None:
        return _merged(connection, want, want.statuses, want.limit)
    try:
        where, values = _conditions(want)
        order = "ASC" if want.oldest_first else "DESC"
        statement = (
            "SELECT state FROM requests"  # noqa: S608  only our own words are put in
            + (f" WHERE {' AND '.join(where)}" if where else "")
            + f" ORDER BY created_us {order}, id {order} LIMIT ?"
        )
        limit = -1 if want.limit is None else want.limit
        found = connection.execute(statement, [*values, limit if want.text is None else -1])
    except UnicodeEncodeError:
        return []
    requests = (chain.decode_request(state) for (state,) in found)
    if want.text is None:
        return list(requests)
    said = (request for request in requests if says(request, want.text))
    return list(itertools.islice(said, None if limit < 0 else limit))


def _merged(
    connection: sqlite3.Connection, want: Filter, statuses: frozenset[Status], limit: int
) -> list[Request]:
    """Find by each status alone, in the order of its index: nothing but a page is ever sorted."""
    found = [
        request
        for status in statuses
        for request in find(connection, replace(want, statuses=frozenset({status})))
    ]
    found.sort(
        key=lambda request: (request.created_at, request.id.casefold()),
        reverse=not want.oldest_first,
    )
    return found[:limit]


def _conditions(want: Filter) -> tuple[list[str], list[Any]]:
    where: list[str] = []
    values: list[Any] = []
    if want.statuses is not None:
        where.append(f"status IN ({','.join('?' * len(want.statuses))})")
        values += [status.value for status in want.statuses]
    for condition, value in _simple(want):
        if value is not None:
            where.append(condition)
            values.append(value)
    if want.run_id:
        where.append("run_id <> ''")  # what its index is for
    if want.after is not None:
        less, at_us = ">" if want.oldest_first else "<", microseconds(want.after.created_at)
        where.append(f"created_us {less}= ? AND (created_us, id) {less} (?, ?)")
        values += [at_us, at_us, want.after.id]
    return where, values


def _simple(want: Filter) -> Iterator[tuple[str, str | int | None]]:
    yield "type = ?", want.type
    yield "requested_by = ?", want.requested_by
    yield "run_id = ?", want.run_id
    yield "created_us >= ?", None if want.since is None else microseconds(want.since)
    yield "created_us < ?", None if want.until is None else microseconds(want.until)
    yield "due_us <= ?", None if want.due_before is None else microseconds(want.due_before)
    yield "id LIKE ? ESCAPE '\\'", None if want.id_prefix is None else f"{_plain(want.id_prefix)}%"
    if want.text is not None:  # finds a few too many, in a tenth of the time of reading each one
        written = msgspec.json.encode(want.text).decode()[1:-1]
        yield "CAST(state AS TEXT) LIKE ? ESCAPE '\\'", f"%{_plain(written)}%"


def _plain(text: str) -> str:
    """Return a text in which LIKE finds no sign of its own."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


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


def stored_state(connection: sqlite3.Connection, id: str) -> bytes | None:
    """Return the stored bytes of a request."""
    row = connection.execute(
        "SELECT CAST(state AS BLOB) FROM requests WHERE id = ?", (id,)
    ).fetchone()
    return None if row is None else bytes(row[0])


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
