"""Owns reading `.hitl/allowed_signers`: who signs with which SSH key. Never judges a signature.

The format is OpenSSH's (ssh-keygen(1), ALLOWED SIGNERS), one key a line:

    alice namespaces="hitl-vault",valid-before="20270101Z" ssh-ed25519 AAAA… alice@laptop

What counts is narrower, so that a key answers for one person only: the principal is the reviewer's
own name; a pattern (`*`, `?`, `!`) is nobody, and a certificate authority, which could name
anybody, is not taken.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from hitl_vault.core.people import Key
from hitl_vault.core.voting import person
from hitl_vault.errors import ConfigError

FILE = "allowed_signers"
TYPES = (
    "ssh-ed25519",
    "ssh-rsa",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
)
"""The types of keys that count."""

_KINDS = re.compile(r"(sk-)?(ssh|ecdsa)-[a-z0-9-]+(@openssh\.com)?")
_FIRST = re.compile(r'(?:"([^"]*)"|([^\s"]+))[ \t]+')
_OPTIONS = re.compile(r'(?:"(?:\\"|[^"])*"|[^\s"])+')
_OPTION = re.compile(r'([A-Za-z-]+)(?:="([^"\\\x00-\x1f\x7f]*)")?(?:,(?!$)|$)')
_VALUED = ("namespaces", "valid-after", "valid-before")
_TIME = re.compile(r"([0-9]+)(z|utc)?", re.IGNORECASE)
_FORMS = {8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
_PATTERN = frozenset("*?!")
_MAX_BYTES = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a line's options say. `namespaces` None means any; times are inclusive."""

    namespaces: tuple[str, ...] | None = None
    valid_after: datetime | None = None
    valid_before: datetime | None = None
    is_authority: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """One line: whose key, under which options.

    `problem` says why it counts for nobody, "" if it counts; `is_broken` if that is because it
    cannot be read. `line` is 1-based.
    """

    line: int
    principals: tuple[str, ...] = ()
    options: str = ""
    limits: Limits = field(default_factory=Limits)
    key_type: str = ""
    key: bytes = b""
    problem: str = ""
    is_broken: bool = False

    def is_of(self, reviewer: str) -> bool:
        """True if the line names this reviewer, however the name is spelt."""
        return person(reviewer) in {person(name) for name in self.principals}

    @property
    def fingerprint(self) -> str:
        """The key's name as OpenSSH writes it: `SHA256:…`."""
        return fingerprint(self.key)

    def on_record(self) -> Key:
        """Return the line as the record of people has it."""
        return Key(
            principals=self.principals,
            kind=self.key_type,
            fingerprint=self.fingerprint,
            namespaces=self.limits.namespaces,
            valid_after=self.limits.valid_after,
            valid_before=self.limits.valid_before,
            is_authority=self.limits.is_authority,
            line=self.line,
        )

    def restated(self, principal: str) -> str:
        """Return the line for another principal, its options as they stand."""
        encoded = base64.b64encode(self.key).decode()
        return " ".join(part for part in (principal, self.options, self.key_type, encoded) if part)


def fingerprint(key: bytes) -> str:
    """Return the name of a public key, given as the blob that its base64 stands for."""
    digest = base64.b64encode(hashlib.sha256(key).digest()).decode().rstrip("=")
    return f"SHA256:{digest}"


def load_signers(path: Path) -> list[Signer]:
    """Read the file; an empty list if there is none.

    Raises:
        ConfigError: It cannot be read; the message names it.
    """
    try:
        data = path.read_bytes()
        if len(data) > _MAX_BYTES:
            raise ConfigError(f"{path}: it is larger than {_MAX_BYTES:,} bytes")
        return list(parse_signers(data.decode("utf-8-sig")))
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from error


def parse_signers(text: str) -> Iterator[Signer]:
    """Yield a signer for each line that is not empty or a comment, the bad ones with a problem."""
    for number, line in enumerate(text.split("\n"), 1):
        rest = line.strip(" \t\r")
        if rest and not rest.startswith("#"):
            yield parse_line(rest, number)


