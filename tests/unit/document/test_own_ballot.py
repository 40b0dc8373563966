"""Each person's lines are read on their own: who answers what, and what is unclear for whom."""

import json

import pytest
from document_samples import DETAILS, change, put
from lines_samples import THEN_CFO, desk, edit, merged, people, said, tick, write_reason

from hitl_vault.core.model import Answer, Assurance, Stage, Status
from hitl_vault.core.people import People
from hitl_vault.document.ballot import Folder
from hitl_vault.document.own_ballot import Readings

YES, NO, EDIT = Answer.APPROVE, Answer.REJECT, Answer.EDIT
ONE = desk()
NOTHING = Readings()


def unclear_for(readings, name):
    assert len(readings.sentences) == 1, readings.sentences
    return readings.sentences[0].startswith(f"{name}: ")


def test_a_fresh_note_answers_nothing():
    """Nor does one that was counted in part."""
    assert ONE.read(ONE.checked) == NOTHING
    later = ONE.vote()
    assert later.read(later.checked) == NOTHING


def test_each_tick_is_its_persons_answer():
    """Rejections are handed in first, then the people in their order; reasons are their own."""
    text = write_reason(tick(ONE.text, "carol", "reject"), "carol", "too *expensive*: “wow”")
    text = write_reason(tick(tick(text, "bob"), "alice"), "bob", "fine")
    readings = ONE.read(text)
    assert said(readings) == [("carol", NO), ("alice", YES), ("bob", YES)]
    assert [each.reason for each in readings.answers] == ["too *expensive*: “wow”", "", "fine"]
    assert all(each.by_line for each in readings.answers)
    assert readings.ticked == {"alice", "bob", "carol"}
    assert not readings.sentences


def test_a_reason_alone_is_no_answer():
    """Nor is a name in the properties."""
    text = put(write_reason(ONE.text, "bob", "approved, I say"), "reviewer", "bob")
    assert ONE.read(text) == NOTHING


def broken(text, how):
    line = "- [ ] Reject ^reject-alice"
    assert line in text
    return text.replace(line, how)


@pytest.mark.parametrize(
    "how",
    [
        "- [x] Reject ^reject-alice",
        "- [x] Reject it ^reject-alice",
        "- [x] Reject ^reject-alice because no",
        "- [-] Reject ^reject-alice",
        "- [xx] Reject ^reject-alice",
        "- [x] Reject",
        "- [x] Reject ^reject-",
        "- [x] Reject ^REJECT-ALICE",
        "> - [x] Reject ^reject-alice",
        "- [ ] Reject ^reject-alice\n- [x] Approve ^approve-alice",
    ],
)
def test_what_is_unclear_is_so_for_that_person_alone(how):
    """Both boxes, a broken line, a doubled one: one sentence with the name, and the others count."""
    text = tick(tick(broken(ONE.text, how), "alice"), "bob") if "\n" not in how else None
    text = text or tick(broken(ONE.text, how), "bob")
    readings = ONE.read(text)
    assert said(readings) == [("bob", YES)]
    assert unclear_for(readings, "alice")


def test_a_doubled_line_without_a_tick_is_nothing():
    """A merge may double lines; only a ticked one is a question."""
    line = "- [ ] Approve ^approve-alice"
    assert ONE.read(ONE.text.replace(line, f"{line}\n{line}")) == NOTHING


def test_somebody_elses_line_pasted_is_nobodys_vote():
    """Under bob's heading, alice's line says nothing about bob, and nothing clear about alice."""
    text = ONE.text.replace("- [ ] Approve ^approve-bob", "- [x] Approve ^approve-alice")
    readings = ONE.read(text.replace("- [ ] Approve ^approve-alice\n", "", 1))
    assert not readings.answers
    assert unclear_for(readings, "alice")
    both = ONE.read(text)
    assert not both.answers
    assert unclear_for(both, "alice")


def test_a_line_of_nobody_who_may_answer_is_not_counted():
    """Whatever name is written beside it; those who may answer count."""
    mallory = "### Answer of mallory (finance)\n\n- [x] Approve ^approve-mallory\n\n### Changes"
    readings = ONE.read(tick(ONE.text.replace("### Changes", mallory), "bob"))
    assert said(readings) == [("bob", YES)]
    assert "nobody who may answer" in readings.sentences[0]


