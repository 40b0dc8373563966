"""Owns shared keys, `.hitl/keys/hmac.toml`, and judging what they sign. Never shows a secret.

Its form, one table a key; `secret` is base64, or `env` names the variable that holds the secret:

    ["alice-2026"]
    reviewer = "alice"
    secret = "…"
    from = 2026-11-21T09:00:00Z
    until = 2027-02-21T09:00:00Z
"""

from __future__ import annotations

import base64
import binascii
import hmac
import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hitl_vault.adapters.proof.secret_files import load_toml, lock_of, save_secret, toml_text
from hitl_vault.core.statement import Envelope
from hitl_vault.core.voting import person
from hitl_vault.errors import ConfigError, TrustError
from hitl_vault.ports_trust import KeyInForce
from hitl_vault.signatures import FORMULA_TYPE, HMAC_KEY, mac_of

_KEYS = {"reviewer", "secret", "env", "from", "until"}
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
MIN_SECRET_BYTES = 16
_NEW_SECRET_BYTES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedKey:
    """A key a reviewer shares with the vault. `env` names a variable; else `secret` is here."""

    key_id: str
    reviewer: str
    begins_at: datetime
    ends_at: datetime | None = None
    env: str = ""
    secret: str = ""

    def __repr__(self) -> str:
        return f"SharedKey({self.key_id!r}, {self.reviewer!r})"  # never the secret


class HmacKeys:
    """The shared keys in a file, read again at every use."""

    def __init__(self, path: Path, environment: Mapping[str, str] = os.environ) -> None:
        self._path, self._environment = path, environment

    def load(self) -> dict[str, SharedKey]:
        """Return the keys by their ids. Raises ConfigError, naming the file and the key."""
        return {
            key_id: _read(key_id, entry, f"{self._path}: [{key_id}]")
            for key_id, entry in load_toml(self._path).items()
        }

    def secret_of(self, key: SharedKey) -> bytes:
        """Return a key's secret. Raises ConfigError if it is not there or too short."""
        where = f"{self._path}: [{key.key_id}]"
        if key.env:
            found = self._environment.get(key.env, "").encode()
            where = f"the environment variable {key.env}"
        else:
            try:
                found = base64.b64decode(key.secret, validate=True)
            except (binascii.Error, ValueError):
                raise ConfigError(f"{where}: secret is not base64") from None
        if len(found) < MIN_SECRET_BYTES:
            raise ConfigError(f"{where} holds no secret of at least {MIN_SECRET_BYTES} bytes")
        return found

    def add(
        self, reviewer: str, key_id: str, now: datetime, *, until: datetime | None, env: str = ""
    ) -> SharedKey:
        """Make a key and store it. Raises ConfigError if the id is taken or cannot be one."""
        if not _ID.fullmatch(key_id):
            raise ConfigError(f"{key_id!r} cannot be the id of a key: letters, digits, . _ and -")
        secret = base64.b64encode(secrets.token_bytes(_NEW_SECRET_BYTES)).decode()
        made = SharedKey(
            key_id=key_id,
            reviewer=reviewer,
            begins_at=now.replace(microsecond=0),
            ends_at=until,
            env=env,
            secret="" if env else secret,
        )
        with lock_of(self._path):
            known = self.load()
            if key_id in known:
                raise ConfigError(f"there is a key {key_id} already; choose another --id")
            self._save({**known, key_id: made})
        return made

    def retire(self, key_id: str, now: datetime) -> SharedKey:
        """End a key now: it stays on the list, and nothing it signs counts any more."""
        with lock_of(self._path):
            known = self.load()
            if key_id not in known:
                raise ConfigError(f"there is no key {key_id}; hitl key list shows them")
            ended = known[key_id].ends_at
            at = now if ended is None else min(ended, now)
            known[key_id] = replace(known[key_id], ends_at=at, secret="", env="")
            self._save(known)
        return known[key_id]

    def _save(self, keys: Mapping[str, SharedKey]) -> None:
        blocks = [_written(key) for key in keys.values()]
        save_secret(self._path, "\n".join(blocks).encode())


class HmacProver:
    """Judges HMAC-SHA256 signatures, by the id of the key that the envelope names."""

    kind = "hmac"

    def __init__(self, keys: HmacKeys) -> None:
        self._keys = keys

    async def key_of(self, envelope: Envelope, reviewer: str, at: datetime) -> KeyInForce:
        """Return `hmac:` and the id of the key, and its times."""
        known = self._keys.load()
        named = envelope.key_id.removeprefix(HMAC_KEY)
        if envelope.payload_type == FORMULA_TYPE:  # its clients know no ids: any of theirs may fit
            candidates = [key for key in known.values() if not _problem(key, reviewer, at)]
            if not candidates:
                raise TrustError(f"{reviewer} has no key in force that could have signed this")
        elif named not in known:
            raise TrustError(f"there is no key {named[:64]!r} on record")
        else:
            candidates = [known[named]]
            if problem := _problem(known[named], reviewer, at):
                raise TrustError(problem)
        for key in candidates:
            made = mac_of(envelope, self._keys.secret_of(key))
            if hmac.compare_digest(made, envelope.signature):
                return KeyInForce(
                    key_id=f"{HMAC_KEY}{key.key_id}",
                    valid_from=key.begins_at,
                    valid_until=key.ends_at,
                )
        raise TrustError("the signature is not right: the text or the signature was changed")


def _problem(key: SharedKey, reviewer: str, at: datetime) -> str:
    if person(key.reviewer) != person(reviewer):
        return f"the key {key.key_id} is not {reviewer}'s"
    if at < key.begins_at:
        return f"the key {key.key_id} is not in force yet"
    if key.ends_at is not None and at >= key.ends_at:
        return f"the key {key.key_id} has expired or is retired"
    return ""


def _read(key_id: str, entry: Any, where: str) -> SharedKey:
    if not isinstance(entry, dict) or entry.keys() - _KEYS or not _ID.fullmatch(key_id):
        raise ConfigError(f"{where} must be a table of {', '.join(sorted(_KEYS))}")
    texts = {name: entry.get(name, "") for name in ("reviewer", "secret", "env")}
    if not all(isinstance(text, str) for text in texts.values()) or not person(texts["reviewer"]):
        raise ConfigError(f"{where} needs texts, and the name of its reviewer")
    ends_at = entry.get("until")
    return SharedKey(
        key_id=key_id,
        begins_at=_time(entry.get("from"), where),
        ends_at=None if ends_at is None else _time(ends_at, where),
        **texts,
    )


def _time(value: Any, where: str) -> datetime:
    if not isinstance(value, datetime):
        raise ConfigError(f"{where} needs a time in from and until, such as 2026-11-21T09:00:00Z")
    return value.replace(tzinfo=value.tzinfo or UTC).astimezone(UTC)


def _written(key: SharedKey) -> str:
    lines = [f"[{toml_text(key.key_id)}]", f"reviewer = {toml_text(key.reviewer)}"]
    if key.env:
        lines.append(f"env = {toml_text(key.env)}")
    elif key.secret:
        lines.append(f"secret = {toml_text(key.secret)}")
    lines.append(f"from = {key.begins_at.isoformat()}")
    if key.ends_at is not None:
        lines.append(f"until = {key.ends_at.isoformat()}")
    return "\n".join([*lines, ""])
