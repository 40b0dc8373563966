"""The trace a request was asked in goes with it: into the record, events, messages and the claim."""

from __future__ import annotations

import json

import pytest
from opentelemetry import context, trace
from server_kit import serving
from test_events import PAYMENT, ask, pages, streamed, vote

from hitl_vault import Orchestrator
from hitl_vault.adapters.tracing.opentelemetry import OpenTelemetryTracer, context_of
from hitl_vault.cli.starting import make_vault
from hitl_vault.core.tracing import Trace

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
HEADERS = {"traceparent": PARENT, "tracestate": "rojo=1"}


async def test_a_calls_trace_is_kept_with_what_it_asks_and_shown_wherever_it_goes(tmp_path):
    async with serving(tmp_path / "vault") as service:
        agent, alice = service.agent(), service.reviewer()
        asked = (await agent.post("/api/v1/requests", json=PAYMENT, headers=HEADERS)).json()
        assert (asked["traceparent"], asked["tracestate"]) == (PARENT, "rojo=1")
        await vote(alice, asked["id"])
        for event in (await pages(alice, id=asked["id"]))["events"]:
            assert (event["traceparent"], event["tracestate"]) == (PARENT, "rojo=1")
        async with streamed(alice, id=asked["id"]) as following:
            assert json.loads((await following()).data)["traceparent"] == PARENT
        async with service.hitl.execution(asked["id"]) as run:
            assert run.request.trace == Trace(traceparent=PARENT, tracestate="rojo=1")


async def test_the_digest_an_approval_binds_to_is_the_same_with_and_without_a_trace(tmp_path):
    async with serving(tmp_path / "vault") as service:
        agent = service.agent()
        one = (await agent.post("/api/v1/requests", json=PAYMENT, headers=HEADERS)).json()
        two = (await agent.post("/api/v1/requests", json=PAYMENT)).json()
        assert one["payload_sha256"] == two["payload_sha256"]
        assert two["traceparent"] == ""


@pytest.mark.parametrize("wrong", ["x", "00-" + "0" * 32 + "-00f067aa0ba902b7-01", PARENT + "\t,"])
async def test_a_wrong_trace_is_left_out_and_the_call_goes_on(tmp_path, wrong):
    async with serving(tmp_path / "vault") as service:
        agent = service.agent()
        answer = await agent.post(
            "/api/v1/requests", json=PAYMENT, headers={"traceparent": wrong, "tracestate": "a=1"}
        )
        assert (answer.status_code, answer.json()["traceparent"]) == (201, "")


async def test_one_calls_trace_never_becomes_anothers(tmp_path):
    async with serving(tmp_path / "vault") as service:
        agent = service.agent()
        await agent.post("/api/v1/requests", json=PAYMENT, headers=HEADERS)
        id = await ask(agent)
        assert (await service.hitl.get(id)).trace is None


@pytest.fixture
def in_a_trace():
    remote = trace.NonRecordingSpan(context_of(Trace(traceparent=PARENT, tracestate="rojo=1")))
    token = context.attach(trace.set_span_in_context(remote))
    yield
    context.detach(token)


async def test_embedded_code_is_asked_in_the_trace_it_runs_in(tmp_path, in_a_trace):
    make_vault(tmp_path / "vault")
    async with Orchestrator(tmp_path / "vault", watching=False) as hitl:
        request = await hitl.request_approval("payment", "", {"amount": 1})
    assert request.trace == Trace(traceparent=PARENT, tracestate="rojo=1")


class Spans:
    """What a tracing library would be told."""

    def __init__(self, monkeypatch):
        self.seen = []
        made = trace.NoOpTracer()

        class Tracer:
            def start_as_current_span(_, name, **more):
                self.seen.append((name, more))
                return made.start_as_current_span(name)

        monkeypatch.setattr(trace, "get_tracer", lambda *_: Tracer())


async def test_asking_deciding_and_claiming_are_spans_of_the_trace(tmp_path, monkeypatch):
    """And they name no person: spans leave the house."""
    make_vault(tmp_path / "vault")
    spans = Spans(monkeypatch)
    async with Orchestrator(tmp_path / "vault", watching=False) as hitl:
        token = context.attach(
            trace.set_span_in_context(trace.NonRecordingSpan(context_of(Trace(traceparent=PARENT))))
        )
        request = await hitl.request_approval("payment", "", {"amount": 1})
        context.detach(token)
        await hitl.approve(request.id, reviewer="alice")
        async with hitl.execution(request.id):
            pass
    assert [name for name, _ in spans.seen] == ["hitl.ask", "hitl.decide", "hitl.claim"]
    for _, more in spans.seen[1:]:
        found = trace.get_current_span(more["context"]).get_span_context()
        assert f"{found.trace_id:032x}" == PARENT[3:35]
    assert "alice" not in str([more["attributes"] for _, more in spans.seen])


def test_where_nobody_has_loaded_the_library_there_is_nothing_to_trace(monkeypatch):
    monkeypatch.delitem(__import__("sys").modules, "opentelemetry.trace")
    tracer = OpenTelemetryTracer()
    assert tracer.current() is None
    with tracer.span("hitl.ask"):
        pass
