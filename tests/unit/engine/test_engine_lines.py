"""Several people answer in one note, each in lines of their own; other ways mix with it freely."""

from collections.abc import AsyncIterator

import pytest
from engine_kit import Office, Process, box, reviewer, sentence, status

from hitl_vault.core.events import Kind
from hitl_vault.core.model import Answer, Assurance, Request, Status
from hitl_vault.core.people import People
from hitl_vault.errors import ConfigError

FINANCE = frozenset({"finance"})
TEAM = {"alice": FINANCE, "bob": FINANCE, "carol": FINANCE | {"cfo"}, "zoe": frozenset({"boss"})}
TWO = """\
default: ask
rules:
  - id: two
    effect: ask
    approvers: [finance]
    quorum: 2
    {more}
"""
STAGED = """\
default: ask
rules:
  - id: staged
    effect: ask
    stages: [{approvers: [alice, bob]}, {approvers: [cfo]}]
"""


def two(more: str = "risk: high") -> str:
    return TWO.format(more=more)


@pytest.fixture
async def office() -> AsyncIterator[Office]:
    """A vault where two of finance must approve; its chain is proved at the end."""
    office = Office(two(), roles=TEAM)
    yield office
    await office.verify()


async def asked_in(office: Office) -> tuple[Process, Request]:
    hitl = await office.open()
    return hitl, await hitl.request_approval("payment", "Pay", {"amount": 900})


def line(name: str, answer: str = "approve", by: str = "[ ]", to: str = "[x]") -> tuple[str, str]:
    """Tick a person's box."""
    label = {"approve": "Approve", "reject": "Reject", "edit": "Approve with the changes below"}
    text = f"{label[answer]} ^{answer}-{name}"
    return f"- {by} {text}\n", f"- {to} {text}\n"


async def votes(hitl: Process, request: Request) -> list[tuple[str, str, str]]:
    found = (await hitl.get(request.id)).votes
    return [(vote.reviewer, vote.answer.value, vote.channel) for vote in found]


async def test_two_ticks_in_their_own_lines_approve(office: Office):
    """Each is recorded once, as what the file says; the engine writes nothing in between."""
    hitl, asked = await asked_in(office)
    await hitl.look(office.edit(asked, line("alice")))
    assert await votes(hitl, asked) == [("alice", "approve", "note")]
    before = office.note(asked)
    await hitl.rounds(10)
    assert office.note(asked) == before
    await hitl.look(office.edit(asked, line("bob")))
    assert await hitl.check_status(asked.id) is Status.APPROVED
    assert (await hitl.get(asked.id)).votes[0].assurance is Assurance.EDITED
    assert (await office.kinds(asked)).count(Kind.VOTED) == 2
    text = office.note(asked)
    assert "[x] Approve ^approve-alice" in text
    assert "Counted: 2 of 2 approved: alice (the file says), bob (the file says)" in text


async def test_both_ticks_in_one_save_count_both(office: Office):
    """A sync tool may bring two people's answers at once."""
    hitl, asked = await asked_in(office)
    await hitl.look(office.edit(asked, line("alice"), line("carol")))
    assert await hitl.check_status(asked.id) is Status.APPROVED


async def test_a_veto_beside_two_approvals_wins(office: Office):
    """What stands in one save is read as one: the rejection ends it."""
    hitl, asked = await asked_in(office)
    await hitl.look(office.edit(asked, line("alice"), line("bob"), line("carol", "reject")))
    assert await hitl.check_status(asked.id) is Status.REJECTED
    assert await votes(hitl, asked) == [("carol", "reject", "note")]
    await hitl.rounds(5)
    assert "Too late" not in office.note(asked)


@pytest.mark.parametrize("first", ["call", "note", "word"])
@pytest.mark.parametrize("second", ["call", "note", "word"])
async def test_ways_of_answering_mix_freely(office: Office, first: str, second: str):
    """A call, a tick and a word in the properties are votes alike."""
    hitl, asked = await asked_in(office)
    for name, way in (("alice", first), ("bob", second)):
        if way == "call":
            await hitl.vote(
                asked.id, Answer.APPROVE, reviewer=name, channel="cli",
                assurance=Assurance.AUTHENTICATED,
            )  # fmt: skip
        elif way == "note":
            await hitl.look(office.edit(asked, line(name)))
        else:
            await hitl.look(office.edit(asked, status("approved"), reviewer(name)))
    await hitl.shows()
    assert await hitl.check_status(asked.id) is Status.APPROVED
    assert [name for name, _, _ in await votes(hitl, asked)] == ["alice", "bob"]
    assert "status: approved" in office.note(asked)


