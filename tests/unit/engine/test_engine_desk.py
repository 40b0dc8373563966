"""The desk: from hints to votes, with every gesture, and never from what is unclear or unsettled."""

import pytest
from engine_kit import EDITABLE, Office, Process, box, reason, reviewer, sentence, status

from hitl_vault.core.events import Kind
from hitl_vault.core.model import Request, Status
from hitl_vault.ports import Found, Hints, Signature

DECIDED = [Kind.REQUESTED, Kind.VOTED, Kind.APPROVED]


async def test_a_ticked_box_decides_once_it_has_settled(
    office: Office, hitl: Process, asked: Request
):
    """An answer counts after the quiet time, not before, and makes exactly one vote."""
    path = office.edit(asked, box("approve"), reviewer("alice"))
    hitl.desk.hint(Hints(paths=frozenset({path})))
    await hitl.desk.tick()
    office.clock.advance(0.9)
    await hitl.desk.tick()
    assert (await hitl.get(asked.id)).status is Status.PENDING
    office.clock.advance(0.1)
    await hitl.desk.tick()
    decided = await hitl.get(asked.id)
    assert decided.status is Status.APPROVED
    assert decided.reviewers == ("alice",)
    await hitl.rounds(30)
    assert await office.kinds(asked) == DECIDED


@pytest.mark.parametrize(
    "word", ["approved", '"Approved"', "APPROVED.", "ok", "✅ approved", "“approved”"]
)
async def test_a_typed_word_approves(office: Office, hitl: Process, asked: Request, word: str):
    """A word of the table in `status` is an approval."""
    await hitl.look(office.edit(asked, status(word)))
    assert (await hitl.get(asked.id)).status is Status.APPROVED


@pytest.mark.parametrize("word", ["rejected", "Denied", "declined!", "reject, not this month"])
async def test_a_typed_word_rejects(office: Office, hitl: Process, asked: Request, word: str):
    """A word of the table in `status` is a rejection."""
    await hitl.look(office.edit(asked, status(word)))
    assert (await hitl.get(asked.id)).status is Status.REJECTED


@pytest.mark.parametrize(
    ("folder", "wanted"), [("Approved", Status.APPROVED), ("Rejected", Status.REJECTED)]
)
@pytest.mark.parametrize("sub", ["", "/payments"])
async def test_a_move_decides(
    office: Office, hitl: Process, asked: Request, folder: str, wanted: Status, sub: str
):
    """Dragging the note into a folder is an answer; the note stays there and shows it."""
    new = office.path(asked, folder + sub)
    office.vault.rename(office.path(asked), new)
    await hitl.look(office.path(asked), new)
    assert (await hitl.get(asked.id)).status is wanted
    assert f"status: {wanted}" in office.vault.text(new)
    assert office.path(asked) not in office.vault.files


async def test_without_events_a_rescan_finds_the_answer(
    office: Office, hitl: Process, asked: Request
):
    """With no hint at all the answer is found by looking."""
    office.edit(asked, box("reject"), reason("too much"))
    await hitl.rounds(6)
    decided = await hitl.get(asked.id)
    assert decided.status is Status.REJECTED
    assert decided.reason == "too much"


async def test_half_a_word_is_not_judged(office: Office, hitl: Process, asked: Request):
    """Typing goes on within the quiet time: `rej` leaves no sentence, `rejected` counts."""
    path = office.edit(asked, status("rej"))
    hitl.desk.hint(Hints(paths=frozenset({path})))
    await hitl.desk.tick()
    office.clock.advance(0.5)
    office.edit(asked, ("status: rej\n", "status: rejected\n"))
    await hitl.look(path)
    assert (await hitl.get(asked.id)).status is Status.REJECTED
    assert office.vault.engine_writes.count(path) == 2  # made, and decided


async def test_second_thoughts_within_the_quiet_time_win(
    office: Office, hitl: Process, asked: Request
):
    """An approval taken back in time was never given."""
    path = office.edit(asked, box("approve"))
    hitl.desk.hint(Hints(paths=frozenset({path})))
    await hitl.desk.tick()
    office.clock.advance(0.6)
    office.edit(asked, box("approve", by="[x]", to="[ ]"), box("reject"))
    await hitl.look(path)
    assert (await hitl.get(asked.id)).status is Status.REJECTED
    assert Kind.APPROVED not in await office.kinds(asked)


async def test_a_drag_and_back_is_no_answer(office: Office, hitl: Process, asked: Request):
    """Dragged to Approved and back within the quiet time: it still waits, unharmed."""
    here, there = office.path(asked), office.path(asked, "Approved")
    office.vault.rename(here, there)
    hitl.desk.hint(Hints(paths=frozenset({here, there})))
    await hitl.desk.tick()
    office.clock.advance(0.5)
    office.vault.rename(there, here)
    await hitl.look(here, there)
    await hitl.rounds(20)
    assert (await hitl.get(asked.id)).status is Status.PENDING
    assert office.vault.engine_writes == [here]
    assert not hitl.notices()


