"""Owns what a policy says of an action: which rules count, and what they add up to. Never loosens.

Every rule that matches counts and the strictest effect wins. An ask or deny rule that cannot be
evaluated matches; an allow rule that cannot be evaluated does not.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from hitl_vault.core.model import (
    Action,
    Details,
    Effect,
    Requirement,
    Risk,
    Verdict,
)
from hitl_vault.core.policy_condition import Condition, Facts, make_facts
from hitl_vault.core.policy_merging import Demand, merge_requirements

PLACEHOLDER = re.compile(r"\{([A-Za-z0-9_.|-]*)\}")
_SPACED = re.compile(rf"( ?){PLACEHOLDER.pattern}")
_MAX_VALUE_CHARS = 200
_MOST_MERGED = 1_024


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule(Demand):
    """One rule of a policy, with what it demands of an approval."""

    id: str
    line: int
    effect: Effect
    when_text: str = ""
    unless_text: str = ""
    when: Condition | None = None
    unless: Condition | None = None
    risk: Risk | None = None
    reason: str = ""
    summary: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """What came of one rule for one action: whether it matched, and why, in words."""

    rule: Rule
    matched: bool
    why: str
    unclear: str = ""
    """Why a condition of it could not be evaluated; "" if all could."""

    @property
    def reason(self) -> str:
        """What the rule adds to the reasons of a verdict."""
        said = self.rule.reason or f"the rule {self.rule.id} says {self.rule.effect}"
        return f"{said} ({self.unclear})" if self.unclear else said


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The rules in force. `sha256` is the digest of the exact bytes of the text, "" without one.

    `names` holds every approver and role named anywhere. `alarm` says why nothing could be loaded.
    """

    sha256: str
    name: str
    default: Effect
    rules: tuple[Rule, ...]
    names: frozenset[str]
    alarm: str = ""
    reads_clock: bool = False
    """True if a condition looks at `now`, so that the same action may be judged otherwise later."""
    merged: dict[tuple[object, ...], Requirement] = field(
        default_factory=dict, compare=False, repr=False
    )
    """What the rules of a kind of action came to before: the same few come together again."""

    def evaluate(
        self,
        action: Action,
        now: datetime,
        *,
        timeout_s: float | None = None,
        default_timeout_s: float = 3600.0,
        default_use_within_s: float = 86400.0,
    ) -> Verdict:
        """Judge an action.

        Args:
            action: What is wanted; its description is not looked at.
            now: The aware time that conditions see.
            timeout_s: How long the caller is ready to wait; a rule can only shorten it.
            default_timeout_s: The time to answer if neither the caller nor a rule gives one.
            default_use_within_s: The time to claim an approval if no rule gives one.

        Guarantees:
            Never raises for details that are JSON. The order of rules changes only the order of
            reasons and which summary is shown.
        """
        facts = make_facts(action, now)
        found = ((rule, _find(rule, facts)) for rule in self.rules)
        matched = [Finding(rule, *judged) for rule, judged in found if judged[0]]
        rules = [finding.rule for finding in matched]
        requirement = self._requirement(
            [rule for rule in rules if rule.effect is Effect.ASK],
            timeout_s,
            default_timeout_s,
            default_use_within_s,
        )
        if not rules:
            return self._unmatched(requirement)
        effect = max((rule.effect for rule in rules), key=lambda effect: effect.rank)
        # what is forbidden is forbidden for the reasons of the rules that forbid it
        telling = [f for f in matched if effect is not Effect.DENY or f.rule.effect is effect]
        risks = [rule.risk for rule in rules if rule.risk is not None]
        return Verdict(
            effect=effect,
            rules=tuple(rule.id for rule in rules),
            reasons=tuple(dict.fromkeys(finding.reason for finding in telling)),
            risk=max(risks, key=lambda risk: risk.rank, default=Risk.LOW),
            requirement=requirement,
            policy_sha256=self.sha256,
            summary=_summary(rules, effect, action.details),
        )

    def explain(self, action: Action, now: datetime) -> list[Finding]:
        """Return what came of every rule, in order. Never raises for details that are JSON."""
        facts = make_facts(action, now)
        return [Finding(rule, *_find(rule, facts)) for rule in self.rules]

    def _requirement(
        self,
        rules: list[Rule],
        timeout_s: float | None,
        default_timeout_s: float,
        default_use_within_s: float,
    ) -> Requirement:
        key = (timeout_s, default_timeout_s, default_use_within_s, *(id(rule) for rule in rules))
        known = self.merged.get(key)
        if known is None:
            known = merge_requirements(
                rules,
                timeout_s=timeout_s,
                default_timeout_s=default_timeout_s,
                default_use_within_s=default_use_within_s,
            )
            if len(self.merged) < _MOST_MERGED:
                self.merged[key] = known
        return known

    def _unmatched(self, requirement: Requirement) -> Verdict:
        reason = self.alarm or f"no rule matches; the default is {self.default}"
        return Verdict(
            effect=self.default,
            reasons=(reason,),
            requirement=requirement,
            policy_sha256=self.sha256,
        )


