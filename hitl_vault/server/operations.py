"""Owns the routes for who operates the service: does it live, is it ready, its figures. Never
says to a stranger why something does not work: the log does.
"""

from __future__ import annotations

import ipaddress
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel

from hitl_vault.core.access import Identity, Scope
from hitl_vault.errors import Forbidden, StorageError, TooFast, Unauthenticated
from hitl_vault.ports_telling import Backlog
from hitl_vault.server.gate_layer import FORWARDED
from hitl_vault.server.identities import At, address_of, who_calls
from hitl_vault.server.problems import responses
from hitl_vault.server.shapes import answer

router = APIRouter(tags=["operation"])
_NOT_READY = 503
_SEE_THE_LOG = "it does not work; the log of the service says why"


class Part(BaseModel):
    """One part the desk needs."""

    ok: bool
    problem: str = ""


class Ready(BaseModel):
    """Whether the desk can work, and what of it cannot."""

    ready: bool
    parts: dict[str, Part]


@router.head("/healthz", include_in_schema=False)
@router.get("/healthz", response_class=Response, responses={200: {"description": "It lives."}})
async def healthz() -> Response:
    """Say that the process lives and answers; restart it where it does not."""
    return answer({"alive": True})


@router.head("/readyz", include_in_schema=False)
@router.get(
    "/readyz",
    response_model=Ready,
    responses={_NOT_READY: {"model": Ready, "description": "A part does not work, or it stops."}},
)
async def readyz(request: Request, at: At) -> Response:
    """Say whether calls can be answered: the ledger, the vault, the policy.

    A policy that cannot be read is told of and turns nobody away: the last good one is in force,
    or everything asks. Why a part does not work is said to who may read or operate; to others the
    log says it.
    """
    problems = await at.readiness.look()
    if at.stopping.has_begun:
        problems = {**problems, "service": "it stops"}
    told = _may_watch(request)
    parts: dict[str, dict[str, Any]] = {
        part: {"ok": not problem, "problem": problem and (problem if told else _SEE_THE_LOG)}
        for part, problem in problems.items()
    }
    ready = not any(problem for part, problem in problems.items() if part != "policy")
    return answer({"ready": ready, "parts": parts}, 200 if ready else _NOT_READY)


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"description": "Figures in the text form of Prometheus."}, **responses()},
)
async def metrics(request: Request, at: At) -> Response:
    """Return the figures. Needs `read` or `operate`, or `--metrics-open` from this machine."""
    caller = ""
    if not (at.options.metrics_open and is_of_this_machine(request)):
        caller = _watcher(request).token_id
    with at.limits.counting(caller or address_of(request)):
        problems = await at.readiness.look()
        backlog, problem = await _backlog(at)
        at.readiness.note("outbox", problem)
        text = at.metrics.text(backlog, {**problems, "outbox": problem})
    return Response(text, media_type=CONTENT_TYPE_LATEST)


async def _backlog(at: At) -> tuple[Backlog | None, str]:
    """Return what people are still to be told, or None and why that cannot be read."""
    try:
        return await at.hitl.backlog(), ""
    except StorageError as error:  # the other figures are wanted most where something fails
        return None, str(error)


def _watcher(request: Request) -> Identity:
    caller = who_calls(request)
    if not (caller.may(Scope.READ) or caller.may(Scope.OPERATE)):
        raise Forbidden("the metrics need a token that may read or operate")
    return caller


def _may_watch(request: Request) -> bool:
    try:
        _watcher(request)
    except (Forbidden, Unauthenticated, TooFast):
        return False
    return True


def is_of_this_machine(request: Request) -> bool:
    """True for a caller on this machine itself; what came through a proxy is none."""
    if request.client is None or any(name in request.headers for name in FORWARDED):
        return False
    try:
        return ipaddress.ip_address(request.client.host).is_loopback
    except ValueError:
        return False