async def test_a_word_in_the_properties_is_counted_and_makes_room(office: Office):
    """One sentence, empty properties, and who was counted so far."""
    hitl, asked = await asked_in(office)
    await hitl.look(office.edit(asked, status("approved"), reviewer("alice")))
    text = office.note(asked)
    assert sentence(text).startswith("Counted: an approval by alice. 1 of 2")
    assert 'reviewer: ""' in text
    assert "status: pending" in text
    assert "Counted: 1 of 2 approved: alice (the file says)" in text


async def test_words_that_repeat_a_counted_tick_make_room_too(office: Office):
    """Left there, they would speak for whoever puts their name beside them next."""
    hitl, asked = await asked_in(office)
    await hitl.look(office.edit(asked, line("alice")))
    await hitl.look(office.edit(asked, status("approved"), reviewer("alice")))
    text = office.note(asked)
    assert "status: pending" in text
    assert 'reviewer: ""' in text
    assert await votes(hitl, asked) == [("alice", "approve", "note")]


async def test_a_move_by_somebody_named_counts_and_the_next_ticks(office: Office):
    """The folder then says nothing of anybody else."""
    hitl, asked = await asked_in(office)
    office.edit(asked, reviewer("alice"))
    office.vault.rename(office.path(asked), office.path(asked, "Approved"))
    await hitl.look(office.path(asked, "Approved"))
    assert await votes(hitl, asked) == [("alice", "approve", "note")]
    text = office.note(asked, "Approved")
    office.vault.write(office.path(asked, "Approved"), text.replace(*line("bob")))
    await hitl.look(office.path(asked, "Approved"))
    assert await hitl.check_status(asked.id) is Status.APPROVED


async def test_a_call_does_not_write_into_the_note(office: Office):
    """Between asking and deciding nobody's open note changes; the next sentence brings it in."""
    hitl, asked = await asked_in(office)
    before = office.note(asked)
    await hitl.approve(asked.id, reviewer="alice")
    await hitl.shows()
    await hitl.rounds(5)
    assert office.note(asked) == before
    await hitl.look(office.edit(asked, line("bob"), line("bob", "reject")))
    text = office.note(asked)
    assert sentence(text).startswith("bob: More than one box is ticked")
    assert "Counted: 1 of 2 approved: alice (unproved)" in text
    assert await votes(hitl, asked) == [("alice", "approve", "api")]


async def test_an_unclear_line_is_answered_once_and_others_count(office: Office):
    """One write for one save; what was said goes when it is clear."""
    hitl, asked = await asked_in(office)
    await hitl.look(office.edit(asked, line("alice"), line("bob"), line("bob", "reject")))
    assert await votes(hitl, asked) == [("alice", "approve", "note")]
    told = office.note(asked)
    assert sentence(told).startswith("bob: ")
    await hitl.rounds(5)
    assert office.note(asked) == told
    await hitl.look(office.edit(asked, line("bob", "reject", "[x]", "[ ]")))
    assert await hitl.check_status(asked.id) is Status.APPROVED
    assert sentence(office.note(asked)) == ""


async def test_what_was_said_is_replaced_when_it_became_clear(office: Office):
    """The old sentence never stands beside a counted answer."""
    hitl, asked = await asked_in(office)
    await hitl.look(office.edit(asked, line("bob"), line("bob", "reject")))
    await hitl.look(office.edit(asked, line("bob", "reject", "[x]", "[ ]")))
    assert sentence(office.note(asked)).startswith("Counted: an approval by bob. 1 of 2")


async def test_an_emptied_box_is_told_that_it_stays_counted(office: Office):
    """Nothing is withdrawn; the other box changes the answer."""
    hitl, asked = await asked_in(office)
    await hitl.look(office.edit(asked, line("alice")))
    await hitl.look(office.edit(asked, line("alice", "approve", "[x]", "[ ]")))
    assert sentence(office.note(asked)).startswith("alice: your answer was counted and stays")
    assert await votes(hitl, asked) == [("alice", "approve", "note")]
    await hitl.look(office.edit(asked, line("alice", "reject")))
    assert await hitl.check_status(asked.id) is Status.REJECTED


async def test_the_other_box_changes_the_vote_while_it_waits():
    """Where one rejection does not end it."""
    office = Office(two("veto: false"), roles=TEAM)
    hitl, asked = await asked_in(office)
    await hitl.look(office.edit(asked, line("alice", "reject")))
    assert await votes(hitl, asked) == [("alice", "reject", "note")]
    await hitl.look(
        office.edit(asked, line("alice", "reject", "[x]", "[ ]"), line("alice"), line("bob"))
    )
    assert await hitl.check_status(asked.id) is Status.APPROVED


