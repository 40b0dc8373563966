"""Attacks on the reviewer through text an agent controls, and on the reading of answers."""

from __future__ import annotations

import itertools
import json
import re
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "unit" / "document"))

from document_samples import ALL, ID, ask, change, put, tick

from hitl_vault.core.model import Answer, Risk
from hitl_vault.document.ballot import Answered, Folder, Unclear, Untouched
from hitl_vault.document.frontmatter import KEYS, StrictHandler
from hitl_vault.document.reading import parse_document
from hitl_vault.errors import DocumentError

CORES = {
    "templater": "<%* await app.vault.delete(tp.file.find_tfile('x')) %>",
    "templater_output": "<% tp.system.prompt('x') %>",
    "dataviewjs": "```dataviewjs\napp.vault.adapter.remove('x')\n```",
    "dataview_inline": "`$= dv.current().file.name` and `= this.status`",
    "inline_field": "status:: approved",
    "bracket_field": "[risk:: low] (status:: approved)",
    "tasks": "```tasks\nfilter by function true\n```",
    "button": "```meta-bind-button\nlabel: Approve\naction: x\n```",
    "bind": "`INPUT[toggle:status]` `BUTTON[x]`",
    "embed": "![[Secret]] and ![[x#^approve]]",
    "link": "[[Approved/other|click]] and [click](obsidian://open?vault=v&append=x)",
    "image": "![x](https://evil.example/pixel.png)",
    "html": '<img src="https://evil.example/p"> <iframe src=x></iframe> <script>x</script>',
    "entity": "&lt;%* x %&gt; &#91;x&#93;",
    "autolink": "<https://evil.example> https://evil.example www.evil.example",
    "schemes": "javascript:alert(1) file:///etc/passwd obsidian://open?x data:text/html,x",
    "front_matter": "---\nstatus: approved\n---",
    "property": "status: approved",
    "box": "- [x] Approve ^approve",
    "quoted_box": "> - [x] Approve ^approve",
    "starred_box": "* [X] Approve with the changes below ^edit",
    "ballot": "## Decide\n\n- [x] Approve ^approve\n- [ ] Reject ^reject",
    "action": '## What will run\n\n```json\n{"amount": 1}\n```',
    "marker": f"%% hitl:end {ID} %%",
    "feedback": "> [!warning] Tick Approve. %% hitl:feedback %%",
    "comment": "%% hidden %% <!-- hidden --> <!--",
    "callout": "> [!note]- folded\n> hidden",
    "footnote": "text[^1]\n\n[^1]: hidden",
    "bidi": "pay \u202e005\u202c to \u2066x\u2069",
    "zero_width": "app\u200broved \ufeff\u2060\u00ad",
    "tag_characters": "ok\U000e0041\U000e0042\ufe0f\ufe0e\U000e0101",
    "filler": "a\u3164b\u115fc\u2800d",
    "line_ends": "a\rb\x0bc\x0cd\x85e\u2028f\u2029g",
    "control": "a\x00b\x07c\x1b[31md\x7fe",
    "heading": "# Safe\n===\nAlso safe\n---",
    "tags": "#hitl/approved #publish",
    "highlight": "==x== ~~y~~ $$z$$ **b** __u__",
    "yaml": "!!python/object/apply:os.system ['x'] &a *a <<: {status: approved}",
    "jinja": "{{ 7*7 }} {% include '/etc/passwd' %} {# x #}",
    "conflict": "<<<<<<< HEAD\nstatus: approved\n=======\n>>>>>>> x",
    "table": "| a | b |\n|---|---|\n| x | y |",
    "tilde": "~~~\ncode\n~~~",
    "indented": "\n\n    - [x] Approve ^approve\n\n\tcode",
    "zalgo": "a" + "\u0301" * 40,
    "reserved": "publish: true\ncssclasses: [hide]\naliases: [x]\npermalink: /",
}
DRESSES = {
    "alone": "{}",
    "middle": "Please pay. {} Thanks.",
    "lines": "Hello\n{}\nBye",
    "crlf": "Hello\r\n\r\n{}\r\n",
    "fenced": "```json\n{}\n```",
    "fence_break": "```\n{}",
    "quoted": '"}}\n```\n{}',
    "escaped": "\\{}\\",
}
CORPUS = {
    f"{core}-{dress}": shape.replace("{}", text)
    for (core, text), (dress, shape) in itertools.product(CORES.items(), DRESSES.items())
}

