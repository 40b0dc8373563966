"""The embedded ledger when its file is damaged, gone, replaced, or not journaled as we want it."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing

import pytest

from hitl_vault import Orchestrator
from hitl_vault.adapters.ledger import sqlite_file, sqlite_rows
from hitl_vault.adapters.ledger.reader import LedgerReader
from hitl_vault.adapters.ledger.sqlite import SqliteLedger
from hitl_vault.core.chain import Head
from hitl_vault.errors import LedgerCorrupt, LedgerLost, StorageError
from hitl_vault.ports import Kept
from hitl_vault.testing.clock import FakeClock
from hitl_vault.testing.samples import make_ask, make_vote

PAGE = 4096


async def filled(path, keys=("inv-K1", "inv-K2", "inv-K3")):
    ledger = SqliteLedger(path, FakeClock())
    for n, key in enumerate(keys):
        receipt = await ledger.submit(make_ask(f"r-{n}", key=key))
        await ledger.submit(make_vote(receipt.request))
    await ledger.aclose()
    return path


def flip(path, index, text):
    """Change one letter of an entry in a search index, as a failing disk would."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (page,) = connection.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = ?", (index,)
        ).fetchone()
    data = bytearray(path.read_bytes())
    at = data.index(text, (page - 1) * PAGE, page * PAGE)
    data[at + len(text) - 1] ^= 0x40
    path.write_bytes(data)


BY_ID, BY_KEY = "sqlite_autoindex_requests_1", "sqlite_autoindex_requests_2"


# a damaged index


@pytest.mark.parametrize("key", ["inv-K1", "inv-K2", "inv-K3"])
async def test_a_damaged_index_never_lets_a_key_be_asked_twice(workspace, key):
    """Neither asking nor looking it up takes the damaged entry for a key that was never used."""
    path = await filled(workspace / "ledger.db")
    flip(path, BY_KEY, key.encode())
    ledger = SqliteLedger(path, FakeClock())
    try:
        with pytest.raises(LedgerCorrupt, match="by key is damaged"):
            await ledger.submit(make_ask("again", key=key))
        with pytest.raises(LedgerCorrupt, match="by key is damaged"):
            await ledger.get_by_key(key)
        assert await ledger.get("again") is None
    finally:
        await ledger.aclose()


async def test_a_damaged_index_in_a_large_ledger_never_lets_a_key_be_asked_twice(workspace):
    """The same where the index has several levels and the entry stands on any of them."""
    path = await filled(workspace / "l.db", [f"inv-{n:04d}" + "x" * 90 for n in range(400)])
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    whole = path.read_bytes()
    for n in range(0, 400, 7):
        key = f"inv-{n:04d}" + "x" * 90
        for at in _places(whole, key.encode()):
            data = bytearray(whole)
            data[at + 4] ^= 0x08  # another digit, or a sign far from all digits
            path.write_bytes(data)
            ledger = SqliteLedger(path, FakeClock())
            try:
                receipt = await ledger.submit(make_ask(f"again-{n}", key=key))
                assert receipt.kept is not Kept.ACCEPTED, (key, at)
            except LedgerCorrupt:
                pass
            finally:
                await ledger.aclose()


def _places(data, text):
    at = data.find(text)
    while at >= 0:
        if data[at + len(text) : at + len(text) + 1] != b'"':  # not in a request's own state
            yield at
        at = data.find(text, at + 1)


async def test_a_damaged_index_never_lets_an_id_be_asked_twice(workspace):
    """An id of the caller's own is as good a name as a key."""
    path = await filled(workspace / "ledger.db")
    flip(path, BY_ID, b"r-1")
    with closing(LedgerReader(path)) as reader, pytest.raises(LedgerCorrupt, match="by id"):
        reader.get("r-1")


async def test_verify_finds_a_damaged_index_and_reindexing_mends_it(workspace):
    """The chain holds, the index does not: verify says so and how to mend it; then all is found."""
    path = await filled(workspace / "ledger.db")
    flip(path, BY_KEY, b"inv-K2")
    with closing(LedgerReader(path)) as reader:
        head = reader.head()
        with pytest.raises(LedgerCorrupt, match="hitl doctor --reindex"):
            reader.verify()
        assert reader.rebuild_indexes() == head
        assert reader.verify() == head
        assert reader.get_by_key("inv-K2").id == "r-1"


