"""Owns reading `.hitl/allowed_signers`, the public keys of reviewers. Never judges a signature.

The format is OpenSSH's (ssh-keygen(1), ALLOWED SIGNERS): `principals [options] keytype base64-key
[comment]`. What counts here is narrower, so that a key answers for one person only: the principal
is the reviewer's own name; a pattern (`*`, `?`, `!`) is nobody, and a certificate authority, which
could name anybody, is not taken.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hitl_vault.core.voting import person
from hitl_vault.errors import ConfigError

_KNOWN_OPTIONS = frozenset({"namespaces", "valid-after", "valid-before"})
_TYPES = (
    "ssh-ed25519",
    "ssh-rsa",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
)
_QUOTED = re.compile(r'"(?:\\"|[^"])*"')
_OPTIONS = re.compile(r'(?:"(?:\\"|[^"])*"|[^\s"])+')
_FIRST = re.compile(r'"([^"]*)"\s*|([^\s"]+)\s*')
_PATTERN = frozenset("*?!")
_MAX_BYTES = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """One line: whose key, under which options. `problem` says why it counts for nobody."""

    line: int
    principals: tuple[str, ...]
    options: str
    key_type: str
    key: bytes
    problem: str = ""

    def is_of(self, reviewer: str) -> bool:
        """True if the line names this reviewer, however the name is spelt."""
        return person(reviewer) in {person(name) for name in self.principals}

    @property
    def fingerprint(self) -> str:
        """The key's name as OpenSSH writes it: `SHA256:…`."""
        return fingerprint(self.key)

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
            yield _parse(number, rest)


def _parse(number: int, line: str) -> Signer:
    first = _FIRST.match(line)
    if first is None:
        return _broken(number, (), "the principals are not closed by a quote")
    names = tuple((first[1] if first[1] is not None else first[2]).split(","))
    rest, options = line[first.end() :], ""
    if not _is_key(rest):
        found = _OPTIONS.match(rest)
        options = found.group() if found else ""
        rest = rest[len(options) :].lstrip(" \t")
    words = rest.split()
    if not _is_key(rest) or len(words) < 2:  # noqa: PLR2004  the type and the key
        return _broken(number, names, "there is no public key, such as ssh-ed25519 AAAA…")
    try:
        key = base64.b64decode(words[1], validate=True)
    except (binascii.Error, ValueError):
        return _broken(number, names, "the public key is not base64")
    return Signer(
        line=number,
        principals=names,
        options=options,
        key_type=words[0],
        key=key,
        problem=_problem(names, options),
    )


def _is_key(rest: str) -> bool:
    return rest.split(maxsplit=1)[:1] != [] and rest.split(maxsplit=1)[0] in _TYPES


def _problem(names: tuple[str, ...], options: str) -> str:
    if any(_PATTERN & set(name) for name in names):
        return "its principals hold a pattern (* ? !); write each reviewer's own name"
    if not all(person(name) for name in names):
        return "a principal is empty"
    for option in _QUOTED.sub("", options).split(",") if options else ():
        name = option.partition("=")[0].casefold()
        if name == "cert-authority":
            return "a certificate authority could name anybody; list each reviewer's own key"
        if name not in _KNOWN_OPTIONS:
            return f"the option {name!r} is not known here"
    return ""


def _broken(number: int, names: tuple[str, ...], problem: str) -> Signer:
    return Signer(line=number, principals=names, options="", key_type="", key=b"", problem=problem)
