"""The memory of what is shown: lost without harm, shared by processes."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from hitl_vault.adapters.vault.index import DocumentIndex
from hitl_vault.errors import StorageError
from hitl_vault.ports import Shown, Signature

SEEN = Signature(device=2**40, inode=2**63 - 1, size=0, mtime_ns=1, ctime_ns=2**62)


def shown(id="a", rev=1, path=None):
    return Shown(
        id=id,
        path=path or f"Pending_Approval/approval_{id}.md",
        rev=rev,
        signature=SEEN,
        pristine=True,
    )


@pytest.fixture
def index(workspace):
    made = DocumentIndex(workspace / "documents.db", "Done")
    yield made
    made.close()


def test_everything_comes_back(index, workspace):
    """Large numbers, no signature, and a second process."""
    plain = Shown(id="b", path="b.md", rev=3, signature=None, pristine=False)
    index.save([shown(), plain], seq=9)
    with closing(DocumentIndex(workspace / "documents.db", "Done")) as other:
        assert other.load(None) == {"a": shown(), "b": plain}
        assert other.load(["b", "c"]) == {"b": plain}
        assert other.seq() == 9
    assert (workspace / "documents.db").stat().st_mode & 0o077 == 0


def test_the_done_folder_is_left_out_by_its_own_name_only(workspace):
    """A folder that merely starts alike is not Done; a name with wildcards is taken literally."""
    with closing(DocumentIndex(workspace / "i.db", "Do_e")) as index:
        index.save(
            [
                shown("a", path="Do_e/x.md"),
                shown("b", path="Done/x.md"),
                shown("c", path="Do_e2/x.md"),
            ],
            None,
        )
        assert index.load(None).keys() == {"b", "c"}


@pytest.mark.parametrize(
    "junk", [b"no database at all " * 100, b"SQLite format 3\0" + b"\xff" * 5000, b"x"]
)
def test_a_damaged_file_is_thrown_away(workspace, junk, caplog):
    """Whatever stands in its place, an empty memory takes over, and says so."""
    path = workspace / "documents.db"
    path.write_bytes(junk)
    with closing(DocumentIndex(path, "Done")) as index:
        assert index.load(None) == {}
        index.save([shown()], 1)
        assert index.load(None) == {"a": shown()}
    assert "is damaged" in caplog.text or len(junk) == 1  # which SQLite takes for an empty file


@pytest.mark.parametrize("work", ["load", "save", "seq"])
def test_damage_within_is_thrown_away_when_it_is_met(workspace, work):
    """A file whose first page is whole and whose others are not does not stop the vault."""
    path = workspace / "documents.db"
    with closing(DocumentIndex(path, "Done")) as index:
        index.save([shown(f"r-{n}") for n in range(2000)], 7)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")
    data = path.read_bytes()
    path.write_bytes(data[:4096] + b"\xff" * (len(data) - 4096))
    with closing(DocumentIndex(path, "Done")) as index:
        match work:
            case "load":
                assert index.load(None) == {}
            case "save":
                index.save([shown()], 1)
                assert index.load(None) == {"a": shown()}
            case "seq":
                assert index.seq() == 0


def test_another_version_is_started_anew(index, workspace):
    """A cache of a newer program is not understood, so it is emptied."""
    index.save([shown()], 5)
    with closing(sqlite3.connect(workspace / "documents.db", isolation_level=None)) as connection:
        connection.execute("ALTER TABLE shown ADD COLUMN future")
        connection.execute("PRAGMA user_version=99")
    with closing(DocumentIndex(workspace / "documents.db", "Done")) as other:
        assert other.load(None) == {}
        assert other.seq() == 0
        other.save([shown()], 1)


def test_a_failed_save_changes_nothing(index):
    """All of a batch or none of it."""
    index.save([shown()], 5)
    broken = Shown(id="b", path="\ud800.md", rev=1, signature=None, pristine=False)
    with pytest.raises(UnicodeEncodeError):
        index.save([shown(rev=2), broken], 6)
    assert index.load(None) == {"a": shown()}
    assert index.seq() == 5


def test_a_place_where_nothing_can_be_is_a_storage_error(workspace):
    """A missing folder, and a folder in the file's place."""
    (workspace / "documents.db").mkdir()
    for path in (workspace / "documents.db", workspace / "no" / "documents.db"):
        with pytest.raises(StorageError, match=r"documents\.db"):
            DocumentIndex(path, "Done")


def test_processes_that_make_it_at_once_share_it(workspace):
    """Opening at the same moment never empties what another has just saved."""
    script = (
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[2])\n"
        "from hitl_vault.adapters.vault.index import DocumentIndex\n"
        "from hitl_vault.ports import Shown\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "for n in range(20):\n"
        "    index = DocumentIndex(Path(sys.argv[1]) / f'{n}.db', 'Done')\n"
        "    index.save([Shown(id=sys.argv[3], path='p', rev=1, signature=None, pristine=True)], 1)\n"
        "    index.close()\n"
    )
    root = str(Path(__file__).parents[3])
    children = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(workspace), root, name],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for name in "abc"
    ]  # fmt: skip
    for child in children:
        assert child.stdout.readline() == "ready\n"
    for child in children:
        child.stdin.write("\n")
        child.stdin.flush()
    for child in children:
        _, wrong = child.communicate(timeout=30)
        assert not wrong
    for n in range(20):
        with closing(DocumentIndex(workspace / f"{n}.db", "Done")) as index:
            assert index.load(None).keys() == {"a", "b", "c"}
