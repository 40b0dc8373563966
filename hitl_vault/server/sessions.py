"""Owns sessions of signed-in people: their cookie, how long they last, what shows that a request
comes from one of our own pages. Never lets a cookie say who somebody is: that is on record here.

The cookie is signed, and holds the session's id, its secret and when it was last seen; what goes on
after its request goes by the newest cookie of the session that was seen here. All else is judged
against `.hitl/keys/sessions.toml` at every request, so that ending a session, or the token
it was begun with, ends it at once.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.cookies import SimpleCookie
from pathlib import Path

from itsdangerous import BadSignature, URLSafeSerializer

from hitl_vault.adapters.access.sign_ins import SignIns
from hitl_vault.adapters.access.tokens import AccessTokens
from hitl_vault.adapters.people.file import FilePeople
from hitl_vault.adapters.proof.secret_files import key_in
from hitl_vault.core.access import Caller, Identity, Scope, Token, identity_of
from hitl_vault.core.sign_in import Session, Way, halves, identity_of_session

KEY = "session.key"
FORM_FIELD, CSRF_HEADER = "csrf", "x-csrf-token"
_RENEW_AFTER_S = 60
_BEGUN_S = 600
_NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """A sign-in with an identity provider that was begun: what its answer must belong to."""

    state: str
    nonce: str
    verifier: str

    @classmethod
    def new(cls) -> Begun:
        """Return one that nobody can guess."""
        return cls(
            state=secrets.token_urlsafe(24),
            nonce=secrets.token_urlsafe(24),
            verifier=secrets.token_urlsafe(48),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A session that counts now. `text` is what its cookie carries; `stale` asks for a new one."""

    session: Session
    identity: Identity
    text: str
    stale: bool


