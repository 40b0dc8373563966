"""What a standing grant covers, and everything it does not."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from hitl_vault.core.grants import bounds_for, is_within, narrowed, outside, unusable, values_of
from hitl_vault.core.model import (
    Action,
    Answer,
    Assurance,
    Effect,
    GrantLimit,
    Requirement,
    Stage,
    Verdict,
)
from hitl_vault.core.register import Bound, Grant
from hitl_vault.testing.clock import START

DETAILS = {"amount": 400, "to": "v@example.com", "memo": {"text": "may", "urgent": False}}
ACTION = Action(type="payment", description="", details=DETAILS, requested_by="invoice-agent")
GRANT = Grant(
    grant_id="grant-1",
    by="alice",
    assurance=Assurance.AUTHENTICATED,
    type="payment",
    requested_by="invoice-agent",
    bounds=bounds_for(DETAILS, at_most={"amount": 500}, anything=["memo.text"]),
    uses=2,
    made_at=START,
    expires_at=START + timedelta(days=1),
)
LIMIT = GrantLimit(uses=5, within_s=86400)


def with_value(**changes):
    return replace(ACTION, details={**DETAILS, **changes})


def test_every_value_within_its_bound_is_covered():
    for amount in (0, 0.5, 400, 500, 500.0):
        assert outside(GRANT, with_value(amount=amount)) == ""
    assert outside(GRANT, with_value(memo={"text": "june", "urgent": False})) == ""
    assert outside(GRANT, replace(ACTION, description="other words", run_id="r-2")) == ""


@pytest.mark.parametrize("type", ["Payment", "payment ", "transfer", ""])
def test_the_type_is_exactly_the_grants(type):
    assert outside(GRANT, replace(ACTION, type=type))


@pytest.mark.parametrize("name", ["Invoice-Agent", "invoice-agent ", "other", ""])
def test_the_requester_is_exactly_the_grants(name):
    assert outside(GRANT, replace(ACTION, requested_by=name))


@pytest.mark.parametrize(
    "amount",
    [
        500.01,
        501,
        -1,
        -0.01,
        True,
        False,
        "400",
        None,
        [400],
        {"value": 400},
        {},
        [],
        float("nan"),
        float("inf"),
        float("-inf"),
    ],
)
def test_what_is_no_number_from_0_to_the_most_is_outside(amount):
    assert outside(GRANT, with_value(amount=amount))


@pytest.mark.parametrize(
    "to", ["V@example.com", "v@example.com ", "", None, 1, ["v@example.com"], {}, {"a": 1}]
)
def test_a_value_that_must_be_the_same_is_exactly_the_same(to):
    assert outside(GRANT, with_value(to=to))


@pytest.mark.parametrize("urgent", [True, 0, "false", None])
def test_true_and_false_are_no_numbers_and_no_texts(urgent):
    assert outside(GRANT, with_value(memo={"text": "may", "urgent": urgent}))


@pytest.mark.parametrize("text", [[], ["a"], {}, {"a": 1}, [[]]])
def test_anything_is_one_value_and_never_a_list_or_an_object(text):
    assert outside(GRANT, with_value(memo={"text": text, "urgent": False}))


@pytest.mark.parametrize(
    "more",
    [{"bcc": "x"}, {"force": {}}, {"cc": []}, {"cc": None}, {"memo/text": "x"}, {"": 1}],
)
def test_a_value_without_a_bound_is_outside(more):
    assert "no bound" in outside(GRANT, with_value(**more))


@pytest.mark.parametrize("left_out", ["amount", "to", "memo"])
def test_a_bound_without_its_value_is_outside(left_out):
    details = {key: value for key, value in DETAILS.items() if key != left_out}
    assert "missing" in outside(GRANT, replace(ACTION, details=details))


def test_names_that_look_like_paths_are_other_values():
    """A slash or a tilde in a name never stands for a nested value."""
    nested = replace(GRANT, bounds=bounds_for({"a": {"b": 1}}))
    assert outside(nested, replace(ACTION, details={"a": {"b": 1}})) == ""
    assert outside(nested, replace(ACTION, details={"a/b": 1}))
    assert outside(nested, replace(ACTION, details={"a~1b": 1}))
    assert outside(nested, replace(ACTION, details={"a.b": 1}))


def test_a_list_is_one_value_that_may_only_be_the_same():
    grant = replace(GRANT, bounds=bounds_for({"to": ["a", {"b": 1}]}))
    assert outside(grant, replace(ACTION, details={"to": ["a", {"b": 1.0}]})) == ""
    for other in (["a"], [{"b": 1}, "a"], ["a", {"b": 1}, "c"], ["a", {"b": True}], []):
        assert outside(grant, replace(ACTION, details={"to": other}))


def test_a_grant_without_bounds_covers_only_an_action_without_details():
    grant = replace(GRANT, bounds=())
    assert outside(grant, replace(ACTION, details={})) == ""
    assert outside(grant, ACTION)


@pytest.mark.parametrize(
    "bound",
    [
        Bound(path="/amount"),
        Bound(path="/amount", at_most=float("nan")),
        Bound(path="/amount", at_most=-1),
        Bound(path="/amount", equals=""),
    ],
)
def test_a_bound_that_makes_no_sense_covers_nothing(bound):
    grant = replace(GRANT, bounds=(bound,))
    assert outside(grant, replace(ACTION, details={"amount": 400}))


def test_bounds_are_made_around_every_value():
    assert [bound.path for bound in GRANT.bounds] == [
        "/amount",
        "/to",
        "/memo/text",
        "/memo/urgent",
    ]
    assert dict(values_of({"a": {"b": {}, "c": []}})) == {"/a/b": {}, "/a/c": []}
    assert bounds_for({"a.b": 1}, at_most={"a.b": 2}) == (Bound(path="/a.b", at_most=2),)
    assert bounds_for({"a": {"b": 1}}, at_most={"/a/b": 2}) == (Bound(path="/a/b", at_most=2),)


@pytest.mark.parametrize(
    ("at_most", "anything", "says"),
    [
        ({"amuont": 5}, (), "not a value of the details; there are: /amount, /to"),
        ({"to": 5}, (), "/to is not a number"),
        ({"amount": 399}, (), "/amount is not between 0 and 399"),
        ({"amount": float("nan")}, (), "a number, 0 or more"),
        ({"amount": 500}, ("amount",), "both"),
        ({}, ("memo",), "'memo' is not a value"),
        ({}, ("cc",), "'cc' is not a value"),
    ],
)
def test_bounds_that_cannot_be_made_are_named(at_most, anything, says):
    with pytest.raises(ValueError, match=says):
        bounds_for(DETAILS, at_most=at_most, anything=anything)


NEED = Requirement(grant=LIMIT)
ASK = Verdict(effect=Effect.ASK, requirement=NEED, rules=("small",))


@pytest.mark.parametrize(
    "need",
    [
        replace(NEED, grant=None),
        replace(NEED, stages=(Stage(quorum=2),)),
        replace(NEED, stages=(Stage(approvers=("a",)), Stage(approvers=("b",)))),
        replace(NEED, require_reason=(Answer.APPROVE,)),
        replace(NEED, assurance=Assurance.SIGNED),
        replace(NEED, answers=(Answer.REJECT, Answer.EDIT)),
    ],
)
def test_what_the_policy_asks_a_person_for_no_grant_can_give(need):
    assert unusable(ASK) == ""
    assert "small" in unusable(replace(ASK, requirement=need))


def test_a_grant_ends_by_the_sooner_and_counts_to_the_fewer():
    assert is_within(GRANT, LIMIT, START)
    assert not is_within(GRANT, replace(LIMIT, within_s=60), START + timedelta(seconds=60))
    assert not is_within(GRANT, replace(LIMIT, within_s=1e9), GRANT.expires_at)
    assert not is_within(GRANT, replace(LIMIT, within_s=1e300), GRANT.expires_at)
    once = replace(GRANT, used_for=("a",))
    assert is_within(once, LIMIT, START)
    assert not is_within(once, replace(LIMIT, uses=1), START)
    assert not is_within(replace(GRANT, used_for=("a", "b")), LIMIT, START)
    assert not is_within(replace(GRANT, revoked_at=START), LIMIT, START)


def test_what_a_rule_lets_count_of_a_grant_is_told():
    assert narrowed(GRANT, LIMIT) == ""
    assert narrowed(GRANT, GrantLimit(uses=1, within_s=86400)).startswith("1 use, until ")
    shorter = narrowed(GRANT, GrantLimit(uses=5, within_s=60))
    assert shorter == f"2 uses, until {START + timedelta(seconds=60):%Y-%m-%d %H:%M} UTC"
