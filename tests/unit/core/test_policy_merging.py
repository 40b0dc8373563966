"""Promises of how the demands of several rules become one requirement."""

from __future__ import annotations

from itertools import permutations

import pytest

from hitl_vault.core.model import Answer, Assurance, Escalation, Repeats, Requirement, Stage
from hitl_vault.core.policy_merging import Demand, merge_requirements

APPROVE, REJECT, EDIT = Answer


def merge(*demands: Demand, timeout_s: float | None = None) -> Requirement:
    merged = {
        merge_requirements(
            order, timeout_s=timeout_s, default_timeout_s=3600, default_use_within_s=86400
        )
        for order in permutations(demands)
    }
    assert len(merged) == 1, "the order of rules changed the requirement"
    return merged.pop()


def stages(*groups: tuple[str, int]) -> tuple[Stage, ...]:
    return tuple(Stage(approvers=tuple(n.split()), quorum=q) for n, q in groups)


def test_rules_that_say_nothing_leave_the_defaults():
    """Without demands the requirement is the default one."""
    assert merge(Demand(), Demand()) == Requirement() == merge()


@pytest.mark.parametrize(
    ("rules", "caller", "expected"),
    [
        ([None], None, 3600),
        ([7200, None], None, 7200),
        ([7200, 10800], None, 7200),
        ([None], 7200, 7200),
        ([7200], 300, 300),
        ([7200], 10800, 7200),
    ],
)
def test_the_shortest_time_that_somebody_gave_counts(rules, caller, expected):
    """A silent rule does not pull the default in, and the caller can only shorten a rule's time."""
    demands = [Demand(timeout_s=timeout_s) for timeout_s in rules]
    assert merge(*demands, timeout_s=caller).timeout_s == expected


def test_the_time_to_use_an_approval_is_the_shortest_given():
    """A silent rule does not shorten it to the default."""
    assert merge(Demand(use_within_s=172800), Demand()).use_within_s == 172800
    assert merge(Demand(use_within_s=60), Demand(use_within_s=120)).use_within_s == 60


def test_answers_are_those_every_speaking_rule_allows():
    """A rule that lists answers limits the others, a silent one does not."""
    assert merge(Demand(answers=(APPROVE, REJECT, EDIT)), Demand()).answers == (
        APPROVE,
        REJECT,
        EDIT,
    )
    assert merge(
        Demand(answers=(APPROVE, REJECT, EDIT)), Demand(answers=(APPROVE, REJECT))
    ).answers == (APPROVE, REJECT)
    assert merge(Demand(answers=(APPROVE,)), Demand(answers=(EDIT,))).answers == (REJECT,)


def test_the_other_demands_add_up():
    """Reasons, assurance, settle, reminders and escalations are the union or the highest."""
    one = Demand(
        require_reason=(REJECT,),
        assurance=Assurance.SIGNED,
        settle_s=2,
        remind_s=(60, 600),
        escalate=(Escalation(after_s=60, to=("cfo",)),),
    )
    two = Demand(
        require_reason=(APPROVE,),
        assurance=Assurance.AUTHENTICATED,
        settle_s=5,
        remind_s=(300,),
        escalate=(Escalation(after_s=30, to=("cto",)),),
    )
    merged = merge(one, two, Demand())
    assert merged.require_reason == (APPROVE, REJECT)
    assert merged.assurance is Assurance.SIGNED
    assert merged.settle_s == 5
    assert merged.remind_s == (60, 300, 600)
    assert [rung.to for rung in merged.escalate] == [("cto",), ("cfo",)]


def test_repeats_join_only_if_every_rule_says_so():
    """Asking twice is the safe side: it wins over joining, and so does a rule that says nothing."""
    join, ask = Demand(repeats=Repeats.JOIN), Demand(repeats=Repeats.ASK)
    assert merge(join).repeats is merge(join, join).repeats is Repeats.JOIN
    assert merge(join, ask).repeats is merge(ask, join).repeats is Repeats.ASK
    assert (
        merge(join, Demand()).repeats is merge(Demand()).repeats is merge().repeats is Repeats.ASK
    )


def test_a_veto_is_lost_only_if_every_rule_gives_it_up():
    """A rejection one rule counts on still ends the request when another rule matches too."""
    assert merge(Demand(veto=False)).veto is False
    assert merge(Demand(veto=False), Demand()).veto is True
    assert merge(Demand(veto=False), Demand(veto=True)).veto is True


@pytest.mark.parametrize(
    ("plans", "expected"),
    [
        ([stages(("", 2)), None], stages(("", 2))),
        ([stages(("", 2)), stages(("", 3))], stages(("", 3))),
        ([stages(("finance", 1)), None], stages(("finance", 1))),
        ([stages(("finance", 1)), stages(("finance", 2))], stages(("finance", 2))),
        ([stages(("ops", 1)), stages(("finance", 1))], stages(("finance", 1), ("ops", 1))),
        ([stages(("finance", 1)), stages(("", 3))], stages(("finance", 1), ("", 2))),
        (
            [stages(("finance", 1)), stages(("", 3)), stages(("ops", 1))],
            stages(("finance", 1), ("ops", 1), ("", 1)),
        ),
        ([stages(("Finance", 2)), stages(("finance", 1))], stages(("Finance", 2))),
        ([stages(("finance", 2)), stages(("", 2))], stages(("finance", 2))),
        ([stages(("z", 1), ("a", 1)), stages(("b", 1))], stages(("b", 1), ("z", 1), ("a", 1))),
        (
            [stages(("a", 1), ("z", 1)), stages(("z", 1), ("c", 1))],
            stages(("a", 1), ("z", 1), ("c", 1)),
        ),
        ([stages(("a", 1), ("b", 1)), stages(("b", 1), ("a", 1))], stages(("a", 1), ("b", 1))),
    ],
)
def test_stages_meet_every_rule(plans, expected):
    """Each group once with its largest quorum, as many people as the most demanding rule, in order."""
    assert merge(*(Demand(stages=plan) for plan in plans)).stages == expected
