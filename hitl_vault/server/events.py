"""Owns the route of events: a stream that goes on where it ended, and pages. Never shows an agent
what others asked, nor the vault's own events to who may not read everything.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Annotated, Any

import anyio
from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel
from sse_starlette import EventSourceResponse

from hitl_vault.core.access import Identity, Scope
from hitl_vault.core.events import Kind, Recorded
from hitl_vault.errors import HitlVaultError, InvalidRequest, TooFast
from hitl_vault.server import samples
from hitl_vault.server.feed import Feed, Pick, Told, event_shown
from hitl_vault.server.identities import (
    Anyone,
    At,
    acting_as,
    check_sees,
    judge_again,
    waits,
)
from hitl_vault.server.problems import responses
from hitl_vault.server.serving import Serving
from hitl_vault.server.shapes import answer, event_stream, shown

router = APIRouter(tags=["events"])
NOW = "now"
_SCANNED = 5_000  # events looked at for one page
_LEAVE_S = 3.0
_BUSY_S = 5.0
_EVER_S = 10**6  # heartbeats are the feed's own, since they say where to go on
_AFTER = "The `seq` of the last event you have, 0 for all there are, or `now`."


class EventRecord(BaseModel):
    """What happened, in the past tense. `id` is the request's; `hash` chains all events."""

    seq: int
    at: str
    id: str
    rev: int
    kind: Kind
    actor: str
    data: dict[str, Any]
    hash: str
    type: str = ""
    requested_by: str = ""
    run_id: str = ""
    traceparent: str = ""
    tracestate: str = ""


class EventPage(BaseModel):
    """A page of events. `next` is the `after` of the next page; `more` if there is one now."""

    model_config = shown({"events": [samples.EVENT], "next": 17, "more": False})

    events: list[EventRecord]
    next: int
    more: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which events somebody wants, and may see; None means any."""

    id: str | None
    type: str | None
    kinds: frozenset[Kind] | None
    requested_by: str | None
    run_id: str | None
    caller: Identity

    def __call__(self, told: Told) -> bool:
        """True if this event is wanted and may be seen."""
        event, about = told.recorded.event, told.about
        reads = self.caller.may(Scope.READ)
        if self.kinds is not None and event.kind not in self.kinds:
            return False
        if self.id is not None and event.request_id.casefold() != self.id.casefold():
            return False
        if about is None:
            return reads and not (self.type or self.requested_by or self.run_id)
        return (
            (self.type is None or about.type == self.type)
            and (self.requested_by is None or about.requested_by == self.requested_by)
            and (self.run_id is None or about.run_id == self.run_id)
            and (reads or self.caller.is_named(about.requested_by))
        )


@router.get(
    "/events",
    response_model=EventPage,
    responses={
        200: {
            "description": "Server-sent events, each with its `seq` as id; or a page of them.",
            "content": event_stream(samples.EVENT["kind"], samples.EVENT),
        },
        **responses(404),
    },
)
async def events(
    request: Request,
    at: At,
    caller: Anyone,
    after: Annotated[str | None, Query(description=_AFTER)] = None,
    last_event_id: Annotated[str | None, Header(description="As `after`; it counts first.")] = None,
    follow: Annotated[bool, Query(description="False gives a page as JSON.")] = True,
    id: Annotated[str | None, Query(description="Of this request only.")] = None,
    type: str | None = None,
    kind: Annotated[list[Kind] | None, Query()] = None,
    requested_by: str | None = None,
    run_id: str | None = None,
    limit: Annotated[int, Query(ge=1, le=1000, description="Of a page.")] = 100,
) -> Response:
    """Stream what happens: everything after `after`, then live, at least once each.

    Go on with the id of the last event you took, as `Last-Event-ID`; nothing is left out.
    """
    if id is not None:
        check_sees(caller, await at.hitl.get(id))
    if requested_by is not None and not caller.may(Scope.READ):
        requested_by = acting_as(caller, requested_by, "requested_by")
    wanted = Wanted(
        id=id,
        type=type,
        kinds=None if not kind else frozenset(kind),
        requested_by=requested_by,
        run_id=run_id,
        caller=caller,
    )
    start = await beginning(at, last_event_id or after)
    if not follow:
        return await _page(at, wanted, start, limit)

    async def pick(told: Told) -> bytes:
        return told.frame if wanted(told) else b""

    return streamed(request, at, caller, start, pick)


async def beginning(at: Serving, after: str | None) -> int:
    """Return the event to go on after.

    Raises:
        InvalidRequest: It is none; to wait for it would leave out all before.
    """
    if after == NOW:
        return (await at.hitl.head()).seq
    if after and not (after.isascii() and after.isdigit() and len(after) < 16):  # noqa: PLR2004
        raise InvalidRequest("after (or Last-Event-ID) must be the seq of an event, or now")
    start = int(after or 0)
    if start and start > (await at.hitl.head()).seq:
        raise InvalidRequest(f"after: {start} is no event of this vault yet; is it another's?")
    return start


def streamed(request: Request, at: Serving, caller: Identity, after: int, pick: Pick) -> Response:
    """Return the stream of what is picked after an event.

    Raises:
        TooFast: As many streams are open as the service takes, or as this caller may have.
    """
    if at.feed.streams >= at.options.max_streams:
        raise TooFast(f"{at.options.max_streams} streams are open; try again later", _BUSY_S)
    waits(request)
    frames = at.feed.stream(
        after, pick, heartbeat_s=at.options.heartbeat_s, counts=_counts(request, caller)
    )
    return EventSourceResponse(
        frames,
        ping=_EVER_S,
        sep="\n",
        shutdown_event=anyio.Event(),
        shutdown_grace_period=_LEAVE_S,
    )


def _counts(request: Request, caller: Identity) -> Callable[[], bool]:
    """Return what says whether the caller may still listen: a token or session may end."""

    def counts() -> bool:
        try:
            judge_again(request, caller)
        except HitlVaultError:  # whatever it is, the next request of theirs is told
            return False
        return True

    return counts


async def _page(at: Serving, wanted: Wanted, after: int, limit: int) -> Response:
    head = (await at.hitl.head()).seq
    if wanted.id is not None:
        history = [one for one in await at.hitl.history(wanted.id) if one.seq > after]
        found, upto = await _picked(at.feed, wanted, history, limit)
        upto = max(upto, head) if len(found) < limit else upto
    else:
        found, upto = await _scanned(at, wanted, after, limit)
    shown = [event_shown(told.recorded, told.about) for told in found]
    return answer({"events": shown, "next": max(upto, after), "more": max(upto, after) < head})


async def _picked(
    feed: Feed, wanted: Wanted, history: list[Recorded], limit: int
) -> tuple[list[Told], int]:
    found: list[Told] = []
    upto = 0
    for recorded in history:
        upto = recorded.seq
        told = await feed.tell(recorded)
        if wanted(told):
            found.append(told)
        if len(found) == limit:
            break
    return found, upto


async def _scanned(at: Serving, wanted: Wanted, after: int, limit: int) -> tuple[list[Told], int]:
    found: list[Told] = []
    upto = after
    async with aclosing(at.hitl.subscribe(after, follow=False)) as events:
        async for recorded in events:
            told = await at.feed.tell(recorded)
            upto = recorded.seq
            if wanted(told):
                found.append(told)
            if len(found) == limit or upto - after >= _SCANNED:
                break
    return found, upto
