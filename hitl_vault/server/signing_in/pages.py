"""Owns how the pages for signing in look. Never judges anything."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, Response
from jinja2 import Environment, StrictUndefined

from hitl_vault.errors import HitlVaultError, InvalidRequest, StorageError
from hitl_vault.server.caller_first import CallerFirstRoute
from hitl_vault.server.problems import headers_of, told

_HERE = "hitl_vault.server.signing_in"
STATIC = {"sign-in.css": "text/css", "link.js": "text/javascript"}
_UNAVAILABLE = 503
_NOT_NOW = (
    "This cannot be done now: the service cannot store what it needs for it. Try again later; "
    "whoever runs the service finds the reason in its log."
)


def page(way: str, title: str, status: int = 200, **values: Any) -> HTMLResponse:
    """Return a page: `way` is token, link, out or problem."""
    shown = {"csrf": "", "next": "", "problem": "", "oidc": "", "typed": {}} | values
    return HTMLResponse(_template().render(way=way, title=title, **shown), status_code=status)


def refusal(
    error: HitlVaultError, path: str, *, next: str = "", typed: Mapping[str, str] | None = None
) -> Response:
    """Return the page that says why something was not done.

    After signing in one goes on at `next`. `typed` is shown, each text under its label, to be kept.
    """
    status, problem = error.http_status, told(error, path)
    if isinstance(error, StorageError):
        status, problem = _UNAVAILABLE, _NOT_NOW
    answer = page(
        "problem",
        "That was not done",
        status,
        problem=problem,
        next=next,
        typed=typed or {},
    )
    answer.headers.update(headers_of(error))
    return answer


class SignInRoute(CallerFirstRoute):
    """A route whose refusals are pages too: people look at them."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler."""
        inner = super().get_route_handler()

        async def answered(request: Request) -> Response:
            try:
                return await inner(request)
            except HitlVaultError as error:
                return refusal(error, request.url.path)
            except RequestValidationError:
                said = InvalidRequest("a field of this form is missing, or too long")
                return refusal(said, request.url.path)

        return answered


def static(name: str) -> Response:
    """Return a file that the pages load."""
    return Response(_text(name), media_type=STATIC[name])


@cache
def _template() -> Any:
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    return environment.from_string(_text("sign-in.html"))


@cache
def _text(name: str) -> str:
    return files(_HERE).joinpath(name).read_text(encoding="utf-8")
