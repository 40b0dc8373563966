"""Owns what is refused before anything is looked at: foreign host names, tokens in addresses,
bodies that are too large or too slow. Never waits for the rest of what it refuses.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from urllib.parse import unquote_plus, urlsplit

from fastapi.responses import Response
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hitl_vault.server.identities import ends
from hitl_vault.server.problems import problem
from hitl_vault.server.serving import Serving

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_PROBES = {"/healthz", "/readyz"}  # called by address, and they tell nothing
_TOKEN = re.compile(r"(^|[&;])access_token=|hitl_[0-9a-f]{10}_", re.IGNORECASE)
_CLOSE = {"Connection": "close"}  # the rest of it is not read
_MAX_ADDRESS, _MAX_HEADERS = 8192, 32_768
_HOST = re.compile(r"(\[[0-9a-f:.%]+\]|[^:\[\]/@]+)(:\d{1,5})?", re.IGNORECASE)


FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")
"""Headers by which a proxy says that it sent a request on."""


class GateLayer:
    """Refuses what no route should see.

    - 421, a Host that is not ours: a name that somebody else let point here (DNS rebinding).
    - 403, what a proxy sent on to a service that asks nobody for a token.
    - 400, a token in the address: addresses end up in logs. It is to be revoked.
    - 414 and 431, an address or headers without measure.
    - 413, a body above `max_body_bytes`, said or found; it is not read to its end.
    - 408, a body that is not there `body_within_s` after its request began.
    """

    def __init__(self, app: ASGIApp, serving: Serving) -> None:
        self._app, self._options = app, serving.options
        self._hosts = known_hosts(self._options.url, self._options.hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refused = self._refusal(scope, headers)
        if refused is not None:
            await refused(scope, receive, send)
            return
        begun = False

        async def send_noting(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, self._measured(receive), send_noting)
        except HTTPException as error:  # of a layer that read the body; routes answer it themselves
            if begun:
                raise
            await _too(error.status_code, str(error.detail), scope)(scope, receive, send)
        finally:
            ends(scope)

    def _refusal(self, scope: Scope, headers: Headers) -> Response | None:
        path = scope["path"]
        if path not in _PROBES and not is_known(headers.get("host", ""), self._hosts):
            detail = (
                "this name is not this service's: set url or hosts in .hitl/server.toml to the "
                "name people reach it by"
            )
            return problem(421, "foreign_host", detail, instance=path)
        if self._options.open and any(name in headers for name in FORWARDED):
            detail = (
                "this service asks for no token, so it is for this machine alone; stop the proxy"
            )
            return problem(403, "forbidden", detail, instance=path)
        if len(path) + len(scope["query_string"]) > _MAX_ADDRESS:
            return _too(414, f"an address may have {_MAX_ADDRESS} letters", scope)
        if sum(len(name) + len(value) for name, value in scope["headers"]) > _MAX_HEADERS:
            return _too(431, f"headers may have {_MAX_HEADERS} bytes", scope)
        query = unquote_plus(scope["query_string"].decode("latin-1"))
        if _TOKEN.search(query) or _TOKEN.search(path):
            detail = (
                "a token in an address ends up in logs: send it as a header, "
                "Authorization: Bearer hitl_…; and revoke this one: hitl token revoke ID"
            )
            return problem(400, "token_in_address", detail)
        said = headers.get("content-length", "0")
        if not said.isdecimal() or int(said[:20]) > self._options.max_body_bytes:
            return _too(413, self._too_large, scope)
        return None

    @property
    def _too_large(self) -> str:
        return f"a body may have {self._options.max_body_bytes:,} bytes"

    def _measured(self, receive: Receive) -> Receive:
        """Return how to receive a body, no more of it than allowed and no longer than allowed."""
        ends_at = asyncio.get_running_loop().time() + self._options.body_within_s
        got, is_whole = 0, False

        async def receive_some() -> Message:
            nonlocal got, is_whole
            if is_whole:  # what comes now is the end of the connection
                return await receive()
            try:
                async with asyncio.timeout_at(ends_at):
                    message = await receive()
            except TimeoutError as error:
                raise HTTPException(408, "the body took too long", _CLOSE) from error
            got += len(message.get("body", b""))
            if got > self._options.max_body_bytes:
                raise HTTPException(413, self._too_large, _CLOSE)
            is_whole = not message.get("more_body", False)
            return message

        return receive_some


def _too(status: int, detail: str, scope: Scope) -> Response:
    code = "too_slow" if status == 408 else "too_large"  # noqa: PLR2004
    return problem(status, code, detail, instance=scope["path"][:200], headers=_CLOSE)


def known_hosts(url: str, more: Iterable[str]) -> frozenset[str]:
    """Return the host names that are ours: of this machine to itself, of `url`, and these."""
    of_url = urlsplit(url).hostname if url else None
    return LOOPBACK | {name.casefold() for name in (of_url, *more) if name}


def is_known(host: str, known: frozenset[str]) -> bool:
    """True if the Host header names one of these, with any port."""
    match = _HOST.fullmatch(host)
    return match is not None and match[1].strip("[]").casefold() in known