async def test_an_old_tick_never_undoes_a_later_call():
    """Alice ticked, then said otherwise elsewhere; bob's tick brings the note back to be read."""
    office = Office(two("veto: false"), roles=TEAM)
    hitl, asked = await asked_in(office)
    await hitl.look(office.edit(asked, line("alice")))
    await hitl.reject(asked.id, reviewer="alice")
    await hitl.look(office.edit(asked, line("bob")))
    assert await votes(hitl, asked) == [("alice", "reject", "api"), ("bob", "approve", "note")]
    assert "later answer, over api" in sentence(office.note(asked))
    assert await hitl.check_status(asked.id) is Status.PENDING


async def test_a_tick_for_a_later_stage_waits_for_it():
    """It is told so, and counts as soon as the stage is open, however that came."""
    office = Office(STAGED, roles=TEAM)
    hitl, asked = await asked_in(office)
    await hitl.look(office.edit(asked, line("carol")))
    assert sentence(office.note(asked)).startswith("carol's tick waits: stage 1 of 2 comes first")
    assert await votes(hitl, asked) == []
    await hitl.approve(asked.id, reviewer="alice")
    await hitl.rounds(5)
    assert await hitl.check_status(asked.id) is Status.APPROVED
    assert [name for name, _, _ in await votes(hitl, asked)] == ["alice", "carol"]


async def test_a_tick_for_a_later_stage_is_seen_by_another_process():
    """The approval came over the command line, while a desk runs elsewhere."""
    office = Office(STAGED, roles=TEAM)
    hitl, asked = await asked_in(office)
    await hitl.look(office.edit(asked, line("carol")))
    other = await office.open()
    await other.approve(asked.id, reviewer="alice")
    other.die()
    await hitl.rounds(8)
    assert await hitl.check_status(asked.id) is Status.APPROVED


async def test_escalation_adds_lines_with_the_next_write_that_is_allowed():
    """Not before; the lines that are there stay as they are."""
    office = Office(two("escalate: [{after: 10m, to: [boss]}]\n    timeout: 2h"), roles=TEAM)
    hitl, asked = await asked_in(office)
    before = office.edit(asked, line("alice"))
    await hitl.look(before)
    office.clock.advance(601)
    await hitl.timers.tick()
    await hitl.shows()
    assert "zoe" not in office.note(asked)
    await hitl.look(office.edit(asked, line("bob"), line("bob", "reject")))
    text = office.note(asked)
    assert "### Answer of zoe (boss)\n\n- [ ] Approve ^approve-zoe\n" in text
    assert "[x] Approve ^approve-alice" in text
    await hitl.look(office.edit(asked, line("zoe")))
    assert await hitl.check_status(asked.id) is Status.APPROVED


async def test_whoever_may_not_answer_is_told_and_not_counted(office: Office):
    """A name of their own in the properties does not help."""
    hitl, asked = await asked_in(office)
    await hitl.look(office.edit(asked, status("approved"), reviewer("zoe")))
    assert sentence(office.note(asked)) == (
        "Not counted for zoe: zoe may not answer this request; it waits for finance."
    )
    assert await votes(hitl, asked) == []


async def test_the_assurance_a_rule_asks_for_is_not_a_matter_of_lines():
    """A tick is what the file says; the reviewer is told what it takes."""
    office = Office(two("assurance: authenticated"), roles=TEAM)
    hitl, asked = await asked_in(office)
    await hitl.look(office.edit(asked, line("alice")))
    assert sentence(office.note(asked)).startswith("Not counted for alice: this rule asks for")
    assert await votes(hitl, asked) == []


async def test_a_required_reason_is_each_persons_own():
    """Without it the answer waits, and counts once it stands there."""
    office = Office(two("require_reason: [reject]"), roles=TEAM)
    hitl, asked = await asked_in(office)
    await hitl.look(office.edit(asked, line("alice", "reject")))
    assert sentence(office.note(asked)) == "Not counted for alice: a reason is required to reject."
    await hitl.look(office.edit(asked, ("- Reason (alice):\n", "- Reason (alice): too much\n")))
    assert await hitl.check_status(asked.id) is Status.REJECTED
    assert (await hitl.get(asked.id)).reason == "too much"


async def test_a_change_by_one_person_blanks_every_line():
    """The details are others now: each answers again."""
    office = Office(two("answers: [approve, reject, edit]"), roles=TEAM)
    hitl, asked = await asked_in(office)
    await hitl.look(office.edit(asked, line("alice")))
    text = office.note(asked)
    before, heading, after = text.partition("### Changes")
    text = before + heading + after.replace("900", "800", 1)
    text = text.replace(*line("bob", "edit"))
    office.vault.write(office.path(asked), text)
    await hitl.look(office.path(asked))
    assert (await hitl.get(asked.id)).details == {"amount": 800}
    assert "[x]" not in office.note(asked)
    assert await hitl.check_status(asked.id) is Status.PENDING
    await hitl.look(office.edit(asked, line("carol")))
    assert await hitl.check_status(asked.id) is Status.APPROVED


