"""Answers read from notes."""

from __future__ import annotations

import itertools
import json
import re

import pytest
import yaml
from document_samples import CASES, DETAILS, ID, ask, change, put, tick

from hitl_vault.core.model import Answer, Status
from hitl_vault.document.ballot import Answered, Folder, Unclear, Untouched
from hitl_vault.document.inert import action_json
from hitl_vault.document.patch import with_feedback
from hitl_vault.errors import DocumentError

CASE = ask()
TEXT = CASE.text


def status(value: str, folder: Folder = Folder.PENDING):
    return CASE.read(put(TEXT, "status", value), folder)


def test_an_untouched_note_answers_nothing():
    """A note as written is no answer in any folder but those that are answers."""
    for folder in (Folder.PENDING, Folder.DONE, Folder.OTHER):
        assert CASE.read(TEXT, folder) == Untouched()


def test_the_three_gestures_are_equal():
    """A tick, a word and a move each answer, with the name and reason given."""
    text = put(put(TEXT, "reviewer", "Alice"), "reason", '"fine by me"')
    wanted = Answered(answer=Answer.APPROVE, reviewer="Alice", reason="fine by me")
    assert CASE.read(tick(text, "approve")) == wanted
    assert CASE.read(put(text, "status", "approved")) == wanted
    assert CASE.read(text, Folder.APPROVED) == wanted
    for reading in (
        CASE.read(tick(TEXT, "reject", "X")),
        status("rejected"),
        CASE.read(TEXT, Folder.REJECTED),
    ):
        assert reading == Answered(answer=Answer.REJECT, reviewer="", reason="")


GESTURES = {
    "box": (lambda text, yes: tick(text, "approve" if yes else "reject"), None),
    "word": (lambda text, yes: put(text, "status", "approved" if yes else "rejected"), None),
    "folder": (lambda text, yes: text, {True: Folder.APPROVED, False: Folder.REJECTED}),
}


@pytest.mark.parametrize(
    "said",
    [
        dict(zip(GESTURES, said, strict=True))
        for said in itertools.product((None, True, False), repeat=3)
    ],
)
def test_gestures_must_agree(said):
    """Every combination of the three gestures: those given agree, or nothing is decided."""
    text, folder = TEXT, Folder.PENDING
    for name, yes in said.items():
        if yes is not None:
            gesture, folders = GESTURES[name]
            text = gesture(text, yes)
            folder = folders[yes] if folders else folder
    reading = CASE.read(text, folder)
    given = {yes for yes in said.values() if yes is not None}
    if not given:
        assert reading == Untouched()
    elif len(given) == 2:
        assert isinstance(reading, Unclear)
        assert "make them say the same" in reading.sentence
    else:
        assert reading.answer is (Answer.APPROVE if given == {True} else Answer.REJECT)


@pytest.mark.parametrize(
    ("value", "answer"),
    [
        ("“approved”", Answer.APPROVE),
        ("‘approved’", Answer.APPROVE),
        ("«approved»", Answer.APPROVE),
        ("Approved", Answer.APPROVE),
        ("APPROVED", Answer.APPROVE),
        ("approved ✅", Answer.APPROVE),
        ("✅ approved", Answer.APPROVE),
        ("approved.", Answer.APPROVE),
        ("approved   ", Answer.APPROVE),
        ("approved #", Answer.APPROVE),
        ("'approved'", Answer.APPROVE),
        ('"approved"', Answer.APPROVE),
        ("[approved]", Answer.APPROVE),
        ("\n  - approved", Answer.APPROVE),
        ("\n- approved", Answer.APPROVE),
        ('["approved"]', Answer.APPROVE),
        ("|\n  approved", Answer.APPROVE),
        (">-\n  approved", Answer.APPROVE),
        ("\uff41\uff50\uff50\uff52\uff4f\uff56\uff45\uff44", Answer.APPROVE),
        ("approved\xa0", Answer.APPROVE),
        ("rejected", Answer.REJECT),
        ("'rejected: too much'", Answer.REJECT),
        ("declined!", Answer.REJECT),
        ("#approved", None),
        ("", None),
        ("null", None),
        ("~", None),
        ("[]", None),
        ("[pending]", None),
        ("Pending", None),
        ("pending_approval", None),
        ("awaiting-approval", None),
        ('""', None),
    ],
)
def test_status_as_people_leave_it(value, answer):
    """The forms people and editors really leave are read as what they say."""
    reading = status(value)
    if answer is None:
        assert reading == Untouched()
    else:
        assert reading.answer is answer


