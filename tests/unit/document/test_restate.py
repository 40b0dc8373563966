"""Showing a changed action."""

from __future__ import annotations

from document_samples import DETAILS, RENDERER, ask, tick

from hitl_vault.core import commands as c
from hitl_vault.core.model import Answer, Effect, Escalation, Requirement, Stage, Verdict
from hitl_vault.document.reading import parse_document
from hitl_vault.document.restate import restate_action, restate_lines
from hitl_vault.document.splices import Splices


def test_only_lines_that_differ_are_replaced():
    """A note that says it already is left as it is."""
    case = ask()
    document = parse_document(case.note)
    splices = Splices(document)
    restate_lines(splices, case.request, document)
    assert not splices


def test_an_escalation_is_shown():
    """After an escalation the note names the people who may answer now."""
    case = ask(
        stages=(Stage(approvers=("alice",)),), escalate=(Escalation(after_s=1, to=("cfo",)),)
    )
    after = case.then(c.Escalate(id=case.request.id, number=0))
    splices = Splices(parse_document(case.note))
    restate_lines(splices, after.request, parse_document(RENDERER.render(after.request).encode()))
    assert "- Needed: approval by one of alice, cfo;" in splices.text()


def test_a_label_in_code_or_elsewhere_is_not_taken_for_ours():
    """Lines that look like ours in a code block or another section stay."""
    case = ask()
    text = case.text.replace(
        "## Why you are asked\n", "## Why you are asked\n```\n- Risk: old\n```\n"
    )
    text = text.replace("## Audit", "- Risk: mine\n\n## Audit")
    fresh = parse_document(case.text.replace("- Risk: high", "- Risk: new").encode())
    splices = Splices(parse_document(text.encode()))
    restate_lines(splices, case.request, fresh)
    assert "- Risk: old" in splices.text()
    assert "- Risk: mine" in splices.text()
    assert "\n- Risk: new" in splices.text()


def test_a_decided_answers_tick_stays_even_if_it_would_not_be_offered_now():
    """The box a person ticked stays as the trace of their answer; an unticked one goes."""
    case = ask()
    fewer = Verdict(effect=Effect.ASK, requirement=Requirement(answers=(Answer.APPROVE,)))
    after = case.edit(DETAILS | {"amount": 1}, verdict=fewer)
    splices = Splices(parse_document(tick(case.text, "edit").encode()))
    restate_action(splices, after.request, blank=False)
    assert "- [x] Approve with the changes below ^edit" in splices.text()
    assert "^reject" not in splices.text()


def test_blocks_somebody_took_away_are_no_error():
    """Without its code blocks a note is still brought up to date."""
    case = ask()
    after = case.edit(DETAILS | {"amount": 1})
    text = case.text.replace("```json", "```text")
    splices = Splices(parse_document(text.encode()))
    restate_action(splices, after.request, blank=False)
    assert after.request.payload_in_force in splices.text()
    assert '"amount": 1500' in splices.text()
