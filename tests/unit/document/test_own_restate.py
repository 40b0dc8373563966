"""A note with own lines is brought up to date without touching what people wrote."""

from dataclasses import replace
from datetime import timedelta

import pytest
from document_samples import DETAILS, NOW, change, put
from lines_samples import TEAM, THEN_CFO, desk, edit, people, said, tick, write_reason

from hitl_vault.core import commands as c
from hitl_vault.core.model import Answer, Assurance, Escalation, Stage, Status
from hitl_vault.core.people import Away
from hitl_vault.document.feedback import with_feedback

YES, NO = Answer.APPROVE, Answer.REJECT
ONE = desk()


def grown(before, case=None, record=None):
    return replace(before, case=case or before.case, people=record or before.people)


@pytest.mark.parametrize("crlf", [False, True])
def test_an_unedited_note_becomes_what_is_rendered_afresh(crlf):
    """In every state: counted, widened, changed, decided."""

    def dressed(text):
        return text.replace("\n", "\r\n") if crlf else text

    signed = {"assurance": Assurance.SIGNED, "proof": "p", "proof_id": "1", "channel": "cli"}
    staged = desk(
        people({"alice": ["finance"], "bob": ["finance"], "carol": ["cfo"], "zoe": ["boss"]}),
        stages=THEN_CFO,
        escalate=(Escalation(after_s=60, to=("boss",)),),
    )
    half = staged.vote(**signed)
    wider = grown(half, half.case.then(c.Escalate(id=half.case.request.id, number=0)))
    changed = wider.edit(DETAILS | {"amount": 1})
    states = [
        half,
        wider,
        changed,
        half.vote(reviewer="bob"),
        half.vote(NO, "bob"),
        half.vote(reviewer="bob").vote(reviewer="carol"),
        replace(half, case=half.case.then(c.Cancel(id=half.case.request.id, by="me"))),
    ]
    for state in states:
        assert state.patch(dressed(staged.text)) == dressed(state.text)
        assert state.patch(dressed(state.text)) == dressed(state.text)


def test_who_was_counted_stands_in_one_line():
    """How sure each answer is, how many are needed, and up to when."""
    assert "Counted:" not in ONE.text
    signed = {"assurance": Assurance.SIGNED, "proof": "p", "proof_id": "1", "channel": "cli"}
    after = ONE.vote(**signed)
    text = after.patch(ONE.text)
    assert "\nCounted: 1 of 2 approved: alice (signed) (up to 2026-11-21T09:31:12Z)\n" in text
    more = after.vote(reviewer="bob").patch(text)
    assert "Counted: 2 of 2 approved: alice (signed), bob (the file says) (up to" in more
    assert more.count("Counted:") == 1


def test_a_counted_tick_stays_and_nobody_elses_is_touched():
    """Ticks, reasons and remarks of people stay byte for byte; so do half-made answers."""
    text = write_reason(tick(ONE.text, "alice"), "alice", "ok by me")
    text = write_reason(tick(text, "bob", "reject"), "bob", "hm, let me th")
    text = text.replace("### Answer of bob", "My own remark.\n\n### Answer of bob")
    after = ONE.vote().patch(text)
    added = [line for line in after.split("\n") if line not in text.split("\n")]
    assert all(line.startswith(("Counted:", "- 2026")) for line in added)
    assert set(text.split("\n")) <= set(after.split("\n"))


def test_an_answer_in_the_properties_makes_room_for_the_next():
    """The words go once they are counted, the ticks stay; another's words stay."""
    text = put(put(tick(ONE.text, "bob"), "status", "approved"), "reviewer", "Alice")
    after = ONE.vote().patch(put(text, "reason", "fine"))
    assert after == ONE.vote().patch(tick(ONE.text, "bob"))
    assert "[x] Approve ^approve-bob" in after
    assert "reviewer: carol" in ONE.vote().patch(put(text, "reviewer", "carol"))


def test_changed_details_make_every_line_blank():
    """What was said of the old details is not said of the new ones."""
    text = write_reason(tick(ONE.text, "alice"), "alice", "ok")
    text = tick(change(text, '"amount": 1500', '"amount": 1200'), "bob", "edit")
    after = ONE.edit(DETAILS | {"amount": 1200})
    assert after.case.request.status is Status.PENDING
    assert after.patch(text) == after.text
    assert after.read(after.patch(text)).ticked == frozenset()


