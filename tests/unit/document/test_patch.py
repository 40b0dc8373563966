"""Notes brought up to date around what people wrote."""

from __future__ import annotations

import json

import pytest
import yaml
from document_samples import (
    ALL,
    CASES,
    DETAILS,
    ID,
    RENDERER,
    Case,
    ask,
    change,
    put,
    tick,
)

from hitl_vault.core import commands as c
from hitl_vault.core.model import (
    Answer,
    Assurance,
    Effect,
    Requirement,
    Risk,
    Stage,
    Status,
    Verdict,
)
from hitl_vault.document.ballot import Folder, Untouched
from hitl_vault.document.patch import updated, with_feedback
from hitl_vault.document.reading import parse_document
from hitl_vault.errors import DocumentError

ONE = ask()
TWO = ask(stages=(Stage(quorum=2),))


def patched(text: str | bytes, case: Case) -> str:
    data = text.encode() if isinstance(text, str) else text
    once = updated(data, case.request, case.history, RENDERER)
    assert updated(once, case.request, case.history, RENDERER) == once
    return once.decode()


def strict(**requirement) -> Verdict:
    return Verdict(
        effect=Effect.ASK,
        rules=("very-large",),
        reasons=("Really large",),
        risk=Risk.CRITICAL,
        requirement=Requirement(**{"answers": ALL} | requirement),
        summary="9000 USD to vendor@example.com",
    )


@pytest.mark.parametrize(
    "name",
    [
        name
        for name in CASES
        if name not in {"plain", "signed", "authenticated", "two_people", "one_of_two"}
    ],
)
def test_an_unedited_note_becomes_what_is_rendered_afresh(name):
    """Both ways to a note of the new state agree, whatever state it is."""
    assert patched(ONE.text, CASES[name]) == CASES[name].text


def test_what_a_person_typed_stays_byte_for_byte():
    """Comments, order, quotes, lists, line ends, remarks and ticks of people stay."""
    text = (
        ONE.text.replace('id: "', "# mine\nmine: [a, 'b']   # kept\nid: '")
        .replace(f'{ID}"\n', f"{ID}'\n")
        .replace("status: pending", "status:   'approved'  # by phone")
        .replace('reviewer: ""', "reviewer: Zoë  # me")
        .replace("tags: [hitl/pending]", "tags:\n  - mine\n  - hitl/pending\n  - other")
        .replace("## Audit", "My remark.\n\n## Audit")
        .replace("\n", "\r\n")
    )
    text = "\ufeff" + tick(text.replace("\r\n", "\n"), "approve", "X").replace("\n", "\r\n") + "bye"
    case = ONE.vote(reviewer="Zoë", reason="fine")
    after = patched(text, case)
    expected = text.replace('reason: ""', 'reason: "fine"').replace(
        "- hitl/pending", "- hitl/approved"
    )
    lines, wanted = after.split("\r\n"), expected.split("\r\n")
    added = [line for line in lines if line not in wanted]
    assert [line for line in lines if line in wanted] == wanted
    assert len(added) == 2
    assert all(line.startswith("- 2026") for line in added)


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ("approved", "rejected"),
        ("'approved'", "'rejected'"),
        ('"approved"', '"rejected"'),
        ("", "rejected"),
        ("null", "rejected"),
        ("~  # c", "rejected  # c"),
        ("# c", "rejected # c"),
        ("[approved]", "[rejected]"),
        ("['approved', ]", "['rejected', ]"),
        ("\n  - approved # c", "\n  - rejected # c"),
        ("\n- approved", "\n- rejected"),
        ("[]", "[rejected]"),
        ("|\n  approved", "rejected"),
        (">-\n  approved\n  twice", "rejected"),
        ("[a, b]", "rejected"),
        ("\n  - a\n  - b", "rejected"),
        ("{a: b}", "rejected"),
        ("\n  a: b", "rejected"),
        ("approved ✅", "rejected"),
        ("approved\n  but", "rejected"),
        ("\n  -", "\n  - rejected"),
    ],
)
def test_the_status_is_replaced_where_it_stands(typed, shown):
    """In whatever form an editor left the status, the decision takes its place."""
    case = ONE.vote(Answer.REJECT, "bob")
    after = patched(put(ONE.text, "status", typed), case)
    block = after.split("---\n")[1]
    assert f"\nstatus: {shown}\nreviewer:" in block or f"\nstatus:{shown}\nreviewer:" in block
    assert parse_document(after.encode()).status_text == "rejected"


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ('""', '"bob"'),
        ("''", '"bob"'),
        ("", '"bob"'),
        ("null", '"bob"'),
        ("~ # c", '"bob" # c'),
        ("[]", '["bob"]'),
        ("\n  -", '\n  - "bob"'),
        ("carol", '"bob"'),
        ("[carol]", '["bob"]'),
        ("' '", '"bob"'),
        ("BOB", "BOB"),
    ],
)
def test_the_name_of_who_decided_stands_there(typed, shown):
    """In the form that stands there; another name gives way, as programs read the properties."""
    after = patched(put(ONE.text, "reviewer", typed), ONE.vote(Answer.REJECT, "bob"))
    assert f"\nreviewer: {shown}\nreason:" in after or f"\nreviewer:{shown}\nreason:" in after


