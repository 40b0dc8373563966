"""Owns the statements that search the requests of the embedded ledger. Never stores anything."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import msgspec

from hitl_vault.adapters.ledger.searching import says
from hitl_vault.adapters.ledger.sqlite_rows import microseconds
from hitl_vault.core import chain
from hitl_vault.core.model import Request, Status
from hitl_vault.ports import Filter


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
