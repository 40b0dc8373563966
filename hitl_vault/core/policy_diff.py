"""Owns how two policies differ, and whether the new one could judge anything less strictly. Never
runs a rule to find out: `loosens` is true unless the texts alone show that nothing can be looser.

`repeats` loosens neither way: joined or not, what runs was approved, once for each request, and
what joins makes one request fewer.

`looser` compares two verdicts on one action; for any action, where it finds something, `compare`
says that the new policy loosens.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from hitl_vault.core.durations import show_duration
from hitl_vault.core.model import (
    Answer,
    Assurance,
    Effect,
    GrantLimit,
    Requirement,
    Risk,
    Stage,
    Verdict,
)
from hitl_vault.core.policy_merging import OpenHours, folded
from hitl_vault.core.policy_rules import Policy, Rule

_PLAIN_ANSWERS = (Answer.APPROVE, Answer.REJECT)


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyDiff:
    """What changed, as lines for people, and why it counts as looser: no reasons, it does not."""

    changes: tuple[str, ...]
    reasons: tuple[str, ...]

    @property
    def loosens(self) -> bool:
        """True unless the new policy is shown to be nowhere less strict."""
        return bool(self.reasons)


def compare(
    old: Policy, new: Policy, *, timeout_s: float = 3600.0, use_within_s: float = 86400.0
) -> PolicyDiff:
    """Compare two policies.

    Args:
        old: The one in force.
        new: The one that is to replace it.
        timeout_s: The time to answer where no rule says.
        use_within_s: The time to claim where no rule says.
    """
    defaults = Rule(
        id="-", line=0, effect=Effect.ASK, timeout_s=timeout_s, use_within_s=use_within_s
    )
    before = {rule.id: rule for rule in old.rules}
    after = {rule.id: rule for rule in new.rules}
    changes: list[str] = []
    reasons: list[str] = []
    if new.default is not old.default:
        changes.append(f"the default was {old.default} and is {new.default}")
    if new.default.rank < old.default.rank:
        reasons.append(f"what no rule speaks of was {old.default} and is {new.default}")
    for id, rule in before.items():
        if id not in after:
            changes.append(f"- {id}: {_described(rule)}")
            reasons += _removed(rule)
        elif _text(rule) != _text(after[id]):
            changes += [f"~ {id}: {line}" for line in _changed(rule, after[id])]
            reasons += [f"{id}: {why}" for why in _weaker(rule, after[id], old, defaults)]
    for id, rule in after.items():
        if id not in before:
            changes.append(f"+ {id}: {_described(rule)}")
            reasons += [f"{id}: {why}" for why in _added(rule, old, defaults)]
    return PolicyDiff(changes=tuple(changes or ["only what is not a rule"]), reasons=tuple(reasons))


def _removed(rule: Rule) -> Iterator[str]:
    if rule.effect is not Effect.ALLOW:
        yield f"the rule {rule.id}, which says {rule.effect}, is gone"
    elif _risk(rule) > 0:
        yield f"the rule {rule.id}, which rates a risk, is gone"


def _added(rule: Rule, old: Policy, defaults: Rule) -> Iterator[str]:
    """Say what of a new rule might be looser than no rule at all."""
    if rule.effect is Effect.ALLOW and old.default is not Effect.ALLOW:
        yield "it allows what no rule allowed"
    if rule.summary and rule.effect is not Effect.ALLOW:
        yield "it words what people are shown"
    if rule.effect is not Effect.ASK:
        return
    if old.default is Effect.DENY:
        yield "it asks about what was denied by default"
    if rule.escalate:
        yield "more people may answer after a while"
    yield from _demands(defaults, rule, alone=True)


def _weaker(old: Rule, new: Rule, before: Policy, defaults: Rule) -> Iterator[str]:
    """Say what of a changed rule might be looser."""
    if (new.when_text, new.unless_text) != (old.when_text, old.unless_text):
        yield "its condition is another one"
    if new.effect.rank < old.effect.rank:
        yield f"it said {old.effect} and says {new.effect}"
    if _risk(new) < _risk(old):
        yield "its risk is rated lower"
    if new.summary != old.summary:
        yield "it words otherwise what people are shown"
    if new.effect is not Effect.ASK:
        return
    if old.effect is Effect.ASK:
        yield from _demands(old, new, defaults=defaults)
    else:  # what could not be evaluated did not match, and does now
        yield from _added(new, before, defaults)


def _demands(
    old: Rule, new: Rule, *, alone: bool = False, defaults: Rule | None = None
) -> Iterator[str]:
    """Say what one asking rule demands less of than another; `alone`: than none at all."""
    for what, name in (("timeout_s", "time to answer"), ("use_within_s", "time to claim")):
        was, now = getattr(old, what), getattr(new, what)
        most = was if was is not None else getattr(defaults, what, math.inf)
        if now is not None and now > most:
            yield f"the {name} is longer"
        if now is None and was is not None and not alone:
            yield f"the {name} is limited no more"
    kept = (
        (_answers_kept(old.answers, new.answers), "its answers are others"),
        (
            set(new.require_reason or ()) >= set(old.require_reason or ()),
            "a reason is required no more",
        ),
        (
            (new.assurance or Assurance.EDITED).rank >= (old.assurance or Assurance.EDITED).rank,
            "a weaker proof of the answer is enough",
        ),
        ((new.veto is not False) >= (old.veto is not False), "a rejection no longer ends it"),
        ((new.settle_s or 0) >= (old.settle_s or 0), "a note counts sooner"),
        (
            alone or set(new.escalate or ()) <= set(old.escalate or ()),
            "other people may answer after a while",
        ),
        (_hours_kept(old, new), "time counts in other hours"),
        (_narrower(old.grant, new.grant), "a standing grant may be wider"),
        (_plan_kept(old.stages, new.stages), "other people, or fewer, must approve"),
    )
    yield from (why for is_kept, why in kept if not is_kept)


def _answers_kept(old: tuple[Answer, ...] | None, new: tuple[Answer, ...] | None) -> bool:
    """True if the new answers let nobody approve who could not, and keep the way to say no."""
    if new is None:
        return old is None or set(old) == set(Answer)
    allowed = set(_PLAIN_ANSWERS if old is None else old)
    return set(new) <= allowed and (Answer.REJECT in new or Answer.REJECT not in allowed)


def _hours_kept(old: Rule, new: Rule) -> bool:
    """True if no deadline is later and no escalation sooner; when people are reminded is no matter.

    Which of two hours leaves more time depends on the day, so different ones are never as strict.
    """
    if old.hours == new.hours:
        return True
    times_out = any(rule.hours is not None and rule.hours.timeout for rule in (old, new))
    return not times_out and not new.escalate


def _narrower(old: GrantLimit | None, new: GrantLimit | None) -> bool:
    if new is None:
        return True
    return old is not None and new.uses <= old.uses and new.within_s <= old.within_s


def _plan_kept(old: tuple[Stage, ...] | None, new: tuple[Stage, ...] | None) -> bool:
    """True if every group must still approve, in the same order, by as many; and in all as many."""
    if old is None:
        return True
    if new is None:
        return False
    groups = [(folded(stage.approvers), stage.quorum) for stage in new]
    at = 0
    for stage in old:
        if not stage.approvers:
            continue
        found = next(
            (
                place
                for place, (group, quorum) in enumerate(groups[at:], start=at)
                if group == folded(stage.approvers) and quorum >= stage.quorum
            ),
            None,
        )
        if found is None:
            return False
        at = found + 1
    return _people(new) >= _people(old)


def _people(plan: tuple[Stage, ...]) -> int:
    return sum(stage.quorum for stage in plan)


def _risk(rule: Rule) -> int:
    return (rule.risk or Risk.LOW).rank


# two verdicts


def looser(old: Verdict, new: Verdict) -> str:
    """Return in a few words how the new verdict on an action is less strict; "" if it is not."""
    if new.effect.rank < old.effect.rank:
        return f"{old.effect} would be {new.effect}"
    if new.risk.rank < old.risk.rank:
        return f"risk {old.risk} would be {new.risk}"
    if not new.effect is old.effect is Effect.ASK:
        return ""
    return next(_less(old.requirement, new.requirement), "")


def _less(old: Requirement, new: Requirement) -> Iterator[str]:
    groups = {folded(stage.approvers): stage.quorum for stage in new.stages}
    for stage in old.stages:
        if stage.approvers and groups.get(folded(stage.approvers), 0) < stage.quorum:
            yield f"{', '.join(stage.approvers)} would approve no more, or fewer of them"
    if _people(new.stages) < _people(old.stages):
        yield f"{_people(old.stages)} approvals would be {_people(new.stages)}"
    less = (
        (new.assurance.rank < old.assurance.rank, f"{old.assurance} would be {new.assurance}"),
        (
            bool(set(new.answers) - set(old.answers) - {Answer.REJECT}),
            "more answers would approve",
        ),
        (Answer.REJECT in set(old.answers) - set(new.answers), "nobody could reject"),
        (
            not set(new.require_reason) >= set(old.require_reason),
            "a reason would be required no more",
        ),
        (new.veto < old.veto, "a rejection would not end it"),
        ((new.settle_s or 0) < (old.settle_s or 0), "a note would count sooner"),
        (
            _has_longer(old, new) or new.use_within_s > old.use_within_s,
            "there would be more time",
        ),
        (
            not set(new.escalate) <= set(old.escalate)
            or (bool(new.escalate) and new.hours != old.hours),
            "more people could answer after a while",
        ),
        (not _narrower(old.grant, new.grant), "a standing grant could be wider"),
    )
    yield from (why for is_less, why in less if is_less)


def _has_longer(old: Requirement, new: Requirement) -> bool:
    """True if the time to answer may end later; open hours take at least as long as they count."""
    if new.timeout_open_s is None:
        return new.timeout_s > min(old.timeout_s, old.timeout_open_s or math.inf)
    if old.timeout_open_s is None or new.hours != old.hours:
        return new.timeout_s > old.timeout_s or old.timeout_open_s is not None
    return new.timeout_s > old.timeout_s or new.timeout_open_s > old.timeout_open_s


# in words


def _text(rule: Rule) -> tuple[object, ...]:
    return tuple(getattr(rule, name) for name in _SHOWN)


_SHOWN = (
    "effect",
    "when_text",
    "unless_text",
    "risk",
    "reason",
    "summary",
    "stages",
    "timeout_s",
    "use_within_s",
    "answers",
    "require_reason",
    "assurance",
    "veto",
    "settle_s",
    "remind_s",
    "escalate",
    "hours",
    "grant",
    "repeats",
)


def _described(rule: Rule) -> str:
    parts = [rule.effect.value]
    if rule.when_text:
        parts.append(f"when {_one_line(rule.when_text)}")
    if rule.unless_text:
        parts.append(f"unless {_one_line(rule.unless_text)}")
    said = [name for name in _SHOWN[3:] if getattr(rule, name) not in (None, "")]
    parts += [f"{_key(name)} {_shown(name, getattr(rule, name))}" for name in said]
    return "; ".join(parts)


def _changed(old: Rule, new: Rule) -> Iterator[str]:
    for name in _SHOWN:
        was, now = getattr(old, name), getattr(new, name)
        if was != now:
            yield f"{_key(name)} was {_shown(name, was)} and is {_shown(name, now)}"


def _key(name: str) -> str:
    return name.removesuffix("_s").removesuffix("_text")


def _shown(name: str, value: object) -> str:
    if value in (None, ""):
        return "not given"
    match value:
        case bool():
            return str(value).lower()
        case str():
            return _one_line(str(value))
        case float() | int():
            return show_duration(value) if name.endswith("_s") else str(value)
        case OpenHours():
            return value.open + (", also for the time to answer" if value.timeout else "")
        case GrantLimit():
            return f"{value.uses} uses within {show_duration(value.within_s)}"
        case tuple():
            return ", ".join(_item(item) for item in value)
        case _:
            return str(value)


def _item(item: object) -> str:
    match item:
        case Stage():
            return f"{item.quorum} of {' or '.join(item.approvers) or 'anyone'}"
        case float() | int():
            return show_duration(item)
        case str():
            return str(item)
        case _:
            after_s, to = getattr(item, "after_s", 0.0), getattr(item, "to", ())
            return f"after {show_duration(after_s)} {' or '.join(to)}"


def _one_line(text: str) -> str:
    return " ".join(text.split())
