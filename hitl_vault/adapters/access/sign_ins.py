"""Owns the links and sessions on record, `.hitl/keys/links.toml` and `sessions.toml`.

Never stores a secret: digests only. Both are written by the service and `hitl token` alone, one
table an entry, its fields as in `core/sign_in`; what has ended goes when the file is next written.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import MISSING, fields
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from hitl_vault.adapters.access.entries import Entries
from hitl_vault.adapters.proof.secret_files import lock_of, save_secret, toml_text
from hitl_vault.core.access import Scope, digest_of
from hitl_vault.core.sign_in import Link, Session, Way, halves
from hitl_vault.core.voting import person
from hitl_vault.errors import ConfigError, InvalidRequest

LINKS, SESSIONS = "links.toml", "sessions.toml"
_ID_BYTES, _SECRET_BYTES = 5, 32
SESSIONS_EACH = 20
_Entry = TypeVar("_Entry", bound=Link | Session)


class _Table(Entries[_Entry]):
    """The links or the sessions, which end."""

    def __init__(self, path: Path, kind: type[_Entry], id_field: str) -> None:
        super().__init__(path, self._made)
        self._kind, self._id_field = kind, id_field

    @contextmanager
    def changing(self, now: datetime) -> Iterator[dict[str, _Entry]]:
        """Give the entries that have not ended to be changed, and store them after the block."""
        with lock_of(self._path):
            known = {id: entry for id, entry in self.load().items() if now < entry.ends_at}
            yield known
            text = "\n".join(self._written(id, entry) for id, entry in known.items())
            save_secret(self._path, text.encode())

    def _made(self, id: str, entry: Any) -> _Entry:
        try:
            read: _Entry = msgspec.convert({**dict(entry), self._id_field: id}, self._kind)
            read.ends_at - read.made_at
        except (msgspec.ValidationError, TypeError, ValueError) as error:
            raise ConfigError(f"{self._path}: [{id}]: {error}; remove this entry") from error
        if read.ends_at.tzinfo is None:
            raise ConfigError(f"{self._path}: [{id}]: its times need their zone")
        return read

    def _written(self, id: str, entry: _Entry) -> str:
        # what an entry could be read without comes first: it must not count without it
        order = sorted(fields(entry), key=lambda field: field.default is MISSING)
        names = [field.name for field in order if field.name != self._id_field]
        lines: list[str] = [f"{name} = {_toml(getattr(entry, name))}" for name in names]
        return "\n".join([f"[{toml_text(id)}]", *lines]) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, frozenset):
        return f"[{', '.join(toml_text(one) for one in sorted(value))}]"
    return toml_text(value)


class SignIns:
    """Who may sign in by a link, and who is signed in."""

    def __init__(self, folder: Path) -> None:
        self._links = _Table(folder / LINKS, Link, "link_id")
        self._sessions = _Table(folder / SESSIONS, Session, "session_id")

    def links(self) -> dict[str, Link]:
        """Return the links that were not used, by their ids. Raises ConfigError."""
        return self._links.load()

    def sessions(self) -> dict[str, Session]:
        """Return the sessions, by their ids. Raises ConfigError."""
        return self._sessions.load()

    def make_link(
        self, name: str, scopes: frozenset[Scope], now: datetime, ends_at: datetime
    ) -> tuple[Link, str]:
        """Make a link for one person; the text that goes into it is returned this once.

        Raises:
            ConfigError, StorageError: It cannot be stored.
        """
        id, secret = secrets.token_hex(_ID_BYTES), secrets.token_urlsafe(_SECRET_BYTES)
        link = Link(
            link_id=id,
            name=name,
            scopes=scopes,
            sha256=digest_of(secret),
            made_at=now.replace(microsecond=0),
            ends_at=ends_at,
        )
        with self._links.changing(now) as known:
            known[id] = link
        return link, f"{id}_{secret}"

    def find_link(self, text: str, now: datetime) -> Link | None:
        """Return the link a text belongs to, without using it; None if it counts no more."""
        id, secret = halves(text)
        found = self._links.load().get(id)
        return found if found is not None and found.counts(secret, now) else None

    def spend_link(self, text: str, now: datetime) -> Link | None:
        """Use a link up. Of all who try, in any process, one gets it and the others None."""
        if self.find_link(text, now) is None:  # no lock and no write for a guess
            return None
        with self._links.changing(now) as known:
            id, secret = halves(text)
            found = known.get(id)
            if found is None or not found.counts(secret, now):
                return None
            return known.pop(id)

    def begin(
        self,
        name: str,
        scopes: frozenset[Scope],
        way: Way,
        now: datetime,
        ends_at: datetime,
        *,
        token_id: str = "",
    ) -> tuple[Session, str]:
        """Begin a session; the text its cookie carries is returned this once, always a new one.

        A person has `SESSIONS_EACH` at most: one more ends the oldest.

        Raises:
            ConfigError, StorageError: It cannot be stored.
        """
        id, secret = secrets.token_hex(_ID_BYTES), secrets.token_urlsafe(_SECRET_BYTES)
        session = Session(
            session_id=id,
            name=name,
            scopes=scopes,
            way=way,
            sha256=digest_of(secret),
            made_at=now.replace(microsecond=0),
            ends_at=ends_at,
            token_id=token_id,
        )
        with self._sessions.changing(now) as known:
            own = [one.session_id for one in known.values() if person(one.name) == person(name)]
            for oldest in own[: max(0, len(own) - SESSIONS_EACH + 1)]:  # kept in their order
                del known[oldest]
            known[id] = session
        return session, f"{id}_{secret}"

    def find_session(self, text: str, now: datetime) -> Session | None:
        """Return the session a text belongs to, None if it has ended or never was."""
        id, secret = halves(text)
        found = self._sessions.load().get(id)
        return found if found is not None and found.counts(secret, now) else None

    def end(self, id: str, now: datetime) -> str:
        """End a session or a link; return whose it was. Raises InvalidRequest if there is none."""
        for table in (self._sessions, self._links):
            if id in table.load():
                with table.changing(now) as known:
                    ended = known.pop(id, None)
                if ended is not None:
                    return ended.name
        raise InvalidRequest(f"there is no session or link {id}; hitl token list shows them")
