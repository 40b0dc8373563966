"""Promises of the table tests beside a policy."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from hitl_vault.core.model import Effect
from hitl_vault.core.policy_cases import NOON, parse_cases, run_cases
from hitl_vault.core.policy_text import parse_policy
from hitl_vault.errors import PolicyError

POLICY = parse_policy(
    b"""
rules:
  - id: large
    when: details.amount >= 500
    effect: ask
    risk: high
    reason: Large
    quorum: 2
    timeout: 2h
    summary: Pay {amount}
  - {id: night, when: now.getHours() < 6, effect: deny, reason: Night}
""",
    name="p.yaml",
)
ALL = """cases:
  - name: large
    action:
      type: payment
      details: {amount: 500}
      requested_by: a
      agent: b
      run_id: c
    expect: ask
    rules: [large]
    risk: high
    quorum: 2
    timeout: 2h
    summary: Pay 500
  - name: at night
    action: {type: payment, details: {amount: 1}}
    at: "2026-01-05T03:00:00+00:00"
    expect: deny
  - {name: nothing, action: {type: read, details: {amount: 0}}, expect: ask, rules: []}
"""


def failures(expected: str) -> tuple[str, ...]:
    text = (
        f"cases:\n  - name: x\n    action: {{type: payment, details: {{amount: 500}}}}\n{expected}"
    )
    [result] = run_cases(POLICY, text, "t.yaml")
    assert result.passed is not bool(result.failures)
    return result.failures


def test_cases_pass_where_everything_expected_comes_true():
    """Each case is judged at its own time, noon of a Monday if it names none."""
    results = run_cases(POLICY, ALL, "t.yaml")
    assert [(result.case.line, result.passed) for result in results] == [
        (2, True), (15, True), (19, True),
    ]  # fmt: skip
    assert results[0].case.action.agent == "b"
    assert results[0].case.at == NOON
    assert results[1].verdict.effect is Effect.DENY


def test_a_text_may_be_bytes_with_a_mark():
    """What an editor saves is read as it is."""
    assert len(run_cases(POLICY, b"\xef\xbb\xbf" + ALL.encode(), "t.yaml")) == 3


@pytest.mark.parametrize(
    ("expected", "failure"),
    [
        ("    expect: allow\n", "effect: expected allow, got ask"),
        ("    expect: ask\n    rules: [small, tiny]\n", "rules: expected small, tiny, got large"),
        ("    expect: ask\n    rules: []\n", "rules: expected none, got large"),
        ("    expect: ask\n    risk: low\n", "risk: expected low, got high"),
        ("    expect: ask\n    quorum: 1\n", "quorum: expected 1, got 2"),
        ("    expect: ask\n    timeout: 1h\n", "timeout: expected 3600 s, got 7200 s"),
        ("    expect: ask\n    summary: No\n", "summary: expected No, got Pay 500"),
    ],
)
def test_a_failure_says_what_was_expected_and_why_it_came_otherwise(expected, failure):
    """A failing case tells the difference, and the reasons of the verdict."""
    assert failures(expected) == (failure, "because: Large")


def test_a_time_without_a_zone_is_utc():
    """Cases mean the same on every machine."""
    text = "cases: [{name: x, action: {type: a}, at: 2026-01-05T03:00, expect: deny}]"
    [case] = parse_cases(text, "t.yaml")
    assert case.at == datetime(2026, 1, 5, 3, tzinfo=UTC)
    assert case.action.details == {}


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("", 1, "`cases` must be a list"),
        ("cases: 5", 1, "`cases` must be a list"),
        ("cases:\n- x\n", 2, "a case must be"),
        ("cases:\n- name: x\n", 2, "a case needs `action`, `expect`"),
        ("cases:\n- {name: x, action: {type: a}, expect: maybe}\n", 2, "`maybe` is not one of"),
        ("cases:\n- {name: x, action: a, expect: ask}\n", 2, "`action` must be such as"),
        (
            "cases:\n- {name: x, action: {details: {}}, expect: ask}\n",
            2,
            "an action needs a `type`",
        ),
        (
            "cases:\n- {name: x, action: {type: a, details: 5}, expect: ask}\n",
            2,
            "must be an object",
        ),
        ("cases:\n- {name: x, action: {typ: a}, expect: ask}\n", 2, "did you mean `type`?"),
        ("cases:\n- {name: x, action: {type: a}, expect: ask, at: noon}\n", 2, "must be a time"),
        ("cases:\n- {name: x, action: {type: a}, expect: ask, rules: a}\n", 2, "must be a list"),
        (
            "cases:\n- {name: x, action: {type: a}, expect: ask,\n   expct: a}\n",
            3,
            "did you mean `expect`",
        ),
        ("cases: [\n", 2, "expected"),
        (
            f"cases:\n- {{name: x, action: {{type: a, details: {{a: {'9' * 5000}}}}}, expect: ask}}\n",
            2,
            "a number of too many digits",
        ),
        (b"\xff", 0, "not UTF-8"),
    ],
)
def test_a_wrong_file_is_told_with_its_line(text, line, message):
    """The first wrong line is named, before any case is judged."""
    with pytest.raises(PolicyError) as caught:
        run_cases(POLICY, text, "t.yaml")
    assert caught.value.file == "t.yaml"
    assert caught.value.line == line
    assert message in caught.value.problem
