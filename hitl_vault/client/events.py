"""Owns following the events of a service: nothing lost, nothing twice, whatever breaks meanwhile.

Never stores how far it came: that is the caller's, by `seq`.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator

import httpx
from httpx_sse import EventSource, ServerSentEvent, SSEError

from hitl_vault import records
from hitl_vault.client.answers import Again, lost
from hitl_vault.client.service import Call, Service
from hitl_vault.core.events import Recorded

_PAGE = 1000
_SILENCE_S = 60.0  # the service says something every 15 s; after this the connection is dead
_HEADERS = {"Accept": "text/event-stream", "Cache-Control": "no-store"}


class EventStream:
    """The events after one sequence number, in order, each once.

    After a break it goes on behind the last event it has handed out. An event that was cut in two
    was not handed out, and comes again whole.
    """

    def __init__(self, service: Service, after: int, *, follow: bool) -> None:
        self._service, self._last, self._follow = service, after, follow
        self._response: httpx.Response | None = None

    async def events(self) -> AsyncGenerator[Recorded, None]:
        """Yield them; a lost connection is made again, for as long as it takes.

        Raises:
            HitlVaultError: What the service says no with.
        """
        try:
            while self._follow:
                coming = await self._service.tried(self._begin, patience_s=float("inf"))
                sse: ServerSentEvent | None
                sse, rest = coming
                while sse is not None:
                    recorded = await self._read(sse)
                    if recorded is not None and recorded.seq > self._last:
                        self._last = recorded.seq
                        yield recorded
                    sse = await self._next(rest)
            async for recorded in self._pages():
                yield recorded
        finally:
            await self._hang_up()

    async def _pages(self) -> AsyncGenerator[Recorded, None]:
        """Yield what there is, without waiting for more."""
        more = not self._follow
        while more:
            query = {"after": self._last, "follow": "false", "limit": _PAGE}
            page = await self._service.send(Call(method="GET", path="events", query=query))
            try:
                found = [records.recorded_of(record) for record in page["events"]]
                after, more = int(page["next"]), bool(page["more"])
            except (ValueError, LookupError, TypeError) as error:
                raise await self._service.unreadable(error) from error
            for recorded in found:
                yield recorded
            self._last = after

    async def _begin(self) -> tuple[ServerSentEvent, AsyncGenerator[ServerSentEvent, None]]:
        """Connect, and wait until it says something: only that shows a good connection."""
        await self._hang_up()
        call = Call(
            method="GET",
            path="events",
            query={"after": self._last},
            read_s=_SILENCE_S,
            waits=True,
        )
        headers = _HEADERS | {"Last-Event-ID": str(self._last)}
        self._response = await self._service.stream(call, headers)
        rest = EventSource(self._response).aiter_sse()
        try:
            while True:
                sse = await anext(rest)
                if sse.data or sse.id:  # a mere `retry:` comes on every connection
                    return sse, rest
        except StopAsyncIteration:
            raise Again(ConnectionError("the stream ended"), arrived=False) from None
        except httpx.TransportError as error:
            raise lost(error) from error
        except SSEError as error:
            raise await self._service.unreadable(ValueError(str(error))) from error

    async def _next(self, rest: AsyncGenerator[ServerSentEvent, None]) -> ServerSentEvent | None:
        try:
            return await anext(rest)
        except (StopAsyncIteration, httpx.TransportError):
            return None

    async def _read(self, sse: ServerSentEvent) -> Recorded | None:
        if not sse.data:  # where to go on, for who hears little
            if sse.id.isdecimal():
                self._last = max(self._last, int(sse.id))
            return None
        try:
            return records.recorded_of(json.loads(sse.data))
        except ValueError as error:
            raise await self._service.unreadable(error) from error

    async def _hang_up(self) -> None:
        response, self._response = self._response, None
        if response is not None:
            await response.aclose()