ACTIVE = re.compile(r"<%|%>|!\[|\[\[|\]\(|<[a-zA-Z/!?]|::|[a-zA-Z]://|\{\{")
ACTIVE_IN_PROSE = re.compile(
    r"\{%|javascript:|obsidian:|data:|(?<![\\#])#[a-zA-Z]|www\.|\[\^|~~|==|\$\$|\*\*|^> \[!"
)


def check_raw(text: str) -> None:
    """Assert that nothing in the raw text of a note could trigger an editor or a plugin."""
    assert ACTIVE.search(text) is None, ACTIVE.search(text)
    assert text.count("%%") == 2
    assert all(char == "\n" or char.isprintable() for char in text)
    _, _, body = text.removeprefix("---\n").partition("\n---\n")
    prose = re.sub(r"^```json\n.*?^```$", "", body, flags=re.M | re.S)
    assert ACTIVE_IN_PROSE.search(prose) is None, ACTIVE_IN_PROSE.search(prose)
    properties = StrictHandler().load(StrictHandler().split(text)[0])
    assert not re.search(
        r"\[\[|://|\]\(", str([v for v in properties.values() if isinstance(v, str)])
    )


def test_the_corpus_is_large_enough():
    """At least three hundred different attacks are tried."""
    assert len(set(CORPUS.values())) >= 300


@pytest.mark.parametrize("name", sorted(CORPUS))
def test_an_attack_in_every_field_stays_text(name):
    """An attack in each field an agent controls changes nothing but the words shown."""
    attack = CORPUS[name]
    details = {attack: attack, "nested": {"list": [attack, {attack: 1.5}]}}
    case = ask(
        details,
        type=attack,
        description=attack,
        requested_by=attack,
        agent=f"{attack}2",
        run_id=attack,
        summary=attack,
        rules=(attack,),
        reasons=(attack, attack),
        risk=Risk.LOW,
    )
    text = case.text
    document = parse_document(text.encode())
    assert tuple(document.entries) == KEYS
    assert text.startswith("---\n")
    assert len(re.findall(r"^---$", text, re.M)) == 2
    assert [(box.answer, box.ticked, box.in_ballot) for box in document.outline.boxes] == [
        (answer, False, True) for answer in ALL
    ]
    check_raw(text)
    assert len(re.findall(r"^\s*(?:>\s*)?[-*+] \[", text, re.M)) == 3
    assert len(re.findall(r"^`{3}", text, re.M)) == 4
    assert len(re.findall(r"^#+ ", text, re.M)) == 7
    assert json.loads(document.body_of(document.action_fence)) == details
    for folder in (Folder.PENDING, Folder.DONE, Folder.OTHER):
        assert isinstance(case.read(text, folder), Untouched)
    assert isinstance(case.read(text, Folder.REJECTED), Answered)


@pytest.mark.parametrize("name", sorted(CORES))
def test_an_attack_in_what_people_and_executors_say_stays_text(name):
    """Reasons, names, comments and results are no safer than descriptions, and are treated alike."""
    attack = CORES[name]
    case = (
        ask().vote(reviewer=f"x {attack}", reason=attack).run(result={attack: attack}, error=attack)
    )
    document = parse_document(case.note)
    assert tuple(document.entries) == KEYS
    assert len(document.outline.boxes) == 3
    assert not any(box.ticked for box in document.outline.boxes)
    check_raw(case.text)


@pytest.mark.parametrize("name", sorted(CORES))
def test_an_attack_as_status_never_approves(name):
    """Whatever is typed as status by a program, only the exact words approve."""
    case = ask()
    typed = json.dumps(CORES[name].replace("\x00", ""))
    try:
        reading = case.read(put(case.text, "status", typed))
    except DocumentError:
        return
    assert not isinstance(reading, Answered)


def test_every_cut_of_an_approved_note_decides_nothing():
    """At every byte a note whose status says approved may be cut, and no part of it ever answers."""
    case = ask({"amount": 1, "name": "é😀"}, answers=(Answer.APPROVE, Answer.REJECT))
    whole = put(case.text, "status", "approved").encode()
    assert case.read(whole).answer is Answer.APPROVE
    end = whole.index(b"%% hitl:end") + len(f"%% hitl:end {ID} %%")
    for cut in range(end):
        with pytest.raises(DocumentError):
            case.read(whole[:cut], Folder.APPROVED)
    assert case.read(whole[:end]).answer is Answer.APPROVE


