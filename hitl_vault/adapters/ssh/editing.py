"""Owns changing the text of `.hitl/allowed_signers`. Never changes a byte of a line it leaves.

The name of the reviewer is the principal.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

from hitl_vault.adapters.ssh.allowed_signers import (
    FILE,
    TYPES,
    check_type,
    decoded,
    keys_on_record,
    parse_line,
)
from hitl_vault.core.people import Key
from hitl_vault.core.statement import NAMESPACE
from hitl_vault.core.voting import person
from hitl_vault.errors import InvalidRequest

_NAMES = re.compile(r'"[^"]*"|[^\s"]+')
_UNFIT = re.compile(r'[*?!,"\\#\x00-\x1f\x7f]')
_LEAST = 8  # letters of a fingerprint that may name a key


def check_principal(name: str) -> None:
    """Raise InvalidRequest for a name that would be a pattern, or could not be read back."""
    if not person(name):
        raise InvalidRequest("name: it is empty")
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
    line = " ".join([_quoted(name), ",".join(options), kind, blob, *comment])
    new = parse_line(line, text.count("\n") + 1)
    if new.problem or new.principals != (name,):
        raise InvalidRequest(f"key: it cannot be written for {name!r}: {new.problem or 'its name'}")
    for known in keys_on_record(text, name=FILE):
        if known.fingerprint == new.fingerprint:
            whose = ", ".join(known.principals)
            raise InvalidRequest(f"key: {new.fingerprint} is on record for {whose} already")
    gap = "" if not text or text.endswith("\n") else "\n"
    if gap:
        new = parse_line(line, new.line + 1)
    return f"{text}{gap}{line}\n", new.on_record()


def _quoted(names: str) -> str:
    return f'"{names}"' if re.search(r"\s", names) else names


def _public(text: str) -> tuple[str, str, list[str]]:
    if "PRIVATE KEY" in text:
        raise InvalidRequest("key: this is a private key; give the public one, named .pub")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    words = lines[0].split() if len(lines) == 1 else []
    if len(words) < 2 or not words[0].removeprefix("sk-").startswith(("ssh-", "ecdsa-")):  # noqa: PLR2004
        raise InvalidRequest("key: give one SSH public key, such as: ssh-ed25519 AAAA… name")
    if words[0] not in TYPES:
        raise InvalidRequest(f"key: {words[0]} is not accepted; make one: ssh-keygen -t ed25519")
    try:
        check_type(words[0], decoded(words[1]))
    except ValueError as error:
        raise InvalidRequest(f"key: {error}") from error
    comment = re.sub(r"[^\w@.+:-]", "", " ".join(words[2:]), flags=re.ASCII)[:80]
    return words[0], words[1], [comment] if comment else []


def _stamp(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y%m%d%H%M%S}Z"


def without_key(text: str, *, name: str, beginning: str) -> tuple[str, Key]:
    """Return the text without one key of a person, named by the beginning of its fingerprint."""
    wanted = beginning if beginning.startswith("SHA256:") else f"SHA256:{beginning}"
    mine = _keys_of(text, name)
    found = [key for key in mine if key.fingerprint.startswith(wanted)]
    if len(wanted) < len("SHA256:") + _LEAST or len(found) != 1:
        listed = ", ".join(key.fingerprint for key in mine) or "none"
        raise InvalidRequest(f"key: {beginning!r} names no one key of {name}; there are: {listed}")
    return _without(text, found, name), found[0]


def without_person(text: str, *, name: str) -> tuple[str, list[Key]]:
    """Return the text without a person's name, and the keys it stood at."""
    keys = _keys_of(text, name)
    return _without(text, keys, name), keys


def _keys_of(text: str, name: str) -> list[Key]:
    return [
        key
        for key in keys_on_record(text, name=FILE)
        if person(name) in map(person, key.principals)
    ]


def _without(text: str, keys: list[Key], name: str) -> str:
    """Take a name from lines; a line that names nobody else goes."""
    lines: list[str | None] = list(text.split("\n"))
    for key in keys:
        left = ",".join(who for who in key.principals if person(who) != person(name))
        rest = _NAMES.sub("", (lines[key.line - 1] or "").lstrip(), count=1)
        lines[key.line - 1] = f"{_quoted(left)}{rest}" if left else None
    return "\n".join(line for line in lines if line is not None)
