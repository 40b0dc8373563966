"""Owns looking back: every request there ever was, searched and page by page. Never changes one."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlencode

from fastapi import Query, Request
from fastapi.responses import Response

from hitl_vault import records
from hitl_vault.core.access import Scope
from hitl_vault.core.model import Request as Asked
from hitl_vault.core.model import Status
from hitl_vault.document.sentences import headline
from hitl_vault.errors import InvalidRequest
from hitl_vault.server.identities import At, Person
from hitl_vault.server.inbox.pages import INBOX, check_may, new_router, page
from hitl_vault.server.inbox.queue import PAGE, place_of, text_of_place

router = new_router()
SINCE = {"": "any time", "1d": "the last day", "7d": "the last 7 days", "30d": "the last 30 days"}
Word = Annotated[str, Query(max_length=500)]


@router.get("/history")
async def history(
    request: Request,
    at: At,
    caller: Person,
    q: Word = "",
    status: Word = "",
    type: Word = "",
    by: Word = "",
    since: Word = "",
    after: Word = "",
) -> Response:
    """Show requests, newest first."""
    check_may(caller, Scope.READ)
    asked = {"q": q, "status": status, "type": type, "by": by, "since": since}
    found, problem = [], ""
    try:
        found = await at.hitl.list_requests(
            status=status or None,
            type=type.strip() or None,
            requested_by=by.strip() or None,
            since=since or None,
            text=q.strip() or None,
            after=place_of(after),
            limit=PAGE + 1,
        )
    except InvalidRequest as error:
        problem = str(error)
    rows = [(one, records.standing(one, at.now()), _title(one)) for one in found[:PAGE]]
    following = ""
    if len(found) > PAGE:
        given = {name: value for name, value in asked.items() if value}
        following = urlencode(given | {"after": text_of_place(found[PAGE - 1])})
    return await page(
        request,
        caller,
        "history.html",
        status=422 if problem else 200,
        rows=rows,
        asked=asked,
        problem=problem,
        query=q,
        statuses=list(Status),
        times=SINCE,
        next=f"{INBOX}/history?{following}" if following else "",
        is_first=not after,
    )


def _title(request: Asked) -> str:
    title = headline(request)
    return f"{title[:1].upper()}{title[1:]}"
