"""Owns requirements: whether one can be met, and the one that meets two. Never counts a vote."""

from __future__ import annotations

from dataclasses import replace

from hitl_vault.core import hours
from hitl_vault.core.durations import MAX_S
from hitl_vault.core.model import Answer, Escalation, GrantLimit, Requirement, Risk, Stage, Verdict


def is_sound(need: Requirement) -> bool:
    """True if a count under this requirement can be made and ends."""
    times = (
        *(need.timeout_s, need.use_within_s, *need.remind_s),
        *(rung.after_s for rung in need.escalate),
        *(() if need.timeout_open_s is None else (need.timeout_open_s,)),
    )
    return (
        bool(need.stages)
        and hours.is_readable(need.hours)
        and all(stage.quorum >= 1 for stage in need.stages)
        and all(0 <= seconds <= MAX_S for seconds in times)
    )


def widened(need: Requirement, rung: Escalation) -> Requirement:
    """Return the requirement with the people of an escalation among those who may answer."""
    stages = tuple(
        replace(stage, approvers=tuple(dict.fromkeys((*stage.approvers, *rung.to))))
        if stage.approvers
        else stage
        for stage in need.stages
    )
    return replace(need, stages=stages)


def stricter(one: Verdict, two: Verdict) -> Verdict:
    """Return the verdict that satisfies both: what an edited action must meet."""
    risks: tuple[Risk, Risk] = (one.risk, two.risk)
    return Verdict(
        effect=max((one.effect, two.effect), key=lambda effect: effect.rank),
        rules=tuple(dict.fromkeys((*one.rules, *two.rules))),
        reasons=tuple(dict.fromkeys((*one.reasons, *two.reasons))),
        risk=max(risks, key=lambda risk: risk.rank),
        requirement=stricter_requirement(one.requirement, two.requirement),
        policy_sha256=two.policy_sha256,
        summary=two.summary,
    )


def stricter_requirement(one: Requirement, two: Requirement) -> Requirement:
    """Return the requirement that meets both: most reviewers, shortest times, highest assurance."""
    both = tuple(answer for answer in one.answers if answer in two.answers)
    settles = [s for s in (one.settle_s, two.settle_s) if s is not None]
    return Requirement(
        stages=_merge_stages(one.stages, two.stages),
        timeout_s=min(one.timeout_s, two.timeout_s),
        use_within_s=min(one.use_within_s, two.use_within_s),
        answers=both or (Answer.REJECT,),
        require_reason=tuple(dict.fromkeys((*one.require_reason, *two.require_reason))),
        assurance=max((one.assurance, two.assurance), key=lambda level: level.rank),
        veto=one.veto or two.veto,
        settle_s=max(settles) if settles else None,
        remind_s=tuple(sorted({*one.remind_s, *two.remind_s})),
        escalate=tuple(
            sorted({*one.escalate, *two.escalate}, key=lambda rung: (rung.after_s, rung.to))
        ),
        grant=_narrower(one.grant, two.grant),
        repeats=max((one.repeats, two.repeats), key=lambda repeats: repeats.rank),
        hours=_widest_hours(one, two),
        timeout_open_s=min(
            (s for s in (one.timeout_open_s, two.timeout_open_s) if s is not None), default=None
        ),
    )


def _widest_hours(one: Requirement, two: Requirement) -> tuple[str, ...]:
    """Return the hours that count for both, so that nothing comes later than either asks: what lies
    in the hours of any, and all time where one of them counts all time.
    """
    timed = [
        need.hours
        for need in (one, two)
        if need.remind_s or need.escalate or need.timeout_open_s is not None
    ]
    return tuple(sorted({text for texts in timed for text in texts})) if all(timed) else ()


def _narrower(one: GrantLimit | None, two: GrantLimit | None) -> GrantLimit | None:
    if one is None or two is None:
        return None
    return GrantLimit(uses=min(one.uses, two.uses), within_s=min(one.within_s, two.within_s))


def _merge_stages(one: tuple[Stage, ...], two: tuple[Stage, ...]) -> tuple[Stage, ...]:
    """Keep each named group once, with as many people as the plan that asks for more of it.

    As many people must approve in all as the larger plan asks for; where the named groups come to
    fewer, anyone may be the rest, in a last stage.
    """
    if one == two:
        return one
    groups: dict[tuple[str, ...], int] = {}
    for plan in (one, two):
        for group in dict.fromkeys(stage.approvers for stage in plan if stage.approvers):
            people = sum(stage.quorum for stage in plan if stage.approvers == group)
            groups[group] = max(people, groups.get(group, 0))
    named = tuple(Stage(approvers=group, quorum=quorum) for group, quorum in groups.items())
    largest = max(sum(stage.quorum for stage in plan) for plan in (one, two))
    missing = largest - sum(groups.values())
    return (*named, Stage(quorum=missing)) if missing > 0 else named
