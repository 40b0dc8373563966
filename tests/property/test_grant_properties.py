"""What grants cover, for any details."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from hypothesis import assume, given
from hypothesis import strategies as st

from hitl_vault.core import commands as c
from hitl_vault.core.canonical import payload_sha256
from hitl_vault.core.grants import bounds_for, example, flaw_of, outside, values_of
from hitl_vault.core.model import Action, Assurance, GrantLimit
from hitl_vault.core.register import Bound, Grant, Register
from hitl_vault.core.registering import RegisterStep, record
from hitl_vault.testing.clock import START

texts = st.text(st.sampled_from("ab/~.0é "), max_size=3)
plain = (
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.sampled_from([0.0, -0.0, 0.5, 1.0, 1e16, "1", "", "true", "null"])
    | texts
)
values = st.recursive(
    plain,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(texts, inner, max_size=2),
    max_leaves=6,
)
objects = st.dictionaries(texts, values, max_size=3)


def action(details):
    return Action(type="pay", description="", details=details, requested_by="bot")


def grant(bounds, uses=3):
    return Grant(
        grant_id="grant-1",
        by="alice",
        assurance=Assurance.EDITED,
        type="pay",
        requested_by="bot",
        bounds=tuple(bounds),
        uses=uses,
        made_at=START,
        expires_at=START + timedelta(days=1),
    )


@given(objects, objects)
def test_a_grant_of_the_same_values_covers_exactly_the_same_digest(one, two):
    made = grant(bounds_for(one))
    assert outside(made, action(one)) == ""
    covered = outside(made, action(two)) == ""
    assert covered == (payload_sha256(action(one)) == payload_sha256(action(two)))


@given(objects)
def test_every_value_gets_a_sound_bound_and_the_example_lies_within(details):
    bounds = bounds_for(details)
    assert len({bound.path for bound in bounds}) == len(bounds) == len(list(values_of(details)))
    assert not any(map(flaw_of, bounds))
    assert outside(grant(bounds), action(example(bounds))) == ""


@given(objects, st.integers(0, 9), values)
def test_a_number_within_a_bound_is_all_that_may_change(details, most, value):
    assume("n" not in details)
    made = grant((*bounds_for(details), Bound(path="/n", at_most=most)))
    covered = outside(made, action({**details, "n": value})) == ""
    assert covered == (type(value) in {int, float} and 0 <= value <= most)
    assert outside(made, action(details))
    assert outside(made, action({**details, "n": 0, "more": value}))


@given(
    st.integers(1, 4),
    st.lists(st.tuples(st.integers(0, 6), st.integers(1, 6)), max_size=20),
)
def test_whatever_is_tried_no_more_count_than_the_narrowest_limit_allows(uses, tries):
    made = record(Register(), c.MakeGrant(grant=grant((), uses)), START)
    register, counted = made.register, []
    for request, most in tries:
        limit = GrantLimit(uses=most, within_s=60)
        use = c.UseGrant(grant_id="grant-1", request_id=f"r-{request}", limit=limit)
        step = record(register, use, START)
        if isinstance(step, RegisterStep):
            register = step.register
            counted.append(request)
            assert len(counted) <= min(uses, most)
    assert len(set(counted)) == len(counted) <= uses
    assert register.grant("grant-1") == replace(
        made.register.grant("grant-1"), used_for=tuple(f"r-{n}" for n in counted)
    )
