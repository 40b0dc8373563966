"""The embedded ledger on disks that are full, read-only, foreign, damaged or too new."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest
from disk_kit import tmpfs

from hitl_vault.adapters.ledger import sqlite_file
from hitl_vault.adapters.ledger.reader import LedgerReader
from hitl_vault.adapters.ledger.sqlite import SqliteLedger
from hitl_vault.core.chain import Break
from hitl_vault.errors import Indeterminate, LedgerCorrupt, NewerFormat, StorageError
from hitl_vault.ports import Filter, Kept
from hitl_vault.testing.clock import FakeClock
from hitl_vault.testing.samples import make_ask, make_vote

CHILD = Path(__file__).with_name("ledger_child.py")
ROOT = Path(__file__).parents[2]


@contextmanager
def database(path):
    """Open the file as any tool would, and close it so that nothing stays in the log."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


async def filled(path, number=3):
    ledger = SqliteLedger(path, FakeClock())
    for n in range(number):
        receipt = await ledger.submit(make_ask(f"r-{n}", key=f"k-{n}"))
        await ledger.submit(make_vote(receipt.request))
    await ledger.aclose()
    return path


def child(*arguments):
    return subprocess.run(
        [sys.executable, str(CHILD), *map(str, arguments)],
        capture_output=True, text=True, timeout=60, check=True,
    ).stdout  # fmt: skip


# a full disk


async def test_a_full_disk_stores_nothing_and_recovers(workspace):
    """Without space: StorageError, nothing changed, reading works; with space again, so does writing."""
    with tmpfs(workspace / "disk", "1m") as disk:
        ledger = SqliteLedger(disk / "ledger.db", FakeClock())
        try:
            ballast = disk / "ballast"
            with open(ballast, "wb", buffering=0) as file, suppress(OSError):
                while file.write(b"x" * 4096):
                    pass
            kept = []
            with pytest.raises(StorageError, match="not stored") as failed:
                for n in range(1000):
                    await ledger.submit(make_ask(f"a-{n}", details={"pad": "x" * 3000}))
                    kept.append(f"a-{n}")
            assert not isinstance(failed.value, Indeterminate)
            head = await ledger.head()
            assert sorted(r.id for r in await ledger.find(Filter())) == sorted(kept)
            assert head.seq == len(kept)
            ballast.unlink()
            assert (await ledger.submit(make_ask("after"))).kept is Kept.ACCEPTED
            assert await ledger.verify() == await ledger.head()
        finally:
            await ledger.aclose()


def test_a_file_that_may_not_grow_stores_nothing_and_recovers(workspace):
    """With a limit on the size of files instead of a full disk it is the same."""
    path = workspace / "ledger.db"
    said = child("small_files", path, 200_000)
    kept, (kind, message), more = json.loads(said)
    assert kind in {"StorageError", "Indeterminate"}
    assert str(path) in message
    assert len(more) == 10
    with closing(LedgerReader(path)) as reader:
        stored = {request.id for request in reader.find(Filter())}
        assert {*kept, *more} <= stored
        if kind == "StorageError":
            assert stored == {*kept, *more}
        assert reader.verify() == reader.head()


# where we may not write, or should not


async def test_a_ledger_of_another_user_says_so(workspace):
    """A file we may not open or write is a StorageError that names it."""
    if os.geteuid() != 0:
        pytest.skip("becoming another user needs root")
    folder = workspace / "theirs"
    folder.mkdir()
    path = await filled(folder / "ledger.db")
    said = child("open_as", path, 65534) if _reachable(path) else None
    if said is None:
        pytest.skip("the other user cannot reach the repository at all")
    assert "opened" not in said
    assert said.count("StorageError") == 2
    assert said.count(str(path)) == 2


def _reachable(path):
    return all(
        folder.stat().st_mode & 0o001 for folder in path.parents if folder != path.parent
    ) or (Path(sys.executable).stat().st_mode & 0o001)


async def test_a_read_only_file_system_says_so(workspace):
    """Mounted read-only, the ledger cannot be opened for writing and nothing is changed."""
    with tmpfs(workspace / "disk", "4m") as disk:
        path = await filled(disk / "ledger.db")
        before = path.read_bytes()
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        with pytest.raises(StorageError) as refused:
            ledger = SqliteLedger(path, FakeClock())
            try:
                await ledger.submit(make_ask("new"))
            finally:
                await ledger.aclose()
        assert str(path) in str(refused.value)
        assert path.read_bytes() == before


async def test_a_folder_in_its_place_says_so(workspace):
    """A path that is no file is named."""
    (workspace / "ledger.db").mkdir()
    with pytest.raises(StorageError, match=r"ledger.db"):
        SqliteLedger(workspace / "ledger.db", FakeClock())


async def test_the_folder_is_made_if_it_is_missing(workspace):
    """A ledger makes its folder, and nobody else may read it."""
    path = await filled(workspace / "a" / "b" / "ledger.db")
    assert path.stat().st_mode & 0o077 == 0


async def test_a_newer_ledger_is_left_alone(workspace):
    """A format of the future is refused with NewerFormat, and not one byte changes."""
    path = await filled(workspace / "ledger.db")
    with database(path) as connection:
        connection.execute(f"PRAGMA user_version={len(sqlite_file.MIGRATIONS) + 1}")
    before = path.read_bytes()
    for opening in (LedgerReader, lambda path: SqliteLedger(path, FakeClock())):
        with pytest.raises(NewerFormat, match="upgrade hitl-vault"):
            opening(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "made_by",
    [
        "PRAGMA application_id=7; CREATE TABLE t (x);",
        "PRAGMA user_version=1; CREATE TABLE t (x);",
        "CREATE TABLE notes (text);",
        "CREATE TABLE meta (name, value); INSERT INTO meta VALUES ('vault_id', 'x');",
    ],
)
def test_the_database_of_another_program_is_left_alone(workspace, made_by):
    """Whatever marks it as foreign, it is refused and not one byte changes."""
    path = workspace / "ledger.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(made_by)
    before = path.read_bytes()
    with pytest.raises(StorageError, match="another program"):
        LedgerReader(path)
    assert path.read_bytes() == before


