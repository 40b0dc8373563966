"""Owns changing the text of `.hitl/reviewers.toml`. Never touches what it was not asked to change:
comments, order and spelling of everything else stay.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError

from hitl_vault.adapters.people.file import parse_people
from hitl_vault.core.people import Away, People, Reviewer
from hitl_vault.core.voting import UNNAMED, person
from hitl_vault.errors import ConfigError, InvalidRequest

MAX_NAME_BYTES = 200
_FILE = "reviewers.toml"
_NOTHING = re.compile(r"\s*(#.*)?")
_BEGINNING = """\
# Who may answer. See `hitl reviewer --help`; your own comments stay.
"""


def with_reviewer(text: str, *, name: str, roles: Collection[str]) -> str:
    """Return the text with one more person at its end."""
    people = parse_people(text, name=_FILE)
    check_name(name, "name")
    if people.find(name) is not None:
        raise InvalidRequest(f"name: {name} is on record; change roles with: hitl reviewer role")
    if person(name) in map(person, people.roles):
        raise InvalidRequest(f"name: {name} is a role; a person needs another name")
    wanted = _roles(people, roles, beside=name)
    new = Reviewer(name=name, roles=frozenset(wanted))

    def change(document: Any) -> None:
        table = tomlkit.table()
        if wanted:
            table.add("roles", list(wanted))
        if document.body:
            document.add(tomlkit.nl())
        document.add(name, table)

    after = {**people.reviewers, person(name): new}
    return _changed(text or _BEGINNING, change, after)


def without_reviewer(text: str, *, name: str) -> str:
    """Return the text without a person; comments that stand below stay."""
    people = parse_people(text, name=_FILE)
    title = known(people, name).name
    titles = list(tomlkit.parse(text))
    at = titles.index(title)
    top, prefix = _text_without(text, titles), _text_without(text, titles[at:])
    suffix = _text_without(text, titles[: at + 1]).removeprefix(top)
    section = text[len(prefix) : len(text) - len(suffix)]
    new = prefix + _trailing(section) + suffix
    left = {key: found for key, found in people.reviewers.items() if key != person(name)}
    return _checked(new, left)


def _text_without(text: str, titles: list[str]) -> str:
    document = tomlkit.parse(text)
    for title in titles:
        document.remove(title)
    return document.as_string()


def _trailing(section: str) -> str:
    """Return the comments at the end of a table, which are likely about the next one."""
    lines = section.splitlines(keepends=True)
    at = len(lines)
    while at and _NOTHING.fullmatch(lines[at - 1].rstrip("\r\n")):
        at -= 1
    return "".join(lines[at:]).lstrip("\r\n")


def with_roles(text: str, *, name: str, add: Collection[str], remove: Collection[str]) -> str:
    """Return the text with a person's roles changed."""
    people = parse_people(text, name=_FILE)
    found = known(people, name)
    gone = {person(role) for role in remove}
    for role in remove:
        if person(role) not in map(person, found.roles):
            listed = ", ".join(sorted(found.roles)) or "none"
            raise InvalidRequest(f"role: {found.name} does not hold {role!r}; theirs: {listed}")
    new = [r for r in _roles(people, add, beside=name) if person(r) not in map(person, found.roles)]
    left = {role for role in found.roles if person(role) not in gone}

    def change(document: Any) -> None:
        table = document[found.name]
        roles = table.setdefault("roles", tomlkit.array())
        for index in reversed(range(len(roles))):
            if person(roles[index]) in gone:
                del roles[index]
        for role in new:
            roles.append(role)

    after = replace(found, roles=frozenset([*left, *new]))
    return _changed(text, change, {**people.reviewers, person(name): after})


def with_away(text: str, *, name: str, away: Away) -> str:
    """Return the text with one more time away of a person."""
    people = parse_people(text, name=_FILE)
    found = known(people, name)
    if away.begins_at >= away.ends_at:
        raise InvalidRequest("until: must be after the beginning")
    if away.to and person(known(people, away.to).name) == person(name):
        raise InvalidRequest("to: nobody stands in for themselves")
    for other in found.away:
        if other.begins_at < away.ends_at and away.begins_at < other.ends_at:
            raise InvalidRequest(
                f"from: {found.name} is away from {_day(other.begins_at)} until "
                f"{_day(other.ends_at)} already; take that back first with --clear"
            )

    def change(document: Any) -> None:
        entry = tomlkit.inline_table()
        entry.update({"from": _toml_time(away.begins_at), "until": _toml_time(away.ends_at)})
        if away.to:
            entry.update({"to": away.to})
        document[found.name].setdefault("away", tomlkit.array()).append(entry)

    after = replace(found, away=(*found.away, away))
    return _changed(text, change, {**people.reviewers, person(name): after})


def without_away(text: str, *, name: str) -> str:
    """Return the text without any time away of a person."""
    people = parse_people(text, name=_FILE)
    found = known(people, name)
    if not found.away:
        return text

    def change(document: Any) -> None:
        document[found.name].remove("away")

    after = replace(found, away=())
    return _changed(text, change, {**people.reviewers, person(name): after})


def known(people: People, name: str) -> Reviewer:
    """Return a person on record. Raises InvalidRequest, with the nearest name."""
    found = people.find(name)
    if found is None:
        near = people.nearest(name)
        hint = f"; did you mean {near}?" if near else "; see: hitl reviewer list"
        raise InvalidRequest(f"name: {name} is not on record as a reviewer{hint}")
    return found


def check_name(name: str, what: str) -> None:
    """Raise InvalidRequest for what cannot be a person's name or a role."""
    plain = person(name)
    if not plain or name != name.strip() or not name.isprintable():
        raise InvalidRequest(f"{what}: {name!r} is no name: letters, without spaces around them")
    if plain == UNNAMED:
        raise InvalidRequest(f"{what}: {UNNAMED!r} is what answers without a name are filed under")
    if len(name.encode()) > MAX_NAME_BYTES:
        raise InvalidRequest(f"{what}: longer than {MAX_NAME_BYTES} bytes")


def _roles(people: People, roles: Iterable[str], *, beside: str) -> list[str]:
    """Return roles as they are spelt already, each once."""
    spelt = {person(role): role for role in people.roles}
    wanted: dict[str, str] = {}
    for role in roles:
        check_name(role, "role")
        if person(role) == person(beside) or people.find(role) is not None:
            raise InvalidRequest(f"role: {role} is a person's name; a role needs another")
        wanted.setdefault(person(role), spelt.get(person(role), role))
    return list(wanted.values())


def _toml_time(at: datetime) -> Any:
    whole_day = at == at.replace(hour=0, minute=0, second=0, microsecond=0)
    return at.astimezone(UTC).date() if whole_day else at.astimezone(UTC).replace(microsecond=0)


def _day(at: datetime) -> str:
    return f"{at:%Y-%m-%d}"


def _changed(text: str, change: Callable[[Any], None], after: dict[str, Reviewer]) -> str:
    try:
        document = tomlkit.parse(text)
        change(document)
        new = document.as_string()
    except (TOMLKitError, KeyError, TypeError, AttributeError) as error:
        raise _by_hand() from error
    return _checked(new, after)


def _checked(new: str, after: dict[str, Reviewer]) -> str:
    """Return the new text if it says exactly what it should."""
    if dict(parse_people(new, name=_FILE).reviewers) != after:
        raise _by_hand()
    return new


def _by_hand() -> ConfigError:
    return ConfigError(
        f"{_FILE}: written in a form this command cannot change safely; nothing was changed. "
        'Edit it by hand, one table a person: [alice] with roles = ["…"]'
    )