async def test_a_rule_may_raise_the_quiet_time():
    """`settle` of a rule holds where it is longer than the setting."""
    office = Office("default: ask\nrules:\n  - {id: slow, effect: ask, settle: 10s}\n")
    hitl = await office.open()
    asked = await hitl.request_approval("payment", "", {})
    await hitl.look(office.edit(asked, box("approve")))
    assert (await hitl.get(asked.id)).status is Status.PENDING
    await hitl.rounds(12)
    assert (await hitl.get(asked.id)).status is Status.APPROVED


async def test_settle_zero_decides_at_the_first_look():
    """With `settle_s` 0 no second look is needed."""
    office = Office(settle_s=0.0)
    hitl = await office.open()
    asked = await hitl.request_approval("payment", "", {})
    hitl.desk.hint(Hints(paths=frozenset({office.edit(asked, box("approve"))})))
    await hitl.desk.tick()
    assert (await hitl.get(asked.id)).status is Status.APPROVED


UNCLEAR = [
    "maybe", "aapproved", "pending -> approved", "~~pending~~ approved", "approved, but only 500",
    "yes", "true", "approved rejected", "[approved, rejected]", "[[approved]]", "аpproved",
    "approv\u200bed", "approved by rejecting",
]  # fmt: skip


@pytest.mark.parametrize("word", UNCLEAR)
async def test_an_unclear_word_gets_one_sentence_and_waits(
    office: Office, hitl: Process, asked: Request, word: str
):
    """Nothing is decided, one sentence says what to do, and a correct second edit decides."""
    path = office.edit(asked, status(word))
    await hitl.look(path)
    await hitl.rounds(20)
    assert (await hitl.get(asked.id)).status is Status.PENDING
    assert "approved" in sentence(office.note(asked))
    assert office.vault.engine_writes.count(path) == 2  # made, and one sentence
    text = office.note(asked).replace(f"status: {word}\n", "status: rejected\n")
    office.vault.write(path, text)
    await hitl.look(path)
    assert (await hitl.get(asked.id)).status is Status.REJECTED
    assert sentence(office.note(asked)) == ""


async def test_at_most_one_engine_write_for_each_human_write(
    office: Office, hitl: Process, asked: Request
):
    """However often an unclear note is looked at, the engine answers each save once at most."""
    path = office.path(asked)
    before = len(office.vault.engine_writes)
    for number in range(12):
        text = office.note(asked)
        word = text.partition("\nstatus: ")[2].partition("\n")[0]
        office.vault.write(path, text.replace(f"\nstatus: {word}\n", f"\nstatus: hm{number}\n"))
        await hitl.look(path)
        await hitl.rounds(6)
        assert len(office.vault.engine_writes) - before <= number + 1
    assert (await hitl.get(asked.id)).status is Status.PENDING


async def test_gestures_that_disagree_decide_nothing(office: Office, hitl: Process, asked: Request):
    """A tick and a word that differ are unclear; so are two ticks."""
    path = office.edit(asked, box("approve"), status("rejected"))
    await hitl.look(path)
    assert (await hitl.get(asked.id)).status is Status.PENDING
    assert "say the same" in sentence(office.note(asked))
    office.edit(asked, ("status: rejected", "status: pending"), box("reject"))
    await hitl.look(path)
    assert (await hitl.get(asked.id)).status is Status.PENDING
    assert "one box" in sentence(office.note(asked))


async def test_a_note_that_shows_another_action_decides_nothing(
    office: Office, hitl: Process, asked: Request
):
    """What is approved is what the note shows, or nothing."""
    await hitl.look(office.edit(asked, box("approve"), ('"amount": 900', '"amount": 9')))
    assert (await hitl.get(asked.id)).status is Status.PENDING
    assert "What will run" in sentence(office.note(asked))


async def test_the_agents_own_words_are_never_read(office: Office, hitl: Process):
    """An approval in the agent's prose is prose."""
    trap = "- [x] Approve ^approve\n---\nstatus: approved\n---\n## Decide\n- [x] Approve ^approve"
    asked = await hitl.request_approval("payment", trap, {"note": trap})
    await hitl.rounds(10)
    assert (await hitl.get(asked.id)).status is Status.PENDING
    assert office.vault.engine_writes == [office.path(asked)]


async def test_deleting_a_note_is_never_an_answer(office: Office, hitl: Process, asked: Request):
    """A missing note is written again after a while, and can be answered."""
    path = office.path(asked)
    office.vault.remove(path)
    await hitl.look(path)
    assert path not in office.vault.files
    await hitl.rounds(8)
    assert (await hitl.get(asked.id)).status is Status.PENDING
    await hitl.look(office.edit(asked, box("approve")))
    assert (await hitl.get(asked.id)).status is Status.APPROVED


