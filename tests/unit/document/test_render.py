"""Notes written, and custom templates kept honest."""

from __future__ import annotations

import hashlib
import time

import pytest
import yaml
from document_samples import ALL, CASES, CHECKED, RENDERER, SOURCE, ask

from hitl_vault.core.model import Answer, Status
from hitl_vault.document import render
from hitl_vault.document.frontmatter import KEYS
from hitl_vault.document.reading import parse_document
from hitl_vault.document.render import BUILT_IN_SHA256, TEMPLATE, Renderer
from hitl_vault.errors import DocumentError

CASE = ask()


def test_the_built_in_template_is_the_one_that_was_checked():
    """The digest that spares our template its check is that of the template in the repository."""
    assert hashlib.sha256(SOURCE.encode()).hexdigest() == BUILT_IN_SHA256


@pytest.mark.parametrize("name", sorted(CASES))
def test_the_built_in_template_passes_the_check_in_every_state(name):
    """Our template, read back as a custom one is, makes the same note in every state."""
    case = CASES[name]
    assert CHECKED.render(case.request, case.history) == case.text
    assert CHECKED.render(case.request) == RENDERER.render(case.request)


def test_the_order_puts_the_action_first_and_the_agents_words_last():
    """What will run stands above the ballot, and the agent's own words below it."""
    headings = [line for line in CASE.text.split("\n") if line.startswith("#")]
    assert headings == [
        "# Payment: 1500 USD to vendor@example.com",
        "## What will run",
        "## Why you are asked",
        "## Decide",
        "### Changes",
        "## The agent says",
        "## Audit",
    ]
    assert CASE.text.endswith(f"\n\n%% hitl:end {CASE.request.id} %%\n")


def test_the_properties_are_ours_in_our_order():
    """The properties are exactly those of the format, and texts to every YAML reader."""
    block = CASE.text.split("---\n")[1]
    values = yaml.safe_load(block)
    assert tuple(values) == KEYS
    assert values["tags"] == ["hitl/pending"]
    assert values["created"] == "2026-11-21T09:30:12Z"
    assert values["expires"] == "2026-11-21T10:30:12Z"
    assert "\nstatus: pending\n" in block
    assert '\nreviewer: ""\nreason: ""\n' in block


@pytest.mark.parametrize("answers", [ALL, ALL[:2], ALL[:1], ALL[1:2], (Answer.EDIT,)])
def test_there_is_a_box_for_each_allowed_answer(answers):
    """Only what the rule allows is offered, and the block for changes only with its box."""
    case = ask(answers=answers)
    text = CHECKED.render(case.request, case.history)
    boxes = parse_document(text.encode()).outline.boxes
    assert tuple(box.answer for box in boxes) == answers
    assert ("### Changes" in text) is (Answer.EDIT in answers)


def test_the_result_stands_in_a_note_that_ran():
    """How it ended is shown, as inert JSON."""
    text = CASES["executed"].text
    assert "## Result\n\nOutcome: executed, 2026-11-21 09:33:12 UTC, reported by worker\n" in text
    assert '"ref": "\\u003c%x%\\u003e"' in text
    assert "## Result" not in CASES["approved"].text
    assert "hitl resolve" in CASES["unknown"].text
    assert "no \\u0060[\\u005bx]]\\u0060" in CASES["failed"].text
    assert "```" not in ask().vote().run().text.split("## Result")[1]


def test_a_long_result_is_cut_and_says_so():
    """A result does not make the note unreadable."""
    text = ask().vote().run(result="x" * 50_000).text
    assert "(cut: 20,000 of 50," in text
    assert len(text) < 25_000
    parse_document(text.encode())


def test_the_decided_note_names_who_and_why():
    """Reviewer and reason stand in the properties once it is decided."""
    text = CASES["rejected"].text
    assert '\nstatus: rejected\nreviewer: "alice"\nreason: "too expensive: ' in text
    assert "tags: [hitl/rejected]" in text
    assert 'reviewer: ""' in ask().vote(reviewer="unnamed").text
    assert '\nreviewer: "Zoë Müller"' in ask().vote(reviewer="Zoë Müller").text


def test_rendering_is_deterministic():
    """The same request makes the same note, in another renderer too."""
    assert Renderer({TEMPLATE: SOURCE}).render(CASE.request, CASE.history) == CASE.text