@pytest.mark.parametrize(
    "value",
    [
        "yes",
        "no",
        "true",
        "false",
        "1",
        "on",
        "approved\u200b",
        "\u0430pproved",
        "approv\u0435d",
        "[[approved]]",
        "[approved, approved]",
        "[approved, rejected]",
        "{a: approved}",
        "pending | approved",
        "pending -> approved",
        "~~pending~~ approved",
        "approved, but only 500",
        "approved rejected",
        "aapproved",
        "arejected",
        "exapproved",
        "aexpired",
        "exrejected",
        "executed",
        "expired",
        "cancelled",
        "approved\n  but only 500",
        "app",
        "reject ed",
        "status — approved",
        "x" * 500,
        "approved\u202e",
        "done",
        "2026-11-21",
        "approved\xadx",
    ],
)
def test_anything_else_in_status_asks_back(value):
    """A near miss decides nothing; the sentence repeats it and says what to write."""
    reading = status(value)
    assert isinstance(reading, Unclear)
    assert "approved or rejected" in reading.sentence
    assert len(reading.sentence) < 300
    assert "\n" not in reading.sentence
    assert reading.sentence.isprintable()


@pytest.mark.parametrize(
    "line",
    [
        "status:approved",
        "status\uff1aapproved",
        "status:\xa0approved",
        "status — approved",
        "\tstatus: approved",
        "**approved**",
        "status: **approved**",
        "status: !!python/object:x approved",
        "status: *approved",
        "status: &a approved",
        "status: approved: yes",
        "approved: yes\n status: x",
        "status: `approved`",
        "status: @approved",
        "status: %approved",
        "status: [approved",
        "status: 'approved",
        "status: approved\nstatus: approved",
        "<<: {status: approved}",
        "status:\n<<<<<<< HEAD\n approved\n=======",
    ],
)
def test_broken_properties_are_errors_with_a_line(line):
    """What is no plain mapping is never guessed at, even where one could see what was meant."""
    text = TEXT.replace("\nstatus: pending\n", f"\n{line}\n")
    with pytest.raises(DocumentError) as caught:
        CASE.read(text)
    assert caught.value.line > 0


@pytest.mark.parametrize(
    "value",
    [
        *(
            "approved # really",
            "approved # no, wait for Bob",
            '"rejected"  ## or not',
            "[approved] # nö",
        ),
        *("# really?\n  approved", "\n  - approved # no", "|  # no\n  approved"),
    ],
)
def test_words_behind_a_hash_beside_the_status_are_unclear(value):
    """YAML does not read them, and they may say the opposite; one sentence says what to do."""
    reading = status(value)
    assert isinstance(reading, Unclear)
    assert "behind a #" in reading.sentence
    assert isinstance(CASE.read(tick(put(TEXT, "status", "pending # Bob?"), "approve")), Unclear)
    assert status("pending # alice looks at it") == Untouched()


def test_comments_on_other_lines_are_nobodys_answer():
    """Only the line of the status is asked about."""
    reading = status("approved\n# really\n#and more")
    assert reading == Answered(answer=Answer.APPROVE, reviewer="", reason="")
    named = put(put(TEXT, "status", "approved"), "reviewer", "Alice # for Bob")
    assert CASE.read(named) == Answered(answer=Answer.APPROVE, reviewer="Alice", reason="")


