"""Owns the table tests that stand beside a policy. Never changes what the policy says.

cases:
  - name: a large payment asks
    action: {type: payment, details: {amount: 1500}}
    expect: ask
    risk: high
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import yaml

from hitl_vault.core import policy_values as values
from hitl_vault.core import strict_yaml
from hitl_vault.core.canonical import check_details
from hitl_vault.core.model import Action, Effect, Risk, Verdict
from hitl_vault.core.policy_blocks import Severity
from hitl_vault.core.policy_rules import Policy
from hitl_vault.core.policy_values import Notes
from hitl_vault.errors import InvalidRequest, PolicyError

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
"""When a case takes place that does not say `at`: noon UTC on a Monday."""

_KEYS = ("name", "action", "at", "expect", "rules", "risk", "quorum", "timeout", "summary")
_ACTION_KEYS = ("type", "details", "requested_by", "agent", "run_id")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One action, and what the policy is expected to say of it; None where it does not matter.

    `rules` are exactly those that match, in any order; `quorum` counts all stages.
    """

    name: str
    line: int
    action: Action
    expect: Effect
    at: datetime = NOON
    rules: frozenset[str] | None = None
    risk: Risk | None = None
    quorum: int | None = None
    timeout_s: float | None = None
    summary: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseResult:
    """What came of a case; `failures` are sentences, none if it passed."""

    case: Case
    verdict: Verdict
    failures: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """True if everything expected came true."""
        return not self.failures


def run_cases(policy: Policy, cases_text: str | bytes, name: str) -> list[CaseResult]:
    """Judge every case of a YAML text by the policy, in order.

    Raises:
        PolicyError: The text is not such a file; names `name` and the first wrong line.
    """
    return [_run(policy, case) for case in parse_cases(cases_text, name)]


def _run(policy: Policy, case: Case) -> CaseResult:
    verdict = policy.evaluate(case.action, case.at)
    quorum = sum(stage.quorum for stage in verdict.requirement.stages)
    compared: list[tuple[str, Any, Any]] = [
        ("effect", case.expect, verdict.effect),
        ("rules", case.rules, frozenset(verdict.rules)),
        ("risk", case.risk, verdict.risk),
        ("quorum", case.quorum, quorum),
        ("timeout", case.timeout_s, verdict.requirement.timeout_s),
        ("summary", case.summary, verdict.summary),
    ]
    failures = tuple(
        f"{what}: expected {_shown(expected)}, got {_shown(got)}"
        for what, expected, got in compared
        if expected is not None and expected != got
    )
    if failures:
        failures = (*failures, f"because: {verdict.reason}")
    return CaseResult(case=case, verdict=verdict, failures=failures)


def _shown(value: Any) -> str:
    match value:
        case frozenset():
            return ", ".join(sorted(value)) or "none"
        case float():
            return f"{value:g} s"
        case _:
            return str(value)


def parse_cases(text: str | bytes, name: str) -> list[Case]:
    """Read the cases of a YAML text.

    Raises:
        PolicyError: It is not such a file; names the first wrong line.
    """
    notes = Notes(first_line=1)
    try:
        plain = text.decode("utf-8-sig") if isinstance(text, bytes) else text
        root = strict_yaml.compose_mapping(plain, max_chars=len(plain))
        keys = notes.known_keys(root, ("cases",), "a file of cases")
        items = values.read_list(keys.get("cases", root), "cases", "- name: …", notes) or []
        cases = [case for item in items if (case := _read_case(item, notes)) is not None]
    except UnicodeDecodeError as error:
        raise PolicyError("not UTF-8; save the file as UTF-8", file=name) from error
    except strict_yaml.YamlProblem as error:
        raise PolicyError(error.problem, file=name, line=error.line) from error
    for problem in sorted(notes.problems, key=lambda problem: problem.line):
        if problem.severity is Severity.ERROR:
            raise PolicyError(problem.message, file=name, line=problem.line)
    return cases


def _read_case(node: yaml.Node, notes: Notes) -> Case | None:
    if not isinstance(node, yaml.MappingNode):
        notes.error(node, "a case must be `key: value` lines; start it with `- name: …`")
        return None
    keys = notes.known_keys(node, _KEYS, "a case")
    missing = [key for key in ("name", "action", "expect") if key not in keys]
    if missing:
        notes.error(node, f"a case needs {', '.join(f'`{key}`' for key in missing)}")
        return None
    name = values.read_text(keys["name"], "name", notes)
    action = _read_action(keys["action"], notes)
    expect = values.read_word(keys["expect"], Effect, "expect", notes)
    wanted = {
        field: reader(keys[key], key, notes)
        for key, (field, reader) in _READERS.items()
        if key in keys
    }
    if name is None or action is None or expect is None:
        return None
    return Case(name=name, line=notes.line(node), action=action, expect=expect, **wanted)


def _read_action(node: yaml.Node, notes: Notes) -> Action | None:
    if not isinstance(node, yaml.MappingNode):
        notes.error(node, "`action` must be such as {type: payment, details: {amount: 5}}")
        return None
    keys = notes.known_keys(node, _ACTION_KEYS, "an action")
    texts = {key: values.read_text(keys[key], key, notes) or "" for key in keys if key != "details"}
    if not texts.get("type"):
        notes.error(node, "an action needs a `type`")
    details = strict_yaml.value_of(keys["details"]) if "details" in keys else {}
    try:
        check_details(details)
    except InvalidRequest as error:
        notes.error(keys["details"], str(error))
        return None
    filled = {"type": "", "requested_by": "agent", "agent": "", "run_id": "", **texts}
    return Action(description="", details=details, **filled)


def _read_rules(node: yaml.Node, key: str, notes: Notes) -> frozenset[str] | None:
    if isinstance(node, yaml.SequenceNode) and not node.value:
        return frozenset()
    items = values.read_list(node, key, "[large-payment]", notes)
    if items is None:
        return None
    return frozenset(values.read_text(item, key, notes) or "" for item in items)


def _read_at(node: yaml.Node, key: str, notes: Notes) -> datetime:
    try:
        at = datetime.fromisoformat(node.value)
    except (TypeError, ValueError):
        notes.error(node, f'`{key}` must be a time such as "2026-01-05T12:00:00Z"')
        return NOON
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)


_READERS: dict[str, tuple[str, Any]] = {
    "at": ("at", _read_at),
    "rules": ("rules", _read_rules),
    "risk": ("risk", lambda node, key, notes: values.read_word(node, Risk, key, notes)),
    "quorum": ("quorum", values.read_quorum),
    "timeout": ("timeout_s", values.read_duration),
    "summary": ("summary", values.read_text),
}
