"""Owns what a signed-in person is: sessions, and the links that begin one. Never reads a file."""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from hitl_vault.core.access import Caller, Identity, Scope, digest_of
from hitl_vault.core.model import Assurance

HOME = "/inbox"
_OWN_PAGE = re.compile(r"/inbox(?:[/?][!-\[\]-~]*)?")  # no backslash, space or control character


class Way(StrEnum):
    """How a person signed in."""

    TOKEN = "token"  # noqa: S105 (the word, not a token)
    LINK = "link"
    OIDC = "oidc"


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A link on record that signs one person in, once. `sha256` is its secret half's digest."""

    link_id: str
    name: str
    scopes: frozenset[Scope]
    sha256: str
    made_at: datetime
    ends_at: datetime

    def counts(self, secret: str, now: datetime) -> bool:
        """True for its secret, until its end."""
        return hmac.compare_digest(self.sha256, digest_of(secret)) and now < self.ends_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A signed-in person. `token_id` is the token they signed in with, "" for another way: a
    session by a token never outlives it.
    """

    session_id: str
    name: str
    scopes: frozenset[Scope]
    way: Way
    sha256: str
    made_at: datetime
    ends_at: datetime
    token_id: str = ""

    def counts(self, secret: str, now: datetime) -> bool:
        """True for its secret, until its end."""
        return hmac.compare_digest(self.sha256, digest_of(secret)) and now < self.ends_at


def identity_of_session(session: Session) -> Identity:
    """Return who calls with a session that was not begun with a token."""
    return Identity(
        name=session.name,
        scopes=session.scopes,
        assurance=Assurance.AUTHENTICATED,
        caller=Caller.REVIEWER,
        token_id=session.session_id,
    )


def halves(text: str) -> tuple[str, str]:
    """Return the id and the secret of a link's or a session's text, empty for any other text."""
    id, _, secret = text.partition("_")
    return (id, secret) if id and secret else ("", "")


def own_page(path: str) -> str:
    """Return the page to go to after signing in: this one if it is of the inbox, else its first.

    Whatever is in an address is a stranger's word, so nothing but a path below /inbox counts.
    """
    return path if _OWN_PAGE.fullmatch(path) else HOME
