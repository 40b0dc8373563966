"""Owns finding out who calls, and what they may. Never trusts a name in a body more than a token.

A route takes `Asker`, `Looker`, `Voter` or `Operator`: an identity that may do just that.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated
from urllib.parse import urlencode

from fastapi import Depends, Request
from fastapi.responses import RedirectResponse, Response
from starlette.datastructures import Headers
from starlette.types import Scope as HttpScope

from hitl_vault.core.access import ANYONE, Caller, Identity, Scope, identity_of
from hitl_vault.core.model import Request as Asked
from hitl_vault.errors import Forbidden, Unauthenticated
from hitl_vault.server.limits import Counted, Limits
from hitl_vault.server.serving import Serving

_SCHEME = "bearer "


def bearer_in(headers: Headers) -> str | None:
    """Return the token that a request was sent with, None if its headers name none."""
    header = headers.get("authorization", "")
    is_bearer = header[: len(_SCHEME)].lower() == _SCHEME
    return header[len(_SCHEME) :].strip() if is_bearer else None


def serving(request: Request) -> Serving:
    """Return what the service is made of."""
    found: Serving = request.app.state.serving
    return found


def address_of(request: Request) -> str:
    """Return where a request comes from; what a trusted proxy says of it counts."""
    return request.client.host if request.client else ""


async def identity(request: Request) -> Identity:
    """Return who calls, and count the request until it is answered.

    Raises:
        Unauthenticated: It is not known, see `who_calls`.
        TooFast: The caller sends too much, or the address too many tokens that do not count.
    """
    return _found(request) or _counted(request, who_calls(request))


def _found(request: Request) -> Identity | None:
    """Return who calls if that was asked before: the route asks, then what it depends on."""
    found: Identity | None = getattr(request.state, "identified", None)
    return found


def _counted(request: Request, caller: Identity) -> Identity:
    count(request.scope, serving(request).limits, caller)
    request.state.identified = caller
    return caller


def count(scope: HttpScope, limits: Limits, caller: Identity | None) -> None:
    """Count a request until it `ends`, once: per token or session, else per address.

    Raises:
        TooFast: It is one too many.
    """
    if "counted" not in scope["state"]:
        address = scope["client"][0] if scope.get("client") else ""
        who = caller.token_id if caller is not None else ""
        scope["state"]["counted"] = limits.count(who or address)


def ends(scope: HttpScope) -> None:
    """Count a request no more that was answered, or given up."""
    counted: Counted | None = scope["state"].pop("counted", None)
    if counted is not None:
        counted.ends()


def waits(request: Request) -> None:
    """Say that this request waits from now on: it no longer counts among those being answered.

    Raises:
        TooFast: Too many of this caller's wait.
    """
    request.state.counted.waits()


def who_calls(request: Request) -> Identity:
    """Return who calls: by the bearer token, else by the session of a signed-in person.

    Raises:
        Unauthenticated: Neither is there, and the service is not open; or the token does not count.
        TooFast: Too many tokens from this address did not count.
    """
    at = serving(request)
    sent = bearer_in(request.headers)
    if sent is not None:
        token = at.tokens.find(sent, at.now())
        if token is None:
            at.limits.failed(address_of(request))
            raise Unauthenticated("this token is unknown, has ended or was revoked")
        return _known(request, identity_of(token))
    session: Identity | None = getattr(request.state, "identity", None)
    if session is not None:
        return _known(request, session)
    if at.options.open:
        return ANYONE
    raise Unauthenticated(
        "send a token: Authorization: Bearer hitl_…; make one with: hitl token create"
    )


def judge_again(request: Request, caller: Identity) -> None:
    """Let a caller have an answer that took long, or the next part of one.

    Raises:
        Unauthenticated: The token or session has ended meanwhile, or may something else.
        TooFast: Too many tokens from this address did not count.
    """
    held = getattr(request.state, "held", None)
    if held is not None and not serving(request).sessions.counts(held):
        raise Unauthenticated("this session has ended")
    if who_calls(request) != caller:
        raise Unauthenticated("what this token may was changed; send the request again")


class NotSignedIn(Unauthenticated):
    """A page is for people who are signed in; they are sent to sign in, and back."""


async def person(request: Request) -> Identity:
    """Return who looks at a page. Raises NotSignedIn, which leads to the page for signing in."""
    try:
        return _found(request) or _counted(request, who_calls(request))
    except Unauthenticated as error:
        raise NotSignedIn(str(error)) from error


async def counted(request: Request) -> None:
    """Count a request to a page that asks nobody who they are: per address, or whose session it is.

    Raises:
        TooFast: It is one too many.
    """
    count(request.scope, serving(request).limits, request.state.identity)


def _known(request: Request, caller: Identity) -> Identity:
    request.state.caller = caller.name  # for the log's line
    return caller


def _with(scope: Scope) -> Callable[[Identity], Awaitable[Identity]]:
    async def check(caller: Annotated[Identity, Depends(identity)]) -> Identity:
        if not caller.may(scope):
            raise Forbidden(
                f"this token may not {scope}; it may: {' '.join(sorted(caller.scopes))}"
            )
        return caller

    return check


async def _here(request: Request) -> Serving:
    """`serving`, without the way through a thread that a plain function takes."""
    return serving(request)


At = Annotated[Serving, Depends(_here)]
Anyone = Annotated[Identity, Depends(identity)]
Person = Annotated[Identity, Depends(person)]
Asker = Annotated[Identity, Depends(_with(Scope.ASK))]
Looker = Annotated[Identity, Depends(_with(Scope.READ))]
Voter = Annotated[Identity, Depends(_with(Scope.VOTE))]
Operator = Annotated[Identity, Depends(_with(Scope.OPERATE))]


def acting_as(caller: Identity, name: str | None, field: str, *, default: str = "") -> str:
    """Return the name this caller acts under: their own, whatever is said.

    Raises:
        Forbidden: Another name is given than the token's.
    """
    if not caller.name:
        return name or default
    if name and not caller.is_named(name):
        raise Forbidden(f"{field}: this token is {caller.name}'s, not {name[:80]}'s")
    return caller.name


def agent_of(caller: Identity, named: str) -> str:
    """Return which agent an action is of: rules may allow to one what they deny to another.

    Raises:
        Forbidden: An agent's token names another agent.
    """
    if not named or caller.caller is not Caller.AGENT:
        return named
    return acting_as(caller, named, "agent")


def sees(caller: Identity, request: Asked) -> bool:
    """True if this caller may look at this request."""
    return caller.may(Scope.READ) or caller.is_named(request.action.requested_by)


def check_sees(caller: Identity, request: Asked) -> None:
    """Let a caller without the right to read everything see its own requests only.

    Raises:
        Forbidden: It is somebody else's.
    """
    if not sees(caller, request):
        raise Forbidden(f"{request.id} was asked by somebody else, and this token may not read it")


async def check_may_see(at: Serving, caller: Identity, id: str) -> None:
    """Let nobody act on a request that they may not look at: the answer shows it.

    Raises:
        Forbidden: It is somebody else's.
        RequestNotFound: There is none, where that had to be looked up.
    """
    if not caller.may(Scope.READ):
        check_sees(caller, await at.hitl.get(id))


def told_to(request: Request, about: Asked) -> bool:
    """True if what is told to whoever sent this may show that request."""
    caller: Identity | None = getattr(request.state, "identified", None)
    return caller is not None and sees(caller, about)


def check_owns(caller: Identity, request: Asked) -> None:
    """Let nobody act for the agent but the agent itself, or who operates the vault and may see it.

    Raises:
        Forbidden: It is somebody else's.
    """
    own = caller.may(Scope.ASK) and caller.is_named(request.action.requested_by)
    if not own and not caller.may(Scope.OPERATE):
        raise Forbidden(
            f"{request.id} is {request.action.requested_by}'s: only they may, or a token that "
            f"may {Scope.OPERATE}"
        )
    check_sees(caller, request)


async def lead_to_sign_in(request: Request, _: Exception) -> Response:
    """Answer a page that nobody signed in looks at: sign in, then come back."""
    back = request.url.path
    if request.url.query:
        back = f"{back}?{request.url.query}"
    where = f"/sign-in?{urlencode({'next': back})}" if request.method == "GET" else "/sign-in"
    return RedirectResponse(where, status_code=303)
