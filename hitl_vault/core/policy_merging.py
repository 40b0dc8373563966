"""Owns how the requirements of several rules become one. Never takes a default for a demand.

What no rule says is filled in last: a rule without a timeout must not pull the default hour in.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from itertools import pairwise

from hitl_vault.core.durations import MAX_S
from hitl_vault.core.model import (
    Answer,
    Assurance,
    Escalation,
    GrantLimit,
    Repeats,
    Requirement,
    Stage,
)
from hitl_vault.core.requirements import stricter_requirement
from hitl_vault.core.voting import person


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenHours:
    """The business hours a rule counts `remind` and `escalate` in; `timeout` too where it says."""

    open: str
    timeout: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What a rule says about the requirement; None where it says nothing."""

    stages: tuple[Stage, ...] | None = None
    timeout_s: float | None = None
    use_within_s: float | None = None
    answers: tuple[Answer, ...] | None = None
    require_reason: tuple[Answer, ...] | None = None
    assurance: Assurance | None = None
    veto: bool | None = None
    settle_s: float | None = None
    remind_s: tuple[float, ...] | None = None
    escalate: tuple[Escalation, ...] | None = None
    grant: GrantLimit | None = None
    repeats: Repeats | None = None
    hours: OpenHours | None = None


# Weaker than anything a rule can say, so that merging with it changes nothing.
_NOTHING = Requirement(
    timeout_s=math.inf,
    use_within_s=math.inf,
    answers=tuple(Answer),
    veto=False,
    grant=GrantLimit(uses=sys.maxsize, within_s=math.inf),
    repeats=Repeats.JOIN,
)


def merge_requirements(
    demands: Sequence[Demand],
    *,
    timeout_s: float | None,
    default_timeout_s: float,
    default_use_within_s: float,
) -> Requirement:
    """Return the requirement that meets every demand, whatever their order.

    The caller's `timeout_s` and a rule's meet in the shorter. `veto: false` holds only if every
    demand says it: a rejection that one rule counts on is not lost because another rule came along.
    So does `repeats: join`: whoever did not say that a repeat is the same wish wants to be asked.
    """
    merged = reduce(stricter_requirement, map(_said, demands), _NOTHING)
    if timeout_s is not None:
        merged = replace(merged, timeout_s=min(merged.timeout_s, timeout_s))
    default = Requirement()
    return replace(
        merged,
        stages=_merge_stages([demand.stages for demand in demands if demand.stages is not None]),
        timeout_s=_time_to_answer(merged, default_timeout_s),
        use_within_s=(
            default_use_within_s if math.isinf(merged.use_within_s) else merged.use_within_s
        ),
        answers=(
            merged.answers
            if any(demand.answers is not None for demand in demands)
            else default.answers
        ),
        require_reason=tuple(answer for answer in Answer if answer in merged.require_reason),
        veto=merged.veto or not demands,
        grant=merged.grant if demands else None,
        repeats=merged.repeats if demands else Repeats.ASK,
    )


def _time_to_answer(merged: Requirement, default_s: float) -> float:
    if not math.isinf(merged.timeout_s):
        return merged.timeout_s
    return default_s if merged.timeout_open_s is None else MAX_S


def _said(demand: Demand) -> Requirement:
    in_hours = demand.hours is not None and demand.hours.timeout
    return Requirement(
        timeout_s=_or(None if in_hours else demand.timeout_s, math.inf),
        timeout_open_s=demand.timeout_s if in_hours else None,
        hours=() if demand.hours is None else (demand.hours.open,),
        use_within_s=_or(demand.use_within_s, math.inf),
        answers=tuple(Answer) if demand.answers is None else demand.answers,
        require_reason=demand.require_reason or (),
        assurance=demand.assurance or Assurance.EDITED,
        veto=demand.veto is not False,
        settle_s=demand.settle_s,
        remind_s=demand.remind_s or (),
        escalate=demand.escalate or (),
        grant=demand.grant,
        repeats=demand.repeats or Repeats.ASK,
    )


def _or(value: float | None, otherwise: float) -> float:
    return otherwise if value is None else value


def folded(group: tuple[str, ...]) -> tuple[str, ...]:
    """Return a group of approvers as votes compare it, whatever the spelling of its names."""
    return tuple(person(name) for name in group)


def _merge_stages(plans: list[tuple[Stage, ...]]) -> tuple[Stage, ...]:
    """Return stages that meet every plan: each group once, with its largest quorum, in order.

    As many people must approve in all as the most demanding plan asks for; where the named groups
    come to fewer, anyone may be the rest, in a last stage.
    """
    merged: dict[tuple[str, ...], Stage] = {}
    for stage in (stage for plan in plans for stage in plan if stage.approvers):
        known = merged.setdefault(folded(stage.approvers), stage)
        merged[folded(stage.approvers)] = Stage(
            approvers=min(known.approvers, stage.approvers),
            quorum=max(known.quorum, stage.quorum),
        )
    depths = _depths(plans)
    named = [merged[group] for group in sorted(merged, key=lambda group: (depths[group], group))]
    people = max((sum(stage.quorum for stage in plan) for plan in plans), default=1)
    missing = people - sum(stage.quorum for stage in named)
    return (*named, Stage(quorum=missing)) if missing > 0 else tuple(named)


def _depths(plans: list[tuple[Stage, ...]]) -> dict[tuple[str, ...], int]:
    """Return how many groups must have gone before each group, by every plan's order."""
    orders = [[folded(stage.approvers) for stage in plan] for plan in plans]
    depths = {group: 0 for order in orders for group in order}
    pairs = {pair for order in orders for pair in pairwise(order)}
    for _ in depths:  # as often as there are groups: ends even where two plans disagree
        known = dict(depths)
        for before, after in pairs:
            depths[after] = max(depths[after], known[before] + 1)
    return depths
