"""Owns what stands before every route for people with a browser: whose session it is, and that what
changes something comes from our own pages. Never reads more of a body than is allowed.

It sets `request.state.identity` (an Identity, or None), `request.state.held` (the session, or None)
and `request.state.csrf` (what a form of a page carries in its hidden field `csrf`).
"""

from __future__ import annotations

import asyncio
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlsplit

from fastapi.responses import Response
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hitl_vault.errors import Forbidden, HitlVaultError
from hitl_vault.server.identities import bearer_in, count
from hitl_vault.server.problems import answer_to
from hitl_vault.server.serving import Serving
from hitl_vault.server.sessions import CSRF_HEADER, FORM_FIELD, Sessions
from hitl_vault.server.signing_in.pages import refusal

PAGES = ("/inbox", "/sign-in", "/sign-out")
_HARMLESS = {"GET", "HEAD", "OPTIONS", "TRACE"}
_NEWS = "/inbox/live"
_MAX_FIELDS = 1000
_FORM = "application/x-www-form-urlencoded"
_TYPED = {
    "reason": "Your words, which were not sent",
    "text": "Your comment, which was not sent",
    "details": "Your details, which were not sent",
}
"""The fields of the inbox's forms in which people write; never a code or a token."""


class NotOurPage(Forbidden):
    """A request that changes something did not come from one of our own pages."""

    code = "csrf"


class SignedOut(NotOurPage):
    """A form of our own page came after the end of its session. `typed` is what stood in it."""

    def __init__(self, typed: dict[str, str]) -> None:
        super().__init__("You were signed out; nothing was done. Sign in, then answer again.")
        self.typed = typed


class SessionLayer:
    """Finds out who is signed in, and refuses what another site's page sends in their name.

    - A request with a bearer token has no session: one of both says who calls.
    - Under the pages (`/inbox`, `/sign-in`, `/sign-out`) a session counts by its cookie; what
      changes something needs the CSRF token, in the field `csrf` or the header X-CSRF-Token.
    - Everywhere else a session counts only with that header, whatever the method.
    - What an open page fetches by itself does not count as use: a session left alone ends.
    - What changes something and was sent by another site's page is refused, whoever it says calls.
    """

    def __init__(self, app: ASGIApp, serving: Serving) -> None:
        self._app, self._serving = app, serving

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        state.update(identity=None, held=None, csrf="")
        headers = Headers(scope=scope)
        try:
            if scope["method"] not in _HARMLESS:
                check_origin(headers)
            if bearer_in(headers) is None:
                receive, send = await self._judged(scope, headers, receive, send)
        except HitlVaultError as error:
            await _refused(error, scope["path"])(scope, receive, send)
            return
        await self._app(scope, receive, send)

    async def _judged(
        self, scope: Scope, headers: Headers, receive: Receive, send: Send
    ) -> tuple[Receive, Send]:
        sessions, state = self._serving.sessions, scope["state"]
        changes = scope["method"] not in _HARMLESS
        is_page = is_below(scope["path"], PAGES)
        cookies = _cookies(headers)
        if not is_page and (not cookies or CSRF_HEADER not in headers):
            return receive, send
        # the key may have to be made, and files be read again
        held = await asyncio.to_thread(sessions.find, cookies) if cookies else None
        base = held.text if held is not None else sessions.form_base(cookies)
        set_cookies: list[str] = []
        if is_page and not base and not changes:
            base = sessions.new_form_base()
            set_cookies.append(sessions.form_cookie(base))
        if is_page and changes:  # counted before its body is read
            count(scope, self._serving.limits, held.identity if held is not None else None)
            ended = sessions.carried_base(cookies) if held is None else ""
            receive = await _check_form(sessions, base, ended, headers, receive)
        elif not is_page:
            if held is None:
                return receive, send
            _check_header(sessions, held.text, headers)
        if base:
            state["csrf"] = sessions.csrf_of(base)
        if held is not None:
            state["identity"], state["held"] = held.identity, held
            if held.stale and not _by_itself(scope, headers):
                set_cookies.append(sessions.cookie(held.text))
        return receive, _setting(set_cookies, send)


