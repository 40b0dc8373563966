"""Owns how errors are answered: problem details (RFC 9457), from the one tree of errors.

Never shows a traceback, a path of this machine or a secret. Routes of other documented services
answer in those services' own form; see `compat.forms`.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import msgspec
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from hitl_vault import records
from hitl_vault.core.model import Request as Asked
from hitl_vault.errors import (
    HitlVaultError,
    Indeterminate,
    OutcomeNotRecorded,
    TooFast,
    Unauthenticated,
)
from hitl_vault.server.identities import told_to

_log = logging.getLogger(__name__)
PROBLEM_JSON = "application/problem+json"
_A_FAULT = 500
_NOT_JSON = "send JSON, with the header Content-Type: application/json"


class Problem(BaseModel):
    """What went wrong (RFC 9457)."""

    type: str = Field(examples=["urn:hitl-vault:error:conflict"])
    title: str = Field(examples=["Conflict"])
    status: int = Field(examples=[409])
    detail: str = Field(examples=["20261121-093012-payment-7f3ac91e is rejected already"])
    code: str = Field(examples=["conflict"], description="Stable, for programs.")
    instance: str | None = Field(default=None, examples=["/api/v1/requests/…/votes"])
    request: dict[str, Any] | None = Field(
        default=None,
        description="The request as it stands, where the problem is about one that you may see.",
    )
    fields: list[dict[str, str]] | None = Field(
        default=None, description="Which fields of the body or the address are wrong, and why."
    )


def add_problems(app: FastAPI) -> None:
    """Let the application answer every error as a problem."""
    app.add_exception_handler(HitlVaultError, _known)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unknown)


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the errors a route may answer, for its documentation: these and those of any."""
    return {
        status: {
            "description": _MEANING[status],
            "content": {
                PROBLEM_JSON: {
                    "schema": {"$ref": "#/components/schemas/Problem"},
                    "example": _example(status),
                }
            },
        }
        for status in sorted({*_ANY_ROUTE, *statuses})
    }


_ANY_ROUTE = (400, 401, 403, 408, 413, 421, 422, 429, 500, 503)
_MEANING = {
    400: "The body cannot be read, or the address holds a token.",
    401: "No token, or one that does not count.",
    403: "The caller may not do this, or the policy forbids it.",
    404: "There is no such request.",
    408: "The body took too long.",
    409: "It contradicts what is on record; `request` is how it stands.",
    413: "The body is too large.",
    421: "The service is not known by this name.",
    422: "A field cannot be accepted, or a rule says no; `detail` says which and why.",
    429: "Too much at once; try again after `Retry-After` seconds.",
    500: "A fault of the service. What was recorded stays recorded.",
    503: "It may or may not be stored: send it again with the same key or id.",
}
_CODES = {
    400: "bad_body",
    401: "unauthenticated",
    403: "forbidden",
    404: "not_found",
    408: "too_slow",
    409: "conflict",
    413: "too_large",
    421: "foreign_host",
    422: "invalid",
    429: "too_fast",
    500: "error",
    503: "indeterminate",
}


def _example(status: int) -> dict[str, Any]:
    code = _CODES[status]
    return {
        "type": f"urn:hitl-vault:error:{code}",
        "title": _title(code),
        "status": status,
        "detail": _MEANING[status],
        "code": code,
        "instance": "/api/v1/requests",
    }


def _title(code: str) -> str:
    return code.replace("_", " ").capitalize()


def problem(
    status: int,
    code: str,
    detail: str,
    *,
    title: str = "",
    instance: str | None = None,
    request: Asked | None = None,
    fields: Sequence[Mapping[str, str]] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return the answer that says what went wrong."""
    body = {
        "type": f"urn:hitl-vault:error:{code}",
        "title": title or _title(code),
        "status": status,
        "detail": detail,
        "code": code,
    }
    if instance is not None:
        body["instance"] = instance
    if request is not None:
        body["request"] = records.request_record(request)
    if fields:
        body["fields"] = list(fields)
    return Response(
        _written(body),
        status_code=status,
        media_type=PROBLEM_JSON,
        headers=dict(headers or {}),
    )


def _written(body: dict[str, Any]) -> bytes:
    try:
        return msgspec.json.encode(body)
    except UnicodeEncodeError:  # half a pair of UTF-16, sent and told again, is no text
        return json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")


def headers_of(error: HitlVaultError) -> dict[str, str]:
    """Return the headers an error brings."""
    if isinstance(error, Unauthenticated):
        return {"WWW-Authenticate": "Bearer"}
    if isinstance(error, TooFast):
        return {"Retry-After": str(max(1, round(error.after_s)))}
    return {}


def answer_to(
    error: HitlVaultError, path: str, shows: Callable[[Asked], bool] = lambda _: False
) -> Response:
    """Return the answer to an error; with the request it is about where `shows` says so."""
    about = getattr(error, "current", None) or getattr(error, "request", None)
    return problem(
        error.http_status,
        error.code,
        told(error, path),
        instance=path,
        request=about if isinstance(about, Asked) and shows(about) else None,
        headers=headers_of(error),
    )


def told(error: HitlVaultError, path: str) -> str:
    """Return what a caller is told of an error; a fault of this machine goes to the log as well."""
    if error.http_status >= _A_FAULT:
        _log.error("%s: %s", path, error)
    return words_of(error)


def words_of(error: HitlVaultError) -> str:
    """Return what a caller may know of an error. Why something is not stored may name files of this
    machine, so the log alone says it.
    """
    match error:
        case OutcomeNotRecorded():
            return error.sentence
        case Indeterminate():
            return "it may or may not be stored: send it again with the same key or id"
        case _ if error.http_status == _A_FAULT:
            return "the service could not do this; its log says why"
        case _:
            return str(error)


async def _known(request: Request, error: Exception) -> Response:
    assert isinstance(error, HitlVaultError)
    return answer_to(error, request.url.path, partial(told_to, request))


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    unread = "json" not in request.headers.get("content-type", "")
    fields = [_field(one, unread=unread) for one in error.errors()]
    detail = "; ".join(f"{one['field']}: {one['problem']}" for one in fields[:5])
    return problem(422, "invalid", detail, instance=request.url.path, fields=fields)


def _field(error: Mapping[str, Any], *, unread: bool) -> dict[str, str]:
    where = error["loc"]
    if error["type"] == "json_invalid":
        return {"field": "body", "problem": unreadable(error)}
    if unread and tuple(where) == ("body",):
        return {"field": "body", "problem": _NOT_JSON}
    return {"field": ".".join(map(str, where[1:])) or str(where[0]), "problem": error["msg"]}


def unreadable(error: Mapping[str, Any]) -> str:
    """Return why and where a body is no JSON, of FastAPI's error about it."""
    return f"it is no JSON ({error['ctx']['error']}) at character {error['loc'][1]}"


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = (_CODES | {405: "method_not_allowed"}).get(error.status_code, "http")
    detail = error.detail or code
    return problem(
        error.status_code, code, detail, instance=request.url.path, headers=error.headers
    )


async def _unknown(request: Request, error: Exception) -> Response:
    _log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return problem(500, "error", "the service failed; its log says why", instance=request.url.path)
