"""Owns which shared keys and second factors count, told as facts. Never tells a secret.

A change of them is a change of who may answer, and goes on record with the reviewers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from hitl_vault.adapters.proof.hmac import HmacKeys
from hitl_vault.adapters.proof.secret_files import load_toml
from hitl_vault.errors import ConfigError


def facts_of_keys(folder: Path) -> frozenset[str]:
    """Return what the key files in a folder say, as sentences; a changed secret changes one."""
    return frozenset((*_shared(folder / "hmac.toml"), *_factors(folder / "totp.toml")))


def _shared(path: Path) -> Iterator[str]:
    try:
        keys = HmacKeys(path).load().values()
    except ConfigError:
        yield "the shared keys cannot be read"
        return
    for key in keys:
        secret = f"in {key.env}" if key.env else _mark(key.secret)
        until = f" until {key.ends_at:%Y-%m-%d %H:%M:%S} UTC" if key.ends_at else ""
        yield f"{key.reviewer} may answer with the shared key {key.key_id} ({secret}){until}"


def _factors(path: Path) -> Iterator[str]:
    try:
        found = load_toml(path)
    except ConfigError:
        yield "the second factors cannot be read"
        return
    for name, secret in found.items():
        yield f"{name} has a second factor ({_mark(str(secret))})"


def _mark(secret: str) -> str:
    """Return what tells a secret from another one. Ours are random, so that nobody guesses them."""
    return hashlib.sha256(f"hitl-vault:secret:{secret}".encode()).hexdigest()[:12]
