"""Owns every SQL statement on the requests and events of the embedded ledger. Never commits.

A search index that is damaged may hide a row that is there, and the same action would be asked for
twice. So whoever finds nothing looks at the neighbours: where the index leads to rows that hold
another value than it says, it is not to be believed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import msgspec

from hitl_vault.adapters.ledger.cas import Write
from hitl_vault.core import chain
from hitl_vault.core.chain import Head, Link
from hitl_vault.core.events import Recorded
from hitl_vault.core.lifecycle import next_due
from hitl_vault.core.model import Request
from hitl_vault.core.register import Register
from hitl_vault.errors import LedgerCorrupt


def head(connection: sqlite3.Connection, genesis: Head) -> Head:
    """Return the end of the chain."""
    newest = connection.execute("SELECT seq, hash FROM events ORDER BY seq DESC LIMIT 1").fetchone()
    return genesis if newest is None else Head(seq=newest[0], hash=newest[1])


def by_id(connection: sqlite3.Connection, id: str) -> Request | None:
    """Return the request with this id. Raises LedgerCorrupt if the index cannot be believed."""
    found = _one(connection, "id", id)
    if found is not None and found.id.casefold() != id.casefold():
        raise misled("id")
    return found


def by_ids(connection: sqlite3.Connection, ids: Sequence[str]) -> dict[str, Request]:
    """Return those of these requests that there are. Raises LedgerCorrupt as `by_id` does."""
    at_once = known(connection, "id", ids)
    found = [at_once[folded(id)] if folded(id) in at_once else by_id(connection, id) for id in ids]
    return {request.id: request for request in found if request is not None}


def known(
    connection: sqlite3.Connection, column: str, names: Sequence[str]
) -> dict[str, Request | None]:
    """Look many up at once, by "id" or by "key".

    Returns:
        The requests by their names (ids `folded`), None where there is certainly none. A name that
        needs a look of its own, to say what is wrong or because it is an odd one, is left out.
    """
    fold = folded if column == "id" else str
    wanted = {fold(name) for name in names if name.isprintable()}
    if len(wanted) < 2:  # noqa: PLR2004 -- one is looked up as well by itself
        return {}
    listed = msgspec.json.encode(list(wanted)).decode()
    source = f"requests WHERE {column} IN (SELECT value FROM json_each(?))"  # noqa: S608
    try:
        states = _rows(connection, ("state",), source, listed)
        requests = [chain.decode_request(state) for (state,) in states]
    except ValueError:
        return {}
    found: dict[str, Request | None] = {}
    for request in requests:
        name = request.id if column == "id" else request.key
        if name is None or fold(name) not in wanted:  # led there by an index that is not right
            return {}
        found[fold(name)] = request
    absent = [name for name in wanted if name not in found]
    if absent and _have_neighbours_in_place(connection, column, absent):
        found |= dict.fromkeys(absent)
    return found


def folded(id: str) -> str:
    """Return what ids that are one to SQLite's NOCASE have in common."""
    return id.encode(errors="surrogatepass").lower().decode(errors="surrogatepass")


def by_key(connection: sqlite3.Connection, key: str) -> Request | None:
    """Return the request asked with this key. Raises LedgerCorrupt as `by_id` does."""
    found = _one(connection, "key", key)
    if found is not None and found.key != key:
        raise misled("key")
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
    if not _have_neighbours_in_place(connection, column, [name]):
        raise misled(column)


def _have_neighbours_in_place(
    connection: sqlite3.Connection, column: str, names: Sequence[str]
) -> bool:
    own = f"(SELECT {column} FROM requests WHERE rowid = near.rowid)"  # noqa: S608
    sides = (
        f"coalesce((SELECT near.{column} IS {own}"  # noqa: S608
        f" FROM requests AS near WHERE {column} {sign} looked.value"
        f" ORDER BY {column} {order} LIMIT 1), 1)"
        for sign, order in (("<", "DESC"), (">", "ASC"))
    )
    statement = f"SELECT min(min({', '.join(sides)})) FROM json_each(?) AS looked"  # noqa: S608
    (in_place,) = connection.execute(statement, (msgspec.json.encode(names).decode(),)).fetchone()
    return bool(in_place)


