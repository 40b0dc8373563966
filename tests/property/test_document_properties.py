"""What holds for every text an agent may send and every note a person may leave."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

sys.path.append(str(Path(__file__).parents[1] / "unit" / "document"))

from document_samples import ALL, CASES, CHECKED, DETAILS, ID, RENDERER, ask, put, tick

from hitl_vault.core import commands as c
from hitl_vault.core.model import Answer, Escalation, Stage, Status
from hitl_vault.document.ballot import Folder, Untouched
from hitl_vault.document.frontmatter import KEYS, StrictHandler, quoted
from hitl_vault.document.inert import action_json, inert, inert_line
from hitl_vault.document.patch import updated, with_feedback
from hitl_vault.document.reading import parse_document
from hitl_vault.document.words import APPROVE_WORDS, clean, read_status
from hitl_vault.errors import DocumentError

few = settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)
pieces = st.sampled_from(
    [
        "<%",
        "%>",
        "[[",
        "]]",
        "![",
        "](",
        "::",
        "%%",
        "```",
        "~~~",
        "---",
        "\n",
        "\r\n",
        "\r",
        "- [x] Approve ^approve",
        "## Decide",
        "status: approved",
        "`$=",
        "<img src=x>",
        "&lt;",
        "https://",
        "\u202e",
        "\u200b",
        "\ufeff",
        "\u2028",
        "\x85",
        "\x00",
        "😀",
        "{{",
        "}}",
        "\\",
        "%% hitl:end x %%",
        "> [!warning]",
        "#tag",
        "==",
        "$$",
        "|",
        "1. ",
        "- ",
        "\t",
        '"',
        "'",
        "obsidian://open?x",
        "javascript:x",
        "www.x.y",
        "^approve",
        "é",
    ]
)
texts = st.lists(st.one_of(pieces, st.text(max_size=12)), max_size=12).map("".join)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(texts, json_values, max_size=4)

FORBIDDEN = re.compile(r"<%|%>|!\[|\[\[|\]\(|<[a-zA-Z/!?]|::|[a-zA-Z]://|\{\{")


def is_shown(text: str) -> bool:
    return all(char == "\n" or char.isprintable() for char in text)


def check_inert(text: str) -> None:
    assert FORBIDDEN.search(text) is None, text
    assert "%%" not in text
    assert "`" not in text
    assert is_shown(text), ascii(text)
    for line in text.split("\n"):
        assert not re.match(r"\s*([-+*=#>]|\d+[.)]|`{3}|~{3}| {4})", line), line
        assert not re.search(r"(^|\s)\^[a-z]", line)
        assert line == line.strip()


@given(texts | st.text())
@few
def test_prose_is_inert(text):
    """Whatever an agent writes, its prose cannot become anything but text."""
    check_inert(inert(text))
    check_inert(inert(text, limit=5))
    line = inert_line(text)
    check_inert(line)
    assert "\n" not in line


@given(objects)
@few
def test_json_gives_back_the_details(details):
    """The JSON shown is ASCII, triggers nothing, and decodes to exactly the input."""
    shown = action_json(details)
    assert json.loads(shown) == details
    assert shown.isascii()
    assert is_shown(shown)
    assert re.search(r"<|>|&|`|!\[|\[\[|\]\(|::|%%|\{\{", shown) is None


@given(st.text(), st.booleans())
@few
def test_quoted_values_survive_yaml(text, names):
    """A quoted property is read back as the same text by our reader."""
    text = text.encode("utf-8", "ignore").decode()
    line = f"k: {quoted(text, names=names)}"
    assert line.isprintable()
    assert StrictHandler().load(line) == {"k": text}


@given(texts, texts, texts, objects, texts, texts)
@few
def test_a_note_is_a_note_whatever_the_agent_sends(type, description, by, details, run, reason):
    """Exactly our properties, our boxes, our end; the note answers nothing; the JSON is exact."""
    type, by = type.encode("utf-8", "ignore").decode(), by.encode("utf-8", "ignore").decode()
    run = run.encode("utf-8", "ignore").decode()
    details = json.loads(json.dumps(details).encode("utf-8", "ignore"))
    case = ask(
        details,
        type=type,
        description=description,
        requested_by=by,
        run_id=run,
        agent=run,
        reasons=(reason,),
        rules=(reason,),
        summary=reason,
    )
    text = CHECKED.render(case.request, case.history)
    assert text == case.text
    document = parse_document(text.encode())
    assert tuple(document.entries) == KEYS
    assert [box.answer for box in document.outline.boxes] == list(ALL)
    assert isinstance(case.read(text), Untouched)
    assert json.loads(document.body_of(document.action_fence)) == details
    assert is_shown(text)
    assert FORBIDDEN.search(text) is None
    assert text.count("%%") == 2
    assert len(re.findall(r"^ {0,3}[-*+] \[", text, re.M)) == 3
    assert [line for line in text.split("\n") if line.startswith("#")][1:] == [
        "## What will run",
        "## Why you are asked",
        "## Decide",
        "### Changes",
        "## The agent says",
        "## Audit",
    ]


REQUIREMENTS = [
    {},
    {"answers": (Answer.APPROVE, Answer.REJECT)},
    {"stages": (Stage(approvers=("alice", "bob"), quorum=2),)},
    {"stages": (Stage(approvers=("alice",)), Stage(approvers=("bob",)))},
    {"escalate": (Escalation(after_s=1, to=("carol",)),), "stages": (Stage(approvers=("alice",)),)},
]


@st.composite
def journeys(draw):
    """A request and the states it goes through, however far it gets."""
    case = ask(
        draw(
            st.just(DETAILS)
            | objects.map(lambda o: json.loads(json.dumps(o).encode("utf-8", "ignore")))
        ),
        description=draw(texts),
        summary=draw(st.just("") | texts),
        **draw(st.sampled_from(REQUIREMENTS)),
    )
    cases = [case]
    steps = draw(st.lists(st.sampled_from("verxcm"), max_size=4))
    for step in [*steps, draw(st.sampled_from("afukq"))]:
        after = _after(case, step)
        if after is not None:
            cases.append(after)
            case = after
    return cases


def _after(case, step):
    request = case.request
    try:
        match step:
            case "v":
                return case.vote(reviewer="alice", reason="because ::")
            case "a":
                return case.vote(reviewer="bob")
            case "r":
                return case.vote(Answer.REJECT, "bob", reason="no\nway")
            case "e" if request.details:
                key = next(iter(request.details))
                return case.edit(request.details | {key: None})
            case "x":
                return case.then(c.Escalate(id=ID, number=0))
            case "m":
                return case.then(c.Comment(id=ID, comment_id="1", author="bob", text="hm %%"))
            case "c":
                return case.then(c.Cancel(id=ID, by="me", reason="[[x]]"))
            case "f":
                return case.run(Status.FAILED, error="oh ``` no")
            case "u":
                return case.run(Status.UNKNOWN)
            case "k":
                return case.run(result={"ok": "::"})
    except AssertionError:
        return None
    return None


@given(journeys(), st.booleans(), st.booleans())
@few
def test_patching_and_rendering_agree(cases, crlf, bom):
    """An unedited note, brought up to date step by step or at once, is the note rendered afresh."""

    def dressed(text: str) -> bytes:
        data = text.replace("\n", "\r\n") if crlf else text
        return (b"\xef\xbb\xbf" if bom else b"") + data.encode()

    note = first = dressed(cases[0].text)
    for case in cases:
        wanted = dressed(case.text)
        note = updated(note, case.request, case.history, RENDERER)
        assert note == wanted
        assert updated(first, case.request, case.history, RENDERER) == wanted
        assert updated(wanted, case.request, case.history, RENDERER) == wanted


REMARK = "A remark by a person, with é and “quotes” and - [ ] a box of their own"


@pytest.mark.parametrize("name", sorted(CASES))
@given(st.data())
@settings(max_examples=12, deadline=None, derandomize=True)
def test_bytes_of_people_survive(name, data):
    """Remarks between our sections, comments and extra properties stay through every patch."""
    case = CASES[name]
    lines = ask(answers=case.request.requirement.answers, **_like(case)).text.split("\n")
    spots = [i for i, line in enumerate(lines) if line.startswith("## ")]
    at = data.draw(st.sampled_from(spots))
    lines[at:at] = [REMARK, ""]
    lines[3:3] = ["# a comment", "mine: [1, 'two'] # kept"]
    text = "\n".join(lines) + "\nBelow the end.\n"
    after = updated(text.encode(), case.request, case.history, RENDERER)
    assert updated(after, case.request, case.history, RENDERER) == after
    shown = after.decode()
    assert shown.count(REMARK) == 1
    assert "# a comment\nmine: [1, 'two'] # kept\n" in shown
    assert shown.endswith("\nBelow the end.\n")
    assert shown.replace(f"{REMARK}\n\n", "").replace(
        "# a comment\nmine: [1, 'two'] # kept\n", ""
    ) == (case.text + "\nBelow the end.\n")


def _like(case):
    request = case.request
    need = request.requirement
    return {
        "summary": request.verdict.summary,
        "run_id": request.action.run_id,
        "stages": need.stages,
        "assurance": need.assurance,
    }


@given(st.binary(max_size=300) | texts.map(lambda t: t.encode("utf-8", "ignore")), texts, texts)
@few
def test_feedback_is_one_line_on_any_bytes(data, one, two):
    """Feedback can be put on anything, replaced, and said twice without another write."""
    said = with_feedback(data, f"a{one}")
    assert with_feedback(said, f"a{one}") == said
    assert with_feedback(with_feedback(data, f"b{two}"), f"a{one}") == said or data.count(
        b"feedback"
    )


@given(texts)
@few
def test_feedback_never_answers(sentence):
    """A note with any feedback line reads as it did, and without it is the same bytes again."""
    case = CASES["pending"]
    said = with_feedback(case.note, sentence or "x")
    assert isinstance(case.read(said), Untouched)
    assert with_feedback(said, "") == case.note
    ticked = with_feedback(tick(case.text, "reject").encode(), sentence or "x")
    assert case.read(ticked).answer is Answer.REJECT


@given(texts | st.text())
@few
@example("approved\u200b")
def test_only_exact_words_approve(text):
    """A status approves only if nothing but a word of the table is left of it."""
    said = read_status(text)
    if said is not None and said.answer is Answer.APPROVE:
        assert said.word in APPROVE_WORDS
        assert len(re.findall(r"\w+", text)) == 1


@given(texts)
@few
def test_typed_names_are_cleaned(text):
    """What a person types as name or reason is recorded without anything that does not show."""
    assert clean(text, limit=50).isprintable()
    assert len(clean(text, limit=50)) <= 50


@given(st.integers(0, 10_000), st.sampled_from(sorted(Folder)))
@few
def test_no_prefix_of_a_note_answers(cut, folder):
    """A note cut anywhere before its end marker is never read."""
    case = CASES["pending"]
    whole = tick(put(case.text, "status", "approved"), "approve").encode()
    end = whole.index(b"%% hitl:end") + len(f"%% hitl:end {ID} %%")
    torn = whole[: cut % end]
    with pytest.raises(DocumentError):
        case.read(torn, folder)
