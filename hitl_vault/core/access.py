"""Owns who may do what over the network: tokens, scopes, identities. Never reads a file."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from hitl_vault.core.model import Assurance
from hitl_vault.core.voting import person

PREFIX = "hitl"


class Caller(StrEnum):
    """Whose a token is."""

    AGENT = "agent"
    REVIEWER = "reviewer"


class Scope(StrEnum):
    """What an identity may do. An agent's token can hold the first two only, whatever it says."""

    ASK = "ask"  # ask, and wait for, claim, finish, cancel and comment on one's own requests
    READ = "read"  # look at everybody's requests and events
    VOTE = "vote"  # answer, as the person whose token it is
    OPERATE = "operate"  # clean up, resolve, read metrics and the audit


ALLOWED = {
    Caller.AGENT: frozenset({Scope.ASK, Scope.READ}),
    Caller.REVIEWER: frozenset(Scope),
}
DEFAULT = {
    Caller.AGENT: frozenset({Scope.ASK}),
    Caller.REVIEWER: frozenset({Scope.READ, Scope.VOTE}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A token on record. `sha256` is the digest of its secret half, which is stored nowhere."""

    token_id: str
    caller: Caller
    name: str
    scopes: frozenset[Scope]
    sha256: str
    made_at: datetime
    ends_at: datetime | None = None

    def is_in_force(self, now: datetime) -> bool:
        """True until its end."""
        return self.ends_at is None or now < self.ends_at

    def fits(self, secret: str) -> bool:
        """True for the secret it was made with; takes the same time for any other."""
        return hmac.compare_digest(self.sha256, digest_of(secret))


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who calls. `name` is "" where nobody said who they are, which only an open server takes.

    `assurance` is what a vote of this caller is worth; `token_id` what it was proved with.
    """

    name: str
    scopes: frozenset[Scope]
    assurance: Assurance
    caller: Caller | None = None
    token_id: str = ""

    def may(self, scope: Scope) -> bool:
        """True if this caller may."""
        return scope in self.scopes

    def is_named(self, name: str) -> bool:
        """True if this is the caller's own name, however it is spelled."""
        return person(self.name) == person(name)


ANYONE = Identity(name="", scopes=frozenset(Scope), assurance=Assurance.EDITED)
"""Who calls a server that asks for no token: anybody who reaches it, so nothing is proved."""


def identity_of(token: Token) -> Identity:
    """Return who calls with this token. Scopes its kind of caller may not have do not count."""
    return Identity(
        name=token.name,
        scopes=token.scopes & ALLOWED[token.caller],
        assurance=Assurance.AUTHENTICATED,
        caller=token.caller,
        token_id=token.token_id,
    )


def digest_of(secret: str) -> str:
    """Return what is stored of a token's secret: SHA-256, enough for 256 random bits."""
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()


def token_text(token_id: str, secret: str) -> str:
    """Return what the caller sends: `hitl_<id>_<secret>`."""
    return f"{PREFIX}_{token_id}_{secret}"


def split_token(text: str) -> tuple[str, str] | None:
    """Return the id and the secret of what a caller sent, None if it is no token of ours."""
    prefix, _, rest = text.partition("_")
    token_id, _, secret = rest.partition("_")
    return (token_id, secret) if prefix == PREFIX and token_id and secret else None


def wrong_scopes(caller: Caller, scopes: Iterable[Scope]) -> list[Scope]:
    """Return the scopes this kind of caller may never have."""
    return sorted(set(scopes) - ALLOWED[caller])
