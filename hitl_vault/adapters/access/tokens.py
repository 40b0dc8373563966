"""Owns the tokens on record, `.hitl/keys/tokens.toml`. Never stores a secret: digests only.

Its form, one table a token:

    ["3f9a1c7be2"]
    until = 2027-02-21T09:00:00Z
    caller = "agent"
    name = "invoice-agent"
    scopes = ["ask"]
    sha256 = "…"
    from = 2026-11-21T09:00:00Z

A token that ended long ago goes when the file is next written.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from hitl_vault.adapters.access.entries import Entries
from hitl_vault.adapters.proof.secret_files import MAX_BYTES, lock_of, save_secret, toml_text
from hitl_vault.core.access import (
    DEFAULT,
    Caller,
    Scope,
    Token,
    digest_of,
    split_token,
    token_text,
    wrong_scopes,
)
from hitl_vault.errors import ConfigError, InvalidRequest, StorageError

FILE = "tokens.toml"
_KEYS = {"caller", "name", "scopes", "sha256", "from", "until"}
_DIGEST = re.compile(r"[0-9a-f]{64}")
_ID_BYTES, _SECRET_BYTES = 5, 32
_LISTED = timedelta(days=30)  # how long one that has ended stays on the list
_NOBODY = "0" * 64
_END_BYTES = 48  # what the end of a token adds to its entry, and a little


class AccessTokens:
    """The tokens in a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._entries = Entries(path, self._read)

    def load(self) -> dict[str, Token]:
        """Return the tokens by their ids. Raises ConfigError, naming the file and the token."""
        return self._entries.load()

    def _read(self, token_id: str, entry: Any) -> Token:
        return _read(token_id, entry, f"{self._path}: [{token_id}]")

    def find(self, text: str, now: datetime) -> Token | None:
        """Return the token in force that a caller sent, None for any other text."""
        token_id, secret = split_token(text) or ("", "")
        known = self.load().get(token_id)
        if known is None:  # as much work as for a known one
            Token.fits(_ABSENT, secret)
            return None
        return known if known.fits(secret) and known.is_in_force(now) else None

    def create(
        self,
        caller: Caller,
        name: str,
        now: datetime,
        *,
        scopes: Iterable[Scope] = (),
        until: datetime | None = None,
    ) -> tuple[Token, str]:
        """Make a token and store its digest; the text is returned this once.

        Raises:
            InvalidRequest: Its caller may never have one of the scopes.
            ConfigError, StorageError: It cannot be stored.
        """
        wanted = frozenset(scopes) or DEFAULT[caller]
        if wrong := wrong_scopes(caller, wanted):
            raise InvalidRequest(f"scope: an {caller}'s token can never hold {', '.join(wrong)}")
        secret = secrets.token_urlsafe(_SECRET_BYTES)
        made = Token(
            token_id=secrets.token_hex(_ID_BYTES),
            caller=caller,
            name=name,
            scopes=wanted,
            sha256=digest_of(secret),
            made_at=now.replace(microsecond=0),
            ends_at=until,
        )
        with lock_of(self._path):
            self._save({**self.load(), made.token_id: made}, now, room_each=_END_BYTES)
        return made, token_text(made.token_id, secret)

    def revoke(self, token_id: str, now: datetime) -> Token:
        """End a token now; it stays on the list for 30 days.

        Raises:
            InvalidRequest: There is none.
            ConfigError, StorageError: It cannot be stored.
        """
        with lock_of(self._path):
            known = self.load()
            if token_id not in known:
                raise InvalidRequest(f"there is no token {token_id}; hitl token list shows them")
            ended = known[token_id].ends_at
            at = now if ended is None else min(ended, now)
            revoked = replace(known[token_id], ends_at=at)
            self._save({**known, token_id: revoked}, now)
        return revoked

    def _save(self, tokens: Mapping[str, Token], now: datetime, room_each: int = 0) -> None:
        """Store them. `room_each` is what must be left, for each to be ended later."""
        kept = [
            token
            for token in tokens.values()
            if token.ends_at is None or now < token.ends_at + _LISTED
        ]
        data = "\n".join(map(_written, kept)).encode()
        if len(data) + room_each * len(kept) > MAX_BYTES:
            raise StorageError(
                f"{self._path}: it holds {len(kept) - 1:,} tokens, and none could be revoked if "
                "there were more; revoke those that nobody needs: they leave it after 30 days"
            )
        save_secret(self._path, data)


def _written(token: Token) -> str:
    lines = [f"[{toml_text(token.token_id)}]"]
    if token.ends_at is not None:  # first: a token must not count without it, whatever is lost
        lines.append(f"until = {token.ends_at.isoformat()}")
    lines += [
        f"caller = {toml_text(token.caller)}",
        f"name = {toml_text(token.name)}",
        f"scopes = [{', '.join(toml_text(scope) for scope in sorted(token.scopes))}]",
        f"sha256 = {toml_text(token.sha256)}",
        f"from = {token.made_at.isoformat()}",
    ]
    return "\n".join(lines) + "\n"


def _read(token_id: str, entry: Any, where: str) -> Token:
    if not isinstance(entry, Mapping) or set(entry) - _KEYS:
        raise ConfigError(f"{where}: a token has the keys {', '.join(sorted(_KEYS))}")
    made_at, ends_at = entry.get("from"), entry.get("until")
    digest, name, listed = entry.get("sha256"), entry.get("name"), entry.get("scopes")
    times = [made_at] if ends_at is None else [made_at, ends_at]
    if not all(isinstance(at, datetime) and at.tzinfo is not None for at in times):
        raise ConfigError(f"{where}: from and until must be times with their zone")
    if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
        raise ConfigError(f"{where}: sha256 must be 64 hexadecimal digits")
    if not isinstance(name, str) or not name or not isinstance(listed, list):
        raise ConfigError(f"{where}: name must be a text and scopes a list")
    try:
        caller, scopes = Caller(str(entry.get("caller"))), frozenset(map(Scope, listed))
    except ValueError as error:
        raise ConfigError(f"{where}: {error}") from error
    assert isinstance(made_at, datetime)
    return Token(
        token_id=token_id,
        caller=caller,
        name=name,
        scopes=scopes,
        sha256=digest,
        made_at=made_at,
        ends_at=ends_at,
    )


_ABSENT = Token(
    token_id="",
    caller=Caller.AGENT,
    name="nobody",
    scopes=frozenset(),
    sha256=_NOBODY,
    made_at=datetime.min.replace(tzinfo=UTC),
)
