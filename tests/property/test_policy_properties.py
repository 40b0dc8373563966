"""Promises of the policy that hold for any rules and any details."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hitl_vault.core.model import Action, Effect, Requirement, Verdict
from hitl_vault.core.policy import Policy, Severity, lint_policy, parse_policy
from hitl_vault.errors import PolicyError

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
STARTER = parse_policy(
    (Path(__file__).parents[2] / "vault" / "Policy.md").read_bytes(), name="Policy.md"
)
FIELDS = ("amount", "bulk", "environment", "tool", "tools", "risk_score", "a")

conditions = st.sampled_from(
    [
        "details.amount >= 500",
        "details.amount < 500",
        "has(details.amount) && details.amount > 100",
        'details.environment == "production"',
        'details.environment.matches("(?i)prod")',
        "details.bulk",
        "details.tools.exists(t, t == details.tool)",
        "action.type in ['payment', 'read']",
        "size(details.tools) > 1",
        "details.a.b.c > 1",
    ]
)
names = st.lists(
    st.sampled_from(["anna", "ben", "finance", "cfo"]), min_size=1, max_size=3, unique=True
)
groups = st.fixed_dictionaries({"approvers": names}, optional={"quorum": st.integers(1, 4)})
durations = st.sampled_from(["5m", "30m", "1h", "2h", "1d"])
answers = st.lists(st.sampled_from(["approve", "reject", "edit"]), min_size=1, unique=True)
demands = st.fixed_dictionaries(
    {},
    optional={
        "timeout": durations,
        "use_within": durations,
        "settle": durations,
        "remind": st.lists(durations, min_size=1, max_size=2),
        "answers": answers,
        "require_reason": answers,
        "assurance": st.sampled_from(["edited", "authenticated", "signed"]),
        "veto": st.booleans(),
        "repeats": st.sampled_from(["join", "ask"]),
    },
)
who = st.one_of(
    st.just({}),
    groups,
    st.fixed_dictionaries({"quorum": st.integers(1, 5)}),
    st.lists(groups, min_size=1, max_size=3, unique_by=lambda g: tuple(sorted(g["approvers"]))).map(
        lambda stages: {"stages": stages}
    ),
)


def rules_with(effects):
    parts = st.fixed_dictionaries(
        {"effect": st.sampled_from(effects)},
        optional={
            "when": conditions,
            "unless": conditions,
            "risk": st.sampled_from(["low", "medium", "high", "critical"]),
        },
    )
    return st.builds(lambda *each: {k: v for d in each for k, v in d.items()}, parts, demands, who)


rules = rules_with(["allow", "ask", "deny"])
scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=5),
    st.sampled_from([100, 500, "production", "code_execution", "file_system"]),
)  # fmt: skip
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)
details = st.dictionaries(st.sampled_from(FIELDS), values, max_size=5)
kinds = st.sampled_from(["payment", "read", "delete_file", "deploy", "other"]) | st.text(max_size=8)


def policy(written: list[dict], default: str = "ask") -> Policy:
    named = [{"id": f"r{number}", **rule} for number, rule in enumerate(written)]
    text = json.dumps({"default": default, "rules": named})
    return parse_policy(text.encode(), name="policy.yaml")


def judge(written: list[dict], asked: dict, default: str = "ask") -> Verdict:
    action = Action(type="payment", description="", details=asked, requested_by="agent")
    return policy(written, default).evaluate(action, NOON)


def quorums(need: Requirement) -> dict[tuple[str, ...], int]:
    return {stage.approvers: stage.quorum for stage in need.stages}


@settings(max_examples=150, deadline=None)
@given(st.lists(rules, max_size=4), rules_with(["ask", "deny"]), details, st.integers(0, 4))
def test_adding_a_strict_rule_never_weakens_the_verdict(written, added, asked, place):
    """Effect and risk can only rise, and whoever had to approve still has to."""
    before = judge(written, asked)
    after = judge([*written[:place], added, *written[place:]], asked)
    if before.rules:
        assert after.effect.rank >= before.effect.rank
        assert after.risk.rank >= before.risk.rank
    else:
        assert after.effect.rank >= Effect.ASK.rank or after.effect is before.effect
    old, new = before.requirement, after.requirement
    people = [sum(stage.quorum for stage in need.stages) for need in (old, new)]
    assert people[1] >= people[0]
    assert all(quorums(new)[who] >= count for who, count in quorums(old).items() if who)
    assert new.assurance.rank >= old.assurance.rank
    assert set(new.require_reason) >= set(old.require_reason)
    assert (new.settle_s or 0) >= (old.settle_s or 0)
    if any(rule.effect is Effect.ASK and rule.id in before.rules for rule in policy(written).rules):
        assert new.veto >= old.veto
        assert new.repeats.rank >= old.repeats.rank


@settings(max_examples=150, deadline=None)
@given(st.data(), st.lists(rules, min_size=2, max_size=5), details)
def test_the_order_of_rules_does_not_matter(data, written, asked):
    """Effect, risk, requirement and the set of reasons are the same in any order."""
    named = [{**rule, "reason": f"reason {number}"} for number, rule in enumerate(written)]
    one, two = judge(named, asked), judge(data.draw(st.permutations(named)), asked)
    assert (one.effect, one.risk, one.requirement) == (two.effect, two.risk, two.requirement)
    assert sorted(one.reasons) == sorted(two.reasons)


@settings(max_examples=300, deadline=None)
@given(kinds, details)
def test_the_starter_policy_judges_anything(kind, asked):
    """No JSON makes an evaluation fail, and nothing is allowed by a rule that could not be read."""
    action = Action(type=kind, description="", details=asked, requested_by="agent")
    verdict = STARTER.evaluate(action, NOON)
    findings = STARTER.explain(action, NOON)
    assert verdict.rules == tuple(found.rule.id for found in findings if found.matched)
    for found in findings:
        if found.unclear and found.rule.effect is Effect.ALLOW:
            assert not found.matched
        if found.unclear and found.rule.effect is not Effect.ALLOW:
            assert found.matched
    if verdict.effect is Effect.ALLOW:
        assert verdict.rules


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=200) | st.text("`~ \nabc:-[]{}#&*!|>'\"%<", max_size=200), st.booleans())
def test_any_text_is_a_policy_or_is_told_why_not(text, fenced):
    """Reading never fails in any other way, and lint and parse agree."""
    raw = (f"```yaml hitl-policy\n{text}\n```\n" if fenced else text).encode(
        "utf-8", "surrogatepass"
    )
    errors = [p for p in lint_policy(raw, name="P.md") if p.severity is Severity.ERROR]
    lines = raw.count(b"\n") + raw.count(b"\r") + 2
    assert all(1 <= problem.line <= lines for problem in errors)
    if errors:
        with pytest.raises(PolicyError) as caught:
            parse_policy(raw, name="P.md")
        assert caught.value.line == errors[0].line
    else:
        parse_policy(raw, name="P.md")