def ask_everything(name: str, why: str) -> Policy:
    """Return what is in force if no policy could ever be loaded: everything asks, and says why."""
    return Policy(
        sha256="",
        name=name,
        default=Effect.ASK,
        rules=(),
        names=frozenset(),
        alarm=f"the policy could not be loaded, so everything asks: {why}",
    )


def _find(rule: Rule, facts: Facts) -> tuple[bool, str, str]:
    """Return whether a rule matched, why, and what of it was unclear: most do not, and are many."""
    lenient = rule.effect is Effect.ALLOW
    why, unclear = "it has no condition, so it always counts", ""
    if rule.when is not None:
        judged = rule.when.judge(facts)
        if judged is False:
            return False, "its condition is false", ""
        why = "its condition is true"
        if isinstance(judged, str):
            why = unclear = f"its condition could not be evaluated: {judged}"
            if lenient:
                return False, why, unclear
    if rule.unless is not None:
        excused = rule.unless.judge(facts)
        if excused is True:
            return False, "its `unless` is true", unclear
        if isinstance(excused, str):
            said = f"its `unless` could not be evaluated: {excused}"
            unclear = f"{unclear}; {said}" if unclear else said
            why = f"{why}; {said}"
            if lenient:
                return False, why, unclear
    return True, why, unclear


def _summary(rules: list[Rule], effect: Effect, details: Details) -> str:
    templates = [rule for rule in rules if rule.summary]
    templates.sort(key=lambda rule: rule.effect is not effect)
    return fill(templates[0].summary, details) if templates else ""


def fill(template: str, details: Details) -> str:
    """Put details into the placeholders: `{field}`, `{a.b}`, `{first|second}`; `?` if missing.

    One that ends in `|`, `{field|}`, is left out if missing, with the space before it.
    Values come out as plain text, at most 200 characters each, and are not read for placeholders
    again. Making them inert is the renderer's part.
    """
    return _SPACED.sub(lambda found: _filled(found[1], found[2], details), template)


def _filled(space: str, alternatives: str, details: Details) -> str:
    value = _first_value(alternatives, details)
    if value is None:
        return "" if alternatives.endswith("|") else f"{space}?"
    return f"{space}{value}"


def _first_value(alternatives: str, details: Details) -> str | None:
    for path in alternatives.split("|"):
        value: Any = details
        for step in path.split("."):
            value = value.get(step) if isinstance(value, dict) else None
        if value is not None:
            return _plain(value)
    return None


def _plain(value: Any) -> str:
    try:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        return "?"
    return text if len(text) <= _MAX_VALUE_CHARS else f"{text[: _MAX_VALUE_CHARS - 1]}…"
