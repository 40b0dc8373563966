"""Changes of reviewers are on record; a broken record lets nobody gain anything."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import timedelta

import pytest
from engine_kit import Office, box, reviewer, sentence, status

from hitl_vault.core.commands import RecordReviewers
from hitl_vault.core.events import Kind
from hitl_vault.core.model import Status
from hitl_vault.core.people import Away, Key, People, Reviewer
from hitl_vault.core.register import REGISTER_ID
from hitl_vault.errors import Refused, StorageError
from hitl_vault.testing.clock import START

NAMED = """\
default: ask
rules:
  - id: money
    effect: ask
    approvers: [finance, dora]
    timeout: 1h
    escalate: [{after: 45m, to: [cfo, alice]}]
"""
WEEK = timedelta(days=7)


def people(sha256, *reviewers, **more):
    """Return a record with a digest of its own."""
    found = {one.name: one for one in reviewers}
    return People(reviewers=found, sha256=sha256, on_record=True, **more)


ALICE = Reviewer(name="alice", roles=frozenset({"finance"}))
BOB = Reviewer(name="bob")


async def recorded(office):
    """Return what the register says changed, one tuple an event."""
    return [
        tuple(known.event.data["changes"])
        for known in await office.ledger.history(REGISTER_ID)
        if known.event.kind is Kind.REVIEWERS_CHANGED
    ]


async def test_nothing_is_recorded_where_there_never_was_a_record(office: Office):
    await office.open()
    assert await recorded(office) == []


async def test_what_was_there_at_the_start_is_recorded_once_by_whoever_comes_first(office: Office):
    """Two processes, and a third later: one event."""
    office.people = people("one", ALICE, changed_at=START - WEEK)
    first, _second = await office.open(), await office.open()
    office.clock.advance(20)
    await first.timers.tick()
    await office.open()
    assert await recorded(office) == [("+ alice holds the role finance", "+ alice is a reviewer")]


async def test_each_change_says_names_roles_and_fingerprints(office: Office):
    """From what is on record to what is there now, whichever process recorded before."""
    office.people = people("one", ALICE, changed_at=START - WEEK)
    await office.open()
    key = Key(principals=("bob",), kind="ssh-ed25519", fingerprint="SHA256:new")
    office.people = people("two", BOB, keys=(key,), changed_at=START - WEEK)
    hitl = await office.open()
    office.people = people("three", BOB, keys=(key,), changed_at=START - WEEK)
    await hitl.timers.tick()
    assert await recorded(office) == [
        ("+ alice holds the role finance", "+ alice is a reviewer"),
        (
            "- alice holds the role finance",
            "- alice is a reviewer",
            "+ bob is a reviewer",
            "+ bob may sign with ssh-ed25519 SHA256:new",
        ),
        (),
    ]
    assert (await office.ledger.register()).reviewers_sha256 == "three"


async def test_files_that_are_gone_are_a_change_too(office: Office):
    office.people = people("one", BOB, changed_at=START - WEEK)
    hitl = await office.open()
    office.people = People()
    office.clock.advance(1)
    await hitl.timers.tick()
    office.clock.advance(1)
    await hitl.timers.tick()
    assert await recorded(office) == [("+ bob is a reviewer",), ("- bob is a reviewer",)]


async def test_a_file_in_the_middle_of_being_saved_is_no_change(office: Office):
    """An empty file between two full ones leaves no trace."""
    office.people = people("one", BOB, changed_at=START - WEEK)
    hitl = await office.open()
    office.people = people("empty", changed_at=office.clock.now())
    await hitl.timers.tick()
    office.clock.advance(0.5)
    office.people = people("one", BOB, changed_at=office.clock.now())
    await hitl.timers.tick()
    assert len(await recorded(office)) == 1


async def test_a_vote_finds_the_record_it_relies_on_in_the_chain_before_it():
    """A role given a moment ago is recorded before the answer that needs it."""
    office = Office(NAMED)
    hitl = await office.open()
    asked = await hitl.request_approval("payment", "", {})
    office.people = people("one", ALICE, changed_at=office.clock.now())
    await hitl.approve(asked.id, reviewer="alice")
    kinds = [known.event.kind async for known in hitl.subscribe(follow=False)]
    assert kinds == [
        Kind.POLICY_CHANGED,
        Kind.REQUESTED,
        Kind.REVIEWERS_CHANGED,
        Kind.VOTED,
        Kind.APPROVED,
    ]
    await office.verify()


async def test_an_unchanged_record_costs_no_look_at_the_ledger(office: Office, monkeypatch):
    office.people = people("one", BOB, changed_at=START - WEEK)
    hitl = await office.open()
    await hitl.timers.tick()  # which looks for alerts, and then not for a minute

    async def never():
        raise AssertionError("the ledger was asked")

    monkeypatch.setattr(office.ledger, "register", never)
    for _ in range(5):
        await hitl.timers.tick()


async def test_what_another_process_recorded_meanwhile_is_corrected_in_a_minute(office: Office):
    """The files went back to what they were before this process looked again."""
    office.people = people("one", BOB, changed_at=START - WEEK)
    hitl = await office.open()
    await office.ledger.record(RecordReviewers(sha256="two", changes=("- bob is a reviewer",)))
    office.clock.advance(60)
    await hitl.timers.tick()
    assert (await office.ledger.register()).reviewers_sha256 == "one"
    assert (await recorded(office))[-1] == ("+ bob is a reviewer",)


async def test_a_record_that_cannot_be_stored_keeps_nobody_from_opening(
    office: Office, monkeypatch, caplog
):
    office.people = people("one", BOB, changed_at=START - WEEK)

    async def full(_command):
        raise StorageError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(office.ledger, "record", full)
        hitl = await office.open()
        assert "the disk is full" in caplog.text
    await hitl.timers.tick()
    assert await recorded(office) == [("+ bob is a reviewer",)]


async def test_a_broken_record_is_loud_once_and_gives_nobody_a_role(caplog):
    """Refused with a sentence that says why; an open rule can still be answered."""
    caplog.set_level(logging.WARNING)
    office = Office(NAMED)
    office.people = people("one", ALICE, changed_at=START - WEEK)
    hitl = await office.open()
    asked = await hitl.request_approval("payment", "", {})
    office.people_problem = "reviewers.toml: line 3"
    for name in ("alice", "dora", "zoe"):
        with pytest.raises(Refused, match=r"cannot be read.*hitl doctor"):
            await hitl.approve(asked.id, reviewer=name)
    for _ in range(3):
        await hitl.timers.tick()
    assert caplog.text.count("reviewers.toml: line 3") == 1
    assert len(await recorded(office)) == 1
    office.people_problem = ""
    assert (await hitl.approve(asked.id, reviewer="alice")).status is Status.APPROVED
    assert "can be read again" in caplog.text


async def test_keys_that_cannot_be_read_are_loud_once_and_take_no_role(caplog):
    office = Office(NAMED)
    office.people = people("one", ALICE, keys_problem="allowed_signers:2: damaged")
    hitl = await office.open()
    asked = await hitl.request_approval("payment", "", {})
    await hitl.timers.tick()
    assert caplog.text.count("allowed_signers:2: damaged") == 1
    assert (await hitl.approve(asked.id, reviewer="alice")).status is Status.APPROVED


async def test_who_left_between_being_told_and_answering_reads_why_it_does_not_count():
    """In the note, in one sentence; the name alone opens nothing any more."""
    office = Office(NAMED)
    office.people = people("one", ALICE, Reviewer(name="dora"), changed_at=START - WEEK)
    hitl = await office.open()
    asked = await hitl.request_approval("payment", "", {})
    office.people = people("two", ALICE, changed_at=START - WEEK)
    await hitl.look(office.edit(asked, status("approved"), reviewer("dora")))
    assert (await hitl.get(asked.id)).status is Status.PENDING
    told = sentence(office.note(asked))
    assert "not, or no longer, on record" in told
    assert "it waits for dora, finance" in told


async def test_a_stand_in_answers_in_the_note_and_the_audit_says_for_whom():
    office = Office(NAMED)
    away = Away(begins_at=START - WEEK, ends_at=START + WEEK, to="bob")
    office.people = people("one", replace(ALICE, away=(away,)), BOB, changed_at=START - WEEK)
    hitl = await office.open()
    asked = await hitl.request_approval("payment", "", {})
    await hitl.look(office.edit(asked, box("approve"), reviewer("bob")))
    assert (await hitl.get(asked.id)).votes[0].on_behalf_of == "alice"
    assert "the file says bob approves for alice" in office.note(asked)


async def test_a_stand_in_who_is_one_of_two_reads_for_whom_it_counted():
    office = Office(
        "default: ask\nrules:\n  - {id: a, effect: ask, approvers: [finance], quorum: 2}\n"
    )
    away = Away(begins_at=START - WEEK, ends_at=START + WEEK, to="bob")
    office.people = people("one", replace(ALICE, away=(away,)), BOB, changed_at=START - WEEK)
    hitl = await office.open()
    asked = await hitl.request_approval("payment", "", {})
    await hitl.look(office.edit(asked, status("approved"), reviewer("bob")))
    assert sentence(office.note(asked)).startswith("Counted: an approval by bob for alice. 1 of 2")
    assert "Counted: 1 of 2 approved: bob for alice (the file says)" in office.note(asked)


async def test_an_escalation_to_a_role_nobody_holds_says_so_and_loses_nothing():
    """It is recorded, in the note, and who is there may answer."""
    office = Office(NAMED)
    office.people = people("one", ALICE, changed_at=START - WEEK)
    hitl = await office.open()
    asked = await hitl.request_approval("payment", "", {})
    office.clock.advance(46 * 60)
    await hitl.timers.tick()
    events = await office.history(asked)
    assert events[-1].event.data["nobody"] == ["cfo"]
    assert (await hitl.approve(asked.id, reviewer="alice")).status is Status.APPROVED
    assert "escalated to alice, cfo; on record nobody is cfo" in office.note(asked)


async def test_an_escalation_says_nothing_of_that_where_no_record_is_kept():
    office = Office(NAMED)
    hitl = await office.open()
    asked = await hitl.request_approval("payment", "", {})
    office.clock.advance(46 * 60)
    await hitl.timers.tick()
    assert "nobody" not in (await office.history(asked))[-1].event.data
