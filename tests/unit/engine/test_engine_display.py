"""The display: notes follow the ledger, across crashes, failures and other processes."""

import asyncio
import logging

import pytest
from engine_kit import Office, Process, box

from hitl_vault.core import commands as c
from hitl_vault.core.chain import Head
from hitl_vault.core.model import Answer, Request, Status
from hitl_vault.errors import LedgerLost, StorageError
from hitl_vault.ports import Loaded


def reject(request: Request) -> c.Vote:
    return c.Vote(
        id=request.id,
        reviewer="alice",
        answer=Answer.REJECT,
        payload_sha256=request.payload_sha256,
        channel="api",
    )


async def test_a_request_without_a_note_gets_one(office: Office, hitl: Process, asked: Request):
    """A process that died between the commit and the note is caught up with."""
    hitl.die()
    office.vault.files.clear()
    office.vault.index.clear()
    other = await office.open()
    await other.rounds(4)
    assert "status: pending" in office.note(asked)


@pytest.mark.parametrize("shown_before", [True, False])
async def test_a_decision_without_its_note_is_shown(
    office: Office, hitl: Process, asked: Request, shown_before: bool
):
    """A process that died between the vote and the note is caught up with, even the very first."""
    if shown_before:
        await hitl.rounds(6)
        assert office.vault.seq
    await hitl.display.flush()
    await office.ledger.submit(reject(asked))
    hitl.die()
    other = await office.open()
    await other.rounds(6)
    assert "status: rejected" in office.note(asked)


async def test_a_decision_of_another_living_process_is_shown_if_that_one_does_not(
    office: Office, hitl: Process, asked: Request
):
    """After the grace any process shows what is not shown; during it, nobody interferes."""
    other = await office.open()
    await other.rounds(6)
    await office.ledger.submit(reject(asked))
    await other.desk.tick()
    assert "status: pending" in office.note(asked)
    await other.rounds(4)
    assert "status: rejected" in office.note(asked)


async def test_a_clock_set_back_does_not_delay_the_notes(
    office: Office, hitl: Process, asked: Request
):
    """What was recorded in the future of a corrected clock is shown all the same."""
    other = await office.open()
    await other.rounds(6)
    await office.ledger.submit(reject(asked))
    office.clock.jump(-7200)
    await other.rounds(6)
    assert "status: rejected" in office.note(asked)


async def test_a_note_that_cannot_be_written_is_written_later(
    office: Office, hitl: Process, asked: Request, caplog: pytest.LogCaptureFixture
):
    """A full disk costs the note a while: the decision stands, and is logged once."""
    office.vault.broken = "No space left on device"
    await hitl.reject(asked.id, reviewer="alice")
    assert (await hitl.get(asked.id)).status is Status.REJECTED
    for _ in range(5):
        await hitl.display.flush()
    said = [record for record in caplog.records if "No space left" in record.getMessage()]
    assert len(said) == 1
    office.vault.broken = ""
    await hitl.rounds(2)
    assert "status: rejected" in office.note(asked)


async def test_a_note_that_could_not_be_written_is_written_by_the_next_process(
    office: Office, hitl: Process, asked: Request
):
    """Also when the cursor went past it before the process died."""
    other = await office.open()
    await other.rounds(6)
    office.vault.broken = "No space left on device"
    await office.ledger.submit(reject(asked))
    office.clock.advance(5)
    with pytest.raises(Exception, match="No space"):
        await other.desk.tick()
    other.die()
    office.vault.broken = ""
    third = await office.open()
    await third.rounds(6)
    assert "status: rejected" in office.note(asked)


async def test_asking_on_a_full_disk_is_durable_and_its_note_comes_later(
    office: Office, hitl: Process
):
    """The request is in the ledger; the note is written as soon as it can be."""
    office.vault.broken = "No space left on device"
    asked = await hitl.request_approval("payment", "", {})
    office.vault.broken = ""
    await hitl.rounds(1)
    assert "status: pending" in office.note(asked)


