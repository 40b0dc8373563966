"""Differences of policies: told in lines, and looser unless the texts show that they are not."""

import json

import pytest

from hitl_vault.core.model import Effect, Requirement, Verdict
from hitl_vault.core.policy import ask_everything, parse_policy
from hitl_vault.core.policy_diff import compare, looser

ASK = {"id": "pay", "effect": "ask", "when": "details.amount > 5", "quorum": 2, "timeout": "30m"}


def policy(*rules, default="ask"):
    return parse_policy(json.dumps({"default": default, "rules": rules}).encode(), name="p.yaml")


def diff(old, new, default="ask", before="ask"):
    return compare(policy(*old, default=before), policy(*new, default=default))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"when": "details.amount > 50"}, "another condition"),
        ({"unless": "details.bulk"}, "another condition"),
        ({"effect": "allow"}, "said ask and says allow"),
        ({"quorum": 1}, "other people, or fewer"),
        ({"quorum": 2, "approvers": ["a", "b"]}, ""),
        ({"quorum": 3}, ""),
        ({"timeout": "2h"}, "longer"),
        ({"timeout": "5m"}, ""),
        ({"use_within": "2d"}, "longer"),
        ({"answers": ["approve", "reject", "edit"]}, "answers"),
        ({"answers": ["approve"]}, "answers"),
        ({"veto": False}, "rejection"),
        ({"assurance": "signed", "settle": "5s", "require_reason": ["approve"]}, ""),
        ({"grant": {"uses": 1, "within": "1h"}}, "grant"),
        ({"escalate": [{"after": "5m", "to": ["x"]}]}, "other people may answer"),
        ({"risk": "high", "reason": "because", "remind": ["1m"]}, ""),
        ({"hours": "Mon-Fri 09:00-17:00 Europe/Berlin"}, ""),
        ({"hours": {"open": "Mon-Fri 09:00-17:00 UTC", "timeout": True}}, "other hours"),
        ({"repeats": "join"}, ""),
        ({"repeats": "ask"}, ""),
        ({"summary": "all is well"}, "shown"),
        ({"effect": "deny"}, ""),
    ],
)
def test_a_changed_rule_loosens_unless_it_only_demands_more(change, why):
    """Each key of a rule, in both directions."""
    found = diff([ASK], [ASK | change])
    assert found.loosens is bool(why), found
    assert all("pay" in line for line in found.changes)
    if why and why != "another condition":
        assert any(why in reason for reason in found.reasons), found.reasons


def test_what_becomes_of_repeats_is_told_and_loosens_neither_way():
    """Joining never runs more; asking again asks people again."""
    join = ASK | {"repeats": "join"}
    on, off = diff([ASK], [join]), diff([join], [ASK])
    assert on.changes == ("~ pay: repeats was not given and is join",)
    assert off.changes == ("~ pay: repeats was join and is not given",)
    assert not on.loosens
    assert not off.loosens


@pytest.mark.parametrize(
    ("old", "new", "default", "before", "loosens"),
    [
        ([ASK], [], "ask", "ask", True),
        ([{"id": "a", "effect": "allow"}], [], "ask", "ask", False),
        ([], [{"id": "a", "effect": "allow"}], "ask", "ask", True),
        ([], [{"id": "a", "effect": "allow"}], "allow", "allow", False),
        ([], [ASK], "ask", "ask", False),
        ([], [ASK], "deny", "deny", True),
        ([], [{"id": "d", "effect": "deny"}], "deny", "deny", False),
        ([], [], "allow", "ask", True),
        ([], [], "deny", "ask", False),
    ],
)
def test_rules_that_come_and_go_and_the_default(old, new, default, before, loosens):
    """Rules that deny may always come; one that asks loosens where the default denies."""
    assert diff(old, new, default, before).loosens is loosens


def test_the_lines_say_what_changed():
    """Readable: what came, went, and was otherwise."""
    other = ASK | {"quorum": 1, "timeout": "1h"}
    found = diff([ASK, {"id": "x", "effect": "deny"}], [other, {"id": "y", "effect": "allow"}])
    assert found.changes == (
        "~ pay: stages was 2 of anyone and is 1 of anyone",
        "~ pay: timeout was 30 min and is 1 h",
        "- x: deny",
        "+ y: allow",
    )


def test_what_replaces_no_policy_at_all_is_compared_with_asking_about_everything():
    """A first policy loosens as soon as it allows something."""
    nothing = ask_everything("p.yaml", "none")
    assert not compare(nothing, policy(ASK)).loosens
    assert compare(nothing, policy({"id": "a", "effect": "allow"})).loosens


def test_a_change_of_the_prose_is_no_change_of_a_rule():
    """Said as such, and nothing is looser."""
    one = parse_policy(b"# a\n```yaml hitl-policy\ndefault: ask\n```\n", name="P.md")
    two = parse_policy(b"# b\n```yaml hitl-policy\ndefault: ask\n```\n", name="P.md")
    found = compare(one, two)
    assert found.changes == ("only what is not a rule",)
    assert not found.loosens


@pytest.mark.parametrize(
    ("old", "new", "longer"),
    [
        ({"timeout_s": 3600}, {"timeout_s": 1e9, "timeout_open_s": 60, "hours": ("a",)}, True),
        ({"timeout_s": 1e9, "timeout_open_s": 60, "hours": ("a",)}, {"timeout_s": 61}, True),
        ({"timeout_s": 1e9, "timeout_open_s": 60, "hours": ("a",)}, {"timeout_s": 60}, False),
        (
            {"timeout_s": 1e9, "timeout_open_s": 60, "hours": ("a",)},
            {"timeout_s": 1e9, "timeout_open_s": 60, "hours": ("b",)},
            True,
        ),
        (
            {"timeout_s": 1e9, "timeout_open_s": 60, "hours": ("a",)},
            {"timeout_s": 1e9, "timeout_open_s": 59, "hours": ("a",)},
            False,
        ),
        ({"hours": ("a",)}, {"hours": ()}, False),
    ],
)
def test_time_that_counts_business_hours_only_is_longer_than_time_that_counts_always(
    old, new, longer
):
    """An hour that goes on at nine in the morning may end days later."""
    verdicts = [Verdict(effect=Effect.ASK, requirement=Requirement(**each)) for each in (old, new)]
    assert bool(looser(*verdicts)) is longer
