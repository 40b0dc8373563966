"""Promises of how a policy is parsed, and of what is found wrong with it."""

from __future__ import annotations

import hashlib

import pytest

from hitl_vault.core.model import Answer, Assurance, Effect, Escalation, Repeats, Risk, Stage
from hitl_vault.core.policy_blocks import Severity
from hitl_vault.core.policy_text import lint_policy, parse_policy
from hitl_vault.errors import PolicyError

FULL = """\
default: deny
rules:
  - id: large-payment
    when: details.amount >= 500
    unless: details.trusted
    effect: ask
    risk: high
    reason: " Large "
    summary: "Pay {amount} to {to.name|recipient}"
    approvers: [finance, Anna, finance]
    quorum: 2
    timeout: 1h30m
    use_within: 2d
    remind: [45m, 30m]
    escalate: [{after: 45m, to: [cfo, ceo]}]
    answers: [edit, approve, reject]
    require_reason: [reject]
    assurance: signed
    veto: false
    repeats: join
    settle: 0
"""


def problems(rule: str, severity: Severity = Severity.ERROR) -> list[tuple[int, str]]:
    text = f"rules:\n  - id: r\n    effect: ask\n{rule}"
    return [
        (problem.line, problem.message)
        for problem in lint_policy(text.encode(), name="p.yaml")
        if problem.severity is severity
    ]


def test_every_key_is_read():
    """A rule holds what its keys say, in the units of the model."""
    policy = parse_policy(FULL.encode(), name="p.yaml")
    [rule] = policy.rules
    assert policy.default is Effect.DENY
    assert policy.name == "p.yaml"
    assert policy.sha256 == hashlib.sha256(FULL.encode()).hexdigest()
    assert policy.names == {"finance", "Anna", "cfo", "ceo"}
    assert (rule.id, rule.line, rule.effect, rule.risk) == (
        "large-payment",
        3,
        Effect.ASK,
        Risk.HIGH,
    )
    assert (rule.when_text, rule.unless_text) == ("details.amount >= 500", "details.trusted")
    assert (rule.reason, rule.summary) == ("Large", "Pay {amount} to {to.name|recipient}")
    assert rule.stages == (Stage(approvers=("Anna", "finance"), quorum=2),)
    assert (rule.timeout_s, rule.use_within_s, rule.settle_s) == (5400, 172800, 0)
    assert rule.remind_s == (1800, 2700)
    assert rule.escalate == (Escalation(after_s=2700, to=("ceo", "cfo")),)
    assert rule.answers == (Answer.APPROVE, Answer.REJECT, Answer.EDIT)
    assert rule.require_reason == (Answer.REJECT,)
    assert rule.assurance is Assurance.SIGNED
    assert rule.veto is False
    assert rule.repeats is Repeats.JOIN


def test_the_full_rule_has_no_problems():
    """Nothing is said of a policy that is in order."""
    assert lint_policy(FULL.encode(), name="p.yaml") == []


def test_stages_are_read_in_order():
    """Stages open one after the other; each says who and how many."""
    text = (
        "rules:\n- {id: r, effect: ask, stages: [{approvers: [z], quorum: 1}, {approvers: [a]}]}\n"
    )
    [rule] = parse_policy(text.encode(), name="p.yaml").rules
    assert rule.stages == (Stage(approvers=("z",)), Stage(approvers=("a",)))


def test_a_quorum_alone_is_of_anyone():
    """Two of anybody need no names."""
    [rule] = parse_policy(b"rules:\n- {id: r, effect: ask, quorum: 2}\n", name="p.yml").rules
    assert rule.stages == (Stage(quorum=2),)


def test_blocks_are_joined():
    """The rules of several blocks are one list, with the lines of the note."""
    text = (
        "# P\n```yaml hitl-policy\ndefault: allow\n```\n\n"
        "```yaml hitl-policy\nrules:\n  - {id: a, effect: ask}\n```\n"
        "```yaml hitl-policy\nrules:\n  - {id: b, effect: deny}\n```\n"
    )
    policy = parse_policy(text.encode(), name="Policy.md")
    assert policy.default is Effect.ALLOW
    assert [(rule.id, rule.line) for rule in policy.rules] == [("a", 8), ("b", 12)]


