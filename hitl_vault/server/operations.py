"""Owns the routes for who operates the service: does it live, is it ready, its figures. Never
says to a stranger why something does not work: the log does.
"""

from __future__ import annotations

import ipaddress
import logging
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel

from hitl_vault.core.access import Scope
from hitl_vault.server.identities import At, who_calls
from hitl_vault.server.problems import Forbidden, TooFast, Unauthenticated, responses
from hitl_vault.server.serving import Serving
from hitl_vault.server.shapes import answer

router = APIRouter(tags=["operation"])
_log = logging.getLogger(__name__)
_NOT_READY = 503
_FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip", "via")
_SEE_THE_LOG = "it does not work; the log of the service says why"


class Part(BaseModel):
    """One part the desk needs."""

    ok: bool
    problem: str = ""


class Ready(BaseModel):
    """Whether the desk can work, and what of it cannot."""

    ready: bool
    parts: dict[str, Part]


@router.get("/healthz", response_class=Response, responses={200: {"description": "It lives."}})
async def healthz() -> Response:
    """Say that the process lives and answers; restart it where it does not."""
    return answer({"alive": True})


@router.get(
    "/readyz",
    response_model=Ready,
    responses={_NOT_READY: {"model": Ready, "description": "A part does not work, or it stops."}},
)
async def readyz(request: Request, at: At) -> Response:
    """Say whether calls can be answered: the ledger, the vault, the policy.

    Why a part does not work is said to who may read or operate; to others the log says it.
    """
    problems = await at.hitl.readiness()
    if at.stopping.has_begun:
        problems = {**problems, "service": "it stops"}
    _log_changes(at, problems)
    told = _may_watch(request)
    parts: dict[str, dict[str, Any]] = {
        part: {"ok": not problem, "problem": problem and (problem if told else _SEE_THE_LOG)}
        for part, problem in problems.items()
    }
    ready = not any(problems.values())
    return answer({"ready": ready, "parts": parts}, 200 if ready else _NOT_READY)


def _log_changes(at: Serving, problems: dict[str, str]) -> None:
    """Log what changed only: probes come every few seconds."""
    for part, problem in problems.items():
        if at.not_ready.get(part, "") != problem:
            _log.warning("%s: %s", part, f"not ready: {problem}" if problem else "ready again")
    at.not_ready = problems


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"description": "Figures in the text form of Prometheus."}, **responses()},
)
async def metrics(request: Request, at: At) -> Response:
    """Return the figures. Needs `read` or `operate`, or `--metrics-open` from this machine."""
    if not (at.options.metrics_open and is_of_this_machine(request)):
        _check_may_watch(request)
    return Response(await _text(at), media_type=CONTENT_TYPE_LATEST)


async def _text(at: Serving) -> bytes:
    return await at.metrics.text(at.hitl)


def _check_may_watch(request: Request) -> None:
    caller = who_calls(request)
    if not (caller.may(Scope.READ) or caller.may(Scope.OPERATE)):
        raise Forbidden("the metrics need a token that may read or operate")


def _may_watch(request: Request) -> bool:
    try:
        _check_may_watch(request)
    except (Forbidden, Unauthenticated, TooFast):
        return False
    return True


def is_of_this_machine(request: Request) -> bool:
    """True for a caller on this machine itself; what came through a proxy is none."""
    if request.client is None or any(name in request.headers for name in _FORWARDED):
        return False
    try:
        return ipaddress.ip_address(request.client.host).is_loopback
    except ValueError:
        return False