class Sessions:
    """Who is signed in, and how their browser shows it.

    Args:
        folder: `.hitl/keys`.
        secure: Served over TLS, so that the cookie never goes over anything else.
        lasting_s: A session ends this long after it began, and `idle_s` after it was last used.
    """

    def __init__(
        self,
        folder: Path,
        tokens: AccessTokens,
        now: Callable[[], datetime],
        *,
        secure: bool,
        idle_s: float,
        lasting_s: float,
    ) -> None:
        self.on_record = SignIns(folder)
        self._people = FilePeople(folder.parent / "reviewers.toml")
        self._folder, self._tokens, self._now = folder, tokens, now
        self._secure, self._idle_s, self._lasting_s = secure, idle_s, lasting_s
        self._known_key = b""
        self._seen: dict[str, datetime] = {}  # by session, while it is not idle

    # who is signed in

    def begin(
        self, name: str, scopes: frozenset[Scope], way: Way, *, token: Token | None = None
    ) -> str:
        """Begin a session and return what its cookie carries: never anything the browser sent."""
        now = self._now()
        _, text = self.on_record.begin(
            name,
            scopes,
            way,
            now,
            now + timedelta(seconds=self._lasting_s),
            token_id=token.token_id if token is not None else "",
        )
        return text

    def find(self, cookies: SimpleCookie) -> Held | None:
        """Return the session of these cookies, None if there is none or it does not count."""
        carried = self._carried(cookies)
        if carried is None:
            return None
        (text, seen_at), now = carried, self._now()
        idle_s = (now - seen_at).total_seconds()
        session = self.on_record.find_session(text, now)
        if session is None or idle_s >= self._idle_s:
            return None
        identity = self._identity(session, now)
        if identity is None:
            return None
        self._saw(session.session_id, seen_at)
        return Held(session=session, identity=identity, text=text, stale=idle_s >= _RENEW_AFTER_S)

    def carried_base(self, cookies: SimpleCookie) -> str:
        """Return what the forms of these cookies' session rest on, even if it has ended, else "".

        It says whose a page was, and allows nothing.
        """
        carried = self._carried(cookies)
        return "" if carried is None else carried[0]

    def _carried(self, cookies: SimpleCookie) -> tuple[str, datetime] | None:
        """Return what we put into the session's cookie, and when: it may not count any more."""
        sent = cookies.get(self.cookie_name)
        if sent is None:
            return None
        try:
            text, seen = self._signer.loads(sent.value)
            return str(text), datetime.fromtimestamp(seen, UTC)
        except (BadSignature, ValueError, TypeError, OverflowError, OSError):
            return None

    def counts(self, held: Held) -> bool:
        """True while this session goes on, for what goes on after its request: it has not been
        ended, and somebody uses it.
        """
        now = self._now()
        seen_at = self._seen.get(held.session.session_id)
        if seen_at is None or self._is_idle(seen_at, now):
            return False
        session = self.on_record.find_session(held.text, now)
        return session is not None and self._identity(session, now) == held.identity

    def _is_idle(self, seen_at: datetime, now: datetime) -> bool:
        return (now - seen_at).total_seconds() >= self._idle_s

    def _saw(self, session_id: str, seen_at: datetime) -> None:
        """Note when a session's cookie says it was last seen; an older copy changes nothing."""
        if seen_at > self._seen.get(session_id, _NEVER):
            self._seen[session_id] = seen_at

    def _identity(self, session: Session, now: datetime) -> Identity | None:
        if session.way is Way.OIDC:  # nobody here gave it out, so the record alone says who counts
            people = self._people.load()
            if people.on_record and people.find(session.name) is None:
                return None
        if not session.token_id:
            return identity_of_session(session)
        token = self._tokens.load().get(session.token_id)
        if token is None or not token.is_in_force(now) or token.caller is not Caller.REVIEWER:
            return None
        return identity_of(token)

    def end(self, held: Held) -> None:
        """End a session, for every browser that has its cookie."""
        with_id = halves(held.text)[0]
        if with_id in self.on_record.sessions():
            self.on_record.end(with_id, self._now())

    # what the browser carries

    @property
    def cookie_name(self) -> str:
        """Names the vault too: browsers do not tell services of one machine apart by their port."""
        return self._name("session")

    @property
    def form_cookie_name(self) -> str:
        """The cookie that forms rest on where nobody is signed in."""
        return self._name("form")

    def _name(self, what: str) -> str:
        mark = hashlib.sha256(b"name:" + self._key).hexdigest()[:8]
        return f"{'__Host-' if self._secure else ''}hitl_{what}_{mark}"

    def cookie(self, text: str) -> str:
        """Return the Set-Cookie that carries a session.

        SameSite is Lax: a link in a mail must find the person signed in. A GET
        changes nothing, and what changes something shows the session's CSRF token besides.
        """
        now = self._now()
        for one, seen_at in list(self._seen.items()):
            if self._is_idle(seen_at, now):
                self._seen.pop(one, None)
        self._saw(halves(text)[0], now)
        value = self._signer.dumps([text, int(now.timestamp())])
        return self._set_cookie(self.cookie_name, str(value), "Lax")

    def cookie_gone(self) -> str:
        """Return the Set-Cookie that takes a session out of the browser."""
        return self._set_cookie(self.cookie_name, "", "Lax") + "; Max-Age=0"

    def form_cookie(self, base: str) -> str:
        """Return the Set-Cookie that forms rest on where nobody is signed in."""
        return self._set_cookie(self.form_cookie_name, base, "Strict")

    def begun_cookie(self, begun: Begun, then: str) -> str:
        """Return the Set-Cookie that a sign-in with a provider is known by, for 10 minutes.

        SameSite is Lax: the person comes back from the provider's site.
        """
        until = int(self._now().timestamp()) + _BEGUN_S
        value = self._signer.dumps(["begun", begun.state, begun.nonce, begun.verifier, then, until])
        return f"{self._set_cookie(self._name('begun'), str(value), 'Lax')}; Max-Age={_BEGUN_S}"

    def begun_in(self, cookies: Mapping[str, str]) -> tuple[Begun, str] | None:
        """Return the sign-in begun in this browser and where it then goes, None if none was."""
        try:
            found = self._signer.loads(cookies.get(self._name("begun"), ""))
            kind, state, nonce, verifier, then, until = found
        except (BadSignature, ValueError, TypeError):
            return None
        if kind != "begun" or self._now().timestamp() >= until:
            return None
        return Begun(state=state, nonce=nonce, verifier=verifier), then

    def begun_gone(self) -> str:
        """Return the Set-Cookie that ends a begun sign-in."""
        return self._set_cookie(self._name("begun"), "", "Lax") + "; Max-Age=0"

    def new_form_base(self) -> str:
        """Return what the CSRF token of somebody not signed in rests on."""
        return str(self._signer.dumps(["form", secrets.token_urlsafe(16)]))

    def form_base(self, cookies: SimpleCookie) -> str:
        """Return what these cookies rest forms on, "" if it is not from here."""
        sent = cookies.get(self.form_cookie_name)
        if sent is None:
            return ""
        try:
            kind, _ = self._signer.loads(sent.value)
        except (BadSignature, ValueError, TypeError):
            return ""
        return sent.value if kind == "form" else ""

    def csrf_of(self, base: str) -> str:
        """Return the CSRF token of a session's text, or of what forms rest on."""
        return hmac.new(self._key, f"csrf:{base}".encode(), hashlib.sha256).hexdigest()

    def is_csrf(self, base: str, sent: str) -> bool:
        """True if this is that token; takes the same time for any other."""
        return bool(base) and hmac.compare_digest(
            self.csrf_of(base).encode(), sent.encode("utf-8", "replace")
        )

    def _set_cookie(self, name: str, value: str, same_site: str) -> str:
        secure = "; Secure" if self._secure else ""
        return f"{name}={value}; Path=/; HttpOnly; SameSite={same_site}{secure}"

    @property
    def _key(self) -> bytes:
        if not self._known_key:
            self._known_key = key_in(
                self._folder / KEY, "remove it; everybody who is signed in signs in again"
            )
        return self._known_key

    @property
    def _signer(self) -> URLSafeSerializer:
        return URLSafeSerializer(
            self._key,
            salt="hitl_vault session",
            signer_kwargs={"key_derivation": "hmac", "digest_method": hashlib.sha256},
        )