@pytest.mark.parametrize("to", ["Done/{}", "Done/2026-11/{}", "{}"])
async def test_a_waiting_note_moved_where_nobody_reads_is_told_of(
    office: Office, hitl: Process, asked: Request, to: str
):
    """Ticked in Done or at the top of the vault it is no answer: a notice says where it lies, in
    this process and the next, until it is gone."""
    path = office.path(asked)
    moved = to.format(path.rpartition("/")[2])
    office.edit(asked, box("approve"))
    office.vault.rename(path, moved)
    await hitl.rounds(8)
    assert (await hitl.get(asked.id)).status is Status.PENDING
    assert "[x]" not in office.note(asked)
    after = await office.open()
    await after.rounds(1)
    for process in (hitl, after):
        (notice,) = process.notices()
        assert notice.path == moved
        assert "is not read there" in notice.text
        assert path in notice.advice
    await hitl.rounds(8)
    assert len(hitl.notices()) == 1
    office.vault.remove(moved)
    await hitl.rounds(1)
    assert not hitl.notices()


async def test_the_archived_note_of_what_is_over_is_nobodys_business(
    office: Office, hitl: Process, asked: Request
):
    """Only what still waits is looked for in Done."""
    await hitl.reject(asked.id, reviewer="alice")
    await hitl.shows()
    assert await hitl.archive(0) == 1
    after = await office.open()
    await after.rounds(8)
    assert not after.notices()


@pytest.mark.parametrize("keep", [0, 1, 3, 31, 100])
async def test_a_torn_note_decides_nothing_and_is_written_again(
    office: Office, hitl: Process, asked: Request, keep: int
):
    """A prefix of an approved note is no approval; what stays torn is written again."""
    path = office.edit(asked, status("approved"), box("approve"))
    office.vault.write(path, office.note(asked)[:keep])
    await hitl.look(path)
    assert (await hitl.get(asked.id)).status is Status.PENDING
    await hitl.rounds(10)
    assert (await hitl.get(asked.id)).status is Status.PENDING
    assert office.note(asked).endswith(f"%% hitl:end {asked.id} %%\n")


@pytest.mark.parametrize("keep", [0, 40])
async def test_a_torn_note_of_a_decided_request_is_written_again(
    office: Office, hitl: Process, asked: Request, keep: int
):
    """A power cut may empty a decided note too: it is a view, and is made again."""
    await hitl.approve(asked.id, reviewer="alice")
    path = office.path(asked)
    office.vault.write(path, office.note(asked)[:keep])
    await hitl.rounds(12)
    assert "status: approved" in office.note(asked)
    assert office.note(asked).endswith(f"%% hitl:end {asked.id} %%\n")


async def test_a_note_rewritten_from_scratch_is_answered_not_replaced(
    office: Office, hitl: Process, asked: Request
):
    """Somebody replaced the whole text: nothing is decided, their text stays, one sentence comes."""
    path = office.path(asked)
    office.vault.write(path, "I approve this, go ahead.\n")
    await hitl.rounds(40)
    assert (await hitl.get(asked.id)).status is Status.PENDING
    assert office.note(asked).startswith("I approve this, go ahead.\n")
    assert "cannot be read" in sentence(office.note(asked))
    assert office.vault.engine_writes.count(path) == 2


async def test_broken_front_matter_is_answered_soon(office: Office, hitl: Process, asked: Request):
    """A whole note with a broken property gets its sentence after the quiet time."""
    path = office.edit(asked, ("status: pending\n", "status: [approved\n"))
    await hitl.look(path)
    await hitl.rounds(2)
    assert (await hitl.get(asked.id)).status is Status.PENDING
    assert "cannot be read" in sentence(office.note(asked))


COPIES = ["approval_{id} 2.md", "approval_{id}.sync-conflict-20261121-093012-ABCDEFG.md",
          "approval_{id} (Conflicted copy PC 202611210930).md", "Copy of approval_{id}.md"]  # fmt: skip


@pytest.mark.parametrize("name", COPIES)
async def test_a_copy_is_never_a_ballot(office: Office, hitl: Process, asked: Request, name: str):
    """A file with a known id under another name is reported and decides nothing."""
    text = office.note(asked).replace("- [ ] Approve ^", "- [x] Approve ^")
    copy = f"Approved/{name.format(id=asked.id)}"
    office.vault.write(copy, text)
    await hitl.rounds(8)
    assert (await hitl.get(asked.id)).status is Status.PENDING
    assert [(notice.path, asked.id in notice.text) for notice in hitl.notices()] == [(copy, True)]
    office.vault.remove(copy)
    await hitl.rounds(2)
    assert hitl.notices() == []


@pytest.mark.parametrize("events", [True, False])
async def test_two_notes_decide_nothing_until_one_is_gone(
    office: Office, hitl: Process, asked: Request, events: bool
):
    """Two notes of one request: neither is read, the person is told; then the one left counts."""
    first, second = office.path(asked), office.path(asked, "Approved")
    office.vault.write(second, office.note(asked))
    office.edit(asked, box("reject"))
    if events:
        await hitl.look(first, second)
    await hitl.rounds(8)
    assert (await hitl.get(asked.id)).status is Status.PENDING
    assert "two notes" in sentence(office.note(asked))
    office.vault.remove(second)
    if events:
        await hitl.look(second)
    await hitl.rounds(8)
    assert (await hitl.get(asked.id)).status is Status.REJECTED
    assert hitl.notices() == []


