"""Owns the page a message links to: one answer by a link, without signing in. Looking at it uses
nothing up, since mail programs look too; answering does. Never says more than the message did: what
that hid is hidden here, and can be rejected here, and approved only where all of it is shown.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Form, Request
from fastapi.responses import Response

from hitl_vault.core.model import Answer
from hitl_vault.core.model import Request as Asked
from hitl_vault.core.redaction import parse_redaction
from hitl_vault.document.message import request_without
from hitl_vault.engine.codes import Linked
from hitl_vault.errors import Forbidden, HitlVaultError, RequestNotFound
from hitl_vault.server.identities import At, address_of, counted
from hitl_vault.server.inbox.pages import new_router, page
from hitl_vault.server.inbox.views import view_of
from hitl_vault.server.problems import told
from hitl_vault.server.serving import Serving

router = new_router("/link", dependencies=[Depends(counted)])
_FORGED = "this link is not whole, or not of this service; open it again from the message"
_NOT_ALL = (
    "not all of what would run is shown on this page, so it cannot be approved here; sign in, or "
    "approve it in its note"
)


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
        if answer is not Answer.REJECT and _shown(at, asked, link)[0] != asked:
            raise Forbidden(_NOT_ALL)
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


def _shown(at: Serving, asked: Asked, link: Linked) -> tuple[Asked, tuple[str, ...]]:
    """Return the request without what its messages hide, and where its details are hidden."""
    return request_without(asked, parse_redaction(at.hitl.settings.redact) | link.redaction)


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
    shown, hidden = _shown(at, asked, link)
    return await page(
        request,
        None,
        "link.html",
        status=200 if error is None else error.http_status,
        view=view_of(shown, at.now(), None, whole=True),
        hidden=hidden,
        all_shown=shown == asked,
        link=link,
        done=done,
        reason=reason,
        problem="" if error is None else told(error, "an answer by a link"),
    )
