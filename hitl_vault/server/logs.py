"""Owns what the service writes to its log: one line for each call. Never a header, a body, an
address with what varies in it, a token or a link.
"""

from __future__ import annotations

import logging
import random
import re
import sys
import time
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hitl_vault.document.inert import one_line
from hitl_vault.records import as_json
from hitl_vault.server.metrics import Metrics
from hitl_vault.server.tracing import taken

_calls = logging.getLogger("hitl_vault.server.calls")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_UNKNOWN = "(unknown)"
_FAULT = 500
FIELDS = "fields"


class LogFormat(StrEnum):
    """How lines are written."""

    TEXT = "text"
    JSON = "json"


class Lines(logging.Handler):
    """Writes each message as one line to stderr."""

    def __init__(self, format: LogFormat) -> None:
        super().__init__()
        self._format = format

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line, whatever the message holds."""
        try:
            sys.stderr.write(self.line(record) + "\n")
            sys.stderr.flush()
        except (OSError, ValueError):  # nobody reads it; the service goes on
            return

    def line(self, record: logging.LogRecord) -> str:
        """Return the line."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        level, message = record.levelname.lower(), one_line(record.getMessage())
        fields: dict[str, Any] = getattr(record, FIELDS, {})
        if record.exc_info and record.exc_info[1] is not None:
            fields = {**fields, "error": _where(record.exc_info[1])}
        if self._format is LogFormat.JSON:
            return as_json({"at": at, "level": level, "message": message, **fields}, indent=None)
        shown = " ".join(
            f"{key}={one_line(str(value))}" for key, value in fields.items() if value != ""
        )
        return f"{at} {level} {message} {shown}".rstrip()


def _id() -> str:
    """Return a name for a call: no secret, and asking the system for one lets other threads run."""
    return f"{random.getrandbits(64):016x}"


def _where(error: BaseException) -> str:
    """Return the kind of an error of ours and where it was raised, without what it says."""
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    place = "" if last is None else f" in {last.tb_frame.f_code.co_qualname}:{last.tb_lineno}"
    return type(error).__name__ + place


def log_to_stderr(format: LogFormat) -> None:
    """Write what the service and its parts log as lines, and nothing else."""
    handler = Lines(format)
    for name in ("hitl_vault", "uvicorn", "uvicorn.error"):
        log = logging.getLogger(name)
        log.handlers[:] = [handler]
        log.propagate = False
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    logging.getLogger("hitl_vault.server").setLevel(logging.INFO)


class Observed:
    """The outermost layer: gives each call an id, takes its trace, counts it and logs it."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a call on, and say afterwards how it went."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        named = headers.get("x-request-id", "")
        call = _Call(named if _REQUEST_ID.fullmatch(named) else _id())

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                call.begun(message)
            await send(message)

        # the router's findings are read from the very scope it is given
        scope.setdefault("state", {})
        with taken(headers.get("traceparent", ""), headers.get("tracestate", "")) as trace:
            try:
                await self._app(scope, receive, sent)
            finally:
                trace_id = "" if trace is None else trace.trace_id
                call.ended(scope, trace_id, self._metrics)


class _Call:
    """One call, from its beginning to its end."""

    def __init__(self, id: str) -> None:
        self._id, self._began = id, time.perf_counter()
        self._status, self._stream = _FAULT, False

    def begun(self, start: Message) -> None:
        """Note how it is answered."""
        headers = MutableHeaders(scope=start)
        headers["X-Request-ID"] = self._id
        self._status = start["status"]
        self._stream = headers.get("content-type", "").startswith("text/event-stream")

    def ended(self, scope: Scope, trace_id: str, metrics: Metrics) -> None:
        """Count and log it."""
        seconds = time.perf_counter() - self._began
        route = route_of(scope)
        metrics.answered(scope["method"], route, self._status, seconds, stream=self._stream)
        fields = {
            "method": scope["method"],
            "route": route,
            "status": self._status,
            "ms": round(seconds * 1000, 1),
            "caller": scope["state"].get("caller", ""),
            "trace_id": trace_id,
            "request_id": self._id,
        }
        _calls.info("call", extra={FIELDS: fields})


def route_of(scope: Scope) -> str:
    """Return the path with names for what varies in it; never what a caller wrote."""
    route = scope.get("route")
    template = getattr(route, "path_format", None) or getattr(route, "path", None)
    if not isinstance(template, str) or not template:
        return _UNKNOWN
    try:
        filled = template.format(**scope.get("path_params", {}))
    except (KeyError, ValueError, IndexError):
        return template
    path: str = scope["path"]
    # the router may know the route without the prefix it was included under
    return path.removesuffix(filled) + template if path.endswith(filled) else template
