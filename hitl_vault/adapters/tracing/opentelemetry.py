"""Owns spans and trace contexts by the OpenTelemetry API. Never loads it: a program that uses
OpenTelemetry has done so, and for every other there is nothing to trace.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from hitl_vault.core.tracing import Trace, trace_of
from hitl_vault.version import __version__

_API = "opentelemetry.trace"


class OpenTelemetryTracer:
    """Traces by the OpenTelemetry API, if this program has loaded it. No SDK is needed."""

    def current(self) -> Trace | None:
        """Return the trace context this code runs in."""
        api = sys.modules.get(_API)
        if api is None:
            return None
        context = api.get_current_span().get_span_context()
        if not context.is_valid:
            return None
        return trace_of(
            f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}",
            context.trace_state.to_header(),
        )

    def span(
        self, name: str, trace: Trace | None = None, attributes: Mapping[str, str] | None = None
    ) -> AbstractContextManager[object]:
        """Return a context that is one span."""
        api = sys.modules.get(_API)
        if api is None:
            return nullcontext()
        more: dict[str, Any] = {"attributes": attributes, "record_exception": False}
        if trace is not None:
            asked_in = context_of(trace)
            if api.get_current_span().get_span_context().is_valid:
                more["links"] = [api.Link(asked_in)]
            else:
                more["context"] = api.set_span_in_context(api.NonRecordingSpan(asked_in))
        spans: AbstractContextManager[object] = api.get_tracer(
            "hitl_vault", __version__
        ).start_as_current_span(name, **more)
        return spans


def context_of(trace: Trace) -> Any:
    """Return a trace context as the API takes it; the API must have been loaded."""
    api: Any = sys.modules[_API]
    return api.SpanContext(
        trace_id=int(trace.trace_id, 16),
        span_id=int(trace.span_id, 16),
        is_remote=True,
        trace_flags=api.TraceFlags(trace.flags),
        trace_state=api.TraceState.from_header([trace.tracestate]),
    )