@pytest.mark.parametrize("line", ["status", "reviewer", "reason", "tags", "payload_sha256", "risk"])
def test_a_property_somebody_deleted_stays_deleted(line):
    """Nothing is added to the properties."""
    text = "\n".join(each for each in ONE.text.split("\n") if not each.startswith(f"{line}:"))
    after = patched(text, ONE.edit(DETAILS | {"amount": 1}).run())
    assert f"\n{line}:" not in after.split("---\n")[1]


def test_tags_of_people_stay():
    """Only our own tag is replaced, as a list or as text; a removed one stays removed."""
    case = ONE.vote()
    assert "tags: [a, hitl/approved, hitl/x]" in patched(
        put(ONE.text, "tags", "[a, hitl/pending, hitl/x]"), case
    )
    assert 'tags: "hitl/approved"' in patched(put(ONE.text, "tags", '"hitl/pending"'), case)
    assert "tags: [a]" in patched(put(ONE.text, "tags", "[a]"), case)
    assert "tags: {hitl/pending: 1}" in patched(put(ONE.text, "tags", "{hitl/pending: 1}"), case)


def test_json_properties_are_patched_too():
    """Properties written as JSON stay JSON."""
    block = ONE.text.split("---\n")[1]
    text = ONE.text.replace(block, json.dumps(yaml.load(block, yaml.BaseLoader), indent=1) + "\n")
    after = patched(text, ONE.vote(reviewer="Zoë"))
    shown = json.loads(after.split("---\n")[1].replace("Zo\\u00EB", "Zoë"))
    assert (shown["status"], shown["reviewer"], shown["tags"]) == (
        "approved",
        "Zoë",
        ["hitl/approved"],
    )


def test_a_pending_answer_is_left_alone():
    """While a request waits, what people are typing is not touched, whatever else happens."""
    said = c.Comment(id=ID, comment_id="1", author="bob", text="hm")
    text = put(put(tick(ONE.text, "approve"), "status", "approv"), "reviewer", "ali")
    after = patched(with_feedback(text.encode(), "What?"), ONE.then(said))
    assert (
        after.replace(ONE.then(said).text.split("\n")[-4] + "\n", "")
        == with_feedback(text.encode(), "What?").decode()
    )


def test_a_counted_answer_makes_room_for_the_next():
    """Where a second person must approve, the ballot is blank again once the first is counted."""
    case = TWO.vote(reviewer="alice")
    text = put(put(tick(TWO.text, "approve"), "reviewer", "Alice"), "reason", "ok")
    assert patched(text, case) == case.text
    other = put(tick(TWO.text, "approve"), "reviewer", "bob")
    after = patched(other, case)
    assert "- [x] Approve" in after
    assert "reviewer: bob" in after
    against = put(tick(TWO.text, "reject"), "reviewer", "alice")
    assert "- [x] Reject" in patched(against, case)


def test_an_unnamed_answer_that_is_counted_makes_room_too():
    """An answer without a name is known again as well."""
    case = ask(stages=(Stage(quorum=2),)).vote(reviewer="bob")
    assert "- [x] Approve" in patched(tick(TWO.text, "approve"), case)


def test_the_feedback_line_goes_with_the_decision():
    """Once it is decided there is nothing left to ask."""
    said = with_feedback(ONE.note, "I read “yes”.")
    assert "hitl:feedback" in patched(said, ONE)
    assert patched(said, ONE.vote()) == ONE.vote().text


def test_changed_details_are_shown():
    """After an approval with changes the note shows what will run, and keeps the person's tick."""
    details = DETAILS | {"amount": 1200}
    text = tick(change(ONE.text, '"amount": 1500', '"amount":    1200'), "edit")
    case = ONE.edit(details)
    after = patched(text, case)
    assert case.request.status is Status.APPROVED
    assert f'payload_sha256: "{case.request.payload_in_force}"' in after
    assert after.count('"amount": 1200') == 1
    assert '"amount":    1200' in after
    assert "- [x] Approve with the changes below ^edit" in after


