"""Owns the application: which routes and layers there are, in which order. Never acts itself."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager

from fastapi import APIRouter, FastAPI
from starlette.types import ASGIApp

from hitl_vault.errors import ConfigError
from hitl_vault.server import (
    answers,
    approval_stream,
    claims,
    events,
    operations,
    overview,
    requests,
)
from hitl_vault.server.compat.routers import compat_routers
from hitl_vault.server.following import following
from hitl_vault.server.gate_layer import GateLayer
from hitl_vault.server.header_layer import HeaderLayer
from hitl_vault.server.identities import NotSignedIn, lead_to_sign_in
from hitl_vault.server.inbox import routes as inbox
from hitl_vault.server.logs import Observed
from hitl_vault.server.problems import Problem, add_problems
from hitl_vault.server.serving import OidcSettings, Serving
from hitl_vault.server.session_layer import SessionLayer
from hitl_vault.server.signing_in import routes as signing_in
from hitl_vault.version import __version__

_ABOUT = """The approval desk between AI agents and the people who answer for them: agents ask,
people answer, agents go on once, with exactly what was approved."""


class _Service(FastAPI):
    """The application with the headers around all of it: an answer to a fault has them too."""

    def build_middleware_stack(self) -> ASGIApp:
        return HeaderLayer(
            super().build_middleware_stack(), secure=self.state.serving.options.secure
        )


def create_app(serving: Serving) -> FastAPI:
    """Return the service around an orchestrator; it is opened and closed with the service."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None, None]:
        async with AsyncExitStack() as opened:
            try:
                await opened.enter_async_context(serving.hitl)
                await opened.enter_async_context(following(serving))
            except Exception as error:
                serving.failure = error
                raise
            yield

    app = _Service(
        title="hitl_vault",
        version=__version__,
        description=_ABOUT,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/v1/openapi.json",
    )
    app.state.serving = serving
    add_problems(app)
    app.add_exception_handler(NotSignedIn, lead_to_sign_in)
    for routes in (requests, answers, claims, overview, events, approval_stream):
        app.include_router(routes.router, prefix="/api/v1")
    app.include_router(operations.router)
    app.include_router(signing_in.router)
    if serving.oidc is not None:
        app.include_router(_oidc_router(serving.oidc))
    for router in compat_routers:
        app.include_router(router)
    app.include_router(inbox.router)
    _document_problems(app)
    app.add_middleware(SessionLayer, serving=serving)
    app.add_middleware(GateLayer, serving=serving)
    app.add_middleware(Observed, metrics=serving.metrics)  # the last one is the outermost
    return app


def _oidc_router(settings: OidcSettings) -> APIRouter:
    try:
        from hitl_vault.server.signing_in.oidc_routes import oidc_router
    except ImportError as error:
        raise ConfigError(
            "oidc needs an extra: python -m pip install 'hitl-vault[oidc]'"
        ) from error
    return oidc_router(settings)


def _document_problems(app: FastAPI) -> None:
    """Put the schema of problems into the documentation; every route refers to it."""
    made = app.openapi

    def openapi() -> dict[str, object]:
        schema = made()
        known = schema.setdefault("components", {}).setdefault("schemas", {})
        known.setdefault("Problem", Problem.model_json_schema())
        return schema

    app.openapi = openapi  # type: ignore[method-assign]