async def test_reindexing_changes_nothing_where_the_chain_is_broken(workspace):
    """What does not prove itself is left as it is, for whoever looks into it."""
    path = await filled(workspace / "ledger.db")
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE events SET hash = 'x' WHERE seq = 2")
    flip(path, BY_KEY, b"inv-K2")
    before = path.read_bytes()
    with closing(LedgerReader(path)) as reader:
        with pytest.raises(LedgerCorrupt, match="broken at event 2"):
            reader.rebuild_indexes()
    assert path.read_bytes() == before


async def test_reindexing_names_what_was_asked_twice(workspace, monkeypatch):
    """A key that an older program let in twice is named, with both requests."""
    path = await filled(workspace / "ledger.db")
    flip(path, BY_KEY, b"inv-K2")
    monkeypatch.setattr(sqlite_rows, "_check_neighbours", lambda *_: None)
    ledger = SqliteLedger(path, FakeClock())
    await ledger.submit(make_ask("twin", key="inv-K2"))
    await ledger.aclose()
    with closing(LedgerReader(path)) as reader:
        with pytest.raises(LedgerCorrupt, match=r"r-1 and twin|twin and r-1"):
            reader.rebuild_indexes()


# a ledger that is gone


STATE = ".hitl"


async def vault_with_a_note(workspace):
    (workspace / STATE).mkdir()
    (workspace / "Policy.md").write_text("```yaml hitl-policy\ndefault: ask\n```\n")
    async with Orchestrator(workspace, watching=False) as hitl:
        await hitl.request_approval("pay", "", {"n": 1}, key="k")
    return workspace / STATE / "ledger.db"


def lose(path, how):
    for file in path.parent.glob("ledger.db*"):
        file.unlink()
    if how == "empty":
        path.touch()
    if how in {"only the header", "a torn log"}:  # what SQLite leaves of a database without tables
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
    if how == "a torn log":
        path.with_name("ledger.db-wal").write_bytes(b"half of the first commit")


@pytest.mark.parametrize("trace", ["documents.db", "the note"])
@pytest.mark.parametrize("how", ["missing", "empty", "only the header"])
async def test_a_lost_ledger_is_not_begun_anew(workspace, how, trace):
    """Where its notes or the memory of them are left, opening says so and changes nothing."""
    path = await vault_with_a_note(workspace)
    lose(path, how)
    if trace == "the note":
        for file in path.parent.glob("documents.db*"):
            file.unlink()
    else:
        (note,) = (workspace / "Pending_Approval").iterdir()
        note.unlink()
    before = {file.name: file.read_bytes() for file in path.parent.iterdir() if file.is_file()}
    with pytest.raises(LedgerLost, match=f"{trace}.*Restore.*hitl init --new-ledger") as lost:
        await Orchestrator(workspace, watching=False).open()
    assert str(path) in str(lost.value)
    after = {file.name: file.read_bytes() for file in path.parent.iterdir() if file.is_file()}
    assert {n: b for n, b in after.items() if not n.startswith("documents.db-")} == before


async def test_a_log_without_its_ledger_is_not_thrown_away(workspace):
    """SQLite would delete it: what it holds may be all that is left."""
    path = await vault_with_a_note(workspace)
    lose(path, "missing")
    for file in (*path.parent.glob("documents.db*"), *(workspace / "Pending_Approval").iterdir()):
        file.unlink()
    log = path.with_name("ledger.db-wal")
    log.write_bytes(b"the last commits")
    with pytest.raises(LedgerLost, match="wal still holds"):
        await Orchestrator(workspace, watching=False).open()
    assert log.read_bytes() == b"the last commits"


@pytest.mark.parametrize("how", ["missing", "empty", "only the header", "a torn log"])
async def test_a_first_start_needs_no_ceremony(workspace, how):
    """A new folder, and one where the first start was killed at any moment, simply open."""
    (workspace / STATE).mkdir()
    (workspace / "Policy.md").write_text("```yaml hitl-policy\ndefault: ask\n```\n")
    (workspace / "approval_process.md").write_text("# How we approve\n")  # a note of somebody's
    lose(workspace / STATE / "ledger.db", how)
    async with Orchestrator(workspace, watching=False) as hitl:
        assert (await hitl.request_approval("pay", "", {"n": 1})).status == "pending"