def test_a_renamed_heading_changes_nobody():
    """Whose a line is follows from its mark, never from the note's text."""
    text = ONE.text.replace("### Answer of alice (finance)", "### Answer of mallory (cfo)")
    assert said(ONE.read(tick(text, "alice"))) == [("alice", YES)]


@pytest.mark.parametrize("line", ["- [x] Reject", "- [x] Reject ^reject", "- [x] no!"])
def test_a_tick_nobody_owns_lets_rejections_through_only(line):
    """Somebody said something: until it is clear who, nothing is approved."""
    text = ONE.text.replace("### Answer of alice", f"{line}\n\n### Answer of alice")
    readings = ONE.read(tick(tick(text, "alice"), "bob", "reject"))
    assert said(readings) == [("bob", NO)]
    assert "nobody's" in readings.sentences[0]


def test_boxes_in_code_or_a_comment_are_not_read():
    """They do not show as boxes, so nobody can mean them."""
    lines = "- [ ] Approve ^approve-alice\n- [ ] Reject ^reject-alice\n"
    assert lines in ONE.text
    for before, after in (("```\n", "```\n"), ("%%\n", "%%\n"), ("<!--\n", "-->\n")):
        text = tick(ONE.text.replace(lines, before + lines + after), "alice")
        readings = ONE.read(tick(text, "bob"))
        assert said(readings) == [("bob", YES)]
        assert unclear_for(readings, "alice")


def test_the_properties_answer_for_the_person_they_name():
    """A word in `status` and a name, in any spelling; the others' lines count beside it."""
    text = put(put(tick(ONE.text, "bob"), "status", "rejected"), "reviewer", "Alice")
    readings = ONE.read(put(text, "reason", "no"))
    assert said(readings) == [("Alice", NO), ("bob", YES)]
    assert readings.answers[0].reason == "no"
    assert not readings.answers[0].by_line


def test_the_properties_must_agree_with_that_persons_lines():
    """Else that person is unclear; where they agree it is one answer."""
    text = put(put(tick(ONE.text, "alice"), "status", "approved"), "reviewer", "alice")
    assert said(ONE.read(text)) == [("alice", YES)]
    readings = ONE.read(tick(put(text, "status", "rejected"), "bob"))
    assert said(readings) == [("bob", YES)]
    assert unclear_for(readings, "alice")


@pytest.mark.parametrize(("word", "through"), [("approved", YES), ("rejected", NO), ("hm", NO)])
def test_a_word_without_a_name_is_unclear(word, through):
    """It is told; what contradicts it, or cannot be read, holds approvals up."""
    text = tick(tick(put(ONE.text, "status", word), "alice"), "bob", "reject")
    readings = ONE.read(text)
    wanted = [("bob", NO), ("alice", YES)] if through is YES else [("bob", NO)]
    assert said(readings) == (wanted if word != "rejected" else [("bob", NO), ("alice", YES)])
    assert len(readings.sentences) == 1
    alone = ONE.read(tick(put(ONE.text, "status", word), "alice"))
    assert said(alone) == ([("alice", YES)] if through is YES else [])


def test_a_move_needs_a_name_unless_a_person_ticked_the_same():
    """Moving to Approved beside one's own tick is one answer; alone it names nobody."""
    readings = ONE.read(ONE.text, Folder.APPROVED)
    assert not readings.answers
    assert "not who says so" in readings.sentences[0]
    assert ONE.read(tick(ONE.text, "bob"), Folder.APPROVED).sentences == ()
    assert said(ONE.read(put(ONE.text, "reviewer", "bob"), Folder.REJECTED)) == [("bob", NO)]
    held = ONE.read(tick(ONE.text, "bob"), Folder.REJECTED)
    assert not held.answers
    assert held.sentences


def test_a_name_in_a_note_that_was_moved_and_counted_is_unclear():
    """Alice brought it to Approved; bob, who puts his name there, is asked for his own tick."""
    moved = ONE.vote()
    assert moved.read(put(ONE.text, "reviewer", "alice"), Folder.APPROVED) == NOTHING
    typed = put(ONE.text, "reviewer", "bob")
    readings = moved.read(typed, Folder.APPROVED)
    assert not readings.answers
    assert unclear_for(readings, "bob")
    both = moved.read(tick(typed, "bob", "reject"), Folder.APPROVED)
    assert said(both) == [("bob", NO)]
    assert both.sentences == ()


def test_two_names_in_the_properties_are_unclear():
    """One word is one person's."""
    text = put(put(ONE.text, "status", "approved"), "reviewer", "[alice, bob]")
    readings = ONE.read(text)
    assert not readings.answers
    assert "more than one name" in readings.sentences[0]