async def test_without_a_record_that_can_be_read_notes_are_written_all_the_same(office: Office):
    """With one ballot for all; lines that stand are not judged until it can be read."""
    hitl, asked = await asked_in(office)
    good = office.people

    def broken() -> People:
        raise ConfigError("reviewers.toml: line 1 is no TOML")

    object.__setattr__(hitl._parts, "people", broken)
    other = await hitl.request_approval("payment", "Pay", {"amount": 901})
    assert "- [ ] Approve ^approve\n" in office.note(other)
    await hitl.look(office.edit(asked, line("alice")))
    assert await votes(hitl, asked) == []
    assert "reviewers.toml" in next(iter(hitl.desk.notices.values())).text
    object.__setattr__(hitl._parts, "people", lambda: good)
    await hitl.rounds(5)
    assert await votes(hitl, asked) == [("alice", "approve", "note")]


async def test_two_processes_make_one_vote_of_one_tick(office: Office):
    """Both watch the folder."""
    hitl, asked = await asked_in(office)
    other = await office.open()
    path = office.edit(asked, line("alice"))
    await hitl.look(path)
    await other.look(path)
    assert (await office.kinds(asked)).count(Kind.VOTED) == 1
    assert sentence(office.note(asked)) == ""


async def test_a_missing_note_comes_back_with_who_was_counted(office: Office):
    """Its boxes are empty, and nothing that was counted is lost."""
    hitl, asked = await asked_in(office)
    await hitl.look(office.edit(asked, line("alice")))
    office.vault.remove(office.path(asked))
    await hitl.rounds(12)
    text = office.note(asked)
    assert "Counted: 1 of 2 approved: alice (the file says)" in text
    await hitl.look(office.edit(asked, line("bob")))
    assert await hitl.check_status(asked.id) is Status.APPROVED


async def test_a_late_tick_is_told(office: Office):
    """What it says is not what was decided."""
    hitl, asked = await asked_in(office)
    await hitl.look(office.edit(asked, line("alice"), line("bob")))
    await hitl.shows()
    await hitl.look(office.edit(asked, line("carol")))
    assert sentence(office.note(asked)) == ""
    await hitl.look(
        office.edit(asked, line("carol", "approve", "[x]", "[ ]"), line("carol", "reject"))
    )
    assert sentence(office.note(asked)).startswith("Too late")
    assert await hitl.check_status(asked.id) is Status.APPROVED


async def test_a_role_without_holders_falls_back_to_one_ballot():
    """As it was before there were records of people."""
    office = Office(two(), roles={"zoe": frozenset({"boss"})})
    _, asked = await asked_in(office)
    assert "- [ ] Approve ^approve\n" in office.note(asked)
    assert box("approve")[0] in office.note(asked)


async def test_a_tick_that_repeated_an_answer_never_takes_back_a_later_one():
    """Alice approved elsewhere and ticked too; she then said no elsewhere; the tick still stands."""
    office = Office(two("veto: false"), roles=TEAM)
    hitl, asked = await asked_in(office)
    await hitl.approve(asked.id, reviewer="alice")
    await hitl.look(office.edit(asked, line("alice")))
    await hitl.reject(asked.id, reviewer="alice", reason="changed my mind")
    await hitl.rounds(10)
    await hitl.look(office.edit(asked, line("bob")))
    assert await votes(hitl, asked) == [("alice", "reject", "api"), ("bob", "approve", "note")]
    assert await hitl.check_status(asked.id) is Status.PENDING
    assert "alice: what counts is your later answer" in sentence(office.note(asked))
    await office.verify()


async def test_a_changed_mind_in_the_note_counts_every_time():
    """Approve, reject, approve again, all by ticks: the last one counts."""
    office = Office(two("veto: false"), roles=TEAM)
    hitl, asked = await asked_in(office)
    on, off = ("[ ]", "[x]"), ("[x]", "[ ]")
    await hitl.look(office.edit(asked, line("alice")))
    await hitl.look(
        office.edit(asked, line("alice", "approve", *off), line("alice", "reject", *on))
    )
    await hitl.look(
        office.edit(asked, line("alice", "reject", *off), line("alice", "approve", *on))
    )
    assert await votes(hitl, asked) == [("alice", "approve", "note")]
    await office.verify()