def keys_on_record(text: str, *, name: str) -> tuple[Key, ...]:
    """Return every key, also those that count for nobody.

    Raises:
        ConfigError: A line cannot be read; the message names the file and the line.
    """
    keys = []
    for signer in parse_signers(text):
        if signer.is_broken:
            raise ConfigError(f"{name}:{signer.line}: {signer.problem}")
        keys.append(signer.on_record())
    return tuple(keys)


def parse_line(line: str, number: int) -> Signer:
    """Read one line."""
    first = _FIRST.match(line)
    if first is None:
        why = "a line needs a name, a key type and a key; a quoted name is closed by a quote"
        return Signer(line=number, problem=why, is_broken=True)
    names = tuple((first[2] if first[1] is None else first[1]).split(","))
    rest, options = line[first.end() :], ""
    if not _KINDS.fullmatch(_words(rest)[0]):
        found = _OPTIONS.match(rest)
        options = found.group() if found else ""
        rest = rest[len(options) :].lstrip(" \t")
    words = _words(rest)
    if not _KINDS.fullmatch(words[0]) or len(words) < 2:  # noqa: PLR2004  the type and the key
        why = "there is no public key, such as ssh-ed25519 AAAA…"
        return Signer(line=number, principals=names, problem=why, is_broken=True)
    key = b""
    try:
        key = decoded(words[1])
        check_type(words[0], key)
        limits = _limits(options)
    except ValueError as error:
        return Signer(line=number, principals=names, key=key, problem=str(error), is_broken=True)
    return Signer(
        line=number,
        principals=names,
        options=options,
        limits=limits,
        key_type=words[0],
        key=key,
        problem=_problem(names, limits, words[0]),
    )


def _words(text: str) -> list[str]:
    return re.split(r"[ \t]+", text)


def decoded(key: str) -> bytes:
    """Return the blob that a public key's base64 stands for. Raises ValueError."""
    try:
        return base64.b64decode(key, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError("the key is damaged: it is not base64") from error


def check_type(kind: str, key: bytes) -> None:
    """Raise ValueError if a public key is not of the type it is said to be."""
    if key[:4] != len(kind).to_bytes(4, "big") or key[4 : 4 + len(kind)] != kind.encode():
        raise ValueError(f"the key is damaged: it is not of type {kind}")


def _limits(options: str) -> Limits:
    found, at = {}, 0
    while at < len(options):
        match = _OPTION.match(options, at)
        if match is None:
            raise ValueError(f"{options[at:]!r} is neither an option nor a key type")
        name, value = match[1].lower(), match[2]
        if name not in (*_VALUED, "cert-authority"):
            raise ValueError(f"the option {name!r} is not known here")
        if name in found:
            raise ValueError(f"the option {name!r} stands twice")
        if (value is None) is (name in _VALUED):
            needs = "needs a" if value is None else "takes no"
            raise ValueError(f"the option {name!r} {needs} value")
        found[name] = value or ""
        at = match.end()
    spaces = found.get("namespaces")
    return Limits(
        namespaces=None if spaces is None else tuple(spaces.split(",")),
        valid_after=_time(found.get("valid-after")),
        valid_before=_time(found.get("valid-before")),
        is_authority="cert-authority" in found,
    )


def _time(text: str | None) -> datetime | None:
    """Read a time; without Z it is in the time zone of this machine, as OpenSSH takes it."""
    if text is None:
        return None
    match = _TIME.fullmatch(text)
    form = _FORMS.get(len(match[1])) if match else None
    if match is None or form is None:
        raise ValueError(f"{text!r} is no time; write such as 20270101Z or 20270101183000Z")
    try:
        read = datetime.strptime(match[1], form)  # noqa: DTZ007  the zone is given next
        return read.replace(tzinfo=UTC) if match[2] else read.astimezone(UTC)
    except OverflowError as error:
        raise ValueError(f"{text!r} is no time that can be reckoned with") from error


def _problem(names: tuple[str, ...], limits: Limits, kind: str) -> str:
    if any(_PATTERN & set(name) for name in names):
        return "its principals hold a pattern (* ? !); write each reviewer's own name"
    if not all(person(name) for name in names):
        return "a principal is empty"
    if limits.is_authority:
        return "a certificate authority could name anybody; list each reviewer's own key"
    if kind not in TYPES:
        return f"a key of type {kind} is not taken; make one: ssh-keygen -t ed25519"
    return ""