async def test_closing_with_a_full_disk_raises_nothing(
    office: Office, hitl: Process, asked: Request, caplog: pytest.LogCaptureFixture
):
    """Everything promised is in the ledger: leaving the block does not fail for a view."""

    async def full(*args, **kwargs):
        from hitl_vault.errors import StorageError

        raise StorageError("disk full")

    office.vault.note_shown = full  # type: ignore[method-assign]
    hitl.display.seen(asked.id, office.path(asked), None)
    await hitl.aclose()
    assert "disk full" in caplog.text


async def test_a_custom_template_that_breaks_keeps_the_desk_at_work(
    caplog: pytest.LogCaptureFixture,
):
    """No note can be made, but requests can be asked and answered otherwise."""
    caplog.set_level(logging.CRITICAL)
    office = Office(template="no document at all")
    hitl = await office.open()
    asked = await hitl.request_approval("payment", "", {})
    await hitl.rounds(12)
    assert (await hitl.approve(asked.id, reviewer="alice")).status is Status.APPROVED


async def test_finished_notes_are_archived_after_their_time(
    office: Office, hitl: Process, asked: Request
):
    """A note stays where it is for `archive_after`, then moves to Done by month."""
    await hitl.reject(asked.id, reviewer="alice")
    office.clock.advance(3599)
    assert await hitl.archive() == 0
    office.clock.advance(1)
    assert await hitl.archive() == 1
    assert list(office.vault.files) == [f"Done/2026-11/approval_{asked.id}.md"]
    assert await hitl.document_path(asked.id) == f"Done/2026-11/approval_{asked.id}.md"


async def test_a_remark_on_an_archived_request_is_shown_in_the_archive(
    office: Office, hitl: Process, asked: Request
):
    """The note in Done is found and brought up to date, and stays there."""
    await hitl.reject(asked.id, reviewer="alice")
    await hitl.archive(0)
    await hitl.comment(asked.id, "for the record")
    await hitl.rounds(4)
    path = f"Done/2026-11/approval_{asked.id}.md"
    assert list(office.vault.files) == [path]
    assert "for the record" in office.vault.text(path)
    assert await hitl.archive(0) == 0
    assert not hitl.display._shown


async def test_two_processes_archive_each_note_once_and_forget_it(
    office: Office, hitl: Process, asked: Request
):
    """What another process archived is not kept in memory."""
    other = await office.open()
    await hitl.reject(asked.id, reviewer="alice")
    await other.rounds(6)
    assert await hitl.archive(0) == 1
    assert await other.archive(0) == 0
    await other.rounds(6)
    assert not hitl.display._shown
    assert not other.display._shown
    assert len(office.vault.files) == 1


async def test_a_note_that_cannot_be_archived_keeps_no_other_from_it(
    office: Office,
    hitl: Process,
    asked: Request,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):
    """It is logged once and moved later; the others are moved now."""
    second = await hitl.request_approval("payment", "Pay another", {"amount": 901})
    for request in (asked, second):
        await hitl.reject(request.id, reviewer="alice")
    move = office.vault.move

    async def refused(path: str, to: str):
        if asked.id in path:
            raise StorageError("Permission denied")
        return await move(path, to)

    monkeypatch.setattr(office.vault, "move", refused)
    assert await hitl.archive(0) == 1
    assert await hitl.archive(0) == 0
    assert [asked.id in record.getMessage() for record in caplog.records] == [True]
    monkeypatch.setattr(office.vault, "move", move)
    assert await hitl.archive(0) == 1


async def test_a_note_edited_while_it_is_brought_up_to_date_keeps_the_edit(
    office: Office, hitl: Process, asked: Request, monkeypatch: pytest.MonkeyPatch
):
    """Between reading and replacing a person saved: nothing of theirs is lost."""
    replace, path = office.vault.replace, office.path(asked)

    async def late(at: str, expected: bytes, data: bytes):
        if at == path and b"my own line" not in office.vault.files[path].data:
            office.edit(asked, ("## The agent says", "my own line\n\n## The agent says"))
        return await replace(at, expected, data)

    monkeypatch.setattr(office.vault, "replace", late)
    await hitl.reject(asked.id, reviewer="alice")
    await hitl.rounds(2)
    assert "my own line" in office.note(asked)
    assert "status: rejected" in office.note(asked)


