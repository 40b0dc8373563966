"""Owns how a page is made: templates, what every page shows, and how errors look. Never decides.

Every text that comes from elsewhere goes through `shown` or `lines`, and the templates escape it
besides. No page has a script or style in it: the files beside it are all there is.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Sequence
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from typing import Any

from fastapi import APIRouter, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.exceptions import HTTPException

from hitl_vault.core.access import Identity, Scope
from hitl_vault.core.durations import show_duration
from hitl_vault.document.inert import spelt_out, visible
from hitl_vault.document.sentences import safe, subject, what, who
from hitl_vault.errors import Forbidden, HitlVaultError, TooFast
from hitl_vault.server.caller_first import CallerFirstRoute
from hitl_vault.server.identities import NotSignedIn, serving, who_calls
from hitl_vault.server.problems import headers_of, told
from hitl_vault.server.serving import Serving

INBOX = "/inbox"
_HERE = "hitl_vault.server.inbox"
_STATIC = {
    "inbox.css": "text/css",
    "inbox.js": "text/javascript",
    "icon.svg": "image/svg+xml",
    "htmx.min.js": "text/javascript",
    "htmx.LICENSE.txt": "text/plain",
}
_log = logging.getLogger(__name__)


class PageRoute(CallerFirstRoute):
    """A route whose errors are pages, in plain words. Who is not signed in is led to sign in."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return what handles a request."""
        handle = super().get_route_handler()

        async def handle_page(request: Request) -> Response:
            try:
                return await handle(request)
            except NotSignedIn:
                raise
            except HitlVaultError as error:
                # the route, not the address: that may hold a link's secret
                words = told(error, self.path)
                answer = await problem_page(request, error.http_status, words)
                if isinstance(error, TooFast):
                    answer.headers.update(headers_of(error))
                return answer
            except RequestValidationError as error:
                fields = ", ".join(str(one["loc"][-1]) for one in error.errors()[:5])
                return await problem_page(request, 422, f"this cannot be read: {fields}")
            except HTTPException as error:
                return await problem_page(request, error.status_code, "there is no such page")
            except Exception as error:
                _log.error("%s %s failed", request.method, self.path, exc_info=error)
                return await problem_page(request, 500, "the service failed; its log says why")

        return handle_page


def new_router(prefix: str = INBOX, dependencies: Sequence[Any] = ()) -> APIRouter:
    """Return a router for pages."""
    return APIRouter(
        prefix=prefix,
        route_class=PageRoute,
        include_in_schema=False,
        dependencies=list(dependencies),
    )


router = new_router()


@router.get("/static/{name}")
async def static(name: str) -> Response:
    """Return a file that the pages load."""
    if name not in _STATIC:
        raise HTTPException(404)
    return Response(
        _file(name), media_type=_STATIC[name], headers={"Cache-Control": "private, max-age=300"}
    )


async def page(
    request: Request,
    caller: Identity | None,
    template: str,
    *,
    status: int = 200,
    **values: Any,
) -> HTMLResponse:
    """Return a page; `caller` is None where nobody needs to be signed in."""
    at = serving(request)
    sees = caller is not None and caller.may(Scope.READ)
    shared = {
        "waiting": await _waiting(at) if sees else None,
        "here": template.partition(".")[0],
        "caller": caller,
        "operates": caller is not None and caller.may(Scope.OPERATE),
        "signed_in": getattr(request.state, "held", None) is not None,
    }
    return part(request, template, status=status, **(shared | values))


async def _waiting(at: Serving) -> int | None:
    """Return how many wait, None where that cannot be told: the page may be about just that."""
    try:
        return (await at.hitl.counts(0)).pending
    except HitlVaultError:
        return None


def part(request: Request, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
    """Return a part of a page."""
    shared = {
        "csrf": getattr(request.state, "csrf", ""),
        "now": serving(request).now(),
        "query": "",
    }
    text = _templates().get_template(template).render(shared | values)
    return HTMLResponse(text, status_code=status)


async def problem_page(request: Request, status: int, problem: str) -> Response:
    """Return the page that says what went wrong, for whoever looks."""
    caller = known_caller(request)
    return await page(request, caller, "problem.html", status=status, problem=problem)


def known_caller(request: Request) -> Identity | None:
    """Return who looks, None if nobody is signed in."""
    try:
        return who_calls(request)
    except HitlVaultError:
        return None


def check_may(caller: Identity, scope: Scope) -> None:
    """Raise Forbidden, in words for people, for a caller who may not."""
    if not caller.may(scope):
        raise Forbidden(_MAY_NOT[scope])


_MAY_NOT = {
    Scope.READ: "you may not look at everybody's requests; who runs this service can allow it",
    Scope.VOTE: "you may look here, and not answer; who runs this service can allow it",
    Scope.OPERATE: "this page is for who runs this service; you may not open it",
    Scope.ASK: "you may not ask here",
}


def see_other(path: str) -> Response:
    """Lead to another page, after something was done."""
    return RedirectResponse(path, status_code=303)


def wants_part(request: Request) -> bool:
    """True if a part of a page is asked for by a page that is open."""
    return request.headers.get("hx-request") == "true"


def stamp(at: datetime) -> str:
    """Return a time as it stands on pages."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def iso(at: datetime) -> str:
    """Return a time for programs."""
    return at.astimezone(UTC).isoformat()


def lines(text: str, limit: int = 20_000) -> str:
    """Return text of several lines, with what hides or reorders it named."""
    cut = text[:limit].replace("\r\n", "\n").replace("\r", "\n")
    more = f"\n… ({limit:,} of {len(text):,} characters are shown)" if len(text) > limit else ""
    return visible(cut).rstrip() + more


def duration(seconds: float | None) -> str:
    """Return a duration in words; "none" without one."""
    return "none" if seconds is None else show_duration(max(0, round(seconds)))


def share(part: int, whole: int) -> str:
    """Return a share in percent; "none" of nothing."""
    return f"{part / whole:.0%}" if whole else "none"


@cache
def _templates() -> Environment:
    environment = Environment(
        loader=PackageLoader(_HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "shown": safe,
        "lines": lines,
        "spelt_out": spelt_out,
        "stamp": stamp,
        "iso": iso,
        "duration": duration,
        "who": who,
        "what": what,
        "subject": subject,
    }
    environment.globals |= {"share": share, "inbox": INBOX}
    return environment


@cache
def _file(name: str) -> bytes:
    return files(_HERE).joinpath("static", name).read_bytes()