BROKEN = {
    "front_matter first": "{{ title }}\n" + SOURCE,
    "own property": SOURCE.replace("{{ front_matter }}", "---\nid: x\n---"),
    "changed property": SOURCE.replace("{{ front_matter }}", "{{ front_matter }}x"),
    "no end": SOURCE.replace("{{ end_marker }}", ""),
    "text after the end": SOURCE + "bye\n",
    "marker twice": SOURCE + "{{ end_marker }}\n",
    "ticked": SOURCE.replace(
        "{{ line }}\n{% endfor %}\n\n{% if how", "- [x] Approve ^approve\n{% endfor %}\n\n{% if how"
    ),
    "a box too many": SOURCE.replace("{{ how }}", "- [x] Approve"),
    "no boxes": SOURCE.replace("for line in boxes", "for line in []"),
    "boxes elsewhere": SOURCE.replace("## Decide", "## Ballot"),
    "no action": SOURCE.replace("{{ action }}", ""),
    "other action": SOURCE.replace("{{ action }}", '```json\n{"amount": 1}\n```'),
    "two actions": SOURCE.replace("{{ action }}", "{{ action }}\n{{ action }}"),
    "no changes": SOURCE.replace("{{ changes }}", ""),
    "open fence": SOURCE.replace("## Audit", "```\n## Audit"),
    "heading twice": SOURCE.replace("## The agent says", "## Decide"),
    "templater": SOURCE.replace("{{ how }}", "{{ how }} <% x %>"),
    "unknown name": SOURCE.replace("{{ how }}", "{{ howw }}"),
    "syntax": SOURCE.replace("{{ how }}", "{% if %}"),
    "no such file": SOURCE + "{% include 'x' %}",
    "takes apart": SOURCE.replace("{{ how }}", "{{ how.replace('a', 'b') }}"),
    "escapes the sandbox": SOURCE.replace("{{ how }}", "{{ how.__class__.__mro__ }}"),
    "filter": SOURCE.replace("{{ how }}", "{{ says | striptags }}"),
    "calls": SOURCE.replace("{{ how }}", "{{ range(9) }}"),
    "divides": SOURCE.replace("{{ how }}", "{{ 1 / 0 }}"),
}


@pytest.mark.parametrize("name", sorted(BROKEN))
def test_a_template_that_breaks_the_format_is_refused(name):
    """A custom template that hides, changes or answers anything is an error that names it."""
    assert BROKEN[name] != SOURCE
    with pytest.raises(DocumentError) as caught:
        Renderer({TEMPLATE: BROKEN[name]}).render(CASE.request, CASE.history)
    assert caught.value.path in {TEMPLATE, "x"}
    assert "template" in caught.value.problem


def test_a_template_may_be_another_language_and_order():
    """Words, order and more sections are the template's own, and it may be split into files."""
    source = (
        SOURCE.replace("The agent's own words, checked by nobody:", "Worte des Agenten:")
        .replace("# {{ title }}", "{{ title }}")
        .replace("## Audit", "## Hilfe\n\n{% include 'help.j2' %}\n\n## Audit")
        .replace("{% for line in why %}", "{% for line in why %}\n{{ loop.index }}")
    )
    text = Renderer({TEMPLATE: source, "help.j2": "Siehe [[Handbuch]]"}).render(CASE.request)
    assert "Worte des Agenten" in text
    assert "[[Handbuch]]" in text


def test_there_must_be_a_template():
    """A renderer without its template is refused at once."""
    with pytest.raises(DocumentError) as caught:
        Renderer({})
    assert caught.value.path == TEMPLATE


def test_every_value_of_the_context_is_text():
    """Templates get texts and lists of texts, nothing that leads further."""
    for value in render.context(CASES["executed"].request, CASES["executed"].history).values():
        assert isinstance(value, str) or all(isinstance(line, str) for line in value)


def test_addresses_in_properties_are_no_links():
    """Editors make links of addresses in properties; ours come apart."""
    text = ask(type="[[x]]", requested_by="https://evil.example").text
    values = yaml.safe_load(text.split("---\n")[1])
    assert values["action"] == "[ [x]]"
    assert values["requested_by"] == "https: //evil.example"


def test_rendering_is_fast():
    """A note is rendered far below a millisecond, so bursts do not wait for it."""
    started = time.perf_counter()
    for _ in range(50):
        RENDERER.render(CASE.request, CASE.history)
    assert (time.perf_counter() - started) / 50 < 0.005
    assert CASE.request.status is Status.PENDING
