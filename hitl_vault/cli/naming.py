"""Owns comparing the names in a policy with the people on record. Never changes either."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from hitl_vault.core.policy import Problem, Rule, Severity, parse_policy
from hitl_vault.core.voting import person
from hitl_vault.errors import PolicyError

if TYPE_CHECKING:
    from hitl_vault.core.people import People


def policy_names(file: Path) -> frozenset[str]:
    """Return the names and roles a policy names; none where it cannot be read."""
    try:
        return parse_policy(file.read_bytes(), name=file.name).names
    except (OSError, PolicyError):
        return frozenset()


def unknown_names(text: bytes, people: People, *, name: str) -> list[Problem]:
    """Return a problem for each name that nobody on record is, by line; the policy must be sound.

    Where no record of reviewers is kept, one hint says so, since any name is a person's then.
    """
    policy = parse_policy(text, name=name)
    lines = text.decode("utf-8-sig").splitlines()
    if not people.on_record:
        return _hint(policy.rules, lines) if policy.names else []
    problems, ends = [], [*(rule.line for rule in policy.rules[1:]), len(lines) + 1]
    for rule, end in zip(policy.rules, ends, strict=False):
        for what, unknown in _named(rule):
            if people.holders(unknown):
                continue
            near = people.nearest(unknown)
            hint = f"; did you mean `{near}`?" if near else "."
            message = (
                f"`{what}` names `{unknown}`, and nobody on record is or holds that{hint} "
                "See: hitl reviewer list"
            )
            line = _line_of(unknown, lines, rule.line, max(end, rule.line + 1))
            problems.append(Problem(line=line, severity=Severity.ERROR, message=message))
    return problems


def _named(rule: Rule) -> Iterator[tuple[str, str]]:
    seen = set()
    for stage in rule.stages or ():
        for name in stage.approvers:
            if person(name) not in seen:
                yield "approvers", name
            seen.add(person(name))
    for rung in rule.escalate or ():
        for name in rung.to:
            if person(name) not in seen:
                yield "escalate", name
            seen.add(person(name))


def _line_of(name: str, lines: list[str], first: int, end: int) -> int:
    """Return the line of a rule (from `first` on, before `end`) where a name stands."""
    word = re.compile(rf"(?<![\w-]){re.escape(name)}(?![\w-])")
    return next((n for n in range(first, end) if word.search(lines[n - 1])), first)


def _hint(rules: tuple[Rule, ...], lines: list[str]) -> list[Problem]:
    first = next(rule for rule in rules if list(_named(rule)))
    names = sorted({name for rule in rules for _, name in _named(rule)}, key=person)
    message = (
        f"nobody is on record, so {', '.join(names)} can only be people's names as typed; "
        "put people and roles on record with: hitl reviewer add"
    )
    line = _line_of(next(_named(first))[1], lines, first.line, len(lines) + 1)
    return [Problem(line=line, severity=Severity.HINT, message=message)]
