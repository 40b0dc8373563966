"""Promises of how the values of a rule's keys are read."""

from __future__ import annotations

import pytest

from hitl_vault.core import policy_values as values
from hitl_vault.core import strict_yaml
from hitl_vault.core.model import Answer, Escalation, Risk, Stage
from hitl_vault.core.policy_values import Notes


def read(reader, text: str, *args, **named):
    """Return the value, the messages, and the lines they name."""
    notes = Notes(first_line=11)
    node = strict_yaml.entries(strict_yaml.compose_mapping(f"\nkey: {text}\n"))["key"]
    value = reader(node, *args, "key", notes, **named)
    assert all(problem.line >= 12 for problem in notes.problems)
    return value, [problem.message for problem in notes.problems]


@pytest.mark.parametrize(
    ("reader", "text", "value"),
    [
        (values.read_text, '" a b "', "a b"),
        (values.read_text, "5", "5"),
        (values.read_flag, "true", True),
        (values.read_flag, "false", False),
        (values.read_quorum, "3", 3),
        (values.read_duration, "1h30m", 5400),
        (values.read_duration, "90", 90),
        (values.read_duration, '"2d"', 172800),
        (values.read_names, "[finance, Anna, FINANCE]", ("Anna", "finance")),
        (values.read_answers, "[reject, approve]", (Answer.APPROVE, Answer.REJECT)),
        (values.read_reminders, "[1h, 30m, 60m]", (1800, 3600)),
        (
            values.read_escalations,
            "[{after: 2h, to: [b]}, {after: 1h, to: [a]}]",
            (Escalation(after_s=3600, to=("a",)), Escalation(after_s=7200, to=("b",))),
        ),
        (
            values.read_stages,
            "[{approvers: [b], quorum: 1}, {approvers: [a]}]",
            (Stage(approvers=("b",)), Stage(approvers=("a",))),
        ),
        (values.read_summary, '"{a} {b.c} {d|e}"', "{a} {b.c} {d|e}"),
    ],
)
def test_values_are_read(reader, text, value):
    """Each kind of value is read without a remark."""
    assert read(reader, text) == (value, [])


@pytest.mark.parametrize(
    ("reader", "text", "message"),
    [
        (values.read_text, '" "', "must be a text"),
        (values.read_text, "[a]", "must be a text"),
        (values.read_flag, "yes", "must be true or false"),
        (values.read_flag, '"true"', "must be true or false"),
        (values.read_quorum, "0", "from 1 to 100"),
        (values.read_quorum, "101", "from 1 to 100"),
        (values.read_quorum, "true", "from 1 to 100"),
        (values.read_quorum, "1.5", "from 1 to 100"),
        (values.read_duration, "soon", "must be a duration"),
        (values.read_duration, "-5m", "must be a duration"),
        (values.read_duration, "5 years", "must be a duration"),
        (values.read_duration, "[1h]", "must be a duration"),
        (values.read_duration, "0", "longer than nothing"),
        (values.read_names, "finance", "must be a list, such as [anna, finance]"),
        (values.read_names, "[]", "must be a list"),
        (values.read_names, '[""]', "each name"),
        (values.read_names, '["\u2060"]', "nothing that can be seen"),
        (values.read_answers, "[yes]", "not one of the words"),
        (values.read_answers, "approve", "must be a list"),
        (values.read_reminders, "30m", "must be a list"),
        (values.read_escalations, "[45m]", "must be a list, such as [{after"),
        (values.read_escalations, "[{after: 45m}]", "needs both"),
        (values.read_escalations, "[{after: x, to: [a]}]", "must be a duration"),
        (values.read_escalations, "[{after: 1m, to: a}]", "must be a list"),
        (values.read_escalations, "[{aftr: 1m, to: [a]}]", "did you mean `after`?"),
        (values.read_stages, "[a]", "must be a list, such as [{approvers"),
        (values.read_stages, "[{quorum: 2}]", "a stage needs `approvers`"),
        (values.read_stages, "[{approvers: [a, b]}, {approvers: [B, a]}]", "same approvers"),
        (values.read_condition, "[a]", "must be one CEL expression"),
        (values.read_condition, "'a b'", "does not compile"),
        (values.read_summary, '"{a b}"', "placeholders are"),
        (values.read_summary, '"{}"', "placeholders are"),
        (values.read_summary, '"{a"', "placeholders are"),
        (values.read_summary, "[a]", "must be a text"),
    ],
)
def test_wrong_values_are_told(reader, text, message):
    """A wrong value is noted with its key and line, never read as something else."""
    _, messages = read(reader, text)
    assert len(messages) >= 1
    assert any(message in found for found in messages)


def test_zero_is_a_duration_only_where_it_makes_sense():
    """No quiet time is a choice; no time to answer is a mistake."""
    assert read(values.read_duration, "0", zero=True) == (0, [])


def test_a_word_is_one_of_the_words():
    """Words are matched exactly, and the nearest one is offered."""
    notes = Notes(first_line=1)
    node = strict_yaml.entries(strict_yaml.compose_mapping("risk: hihg"))["risk"]
    assert values.read_word(node, Risk, "risk", notes) is None
    assert notes.problems[0].message.endswith("low, medium, high, critical; did you mean high?")