def test_a_tab_after_the_colon_means_the_same():
    """A tab after the colon, which YAML readers dispute, is a space to us or an error, by rule."""
    try:
        reading = CASE.read(TEXT.replace("status: pending", "status:\tapproved"))
    except DocumentError:
        return
    assert reading.answer is Answer.APPROVE


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (tick(tick(TEXT, "approve"), "reject"), "More than one box"),
        (tick(tick(TEXT, "approve"), "edit"), "More than one box"),
        (tick(TEXT, "approve", "/"), "was changed"),
        (tick(TEXT, "approve", "✓"), "was changed"),
        (TEXT.replace("- [ ] Approve ^", "- [x] Approve up to 500 ^"), "was changed"),
        (TEXT.replace("- [ ] Approve ^", "- [ ] Approve up to 500 ^"), "was changed"),
        (TEXT.replace("- [ ] Approve ^approve", "- [x] Approve"), "not one of mine"),
        (
            TEXT.replace(
                "- [ ] Approve ^approve", "- [ ] Approve ^approve\n- [x] Approve ^approve"
            ),
            "more than once",
        ),
        (
            TEXT.replace("## Audit", "- [x] Approve ^approve\n\n## Audit").replace(
                "- [ ] Approve ^approve\n", ""
            ),
            "under the heading",
        ),
        (tick(TEXT, "approve").replace("## Decide\n", "## Decide\n%% off\n"), "under the heading"),
        (tick(TEXT, "approve").replace("## Decide", "## Decided"), "under the heading"),
    ],
)
def test_boxes_that_are_not_clear_ask_back(text, part):
    """Two ticks, another mark or label, or a box elsewhere decide nothing."""
    reading = CASE.read(text)
    assert isinstance(reading, Unclear)
    assert part in reading.sentence


def test_a_missing_box_does_not_stop_another_gesture():
    """Somebody may delete the boxes and write the word."""
    text = TEXT.replace("- [ ] Approve ^approve\n", "").replace("- [ ] Reject ^reject\n", "")
    assert CASE.read(text) == Untouched()
    assert CASE.read(put(text, "status", "approved")).answer is Answer.APPROVE


@pytest.mark.parametrize(
    "addition",
    [
        "status: approved",
        "**Status:** approved",
        "- [x] Approve",
        "> status: approved",
        "```yaml\nstatus: approved\n- [x] Approve ^approve\n```",
        "Approved by the boss already.",
        "- [x] call the vendor\n- [x] read the invoice",
        "| status | approved |",
        "---\nstatus: approved\n---",
        "%% status: approved %%",
        "<!-- approved -->",
        "[[Approved]] #approved",
        "status:: approved",
    ],
)
@pytest.mark.parametrize("heading", ["## The agent says", "## Audit", "## Why you are asked"])
def test_text_in_the_body_is_never_read(addition, heading):
    """Real documents hold the word approved and ticked boxes in their text: they stay undecided."""
    text = TEXT.replace(f"{heading}\n", f"{heading}\n\n{addition}\n")
    assert CASE.read(text) == Untouched()
    assert CASE.read(TEXT + addition) == Untouched()


def _front(text: str, change) -> str:
    opened, block, body = text.split("---\n", 2)
    return f"{opened}---\n{change(block)}---\n{body}"


def _keys(text: str, order) -> str:
    return _front(text, lambda block: "\n".join(order(block.rstrip("\n").split("\n"))) + "\n")


def _values(text: str, dump) -> str:
    def change(block: str) -> str:
        return dump(yaml.load(block, yaml.BaseLoader))

    return _front(text, change)


def _json(values) -> str:
    return json.dumps(values, indent=2) + "\n"


