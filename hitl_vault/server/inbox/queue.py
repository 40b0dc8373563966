"""Owns the queue: what waits, live. Never decides: an answer goes to the request's own route."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from fastapi import Request
from fastapi.responses import Response

from hitl_vault.core.access import Identity, Scope
from hitl_vault.core.model import Request as Asked
from hitl_vault.core.model import Status
from hitl_vault.errors import HitlVaultError, InvalidRequest
from hitl_vault.ports import Filter, Place
from hitl_vault.server.events import streamed
from hitl_vault.server.feed import Told
from hitl_vault.server.identities import At, Person
from hitl_vault.server.inbox.pages import INBOX, check_may, new_router, page, part
from hitl_vault.server.inbox.views import View, view_of
from hitl_vault.server.serving import Serving

PAGE = 50
SOON_S = 900.0
router = new_router()


@router.get("")
async def queue(request: Request, at: At, caller: Person, after: str = "") -> Response:
    """Show what waits."""
    check_may(caller, Scope.READ)
    shown = await _queue(at, caller, after)
    return await page(request, caller, "queue.html", **shown, reason="", problem="")


@router.get("/queue")
async def queue_part(request: Request, at: At, caller: Person, after: str = "") -> Response:
    """Return what waits now, for a page that is open."""
    check_may(caller, Scope.READ)
    shown = await _queue(at, caller, after)
    waiting = (await at.hitl.counts(0)).pending
    return part(request, "_cards.html", **shown, waiting=waiting, caller=caller, reason="")


@router.get("/cards/{id}")
async def card(request: Request, id: str, at: At, caller: Person) -> Response:
    """Return one request as it stands in the queue, for a page that is open."""
    check_may(caller, Scope.READ)
    view = view_of(await at.hitl.get(id), at.now(), caller)
    return part(request, "_card.html", view=view, caller=caller, reason="", problem="")


@router.get("/waiting")
async def waiting(request: Request, at: At, caller: Person) -> Response:
    """Return how many wait, for a page that is open."""
    check_may(caller, Scope.READ)
    return part(request, "_waiting.html", waiting=(await at.hitl.counts(0)).pending)


@router.get("/live")
async def live(request: Request, at: At, caller: Person) -> Response:
    """Tell an open page that something has happened; never what."""
    check_may(caller, Scope.READ)
    return streamed(request, at, caller, (await at.hitl.head()).seq, _news)


async def _news(told: Told) -> bytes:
    return b"event: news\ndata: %d\n\n" % told.recorded.seq


async def _queue(at: Serving, caller: Identity, after: str) -> dict[str, Any]:
    now, place = at.now(), place_of(after)
    soon = [] if place else await _due_soon(at, now)
    found = await at.hitl.find(
        Filter(statuses=frozenset({Status.PENDING}), oldest_first=True, after=place, limit=PAGE + 1)
    )
    unclear = [] if place else await _unclear(at)
    last = found[PAGE - 1] if len(found) > PAGE else None
    urgent = {one.id for one in soon}
    rest = [one for one in found[:PAGE] if one.id not in urgent and one.expires_at > now]
    return {
        "soon": [_view(at, one, now, caller) for one in soon],
        "views": [_view(at, one, now, caller) for one in rest],
        "unclear": [view_of(one, now, caller) for one in unclear[:PAGE]],
        "more_unclear": len(unclear) > PAGE,
        "after": after,
        "next": "" if last is None else text_of_place(last),
    }


async def _due_soon(at: Serving, now: datetime) -> list[Asked]:
    """Return what must be answered soon, the first to end first."""
    end = now + timedelta(seconds=SOON_S)
    found = await at.hitl.find(
        Filter(statuses=frozenset({Status.PENDING}), due_before=end, oldest_first=True, limit=PAGE)
    )
    ending = [one for one in found if now < one.expires_at <= end]
    return sorted(ending, key=lambda one: one.expires_at)


async def _unclear(at: Serving) -> list[Asked]:
    """Return what was run with an end nobody knows: it waits for a person, for no answer."""
    return await at.hitl.find(
        Filter(statuses=frozenset({Status.UNKNOWN}), oldest_first=True, limit=PAGE + 1)
    )


def _view(at: Serving, request: Asked, now: datetime, caller: Identity) -> View:
    return view_of(request, now, caller, waits_for(at, request))


def waits_for(at: Serving, request: Asked) -> tuple[str, ...]:
    """Return who may answer now, none where that cannot be told."""
    try:
        return at.hitl.waits_for(request)
    except HitlVaultError:
        return ()


def text_of_place(request: Asked) -> str:
    """Return where a page ends, for the address of the next one."""
    return f"{request.created_at.isoformat()}~{request.id}"


def place_of(text: str) -> Place | None:
    """Return where a page begins. Raises InvalidRequest for what is no such text."""
    if not text:
        return None
    at, _, id = text.partition("~")
    try:
        place = Place(created_at=datetime.fromisoformat(at), id=id)
        if place.created_at.tzinfo is not None and id:
            return place
    except ValueError:
        pass
    raise InvalidRequest(f"this page's address is damaged; begin again at {INBOX}")
