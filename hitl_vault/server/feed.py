"""Owns following the ledger for everybody who streams: once, however many they are. Never keeps
what a slow reader has not read: it goes on from the ledger, by its cursor.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict, deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Any

from sse_starlette.event import ServerSentEvent

from hitl_vault import records
from hitl_vault.core.events import Recorded
from hitl_vault.core.register import REGISTER_ID
from hitl_vault.core.tracing import Trace, headers_of
from hitl_vault.engine.orchestrator import Orchestrator
from hitl_vault.errors import HitlVaultError, NotOpen, RequestNotFound

_log = logging.getLogger(__name__)
_AT_HAND = 4_096  # events kept for who is nearly up to date
_AT_HAND_BYTES = 16_000_000
_CHUNK_BYTES = 262_144  # about what one slow reader may keep in memory
_PAGE = 1_000
_REMEMBERED = 10_000  # requests whose type and requester are known without reading
_AGAIN_S = 1.0
RETRY_MS = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What of a request tells who may hear of its events; nothing of it ever changes."""

    type: str
    requested_by: str
    run_id: str
    workflow_id: str
    trace: Trace | None


@dataclass(slots=True, kw_only=True)
class Told:
    """An event, and what it is about; None: the vault as a whole."""

    recorded: Recorded
    about: About | None
    _frame: bytes = b""

    @property
    def frame(self) -> bytes:
        """The event as any stream shows it; written once, however many read it."""
        if not self._frame:
            shown = event_shown(self.recorded, self.about)
            self._frame = framed(shown, self.recorded.event.kind.value, self.recorded.seq)
        return self._frame


Pick = Callable[[Told], Awaitable[bytes]]
"""Returns what a stream says of an event, b"" for nothing."""