async def test_many_calls_for_one_note_write_it_one_after_the_other(
    office: Office, hitl: Process, asked: Request, monkeypatch: pytest.MonkeyPatch
):
    """However many want it shown, one at a time reads and writes."""
    inside, most = 0, 0
    load = office.vault.load

    async def slow(path: str) -> Loaded | None:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        for _ in range(3):
            await asyncio.sleep(0)
        inside -= 1
        return await load(path)

    monkeypatch.setattr(office.vault, "load", slow)

    async def again(number: int) -> None:
        for _ in range(number):
            await asyncio.sleep(0)
        await office.ledger.submit(
            c.Comment(id=asked.id, comment_id=f"c{number}", author="bob", text="x")
        )
        hitl.display._shown[asked.id] = hitl.display._shown[asked.id].__class__(
            id=asked.id, path=office.path(asked), rev=0, signature=None, pristine=False
        )
        await hitl.display.show(asked.id)

    await office.ledger.submit(reject(asked))
    await asyncio.gather(*(again(number) for number in range(12)))
    assert most == 1


async def test_a_moved_note_is_updated_where_it_lies(office: Office, hitl: Process, asked: Request):
    """The decision is written into the note where the person put it."""
    new = office.path(asked, "Pending_Approval/later")
    office.vault.rename(office.path(asked), new)
    await hitl.reject(asked.id, reviewer="alice")
    await hitl.rounds(4)
    assert "status: rejected" in office.vault.text(new)
    assert list(office.vault.files) == [new]


async def test_a_deleted_note_of_a_decided_request_stays_deleted(
    office: Office, hitl: Process, asked: Request
):
    """Nobody needs a ballot any more, so a person may tidy up."""
    office.vault.remove(office.path(asked))
    await hitl.reject(asked.id, reviewer="alice")
    await hitl.rounds(20)
    assert not office.vault.files


async def test_a_foreign_file_under_the_notes_name_is_not_replaced(office: Office, hitl: Process):
    """A name that is taken stays taken; the request waits, and the person is told."""
    office.vault.write("Pending_Approval/approval_mine.md", "my own note\n")
    asked = await hitl.request_approval("payment", "", {}, id="mine")
    await hitl.rounds(40)
    assert office.note(asked).startswith("my own note\n")
    assert (await hitl.get("mine")).status is Status.PENDING


async def test_the_engine_writes_nothing_between_asking_and_deciding(
    office: Office, hitl: Process, asked: Request
):
    """Remarks and time change the record, not the note in front of a person."""
    await hitl.comment(asked.id, "please")
    await hitl.rounds(60)
    assert office.vault.engine_writes == [office.path(asked)]
    await hitl.look(office.edit(asked, box("reject")))
    assert "please" in office.note(asked)


@pytest.mark.parametrize("left", ["", "---\nid: x\n"])
async def test_a_decision_on_a_torn_note_writes_it_afresh(
    office: Office, hitl: Process, asked: Request, left: str
):
    """A save was cut short and then somebody decided elsewhere: the note is whole again."""
    office.vault.write(office.path(asked), left)
    await hitl.reject(asked.id, reviewer="alice")
    assert "status: rejected" in office.note(asked)
    assert office.note(asked).endswith(f"%% hitl:end {asked.id} %%\n")


async def test_a_torn_note_is_not_archived_before_it_is_whole(
    office: Office, hitl: Process, asked: Request
):
    """What lies in Done is looked at by nobody, so it must be whole when it goes there."""
    await hitl.reject(asked.id, reviewer="alice")
    office.vault.write(office.path(asked), "")
    assert await hitl.archive(0) == 0
    await hitl.rounds(12)
    assert await hitl.archive(0) == 1
    assert "status: rejected" in office.vault.text(f"Done/2026-11/approval_{asked.id}.md")


async def test_a_note_moved_while_nothing_was_remembered_gets_no_second_one_beside_it(
    office: Office, hitl: Process, asked: Request
):
    """The memory of what is shown was lost and the note moved: it is found, not written anew."""
    await hitl.display.flush()
    hitl.die()
    approved = f"Approved/approval_{asked.id}.md"
    (path,) = office.vault.files
    await office.vault.move(path, approved)
    office.vault.index.clear()
    other = await office.open()
    await other.display.show(asked.id)
    assert list(office.vault.files) == [approved]


