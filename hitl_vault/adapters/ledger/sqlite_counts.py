"""Owns the statements that count requests in the embedded ledger. Never stores anything."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import datetime, timedelta

from hitl_vault.adapters.ledger.sqlite_rows import microseconds
from hitl_vault.core import chain
from hitl_vault.core.commands import Ask
from hitl_vault.core.figures import Brief, read_brief
from hitl_vault.core.lifecycle import is_overdue, joins
from hitl_vault.core.model import Request, Status
from hitl_vault.core.rates import WINDOW_S, Asked
from hitl_vault.core.tally import Tally
from hitl_vault.ports import Counts

_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


def count(connection: sqlite3.Connection, since: datetime, now: datetime) -> Counts:
    """Return how the desk stands. What is overdue counts as expired, recorded or not."""
    now_us, since_us = microseconds(now), microseconds(since)
    pending, oldest_us = connection.execute(
        "SELECT count(*), min(created_us) FROM requests WHERE status = 'pending' AND due_us > ?",
        (now_us,),
    ).fetchone()
    oldest = [] if oldest_us is None else [_EPOCH + timedelta(microseconds=oldest_us)]
    found = connection.execute(
        "SELECT status, count(*) FROM requests WHERE created_us >= ? GROUP BY status", (since_us,)
    )
    by_status = {Status(word): number for word, number in found}
    late = 0
    for request in _due(connection, now_us):
        if not is_overdue(request, now):
            if request.status is Status.PENDING:  # only a reminder is due
                pending += 1
                oldest.append(request.created_at)
        elif request.created_at >= since:
            by_status[request.status] -= 1
            late += 1
    return Counts(
        pending=pending,
        oldest_pending_s=(now - min(oldest)).total_seconds() if oldest else None,
        approved=sum(n for status, n in by_status.items() if status.was_approved),
        rejected=by_status.get(Status.REJECTED, 0),
        expired=by_status.get(Status.EXPIRED, 0) + late,
    )


def briefs(connection: sqlite3.Connection, since: datetime | None) -> Iterator[Brief]:
    """Yield what is counted of the requests asked since then, oldest first; keeps none of them."""
    found = connection.execute(
        "SELECT state FROM requests WHERE created_us >= ? ORDER BY created_us",
        (0 if since is None else microseconds(since),),
    )
    return (read_brief(state) for (state,) in found)


def tally(connection: sqlite3.Connection) -> Tally:
    """Add up every request there is, as of one moment."""
    added = Tally()
    connection.execute("BEGIN")  # what is read below is of one moment
    try:
        (seq,) = connection.execute("SELECT coalesce(max(seq), 0) FROM events").fetchone()
        for brief in briefs(connection, None):
            added.add(brief)
    finally:
        connection.execute("ROLLBACK")
    added.seq = seq
    return added


def _due(connection: sqlite3.Connection, now_us: int) -> list[Request]:
    found = connection.execute("SELECT state FROM requests WHERE due_us <= ?", (now_us,))
    return [chain.decode_request(state) for (state,) in found]


def asked(connection: sqlite3.Connection, ask: Ask, now: datetime) -> Asked:
    """Return what the requester of an ask has asked for, as far as its limits need it."""
    name, now_us = ask.action.requested_by, microseconds(now)
    pending = last_minute = 0
    if ask.max_pending:
        (pending,) = connection.execute(
            "SELECT count(*) FROM requests INDEXED BY requests_by_status "
            "WHERE status = 'pending' AND requested_by = ? AND due_us > ?",
            (name, now_us),
        ).fetchone()
        found = connection.execute(
            "SELECT state FROM requests INDEXED BY requests_by_due "
            "WHERE due_us <= ? AND requested_by = ? AND status = 'pending'",
            (now_us, name),
        )
        pending += sum(not is_overdue(chain.decode_request(state), now) for (state,) in found)
    if ask.max_per_minute:
        (last_minute,) = connection.execute(
            "SELECT count(*) FROM requests INDEXED BY requests_by_time "
            "WHERE created_us > ? AND requested_by = ?",
            (now_us - int(WINDOW_S * 1_000_000), name),
        ).fetchone()
    return Asked(pending=pending, last_minute=last_minute)


def joined(connection: sqlite3.Connection, ask: Ask, now: datetime) -> Request | None:
    """Return the oldest pending request this ask is one with, None if there is none."""
    found = connection.execute(
        "SELECT state FROM requests INDEXED BY requests_by_status "
        "WHERE status = 'pending' AND requested_by = ? AND key IS NULL AND instr(state, ?) > 0 "
        "ORDER BY created_us",
        (ask.action.requested_by, ask.payload_sha256.encode()),
    )
    for (state,) in found:
        request = chain.decode_request(state)
        if joins(ask, request, now):
            return request
    return None
