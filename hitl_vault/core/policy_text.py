"""Owns how a policy is written: parsing its text, and finding what is wrong with it. Never guesses.

`parse_policy` and `lint_policy` read a text in the same way; one stops at the first error, the
other tells everything.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from typing import Any

import yaml

from hitl_vault.core import policy_values as values
from hitl_vault.core import strict_yaml
from hitl_vault.core.model import Answer, Assurance, Effect, Risk, Stage
from hitl_vault.core.policy_blocks import Block, Problem, Severity, find_blocks
from hitl_vault.core.policy_rules import Policy, Rule
from hitl_vault.core.policy_values import Notes
from hitl_vault.errors import PolicyError

_TOP_KEYS = ("default", "rules")
_ID = re.compile(r"[a-z0-9]+(-+[a-z0-9]+)*")

# The keys of a rule that stand for one field of it: key -> (field, reader).
_FIELDS: dict[str, tuple[str, Callable[[yaml.Node, str, Notes], Any]]] = {
    "when": ("when", values.read_condition),
    "unless": ("unless", values.read_condition),
    "risk": ("risk", lambda node, key, notes: values.read_word(node, Risk, key, notes)),
    "reason": ("reason", values.read_text),
    "summary": ("summary", values.read_summary),
    "timeout": ("timeout_s", values.read_duration),
    "use_within": ("use_within_s", values.read_duration),
    "remind": ("remind_s", values.read_reminders),
    "escalate": ("escalate", values.read_escalations),
    "hours": ("hours", values.read_hours),
    "answers": ("answers", values.read_answers),
    "require_reason": ("require_reason", values.read_answers),
    "assurance": (
        "assurance",
        lambda node, key, notes: values.read_word(node, Assurance, key, notes),
    ),
    "veto": ("veto", values.read_flag),
    "grant": ("grant", values.read_grant_limit),
    "repeats": ("repeats", values.read_repeats),
    "settle": (
        "settle_s",
        lambda node, key, notes: values.read_duration(node, key, notes, zero=True),
    ),
}
_DESCRIBING = ("id", "when", "unless", "effect", "risk", "reason", "summary")
_DEMANDS = ("approvers", "quorum", "stages", *(key for key in _FIELDS if key not in _DESCRIBING))


def parse_policy(text: bytes, *, name: str) -> Policy:
    """Read a policy: a Markdown note with ```yaml hitl-policy blocks, or a plain .yaml file.

    Args:
        text: The exact bytes; `sha256` of the policy is their digest.
        name: The file's name; it decides how the text is read, and stands in messages.

    Raises:
        PolicyError: It cannot be used; names the first line that is wrong.
    """
    policy, problems = _read(text, name)
    for problem in problems:
        if problem.severity is Severity.ERROR:
            raise PolicyError(problem.message, file=name, line=problem.line)
    return policy


def lint_policy(text: bytes, *, name: str) -> list[Problem]:
    """Return everything wrong with a policy, by line. A policy without errors can be parsed."""
    return _read(text, name)[1]


def _read(text: bytes, name: str) -> tuple[Policy, list[Problem]]:
    blocks, problems = find_blocks(text, name)
    found = _Found()
    for block in blocks:
        found.read(block)
    policy = Policy(
        sha256=hashlib.sha256(text).hexdigest(),
        name=name,
        default=found.default or Effect.ASK,
        rules=tuple(found.rules),
        names=frozenset(person for rule in found.rules for person in _people(rule)),
        reads_clock=any(_reads_clock(rule) for rule in found.rules),
    )
    problems += found.problems
    problems.sort(key=lambda problem: problem.line)
    return policy, problems


def _reads_clock(rule: Rule) -> bool:
    conditions = (rule.when, rule.unless)
    return any(c is not None and "now" in c.program.variables() for c in conditions)


def _people(rule: Rule) -> list[str]:
    named = [person for stage in rule.stages or () for person in stage.approvers]
    return named + [person for rung in rule.escalate or () for person in rung.to]


class _Found:
    """What the blocks read so far hold."""

    def __init__(self) -> None:
        self.default: Effect | None = None
        self.rules: list[Rule] = []
        self.problems: list[Problem] = []
        self._default_line = 0
        self._lines: dict[str, int] = {}

    def read(self, block: Block) -> None:
        notes = Notes(first_line=block.line)
        try:
            root = strict_yaml.compose_mapping(block.text, max_chars=len(block.text))
            keys = notes.known_keys(root, _TOP_KEYS, "a policy")
            if "default" in keys:
                self._read_default(keys["default"], notes)
            if "rules" in keys:
                self._read_rules(keys["rules"], notes)
        except strict_yaml.YamlProblem as problem:
            notes.problems.append(_yaml_problem(problem, block))
        self.problems += notes.problems

    def _read_default(self, node: yaml.Node, notes: Notes) -> None:
        if self._default_line:
            notes.error(node, f"`default` stands twice (first on line {self._default_line})")
            return
        self._default_line = notes.line(node)
        self.default = values.read_word(node, Effect, "default", notes)
        if self.default is Effect.ALLOW:
            notes.warning(node, "`default: allow` lets everything run that no rule speaks of")

    def _read_rules(self, node: yaml.Node, notes: Notes) -> None:
        if isinstance(node, yaml.ScalarNode) and not node.value:
            return  # every rule below it is commented out
        if not isinstance(node, yaml.SequenceNode):
            notes.error(node, "`rules` must be a list; start each rule with `- id: …`")
            return
        for item in node.value:
            rule = _read_rule(item, notes)
            if rule is None:
                continue
            first = self._lines.get(rule.id)
            if first is not None:
                notes.error(item, f"the rule id `{rule.id}` stands twice (first on line {first})")
            self._lines.setdefault(rule.id, rule.line)
            self.rules.append(rule)


def _yaml_problem(problem: strict_yaml.YamlProblem, block: Block) -> Problem:
    message = problem.problem
    if message.startswith("a tag (!"):
        message += "; put a condition that starts with ! in quotes"
    return Problem(line=block.line + problem.line - 1, severity=Severity.ERROR, message=message)


def _read_rule(node: yaml.Node, notes: Notes) -> Rule | None:
    """Return the rule; None, and a problem, without a usable id and effect."""
    if not isinstance(node, yaml.MappingNode):
        notes.error(node, "a rule must be `key: value` lines; start it with `- id: …`")
        return None
    keys = notes.known_keys(node, (*_DESCRIBING, *_DEMANDS), "a rule")
    rule_id = _read_id(keys.get("id", node), notes)
    effect = None
    if "effect" in keys:
        effect = values.read_word(keys["effect"], Effect, "effect", notes)
    else:
        notes.error(node, "a rule needs an `effect`: allow, ask or deny")
    fields = {
        field: reader(keys[key], key, notes)
        for key, (field, reader) in _FIELDS.items()
        if key in keys
    }
    stages = _read_who(keys, notes)
    if rule_id is None or effect is None:
        return None
    texts = {f"{key}_text": keys[key].value for key in ("when", "unless") if key in keys}
    fields |= {key: fields[key] or "" for key in ("reason", "summary") if key in fields}
    rule = Rule(id=rule_id, line=notes.line(node), effect=effect, stages=stages, **texts, **fields)
    _warn(rule, keys, notes)
    return rule


def _read_id(node: yaml.Node, notes: Notes) -> str | None:
    if isinstance(node, yaml.MappingNode):
        notes.error(node, "a rule needs an `id`")
        return None
    text = node.value if isinstance(node, yaml.ScalarNode) else ""
    if _ID.fullmatch(text):
        return str(text)
    notes.error(node, "`id` must be small letters and digits, words joined by -")
    return None


def _read_who(keys: dict[str, yaml.Node], notes: Notes) -> tuple[Stage, ...] | None:
    if "stages" not in keys:
        if "approvers" in keys or "quorum" in keys:
            return (values.read_stage(keys, notes),)
        return None
    for other in ("approvers", "quorum"):
        if other in keys:
            notes.error(keys[other], f"`{other}` and `stages` cannot stand together")
    return values.read_stages(keys["stages"], "stages", notes)


def _warn(rule: Rule, keys: dict[str, yaml.Node], notes: Notes) -> None:
    """Note what is allowed and most likely not meant."""
    for key in _DEMANDS:
        if key in keys and rule.effect is not Effect.ASK:
            notes.warning(keys[key], f"`{key}` does nothing: the effect is {rule.effect}, not ask")
    for key in ("when", "unless"):
        if key in keys and keys[key].value in {"false", "true"}:
            notes.warning(keys[key], f"`{key}` is always {keys[key].value}")
    if rule.effect is Effect.ALLOW and rule.when is None:
        notes.warning(keys["effect"], "this allows every action no other rule asks about")
    if rule.answers is not None and not {Answer.APPROVE, Answer.EDIT} & set(rule.answers):
        notes.warning(keys["answers"], "nobody can approve with these answers")
    _warn_of_times(rule, keys, notes)


def _warn_of_times(rule: Rule, keys: dict[str, yaml.Node], notes: Notes) -> None:
    in_hours = rule.hours is not None and rule.hours.timeout
    if rule.hours is not None and not (rule.remind_s or rule.escalate or in_hours):
        notes.warning(keys["hours"], "`hours` does nothing without `remind` or `escalate`")
    if in_hours and rule.timeout_s is None:
        notes.warning(keys["hours"], "this rule has no `timeout` that could count hours")
    # hours that only one side counts make the two incomparable
    if rule.timeout_s is not None and (rule.hours is None or in_hours):
        if any(after_s >= rule.timeout_s for after_s in rule.remind_s or ()):
            notes.warning(keys["remind"], "a reminder at or after the `timeout` is never sent")
        if any(rung.after_s >= rule.timeout_s for rung in rule.escalate or ()):
            notes.warning(keys["escalate"], "an escalation at or after the `timeout` never comes")
    if rule.escalate and not any(stage.approvers for stage in rule.stages or ()):
        notes.warning(keys["escalate"], "an escalation adds nobody where anyone may answer")