async def test_of_two_notes_the_second_counts_once_the_first_is_gone(
    office: Office, hitl: Process, asked: Request
):
    """The same, with the first one deleted."""
    first, second = office.path(asked), office.path(asked, "Approved")
    office.vault.write(second, office.note(asked))
    await hitl.rounds(8)
    assert (await hitl.get(asked.id)).status is Status.PENDING
    office.vault.remove(first)
    await hitl.rounds(8)
    assert (await hitl.get(asked.id)).status is Status.APPROVED


async def test_two_notes_found_in_one_look_decide_nothing_even_without_quiet_time():
    """Found together, they are two notes before either is read."""
    office = Office(settle_s=0.0)
    hitl = await office.open()
    asked = await hitl.request_approval("payment", "", {})
    office.vault.write(office.path(asked, "Rejected"), office.note(asked))
    office.edit(asked, box("approve"))
    await hitl.rounds(6)
    assert (await hitl.get(asked.id)).status is Status.PENDING


async def test_a_note_that_comes_back_from_the_archive_runs_nothing(
    office: Office, hitl: Process, asked: Request
):
    """A sync tool brings an old pending note back, ticked: it is told of, and changes nothing."""
    old = office.note(asked)
    await hitl.reject(asked.id, reviewer="alice")
    assert await hitl.archive(0) == 1
    office.vault.write(office.path(asked), old.replace("- [ ] Approve ^", "- [x] Approve ^"))
    await hitl.rounds(10)
    assert (await hitl.get(asked.id)).status is Status.REJECTED
    assert [notice.path for notice in hitl.notices()] == [office.path(asked)]


async def test_a_late_answer_is_told_and_the_note_shows_what_was_decided(
    office: Office, hitl: Process, asked: Request
):
    """After a rejection an approval in the note changes nothing, and the person is told once."""
    await hitl.reject(asked.id, reviewer="bob")
    path = office.path(asked)
    before = len(office.vault.engine_writes)
    text = office.note(asked).replace("status: rejected", "status: approved")
    office.vault.write(path, text)
    await hitl.look(path)
    await hitl.rounds(10)
    assert (await hitl.get(asked.id)).status is Status.REJECTED
    assert "Too late" in sentence(office.note(asked))
    assert "status: rejected" in office.note(asked)
    assert len(office.vault.engine_writes) == before + 1


async def test_an_answer_that_another_one_overtook_is_told_so(
    office: Office, hitl: Process, asked: Request
):
    """Somebody approves while a rejection settles: it is told, and not put down to who rejected."""
    hitl._display.reads_first = True  # as where a desk runs
    path = office.edit(asked, box("reject"), ('reviewer: ""', 'reviewer: "dave"'))
    await hitl.approve(asked.id, reviewer="alice")
    await hitl.look(path)
    await hitl.rounds(10)
    assert (await hitl.get(asked.id)).status is Status.APPROVED
    note = office.note(asked)
    assert "Too late" in sentence(note)
    assert "status: approved" in note
    assert 'reviewer: "alice"' in note


async def test_an_answer_after_expiry_never_approves(office: Office, hitl: Process, asked: Request):
    """An approval that settles after the deadline expires the request instead."""
    path = office.edit(asked, box("approve"))
    office.clock.advance(3599.5)
    await hitl.look(path)
    assert (await hitl.get(asked.id)).status is Status.EXPIRED
    assert "Too late" in sentence(office.note(asked))
    assert "status: expired" in office.note(asked)


async def test_an_answer_given_while_nothing_ran_is_read_at_the_next_start(
    office: Office, hitl: Process, asked: Request
):
    """The note is the ballot, whoever is there to read it."""
    hitl.die()
    office.edit(asked, box("approve"))
    other = await office.open()
    await other.rounds(4)
    assert (await other.get(asked.id)).status is Status.APPROVED


async def test_two_processes_make_one_vote(office: Office, hitl: Process, asked: Request):
    """Both see the same note; the ledger counts it once and nothing is written twice."""
    other = await office.open()
    path = office.edit(asked, box("approve"), reviewer("alice"))
    for _ in range(4):
        for process in (hitl, other):
            process.desk.hint(Hints(paths=frozenset({path})))
            await process.desk.tick()
        office.clock.advance(1)
    await hitl.rounds(10)
    await other.rounds(10)
    assert await office.kinds(asked) == DECIDED
    assert office.vault.engine_writes.count(path) == 2


QUORUM = "default: ask\nrules:\n  - {id: two, effect: ask, quorum: 2, require_reason: [reject]}\n"