class Feed:
    """Follows the ledger, and hands on what it hears."""

    def __init__(self, hitl: Orchestrator) -> None:
        self._hitl = hitl
        self._at_hand: deque[Told] = deque()
        self._at_hand_bytes = 0
        self._about: OrderedDict[str, About] = OrderedDict()
        self._news = asyncio.Event()
        self._waking = self._closed = False
        self.seq = 0
        self.streams = 0

    async def run(self, after: int, hear: Callable[[Recorded], Awaitable[None]]) -> None:
        """Follow from an event on until cancelled; `hear` is told of each event, once."""
        self.seq = after
        while not self._closed:
            try:
                async with aclosing(self._hitl.subscribe(self.seq)) as events:
                    async for recorded in events:
                        await hear(recorded)
                        self._keep(await self.tell(recorded))
                        self.seq = recorded.seq
                        self._wake_soon()
            except NotOpen:
                return
            except HitlVaultError as error:
                _log.error("the events cannot be followed, it is tried again: %s", error)
            except Exception:  # whatever it was, streams must go on
                _log.exception("the events cannot be followed, it is tried again")
            await asyncio.sleep(_AGAIN_S)

    def _keep(self, told: Told) -> None:
        self._at_hand.append(told)
        self._at_hand_bytes += len(told.frame)
        while len(self._at_hand) > _AT_HAND or self._at_hand_bytes > _AT_HAND_BYTES:
            self._at_hand_bytes -= len(self._at_hand.popleft().frame)

    def close(self) -> None:
        """End every stream, with a hint to come back."""
        self._closed = True
        self._wake()

    def _wake_soon(self) -> None:
        """Wake the streams once for all events of one moment."""
        if not self._waking:
            self._waking = True
            asyncio.get_running_loop().call_soon(self._wake)

    def _wake(self) -> None:
        self._waking = False
        self._news.set()  # wakes who waits now; who comes later looks first
        self._news.clear()

    async def tell(self, recorded: Recorded) -> Told:
        """Return an event with what it is about."""
        return Told(recorded=recorded, about=await self._about_of(recorded))

    async def _about_of(self, recorded: Recorded) -> About | None:
        id = recorded.event.request_id
        if id == REGISTER_ID:
            return None
        known = self._about.get(id)
        if known is None:
            with suppress(RequestNotFound):
                request = await self._hitl.get_at(id, recorded.event.rev)
                named = request.action.details.get("workflow_id")
                run_id = request.action.run_id
                known = self._about[id] = About(
                    type=request.action.type,
                    requested_by=request.action.requested_by,
                    run_id=run_id,
                    workflow_id=(named if isinstance(named, str) else "") or run_id or request.id,
                    trace=request.trace,
                )
                if len(self._about) > _REMEMBERED:
                    self._about.popitem(last=False)
        return known

    async def _after(self, after: int) -> AsyncGenerator[Told, None]:
        """Yield the events after `after` that there are now, as far as one page of them goes."""
        if self._at_hand and self._at_hand[0].recorded.seq <= after + 1:
            start = after + 1 - self._at_hand[0].recorded.seq  # every event has the next number
            upto = min(len(self._at_hand), start + _PAGE)
            # copied first: what is at hand may move on while somebody picks from it
            for told in [self._at_hand[index] for index in range(start, upto)]:
                yield told
            return
        async with aclosing(self._hitl.subscribe(after, follow=False)) as events:
            read = 0
            async for recorded in events:
                yield await self.tell(recorded)
                read += 1
                if read >= _PAGE:
                    return

    async def stream(
        self, after: int, pick: Pick, *, heartbeat_s: float, counts: Callable[[], bool]
    ) -> AsyncGenerator[bytes, None]:
        """Yield what is picked after an event, then live, with heartbeats where there is nothing.

        It reads on only when what it yielded was taken. It ends once `counts` says no, which is
        asked before anything is yielded, heartbeats too, and when the service does.
        """
        self.streams += 1
        now = asyncio.get_running_loop().time
        said, quiet_since = after, now()
        try:
            yield f"retry: {RETRY_MS}\n: the events of the desk\n\n".encode()
            while not self._closed:
                chunk, upto = await self._chunk(after, pick)
                moved, after = upto > after, upto
                if not chunk and now() >= quiet_since + heartbeat_s:
                    # for who hears little: where to go on, so that nothing is read twice
                    chunk = (f"id: {after}\n" if said != after else "").encode()
                    chunk += b": still here\n\n"
                if chunk:
                    if not counts():
                        return
                    yield chunk
                    said, quiet_since = after, now()
                elif not moved:
                    await self._until(after, quiet_since + heartbeat_s)
            yield f"retry: {RETRY_MS}\n: the service stops; come back\n\n".encode()
        finally:
            self.streams -= 1

    async def _chunk(self, after: int, pick: Pick) -> tuple[bytes, int]:
        """Return what is picked of the next events, some at a time, and up to which they were."""
        frames: list[bytes] = []
        size = 0
        async with aclosing(self._after(after)) as events:
            async for one in events:
                after = one.recorded.seq
                if frame := await pick(one):
                    frames.append(frame)
                    size += len(frame)
                if size > _CHUNK_BYTES:
                    break
        await asyncio.sleep(0)  # who reads much holds nobody up
        return b"".join(frames), after

    async def _until(self, after: int, give_up_at: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout_at(give_up_at):
                while self.seq <= after and not self._closed:
                    await self._news.wait()


def event_shown(recorded: Recorded, about: About | None) -> dict[str, Any]:
    """Return an event as JSON values, with what tells its request apart."""
    shown = records.event_record(recorded)
    if about is not None:
        shown |= {
            "type": about.type,
            "requested_by": about.requested_by,
            "run_id": about.run_id,
            **headers_of(about.trace),
        }
    return shown


def framed(shown: dict[str, Any], name: str, seq: int) -> bytes:
    """Return one event of a stream. ASCII: no reader takes a character for the end of a line."""
    data = records.as_json(shown, indent=None)
    return ServerSentEvent(data=data, event=name, id=str(seq), sep="\n").encode()