def _by_itself(scope: Scope, headers: Headers) -> bool:
    """True for what an open page fetches with nobody there: its parts, and its stream of news."""
    if scope["method"] not in _HARMLESS:
        return False
    return "hx-request" in headers or scope["path"] == _NEWS


def _refused(error: HitlVaultError, path: str) -> Response:
    if isinstance(error, SignedOut):
        return refusal(error, path, next=path, typed=error.typed)
    if is_below(path, PAGES):
        return refusal(error, path)
    return answer_to(error, path)


def is_below(path: str, roots: tuple[str, ...]) -> bool:
    """True for these paths, and all below them."""
    return any(path == root or path.startswith(f"{root}/") for root in roots)


def check_origin(headers: Headers) -> None:
    """Refuse what another site's page sent, as far as the browser says so.

    Pages have the referrer policy `no-referrer`, with which browsers send `Origin: null` from
    forms: then Sec-Fetch-Site says where from, and the CSRF token where even that is not sent.
    """
    site = headers.get("sec-fetch-site")
    if site is not None:
        if site not in {"same-origin", "none"}:
            raise NotOurPage("another site's page sent this; nothing was done")
        return
    origin = headers.get("origin")
    if origin not in {None, "null"} and urlsplit(origin or "").netloc != headers.get("host"):
        raise NotOurPage("another site's page sent this; nothing was done")


def _cookies(headers: Headers) -> SimpleCookie:
    cookies: SimpleCookie = SimpleCookie()
    for line in headers.getlist("cookie"):
        for one in line.split(";"):  # one that cannot be read must not hide the others
            try:
                cookies.load(one.strip())
            except CookieError:
                continue
    return cookies


def _check_header(sessions: Sessions, base: str, headers: Headers) -> None:
    if not sessions.is_csrf(base, headers[CSRF_HEADER]):
        raise NotOurPage(f"{CSRF_HEADER}: it is not this session's; load the page again")


async def _check_form(
    sessions: Sessions, base: str, ended: str, headers: Headers, receive: Receive
) -> Receive:
    """Check the CSRF token of a page's request, and return how to receive its body again.

    `ended` is what the forms of a session rest on that is over: its token counts for nothing, and
    shows that what stands in the form was typed on our own page.
    """
    sent, fields = headers.get(CSRF_HEADER), dict[str, str]()
    if sent is None and headers.get("content-type", "").partition(";")[0].strip() == _FORM:
        body = await _whole(receive)
        fields = _fields(body)
        sent = fields.get(FORM_FIELD)
        receive = _again(body, receive)
    if sessions.is_csrf(base, sent or ""):
        return receive
    if sessions.is_csrf(ended, sent or ""):
        raise SignedOut({_TYPED[name]: fields[name] for name in _TYPED if name in fields})
    raise NotOurPage(
        "this page is from before you signed in, or not from here: load it again and repeat; "
        "nothing was done"
    )


def _fields(body: bytes) -> dict[str, str]:
    """Return the first value of each field of a form that has one."""
    try:
        found = parse_qs(body.decode("latin-1"), max_num_fields=_MAX_FIELDS)
    except ValueError as error:
        raise NotOurPage("this form has too many fields; nothing was done") from error
    return {name: values[0] for name, values in found.items()}


async def _whole(receive: Receive) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return bytes(body)
        body += message.get("body", b"")
        if not message.get("more_body", False):
            return bytes(body)


def _again(body: bytes, receive: Receive) -> Receive:
    given = False

    async def receive_again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive_again


def _setting(cookies: list[str], send: Send) -> Send:
    """Add these cookies to the answer, unless the route sets the session's itself."""
    if not cookies:
        return send

    async def send_with(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            own = {line.partition("=")[0] for line in headers.getlist("set-cookie")}
            for cookie in cookies:
                if cookie.partition("=")[0] not in own:
                    headers.append("set-cookie", cookie)
        await send(message)

    return send_with