async def test_a_start_beside_another_first_start_is_no_loss(workspace):
    """What the other process leaves behind while we look is its own first note, not a trace."""
    path = workspace / "ledger.db"

    def lost():
        LedgerReader(path).close()  # the other process was quicker
        return "a note is there"

    with closing(LedgerReader(path, lost)) as reader:
        assert reader.head().seq == 0


@pytest.mark.parametrize("how", ["deleted", "replaced"])
async def test_a_ledger_that_goes_away_while_it_is_open_takes_nothing_more(workspace, how):
    """Else two processes would write two ledgers, and each would give away the same claim."""
    path = await filled(workspace / "ledger.db")
    other = await filled(workspace / "other.db")
    ledger = SqliteLedger(path, FakeClock())
    await ledger.submit(make_ask("before"))
    path.unlink()
    if how == "replaced":
        other.rename(path)
    with pytest.raises(StorageError):
        await ledger.submit(make_ask("after"))
    with pytest.raises(StorageError):
        await ledger.verify()
    await ledger.aclose()
    assert path.exists() is (how == "replaced")


# what the file says of itself


async def test_a_ledger_that_lost_its_format_is_left_alone(workspace):
    """Tables, and no number of a format: something else wrote to it."""
    path = await filled(workspace / "ledger.db")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version=0")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    before = path.read_bytes()
    with pytest.raises(LedgerCorrupt, match=r"format is 0.*restore"):
        LedgerReader(path)
    assert path.read_bytes() == before


def test_a_foreign_database_is_named_and_what_to_do(workspace):
    """Somebody else's file in the ledger's place is moved away by a person, never by us."""
    path = workspace / "ledger.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE notes (text)")
    with pytest.raises(StorageError, match=r"another program.*Move it away"):
        LedgerReader(path)


# how it is journaled


@pytest.fixture
def without_shared_memory(monkeypatch):
    """A file system that refuses the write-ahead log, as some network ones do."""
    connect = sqlite3.connect

    class Plain:
        def __getattr__(self, name):
            return getattr(sqlite3, name)

        def connect(self, name, **how):
            return connect(f"{name}&vfs=unix-dotfile", **how)

    monkeypatch.setattr(sqlite_file, "sqlite3", Plain())


async def test_a_file_system_without_shared_memory_is_as_safe(workspace, without_shared_memory):
    """Two writers on a rollback journal: everything is stored once, every commit is durable."""
    path = workspace / "ledger.db"
    ledgers = [SqliteLedger(path, FakeClock()) for _ in range(2)]
    assert ledgers[0]._reader.journal_mode() == "delete"
    receipts = await asyncio.gather(
        *(ledgers[n % 2].submit(make_ask(f"r-{n // 2}")) for n in range(40))
    )
    kept = [receipt.kept for receipt in receipts]
    assert kept.count(Kept.ACCEPTED) == kept.count(Kept.DUPLICATE) == 20
    assert isinstance(await ledgers[0].verify(), Head)
    for ledger in ledgers:
        await ledger.aclose()


async def test_a_ledger_turned_to_a_rollback_journal_is_turned_back(workspace):
    """Some tool switched it: the next opening has it as it should be."""
    path = await filled(workspace / "ledger.db")
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA journal_mode=DELETE").fetchone() == ("delete",)
    with closing(LedgerReader(path)) as reader:
        assert reader.journal_mode() == "wal"


@pytest.mark.parametrize(
    ("setting", "value"), [("synchronous", 3), ("fullfsync", 1), ("checkpoint_fullfsync", 1)]
)
def test_every_connection_makes_commits_durable(workspace, setting, value):
    """EXTRA, so that a rollback journal is too; and a real fsync on macOS."""
    with closing(sqlite_file.connect(workspace / "l.db", create=True)) as connection:
        assert connection.execute(f"PRAGMA {setting}").fetchone() == (value,)