@pytest.mark.parametrize("text", ["", "# nothing\n", "rules:\n", "rules: []\n", "default: ask\n"])
def test_a_policy_without_rules_asks(text):
    """An empty policy is a policy; its default is to ask."""
    policy = parse_policy(text.encode(), name="p.yaml")
    assert (policy.default, policy.rules, policy.names) == (Effect.ASK, (), frozenset())


def test_the_first_problem_is_raised_with_its_place():
    """The error names file and line of the first error, past the warnings."""
    text = "default: allow\nrules:\n  - id: a\n    effect: ask\n    risk: huge\n  - id: B\n    effect: no\n"
    with pytest.raises(PolicyError) as caught:
        parse_policy(text.encode(), name="p.yaml")
    assert (caught.value.file, caught.value.line) == ("p.yaml", 5)
    assert str(caught.value).startswith("p.yaml:5: `huge` is not one of the words for `risk`")


def test_lint_tells_everything_by_line():
    """All problems come at once, in the order of the text."""
    text = (
        "# P\n```yaml hitl-policy\ndefalt: ask\nrules:\n  - id: A\n    effect: akk\n    tmeout: 1h\n```\n"
        "```yaml hitl-policy\nrules: 5\n```\n```yaml hitl-policy\na: [\n```\n"
    )
    found = [(p.line, p.message) for p in lint_policy(text.encode(), name="P.md")]
    assert [line for line, _ in found] == [3, 5, 6, 7, 10, 14]
    assert "did you mean `default`?" in found[0][1]
    assert "did you mean ask?" in found[2][1]
    assert "did you mean `timeout`?" in found[3][1]


def test_default_stands_once():
    """Two defaults cannot both be meant."""
    text = "```yaml hitl-policy\ndefault: ask\n```\n```yaml hitl-policy\ndefault: deny\n```\n"
    [problem] = lint_policy(text.encode(), name="P.md")
    assert (problem.line, problem.message) == (5, "`default` stands twice (first on line 2)")


