"""What is taken of a trace context, by the rules of W3C Trace Context."""

from __future__ import annotations

import pytest

from hitl_vault.core.tracing import Trace, headers_of, trace_of

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_a_right_context_is_kept_as_it_is():
    found = trace_of(PARENT, "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE")
    assert found == Trace(traceparent=PARENT, tracestate="rojo=00f067aa0ba902b7,congo=t61rcWkgMzE")
    assert found.trace_id == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert (found.span_id, found.flags) == ("00f067aa0ba902b7", 1)
    assert headers_of(found) == {
        "traceparent": PARENT,
        "tracestate": "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE",
    }
    assert headers_of(None) == {}


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "none",
        PARENT[:-1],
        PARENT.upper(),
        "ff" + PARENT[2:],
        PARENT + "-more",
        "00-" + "0" * 32 + PARENT[35:],
        PARENT[:36] + "0" * 16 + "-01",
        PARENT + "\nx: y",
    ],
)
def test_a_wrong_context_is_as_none(wrong):
    assert trace_of(wrong) is None


def test_a_later_version_is_read_as_far_as_it_is_known():
    assert trace_of("01" + PARENT[2:] + "-what-comes").traceparent == PARENT


@pytest.mark.parametrize(
    "wrong", ["A=1", "a=1,a=2", "a", "a=\u00e9", "a=1;\nb=2", "k=" + "v" * 600, "=x"]
)
def test_a_wrong_state_is_left_out_and_the_trace_stays(wrong):
    assert trace_of(PARENT, wrong) == Trace(traceparent=PARENT)