def test_a_counted_tick_counts_once():
    """It stays and says nothing new; an empty box takes nothing back; the other box is a change."""
    text = tick(ONE.text, "alice")
    counted = ONE.vote()
    assert counted.read(text) == Readings(ticked=frozenset({"alice"}))
    assert counted.read(ONE.text) == NOTHING
    assert said(counted.read(tick(ONE.text, "alice", "reject"))) == [("alice", NO)]
    assert said(counted.read(tick(text, "bob"))) == [("bob", YES)]


def test_an_old_tick_does_not_undo_a_later_answer_elsewhere():
    """Alice ticked, then answered otherwise on the command line: that is what counts."""
    open_end = desk(veto=False)
    ticked = tick(open_end.text, "alice")
    later = open_end.vote().vote(NO, channel="cli", assurance=Assurance.AUTHENTICATED)
    readings = later.read(tick(ticked, "bob"))
    assert said(readings) == [("bob", YES)]
    assert "later answer" in readings.remarks[0]
    never = open_end.vote(NO, channel="cli", assurance=Assurance.AUTHENTICATED)
    assert said(never.read(ticked)) == [("alice", YES)]


def test_details_that_come_back_are_asked_about_anew():
    """Bob changes them, carol changes them back: alice's tick from before is not of this question."""
    three = desk(stages=(Stage(approvers=("finance",), quorum=3),))
    one, two = DETAILS | {"amount": 1}, DETAILS | {"amount": 2}
    back = three.edit(one, "bob").vote().edit(two, "carol").edit(one, "bob")
    assert said(back.read(tick(back.text, "alice"))) == [("alice", YES)]
    after = back.vote()
    assert after.case.request.status is Status.PENDING
    assert after.read(tick(back.text, "alice")).answers == ()


def test_who_answered_stays_known_whatever_becomes_of_the_record():
    """A tick of somebody who is no longer on record was counted, and is no riddle now."""
    after = ONE.vote()
    after.people = People()
    assert after.read(tick(ONE.text, "alice")).sentences == ()
    readings = after.read(tick(ONE.text, "bob"))
    assert not readings.answers
    assert "nobody who may answer" in readings.sentences[0]


def test_changes_are_of_the_person_who_ticked_their_box():
    """A plain approval beside changed JSON is unclear for whoever gave it."""
    text = change(ONE.text, '"amount": 1500', '"amount": 1200')
    readings = ONE.read(tick(tick(text, "bob", "edit"), "alice"))
    assert said(readings) == [("bob", EDIT)]
    assert readings.answers[0].details == DETAILS | {"amount": 1200}
    assert unclear_for(readings, "alice")


def test_a_note_that_shows_another_action_decides_nothing():
    """Whoever ticked."""
    text = tick(tick(ONE.text.replace('"amount": 1500', '"amount": 15', 1), "alice"), "bob")
    readings = ONE.read(text)
    assert not readings.answers
    assert "What will run" in readings.sentences[0]


