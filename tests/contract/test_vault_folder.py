"""What every folder of notes guarantees: one in memory, and one on a real file system."""

from __future__ import annotations

import dataclasses

import pytest

from hitl_vault.adapters import storing
from hitl_vault.adapters.vault.filesystem import FilesystemVault, FolderNames
from hitl_vault.adapters.vault.index import DocumentIndex
from hitl_vault.core.chain import Head
from hitl_vault.document.ballot import Folder
from hitl_vault.errors import StorageError
from hitl_vault.ports import Shown
from hitl_vault.testing.clock import START
from hitl_vault.testing.memory_vault import MemoryVault

NOTE = "Pending_Approval/approval_pay-1.md"


@pytest.fixture(params=["memory", "files"])
async def vault(request, workspace):
    if request.param == "memory":
        made = MemoryVault()
    else:
        made = FilesystemVault(workspace, FolderNames(), DocumentIndex(workspace / "i.db", "Done"))
    yield made
    await made.aclose()


async def test_a_note_is_created_once(vault):
    """The second create of a name does nothing."""
    signature = await vault.create(NOTE, b"one")
    assert signature is not None
    assert await vault.create(NOTE, b"two") is None
    loaded = await vault.load(NOTE)
    assert (loaded.data, loaded.signature) == (b"one", signature)


async def test_a_note_is_replaced_only_as_expected(vault):
    """What somebody changed meanwhile, or took away, is left alone."""
    await vault.create(NOTE, b"one")
    assert await vault.replace(NOTE, b"other", b"two") is None
    assert (await vault.load(NOTE)).data == b"one"
    signature = await vault.replace(NOTE, b"one", b"two")
    assert await vault.load(NOTE) == type(await vault.load(NOTE))(data=b"two", signature=signature)
    assert await vault.replace("Pending_Approval/approval_x.md", b"", b"two") is None
    assert await vault.replace("Nowhere/approval_x.md", b"", b"two") is None


async def test_a_folder_that_takes_notes_says_so_and_stays_as_it_was(vault):
    await vault.create(NOTE, b"one")
    before = await vault.scan()
    await vault.check_storing()
    assert await vault.scan() == before


async def test_a_vault_that_was_moved_away_takes_no_notes_and_is_not_made_anew(
    workspace, monkeypatch
):
    monkeypatch.setattr(storing, "_TRY_S", 0.0)
    root = workspace / "vault"
    root.mkdir()
    made = FilesystemVault(root, FolderNames(), DocumentIndex(workspace / "i.db", "Done"))
    await made.check_storing()  # the folders are made with the first note
    root.rename(workspace / "other")
    with pytest.raises(StorageError, match=str(root)):
        await made.check_storing()
    assert not root.exists()
    await made.aclose()


async def test_a_note_is_moved_never_over_another(vault):
    """A taken name or a missing note: nothing happens."""
    to = vault.done_path("pay-1", START)
    assert await vault.move(NOTE, to) is None
    await vault.create(NOTE, b"one")
    signature = await vault.move(NOTE, to)
    assert (await vault.load(to)).signature == signature
    assert await vault.load(NOTE) is None
    await vault.create(NOTE, b"two")
    assert await vault.move(NOTE, to) is None
    assert (await vault.load(NOTE)).data == b"two"
    assert (await vault.load(to)).data == b"one"


async def test_the_scan_sees_what_waits(vault):
    """Notes of the three folders and their sub-folders, with the signatures they load under."""
    paths = {NOTE, "Approved/sub/approval_a.md", "Rejected/note.md"}
    for path in {*paths, "Done/2026-11/approval_d.md", "Elsewhere/x.md", "top.md"}:
        await vault.create(path, b"x")
    found = {one.path: one.signature for one in await vault.scan()}
    assert found.keys() == paths
    for path, signature in found.items():
        assert (await vault.load(path)).signature == signature


async def test_a_note_is_found_wherever_it_lies(vault):
    """The folders that wait come first, their sub-folders too, then Done."""
    assert await vault.find("pay-1") is None
    done = vault.done_path("pay-1", START)
    for path in (done, "Rejected/sub/approval_pay-1.md", "Approved/approval_pay-1.md", NOTE):
        await vault.create(path, b"x")
    for path in (NOTE, "Approved/approval_pay-1.md", "Rejected/sub/approval_pay-1.md", done):
        assert await vault.find("pay-1") == path
        assert await vault.move(path, f"Elsewhere/{path.replace('/', '-')}") is not None
    assert await vault.find("pay-1") is None


