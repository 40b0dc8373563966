"""Owns how the pages for signing in look. Never judges anything."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

from fastapi.responses import HTMLResponse, Response
from jinja2 import Environment, StrictUndefined

_HERE = "hitl_vault.server.signing_in"
STATIC = {"sign-in.css": "text/css", "link.js": "text/javascript"}


def page(way: str, title: str, status: int = 200, **values: Any) -> HTMLResponse:
    """Return a page: `way` is token, link, out or problem."""
    shown = {"csrf": "", "next": "", "problem": "", "oidc": ""} | values
    return HTMLResponse(_template().render(way=way, title=title, **shown), status_code=status)


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
