"""Owns the routes for signing in with an identity provider. Never lets in who is not on record."""

from __future__ import annotations

import asyncio
import hmac

from fastapi import APIRouter, Depends, Request
from fastapi.responses import RedirectResponse, Response

from hitl_vault.adapters.people.file import FilePeople
from hitl_vault.config import STATE_FOLDER
from hitl_vault.core.access import DEFAULT, Caller
from hitl_vault.core.sign_in import Way, own_page
from hitl_vault.errors import Forbidden, HitlVaultError, Unauthenticated
from hitl_vault.server.identities import At, address_of, counted
from hitl_vault.server.serving import OidcSettings, Serving
from hitl_vault.server.sessions import Begun
from hitl_vault.server.signing_in.oidc import Provider, is_same, name_in
from hitl_vault.server.signing_in.pages import SignInRoute, page
from hitl_vault.server.signing_in.routes import signed_in

_BACK = "/sign-in/oidc/back"


def oidc_router(settings: OidcSettings) -> APIRouter:
    """Return the routes for this provider. Raises ConfigError if a setting is wrong."""
    router = APIRouter(
        route_class=SignInRoute, include_in_schema=False, dependencies=[Depends(counted)]
    )
    provider = Provider(settings)

    @router.get("/sign-in/oidc")
    async def go(request: Request, at: At, next: str = "") -> Response:
        begun = Begun.new()
        try:
            where = await provider.address(begun, _back(request, at))
        except HitlVaultError as error:
            return _refused(error)
        answer = RedirectResponse(where, status_code=303)
        answer.headers.append("set-cookie", at.sessions.begun_cookie(begun, own_page(next)))
        return answer

    @router.get(_BACK)
    async def back(
        request: Request, at: At, state: str = "", code: str = "", iss: str = ""
    ) -> Response:
        found = at.sessions.begun_in(request.cookies)
        try:
            if found is None or not hmac.compare_digest(found[0].state.encode(), state.encode()):
                raise Unauthenticated("This sign-in was not begun here, or too long ago.")
            if not code or (iss and iss != settings.issuer):
                raise Unauthenticated("The identity provider did not sign you in.")
            claims = await provider.claims(found[0], _back(request, at), code)
            name = await asyncio.to_thread(_on_record, at, settings, *name_in(claims, settings))
            scopes = DEFAULT[Caller.REVIEWER]
            answer = await signed_in(request, at, name, scopes, Way.OIDC, found[1])
        except HitlVaultError as error:
            answer = _refused(_counted(request, at, error))
        answer.headers.append("set-cookie", at.sessions.begun_gone())
        return answer

    return router


def _back(request: Request, at: Serving) -> str:
    return f"{at.options.url or str(request.base_url).rstrip('/')}{_BACK}"


def _on_record(at: Serving, settings: OidcSettings, name: str, given: bool) -> str:
    """Return the name on record; where no record is kept, only those in the settings count.

    A name that the settings give is found however it is spelled, one the provider says is not.
    """
    people = FilePeople(at.hitl.root / STATE_FOLDER / "reviewers.toml").load()
    found = people.find(name)
    if found is not None and (given or is_same(found.name, name, settings)):
        return found.name
    if given and not people.on_record:
        return name
    raise Forbidden(
        "You are known to the identity provider, and not on record here. Ask who runs this "
        "service: hitl reviewer add NAME"
    )


def _counted(request: Request, at: Serving, error: HitlVaultError) -> HitlVaultError:
    try:
        at.limits.failed(address_of(request))
    except HitlVaultError as too_fast:
        return too_fast
    return error


def _refused(error: HitlVaultError) -> Response:
    return page("problem", "You are not signed in", error.http_status, problem=str(error))