def test_ids_are_unique_over_all_blocks():
    """Two rules of one name cannot be told apart in a verdict."""
    block = "```yaml hitl-policy\nrules:\n  - {id: a, effect: ask}\n```\n"
    [problem] = lint_policy((block * 2).encode(), name="P.md")
    assert (problem.line, problem.message) == (7, "the rule id `a` stands twice (first on line 3)")


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ("  - effect: ask", "a rule needs an `id`"),
        ("  - {id: [a], effect: ask}", "`id` must be small letters"),
        ("  - {id: A, effect: ask}", "`id` must be small letters"),
        ("  - {id: a_b, effect: ask}", "`id` must be small letters"),
        ("  - {id: a}", "a rule needs an `effect`"),
        ("  - {id: a, effect: [ask]}", "this is not one of the words for `effect`"),
        ("  - {id: a, effect: Ask}", "did you mean ask?"),
        ("  - text", "a rule must be `key: value` lines"),
        ("  a: b", "`rules` must be a list"),
    ],
)
def test_a_rule_needs_a_name_and_an_effect(rules, message):
    """What is no rule is an error, with its line."""
    [problem] = lint_policy(f"rules:\n{rules}\n".encode(), name="p.yaml")
    assert (problem.line, problem.severity) == (2, Severity.ERROR)
    assert message in problem.message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rules:\n- {id: a, id: b, effect: ask}\n", "`id` stands twice"),
        ("rules: &x\n- {id: a, effect: ask}\n", "an anchor"),
        (
            "rules:\n- id: a\n  when: !has(details.x)\n",
            "put a condition that starts with ! in quotes",
        ),
        ("- id: a\n", "not a list of `key: value` lines"),
        ("rules: [\n", "expected"),
        (f"rules:\n- {{id: a, effect: ask, quorum: {'9' * 5000}}}\n", "a number of"),
    ],
)
def test_yaml_tricks_are_refused(text, message):
    """Anything YAML could make of a text other than what it shows is an error."""
    [problem] = lint_policy(text.encode(), name="p.yaml")
    assert message in problem.message


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (
            "    stages: [{approvers: [a]}]\n    quorum: 2\n",
            "`quorum` and `stages` cannot stand together",
        ),
        (
            "    stages: [{approvers: [a]}]\n    approvers: [b]\n",
            "`approvers` and `stages` cannot stand",
        ),
        ("    when: details.a ==\n", "`when` does not compile: column"),
        ("    unless: amount > 5\n", "`unless`: `amount` is not a variable"),
        ("    when: ''\n", "`when` is empty"),
        ("    frobnicate: 1\n", "a rule has no key `frobnicate`; it has id, when"),
    ],
)
def test_errors_of_a_rule(rule, message):
    """Each wrong key is an error on its own line."""
    [(line, found)] = problems(rule)
    assert message in found
    assert line == 3 + rule.count("\n")


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("    timeout: 10m\n    remind: [10m]\n", "a reminder at or after the `timeout`"),
        (
            "    timeout: 10m\n    approvers: [a]\n    escalate: [{after: 10m, to: [b]}]\n",
            "an escalation at or after the `timeout`",
        ),
        ("    escalate: [{after: 10m, to: [b]}]\n", "an escalation adds nobody"),
        ("    approvers: [a]\n    quorum: 2\n", "2 must approve and 1 named"),
        ("    answers: [reject]\n", "nobody can approve"),
        ("    when: 'false'\n", "`when` is always false"),
        ("    unless: true\n", "`unless` is always true"),
    ],
)
def test_warnings_of_a_rule(rule, message):
    """What is allowed and can hardly be meant is told, and does not keep the policy from loading."""
    assert problems(rule) == []
    assert any(message in found for _, found in problems(rule, Severity.WARNING))


@pytest.mark.parametrize(
    "rule",
    [
        "    timeout: 20m\n    remind: [10m]\n",
        "    remind: [2h]\n",
        "    stages: [{approvers: [a]}, {approvers: [b]}]\n    escalate: [{after: 1m, to: [c]}]\n",
    ],
)
def test_no_warning_without_a_reason(rule):
    """What may well be meant is not warned of."""
    assert problems(rule, Severity.WARNING) == []


def test_demands_of_rules_that_do_not_ask_are_warned_of():
    """A timeout on an allow or deny rule does nothing."""
    text = "rules:\n- {id: a, effect: deny, timeout: 1h}\n- {id: b, effect: allow, when: details.x, quorum: 2}\n"
    found = [(p.line, p.severity, p.message) for p in lint_policy(text.encode(), name="p.yaml")]
    assert found == [
        (2, Severity.WARNING, "`timeout` does nothing: the effect is deny, not ask"),
        (3, Severity.WARNING, "`quorum` does nothing: the effect is allow, not ask"),
    ]


def test_allowing_everything_is_warned_of():
    """Opening the door wide is possible, and never without a word."""
    text = "default: allow\nrules:\n- {id: a, effect: allow}\n"
    assert [p.line for p in lint_policy(text.encode(), name="p.yaml")] == [1, 3]


def test_bytes_that_are_no_policy_are_told():
    """Problems of the file itself are problems of the policy."""
    with pytest.raises(PolicyError) as caught:
        parse_policy(b"\xff", name="Policy.md")
    assert (caught.value.file, caught.value.line) == ("Policy.md", 1)


def test_a_policy_with_loops_too_deep_is_told_by_line():
    """`hitl policy check` names the rule's line; the policy is not used."""
    deep = "details.l.all(a, a.all(b, b.all(c, c > 0)))"
    text = f'rules:\n  - id: deep\n    when: "{deep}"\n    effect: ask\n'.encode()
    (problem,) = lint_policy(text, name="p.yaml")
    assert problem.line == 3
    assert "3 deep; at most 2" in problem.message