async def test_a_quorum_tells_the_count_and_goes_on(office: Office):
    """The first of two approvals is acknowledged in the note, the second decides."""
    office = Office(QUORUM)
    hitl = await office.open()
    asked = await hitl.request_approval("payment", "", {})
    await hitl.look(office.edit(asked, box("approve"), reviewer("alice")))
    assert (await hitl.get(asked.id)).status is Status.PENDING
    assert "1 of 2" in sentence(office.note(asked))
    await hitl.rounds(10)
    assert await office.kinds(asked) == [Kind.REQUESTED, Kind.VOTED]
    await hitl.look(office.edit(asked, box("approve"), reviewer("bob")))
    decided = await hitl.get(asked.id)
    assert decided.status is Status.APPROVED
    assert decided.reviewers == ("alice", "bob")


async def test_an_answer_saved_again_is_taken_back_out_of_the_ballot(office: Office):
    """A stale buffer brings a counted answer back: the ballot is emptied and says so, and a name
    alone is nobody's approval."""
    office = Office(QUORUM)
    hitl = await office.open()
    asked = await hitl.request_approval("payment", "", {})
    path = office.edit(asked, box("approve"), reviewer("alice"))
    stale = office.note(asked)
    await hitl.look(path)
    office.vault.write(path, stale)
    await hitl.look(path)
    said = sentence(office.note(asked))
    assert said.startswith("Not counted again: alice already answered approve. 1 of 2 approvals")
    assert "[x]" not in office.note(asked)
    await hitl.look(office.edit(asked, reviewer("bob")))
    assert (await hitl.get(asked.id)).status is Status.PENDING
    await hitl.look(office.edit(asked, box("approve")))
    assert (await hitl.get(asked.id)).reviewers == ("alice", "bob")


async def test_a_name_that_answered_before_is_told_so(office: Office):
    """After "put your name", the name of somebody counted leaves no old sentence and no tick."""
    office = Office(QUORUM)
    hitl = await office.open()
    asked = await hitl.request_approval("payment", "", {})
    await hitl.look(office.edit(asked, box("approve"), reviewer("alice")))
    await hitl.look(office.edit(asked, box("approve")))
    assert "name" in sentence(office.note(asked))
    await hitl.look(office.edit(asked, reviewer("alice")))
    assert "alice already answered" in sentence(office.note(asked))
    assert "[x]" not in office.note(asked)


async def test_a_refused_answer_says_what_is_missing(office: Office):
    """No name where names count, no reason where one is required: told, and not counted."""
    office = Office(QUORUM)
    hitl = await office.open()
    asked = await hitl.request_approval("payment", "", {})
    await hitl.look(office.edit(asked, box("reject")))
    assert "reason" in sentence(office.note(asked))
    await hitl.look(office.edit(asked, reason("no")))
    assert "name" in sentence(office.note(asked))
    await hitl.look(office.edit(asked, reviewer("alice")))
    assert (await hitl.get(asked.id)).status is Status.REJECTED


async def test_the_requester_cannot_answer(office: Office, hitl: Process, asked: Request):
    """Requester and approver are two."""
    await hitl.look(office.edit(asked, box("approve"), reviewer("agent")))
    assert (await hitl.get(asked.id)).status is Status.PENDING
    assert "somebody else" in sentence(office.note(asked))


async def test_approve_with_changes_gives_the_changed_details():
    """The executor gets the edited details, and only those."""
    office = Office(EDITABLE)
    hitl = await office.open()
    asked = await hitl.request_approval("payment", "", {"amount": 900, "to": "bob"})
    head, changes, tail = office.note(asked).partition("### Changes")
    tail = tail.replace('"amount": 900', '"amount": 450')
    head = head.replace(*box("edit"))
    office.vault.write(office.path(asked), head + changes + tail)
    await hitl.look(office.path(asked))
    approved = await hitl.get(asked.id)
    assert approved.status is Status.APPROVED
    assert approved.details == {"amount": 450, "to": "bob"}
    async with hitl.execution(asked.id) as run:
        assert run.details == {"amount": 450, "to": "bob"}


THRESHOLDS = """\
default: ask
rules:
  - {id: any, effect: ask, answers: [approve, reject, edit]}
  - {id: large, when: details.amount > 1000, effect: ask, quorum: 2, remind: [5m, 10m]}
  - {id: never, when: details.amount > 9999, effect: deny, reason: far too much}
"""


def change_amount(office: Office, asked: Request, to: int) -> str:
    head, changes, tail = office.note(asked).partition("### Changes")
    tail = tail.replace('"amount": 900', f'"amount": {to}')
    text = head.replace(*box("edit")).replace(*reviewer("alice")) + changes + tail
    office.vault.write(office.path(asked), text)
    return office.path(asked)


async def test_an_edit_over_a_threshold_asks_again():
    """An edit is judged by the policy again: the stricter rule holds and the note shows it."""
    office = Office(THRESHOLDS)
    hitl = await office.open()
    asked = await hitl.request_approval("payment", "", {"amount": 900})
    path = change_amount(office, asked, 2000)
    await hitl.look(path)
    pending = await hitl.get(asked.id)
    assert pending.status is Status.PENDING
    assert '"amount": 2000' in office.note(asked)
    writes = office.vault.engine_writes.count(path)
    await hitl.rounds(20)
    await hitl.look(office.edit(asked, box("approve"), reviewer("bob")))
    approved = await hitl.get(asked.id)
    assert approved.status is Status.APPROVED
    assert approved.details == {"amount": 2000}
    assert office.vault.engine_writes.count(path) == writes + 1


