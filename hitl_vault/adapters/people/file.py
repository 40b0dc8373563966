"""Owns the file of reviewers, `.hitl/reviewers.toml`. Never decides who may answer.

Its form, one table a person:

    [alice]
    roles = ["finance", "cfo"]
    notify = ["mailto://..."]
    away = [{from = 2026-12-20T00:00:00Z, until = 2027-01-03T00:00:00Z, to = "bob"}]
"""

from __future__ import annotations

import tomllib
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any

from hitl_vault.core.people import Away, People, Reviewer
from hitl_vault.core.voting import person
from hitl_vault.errors import ConfigError

_KEYS = {"roles", "away", "notify"}
_AWAY = {"from", "until", "to"}


class FilePeople:
    """The reviewers in a file, read again whenever it has changed; nobody where there is none."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, ...] | None = None
        self._people = People()

    def load(self) -> People:
        """Return who may answer."""
        try:
            found = self._path.stat()
            seen = (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
            if seen != self._seen:
                text = self._path.read_text(encoding="utf-8-sig")
                self._people, self._seen = parse_people(text, name=str(self._path)), seen
        except FileNotFoundError:
            return People()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{self._path}: {error}") from error
        return self._people


def parse_people(text: str, *, name: str) -> People:
    """Read the file's text. Raises ConfigError, naming the file and the person."""
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{name}: {error}") from error
    reviewers: dict[str, Reviewer] = {}
    for title, entry in found.items():
        where = f"{name}: [{title}]"
        if not isinstance(entry, dict):
            raise ConfigError(f'{name}: {title} must be a table, [{title}] with roles = ["…"]')
        if unknown := entry.keys() - _KEYS:
            raise ConfigError(f"{where} has {min(unknown)!r}; known: {', '.join(_KEYS)}")
        if not person(title) or person(title) in reviewers:
            raise ConfigError(f"{where} stands twice; upper and lower case are one name")
        reviewers[person(title)] = Reviewer(
            name=title,
            roles=frozenset(_texts(entry, "roles", where)),
            notify=tuple(_texts(entry, "notify", where)),
            away=tuple(_away(item, where) for item in _list(entry, "away", where)),
        )
    return People(reviewers=reviewers)


def _list(entry: dict[str, Any], key: str, where: str) -> list[Any]:
    found = entry.get(key, [])
    if not isinstance(found, list):
        raise ConfigError(f"{where} needs a list for {key}")
    return found


def _texts(entry: dict[str, Any], key: str, where: str) -> list[str]:
    found = _list(entry, key, where)
    if not all(isinstance(item, str) and item.strip() for item in found):
        raise ConfigError(f'{where} needs texts for {key}, such as {key} = ["…"]')
    return found


def _away(item: Any, where: str) -> Away:
    if not isinstance(item, dict) or item.keys() != _AWAY:
        raise ConfigError(f"{where} needs from, until and to for each time away")
    begins_at, ends_at = _time(item["from"], where), _time(item["until"], where)
    to = item["to"]
    if begins_at >= ends_at or not isinstance(to, str) or not person(to):
        raise ConfigError(f"{where} must come back after going away, and name who answers")
    return Away(begins_at=begins_at, ends_at=ends_at, to=to)


def _time(value: Any, where: str) -> datetime:
    """Read a TOML date or time; without a zone it is UTC."""
    if isinstance(value, datetime):
        return value.replace(tzinfo=value.tzinfo or UTC).astimezone(UTC)
    if isinstance(value, date):
        return datetime.combine(value, time(), UTC)
    raise ConfigError(f"{where} needs dates for from and until, such as 2026-12-20")
