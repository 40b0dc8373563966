"""What a policy loosens is never missed, for any two policies and any action."""

from __future__ import annotations

import copy

from hypothesis import given, note, settings
from hypothesis import strategies as st
from test_policy_properties import NOON, details, kinds, policy, rules

from hitl_vault.core.model import Action
from hitl_vault.core.policy_diff import compare, looser

effects = st.sampled_from(["allow", "ask", "deny"])
asked = st.builds(
    lambda kind, given: Action(type=kind, description="", details=given, requested_by="agent"),
    kinds,
    details,
)
limits = st.fixed_dictionaries(
    {"uses": st.integers(1, 4), "within": st.sampled_from(["1h", "2h", "1d"])}
)
escalations = st.lists(
    st.fixed_dictionaries(
        {"after": st.sampled_from(["5m", "1h"]), "to": st.sampled_from([["cfo"], ["ben"]])}
    ),
    min_size=1,
    max_size=2,
)
extra = st.fixed_dictionaries({}, optional={"grant": limits, "escalate": escalations})
written = st.lists(st.builds(lambda rule, more: rule | more, rules, extra), max_size=4)
_WHO = {"approvers", "quorum", "stages"}


@st.composite
def pairs(draw):
    """Return two policies of which the second was made from the first, most often."""
    before = draw(written)
    named = [{"id": f"r{number}", **rule} for number, rule in enumerate(before)]
    after = copy.deepcopy(named)
    for _ in range(draw(st.integers(0, 3))):
        what = draw(st.sampled_from(["add", "remove", "change", "shuffle"]))
        if what == "add":
            after.insert(
                draw(st.integers(0, len(after))),
                {"id": f"n{draw(st.integers(0, 99))}-{len(after)}", **draw(written.map(_first))},
            )
        elif what == "shuffle":
            after = draw(st.permutations(after))
        elif after:
            at = draw(st.integers(0, len(after) - 1))
            if what == "remove":
                del after[at]
            else:
                after[at] = draw(_changed(after[at]))
    defaults = (draw(effects), draw(effects)) if draw(st.booleans()) else (draw(effects),) * 2
    return policy(named, defaults[0]), policy(after, defaults[1])


def _first(rules):
    return rules[0] if rules else {"effect": "ask"}


@st.composite
def _changed(draw, rule):
    other = draw(written.map(_first))
    keys = [key for key in {**rule, **other} if key not in {"id"}]
    key = draw(st.sampled_from(sorted(keys)))
    new = {k: v for k, v in rule.items() if k != key and not (key in _WHO and k in _WHO)}
    taken = {k: v for k, v in other.items() if k == key or (key in _WHO and k in _WHO)}
    return {"effect": rule["effect"], **new, **taken}


@settings(max_examples=600, deadline=None)
@given(pairs(), st.lists(asked, min_size=1, max_size=6))
def test_what_is_judged_less_strictly_is_said_to_loosen(two, actions):
    """If any action at all is judged looser by the new policy, `loosens` is true."""
    old, new = two
    found = compare(old, new)
    for action in actions:
        one, other = old.evaluate(action, NOON), new.evaluate(action, NOON)
        why = looser(one, other)
        if why:
            note(f"{why}\n{one}\n{other}\n{found.changes}")
            assert found.loosens


@settings(max_examples=150, deadline=None)
@given(pairs(), st.lists(asked, min_size=1, max_size=3))
def test_the_same_rules_in_any_order_loosen_nothing(two, actions):
    """A policy compared with itself, or with itself in another order, is no looser."""
    old, _ = two
    assert not compare(old, old).loosens
    for action in actions:
        verdict = old.evaluate(action, NOON)
        assert not looser(verdict, verdict)
