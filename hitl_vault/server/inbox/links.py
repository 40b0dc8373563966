"""Owns the page a message links to: one answer by a link, without signing in. Looking at it uses
nothing up, since mail programs look too; answering does. Never says more than the message did.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Form, Request
from fastapi.responses import Response

from hitl_vault.core.model import Answer
from hitl_vault.core.model import Request as Asked
from hitl_vault.engine.codes import Linked
from hitl_vault.errors import Forbidden, HitlVaultError, RequestNotFound
from hitl_vault.server.identities import At, address_of, counted
from hitl_vault.server.inbox.pages import new_router, page
from hitl_vault.server.inbox.views import view_of
from hitl_vault.server.problems import told
from hitl_vault.server.serving import Serving

router = new_router("/link", dependencies=[Depends(counted)])
_FORGED = "this link is not whole, or not of this service; open it again from the message"


@router.get("/{id}/{text}")
async def show(request: Request, id: str, text: str, at: At) -> Response:
    """Show the request to whom the link was sent."""
    asked, link = await _followed(request, at, id, text)
    return await _page(request, at, asked, link)


@router.post("/{id}/{text}")
async def vote(
    request: Request,
    id: str,
    text: str,
    at: At,
    answer: Annotated[Answer, Form()],
    payload_sha256: Annotated[str, Form()],
    reason: Annotated[str, Form()] = "",
) -> Response:
    """Answer as the person the link was sent to, and use it up."""
    asked, link = await _followed(request, at, id, text)
    try:
        asked = await at.hitl.vote(
            asked.id,
            answer,
            reviewer=link.reviewer,
            reason=reason,
            payload_sha256=payload_sha256,
            code=link.code,
        )
    except HitlVaultError as error:
        asked, link = await _followed(request, at, id, text)
        return await _page(request, at, asked, link, error, reason)
    return await _page(request, at, asked, link, done=True)


async def _followed(request: Request, at: Serving, id: str, text: str) -> tuple[Asked, Linked]:
    """Return the request of a link, and what it stands for. Raises Forbidden for a forged one."""
    try:
        link = await at.hitl.linked(id, text)
        asked = await at.hitl.get(id)
    except RequestNotFound:
        link = None
    if link is None:
        at.limits.failed(address_of(request))
        raise Forbidden(_FORGED)
    return asked, link


async def _page(
    request: Request,
    at: Serving,
    asked: Asked,
    link: Linked,
    error: HitlVaultError | None = None,
    reason: str = "",
    *,
    done: bool = False,
) -> Response:
    return await page(
        request,
        None,
        "link.html",
        status=200 if error is None else error.http_status,
        view=view_of(asked, at.now(), None, whole=True),
        link=link,
        done=done,
        reason=reason,
        problem="" if error is None else told(error, "an answer by a link"),
    )
