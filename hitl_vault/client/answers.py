"""Owns what an answer of the service stands for: values, an error of the embedded API's classes, or
a reason to ask again. Never sends anything.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from hitl_vault import errors, records
from hitl_vault.core.model import Request
from hitl_vault.errors import HitlVaultError

_BY_STATUS: dict[int, type[HitlVaultError]] = {
    401: errors.Unauthenticated,
    403: errors.Forbidden,
    408: errors.WaitTimeout,
    409: errors.Conflict,
    429: errors.TooFast,
    503: errors.Indeterminate,
}
_SERVICE_AT_FAULT = 500
_PASSING = {  # what may be otherwise a moment later; nothing else is sent again
    errors.Indeterminate.code,
    errors.NotOpen.code,
    errors.OutcomeNotRecorded.code,
    errors.StorageError.code,
    errors.TooFast.code,
    HitlVaultError.code,
    "too_slow",
}
_LONGEST_WAIT_S = 300.0
_CUT = 300


class Again(Exception):
    """The call got no answer that counts; it may be sent again. `arrived`: it may have counted."""

    def __init__(self, error: Exception, *, arrived: bool, after_s: float = 0.0) -> None:
        super().__init__(str(error))
        self.error, self.arrived, self.after_s = error, arrived, after_s


class NoSuchRoute(Exception):
    """What answers does not know the call."""


def judged(response: httpx.Response) -> Any:
    """Return the JSON values of an answer that says yes, raise what one that says no stands for."""
    values = _json(response)
    if response.is_success:
        if values is None:
            raise NoSuchRoute(f"{response.status_code}, and no JSON")
        return values
    problem = values if isinstance(values, dict) and isinstance(values.get("code"), str) else None
    status = response.status_code
    if _may_pass(status, problem):
        raise Again(
            error_of(status, problem or {"detail": _unexplained(response)}),
            arrived=_may_have_happened(status, problem),
            after_s=_wait_of(response.headers.get("retry-after")),
        )
    no_route = problem is None or problem.get("detail") in {"Not Found", "Method Not Allowed"}
    if no_route and status not in {401, 403, 413, 422}:
        raise NoSuchRoute(_unexplained(response))
    raise error_of(status, problem or {"detail": _unexplained(response)})


def _json(response: httpx.Response) -> Any:
    try:
        return response.json()
    except ValueError:
        return None


def _unexplained(response: httpx.Response) -> str:
    where = f" to {response.headers['location']}" if response.is_redirect else ""
    return f"{response.status_code} {response.reason_phrase}{where}".strip()


def lost(error: httpx.TransportError) -> Again:
    """Return what to raise for a connection that was not made, or broke."""
    never = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
    return Again(error, arrived=not never)


def _named(code: object) -> type[HitlVaultError] | None:
    """Return the class with this code; of several, which inherit it, the one that said it first."""
    return next((one for one in _tree(HitlVaultError) if one.code == code), None)


def _tree(root: type[HitlVaultError]) -> Iterator[type[HitlVaultError]]:
    yield root
    for one in root.__subclasses__():
        yield from _tree(one)


def error_of(status: int, problem: dict[str, Any]) -> HitlVaultError:
    """Return the error a problem (RFC 9457) stands for, with the request it is about."""
    detail = str(problem.get("detail") or problem.get("title") or "")
    kind = _named(problem.get("code"))
    if kind is None or kind is HitlVaultError:
        kind = _BY_STATUS.get(
            status,
            errors.StorageError if status >= _SERVICE_AT_FAULT else errors.InvalidRequest,
        )
    if kind is errors.NotOpen:  # the service is not, which is no fault of this program
        kind = errors.StorageError
    error = kind(detail or f"the service answered {status}")
    about = _request_of(problem.get("request"))
    for name in ("request", "current"):
        if about is not None and hasattr(error, name):
            setattr(error, name, about)
    return error


def _request_of(record: Any) -> Request | None:
    try:
        return records.request_of(record) if isinstance(record, dict) else None
    except ValueError:  # the error counts without it
        return None


def _may_pass(status: int, problem: dict[str, Any] | None) -> bool:
    """True if the same call may be answered otherwise a moment later."""
    if problem is not None and isinstance(problem.get("code"), str):
        return problem["code"] in _PASSING
    return status in {408, 425, 429} or status >= _SERVICE_AT_FAULT


def _may_have_happened(status: int, problem: dict[str, Any] | None) -> bool:
    """True if a call answered so may have changed something all the same."""
    if problem is not None and problem.get("code") in {errors.StorageError.code, "not_open"}:
        return False
    return status >= _SERVICE_AT_FAULT


def _wait_of(retry_after: str | None) -> float:
    """Return how many seconds a `Retry-After` asks to wait, 0 for none or one of no sense."""
    if retry_after is None:
        return 0.0
    try:
        seconds = float(retry_after)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(retry_after) - datetime.now(UTC)).total_seconds()
        except (TypeError, ValueError):
            return 0.0
    return min(max(0.0, seconds), _LONGEST_WAIT_S)


def shown(text: str) -> str:
    """Return the beginning of an answer that is no problem of ours, in one line."""
    return " ".join(text.split())[:_CUT]
