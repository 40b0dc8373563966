"""Owns the file that says how people are told, `.hitl/notify.toml`. Never shows an address.

Its form, one table a way:

    [mail]                      # each person at their addresses in reviewers.toml
    via = "apprise"
    people = true

    [ops]
    via = "apprise"
    urls = ["env:OPS_CHAT_URL"]
    risk = "high"
    digest = "15m"
    quiet = "22:00-07:00 Europe/Berlin"
    redact = ["card", "/customer/email"]

    [system]
    via = "webhook"
    url = "https://example.com/hook"
    secret = "file:keys/system-webhook"
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from hitl_vault.adapters.notify.apprise import AppriseNotifier
from hitl_vault.adapters.notify.secrets import Secrets, is_reference
from hitl_vault.adapters.notify.webhook import WebhookNotifier, is_in_the_open
from hitl_vault.core.durations import parse_duration
from hitl_vault.core.duties import ALERTS, DEFAULT_EVENTS, OF_REQUESTS, Way
from hitl_vault.core.events import Kind
from hitl_vault.core.hours import Quiet, parse_quiet
from hitl_vault.core.model import Risk
from hitl_vault.core.redaction import parse_redaction
from hitl_vault.core.voting import person
from hitl_vault.errors import ConfigError, InvalidRequest
from hitl_vault.ports import Clock
from hitl_vault.ports_telling import Channel, Notifier

NAME = "notify.toml"
_VIA = ("apprise", "webhook")
_SHARED = ("via", "events", "risk", "to", "digest", "quiet", "urgent", "tries", "limit", "redact")
_KEYS = {"apprise": (*_SHARED, "urls", "people"), "webhook": (*_SHARED, "url", "secret")}
_WAY_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_MAX_NAME, _MAX_TRIES, _MAX_LIMIT_S, _MAX_DIGEST_S = 40, 100, 60.0, 86400.0
_Word = TypeVar("_Word", bound=StrEnum)


class FileChannels:
    """The ways in a file, read again whenever it has changed; none where there is no file.

    Args:
        redact: The rules of the vault's own setting, which hold for every way.
    """

    def __init__(self, folder: Path, clock: Clock, redact: Sequence[str] = ()) -> None:
        self.path, self._redact = folder / NAME, tuple(redact)
        self._secrets, self._clock = Secrets(folder=folder), clock
        self._seen: tuple[int, ...] | None = None
        self._channels: Mapping[str, Channel] = {}

    def load(self) -> Mapping[str, Channel]:
        """Return the ways by their names."""
        try:
            found = self.path.stat()
            seen = (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
            if seen != self._seen:
                text = self.path.read_text(encoding="utf-8-sig")
                self._channels, self._seen = self._parse(text), seen
        except FileNotFoundError:
            self._seen = None
            return {}
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{self.path}: {error}") from error
        return self._channels

    def _parse(self, text: str) -> Mapping[str, Channel]:
        try:
            tables = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(f"{self.path}: {error}") from error
        return {
            name: _Table(where=f"{self.path}: [{name}]", name=name, table=table).channel(
                self._secrets, self._clock, self._redact
            )
            for name, table in tables.items()
        }

    def has_secrets(self) -> bool:
        """True if an address or a key stands in the file itself, not in the environment or keys."""
        try:
            tables = tomllib.loads(self.path.read_text(encoding="utf-8-sig"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
            return False
        found = [
            text
            for table in tables.values()
            if isinstance(table, dict)
            for key in ("urls", "url", "secret")
            for text in _listed(table.get(key))
            if key != "url" or {"?", "@"} & set(str(text))
        ]
        return any(isinstance(text, str) and not is_reference(text) for text in found)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Table:
    """One table of the file, and where it stands."""

    where: str
    name: str
    table: Any

    def channel(self, secrets: Secrets, clock: Clock, redact: tuple[str, ...]) -> Channel:
        if not isinstance(self.table, dict):
            self._wrong(f'{self.name} must be a table, [{self.name}] with via = "…"')
        if not _WAY_NAME.fullmatch(self.name) or len(self.name) > _MAX_NAME:
            self._wrong("needs a name of small letters and digits, words joined by -")
        via = self._read("via", self._text, "")
        if via not in _VIA:
            self._wrong(f"needs via, one of {', '.join(_VIA)}")
        for key in self.table:
            if key not in _KEYS[via]:
                near = difflib.get_close_matches(key, _KEYS[via], n=1)
                hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(_KEYS[via])}"
                self._wrong(f"has no key {key!r} with via = {via!r}; {hint}")
        way = self._way(redact, complete=via == "webhook")
        return Channel(way=way, notifier=self._notifier(via, secrets, clock, people=way.people))

    def _way(self, redact: tuple[str, ...], *, complete: bool) -> Way:
        people, to = self._read("people", self._flag, False), self._read("to", self._names, ())
        own = self._read("redact", self._rules, ())
        events = OF_REQUESTS if complete else DEFAULT_EVENTS
        if not people and not to:
            events |= ALERTS
        return Way(
            name=self.name,
            events=self._read("events", self._events, events),
            risk=self._read("risk", self._risk, Risk.LOW),
            to=to,
            people=people,
            complete=complete,
            digest_s=self._read("digest", self._digest, 0.0),
            quiet=self._read("quiet", self._quiet, None),
            urgent=self._read("urgent", self._risk, Risk.CRITICAL),
            tries=self._read("tries", self._tries, Way.__dataclass_fields__["tries"].default),
            redaction=parse_redaction((*redact, *own)),
        )

    def _notifier(self, via: str, secrets: Secrets, clock: Clock, *, people: bool) -> Notifier:
        limit_s = self._read("limit", self._limit, 10.0)
        if via == "webhook":
            url = self._read("url", self._text, "")
            keys = self._read("secret", self._texts, [])
            if not url or not keys:
                self._wrong("needs url and secret, such as env:HOOK_URL and file:keys/hook")
            if is_in_the_open(url):
                self._wrong("needs a url that begins with https:// (http:// only to this machine)")
            return WebhookNotifier(
                self.name, url=url, keys=keys, secrets=secrets, clock=clock, limit_s=limit_s
            )
        urls = self._read("urls", self._texts, [])
        if bool(urls) == people:
            self._wrong('needs either urls = ["…"] or people = true')
        return AppriseNotifier(self.name, urls=urls, secrets=secrets, limit_s=limit_s)

    def _read(self, key: str, reader: Callable[[Any], Any], default: Any) -> Any:
        if key not in self.table:
            return default
        try:
            return reader(self.table[key])
        except ValueError as error:
            self._wrong(f"{key}: {error}")

    def _wrong(self, problem: str) -> NoReturn:
        raise ConfigError(f"{self.where} {problem}")

    # values: each raises ValueError without the value where it may be secret

    def _text(self, value: Any) -> str:
        if not isinstance(value, str) or not value.strip():
            raise ValueError("must be a text")
        return value.strip()

    def _texts(self, value: Any) -> list[str]:
        if not _listed(value):
            raise ValueError("must hold a text")
        return [self._text(item) for item in _listed(value)]

    def _names(self, value: Any) -> tuple[str, ...]:
        if not isinstance(value, list) or not all(
            isinstance(name, str) and person(name) for name in value
        ):
            raise ValueError('must be a list of names or roles, such as ["finance"]')
        return tuple(value)

    def _events(self, value: Any) -> frozenset[Kind]:
        if value == "all":
            return frozenset(Kind)
        if not isinstance(value, list) or not value:
            raise ValueError('must be "all" or a list, such as ["requested", "expired"]')
        return frozenset(self._word(item, Kind) for item in value)

    def _word(self, value: Any, kind: type[_Word]) -> _Word:
        words = [word.value for word in kind]
        if value in words:
            return kind(value)
        near = difflib.get_close_matches(str(value), words, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(words)}"
        raise ValueError(f"{str(value)[:80]!r} is none; {hint}")

    def _risk(self, value: Any) -> Risk:
        return self._word(value, Risk)

    def _rules(self, value: Any) -> tuple[str, ...]:
        if not isinstance(value, list) or not all(isinstance(rule, str) for rule in value):
            raise ValueError('must be a list of texts, such as ["card", "/customer/email"]')
        try:
            return parse_redaction(value).rules
        except InvalidRequest as error:
            raise ValueError(str(error).removeprefix("redact: ")) from error

    def _flag(self, value: Any) -> bool:
        if not isinstance(value, bool):
            raise ValueError("must be true or false")  # noqa: TRY004  all are told alike
        return value

    def _quiet(self, value: Any) -> Quiet:
        return parse_quiet(self._text(value))

    def _tries(self, value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= _MAX_TRIES:
            raise ValueError(f"must be a number from 1 to {_MAX_TRIES}")
        return value

    def _digest(self, value: Any) -> float:
        return _seconds(value, _MAX_DIGEST_S)

    def _limit(self, value: Any) -> float:
        return _seconds(value, _MAX_LIMIT_S)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _seconds(value: Any, most: float) -> float:
    seconds = parse_duration(value)
    if not 1 <= seconds <= most:
        raise ValueError(f"must be from 1 s to {most:g} s")
    return seconds
