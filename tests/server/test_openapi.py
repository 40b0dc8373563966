"""The API keeps to its own description: no fault, no status or shape that it does not name."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import load_all_checks, not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from server_kit import serving

from hitl_vault.core.access import Scope
from hitl_vault.core.model import Status
from hitl_vault.server import samples
from hitl_vault.server.problems import PROBLEM_JSON

load_all_checks()
ROOT = "/api/v1"
IDS = (samples.ID, "approved", "executing", "unknown")


@dataclass
class Served:
    """A service in a thread of its own, with one request under the id the examples name."""

    url: str
    headers: dict[str, str]
    stop: Any


async def _serve(root: Path, started: Any, told: list[Any]) -> None:
    ended = asyncio.Event()
    async with serving(root, max_wait_s=0.05, per_minute=1_000_000) as service:
        for id in IDS:
            await service.hitl.request_approval(
                "payment", "Pay", samples.DETAILS, requested_by="alice", id=id
            )
            if id != IDS[0]:
                await service.hitl.approve(id, reviewer="bob")
        await service.hitl.claim(IDS[2], claim_id="c-1")
        await service.hitl.claim(IDS[3], claim_id="c-1")
        await service.hitl.finish(IDS[3], "c-1", Status.UNKNOWN)
        token = service.token("reviewer", "alice", *Scope)
        loop = asyncio.get_running_loop()
        told.append((service.url, token, lambda: loop.call_soon_threadsafe(ended.set)))
        started.set()
        await ended.wait()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    started, told = threading.Event(), []
    root = tmp_path / "vault"
    thread = threading.Thread(target=lambda: asyncio.run(_serve(root, started, told)))
    thread.start()
    assert started.wait(60)
    url, token, stop = told[0]
    yield Served(url, {"Authorization": f"Bearer {token}"}, stop)
    stop()
    thread.join(60)


OTHERS = ("/api/v1/approvals", "/api/v1/stream/")  # described as other documented services are
STREAMS = ("/api/v1/events", "/stream/sse")  # they do not end; see the tests of events
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


def test_no_call_gets_what_the_description_does_not_name(served: Served) -> None:
    """Every route, with what it asks for and with what it does not, of requests in every state."""
    schema = schemathesis.openapi.from_url(f"{served.url}{ROOT}/openapi.json")
    problems: list[str] = []
    called = 0
    found = [one.ok() for one in schema.include(path_regex=f"^{ROOT}/").get_all_operations()]
    found = [one for one in found if not one.label.endswith(STREAMS)]
    # what is claimed first is not withdrawn before
    for operation in sorted(found, key=lambda one: not one.label.endswith("/claim")):
        called += 1
        for mode in GenerationMode:
            try:
                _call(operation, mode, served)
            except Unsatisfiable:  # nothing can be wrong about a call that takes anything
                assert mode is GenerationMode.NEGATIVE
            except Exception as error:
                problems.append(f"{operation.label} ({mode.value}): {error}")
    assert called >= 20
    assert not problems, "\n\n".join(problems)


def _call(operation: Any, mode: GenerationMode, served: Served) -> None:
    @seed(20261121)
    @settings(
        max_examples=25,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode), known=st.sampled_from([*IDS, None]))
    def call(case: Any, known: str | None) -> None:
        if known is not None and "id" in (case.path_parameters or {}):
            case.path_parameters["id"] = known
        case.call_and_validate(headers=served.headers, checks=CHECKS)

    call()


def _operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        if path.startswith(f"{ROOT}/") and not path.startswith(OTHERS):
            for method, operation in item.items():
                yield f"{method.upper()} {path}", operation


def _document(tmp_path: Path) -> dict[str, Any]:
    async def read() -> dict[str, Any]:
        async with serving(tmp_path / "vault") as service:
            return (await service.client().get(f"{ROOT}/openapi.json")).json()

    return asyncio.run(read())


def test_every_route_is_described_whole(tmp_path: Path) -> None:
    """A summary, an example of every body and answer, and every error as a problem."""
    document = _document(tmp_path)
    known = document["components"]["schemas"]

    def has_example(content: dict[str, Any]) -> bool:
        shape = content.get("schema", {})
        shape = shape.get("items", shape)
        name = shape.get("$ref", "").rpartition("/")[2]
        found = known.get(name, shape)
        return "example" in content or bool(content.get("examples") or found.get("examples"))

    wrong, seen = [], 0
    for name, operation in _operations(document):
        seen += 1
        if not operation.get("summary") or not operation.get("description"):
            wrong.append(f"{name}: no summary or no description")
        for kind, content in operation.get("requestBody", {}).get("content", {}).items():
            if not has_example(content):
                wrong.append(f"{name}: no example of its body ({kind})")
        answers = operation["responses"]
        for needed in ("401", "403", "422", "429", "500", "503"):
            if needed not in answers:
                wrong.append(f"{name}: does not name {needed}")
        if "{id}" in name and "404" not in answers:
            wrong.append(f"{name}: does not name 404")
        for status, described in answers.items():
            for kind, content in described.get("content", {}).items():
                if not has_example(content):
                    wrong.append(f"{name}: no example of its {status} ({kind})")
                problem = content.get("schema", {}).get("$ref") == "#/components/schemas/Problem"
                if status >= "400" and (kind != PROBLEM_JSON or not problem):
                    wrong.append(f"{name}: its {status} is no problem")
            if status >= "400" and not described.get("content"):
                wrong.append(f"{name}: its {status} has no shape")
    assert seen >= 20
    assert not wrong, "\n".join(wrong)


def test_the_examples_are_of_the_shapes_they_show() -> None:
    """What the description shows is what it describes."""
    from pydantic import BaseModel

    from hitl_vault.server import shapes

    shown = [
        (shape, example)
        for shape in vars(shapes).values()
        if isinstance(shape, type) and issubclass(shape, BaseModel)
        for example in (shape.model_config.get("json_schema_extra") or {}).get("examples", [])
    ]
    assert len(shown) >= 18
    for shape, example in shown:
        shape.model_validate(example)