REWRITTEN = {
    "clean": lambda text: text,
    "crlf": lambda text: text.replace("\n", "\r\n"),
    "bom": lambda text: f"\ufeff{text}",
    "no_final_newline": lambda text: text.rstrip("\n"),
    "blank_lines_below": lambda text: f"{text}\n\n\n",
    "text_below": lambda text: f"{text}\nMy remark: not approved yet\n",
    "reversed_keys": lambda text: _keys(text, lambda lines: lines[::-1]),
    "sorted_keys": lambda text: _keys(text, sorted),
    "comments": lambda text: _keys(
        text,
        lambda lines: [line if "status:" in line else f"{line}  # note" for line in lines],
    ),
    "unquoted": lambda text: _values(
        text, lambda v: yaml.safe_dump(v, sort_keys=False, width=9999)
    ),
    "single_quotes": lambda text: _values(
        text, lambda v: yaml.safe_dump(v, default_style="'", sort_keys=False)
    ),
    "double_quotes": lambda text: _values(
        text, lambda v: yaml.safe_dump(v, default_style='"', sort_keys=False)
    ),
    "flow": lambda text: _values(
        text, lambda v: yaml.safe_dump(v, default_flow_style=True, width=9999)
    ),
    "json": lambda text: _values(text, _json),
    "lists": lambda text: _keys(
        text,
        lambda lines: [
            re.sub(r"^(status|reviewer|reason): (.*\S)$", r"\1:\n  - \2", line) for line in lines
        ],
    ),
    "flow_lists": lambda text: _keys(
        text,
        lambda lines: [
            re.sub(r"^(status|reviewer|reason): (.*\S)$", r"\1: [\2]", line) for line in lines
        ],
    ),
    "nulls": lambda text: text.replace('reviewer: ""', "reviewer:").replace(
        'reason: ""', "reason: null"
    ),
    "more_keys": lambda text: _keys(
        text,
        lambda lines: [*lines, "cssclasses: [wide]", "mine: 1.10", "date modified: 2026-11-21"],
    ),
    "trailing_spaces": lambda text: text.replace("---\n", "---  \n").replace(
        "^approve\n", "^approve  \n"
    ),
    "stars": lambda text: text.replace("- [", "* ["),
    "linted": lambda text: re.sub(r"\n{2,}", "\n", text),
    "spaced": lambda text: text.replace("\n## ", "\n\n\n## "),
    "no_tags": lambda text: _keys(
        text, lambda lines: [line for line in lines if not line.startswith("tags")]
    ),
    "reflowed_json": lambda text: text.replace(
        '{\n  "amount": 1500,\n  "to"', '{ "amount" : 1500 , "to"'
    ),
    "remarks": lambda text: text.replace(
        "## The agent says", "Remark.\n\n## My notes\n\n- [x] done\n\n## The agent says"
    ),
    "feedback": lambda text: with_feedback(text.encode(), "I read “yes”.").decode(),
}
ANSWERS = {
    "nothing": (lambda text: text, Folder.PENDING, None),
    "tick": (lambda text: tick(text, "approve"), Folder.PENDING, Answer.APPROVE),
    "tick_reject": (lambda text: tick(text, "reject"), Folder.PENDING, Answer.REJECT),
    "word": (lambda text: put(text, "status", "approved"), Folder.PENDING, Answer.APPROVE),
    "word_reject": (lambda text: put(text, "status", "rejected"), Folder.PENDING, Answer.REJECT),
    "moved": (lambda text: text, Folder.APPROVED, Answer.APPROVE),
    "edit": (lambda text: tick(change(text, "1500", "1200"), "edit"), Folder.PENDING, Answer.EDIT),
    "unclear": (lambda text: put(text, "status", "maybe"), Folder.PENDING, Unclear),
    "both": (lambda text: tick(tick(text, "approve"), "reject"), Folder.PENDING, Unclear),
}


@pytest.mark.parametrize("answer", sorted(ANSWERS))
@pytest.mark.parametrize("form", sorted(REWRITTEN))
def test_a_rewritten_note_says_the_same(form, answer):
    """A note in any form editors, linters and sync tools give it answers as the clean form does."""
    gesture, folder, wanted = ANSWERS[answer]
    text = REWRITTEN[form](gesture(TEXT))
    for also in {"clean", "crlf", "bom"} - {form}:
        reading = CASE.read(REWRITTEN[also](text), folder)
        if wanted is None:
            assert reading == Untouched()
        elif wanted is Unclear:
            assert isinstance(reading, Unclear)
        else:
            assert reading.answer is wanted
            assert (reading.reviewer, reading.reason) == ("", "")
            assert reading.details == (
                DETAILS | {"amount": 1200} if wanted is Answer.EDIT else None
            )


def test_the_matrix_is_large_enough():
    """At least two hundred forms and answers are tried."""
    assert len(REWRITTEN) * len(ANSWERS) >= 200