def test_paths_are_named_after_ids(vault):
    """Where a note goes, and what its name says."""
    assert vault.path_for("Pay-1.x") == "Pending_Approval/approval_Pay-1.x.md"
    assert vault.done_path("p", START) == "Done/2026-11/approval_p.md"
    assert vault.request_id(vault.path_for("Pay-1.x")) == "Pay-1.x"
    assert vault.request_id("approval_a.md.md") == "a.md"
    assert vault.request_id("any/where/approval_approval_a.md") == "approval_a"


@pytest.mark.parametrize(
    "name",
    [
        *("approval_.md", "approval_a", "a.md", "Approval_a.md", "approval_a.MD", "approval_a.md "),
        *("approval_a (conflicted copy).md", "approval_a 2.md", "approval_a~.md", "approval_..md"),
        *(
            "approval_a..b.md",
            "approval_.a.md",
            "approval_é.md",
            "approval_\udcff.md",
            "",
            "approval_a.md/",
        ),
        *(f"approval_{'a' * 121}.md", "approval_a.sync-conflict-20261121-093012-ABC DEF.md"),
    ],
)
def test_any_other_name_is_nobodys_document(vault, name):
    """Copies, other spellings and names that are not text name no request, and raise nothing."""
    assert vault.request_id(name) is None
    assert vault.request_id(f"Approved/{name}") is None


@pytest.mark.parametrize(
    ("path", "folder"),
    [
        ("Pending_Approval/a.md", Folder.PENDING),
        ("Approved/a.md", Folder.APPROVED),
        ("Approved/sub/deep/a.md", Folder.APPROVED),
        ("Rejected/a.md", Folder.REJECTED),
        ("Done/2026-11/a.md", Folder.DONE),
        ("Approved.md", Folder.OTHER),
        ("Approved2/a.md", Folder.OTHER),
        ("x/Approved/a.md", Folder.OTHER),
        ("a.md", Folder.OTHER),
        ("", Folder.OTHER),
    ],
)
def test_a_folder_is_the_first_step_of_the_path(vault, path, folder):
    """A folder of the same name elsewhere is another folder."""
    assert vault.folder_of(path) is folder


async def test_what_is_shown_is_remembered(vault):
    """By id, the newest state; those in Done only when asked for; and the cursor never falls."""
    signature = await vault.create(NOTE, b"x")
    one = Shown(id="pay-1", path=NOTE, rev=1, signature=signature, pristine=True)
    done = Shown(id="d", path="Done/2026-11/approval_d.md", rev=7, signature=None, pristine=False)
    assert await vault.shown() == {}
    assert await vault.shown_seq() == 0
    await vault.note_shown([one, done], seq=5)
    assert await vault.shown() == {"pay-1": one}
    assert await vault.shown(["d", "pay-1", "nobody"]) == {"pay-1": one, "d": done}
    two = Shown(
        id="pay-1", path="Done/2026-11/approval_pay-1.md", rev=2, signature=None, pristine=False
    )
    await vault.note_shown([two])
    await vault.note_shown([], seq=3)
    assert await vault.shown() == {}
    assert await vault.shown(["pay-1"]) == {"pay-1": two}
    assert await vault.shown_seq() == 5


async def test_what_is_remembered_never_gets_older(vault):
    """A process that has heard less must not make the others forget what is shown."""
    new = Shown(id="r-1", path="Pending_Approval/a.md", rev=4, signature=None, pristine=True)
    await vault.note_shown([new], known=Head(seq=9, hash="h9"))
    await vault.note_shown([dataclasses.replace(new, rev=2)], known=Head(seq=3, hash="h3"))
    assert (await vault.shown(["r-1"]))["r-1"].rev == 4
    assert await vault.known_head() == Head(seq=9, hash="h9")


async def test_notes_where_no_answer_is_read_are_found_for_those_asked_about(vault):
    """In Done, in a folder of it, or at the top of the vault; nowhere else, and for nobody else."""
    name = "approval_pay-1.md"
    for path in (name, f"Done/{name}", f"Done/2026-11/{name}", f"Approved/{name}"):
        await vault.create(path, b"one")
    await vault.create("Done/approval_pay-2.md", b"two")
    paths = {name, f"Done/{name}", f"Done/2026-11/{name}"}
    assert await vault.astray({"pay-1", "pay-3"}) == dict.fromkeys(paths, "pay-1")
    assert await vault.astray(()) == {}