def test_new_people_come_in_below_whoever_is_before_them():
    """A stand-in gets lines; nobody's lines go when they are back, and their tick is told."""
    week = Away(begins_at=NOW, ends_at=NOW + timedelta(days=7), to="zoe")
    away = replace(ONE, people=people(TEAM | {"zoe": []}, away={"alice": (week,)}))
    text = write_reason(tick(ONE.text, "carol"), "carol", "ok")
    after = away.patch(text)
    assert "### Answer of zoe (for alice)\n\n- [ ] Approve ^approve-zoe\n" in after
    assert (
        after.index("Answer of carol") < after.index("Answer of zoe") < after.index("### Changes")
    )
    assert said(away.read(tick(after, "zoe"))) == [("carol", YES), ("zoe", YES)]
    assert ONE.patch(after) == after
    back = ONE.read(tick(after, "zoe"))
    assert said(back) == [("carol", YES)]
    assert "nobody who may answer" in back.sentences[0]


def test_lines_a_person_took_away_come_back_and_others_stay():
    """With the next write that is allowed; a heading alone is not missed."""
    start = ONE.text.index("### Answer of bob")
    without = ONE.text[:start] + ONE.text[ONE.text.index("### Answer of carol") :]
    assert ONE.patch(without) == ONE.text
    headless = ONE.text.replace("### Answer of bob (finance)\n\n", "")
    assert ONE.patch(headless) == headless


def test_answers_that_an_edit_forbids_go_and_come_for_each_person():
    """Every person's boxes follow the requirement."""
    both = (YES, NO)
    need = replace(ONE.case.request.requirement, answers=both)
    verdict = replace(ONE.case.request.verdict, requirement=need)
    after = ONE.edit(DETAILS | {"amount": 1}, verdict=verdict)
    assert "^edit" not in after.patch(tick(ONE.text, "carol", "edit"))
    assert after.patch(ONE.text) == after.text


def test_a_note_keeps_the_form_it_was_written_in():
    """One ballot stays one ballot when people come on record; lines stay when the record goes."""
    shared = ONE.case.text
    assert "Answer of" not in ONE.vote().patch(shared)
    gone = replace(ONE.vote(), people=people({}))
    assert "### Answer of bob (finance)" in gone.patch(ONE.text)


def test_the_sentence_stands_apart_from_every_persons_lines():
    """Directly below the heading, and it goes with the decision."""
    told = with_feedback(ONE.text.encode(), "alice: more than one box is ticked.").decode()
    assert told.index("hitl:feedback") < told.index("### Answer of alice")
    done = ONE.vote().vote(reviewer="bob")
    assert done.patch(told) == done.text


def test_decided_notes_keep_the_ticks():
    """What each person said stays readable where they said it."""
    text = tick(tick(ONE.text, "alice"), "bob", "reject")
    done = ONE.vote().vote(NO, "bob")
    after = done.patch(text)
    assert "[x] Approve ^approve-alice" in after
    assert "[x] Reject ^reject-bob" in after
    assert 'reviewer: "alice, bob"' in after


def test_whoever_comes_on_record_later_is_no_part_of_a_decided_note():
    """Nobody seems to have been asked who was not."""
    done = ONE.vote().vote(reviewer="bob")
    wider = replace(
        done, people=people({key: ["finance"] for key in ["alice", "bob", "carol", "zoe"]})
    )
    assert "zoe" not in wider.patch(ONE.text)
    assert wider.patch(done.text) == done.text


def test_too_many_new_people_are_not_added():
    """Past the limit, those who have lines keep them."""
    crowd = people({f"p{i:02}": ["finance"] for i in range(31)})
    few = desk(people({f"p{i:02}": ["finance"] for i in range(30)}))
    after = replace(few, people=crowd)
    assert after.patch(few.text) == few.text
    assert said(after.read(tick(few.text, "p07"))) == [("p07", YES)]


def test_a_wider_stage_names_everybody():
    """Anyone may answer: everybody on record has lines."""
    anyone = desk(stages=(Stage(quorum=2),))
    assert anyone.text.count("### Answer of") == 3
    assert edit(anyone.text, "^approve-bob", "[ ]", "[x]") == tick(anyone.text, "bob")