@pytest.mark.parametrize(
    ("spoil", "part"),
    [
        (lambda text: put(text, "payload_sha256", f'"{"0" * 64}"'), "payload_sha256"),
        (lambda text: put(text, "payload_sha256", ""), "payload_sha256"),
        (lambda text: text.replace('"amount": 1500', '"amount": 15', 1), "What will run"),
        (lambda text: text.replace('"amount": 1500,\n', "", 1), "What will run"),
        (lambda text: text.replace("```json", "```text", 1), "What will run"),
        (lambda text: text.replace("## What will run", "## What"), "What will run"),
        (
            lambda text: text.replace("In short", "%% In short").replace("## Why", "%%\n\n## Why"),
            "What will run",
        ),
        (
            lambda text: text.replace("In short", "<!-- In short").replace(
                "## Why", "-->\n\n## Why"
            ),
            "What will run",
        ),
        (lambda text: text.replace("## Why", "```json\n{}\n```\n\n## Why"), "What will run"),
        (
            lambda text: text.replace('"amount": 1500', '"amount": 1, "amount": 1500', 1),
            "What will run",
        ),
    ],
)
def test_a_note_that_shows_something_else_decides_nothing(spoil, part):
    """An answer counts only for exactly what will run; without an answer nothing is asked back."""
    text = spoil(TEXT)
    assert CASE.read(text) == Untouched()
    for gesture, folder, wanted in ANSWERS.values():
        if wanted not in (None, Unclear):
            try:
                reading = CASE.read(spoil(gesture(TEXT)), folder)
            except (AssertionError, StopIteration):
                continue
            assert isinstance(reading, Unclear)
            assert part in reading.sentence
            assert "not what would run" in reading.sentence


def edited(old: str, new: str):
    return CASE.read(tick(change(TEXT, old, new), "edit"))


def test_changes_are_read_from_their_block():
    """The ticked box for changes answers with the changed details."""
    reading = edited("1500", "1200")
    assert reading.answer is Answer.EDIT
    assert reading.details == DETAILS | {"amount": 1200}
    assert edited("vendor@example.com", "é <b> :: ok").details["to"] == "é <b> :: ok"


def test_changes_agree_with_an_approving_word_or_folder():
    """A word or folder says approve, the box says how; a reject contradicts it."""
    text = tick(change(TEXT, "1500", "1200"), "edit")
    assert CASE.read(put(text, "status", "approved")).answer is Answer.EDIT
    assert CASE.read(text, Folder.APPROVED).answer is Answer.EDIT
    assert isinstance(CASE.read(put(text, "status", "rejected")), Unclear)


@pytest.mark.parametrize(
    ("old", "new", "part"),
    [
        ("1500", "1500", "Nothing was changed"),
        ("1500", "1500.0", "Nothing was changed"),
        ("1500", "“1200”", "not JSON"),
        ("1500", "1,200", "not JSON"),
        ("1500", '"1200"', "cannot become"),
        ("1500", '1200, "more": 1', "new"),
        ('"amount": 1500,\n', "", "missing"),
        ("1500", '12, "amount": 12', "twice"),
        ("1500", "NaN", "not a number"),
        ("1500", "1e999", "not a number"),
        ("1500", "99999999999999999999", "2^53"),
        ("```json", "```", "one JSON block"),
    ],
)
def test_changes_that_cannot_be_used_ask_back(old, new, part):
    """A change of shape, broken JSON or no change at all is asked about."""
    reading = edited(old, new)
    assert isinstance(reading, Unclear)
    assert part in reading.sentence


def test_an_approval_beside_changes_asks_back():
    """Changed details with the plain box ticked may mean either, so they mean nothing."""
    text = change(TEXT, "1500", "1200")
    assert CASE.read(text) == Untouched()
    for reading in (CASE.read(tick(text, "approve")), CASE.read(text, Folder.APPROVED)):
        assert "tick Approve with the changes" in reading.sentence
    assert CASE.read(tick(text, "reject")).answer is Answer.REJECT


def test_changes_a_rule_does_not_allow_ask_back():
    """A box for changes that somebody added is no box of ours."""
    case = CASES["plain"]
    added = "- [x] Approve with the changes below ^edit"
    text = case.text.replace("- [ ] Reject", f"{added}\n- [ ] Reject")
    assert "does not allow changes" in case.read(text).sentence


