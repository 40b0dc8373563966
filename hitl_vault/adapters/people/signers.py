"""Owns the text of `.hitl/allowed_signers`: who signs with which SSH key. Never verifies anything.

The form is OpenSSH's (ssh-keygen(1), ALLOWED SIGNERS), one key a line; the name of the reviewer is
the principal:

    alice namespaces="hitl-vault",valid-before="20270101Z" ssh-ed25519 AAAA… alice@laptop

Changing a line leaves every other byte as it is.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from datetime import UTC, datetime

from hitl_vault.core.people import Key
from hitl_vault.core.statement import NAMESPACE
from hitl_vault.core.voting import person
from hitl_vault.errors import ConfigError, InvalidRequest

_WORD = re.compile(r'(?:"(?:[^"\\]|\\.)*"|[^\s"])+')
_OPTION = re.compile(r'([A-Za-z-]+)(?:="((?:[^"\\]|\\.)*)")?(?:,|$)')
_KINDS = re.compile(r"(sk-)?(ssh|ecdsa)-[a-z0-9-]+(@openssh\.com)?")
_FORMS = {8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
_UNFIT = re.compile(r'[*?!,"\\#\x00-\x1f\x7f]')
_LEAST = 8  # letters of a fingerprint that may name a key


def parse_signers(text: str, *, name: str) -> tuple[Key, ...]:
    """Read all keys. Raises ConfigError, naming the file and the line."""
    keys = []
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip() and not line.lstrip().startswith("#"):
            try:
                keys.append(_parse_line(line, number))
            except ValueError as error:
                raise ConfigError(f"{name}:{number}: {error}") from error
    return tuple(keys)


def _parse_line(line: str, number: int) -> Key:
    words = _WORD.findall(line)
    rest = [] if len(words) < 2 else words[1:]  # noqa: PLR2004  a principal and a key
    options = rest.pop(0) if rest and not _KINDS.fullmatch(rest[0]) else ""
    if len(rest) < 2:  # noqa: PLR2004
        raise ValueError("a line needs a name, a key type and a key")
    found = _options(options)
    spaces = found.get("namespaces")
    return Key(
        principals=tuple(words[0].replace('"', "").split(",")),
        kind=rest[0],
        fingerprint=fingerprint(rest[0], rest[1]),
        namespaces=None if spaces is None else tuple(spaces.split(",")),
        valid_after=_time(found.get("valid-after")),
        valid_before=_time(found.get("valid-before")),
        is_authority="cert-authority" in found,
        line=number,
    )


def _options(text: str) -> dict[str, str]:
    found, at = {}, 0
    while at < len(text):
        match = _OPTION.match(text, at)
        if match is None:
            raise ValueError(f"{text[at:]!r} is neither an option nor a key type")
        found[match[1].lower()] = match[2] or ""
        at = match.end()
    known = {"cert-authority", "namespaces", "valid-after", "valid-before"}
    if unknown := found.keys() - known:
        raise ValueError(f"{min(unknown)!r} is no option; known: {', '.join(sorted(known))}")
    return found


def _time(text: str | None) -> datetime | None:
    """Read a time; without Z it is in the time zone of this machine, as OpenSSH takes it."""
    if text is None:
        return None
    plain = text.removesuffix("Z")
    form = _FORMS.get(len(plain)) if plain.isascii() and plain.isdigit() else None
    if form is None:
        raise ValueError(f"{text!r} is no time; write such as 20270101Z or 20270101183000Z")
    read = datetime.strptime(plain, form)  # noqa: DTZ007  the zone is given next
    return read.replace(tzinfo=UTC) if text.endswith("Z") else read.astimezone(UTC)


def fingerprint(kind: str, key: str) -> str:
    """Return what names a key, as `ssh-keygen -l` shows it. Raises ValueError if it is none."""
    try:
        blob = base64.b64decode(key, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError("the key is damaged: it is not base64") from error
    if blob[:4] != len(kind).to_bytes(4, "big") or blob[4 : 4 + len(kind)] != kind.encode():
        raise ValueError(f"the key is damaged: it is not of type {kind}")
    return f"SHA256:{base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip('=')}"


def check_principal(name: str) -> None:
    """Raise InvalidRequest for a name that would be a pattern, or could not be read back."""
    unfit = _UNFIT.search(name)
    if unfit:
        raise InvalidRequest(
            f"name: {unfit[0]!r} cannot stand in the name of somebody with a key; in "
            "allowed_signers it would mean something else"
        )


def with_key(
    text: str,
    *,
    name: str,
    key: str,
    valid_after: datetime | None = None,
    valid_before: datetime | None = None,
) -> tuple[str, Key]:
    """Return the text with a line for a public key at its end, and the key.

    Raises:
        InvalidRequest: It is no public key, or it is on record, for this person or another.
    """
    check_principal(name)
    kind, blob, comment = _public(key)
    options = [f'namespaces="{NAMESPACE}"']
    options += [f'valid-after="{_stamp(valid_after)}"'] if valid_after else []
    options += [f'valid-before="{_stamp(valid_before)}"'] if valid_before else []
    principal = f'"{name}"' if " " in name else name
    line = " ".join([principal, ",".join(options), kind, blob, *comment])
    new = _parse_line(line, text.count("\n") + 1)
    for known in parse_signers(text, name="allowed_signers"):
        if known.fingerprint == new.fingerprint:
            whose = ", ".join(known.principals)
            raise InvalidRequest(f"key: {new.fingerprint} is on record for {whose} already")
    gap = "" if not text or text.endswith("\n") else "\n"
    return f"{text}{gap}{line}\n", new


def _public(text: str) -> tuple[str, str, list[str]]:
    if "PRIVATE KEY" in text:
        raise InvalidRequest("key: this is a private key; give the public one, named .pub")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    words = lines[0].split() if len(lines) == 1 else []
    if len(words) < 2 or not _KINDS.fullmatch(words[0]):  # noqa: PLR2004
        raise InvalidRequest("key: give one SSH public key, such as: ssh-ed25519 AAAA… name")
    if words[0] == "ssh-dss" or "-cert-" in words[0]:
        raise InvalidRequest(f"key: {words[0]} is not accepted; make one: ssh-keygen -t ed25519")
    try:
        fingerprint(words[0], words[1])
    except ValueError as error:
        raise InvalidRequest(f"key: {error}") from error
    comment = re.sub(r"[^\w@.+:-]", "", " ".join(words[2:]), flags=re.ASCII)[:80]
    return words[0], words[1], [comment] if comment else []


def _stamp(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y%m%d%H%M%S}Z"


def without_key(text: str, *, name: str, beginning: str) -> tuple[str, Key]:
    """Return the text without one key of a person, named by the beginning of its fingerprint."""
    wanted = beginning if beginning.startswith("SHA256:") else f"SHA256:{beginning}"
    mine = [
        key
        for key in parse_signers(text, name="allowed_signers")
        if person(name) in map(person, key.principals)
    ]
    found = [key for key in mine if key.fingerprint.startswith(wanted)]
    if len(wanted) < len("SHA256:") + _LEAST or len(found) != 1:
        listed = ", ".join(key.fingerprint for key in mine) or "none"
        raise InvalidRequest(f"key: {beginning!r} names no one key of {name}; there are: {listed}")
    return _without(text, found, name), found[0]


def without_person(text: str, *, name: str) -> tuple[str, list[Key]]:
    """Return the text without a person's name, and the keys it stood at."""
    keys = [
        key
        for key in parse_signers(text, name="allowed_signers")
        if person(name) in map(person, key.principals)
    ]
    return _without(text, keys, name), keys


def _without(text: str, keys: list[Key], name: str) -> str:
    """Take a name from lines; a line that names nobody else goes."""
    lines: list[str | None] = list(text.split("\n"))
    for key in keys:
        left = ",".join(who for who in key.principals if person(who) != person(name))
        line = (lines[key.line - 1] or "").lstrip()
        rest = line[len(_WORD.findall(line)[0]) :]
        quoted = f'"{left}"' if " " in left else left
        lines[key.line - 1] = f"{quoted}{rest}" if left else None
    return "\n".join(line for line in lines if line is not None)
