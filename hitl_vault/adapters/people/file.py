"""Owns the file of reviewers, `.hitl/reviewers.toml`. Never decides who may answer.

Its form, one table a person:

    [alice]
    roles = ["finance", "cfo"]
    notify = ["mailto://..."]
    away = [{from = 2026-12-20T00:00:00Z, until = 2027-01-03T00:00:00Z, to = "bob"}]
"""

from __future__ import annotations

import hashlib
import os
import time as clock
import tomllib
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any

from hitl_vault.adapters.ssh.allowed_signers import FILE, keys_on_record
from hitl_vault.core.people import Away, Key, People, Reviewer
from hitl_vault.core.voting import person
from hitl_vault.errors import ConfigError

KEY_FILES = ("hmac.toml", "totp.toml")
_KEYS = ("roles", "away", "notify")
_AWAY = {"from", "until"}
_FRESH_NS = 2_000_000_000


class FilePeople:
    """The reviewers in a file, and the keys in those beside it: `allowed_signers`, `keys/`.

    Read again whenever one of them has changed; as long as nothing has, `load` costs a few looks at
    the disk.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._signers = path, path.with_name(FILE)
        self._secrets = [path.parent / "keys" / name for name in KEY_FILES]
        self._seen: tuple[tuple[int, ...] | None, ...] | None = None
        self._found: People | ConfigError = People()

    def load(self) -> People:
        """Return who may answer. Raises ConfigError as long as the reviewers cannot be read."""
        try:
            times = [_stat(path) for path in (self._path, self._signers, *self._secrets)]
            seen = tuple(None if found is None else _identity(found) for found in times)
            if seen != self._seen:
                newest = max((_changed_ns(found) for found in times if found), default=0)
                self._found = self._read(newest)
                # a file that is still being written may change again without its times telling
                is_fresh = clock.time_ns() - newest < _FRESH_NS
                self._seen = None if newest and is_fresh else seen
        except (OSError, UnicodeDecodeError) as error:
            self._seen = None
            raise ConfigError(f"{self._path}: {error}") from error
        if isinstance(self._found, ConfigError):
            raise ConfigError(str(self._found))  # a new one: each is raised from elsewhere
        return self._found

    def _read(self, changed_ns: int) -> People | ConfigError:
        text, signers = _bytes(self._path), _bytes(self._signers)
        other_keys = self._other_keys()
        if text is None and signers is None and not other_keys:
            return People()
        try:
            people = parse_people((text or b"").decode("utf-8-sig"), name=str(self._path))
        except ConfigError as error:
            return error
        keys, problem = self._keys(signers or b"")
        return People(
            reviewers=people.reviewers,
            keys=keys,
            on_record=text is not None,
            sha256=_digest(text, signers, "\n".join(sorted(other_keys)).encode() or None),
            changed_at=datetime.fromtimestamp(changed_ns / 1e9, UTC),
            keys_problem=problem,
            other_keys=other_keys,
        )

    def _other_keys(self) -> frozenset[str]:
        if not any(path.exists() for path in self._secrets):
            return frozenset()
        # imported here: most vaults have none, and every command would wait for it
        from hitl_vault.adapters.proof.on_record import facts_of_keys

        return facts_of_keys(self._secrets[0].parent)

    def _keys(self, signers: bytes) -> tuple[tuple[Key, ...], str]:
        try:
            return keys_on_record(signers.decode("utf-8-sig"), name=str(self._signers)), ""
        except (ConfigError, UnicodeDecodeError) as error:
            return (), str(error)


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except FileNotFoundError:
        return None


def _identity(found: os.stat_result) -> tuple[int, ...]:
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def _changed_ns(found: os.stat_result) -> int:
    return max(found.st_mtime_ns, found.st_ctime_ns)


def _digest(*files: bytes | None) -> str:
    """Return one digest over several files, each of which may be missing."""
    parts = ["-" if file is None else hashlib.sha256(file).hexdigest() for file in files]
    return hashlib.sha256("\n".join(["hitl-vault:reviewers:1", *parts]).encode()).hexdigest()


def _bytes(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


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
        if unknown := entry.keys() - set(_KEYS):
            raise ConfigError(f"{where} has {min(unknown)!r}; known: {', '.join(_KEYS)}")
        if not person(title):
            raise ConfigError(f"{where} names nobody: nothing in it can be seen")
        if person(title) in reviewers:
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
    if not isinstance(item, dict) or item.keys() - {"to"} != _AWAY:
        raise ConfigError(f"{where} needs from and until, and may have to, for each time away")
    begins_at, ends_at = _time(item["from"], where), _time(item["until"], where)
    to = item.get("to", "")
    if not isinstance(to, str) or ("to" in item and not person(to)):
        raise ConfigError(f"{where} needs a name for to: who answers in their place")
    if begins_at >= ends_at:
        raise ConfigError(f"{where} must come back after going away")
    return Away(begins_at=begins_at, ends_at=ends_at, to=to)


def _time(value: Any, where: str) -> datetime:
    """Read a TOML date or time; without a zone it is UTC."""
    if isinstance(value, datetime):
        return value.replace(tzinfo=value.tzinfo or UTC).astimezone(UTC)
    if isinstance(value, date):
        return datetime.combine(value, time(), UTC)
    raise ConfigError(f"{where} needs dates for from and until, such as 2026-12-20")
