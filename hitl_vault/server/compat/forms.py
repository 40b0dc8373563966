"""Owns how the routes of other services answer errors: in those services' own forms. Never shows a
path of this machine or a traceback.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from fastapi import Request
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from hitl_vault.errors import Forbidden, HitlVaultError, InvalidRequest, Refused
from hitl_vault.server.caller_first import CallerFirstRoute
from hitl_vault.server.problems import headers_of, unreadable, words_of
from hitl_vault.server.strict_bodies import StrictRequest, meant

_log = logging.getLogger(__name__)
_A_FAULT = 500
_FAILED = "the service failed; its log says why"

FORM = "form:"
"""What the tags of bodies that share a path begin with; a client never sees them."""

Fault = tuple[int, Any]
"""An error as it is answered: its status and its JSON body."""

Words = Callable[[Exception], Fault | None]
"""What a service calls the errors it has words of its own for; None for any other."""


class Said(BaseModel):
    """A body that tolerates fields it does not know, as the services it stands for do; those it
    knows must be of exactly their kind.
    """

    model_config = ConfigDict(strict=True)


class Detail(BaseModel):
    """What went wrong, as FastAPI writes it."""

    model_config = ConfigDict(extra="allow")

    detail: str | dict[str, Any] | list[dict[str, Any]] = Field(examples=["Approval not found"])


class Error(BaseModel):
    """What went wrong, in one sentence."""

    error: str = Field(examples=["workflow_id: Field required"])


def detail_route(words: Words) -> type[APIRoute]:
    """Return the kind of route that answers `{"detail": …}`, as FastAPI does."""
    return route_answering(lambda _, error: words(error) or detail_fault(error))


def error_route() -> type[APIRoute]:
    """Return the kind of route that answers `{"error": "…"}`, and 400 for what it cannot read."""
    return route_answering(lambda _, error: error_fault(error))


def route_answering(fault_of: Callable[[Request, Exception], Fault]) -> type[APIRoute]:
    """Return the kind of route that answers every error, even a fault of its own, as this says."""

    class Route(CallerFirstRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            inner = super().get_route_handler()

            async def answered(request: Request) -> Response:
                try:
                    return await inner(StrictRequest(request.scope, request.receive))
                except Exception as raised:  # whatever it is, it is answered in this form
                    error = meant(raised)
                    status, body = fault_of(request, error)
                    if status >= _A_FAULT:
                        _log.error("%s %s failed", request.method, request.url.path, exc_info=error)
                    headers = headers_of(error) if isinstance(error, HitlVaultError) else {}
                    return _written(body, status, headers)

            return answered

    return Route


def _written(body: Any, status: int, headers: Mapping[str, str]) -> Response:
    """Return an error as JSON that any reader takes, whatever was sent."""
    return Response(
        json.dumps(body, ensure_ascii=True, allow_nan=False, separators=(",", ":")),
        status_code=status,
        media_type="application/json",
        headers=dict(headers),
    )


def detail_fault(error: Exception) -> Fault:
    """Return an error as `{"detail": …}`: a sentence, or the list of wrong fields."""
    match error:
        case RequestValidationError():
            return 422, {"detail": _fields(error.errors())}
        case InvalidRequest():
            return 422, {"detail": [_field(("body",), str(error))]}
        case _:
            status, sentence = _plain(error)
            return status, {"detail": sentence}


def error_fault(error: Exception) -> Fault:
    """Return an error as `{"error": sentence}`."""
    match error:
        case RequestValidationError():
            return 400, {"error": _sentence(error)}
        case InvalidRequest():
            return 400, {"error": str(error)}
        case _:
            status, sentence = _plain(error)
            return status, {"error": sentence}


def _sentence(error: RequestValidationError) -> str:
    fields = [_named(one) for one in _fields(error.errors())]
    return "; ".join(f"{name}: {why}" if name else why for name, why in fields[:5])


def _named(field: dict[str, Any]) -> tuple[str, str]:
    """Return a wrong field's name, "" for none, and what is wrong with it."""
    if field["type"] == "json_invalid":
        return "body", unreadable(field)
    return ".".join(map(str, field["loc"][1:])), field["msg"]


def _plain(error: Exception) -> tuple[int, str]:
    if isinstance(error, HTTPException):
        return error.status_code, str(error.detail)
    if isinstance(error, Refused):  # a rule says no to this caller, not to the body
        return Forbidden.http_status, str(error)
    if isinstance(error, HitlVaultError) and error.http_status != _A_FAULT:
        return error.http_status, words_of(error)
    return _A_FAULT, _FAILED


def _fields(errors: Sequence[Any]) -> list[dict[str, Any]]:
    return [_safe({**one, "loc": _loc(one["loc"])}) for one in errors]


def _loc(loc: Sequence[Any]) -> list[Any]:
    return [part for part in loc if not str(part).startswith(FORM)]


def _safe(field: dict[str, Any]) -> dict[str, Any]:
    """Return a wrong field as JSON; what was sent is left out where JSON cannot hold it."""
    try:
        plain = jsonable_encoder(field)
        json.dumps(plain, allow_nan=False)
    except (ValueError, TypeError, RecursionError):
        return {name: field[name] for name in ("type", "loc", "msg")}
    return plain  # type: ignore[no-any-return]


def _field(loc: Sequence[str], why: str) -> dict[str, Any]:
    return {"type": "value_error", "loc": list(loc), "msg": why}


@contextmanager
def in_words(names: Mapping[str, str]) -> Iterator[None]:
    """Name a field that the engine does not accept as this service names it."""
    try:
        yield
    except InvalidRequest as error:
        found = re.match(r"[a-z_]+", str(error))
        engine_name = found[0] if found else ""
        name = names.get(engine_name, "")
        why = str(error) if not name else f"{name}{str(error)[len(engine_name) :]}"
        loc = ("body", name) if name else ("body",)
        raise RequestValidationError([_field(loc, why)]) from error


_MEANING = {
    400: "The body cannot be read, or a field cannot be accepted.",
    401: "No token, or one that does not count.",
    403: "The policy forbids it, a rule refuses it, or the caller may not do this.",
    404: "There is no such request.",
    409: "It contradicts what is on record.",
    422: "A field cannot be accepted.",
    429: "Too much at once.",
    500: "A fault of the service. What was recorded stays recorded.",
    503: "It may or may not be stored; send it again.",
}


def faults(*statuses: int, model: Any = Detail) -> dict[int | str, dict[str, Any]]:
    """Return the errors a route may answer, for its documentation."""
    every = sorted({401, 403, 429, 500, 503, *statuses})
    return {status: {"model": model, "description": _MEANING[status]} for status in every}
