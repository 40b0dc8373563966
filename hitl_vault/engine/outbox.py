"""Owns telling people: follows the ledger's events, and sends what follows from them. Never blocks
the desk, and never decides anything about a request.

The event in the ledger is the duty to tell. Any process may turn events into duties, and any may
send what is due: the outbox lets each be done by one at a time, until somebody has taken it.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from datetime import datetime, timedelta
from functools import partial

from hitl_vault.core.codes import open_codes
from hitl_vault.core.duties import Duty, Way, duties, held_until, is_wanted, who_must_answer
from hitl_vault.core.events import Kind, Recorded
from hitl_vault.core.model import Code, Request, Status
from hitl_vault.core.register import REGISTER_ID
from hitl_vault.core.tracing import Trace
from hitl_vault.document.message import News, facts, without
from hitl_vault.engine.codes import code_secret, link_of_code, text_of_code
from hitl_vault.engine.parts import Parts, Telling
from hitl_vault.errors import ConfigError, HitlVaultError, NotSent, StorageError
from hitl_vault.ports import Filter
from hitl_vault.ports_telling import Channel, Message, Outbox, Parcel

_log = logging.getLogger(__name__)
_POLL_S = 5.0  # behind the wake-ups of this process: what others left, and changed set-ups
_TOGETHER_S = 0.05  # events of one moment are put together
_AGAIN_S = 5.0
_PAGE = 500
_AT_ONCE = 8  # messages of one way
_LIMIT_S = 90.0  # longer than any notifier takes
_LEASE_S = 300.0
_LEAVE_S = 3.0
_FOLLOWING, _SENDING = "following the events", "sending what is due"
_FIRST_S, _LONGEST_S = 5.0, 3600.0


def delay_s(id: str, tries: int) -> float:
    """Return how long to wait after so many tries: doubled each time, up to an hour, and spread by
    half either way so that what failed together is not tried together again.
    """
    spread = int.from_bytes(hashlib.sha256(f"{id}:{tries}".encode()).digest()[:4], "big") / 2**32
    return float(min(_LONGEST_S, _FIRST_S * 2 ** min(tries - 1, 20)) * (0.5 + spread))


class OutboxRunner:
    """Tells people, for one process of a vault."""

    def __init__(self, parts: Parts, telling: Telling) -> None:
        self._parts, self._telling, self._clock = parts, telling, parts.clock
        self._outbox: Outbox = telling.outbox
        self._wake = asyncio.Event()
        self._sending: dict[str, asyncio.Task[None]] = {}
        self._followed: int | None = None
        self._stored: int | None = None
        self._look_at = 0.0
        self._holder = ""
        self._problems: dict[str, str] = {}

    # life

    async def run(self) -> None:
        """Follow and send until cancelled; what goes wrong is logged and tried again."""
        await asyncio.gather(
            self._supervised(_FOLLOWING, self._follow),
            self._supervised(_SENDING, self._deliver),
        )

    async def _supervised(self, what: str, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await work()
            except HitlVaultError as error:
                self._complain(what, str(error))
            except Exception:  # whatever it was, people must go on being told
                _log.exception("the outbox could not go on %s, it tries again", what)
            await self._clock.sleep(_AGAIN_S)

    def _complain(self, what: str, problem: str) -> None:
        if self._problems.get(what) != problem:
            self._problems[what] = problem
            _log.error("people may not be told (%s), it is tried again: %s", what, problem)

    async def aclose(self) -> None:
        """Wait briefly for what is being sent, and let others send the rest. Never raises."""
        sending = list(self._sending.values())
        if sending:
            await asyncio.wait(sending, timeout=_LEAVE_S)
        for task in sending:
            task.cancel()
        await asyncio.gather(*sending, return_exceptions=True)
        with contextlib.suppress(StorageError):  # leases end with this process anyway
            await self._save()
            if self._holder:
                await self._outbox.release(self._holder)
        await self._outbox.aclose()

    def _channels(self) -> Mapping[str, Channel]:
        return self._telling.channels.load()

    # following

    async def _follow(self) -> None:
        while not self._channels():
            await self._clock.sleep(_POLL_S)
        cursor = await self._outbox.cursor()
        head = (await self._parts.ledger.head()).seq
        if cursor is None or cursor > head:  # the latter is of another ledger
            cursor = await self._begin(cursor, head)
        self._followed = self._stored = cursor
        while self._channels():
            if await self._is_news(self._followed):
                await self._clock.sleep(_TOGETHER_S)
                if not await self._take_all():
                    return  # another process followed further; go on from there
                self._problems.pop(_FOLLOWING, None)
            if self._clock.monotonic() >= self._look_at:
                self._look_at = self._clock.monotonic() + _POLL_S
                if await self._outbox.cursor() != self._stored:
                    return  # so it did, or the outbox was lost: go on from what is there
        await self._save()

    async def _is_news(self, after: int) -> bool:
        """Wait for an event, but not for long; True if there is one."""
        event = asyncio.ensure_future(self._event(after))
        waiting = [event, asyncio.ensure_future(self._clock.sleep(_POLL_S))]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
        if event.cancelled():
            return False
        event.result()
        return True

    async def _event(self, after: int) -> None:
        async with aclosing(self._parts.ledger.changes(after, follow=True)) as feed:
            async for _ in feed:
                return

    async def _begin(self, cursor: int | None, head: int) -> int:
        """Begin where an outbox that was lost had told of everything, else at the head of the
        feed, and tell of what waits and fires; return where that is.
        """
        ledger = self._parts.ledger
        told = await self._outbox.told()
        begin = head if told is None or told > head else told
        waiting = await ledger.find(Filter(statuses=frozenset({Status.PENDING})))
        found: list[Duty] = []
        follows = self._judge()
        for request in waiting:
            asked = (await ledger.history(request.id))[0]
            found += follows(asked, request)
        for recorded in await self._alerts():
            found += follows(recorded, None)
        if not await self._outbox.put(found, after=cursor, upto=begin):
            return await self._outbox.cursor() or 0
        self._wake.set()
        return begin

    async def _alerts(self) -> list[Recorded]:
        """Return the events of the alerts that fire."""
        firing = {one.name for one in (await self._parts.ledger.register()).alerts if one.fires}
        if not firing:
            return []
        newest = {
            str(recorded.event.data.get("name")): recorded
            for recorded in await self._parts.ledger.history(REGISTER_ID)
            if recorded.event.kind is Kind.ALERT_FIRED
        }
        return [recorded for name, recorded in newest.items() if name in firing]

    async def _take_all(self) -> bool:
        """Put what follows from every event there is; False if another process did."""
        assert self._followed is not None
        found: list[Duty] = []
        follows = self._judge()
        async with aclosing(self._parts.ledger.changes(self._followed, follow=False)) as feed:
            upto = self._followed
            requests: dict[str, Request | None] = {}
            async for recorded in feed:
                id = recorded.event.request_id
                known = requests.get(id)
                if known is None or known.rev < recorded.event.rev:
                    requests[id] = known = await self._request(recorded)
                found += follows(recorded, known)
                upto = recorded.seq
                if len(found) >= _PAGE:
                    break
        return await self._put(found, upto)

    async def _put(self, found: list[Duty], upto: int) -> bool:
        assert self._stored is not None
        self._followed = upto
        if not found and upto - self._stored < _PAGE:
            return True  # reading these again after a crash finds nothing to tell either
        if not await self._outbox.put(found, after=self._stored, upto=upto):
            return False
        self._stored = upto
        self._wake.set()
        return True

    async def _save(self) -> None:
        if self._followed is not None and self._followed != self._stored:
            await self._outbox.put([], after=self._stored, upto=self._followed)
            self._stored = self._followed

    def _judge(self) -> Callable[[Recorded, Request | None], list[Duty]]:
        """Return what says what follows from an event, by the set-up and the people of now."""
        return partial(
            duties,
            ways=[channel.way for channel in self._channels().values()],
            people=self._parts.people(),
            vault_id=self._parts.vault_id,
            now=self._clock.now(),
        )

    async def _request(self, recorded: Recorded) -> Request | None:
        """Return the request of an event, at least as far as the event leads."""
        id = recorded.event.request_id
        if id == REGISTER_ID:
            return None
        heard = self._parts.ledger.heard(id)
        if heard is not None and heard.request.rev >= recorded.event.rev:
            return heard.request
        return await self._parts.ledger.get(id)

    # sending

    async def _deliver(self) -> None:
        while True:
            self._wake.clear()
            channels = self._channels()
            idle = [name for name in channels if name not in self._sending]
            for name in idle:
                await self._send_due(channels[name])
            self._problems.pop(_SENDING, None)
            await self._pause([name for name in channels if name not in self._sending])

    async def _send_due(self, channel: Channel) -> None:
        now = self._clock.now()
        self._holder = self._holder or self._parts.presence.hold()
        parcels = await self._outbox.lease(
            channel.way.name,
            holder=self._holder,
            now=now,
            until=now + timedelta(seconds=_LEASE_S),
            is_alive=self._parts.presence.is_alive,
            limit=_AT_ONCE,
        )
        if parcels:
            task = asyncio.create_task(self._send_all(channel, parcels), name="hitl-sending")
            self._sending[channel.way.name] = task
            task.add_done_callback(lambda _: self._sent(channel.way.name))

    def _sent(self, way: str) -> None:
        self._sending.pop(way, None)
        self._wake.set()

    async def _pause(self, ways: list[str]) -> None:
        """Wait until something is due, is put, or was sent; and look now and then anyway."""
        due = await self._outbox.next_due(ways) if ways else None
        left = _POLL_S if due is None else (due - self._clock.now()).total_seconds()
        if left <= 0:
            left = 1.0  # leased by somebody else, or just put off: never spin
        waiting = [
            asyncio.ensure_future(self._wake.wait()),
            asyncio.ensure_future(self._clock.sleep(min(left, _POLL_S))),
        ]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()

    async def _send_all(self, channel: Channel, parcels: list[Parcel]) -> None:
        done = await asyncio.gather(
            *(self._send(channel, parcel) for parcel in parcels), return_exceptions=True
        )
        for error in done:
            if isinstance(error, Exception):  # its lease ends, and it is sent again
                self._complain(f"noting what {channel.way.name} took", str(error))

    async def _send(self, channel: Channel, parcel: Parcel) -> None:
        outbox, holder, way = self._outbox, self._holder, channel.way
        wanted = await self._wanted(channel, parcel)
        if not wanted:
            await outbox.settle(parcel.id, holder=holder)
            return
        now = self._clock.now()
        held = [held_until(duty, request, way, now) for duty, request, _ in wanted]
        if all(held):
            at = min(until for until in held if until is not None)
            await outbox.put_off(parcel.id, holder=holder, at=at, tried=False)
            return
        try:
            message = await self._message(way, parcel, wanted)
            async with asyncio.timeout(_LIMIT_S):
                await channel.notifier.send(message, self._addresses(parcel), but=parcel.taken)
        except Exception as error:  # no notifier may keep the others from being told
            await self._failed(channel, parcel, error)
        else:
            self._problems.pop(way.name, None)
            await outbox.settle(parcel.id, holder=holder)

    async def _failed(self, channel: Channel, parcel: Parcel, error: Exception) -> None:
        name = channel.way.name
        taken = error.taken - parcel.taken if isinstance(error, NotSent) else frozenset()
        # of foreign errors only the type: their texts may hold an address with its secret
        problem = str(error) if isinstance(error, HitlVaultError) else type(error).__name__
        if isinstance(error, TimeoutError):
            problem = f"it took longer than {_LIMIT_S:g} s"
        if parcel.tries >= channel.way.tries or (isinstance(error, NotSent) and not error.again):
            _log.error(
                "%s did not take a message after %d tries, see `hitl outbox list`: %s",
                *(name, parcel.tries, problem),
            )
            await self._outbox.give_up(parcel.id, holder=self._holder, problem=problem, taken=taken)
            return
        if self._problems.get(name) != problem:
            self._problems[name] = problem
            _log.warning("%s did not take a message, it is tried again: %s", name, problem)
        at = self._clock.now() + timedelta(seconds=delay_s(parcel.id, parcel.tries))
        await self._outbox.put_off(
            parcel.id, holder=self._holder, at=at, problem=problem, taken=taken
        )

    async def _wanted(
        self, channel: Channel, parcel: Parcel
    ) -> list[tuple[Duty, Request | None, Recorded]]:
        """Return what of a parcel is still to be told: nobody is called to what is answered."""
        found = []
        for duty in parcel.duties:
            request = None
            if duty.request_id != REGISTER_ID:
                request = await self._parts.ledger.get(duty.request_id)
            if is_wanted(duty.kind, request, channel.way):
                recorded = await self._recorded(duty)
                if recorded is not None:
                    found.append((duty, request, recorded))
        return found

    async def _recorded(self, duty: Duty) -> Recorded | None:
        heard = self._parts.ledger.heard(duty.request_id)
        history = () if heard is None else heard.history
        found = next((one for one in history if one.seq == duty.seq), None)
        if found is not None:
            return found
        history = tuple(await self._parts.ledger.history(duty.request_id))
        return next((one for one in history if one.seq == duty.seq), None)

    async def _message(
        self, way: Way, parcel: Parcel, wanted: list[tuple[Duty, Request | None, Recorded]]
    ) -> Message:
        now = self._clock.now()
        news = [without(await self._news_of(*one, now), way.redaction) for one in wanted]
        subject, body = self._telling.messages.render(news, now)
        return Message(
            id=parcel.id,
            subject=subject,
            body=body,
            facts={"vault": self._parts.vault_id, "events": [facts(one) for one in news]},
            urgent=any(duty.urgent for duty, _, _ in wanted),
            trace=_one_trace(wanted),
        )

    async def _news_of(
        self, duty: Duty, request: Request | None, recorded: Recorded, now: datetime
    ) -> News:
        if request is None:
            return News(recorded=recorded, request=None)
        people = self._parts.people()
        shown = (await self._parts.vault.shown([request.id])).get(request.id)
        code = self._code(duty, request, recorded, now)
        return News(
            recorded=recorded,
            request=request,
            waits_for=tuple(one.name for one in who_must_answer(request, people, now)),
            note=self._parts.vault.path_for(request.id) if shown is None else shown.path,
            code="" if code is None else text_of_code(self._parts, request, code),
            link=self._link(request, code),
        )

    def _link(self, request: Request, code: Code | None) -> str:
        """Return the address of the page for this request, "" where no service is set up."""
        at = self._parts.options.serve_url
        if not at:
            return ""
        if code is None:
            return f"{at}/inbox/requests/{request.id}"
        return f"{at}/link/{request.id}/{link_of_code(self._parts, request, code)}"

    def _code(self, duty: Duty, request: Request, recorded: Recorded, now: datetime) -> Code | None:
        """Return the one-time code for exactly the person it is told to."""
        if duty.kind is not Kind.CODE_ISSUED or not duty.person:
            return None
        named = recorded.event.data.get("code_id")
        for code in open_codes(request, duty.person, now):
            if code.code_id == named:
                try:
                    code_secret(self._parts)
                except ConfigError as error:
                    raise NotSent(f"the one-time code cannot be worked out: {error}") from error
                return code
        raise NotSent("the code can no longer be used; ask for a new one", again=False)

    def _addresses(self, parcel: Parcel) -> tuple[str, ...]:
        whom = parcel.duties[0].person
        if not whom:
            return ()
        found = self._parts.people().find(whom)
        if found is None or not found.notify:
            raise NotSent("the record of reviewers has no address of this person any more")
        return found.notify


def _one_trace(wanted: list[tuple[Duty, Request | None, Recorded]]) -> Trace | None:
    """Return the trace that everything in a message belongs to, None if they are several."""
    traces = {request.trace if request is not None else None for _, request, _ in wanted}
    return traces.pop() if len(traces) == 1 else None