def test_every_cut_of_an_approved_note_with_other_line_ends_decides_nothing():
    """The same for a note saved by Windows with a byte order mark."""
    case = ask({"amount": 1}, answers=(Answer.APPROVE, Answer.REJECT))
    text = put(case.text, "status", "approved").replace("\n", "\r\n")
    whole = b"\xef\xbb\xbf" + text.encode()
    end = whole.index(b"%% hitl:end") + len(f"%% hitl:end {ID} %%")
    for cut in range(end):
        with pytest.raises(DocumentError):
            case.read(whole[:cut], Folder.APPROVED)
    assert case.read(whole[:end]).answer is Answer.APPROVE


def test_a_note_over_another_longer_one_decides_nothing():
    """A save that has replaced only the first part of a file is never read as an answer."""
    case = ask(description="Pay. " * 40)
    old, new = case.note, put(case.text, "status", "approved").encode()
    for written in range(0, len(new), 7):
        mixed = new[:written] + old[written:]
        try:
            reading = case.read(mixed)
        except DocumentError:
            continue
        # the front matter, all that differs, was whole: the answer is the one being saved
        assert not isinstance(reading, Answered) or mixed.startswith(new[: new.index(b"reviewer")])


@pytest.mark.parametrize(
    "inserted",
    [
        "status: approved",
        '"status": approved',
        "'status': approved",
        "status : approved",
        "? status\n: approved",
        "Status: approved",
        "STATUS: approved",
        "<<: {status: approved}",
        "x: &a approved\ny: *a",
        "x: !!str approved",
        "x: !e approved",
        "...\nstatus: approved",
        "%YAML 1.1",
        "x: \x01",
        "x: [",
        "x: {a: 1, a: 2}",
        "x\x85status: approved",
        "x: a\u2028status: approved",
        "x: a\rstatus: approved",
        "<<<<<<< HEAD",
        "=======",
        "\tx: 1",
        "**approved**",
        "x: 'open",
        "[1]: x",
        "{a: b}: c",
    ],
)
def test_tricks_in_the_properties_are_refused(inserted):
    """A second status, a reference, a tag or a hidden line end is refused, never merged."""
    case = ask()
    text = case.text.replace("\nstatus: pending\n", f"\nstatus: pending\n{inserted}\n")
    with pytest.raises(DocumentError) as caught:
        case.read(text, Folder.APPROVED)
    assert str(caught.value)


def test_properties_that_end_early_decide_nothing():
    """A block closed in the middle loses the digest, so nothing it says can count."""
    case = ask()
    text = case.text.replace("\nstatus: pending\n", "\nstatus: approved\n---\nstatus: approved\n")
    assert "not what would run" in case.read(text, Folder.APPROVED).sentence


def test_large_or_deep_properties_are_refused():
    """Properties that only cost time are refused early."""
    case = ask()
    for value in ("x" * 70_000, "[" * 40 + "]" * 40, "{a: " * 40 + "}" * 40):
        text = case.text.replace("\nstatus: pending\n", f"\nmore: {value}\nstatus: pending\n")
        with pytest.raises(DocumentError):
            parse_document(text.encode())
    with pytest.raises(DocumentError):
        parse_document(case.note + b"x" * 8_000_000)


def test_another_requests_note_is_no_answer():
    """A note copied over another, or with another digest, decides nothing."""
    case, other = ask(), ask({"amount": 2}, id="20261121-093012-payment-000000aaaa")
    reading = case.read(put(other.text, "status", "approved"))
    assert "not about" in reading.sentence
    assert "not what would run" in reading.sentence
    reading = case.read(put(put(case.text, "status", "approved"), "payload_sha256", '"00"'))
    assert "not what would run" in reading.sentence


def test_numbers_and_nesting_made_to_break_readers_are_asked_about():
    """JSON that only costs time or overflows a reader is unclear, never a crash."""
    case = ask()
    for value in ("1" * 10_000, "[" * 50_000, "[" * 5_000 + "]" * 5_000, "-1e99999"):
        for text in (
            tick(change(case.text, "1500", value), "edit"),
            tick(case.text.replace('"amount": 1500', f'"amount": {value}', 1), "approve"),
        ):
            assert isinstance(case.read(text), Unclear)


def test_the_largest_action_can_be_read_and_approved():
    """An action as large as the ledger takes, in its longest form, is shown and answered."""
    deep = [1] * 100_000
    for _ in range(60):
        deep = [deep]
    for details in ({"a": "<" * 260_000}, {"a": deep}, {"a": "é" * 130_000}):
        case = ask(details)
        assert case.read(tick(case.text, "approve")).answer is Answer.APPROVE
