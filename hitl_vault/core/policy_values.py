"""Owns the values a rule's keys may have: how each is read, and what is said of a wrong one.

Never raises: a wrong value is noted with its line and read as None.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from enum import StrEnum
from typing import TypeVar

import yaml

from hitl_vault.core import strict_yaml
from hitl_vault.core.durations import parse_duration
from hitl_vault.core.hours import parse_hours
from hitl_vault.core.model import Answer, Escalation, GrantLimit, Repeats, Stage
from hitl_vault.core.policy_blocks import Problem, Severity
from hitl_vault.core.policy_condition import Condition, compile_condition, faults_of
from hitl_vault.core.policy_merging import OpenHours, folded
from hitl_vault.core.policy_rules import PLACEHOLDER
from hitl_vault.core.voting import person

MAX_USES = 10_000
MAX_QUORUM = 100
_Word = TypeVar("_Word", bound=StrEnum)


class Notes:
    """Collects the problems of one block. `first_line` is where the block starts in the file."""

    def __init__(self, first_line: int) -> None:
        self.problems: list[Problem] = []
        self._before = first_line - 1

    def line(self, node: yaml.Node) -> int:
        """Return the line of the file a node starts on."""
        return self._before + strict_yaml.line_of(node)

    def error(self, node: yaml.Node, message: str) -> None:
        """Note what keeps the text from being used."""
        self._note(node, Severity.ERROR, message)

    def warning(self, node: yaml.Node, message: str) -> None:
        """Note what may not be meant so."""
        self._note(node, Severity.WARNING, message)

    def _note(self, node: yaml.Node, severity: Severity, message: str) -> None:
        self.problems.append(Problem(line=self.line(node), severity=severity, message=message))

    def known_keys(
        self, node: yaml.MappingNode, known: Iterable[str], owner: str
    ) -> dict[str, yaml.Node]:
        """Return the values by key; an unknown key is an error."""
        known = tuple(known)
        for key, _ in node.value:
            if key.value not in known:
                near = difflib.get_close_matches(key.value, known, n=1)
                hint = f"; did you mean `{near[0]}`?" if near else f"; it has {', '.join(known)}"
                self.error(key, f"{owner} has no key `{key.value}`{hint}")
        return {key: value for key, value in strict_yaml.entries(node).items() if key in known}


def read_text(node: yaml.Node, key: str, notes: Notes) -> str | None:
    """Read a text that says something."""
    if isinstance(node, yaml.ScalarNode) and node.value.strip():
        return str(node.value).strip()
    notes.error(node, f"`{key}` must be a text")
    return None


def read_word(node: yaml.Node, kind: type[_Word], key: str, notes: Notes) -> _Word | None:
    """Read one word of a StrEnum, exactly as it is written there."""
    text = node.value if isinstance(node, yaml.ScalarNode) else ""
    words = [word.value for word in kind]
    if text in words:
        return kind(text)
    near = difflib.get_close_matches(text.lower(), words, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    shown = f"`{text}`" if text else "this"
    notes.error(node, f"{shown} is not one of the words for `{key}`: {', '.join(words)}{hint}")
    return None


def read_repeats(node: yaml.Node, key: str, notes: Notes) -> Repeats | None:
    """Read what becomes of a repeat."""
    return read_word(node, Repeats, key, notes)


def read_flag(node: yaml.Node, key: str, notes: Notes) -> bool | None:
    """Read true or false."""
    value = strict_yaml.value_of(node)
    if isinstance(value, bool):
        return value
    notes.error(node, f"`{key}` must be true or false")
    return None


def read_quorum(node: yaml.Node, key: str, notes: Notes) -> int | None:
    """Read how many people must approve."""
    return _read_count(node, key, "people", MAX_QUORUM, notes)


def _read_count(node: yaml.Node, key: str, of: str, most: int, notes: Notes) -> int | None:
    value = strict_yaml.value_of(node)
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= most:
        return value
    notes.error(node, f"`{key}` must be a number of {of}, from 1 to {most}")
    return None


def read_duration(node: yaml.Node, key: str, notes: Notes, *, zero: bool = False) -> float | None:
    """Read a duration; nothing at all only where `zero` says so."""
    try:
        seconds = parse_duration(node.value if isinstance(node, yaml.ScalarNode) else None)
    except ValueError:
        notes.error(
            node, f"`{key}` must be a duration: 30s, 45m, 1h30m, 2d, or a number of seconds"
        )
        return None
    if seconds > 0 or zero:
        return seconds
    notes.error(node, f"`{key}` must be longer than nothing")
    return None


def read_list(node: yaml.Node, key: str, example: str, notes: Notes) -> list[yaml.Node] | None:
    """Return the items of a list that has some."""
    if isinstance(node, yaml.SequenceNode) and node.value:
        return list(node.value)
    notes.error(node, f"`{key}` must be a list, such as {example}")
    return None


def read_names(node: yaml.Node, key: str, notes: Notes) -> tuple[str, ...] | None:
    """Read names or roles, each once, sorted: two rules that name the same people are one group."""
    items = read_list(node, key, "[anna, finance]", notes)
    if items is None:
        return None
    names: dict[str, str] = {}
    for item in items:
        name = read_text(item, f"{key}: each name", notes)
        if name is not None and person(name):
            names.setdefault(person(name), name)
        elif name is not None:
            notes.error(item, f"`{key}`: this name holds nothing that can be seen")
    return tuple(names[plain] for plain in sorted(names))


def read_answers(node: yaml.Node, key: str, notes: Notes) -> tuple[Answer, ...] | None:
    """Read answers, in the order of `Answer`."""
    items = read_list(node, key, "[approve, reject]", notes)
    if items is None:
        return None
    found = [read_word(item, Answer, key, notes) for item in items]
    return tuple(answer for answer in Answer if answer in found)


def read_reminders(node: yaml.Node, key: str, notes: Notes) -> tuple[float, ...] | None:
    """Read when to remind, shortest first."""
    items = read_list(node, key, "[30m]", notes)
    if items is None:
        return None
    found = [read_duration(item, key, notes) for item in items]
    return tuple(sorted({seconds for seconds in found if seconds is not None}))


def read_escalations(node: yaml.Node, key: str, notes: Notes) -> tuple[Escalation, ...] | None:
    """Read who may answer too, and after how long, soonest first."""
    rungs = []
    example = "[{after: 45m, to: [cfo]}]"
    for item in read_list(node, key, example, notes) or ():
        if not isinstance(item, yaml.MappingNode):
            notes.error(item, f"`{key}` must be a list, such as {example}")
            continue
        keys = notes.known_keys(item, ("after", "to"), "an escalation")
        if keys.keys() != {"after", "to"}:
            notes.error(item, "an escalation needs both `after` and `to`")
            continue
        after_s = read_duration(keys["after"], "after", notes)
        to = read_names(keys["to"], "to", notes)
        if after_s is not None and to:
            rungs.append(Escalation(after_s=after_s, to=to))
    return tuple(sorted(rungs, key=lambda rung: (rung.after_s, rung.to)))


def read_hours(node: yaml.Node, key: str, notes: Notes) -> OpenHours | None:
    """Read business hours, alone or with whether the time to answer counts them too."""
    if not isinstance(node, yaml.MappingNode):
        text = _read_open(node, key, notes)
        return None if text is None else OpenHours(open=text)
    keys = notes.known_keys(node, ("open", "timeout"), "hours")
    if "open" not in keys:
        notes.error(node, f"`{key}` needs `open`, such as Mon-Fri 09:00-17:00 Europe/Berlin")
        return None
    text = _read_open(keys["open"], "open", notes)
    timeout = read_flag(keys["timeout"], "timeout", notes) if "timeout" in keys else False
    return None if text is None else OpenHours(open=text, timeout=bool(timeout))


def _read_open(node: yaml.Node, key: str, notes: Notes) -> str | None:
    text = read_text(node, key, notes)
    if text is None:
        return None
    try:
        parse_hours(text)
    except ValueError as error:
        notes.error(node, f"`{key}`: {error}")
        return None
    return " ".join(text.split())


def read_grant_limit(node: yaml.Node, key: str, notes: Notes) -> GrantLimit | None:
    """Read how often, and for how long at most, a standing grant may be made for."""
    example = "{uses: 3, within: 7d}"
    if not isinstance(node, yaml.MappingNode):
        notes.error(node, f"`{key}` must say how far a grant may go, such as {example}")
        return None
    keys = notes.known_keys(node, ("uses", "within"), "a grant")
    if keys.keys() != {"uses", "within"}:
        notes.error(node, f"`{key}` needs both `uses` and `within`, such as {example}")
        return None
    uses = _read_count(keys["uses"], "uses", "uses", MAX_USES, notes)
    within_s = read_duration(keys["within"], "within", notes)
    if uses is None or within_s is None:
        return None
    return GrantLimit(uses=uses, within_s=within_s)


def read_stage(keys: dict[str, yaml.Node], notes: Notes) -> Stage:
    """Read `approvers` and `quorum`; a warning if there are fewer names than the quorum."""
    approvers = read_names(keys["approvers"], "approvers", notes) if "approvers" in keys else None
    quorum = read_quorum(keys["quorum"], "quorum", notes) if "quorum" in keys else None
    if approvers and quorum and quorum > len(approvers):
        notes.warning(
            keys["quorum"],
            f"{quorum} must approve and {len(approvers)} named: this can be met only if a name is "
            "a role of several people",
        )
    return Stage(approvers=approvers or (), quorum=quorum or 1)


def read_stages(node: yaml.Node, key: str, notes: Notes) -> tuple[Stage, ...]:
    """Read stages that open one after the other, each with its own approvers."""
    stages: list[Stage] = []
    example = "[{approvers: [team]}, {approvers: [lead], quorum: 2}]"
    for item in read_list(node, key, example, notes) or ():
        if not isinstance(item, yaml.MappingNode):
            notes.error(item, f"`{key}` must be a list, such as {example}")
            continue
        stage = read_stage(notes.known_keys(item, ("approvers", "quorum"), "a stage"), notes)
        if not stage.approvers:
            notes.error(item, "a stage needs `approvers`; without stages, `quorum` alone is enough")
        elif any(folded(stage.approvers) == folded(before.approvers) for before in stages):
            notes.error(item, "two stages have the same approvers; raise the `quorum` of one")
        stages.append(stage)
    return tuple(stages)


def read_condition(node: yaml.Node, key: str, notes: Notes) -> Condition | None:
    """Read a CEL expression that compiles and names only what there is."""
    if not isinstance(node, yaml.ScalarNode):
        notes.error(node, f"`{key}` must be one CEL expression; put it in quotes")
        return None
    try:
        condition = compile_condition(node.value)
    except ValueError as error:
        notes.error(node, f"`{key}` {error}")
        return None
    for fault in faults_of(condition):
        notes.error(node, f"`{key}`: {fault}")
    return condition


def read_summary(node: yaml.Node, key: str, notes: Notes) -> str | None:
    """Read a template whose braces are all placeholders."""
    template = read_text(node, key, notes)
    if template is not None:
        rest = PLACEHOLDER.sub(lambda found: "" if found[1].strip(".|") else found[0], template)
        if "{" in rest or "}" in rest:
            notes.error(
                node, f"`{key}`: placeholders are {{field}}, {{a.b}}, {{first|second}}, {{field|}}"
            )
    return template