async def test_a_reminder_does_not_write_into_a_note_with_changed_details():
    """Between asking and deciding only a person's write is answered, also after an edit."""
    office = Office(THRESHOLDS)
    hitl = await office.open()
    asked = await hitl.request_approval("payment", "", {"amount": 900})
    path = change_amount(office, asked, 2000)
    await hitl.look(path)
    writes = office.vault.engine_writes.count(path)
    office.clock.advance(660)
    await hitl.timers.tick()
    await hitl.timers.tick()
    await hitl.comment(asked.id, "hurry")
    await hitl.rounds(4)
    assert (await office.kinds(asked)).count(Kind.REMINDED) == 2
    assert office.vault.engine_writes.count(path) == writes


async def test_an_edit_the_policy_denies_is_refused():
    """A deny rule beats an edit."""
    office = Office(THRESHOLDS)
    hitl = await office.open()
    asked = await hitl.request_approval("payment", "", {"amount": 900})
    await hitl.look(change_amount(office, asked, 10_000))
    assert (await hitl.get(asked.id)).status is Status.PENDING
    assert "far too much" in sentence(office.note(asked))


async def test_one_note_that_breaks_the_reader_does_not_stop_the_others(
    office: Office, hitl: Process, asked: Request, monkeypatch: pytest.MonkeyPatch
):
    """An error nobody thought of costs one note, not the desk."""
    other = await hitl.request_approval("payment", "", {"amount": 1})
    look = hitl.desk._answers.look

    async def breaks(request: Request, *args, **kwargs):
        if request.id == asked.id:
            raise RecursionError("too deep")
        return await look(request, *args, **kwargs)

    monkeypatch.setattr(hitl.desk._answers, "look", breaks)
    office.edit(asked, box("approve"))
    office.edit(other, box("approve"))
    await hitl.rounds(6)
    assert (await hitl.get(other.id)).status is Status.APPROVED
    assert "approved" in office.note(other)
    assert [notice.path for notice in hitl.notices()] == [office.path(asked)]
    monkeypatch.undo()
    await hitl.rounds(6)
    assert (await hitl.get(asked.id)).status is Status.APPROVED
    assert hitl.notices() == []


async def test_a_broken_folder_costs_rounds_not_answers(
    office: Office, hitl: Process, asked: Request
):
    """While notes cannot be read nothing is decided; then the answer is found."""
    path = office.edit(asked, box("approve"))
    office.vault.broken = "Permission denied"
    hitl.desk.hint(Hints(paths=frozenset({path})))
    with pytest.raises(Exception, match="Permission denied"):
        await hitl.desk.tick()
    assert (await hitl.get(asked.id)).status is Status.PENDING
    office.vault.broken = ""
    await hitl.rounds(8)
    assert (await hitl.get(asked.id)).status is Status.APPROVED
    assert hitl.notices() == []


async def test_a_ledger_that_cannot_store_loses_no_answer(
    office: Office, hitl: Process, asked: Request
):
    """A vote that could not be stored is handed in again."""
    office.ledger.failing = 2
    path = office.edit(asked, box("approve"))
    await hitl.look(path)
    assert (await hitl.get(asked.id)).status is Status.PENDING
    await hitl.rounds(10)
    assert (await hitl.get(asked.id)).status is Status.APPROVED


async def test_the_desk_forgets_what_is_gone(office: Office, hitl: Process, asked: Request):
    """Nothing is kept of notes that came and went."""
    for number in range(50):
        path = f"Pending_Approval/note{number}.md"
        office.vault.write(path, "a note")
        await hitl.look(path)
        office.vault.remove(path)
    path = office.edit(asked, box("reject"))
    await hitl.look(path)
    assert await hitl.archive(0) == 1
    await hitl.rounds(6)
    desk = hitl.desk
    kept = [desk._hinted, desk._due, desk._missing, desk._unsettled, desk._strangers, desk.notices]
    kept.append(desk._unheard)
    assert [len(memory) for memory in kept] == [0] * 7
    assert not hitl.display._shown
    assert not hitl.display._locks


@pytest.mark.parametrize("decided", [False, True])
async def test_words_in_a_note_without_its_end_are_kept(
    office: Office, hitl: Process, asked: Request, decided: bool
):
    """Who deleted the rest of a note and gave a reason is told, and keeps the reason."""
    path = office.edit(asked, status("approved"), reason("as agreed on Monday"))
    text = office.note(asked)
    office.vault.write(path, text[: text.index("## Decide")])
    if decided:
        await hitl.reject(asked.id, reviewer="alice")
    await hitl.rounds(20)
    expected = Status.REJECTED if decided else Status.PENDING
    assert (await hitl.get(asked.id)).status is expected
    assert "as agreed on Monday" in office.note(asked)
    assert "read" in sentence(office.note(asked))


