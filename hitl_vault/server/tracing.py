"""Owns the trace context of a call: taken from its headers, valid for all it does. Never makes a
trace, and never trusts one: it decides nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry import context as contexts
from opentelemetry import trace as api

from hitl_vault.adapters.tracing.opentelemetry import context_of
from hitl_vault.core.tracing import Trace, trace_of


@contextmanager
def taken(traceparent: str, tracestate: str) -> Iterator[Trace | None]:
    """Let what runs inside be part of the caller's trace; an instrumented server's goes first."""
    trace = trace_of(traceparent, tracestate)
    if trace is None or api.get_current_span().get_span_context().is_valid:
        yield trace
        return
    remote = api.set_span_in_context(api.NonRecordingSpan(context_of(trace)))
    token = contexts.attach(remote)
    try:
        yield trace
    finally:
        contexts.detach(token)