def test_a_file_that_is_no_database_is_left_alone(workspace):
    """A note, say, is not made into a ledger."""
    path = workspace / "ledger.db"
    path.write_text("# A note\n" * 200)
    with pytest.raises(StorageError, match="not a database"):
        LedgerReader(path)
    assert path.read_text() == "# A note\n" * 200


def test_an_empty_file_becomes_a_ledger(workspace):
    """What a crash at the first moment leaves is started anew."""
    path = workspace / "ledger.db"
    path.touch()
    with closing(LedgerReader(path)) as reader:
        assert reader.head().seq == 0


async def test_every_older_format_opens(workspace):
    """A file of each earlier version is brought up to date and used."""
    for version in range(1, len(sqlite_file.MIGRATIONS) + 1):
        path = workspace / f"v{version}.db"
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            for migration in sqlite_file.MIGRATIONS[:version]:
                connection.executescript(migration)
            connection.execute("INSERT INTO meta VALUES ('vault_id', 'old')")
            connection.execute(f"PRAGMA application_id={sqlite_file.APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version={version}")
        await filled(path)
        with closing(LedgerReader(path)) as reader:
            assert reader.vault_id == "old"
            assert reader.verify() == reader.head()


# damage


TAMPERING = {
    "a state": "UPDATE requests SET state = replace(CAST(state AS TEXT), '1500', '1501') WHERE id='r-1'",
    "a status to search by": "UPDATE requests SET status = 'pending' WHERE id='r-1'",
    "a key": "UPDATE requests SET key = NULL WHERE id='r-1'",
    "an id": "UPDATE requests SET id = 'R-1' WHERE id='r-1'",
    "a deadline to search by": "UPDATE requests SET due_us = due_us + 1 WHERE id='r-1'",
    "an event": "UPDATE events SET body = replace(CAST(body AS TEXT), 'alice', 'mallo') WHERE seq=5",
    "an event's request": "UPDATE events SET request_id = 'r-2' WHERE seq=3",
    "a hash": "UPDATE events SET hash = replace(hash, substr(hash, 1, 1), 'x') WHERE seq=2",
    "a body of another type": "UPDATE events SET body = 5 WHERE seq=2",
    "a state of another type": "UPDATE requests SET state = 'x' WHERE id='r-1'",
    "the order": "UPDATE events SET seq = CASE seq WHEN 2 THEN 100 ELSE seq END",
    "a lost event": "DELETE FROM events WHERE seq=3",
    "a lost request": "DELETE FROM requests WHERE id='r-1'",
    "an added request": "INSERT INTO requests SELECT 'x', rev, status, 'y', type, requested_by, "
    "run_id, created_us, due_us, state FROM requests WHERE id='r-1'",
    "the vault": "UPDATE meta SET value = 'other'",
}


@pytest.mark.parametrize("what", TAMPERING)
async def test_what_was_changed_behind_our_back_is_found(workspace, what):
    """verify names the first event that contradicts what is stored, whatever was touched."""
    path = await filled(workspace / "ledger.db")
    with database(path) as connection:
        assert connection.execute(TAMPERING[what]).rowcount
    ledger = SqliteLedger(path, FakeClock())
    found = await ledger.verify()
    await ledger.aclose()
    assert isinstance(found, Break), found
    assert found.problem


async def test_a_request_that_cannot_be_read_is_named_and_harms_no_other(workspace):
    """LedgerCorrupt for the damaged one, from reading and from writing; the others work on."""
    path = await filled(workspace / "ledger.db")
    with database(path) as connection:
        connection.execute("UPDATE requests SET state = '{' WHERE id='r-1'")
    ledger = SqliteLedger(path, FakeClock())
    request = await ledger.get("r-2")
    with pytest.raises(LedgerCorrupt, match="audit verify"):
        await ledger.get("r-1")
    with pytest.raises(LedgerCorrupt):
        await ledger.find(Filter())
    bad, good = await asyncio.gather(
        ledger.submit(make_ask("r-1")), ledger.submit(make_vote(request)), return_exceptions=True
    )
    assert isinstance(bad, LedgerCorrupt)
    assert good.kept is Kept.DUPLICATE
    await ledger.aclose()


def test_a_ledger_without_its_vault_id_is_corrupt(workspace):
    """The chain starts with the vault's id: without it nothing can be verified."""
    path = workspace / "ledger.db"
    LedgerReader(path).close()
    with database(path) as connection:
        connection.execute("DELETE FROM meta")
    with pytest.raises(LedgerCorrupt):
        LedgerReader(path)


async def test_the_reader_sees_what_the_ledger_wrote(workspace):
    """Commands that only print read the same requests, events and head."""
    path = await filled(workspace / "ledger.db")
    with closing(LedgerReader(path)) as reader:
        assert (
            reader.get("R-1") == reader.get_by_key("k-1") == reader.find(Filter(id_prefix="r-1"))[0]
        )
        assert [r.seq for r in reader.events_after(2, 2)] == [3, 4]
        assert len(reader.history("r-0")) == 3
        assert reader.verify() == reader.head()
    with pytest.raises(StorageError):
        reader.get("r-1")
