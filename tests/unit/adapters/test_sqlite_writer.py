"""How the embedded ledger writes: in groups, through a lock, and telling who asked."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing

import pytest

from hitl_vault.adapters.ledger import sqlite, sqlite_file
from hitl_vault.adapters.ledger.sqlite import SqliteLedger
from hitl_vault.errors import Indeterminate, StorageError
from hitl_vault.ports import Kept
from hitl_vault.testing.clock import FakeClock
from hitl_vault.testing.samples import make_ask


@pytest.fixture
async def ledger(workspace):
    made = SqliteLedger(workspace / "ledger.db", FakeClock(), bell=workspace / "bell")
    yield made
    await made.aclose()


@pytest.fixture
def statements(monkeypatch):
    """Every statement the writers of this test execute."""
    seen = []
    connect = sqlite_file.connect

    def traced(path, **how):
        connection = connect(path, **how)
        connection.set_trace_callback(seen.append)
        return connection

    monkeypatch.setattr(sqlite_file, "connect", traced)
    return seen


async def test_many_commands_share_a_commit(ledger, statements):
    """What is submitted together is stored with far fewer commits than commands."""
    receipts = await asyncio.gather(*(ledger.submit(make_ask(f"p-{n}")) for n in range(500)))
    assert [receipt.kept for receipt in receipts] == [Kept.ACCEPTED] * 500
    assert 1 <= statements.count("COMMIT") <= 50


async def test_a_batch_is_not_endless(ledger, statements, monkeypatch):
    """A stream of commands is cut into commits, so that nobody waits for all of them."""
    monkeypatch.setattr(sqlite, "_MAX_BATCH", 10)
    await asyncio.gather(*(ledger.submit(make_ask(f"p-{n}")) for n in range(100)))
    assert statements.count("COMMIT") >= 10


async def test_commands_of_one_turn_are_judged_in_order(ledger):
    """The second of two commands in one commit sees what the first did."""
    receipts = await asyncio.gather(*(ledger.submit(make_ask("same", key="k")) for _ in range(5)))
    assert [receipt.kept for receipt in receipts] == [Kept.ACCEPTED] + [Kept.DUPLICATE] * 4


async def test_the_last_commit_always_rings(ledger, workspace):
    """However fast the commits follow, the bell rings after the last one."""
    bell = workspace / "bell"
    for n in range(20):
        await ledger.submit(make_ask(f"p-{n}"))
    bell.unlink(missing_ok=True)
    await ledger.submit(make_ask("last"))
    async with asyncio.timeout(5):
        while not bell.exists():
            await asyncio.sleep(0.001)


async def test_a_bell_that_cannot_ring_costs_nothing(workspace):
    """The commit counts, whatever becomes of the bell."""
    ledger = SqliteLedger(workspace / "ledger.db", FakeClock(), bell=workspace / "no" / "bell")
    assert (await ledger.submit(make_ask())).kept is Kept.ACCEPTED
    await ledger.aclose()


async def test_a_lock_held_for_a_while_is_waited_for(ledger, workspace):
    """Another program that writes delays the commit, it does not fail it."""
    with closing(sqlite3.connect(workspace / "ledger.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        task = asyncio.create_task(ledger.submit(make_ask()))
        await asyncio.wait([task], timeout=0.05)
        assert not task.done()
        other.execute("ROLLBACK")
        assert (await asyncio.wait_for(task, 10)).kept is Kept.ACCEPTED


async def test_a_lock_held_for_too_long_is_a_storage_error(ledger, workspace, monkeypatch):
    """Nothing is stored, everybody is told, and the next command works."""
    monkeypatch.setattr(sqlite, "_BUSY_S", 0.02)
    with closing(sqlite3.connect(workspace / "ledger.db", isolation_level=None)) as other:
        other.execute("PRAGMA busy_timeout=0")
        other.execute("BEGIN IMMEDIATE")
        connect = sqlite_file.connect

        def impatient(path, **how):
            connection = connect(path, **how)
            connection.execute("PRAGMA busy_timeout=0")
            return connection

        monkeypatch.setattr(sqlite_file, "connect", impatient)
        failed = await asyncio.gather(
            *(ledger.submit(make_ask(f"p-{n}")) for n in range(3)), return_exceptions=True
        )
        assert {type(error) for error in failed} == {StorageError}
        assert "not stored" in str(failed[0])
    assert (await ledger.submit(make_ask("p-0"))).kept is Kept.ACCEPTED


class Broken:
    """A connection whose COMMIT fails, before or after the fact."""

    def __init__(self, connection, *, stored):
        self._connection, self._stored = connection, stored

    def __getattr__(self, name):
        return getattr(self._connection, name)

    def execute(self, statement, *values):
        if statement == "COMMIT":
            if self._stored:
                self._connection.execute("COMMIT")
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
            raise error
        return self._connection.execute(statement, *values)


@pytest.mark.parametrize("stored", [True, False])
async def test_a_commit_that_fails_is_indeterminate_and_may_be_repeated(
    ledger, monkeypatch, stored
):
    """Nobody is told yes or no; the same command again ends in one request, on a fresh handle."""
    connect = sqlite_file.connect
    monkeypatch.setattr(
        sqlite_file, "connect", lambda path, **how: Broken(connect(path, **how), stored=stored)
    )
    with pytest.raises(Indeterminate, match="try again"):
        await ledger.submit(make_ask())
    monkeypatch.setattr(sqlite_file, "connect", connect)
    again = await ledger.submit(make_ask())
    assert again.kept is (Kept.DUPLICATE if stored else Kept.ACCEPTED)
    assert await ledger.verify() == await ledger.head()


async def test_a_mistake_of_our_own_harms_only_its_command(ledger, monkeypatch):
    """An unexpected error while judging reaches who asked, and nobody else."""
    decide = sqlite.decide

    def clumsy(current, head, command, *more):
        if command.id == "bad":
            raise AssertionError("a bug")
        return decide(current, head, command, *more)

    monkeypatch.setattr(sqlite, "decide", clumsy)
    bad, good = await asyncio.gather(
        ledger.submit(make_ask("bad")), ledger.submit(make_ask("good")), return_exceptions=True
    )
    assert isinstance(bad, AssertionError)
    assert good.kept is Kept.ACCEPTED


async def test_a_failing_look_is_tried_again_with_the_next_hint(ledger, monkeypatch, caplog):
    """A hint whose look fails is no error of the loop."""
    await ledger.submit(make_ask())
    monkeypatch.setattr(
        ledger, "_events_after", lambda seq, limit: (_ for _ in ()).throw(StorageError("gone"))
    )
    ledger.hint()
    await asyncio.sleep(0)
    assert "gone" in caplog.text
    assert not ledger._looking