async def test_what_could_not_be_saved_because_it_was_cancelled_is_saved_later(
    office: Office, hitl: Process, asked: Request, monkeypatch: pytest.MonkeyPatch
):
    """A cancellation while saving what is shown loses nothing of it."""
    save = office.vault.note_shown

    async def cancelled(*_args, **_kwargs):
        raise asyncio.CancelledError

    monkeypatch.setattr(office.vault, "note_shown", cancelled)
    with pytest.raises(asyncio.CancelledError):
        await hitl.display.flush()
    monkeypatch.setattr(office.vault, "note_shown", save)
    await hitl.display.flush()
    assert asked.id in office.vault.index


async def test_every_process_learns_what_another_one_asked_and_finished(
    office: Office, hitl: Process
):
    """The cursor of showing is everybody's; a missing note and an archive are anybody's job."""
    other = await office.open()
    request = await hitl.request_approval("payment", "Pay", {"amount": 900})
    await hitl.rounds(6)  # moves the common cursor on
    await other.rounds(6)
    assert request.id in other.display.waiting
    assert request.id in other.display.known_ids()
    office.vault.remove(office.path(request))
    await other.rounds(12)
    assert "status: pending" in office.note(request)
    await hitl.rounds(6)
    await hitl.reject(request.id, reviewer="alice")
    await hitl.rounds(6)
    await other.rounds(6)
    assert request.id not in other.display.waiting
    hitl.die()
    assert await other.archive(0) == 1


async def test_a_first_start_looks_at_the_folders_once_for_all(
    office: Office, hitl: Process, monkeypatch: pytest.MonkeyPatch
):
    """However many requests have no note: a look for each would grow with their square."""
    for number in range(20):
        await hitl.request_approval("payment", "Pay", {"amount": number})
    hitl.die()
    office.vault.files.clear()
    office.vault.index.clear()
    office.vault.seq = 0
    office.clock.advance(5)
    looks: list[str] = []
    find, scan = office.vault.find, office.vault.scan

    async def counting_find(id: str):
        looks.append("find")
        return await find(id)

    async def counting_scan():
        looks.append("scan")
        return await scan()

    monkeypatch.setattr(office.vault, "find", counting_find)
    monkeypatch.setattr(office.vault, "scan", counting_scan)
    other = await office.open()
    await other.desk.tick()
    assert len(office.vault.files) == 20
    assert len(looks) <= 4


async def test_a_first_start_makes_no_second_note_of_one_that_was_moved_meanwhile(
    office: Office, monkeypatch: pytest.MonkeyPatch
):
    """The folders may have been looked at before another task's note was there, and was moved."""
    hitl = await office.open()
    request = await hitl.request_approval("payment", "Pay", {"amount": 900})
    office.vault.rename(office.path(request), office.path(request, "Rejected"))
    office.clock.advance(5)

    async def too_early():
        monkeypatch.undo()
        return []

    monkeypatch.setattr(office.vault, "scan", too_early)
    await hitl.display.catch_up()
    assert list(office.vault.files) == [office.path(request, "Rejected")]


async def test_an_older_copy_of_the_ledger_is_refused_not_carried_on(
    office: Office, hitl: Process, asked: Request
):
    """What the notes say was done since would be asked for, and done, a second time."""
    hitl.die()
    before = await office.ledger.head()
    office.vault.known = Head(seq=100, hash="later")
    with pytest.raises(LedgerLost, match="older copy"):
        await office.open()
    assert await office.ledger.head() == before  # nothing was added to the copy


async def test_an_older_copy_that_has_grown_since_is_refused_too(
    office: Office, hitl: Process, asked: Request
):
    """It has as many events as the notes show, and other ones."""
    hitl.die()
    head = await office.ledger.head()
    office.vault.known = Head(seq=head.seq, hash="of another chain")
    with pytest.raises(LedgerLost, match="older copy"):
        await office.open()