def test_two_names_are_one_too_many():
    """One note takes one answer at a time."""
    text = put(put(TEXT, "status", "approved"), "reviewer", "[alice, bob]")
    assert "more than one name" in CASE.read(text).sentence
    assert CASE.read(put(TEXT, "reviewer", "[alice, bob]")) == Untouched()


def test_a_reason_may_stand_with_the_rejecting_word():
    """The reason typed after the word is kept, unless the property has one."""
    text = put(TEXT, "status", "'rejected, too expensive'")
    assert CASE.read(text).reason == "too expensive"
    assert CASE.read(put(text, "reason", "other")).reason == "other"


@pytest.mark.parametrize("name", sorted(CASES))
def test_our_own_words_are_no_answers(name):
    """A note the engine brought up to date is untouched, in every state."""
    assert CASES[name].read(CASES[name].text, Folder.DONE) == Untouched()


def test_a_note_behind_the_ledger_is_no_answer():
    """An earlier word of ours in a note that was not brought up to date is not asked about."""
    for word in ("approved", "executing", "unknown", "pending"):
        reading = CASES["executed"].read(put(TEXT, "status", word))
        assert not isinstance(reading, Unclear)
    assert isinstance(CASES["executed"].read(put(TEXT, "status", "maybe")), Unclear)


def test_the_same_answer_again_is_read_as_that():
    """A tick that stays in a decided note is the answer that was given."""
    case = CASES["approved"]
    assert case.request.status is Status.APPROVED
    assert case.read(tick(case.text, "approve")).answer is Answer.APPROVE


def test_sentences_can_stand_in_the_note():
    """Every sentence, put into the note as feedback, shows what it says and changes nothing."""
    for value in ("<%x%>", "[[a]]", "a::b", "%% x %%", "x\u202ey"):
        reading = status(f"'{value}'") if "%" not in value else status(f'"{value}"')
        assert isinstance(reading, Unclear)
        said = with_feedback(TEXT.encode(), reading.sentence)
        assert CASE.read(said) == Untouched()
        assert said.decode().count("%%") == 4


def test_the_action_block_may_be_laid_out_otherwise():
    """Only the JSON value counts, not its white space or order."""
    other = dict(reversed(DETAILS.items()))
    text = TEXT.replace(action_json(DETAILS), action_json(other), 1)
    assert CASE.read(tick(text, "approve")).answer is Answer.APPROVE
    assert ID in text


@pytest.mark.parametrize(
    "line",
    [
        "- [x] Approve ^approve ok thanks",
        "- [x] Approve ^approve NOT",
        "- [ ] Approve ^approve yes",
        "- [x] Approve ^approve, Alice",
    ],
)
def test_words_behind_a_boxs_mark_are_unclear(line):
    """Words behind the mark may be thanks or a condition: it waits, and says where words go."""
    reading = CASE.read(TEXT.replace("- [ ] Approve ^approve", line))
    assert isinstance(reading, Unclear)
    assert line in reading.sentence
    assert "property reason" in reading.sentence


@pytest.mark.parametrize("ticked", [True, False])
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("- [ ] Approve ^approve", "```\n- [ ] Approve ^approve"),
        ("## Decide", "~~~\n## Decide"),
        ("## Decide", "```text\n## Decide"),
    ],
)
def test_boxes_in_a_code_block_are_told_of(old, new, ticked):
    """A code block opened above the boxes hides them; nobody is left wondering why."""
    text = ask(answers=tuple(Answer)).text.replace("### Changes", "~~~\n```\n### Changes")
    text = text.replace(old, new) if new[0] == "~" else text.replace("~~~\n", "").replace(old, new)
    if ticked:
        text = tick(text, "approve")
    reading = ask(answers=tuple(Answer)).read(text)
    assert isinstance(reading, Unclear)
    assert "code block" in reading.sentence


def test_a_box_shown_as_an_example_in_code_changes_nothing():
    """Code is never read while the real boxes stand where they belong."""
    text = TEXT.replace("## Decide\n", "## Decide\n\n```\n- [x] Reject ^reject\n```\n")
    assert CASE.read(text) == Untouched()
    assert CASE.read(tick(text, "approve")).answer is Answer.APPROVE