@pytest.mark.parametrize("alone", [False, True])
async def test_a_copy_named_in_another_case_is_no_ballot(
    office: Office, hitl: Process, alone: bool
):
    """A file whose name differs from the note's only in case is told of and decides nothing."""
    asked = await hitl.request_approval("payment", "Pay", {"amount": 900}, id="Pay-2")
    office.edit(asked, box("approve"))
    text = office.note(asked)
    office.vault.remove(office.path(asked))
    if not alone:
        empty = text.replace("[x] Approve", "[ ] Approve", 1)
        office.vault.write(office.path(asked), empty)
    copy = "Approved/approval_pay-2.md"
    office.vault.write(copy, text)
    await hitl.look(copy)
    await hitl.rounds(6)
    assert (await hitl.get("Pay-2")).status is Status.PENDING
    assert [(notice.path, "Pay-2" in notice.text) for notice in hitl.notices()] == [(copy, True)]
    if not alone:
        await hitl.look(office.edit(asked, box("approve")))
        assert (await hitl.get("Pay-2")).status is Status.APPROVED


async def test_a_missing_note_whose_name_is_taken_is_told_of(
    office: Office, hitl: Process, asked: Request, monkeypatch: pytest.MonkeyPatch, caplog
):
    """A folder in the place of a missing note is logged, once."""

    async def taken(*_args):
        return None

    office.vault.remove(office.path(asked))
    monkeypatch.setattr(office.vault, "create", taken)
    await hitl.rounds(60)
    told = [record for record in caplog.records if "not a note" in record.getMessage()]
    assert len(told) == 1


UNREADABLE = {
    "utf-16": lambda text: ("\ufeff" + text).encode("utf-16-le"),
    "merge": lambda text: text.replace(
        "status: pending", "<<<<<<< HEAD\nstatus: approved\n=======\nstatus: rejected\n>>>>>>> b"
    ).encode(),
    "fence": lambda text: text.replace("## Decide\n", "## Decide\n\n```\n").encode(),
    "colon": lambda text: text.replace("pending", "declined: too expensive", 1).encode(),
}
SAID = {
    "utf-16": "save it as UTF-8",
    "merge": "near line 4: a merge left two versions",
    "fence": "a code block is not closed",
    "colon": 'property status: "declined: too expensive"',
}


@pytest.mark.parametrize("kind", UNREADABLE)
async def test_what_makes_a_note_unreadable_is_said_in_it(
    office: Office, hitl: Process, asked: Request, kind: str
):
    """Nothing is decided, and the sentence in the note says what is wrong with it."""
    path = office.path(asked)
    data = UNREADABLE[kind](office.note(asked).replace("- [ ] Approve ^", "- [x] Approve ^"))
    office.vault.write(path, data)
    await hitl.look(path)
    await hitl.rounds(2)
    assert (await hitl.get(asked.id)).status is Status.PENDING
    note = office.vault.files[path].data.decode("utf-16" if kind == "utf-16" else "utf-8")
    assert SAID[kind] in sentence(note)
    assert office.vault.engine_writes.count(path) == 2


async def test_words_behind_the_mark_get_a_sentence(office: Office, hitl: Process, asked: Request):
    """A tick with words behind its mark waits, and the person is told where words go."""
    await hitl.look(office.edit(asked, ("Approve ^approve", "Approve ^approve ok thanks")))
    assert (await hitl.get(asked.id)).status is Status.PENDING
    assert "ok thanks" in sentence(office.note(asked))


@pytest.mark.parametrize("kind", ["giant", "utf-16 without a mark"])
async def test_a_note_that_can_hold_no_sentence_is_reported(
    office: Office, hitl: Process, asked: Request, kind: str
):
    """What cannot be answered in the note is a notice; it is read once, and left alone."""
    path, text = office.path(asked), office.note(asked)
    data = text.encode("utf-16-le") if kind != "giant" else text.encode() + b"x" * 5_000_000
    office.vault.write(path, data)
    await hitl.rounds(6)
    (notice,) = hitl.notices()
    assert notice.path == path
    assert "nothing is decided" in notice.text
    assert office.vault.files[path].data == data
    loads = count_loads(office, path)
    await hitl.rounds(20)
    assert loads == []
    office.vault.write(path, text.replace("- [ ] Reject ^", "- [x] Reject ^"))
    await hitl.rounds(4)
    assert (await hitl.get(asked.id)).status is Status.REJECTED
    assert hitl.notices() == []


def count_loads(office: Office, wanted: str) -> list[str]:
    """Return a list that grows with every load of this path."""
    loads, load = [], office.vault.load

    async def counted(path: str):
        loads.extend([path] if path == wanted else [])
        return await load(path)

    office.vault.load = counted  # type: ignore[method-assign]
    return loads