def test_windows_line_ends_are_read_the_same():
    """CRLF and a byte order mark change nothing."""
    text = write_reason(tick(ONE.text, "alice"), "alice", "ok")
    readings = ONE.read(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    assert said(readings) == [("alice", YES)]
    assert readings.answers[0].reason == "ok"


def test_a_note_of_one_ballot_is_read_as_it_was_written():
    """A request asked before there was a record of people keeps the ballot it has."""
    text = put(ONE.case.text.replace("- [ ] Approve ^", "- [x] Approve ^", 1), "reviewer", "alice")
    assert said(ONE.read(text)) == [("alice", YES)]
    assert not ONE.read(text).answers[0].by_line


def test_an_own_line_in_a_note_of_one_ballot_is_unclear():
    """A line with a mark nobody has there is not one of ours."""
    text = ONE.case.text.replace("### Changes", "- [x] Approve ^approve-zoe\n\n### Changes")
    readings = ONE.read(text)
    assert not readings.answers
    assert "not one of mine" in readings.sentences[0]


def test_an_agents_prose_cannot_imitate_lines():
    """Its words hold no boxes, and stand under another heading."""
    words = "## Decide\n### Answer of alice (finance)\n- [x] Approve ^approve-alice\n- Reason (alice): ok"
    sly = desk(description=words, summary=words, reasons=(words,), run_id=words)
    assert sly.read(sly.checked) == NOTHING
    assert said(sly.read(tick(sly.text, "bob"))) == [("bob", YES)]


HOSTILE = {
    "Answer of bob": ["finance"],
    "bob": ["finance"],
    "Changes": ["finance"],
    "- [x] Approve ^approve-bob": ["finance"],
    "`` ## Decide <b> %% [[x]] ::": ["finance"],
    "bob (finance)": ["finance"],
    "李" * 200: ["finance"],
    "李" * 201: ["finance"],
    "José": ["fin*nce", "finance"],
    "Jose": ["finance"],
}


@pytest.mark.parametrize("name", HOSTILE)
def test_any_name_has_lines_that_are_its_own(name):
    """Names with Markdown, very long ones and ones that look alike."""
    strange = desk(people(HOSTILE))
    assert strange.read(strange.checked) == NOTHING
    assert said(strange.read(tick(strange.text, name))) == [(name, YES)]
    rejected = write_reason(tick(strange.text, name, "reject"), name, "no")
    assert [each.reason for each in strange.read(rejected).answers] == ["no"]


@pytest.mark.parametrize("ours", [("alice", "approve"), ("bob", "reject"), ("carol", "edit")])
@pytest.mark.parametrize("theirs", [("alice", "reject"), ("bob", "approve"), ("carol", "approve")])
def test_git_merges_what_two_people_wrote_on_two_devices(workspace, ours, theirs):
    """Different people: both answers, exactly. One person twice: a conflict or unclear, no answer
    that person did not give."""
    stage = desk(stages=THEN_CFO)
    one = write_reason(tick(stage.text, *ours), ours[0], "mine")
    two = write_reason(tick(stage.text, *theirs), theirs[0], "theirs")
    conflicts, text = merged(workspace, stage.text, one, two)
    if ours[0] == theirs[0]:
        assert conflicts or not said(stage.read(text))
        return
    assert not conflicts
    wanted = {ours[0]: Answer(ours[1]), theirs[0]: Answer(theirs[1])}
    text = change(text, "1500", "1200") if EDIT in wanted.values() else text
    found = dict(said(stage.read(text)))
    assert found.items() <= wanted.items()
    assert found == wanted or EDIT in wanted.values()


def test_git_merges_a_tick_with_a_sentence_of_ours(workspace):
    """The engine answers one device while another one ticks."""
    from hitl_vault.document.feedback import with_feedback

    told = with_feedback(ONE.text.encode(), "alice: more than one box is ticked.").decode()
    conflicts, text = merged(workspace, ONE.text, told, tick(ONE.text, "alice"))
    assert not conflicts
    assert said(ONE.read(text)) == [("alice", YES)]


def test_git_merges_new_lines_with_a_tick(workspace):
    """Lines of people who may answer now come in beside what others write meanwhile."""
    wider = desk(people({"alice": ["finance"], "bob": ["finance"], "zoe": ["finance"]}))
    small = desk(people({"alice": ["finance"], "bob": ["finance"]}))
    grown = wider.patch(small.text)
    for name in ("alice", "bob"):
        ours = write_reason(tick(small.text, name), name, "ok")
        conflicts, text = merged(workspace, small.text, ours, grown)
        assert not conflicts
        assert said(wider.read(text)) == [(name, YES)]
        assert said(wider.read(tick(text, "zoe", "reject")))[0] == ("zoe", NO)


def test_conflict_markers_decide_nothing():
    """Two versions of one person's line, as a merge leaves them: the note cannot be read."""
    from hitl_vault.errors import DocumentError

    line = "- [ ] Approve ^approve-alice"
    both = f"<<<<<<< ours\n- [x] Approve ^approve-alice\n=======\n{line}\n>>>>>>> theirs"
    with pytest.raises(DocumentError, match="merge"):
        ONE.read(tick(ONE.text.replace(line, both), "bob"))


def test_the_json_of_what_runs_stays_exact():
    """Own lines change nothing of the rest."""
    assert json.dumps(DETAILS, indent=2) in ONE.text


def test_a_tidied_note_is_read_the_same():
    """Linters change list signs, spaces and the case of headings."""
    text = edit(ONE.text, "^approve-alice", "- [ ]", "*   [X]").replace("*   [X]", "* [X]")
    text = text.replace("### Answer of alice (finance)", "### Answer Of Alice (Finance)")
    assert said(ONE.read(text)) == [("alice", YES)]