def test_details_that_are_asked_again_make_a_blank_ballot():
    """An edit that needs more approval asks again in the same note: nothing of the old answer stays."""
    verdict = strict(stages=(Stage(approvers=("cfo",)),))
    case = ONE.edit(DETAILS | {"amount": 9000}, verdict=verdict)
    assert case.request.status is Status.PENDING
    text = put(
        put(tick(change(ONE.text, "1500", "9000"), "edit"), "status", "approved"),
        "reviewer",
        "alice",
    )
    said = with_feedback(text.encode(), "x")
    assert patched(said, case) == case.text
    assert case.read(case.text) == Untouched()
    assert "risk: critical" in case.text
    assert "approval by cfo" in case.text
    answered = tick(case.text, "approve")
    assert "- [x] Approve ^" in patched(answered, case)


def test_answers_that_are_no_longer_allowed_go():
    """If the changed action allows fewer answers, their boxes and blocks go; new ones come."""
    fewer = strict(answers=(Answer.REJECT,), stages=(Stage(approvers=("cfo",)),))
    case = ONE.edit(DETAILS | {"amount": 9000}, verdict=fewer)
    text = tick(change(ONE.text, "1500", "9000"), "edit")
    after = patched(text, case)
    assert after == case.text
    assert "^approve" not in after
    assert "### Changes" not in after
    other = ask(answers=(Answer.EDIT,))
    after = patched(other.text, other.edit(DETAILS | {"amount": 1}, verdict=fewer))
    assert "- [ ] Reject ^reject" in after
    assert case.read(tick(case.text, "reject")).answer is Answer.REJECT


def test_a_summary_may_come_and_go():
    """The policy's summary of the changed action replaces, joins or leaves the note."""
    details = DETAILS | {"amount": 9000}
    with_one, without = ask(), ask(summary="")
    plain = Verdict(effect=Effect.ASK, requirement=Requirement(answers=ALL), summary="")
    gone = with_one.edit(details, verdict=plain)
    assert patched(with_one.text, gone) == gone.text
    assert "In short" not in gone.text
    come = without.edit(details, verdict=strict())
    assert patched(without.text, come) == come.text
    assert "In short: 9000" in come.text


def test_lines_people_took_away_stay_away():
    """A labelled line that a person deleted or doubled is not written again."""
    text = ONE.text.replace("- Risk: high\n", "").replace("- Rule: ", "- Rule: mine\n- Rule: ")
    after = patched(text, ONE.edit(DETAILS | {"amount": 9000}, verdict=strict()))
    assert "- Risk:" not in after
    assert "- Rule: mine\n- Rule: large-payment\n" in after
    assert "- Reason: Payments of 500 or more need a person; Really large" in after
    no_title = ONE.text.replace("# Payment: 1500", "# My title: 1500")
    assert "# My title: 1500" in patched(
        no_title, ONE.edit(DETAILS | {"amount": 9000}, verdict=strict())
    )


def test_audit_lines_stand_once_and_in_order():
    """Missing lines are added after the last known one; a deleted section comes back."""
    case = CASES["executed"]
    lines = [
        line for line in case.text.split("\n") if line.endswith("`") and line.startswith("- 2026")
    ]
    assert len(lines) == len(case.history)
    assert patched(case.text.replace(f"{lines[-1]}\n", ""), case) == case.text
    assert lines[1] not in patched(case.text.replace(f"{lines[1]}\n", ""), case)
    head, _, _ = case.text.partition("## Audit")
    without = f"{head}%% hitl:end {ID} %%\n"
    assert patched(without, case) == case.text
    emptied = case.text.replace("\n".join(lines) + "\n\n", "")
    assert patched(emptied, case) == case.text
    tight = case.text.replace("## Audit\n\n" + "\n".join(lines) + "\n\n", "## Audit\n")
    assert patched(tight, case) == case.text
    remark = case.text.replace(lines[-1], f"{lines[-1]}\nA remark.")
    assert patched(remark, case) == remark
    assert patched(without.replace("%% hitl", "## Mine\n%% hitl"), case).count("## Audit") == 1


def test_no_events_add_nothing():
    """Without a history the audit is left as it is."""
    data = ONE.note
    assert updated(data, ONE.request, (), RENDERER) == data
    without = data.replace(b"## Audit", b"## Mine")
    assert updated(without, ONE.request, (), RENDERER) == without


