"""Owns reading YAML without surprises, for front matter and policies. Never guesses.

Refused, with the line: duplicate keys, anchors, aliases, merge keys, tags, more than one document,
control characters, anything larger than the limit or nested deeper than 32. Nodes keep their
positions (`node.start_mark.index` counts characters of the text), so that a value can be replaced
without touching its neighbours.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

try:
    from yaml import CSafeLoader as _Loader
except ImportError:  # PyYAML built without libyaml: slower, same rules
    from yaml import SafeLoader as _Loader  # type: ignore[assignment]

MAX_CHARS = 65_536
_MAX_DEPTH = 32
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]{0,999})")  # int() refuses more than 4300 digits
_FLOAT = re.compile(r"[-+]?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_STEPS = {
    yaml.MappingStartEvent: 1,
    yaml.SequenceStartEvent: 1,
    yaml.MappingEndEvent: -1,
    yaml.SequenceEndEvent: -1,
}
_MAX_DIGITS = 400  # no float has more; Python refuses to read integers of thousands


class YamlProblem(ValueError):
    """The text is not YAML that we accept. `line` is 1-based within the text."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.problem, self.line = message, line


def compose_mapping(text: str, *, max_chars: int = MAX_CHARS) -> yaml.MappingNode:
    """Return the root mapping of `text`, an empty one for empty text.

    Raises:
        YamlProblem: It is not one plain mapping.
    """
    if len(text) > max_chars:
        raise YamlProblem(f"longer than {max_chars:,} characters", 1)
    try:
        depth = 0
        for event in yaml.parse(text, Loader=_Loader):
            depth += _STEPS.get(type(event), 0)
            _refuse_event(event, depth)
        root = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark is not None else 1
        problem = f"{error.context}, {error.problem}" if error.context else error.problem
        raise YamlProblem(problem or "not YAML", line) from error
    except (yaml.YAMLError, ValueError) as error:
        if isinstance(error, YamlProblem):
            raise
        raise YamlProblem(f"not YAML: {error}", 1) from error
    if root is None:
        mark = yaml.Mark("", 0, 0, 0, None, 0)
        return yaml.MappingNode("tag:yaml.org,2002:map", [], mark, mark)
    if not isinstance(root, yaml.MappingNode):
        raise YamlProblem("not a list of `key: value` lines", root.start_mark.line + 1)
    _refuse_node(root)
    return root


def _refuse_event(event: Any, depth: int) -> None:
    line = event.start_mark.line + 1
    if depth > _MAX_DEPTH:  # found before composing, whose recursion in C would end the process
        raise YamlProblem(f"nested deeper than {_MAX_DEPTH} levels", line)
    if isinstance(event, yaml.AliasEvent):
        raise YamlProblem(f"an alias (*{event.anchor}) is not accepted", line)
    if getattr(event, "anchor", None) is not None:
        raise YamlProblem(f"an anchor (&{event.anchor}) is not accepted", line)
    if getattr(event, "tag", None) is not None:
        raise YamlProblem(f"a tag ({event.tag}) is not accepted", line)


def _refuse_node(node: yaml.Node) -> None:
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _refuse_node(item)
    elif isinstance(node, yaml.MappingNode):
        seen: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                raise YamlProblem("a key must be plain text", line)
            if key.value == "<<" and not key.style:
                raise YamlProblem("a merge key (<<) is not accepted", line)
            if key.value in seen:
                raise YamlProblem(
                    f"`{key.value}` stands twice (first on line {seen[key.value]})", line
                )
            seen[key.value] = line
            _refuse_node(value)


def entries(node: yaml.MappingNode) -> dict[str, yaml.Node]:
    """Return the values of a mapping node by key."""
    return {key.value: value for key, value in node.value}


def line_of(node: yaml.Node) -> int:
    """Return the 1-based line a node starts on."""
    return int(node.start_mark.line) + 1


def value_of(node: yaml.Node) -> Any:
    """Return the plain Python value of a node, by the YAML 1.2 core schema.

    Only `true` and `false` are booleans (so `no` and `on` are texts), and times stay texts.
    """
    if isinstance(node, yaml.MappingNode):
        return {key.value: value_of(value) for key, value in node.value}
    if isinstance(node, yaml.SequenceNode):
        return [value_of(item) for item in node.value]
    assert isinstance(node, yaml.ScalarNode)
    text: str = node.value
    if node.style:  # plain is None in PyYAML and "" in libyaml
        return text
    if text.lower() in {"", "~", "null"}:
        return None
    if text.lower() in {"true", "false"}:
        return text.lower() == "true"
    if len(text) > _MAX_DIGITS and _FLOAT.fullmatch(text):
        raise YamlProblem("a number of too many digits", line_of(node))
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    return text
