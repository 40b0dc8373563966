"""Owns which pages there are. Never shows one itself."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from hitl_vault.server.inbox import (
    analytics,
    audit,
    history,
    links,
    pages,
    policy,
    queue,
    requests,
)
from hitl_vault.server.inbox.pages import INBOX, new_router, see_other

router = APIRouter(include_in_schema=False)


@router.get("/")
async def home() -> Response:
    """Lead to the queue."""
    return see_other(INBOX)


@router.get("/favicon.ico")
async def icon() -> Response:
    """Return what browsers ask for by themselves."""
    return await pages.static("icon.svg")


for _pages in (pages, queue, requests, history, analytics, policy, audit, links):
    router.include_router(_pages.router)

_rest = new_router()


@_rest.get("/{path:path}")
async def nothing(path: str) -> Response:
    """Say that there is no such page, as a page."""
    raise HTTPException(404, path)


router.include_router(_rest)
