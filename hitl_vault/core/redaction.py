"""Owns which details are hidden where they leave the vault. Never changes what is recorded.

A rule is a key (`card`: at any depth of the details, in any spelling that `voting.person` takes for
the same: case, width, spaces, marks nobody sees) or a JSON Pointer (RFC 6901, from the details:
`/customer/email`, exactly). The whole value under it is hidden. Digests are those
of the full record, so who holds the record can still prove it; who sees the hidden form cannot
recompute them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from hitl_vault.core.model import Details
from hitl_vault.core.voting import person
from hitl_vault.errors import InvalidRequest

HIDDEN = "[redacted]"
"""What stands in place of a hidden value."""

_LEAST = 3  # characters; shorter values occur in other texts by chance


@dataclass(frozen=True, slots=True, kw_only=True)
class Redaction:
    """Which values are hidden: by key at any depth (as `person` folds it), and by pointer from the
    details.
    """

    keys: frozenset[str] = frozenset()
    pointers: frozenset[tuple[str, ...]] = frozenset()

    def __bool__(self) -> bool:
        """True if anything is hidden."""
        return bool(self.keys or self.pointers)

    def __or__(self, other: Redaction) -> Redaction:
        """Return what hides all that either of the two hides."""
        return Redaction(keys=self.keys | other.keys, pointers=self.pointers | other.pointers)

    def hides(self, path: Sequence[str]) -> bool:
        """True if the value at this path is hidden, by itself or with what it lies in."""
        return any(person(step) in self.keys for step in path) or any(
            tuple(path[:end]) in self.pointers for end in range(len(path) + 1)
        )

    @property
    def rules(self) -> tuple[str, ...]:
        """The rules in words that `parse_redaction` reads, sorted."""
        pointers = ("".join(f"/{_escaped(step)}" for step in path) for path in self.pointers)
        return (*sorted(self.keys), *sorted(pointers))


def parse_redaction(rules: Iterable[str]) -> Redaction:
    """Read rules.

    Raises:
        InvalidRequest: A rule is empty.
    """
    keys, pointers = set(), set()
    for rule in rules:
        text = rule.strip()
        if not person(text.strip("/")):
            raise InvalidRequest(f"redact: {rule!r} names nothing; write a key or /path/to/value")
        if text.startswith("/"):
            pointers.add(split_pointer(text))
        else:
            keys.add(person(text))
    return Redaction(keys=frozenset(keys), pointers=frozenset(pointers))


def split_pointer(pointer: str) -> tuple[str, ...]:
    """Return the steps of a JSON Pointer, unescaped."""
    steps = pointer.split("/")[1:]
    return tuple(step.replace("~1", "/").replace("~0", "~") for step in steps)


def _escaped(step: str) -> str:
    return step.replace("~", "~0").replace("/", "~1")


def redacted_details(details: Details, redaction: Redaction) -> Details:
    """Return the details with every hidden value replaced by `HIDDEN`; those given stay."""
    shown: Details = redacted_at(details, redaction, ())
    return shown


def redacted_at(value: Any, redaction: Redaction, path: tuple[str, ...]) -> Any:
    """Return the value at this path of the details, with every hidden value in it replaced."""
    if path and redaction.hides(path):
        return HIDDEN
    if isinstance(value, dict):
        return {key: redacted_at(item, redaction, (*path, key)) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [redacted_at(item, redaction, (*path, str(n))) for n, item in enumerate(value)]
    return value


def hidden_places(details: Details, redaction: Redaction) -> list[str]:
    """Return where in the details values are hidden by a rule, as JSON Pointers."""
    return list(_places(details, redaction, ()))


def _places(value: Any, redaction: Redaction, path: tuple[str, ...]) -> Iterator[str]:
    if path and redaction.hides(path):
        yield "".join(f"/{_escaped(step)}" for step in path)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _places(item, redaction, (*path, key))
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            yield from _places(item, redaction, (*path, str(number)))


def hidden_texts(details: Details, redaction: Redaction) -> frozenset[str]:
    """Return the hidden values as texts, to be looked for in summaries, remarks and results.

    Values of fewer than 3 characters are left out, and so are true, false and null: found elsewhere
    they would say nothing, and hiding them would spoil every text.
    """
    return frozenset(_hidden(details, redaction, (), inside=False))


def _hidden(
    value: Any, redaction: Redaction, path: tuple[str, ...], *, inside: bool
) -> Iterator[str]:
    inside = inside or (bool(path) and redaction.hides(path))
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _hidden(item, redaction, (*path, key), inside=inside)
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            yield from _hidden(item, redaction, (*path, str(number)), inside=inside)
    elif inside and value is not None and not isinstance(value, bool):
        text = value if isinstance(value, str) else json.dumps(value)
        if len(text.strip()) >= _LEAST:
            yield text.strip()


def redact_text(text: str, hidden: Iterable[str]) -> str:
    """Return a text with every hidden value in it replaced, the longest first."""
    for value in sorted(hidden, key=len, reverse=True):
        text = text.replace(value, HIDDEN)
    return text


def _unused(name: str, taken: dict[str, Any]) -> str:
    """Return the name, numbered where it is taken: two keys that look alike now stay two."""
    number, found = 1, name
    while found in taken:
        number += 1
        found = f"{name} {number}"
    return found


def redact_pointer(pointer: str, hidden: Iterable[str]) -> str:
    """Return a JSON Pointer with every hidden value in its steps replaced."""
    steps = [redact_text(step, hidden) for step in split_pointer(pointer)]
    return "".join(f"/{_escaped(step)}" for step in steps)


def redact_value(value: Any, redaction: Redaction, hidden: frozenset[str]) -> Any:
    """Return any JSON value without hidden keys, and without hidden values in its texts.

    For what was made from details: a result, a summary, a remark. Keys are told by name only.
    """
    if isinstance(value, dict):
        shown: dict[str, Any] = {}
        for key, item in value.items():
            name = _unused(redact_text(key, hidden), shown)
            hides = person(key) in redaction.keys
            shown[name] = HIDDEN if hides else redact_value(item, redaction, hidden)
        return shown
    if isinstance(value, list | tuple):
        return [redact_value(item, redaction, hidden) for item in value]
    if isinstance(value, str):
        return redact_text(value, hidden)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return HIDDEN if json.dumps(value) in hidden else value
    return value
