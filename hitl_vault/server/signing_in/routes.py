"""Owns the routes for signing in and out. Never shows what was typed in again."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.exceptions import HTTPException

from hitl_vault.core.access import Caller, Scope, Token
from hitl_vault.core.sign_in import Way, own_page
from hitl_vault.errors import Forbidden, HitlVaultError, TooFast, Unauthenticated
from hitl_vault.server.identities import At, address_of, counted
from hitl_vault.server.problems import headers_of
from hitl_vault.server.serving import Serving
from hitl_vault.server.signing_in.pages import STATIC, SignInRoute, page, static

router = APIRouter(
    route_class=SignInRoute, include_in_schema=False, dependencies=[Depends(counted)]
)
_SIGN_IN = "Sign in"
Text = Annotated[str, Form(max_length=2000)]


@router.get("/sign-in")
async def sign_in_page(request: Request, next: str = "") -> Response:
    """Show how to sign in."""
    if request.state.identity is not None:
        return _go(own_page(next))
    return _by_token(request, next)


@router.post("/sign-in")
async def sign_in(request: Request, at: At, token: Text = "", next: Text = "") -> Response:
    """Begin a session with a reviewer's token."""
    try:
        found = _reviewers(at.tokens.find(token.strip(), at.now()))
    except HitlVaultError as error:
        return _by_token(request, next, _counted(request, at, error))
    return await signed_in(
        request, at, found.name, found.scopes, Way.TOKEN, own_page(next), token=found
    )


def _reviewers(token: Token | None) -> Token:
    if token is None:
        raise Unauthenticated("This token is unknown, has ended or was revoked.")
    if token.caller is not Caller.REVIEWER:
        raise Forbidden("This is an agent's token: only people sign in here.")
    return token


@router.get("/sign-in/link")
async def link_page(request: Request, next: str = "") -> Response:
    """Show the button that uses a link. Looking at it uses nothing, so a preview spends no link."""
    return _by_link(request, next)


@router.post("/sign-in/link")
async def use_link(request: Request, at: At, code: Text = "", next: Text = "") -> Response:
    """Begin a session with a link, and use it up."""
    text = code.strip().rpartition("#")[2]  # the whole link may have been pasted
    link = await asyncio.to_thread(at.sessions.on_record.spend_link, text, at.now())
    if link is None:
        error = Unauthenticated(
            "This link was used, has ended, or is not whole. Ask for a new one: "
            "hitl token link --reviewer NAME"
        )
        return _by_link(request, next, _counted(request, at, error))
    return await signed_in(request, at, link.name, link.scopes, Way.LINK, own_page(next))


@router.post("/sign-out")
async def sign_out(request: Request, at: At) -> Response:
    """End the session, for every browser that has its cookie."""
    if request.state.held is not None:
        await asyncio.to_thread(at.sessions.end, request.state.held)
    answer = page("out", "You are signed out")
    answer.headers.append("set-cookie", at.sessions.cookie_gone())
    return answer


@router.get("/sign-in/{name}.{kind}")
async def static_file(name: str, kind: str) -> Response:
    """Return what the pages load."""
    if f"{name}.{kind}" not in STATIC:
        raise HTTPException(404)
    return static(f"{name}.{kind}")


async def signed_in(
    request: Request,
    at: Serving,
    name: str,
    scopes: frozenset[Scope],
    way: Way,
    then: str,
    *,
    token: Token | None = None,
) -> Response:
    """Begin a new session, end the one there was, and go to a page of our own."""
    if request.state.held is not None:
        await asyncio.to_thread(at.sessions.end, request.state.held)
    text = await asyncio.to_thread(lambda: at.sessions.begin(name, scopes, way, token=token))
    answer = _go(then)
    answer.headers.append("set-cookie", at.sessions.cookie(text))
    return answer


def _counted(request: Request, at: Serving, error: HitlVaultError) -> HitlVaultError:
    try:
        at.limits.failed(address_of(request))
    except TooFast as too_fast:
        return too_fast
    return error


def _go(then: str) -> Response:
    return RedirectResponse(then, status_code=303)


def _by_token(request: Request, next: str, error: HitlVaultError | None = None) -> HTMLResponse:
    return _form("token", request, next, error)


def _by_link(request: Request, next: str, error: HitlVaultError | None = None) -> HTMLResponse:
    return _form("link", request, next, error)


def _form(way: str, request: Request, next: str, error: HitlVaultError | None) -> HTMLResponse:
    answer = page(
        way,
        _SIGN_IN,
        200 if error is None else error.http_status,
        csrf=request.state.csrf,
        next=own_page(next),
        problem="" if error is None else str(error),
        oidc=request.app.state.serving.oidc_name,
    )
    if isinstance(error, TooFast):
        answer.headers.update(headers_of(error))
    return answer
