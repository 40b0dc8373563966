"""Owns proving what the embedded ledger holds, and mending what it is searched by. Never changes an
event or a request.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

from hitl_vault.adapters.ledger import faults
from hitl_vault.adapters.ledger import sqlite_rows as rows
from hitl_vault.core import chain
from hitl_vault.core.chain import Break, Head
from hitl_vault.core.register import REGISTER_ID
from hitl_vault.errors import LedgerCorrupt

_PROBLEMS = 5


def verify(connection: sqlite3.Connection, genesis: Head) -> Head | Break:
    """Walk the chain, compare every request with its newest event, and look through the file; all
    in one snapshot.

    Raises:
        LedgerCorrupt: The chain holds, and the file around it is damaged.
    """
    connection.execute("BEGIN")
    try:
        walked = walk(connection, genesis)
        problems = [] if isinstance(walked, Break) else damage(connection)
    finally:
        connection.execute("ROLLBACK")
    if problems:
        raise LedgerCorrupt(
            f"every event and request is whole, but the ledger's file is damaged around them "
            f"({problems[0]}), so requests may not be found. Build its search indexes anew with: "
            "hitl doctor --reindex"
        )
    return walked


def damage(connection: sqlite3.Connection) -> list[str]:
    """Return what SQLite finds wrong with the file and its indexes, a few of it; none if sound."""
    found = connection.execute(f"PRAGMA integrity_check({_PROBLEMS})").fetchall()
    return [text for (text,) in found if text != "ok"]


def walk(connection: sqlite3.Connection, genesis: Head) -> Head | Break:
    """Walk the chain and compare every request with its newest event. Uses no search index."""
    misfiled: list[int] = []
    walked = chain.verify(genesis, _stored(connection, misfiled))
    if isinstance(walked, Break):
        return walked
    for seq in misfiled:
        return Break(seq=seq, problem=f"event {seq} is filed under another request")
    unseen = set(walked.states)
    found = connection.execute(f"SELECT CAST(state AS BLOB), {_SEARCHED} FROM requests")  # noqa: S608  our own words
    for state, *columns in found:
        id = columns[0]
        broken = chain.check_state(walked, id, state)
        if broken is not None:
            return broken
        if tuple(columns) != rows.searched_by(chain.decode_request(state)):
            problem = f"request {id} is filed under other values than it holds"
            return Break(seq=walked.states[id][0], problem=problem)
        unseen.discard(id)
    for (state,) in connection.execute("SELECT CAST(state AS BLOB) FROM register"):
        broken = chain.check_state(walked, REGISTER_ID, state)
        if broken is not None:
            return broken
        unseen.discard(REGISTER_ID)
    for id in unseen:
        return chain.check_state(walked, id, None) or walked.head
    return walked.head


def rebuild_indexes(connection: sqlite3.Connection, genesis: Head) -> Head:
    """Build every search index anew, in one transaction that only ends well with a sound file.

    Raises:
        LedgerCorrupt: The chain does not hold, or more than indexes is damaged; nothing changed.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        head = _rebuilt(connection, genesis)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return head


def _rebuilt(connection: sqlite3.Connection, genesis: Head) -> Head:
    walked = walk(connection, genesis)
    if isinstance(walked, Break):
        raise LedgerCorrupt(
            f"the chain is broken at event {walked.seq}: {walked.problem}; {faults.RESTORE}"
        )
    _check_twins(connection)
    connection.execute("REINDEX")
    problems = damage(connection)
    if problems:
        raise LedgerCorrupt(
            f"more than the search indexes is damaged ({problems[0]}); {faults.RESTORE}"
        )
    return walked


def _check_twins(connection: sqlite3.Connection) -> None:
    """Find what a damaged index let in twice. `+` keeps SQLite from asking that index."""
    for column in ("key", "id COLLATE NOCASE"):
        twins = connection.execute(
            f"SELECT group_concat(id, ' and ') FROM requests GROUP BY +{column} "  # noqa: S608
            f"HAVING count(+{column}) > 1"
        ).fetchone()
        if twins is not None:
            raise LedgerCorrupt(
                f"{twins[0]} were asked under the same {column.partition(' ')[0]} while the index "
                "was damaged: look whether the action ran twice, and restore a backup"
            )


_SEARCHED = "id, rev, status, key, type, requested_by, run_id, created_us, due_us"


def _stored(
    connection: sqlite3.Connection, misfiled: list[int]
) -> Iterator[tuple[int, bytes, str]]:
    """Yield the events as stored; note those whose row names another request than their text."""
    for seq, body, hash_, request_id in connection.execute(
        "SELECT seq, CAST(body AS BLOB), hash, request_id FROM events ORDER BY seq"
    ):
        yield seq, body, hash_
        if chain.decode_event(body, hash_).event.request_id != request_id:
            misfiled.append(seq)
