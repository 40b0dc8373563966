"""Owns the list of the details as people read it: each value by the names that lead to it. Never
shows two different things alike: what could be read as something else stands in quotes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from hitl_vault.core.model import Details
from hitl_vault.core.voting import person
from hitl_vault.document.inert import one_line, spelt_out

_READS_AS_OTHER = re.compile(
    r"(?:true|false|null|nan|[-+]?infinity"
    r"|[-+]?\d[\d,_]*(?:\.\d*)?(?:e[-+]?\d+)?"
    r'|".*"|\[\s*(?:["\[{\d-]|true|false|null|nan|infinity).*\]|\[\s*\]|\{\s*".*\}|\{\s*\})?',
    re.IGNORECASE | re.DOTALL,
)
"""A text that somebody would take for a number, a list or the like, or for no value."""

_ALIKE = str.maketrans({"0": "o", "1": "l", "i": "l", "_": "", "-": "", " ": "", '"': "", "\\": ""})


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One value of the details; nothing of it is inert.

    `path` is the names that lead to it, as `server/region`; a name that could be read otherwise
    is in quotes. `exact_path` and `exact` write name and value in ASCII where either holds letters
    that may only look like ASCII ones, else "".
    """

    path: str
    text: str
    exact_path: str
    exact: str


def listed(details: Details) -> list[Listed]:
    """Return every value of the details, none for empty ones.

    A list of plain values is one value; a list with objects or lists in it is taken apart.
    """
    return [_listed(names, value) for names, value in _values_of(details, ())] if details else []


def may_mislead(found: Iterable[Listed]) -> bool:
    """True if a name holds letters beyond ASCII, or two places may be read as the same one."""
    seen: set[str] = set()
    for one in found:
        read = person(one.path).translate(_ALIKE)
        if not one.path.isascii() or read in seen:
            return True
        seen.add(read)
    return False


def _values_of(
    value: object, names: tuple[str | int, ...]
) -> Iterator[tuple[tuple[str | int, ...], object]]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _values_of(inner, (*names, str(key)))
    elif isinstance(value, list) and any(isinstance(item, dict | list) for item in value):
        for number, item in enumerate(value):
            yield from _values_of(item, (*names, number))
    else:
        yield names, value


def _listed(names: tuple[str | int, ...], value: object) -> Listed:
    odd = any(isinstance(name, str) and not name.isascii() for name in names)
    return Listed(
        path="/".join(map(_name, names)),
        text=_text(value),
        exact_path="/".join(map(_exact_name, names)) if odd else "",
        exact=spelt_out(value),
    )


def _name(name: str | int) -> str:
    """Return a name of an object, or the place in a list: a name in quotes is never a place."""
    if isinstance(name, int):
        return str(name)
    is_clear = name and name == one_line(name) and not name.isdecimal()
    if is_clear and not any(sign in name for sign in '/":'):
        return name
    return json.dumps(name, ensure_ascii=False)


def _exact_name(name: str | int) -> str:
    return _name(name) if isinstance(name, int) or name.isascii() else json.dumps(name)


def _text(value: object) -> str:
    if not isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    return f'"{value}"' if _READS_AS_OTHER.fullmatch(value.strip()) else value