@pytest.mark.parametrize("odd", ["a link", "a folder", "a pipe or a device"])
async def test_something_else_in_a_notes_place_is_reported(
    office: Office, hitl: Process, asked: Request, odd: str, monkeypatch: pytest.MonkeyPatch
):
    """A link or folder under a note's name is told of, and once it is gone the note comes back."""
    path, text = office.path(asked), office.note(asked)
    office.vault.remove(path)

    async def scan():
        return [Found(path=path, signature=SIGNATURE, odd=odd)]

    with monkeypatch.context() as patched:
        patched.setattr(office.vault, "scan", scan)
        await hitl.rounds(1)
        assert [(notice.path, odd in notice.text) for notice in hitl.notices()] == [(path, True)]
    await hitl.rounds(12)
    assert office.note(asked) == text
    assert hitl.notices() == []


SIGNATURE = Signature(device=1, inode=1, size=1, mtime_ns=1, ctime_ns=1)


@pytest.mark.parametrize("folder", ["Pending_Approval", "Approved", "Rejected"])
async def test_a_renamed_note_is_reported_and_is_no_ballot(
    office: Office, hitl: Process, asked: Request, folder: str, caplog
):
    """A note whose name lost the id is told of, with what to do, in the log and the new note."""
    text = office.note(asked).replace("- [ ] Approve ^", "- [x] Approve ^")
    office.vault.remove(office.path(asked))
    renamed = f"{folder}/Invoice from Monday.md"
    office.vault.write(renamed, text)
    loads = count_loads(office, renamed)
    await hitl.rounds(12)
    assert (await hitl.get(asked.id)).status is Status.PENDING
    (notice,) = hitl.notices()
    assert notice.path == renamed
    assert f"name it approval_{asked.id}.md" in notice.advice
    assert renamed in sentence(office.note(asked))
    assert loads == [renamed]
    assert office.vault.text(renamed) == text
    assert f"name it approval_{asked.id}.md" in caplog.text
    office.vault.rename(renamed, office.path(asked))
    await hitl.rounds(6)
    assert (await hitl.get(asked.id)).status is Status.APPROVED
    assert hitl.notices() == []


async def test_a_renamed_note_of_a_decided_request_is_nobodys_business(
    office: Office, hitl: Process, asked: Request
):
    """Where nothing is to be answered any more, what a person calls the note is theirs."""
    office.vault.rename(office.path(asked), "Approved/Invoice.md")
    await hitl.rounds(4)
    assert len(hitl.notices()) == 1
    await hitl.reject(asked.id, reviewer="alice")
    await hitl.rounds(4)
    assert hitl.notices() == []


async def test_other_notes_in_our_folders_are_nobodys_business(office: Office, hitl: Process):
    """A person's own notes are read once and not reported."""
    office.vault.write("Approved/diary.md", "---\nid: mine\n---\nToday")
    office.vault.write("Approved/plain.md", "# Ideas")
    loads = count_loads(office, "Approved/plain.md")
    await hitl.rounds(30)
    assert hitl.notices() == []
    assert len(loads) == 1


@pytest.mark.parametrize("where", ["Policy.md", "rules/team.md", "rules/team.yaml"])
async def test_a_hint_at_the_policys_path_reads_it_again(where: str):
    """Wherever the policy lies and whatever it is called, its own path counts and no other."""
    office = Office()
    office.policy_path = where
    hitl = await office.open()
    await hitl.rounds(2)
    office.policy.text = "default: deny"
    hitl.desk.hint(Hints(paths=frozenset({f"other/{where.rpartition('/')[2]}"})))
    assert hitl.desk._policy_due > office.clock.monotonic()
    hitl.desk.hint(Hints(paths=frozenset({where})))
    await hitl.desk.tick()
    office.clock.advance(0.3)
    await hitl.desk.tick()
    assert hitl.policies.current.default == "deny"


async def test_a_hint_while_a_policy_is_put_on_record_is_not_lost():
    """It may have been saved once more meanwhile."""
    office = Office()
    hitl = await office.open()
    await hitl.rounds(2)
    hint = Hints(paths=frozenset({office.policy_path}))

    class Recording:
        async def update(self):
            hitl.desk.hint(hint)

    hitl.desk._record = Recording()
    hitl.desk.hint(hint)
    await hitl.desk.tick()
    assert hitl.desk._policy_due <= office.clock.monotonic()


async def test_the_name_of_a_role_in_reviewer_is_refused_and_told():
    """`reviewer: finance` is not a member of the role finance; the note says what to write."""
    team = {"alice": frozenset({"finance"})}
    office = Office("rules:\n  - {id: any, effect: ask, approvers: [finance]}\n", roles=team)
    hitl = await office.open()
    asked = await hitl.request_approval("payment", "", {})
    await hitl.look(office.edit(asked, box("approve"), reviewer("Finance")))
    assert (await hitl.get(asked.id)).status is Status.PENDING
    assert "Finance is a role, not a person" in sentence(office.note(asked))
    await hitl.look(office.edit(asked, reviewer("alice", "Finance")))
    assert (await hitl.get(asked.id)).status is Status.APPROVED