def test_the_result_stands_once_and_is_corrected():
    """An unknown end is replaced by the known one; a section of the person's own is not taken."""
    unknown, resolved = CASES["unknown"], CASES["resolved"]
    assert patched(unknown.text, resolved) == resolved.text
    mine = ONE.text.replace("## Audit", "## Result\n\nI called them.\n\n## Audit")
    after = patched(mine, CASES["executed"])
    assert after.count("## Result") == 2
    assert "I called them." in after
    head, _, _ = CASES["approved"].text.partition("## Audit")
    after = patched(f"{head}%% hitl:end {ID} %%\n", CASES["executed"])
    assert after.index("## Result") < after.index("## Audit")


def test_a_note_that_cannot_be_read_is_left_to_the_caller():
    """Torn, foreign or broken notes are errors, never half-written."""
    for data in (b"", ONE.note[:300], put(ONE.text, "status", "a: b").encode()):
        with pytest.raises(DocumentError):
            updated(data, ONE.request, ONE.history, RENDERER)
    with pytest.raises(DocumentError, match="not about"):
        updated(ONE.note, ask(id="other").request, ONE.history, RENDERER)


@pytest.mark.parametrize(
    "block", ['{id: "%s", status}', '{id: "%s", status, reviewer: x}', '? id\n: "%s"\n? status']
)
def test_a_form_that_cannot_be_replaced_is_an_error(block):
    """If a value cannot be replaced where it stands, nothing is written."""
    text = ONE.text.replace(ONE.text.split("---\n")[1], block % ID + "\n")
    try:
        after = updated(text.encode(), ONE.vote().request, (), RENDERER)
    except DocumentError:
        return
    assert parse_document(after).status_text == "approved"


def test_patched_notes_answer_nothing_new():
    """Bringing a note up to date never makes or changes an answer."""
    for case in CASES.values():
        assert case.read(case.text, Folder.OTHER) == Untouched()


def test_a_stray_comment_sign_does_not_double_anything():
    """Our sections are known again in a note where a comment was opened by mistake."""
    text = ONE.text.replace("In short:", "In %% short:")
    assert patched(text, CASES["executed"]).count("## Audit") == 1


@pytest.mark.parametrize("why", ["the invoice was wrong [[x]]", ""])
def test_the_reason_of_an_approval_that_was_cancelled_is_the_cancellations(why):
    """What we wrote for the first decision gives way to the reason of the last."""
    approved = ONE.vote(reason="because :: of the invoice")
    cancelled = approved.then(c.Cancel(id=ID, by="agent", reason=why))
    assert patched(approved.text, cancelled) == cancelled.text


def test_a_reason_in_a_persons_own_spelling_stays_when_it_is_cancelled():
    """The same words without our quotes are the person's."""
    approved = ONE.vote(reason="fine")
    typed = put(approved.text, "reason", "fine")
    cancelled = approved.then(c.Cancel(id=ID, by="agent", reason="wrong invoice"))
    assert "\nreason: fine\n" in patched(typed, cancelled)


# one-time codes


def test_a_code_is_taken_out_of_the_note_of_what_is_decided():
    """No later state of a note holds a code that was typed into it."""
    case = ask(assurance=Assurance.AUTHENTICATED)
    typed = put(tick(case.text, "approve"), "code", '"4821 9375"')
    assert case.read(typed).code == "4821 9375"
    decided = case.then(c.Cancel(id=ID, by="invoice-agent"))
    new = updated(typed.encode(), decided.request, decided.history, RENDERER)
    assert b"4821" not in new
    assert b'\ncode: ""\n' in new


@pytest.mark.parametrize("before", [Assurance.EDITED, Assurance.AUTHENTICATED])
@pytest.mark.parametrize("after", list(Assurance))
def test_a_change_that_asks_for_a_code_gives_the_note_a_property_for_it(before, after):
    """A note that was not edited becomes what a fresh one would be, whatever the change asks."""
    case = ask(assurance=before)
    edited = case.edit(
        DETAILS | {"amount": 1200}, verdict=strict(assurance=after), assurance=before
    )
    assert edited.request.edited is not None
    assert patched(case.text, edited) == edited.text


def test_the_next_person_finds_no_code_of_the_one_before():
    """The ballot is blank again, also where the code alone said whose answer it was."""
    case = ask(assurance=Assurance.AUTHENTICATED, stages=(Stage(quorum=2),))
    case = case.then(c.IssueCode(id=ID, code_id="code-1", reviewer="alice", valid_s=600))
    typed = put(tick(case.text, "approve"), "code", '"4821 9375"')
    voted = case.vote(assurance=Assurance.AUTHENTICATED, channel="code", code_id="code-1")
    assert voted.request.status is Status.PENDING
    assert parse_document(patched(typed, voted).encode()).code == ""
    assert voted.read(patched(typed, voted)) == Untouched()