def misled(column: str) -> LedgerCorrupt:
    """Return what to raise for a search index that cannot be believed."""
    return LedgerCorrupt(
        f"the ledger's search index by {column} is damaged, so what was asked before may not be "
        "found; nothing was stored. See: hitl doctor"
    )


def _rows(
    connection: sqlite3.Connection, columns: Sequence[str], source: str, *values: object
) -> list[tuple[bytes, ...]]:
    """Return columns of JSON or hexadecimal texts, fetched as one row: for each row the other
    threads run, and are waited for. What parts the texts can be in none of them.
    """
    wanted = ", ".join(columns)
    joined = ", ".join(
        f"CAST(group_concat(CAST({column} AS TEXT), char(30)) AS BLOB)" for column in columns
    )
    try:
        count, *texts = connection.execute(
            f"SELECT count(*), {joined} FROM (SELECT {wanted} FROM {source})",  # noqa: S608
            values,
        ).fetchone()
    except sqlite3.DataError:  # together they are more than one value can hold
        cast = ", ".join(f"CAST({column} AS BLOB)" for column in columns)
        found = connection.execute(f"SELECT {cast} FROM {source}", values)  # noqa: S608
        return list(found)
    if not count:
        return []
    parts = [(text or b"").split(b"\x1e") for text in texts]
    if any(len(part) != count for part in parts):
        raise ValueError("a record is damaged")
    return list(zip(*parts, strict=True))


def register(connection: sqlite3.Connection) -> Register | None:
    """Return the register, None if nothing was ever recorded in it."""
    found = connection.execute("SELECT state FROM register").fetchone()
    return None if found is None else chain.decode_register(found[0])


def store_register(connection: sqlite3.Connection, write: Write) -> None:
    """Write what the register is after a step."""
    connection.execute("DELETE FROM register")
    connection.execute("INSERT INTO register VALUES (?,?)", (write.rev, write.state))


@dataclass(frozen=True, slots=True)
class Inserting:
    """A statement that inserts rows, as many as wanted."""

    table: str
    columns: int
    after: str = ""

    def of(self, rows: int) -> str:
        """Return the statement for so many rows."""
        row = f"({','.join('?' * self.columns)})"
        return f"INSERT INTO {self.table} VALUES {','.join([row] * rows)}{self.after}"  # noqa: S608


NEW = Inserting("requests", 10)
CHANGED = Inserting(
    "requests",
    10,
    " ON CONFLICT (id) DO UPDATE SET rev = excluded.rev, status = excluded.status,"
    " due_us = excluded.due_us, state = excluded.state",
)
EVENT = Inserting("events", 4)


def request_row(request: Request, state: bytes) -> tuple[object, ...]:
    """Return the row of a request."""
    return (*searched_by(request), state)


def event_row(link: Link) -> tuple[object, ...]:
    """Return the row of an event."""
    return (link.seq, link.event.request_id, link.body, link.hash)


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


def history(connection: sqlite3.Connection, id: str) -> list[Recorded]:
    """Return the events of one request in order."""
    try:
        found = _rows(connection, ("body", "hash"), "events WHERE request_id = ? ORDER BY seq", id)
    except UnicodeEncodeError:
        return []
    return _decoded(found)


def events_after(connection: sqlite3.Connection, seq: int, limit: int) -> list[Recorded]:
    """Return events after `seq` in order: at most `limit`, and 4 MB and one more."""
    found = _rows(connection, ("body", "hash"), _PAGE_OF_EVENTS, seq, limit, _MOST_BYTES)
    return _decoded(found)


_MOST_BYTES = 4_000_000
_PAGE_OF_EVENTS = """
    events WHERE seq > ?1 AND seq <= (
        SELECT max(seq) FROM (
            SELECT seq, sum(size) OVER (ORDER BY seq) - size AS before
            FROM (SELECT seq, length(body) AS size FROM events WHERE seq > ?1 ORDER BY seq LIMIT ?2)
        ) WHERE before < ?3
    ) ORDER BY seq"""


def _decoded(found: list[tuple[bytes, ...]]) -> list[Recorded]:
    events = [chain.decode_event(body, hash_.decode()) for body, hash_ in found]
    events.sort(key=lambda recorded: recorded.seq)  # SQLite promises no order of what it joins
    return events


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
