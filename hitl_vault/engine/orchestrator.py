"""Owns the API an agent author sees: evaluate, ask, wait, execute, answer. Opens nothing itself."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Callable
from types import TracebackType
from typing import Self

from hitl_vault.core import commands as c
from hitl_vault.core.canonical import payload_sha256
from hitl_vault.core.events import Recorded
from hitl_vault.core.model import Details, Effect, Repeats, Request, Verdict
from hitl_vault.engine.answering import Answering
from hitl_vault.engine.checkpoints import Checkpoints
from hitl_vault.engine.checks import (
    action_of,
    count_of,
    id_of,
    key_of,
    known_id,
    name_of,
    seconds_of,
)
from hitl_vault.engine.claiming import Claiming
from hitl_vault.engine.codes import issue_where_wanted
from hitl_vault.engine.complaints import ROUNDS, Complaints, tried
from hitl_vault.engine.composing import Composing
from hitl_vault.engine.desk import Desk
from hitl_vault.engine.display import Display
from hitl_vault.engine.execution import Execution, LocalExecution
from hitl_vault.engine.granted import answer_by_grant
from hitl_vault.engine.granting import Granting
from hitl_vault.engine.outbox import OutboxRunner
from hitl_vault.engine.parts import Parts
from hitl_vault.engine.policies import Policies
from hitl_vault.engine.policy_record import PolicyRecord
from hitl_vault.engine.readiness import readiness
from hitl_vault.engine.recording import Recording
from hitl_vault.engine.reporting import Reporting
from hitl_vault.engine.showing import standing
from hitl_vault.engine.timers import Timers
from hitl_vault.engine.waiting import Waiting
from hitl_vault.errors import (
    Conflict,
    Denied,
    Indeterminate,
    InvalidRequest,
    NotOpen,
    Refused,
    RequestNotFound,
    StorageError,
    TooManyRequests,
    TrustError,
)
from hitl_vault.ports import Hints, Kept, Receipt

_log = logging.getLogger(__name__)
_POLL_S = 1.0
_NOT_OPEN = "it is not open; open it first: `async with Orchestrator(...) as hitl:`"


class Orchestrator(Answering, Claiming, Granting, Composing):
    """The approval desk of one vault; use it as `async with Orchestrator("vault") as hitl:`.

    Guarantees:
        Nothing runs that was not approved, nothing approved runs twice, nothing asked, answered or
        done is lost: every method that changes something returns after a durable commit.
        Any number of processes may use one vault. All methods belong to one event loop.
    """

    def __init__(self, assemble: Callable[[], Parts]) -> None:
        self._assemble = assemble
        self._tasks: list[asyncio.Task[None]] = []
        self._open: Parts | None = None

    # life

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def open(self) -> None:
        """Open the vault and start reading its notes.

        Raises:
            VaultNotFound, ConfigError, StorageError: It cannot be opened.
        """
        if self._open is not None:
            raise RuntimeError("this Orchestrator is open already")
        parts = self._assemble()
        self._open = parts
        try:
            on_record = (await parts.ledger.register()).policy_sha256
        except BaseException:
            self._open = None
            await parts.vault.aclose()
            await parts.ledger.aclose()
            raise
        self.policies = Policies(
            parts.policy, parts.options, parts.clock, parts.policy_lock, on_record
        )
        self._policy_record = PolicyRecord(parts, self.policies)
        self._display = Display(parts)
        self._recording = Recording(parts)
        self._desk = Desk(parts, self._display, self.policies, self._recording, self._policy_record)
        self._reporting = Reporting(self._end, parts.clock.sleep)
        self._waiting = Waiting(parts, self._display, self._report)
        self._timers = Timers(
            parts, self._recording, self._display.show_soon, self._slowly, self._report
        )
        self._complaints = Complaints(_log, parts.clock.monotonic, **ROUNDS)
        self._outbox = (
            OutboxRunner(parts, parts.telling) if parts.watching and parts.telling else None
        )
        try:
            await self._display.check_ledger()  # before anything is added to it
            await self._record()
            await self._policy_record.update()
            await self._display.start()
            if parts.watching:
                self._display.reads_first = True
                parts.watcher.start(self._desk.hint)
                self._tasks = [
                    asyncio.create_task(self._desk.run(), name="hitl-desk"),
                    asyncio.create_task(self._timers.run(), name="hitl-timers"),
                ]
                if parts.checkpoints is not None:
                    beside = Checkpoints(parts, parts.checkpoints, parts.vault_id)
                    self._tasks.append(asyncio.create_task(beside.run(), name="hitl-checkpoints"))
            if self._outbox is not None:
                self._tasks.append(asyncio.create_task(self._outbox.run(), name="hitl-outbox"))
        except BaseException:
            await self.aclose()
            raise

    async def aclose(self) -> None:
        """Stop reading notes, show what is not shown yet, and release everything."""
        parts, self._open = self._open, None
        if parts is None:
            return
        async with contextlib.AsyncExitStack() as release:  # each step runs, whatever the others do
            release.callback(parts.presence.close)
            release.push_async_callback(parts.vault.aclose)
            release.push_async_callback(parts.ledger.aclose)
            release.push_async_callback(self._leave, parts)
            if self._outbox is not None:
                release.push_async_callback(self._outbox.aclose)
            release.push_async_callback(parts.watcher.aclose)
            await self._reporting.stop()
            tasks, self._tasks = self._tasks, []
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _record(self) -> None:
        try:
            await self._recording.look()
        except StorageError as error:  # a full disk must not keep anybody from looking
            _log.error("a change of the reviewers could not be recorded: %s", error)

    async def _leave(self, parts: Parts) -> None:
        await self._reporting.leave(parts.ledger.submit)
        self._display.reads_first = False
        try:
            await self._display.flush()
        except StorageError as error:  # a note is a view: the next process shows what this did not
            _log.error("what the notes show could not be saved: %s", error)

    @property
    def _parts(self) -> Parts:
        if self._open is None:
            raise NotOpen(_NOT_OPEN)
        return self._open

    def _check_open(self) -> None:
        if self._open is None:
            raise NotOpen(_NOT_OPEN)

    # asking

    def evaluate(
        self,
        type: str,
        details: Details,
        *,
        requested_by: str = "agent",
        agent: str = "",
        run_id: str = "",
    ) -> Verdict:
        """Return what the policy says of an action: allow, ask or deny, and why."""
        now = self._parts.clock.now()
        action = action_of(type, "", details, requested_by, agent, run_id)
        self.policies.reload()
        return self.policies.evaluate(action, now)

    async def verdict_on(
        self,
        type: str,
        details: Details,
        *,
        requested_by: str = "agent",
        agent: str = "",
        run_id: str = "",
    ) -> Verdict:
        """Return what `evaluate` returns, for code that may have the desk of a service instead."""
        return self.evaluate(type, details, requested_by=requested_by, agent=agent, run_id=run_id)

    async def request_approval(
        self,
        type: str,
        description: str,
        details: Details,
        *,
        requested_by: str = "agent",
        agent: str = "",
        run_id: str = "",
        key: str | None = None,
        id: str | None = None,
        timeout: float | str | None = None,
        join: bool = False,
    ) -> Request:
        """Ask for approval of exactly this action; its note is in the vault on return.

        It asks whether or not the policy would allow the action: what it allows needs one approval
        here, by anybody. To run what is allowed without asking, see `requires_approval` first, or
        use `guard`. Where a standing grant covers the action, the request is approved on return.

        Args:
            type: What kind of action, such as "payment".
            description: The agent's own words, shown to the reviewer as such.
            details: Everything the action needs, as a JSON object; the executor gets these back.
            key: Names the action for ever: the same key with the same content is the same request,
                in any process, after any restart.
            id: Your own request id, `[A-Za-z0-9._-]`, at most 120 bytes.
            timeout: Time to answer, such as "1h" or seconds, more than 0; a rule's shorter one
                wins.
            join: If the identical action, asked without a key, waits for an answer, return that
                request. It runs once, whoever joined: for a repeat, never for a second action.
                Where the policy says `repeats: join`, so it is for all that have no key and id.

        Raises:
            InvalidRequest: A field cannot be accepted; the message names it.
            Denied: The policy forbids the action.
            Conflict: The key or id was used for another action.
            TooManyRequests: `requested_by` has too much waiting, or asks too often, by the settings
                `max_pending_per_agent` and `max_requests_per_minute`; nothing was asked.
            StorageError: Not stored; nothing was asked.

        Guarantees:
            Durable on return. Idempotent on `key` and on `id`.
        """
        if join and (key is not None or id is not None):
            raise InvalidRequest("join is for asking without a key and an id of your own")
        action = action_of(type, description, details, requested_by, agent, run_id)
        key, timeout_s = key_of(key), seconds_of(timeout, above_zero=True)
        now, options = self._parts.clock.now(), self._parts.options
        new_id = id_of(id, now, type, self._parts.token)
        self.policies.reload()
        await self._policy_record.update()
        verdict = self.policies.evaluate(action, now, timeout_s)
        digest = payload_sha256(action)
        known = await self._known(id, key)
        if known is None and verdict.effect is Effect.DENY:
            raise Denied(f"the policy forbids this: {verdict.reason}")
        ask = c.Ask(
            id=new_id,
            action=action,
            payload_sha256=digest,
            verdict=verdict,
            key=key,
            join=join or _is_repeat(verdict, key, id),
            max_pending=options.max_pending_per_agent,
            max_per_minute=options.max_requests_per_minute,
            trace=self._parts.tracer.current(),
        )
        with self._parts.tracer.span("hitl.ask", attributes={"hitl.type": type}):
            receipt = await self._submit(ask, show=False)
        assert receipt.request is not None
        request = await answer_by_grant(self._parts, self.policies, receipt.request)
        if receipt.kept is Kept.ACCEPTED and request is receipt.request:
            await self._display.show_new(request)
        else:
            await self._display.show(request.id)
        return await issue_where_wanted(self._parts, request)

    async def _known(self, id: str | None, key: str | None) -> Request | None:
        if id is not None and (found := await self._parts.ledger.get(id)):
            return found
        return None if key is None else await self._parts.ledger.get_by_key(key)

    # waiting

    async def wait_for_decision(self, id: str, timeout: float | str | None = None) -> Request:
        """Return the request once it is decided, however it was decided.

        `timeout` is such as "10m" or seconds; 0 looks once, None waits as long as it takes. If it
        has to wait, one line in the log (INFO) says where the note is and how to answer.
        Cancelling the waiter cancels only the waiter. Any process may call it again, any time.

        Raises:
            WaitTimeout: `timeout` passed first; the request waits on.
            RequestNotFound: There is no such request.
        """
        self._listen()
        return await self._waiting.for_decision(known_id(id), seconds_of(timeout))

    async def wait_for_outcome(self, id: str, timeout: float | str | None = None) -> Request:
        """Return the request once its execution has ended, or it can no longer be executed."""
        self._listen()
        return await self._waiting.for_outcome(known_id(id), seconds_of(timeout))

    def _listen(self) -> None:
        """Somebody waits: hear of other processes' commits, if the desk does not listen anyway."""
        if not self._tasks:
            self._parts.watcher.start(self._hear)
            self._tasks = [asyncio.create_task(self._listen_slowly(), name="hitl-listen")]

    def _hear(self, hints: Hints) -> None:
        if self._open is not None and (hints.ledger or hints.all):
            self._open.ledger.hint()

    async def _listen_slowly(self) -> None:
        """The poll behind the watcher, for a bell that was not heard."""
        while True:
            await self._parts.clock.sleep(_POLL_S)
            self._parts.ledger.hint()

    # running

    def execution(self, id: str, *, executor: str | None = None) -> Execution:
        """Return the single right to execute an approved request, as an async context.

        Raises (on entering):
            Conflict: Somebody claimed it before; it must not run again.
            Refused: It is not approved.
            Denied: The policy forbids it now, whatever was approved.
        """
        known_id(id)
        if executor is not None:
            name_of(executor, "executor")
        return LocalExecution(self._parts, self.policies, self._submit, self._report, id, executor)

    # looking

    def subscribe(self, after: int = 0, *, follow: bool = True) -> AsyncGenerator[Recorded, None]:
        """Yield every event after sequence number `after`, then live. Store `seq` to go on."""
        count_of(after, "after")
        if follow:
            self._listen()
        return self._parts.ledger.changes(after, follow=follow)

    def watch_health(self) -> str:
        """Say how changes of notes are seen: by events or by polling, and why."""
        return self._parts.watcher.health() if self._tasks else "not watching"

    async def readiness(self) -> dict[str, str]:
        """Return what is wrong with each part the desk needs, "" where it works: `ledger`,
        `vault`, `policy`.
        """
        return await readiness(self._parts, self.policies, self._tasks)

    async def archive(self, older_than_s: float | None = None) -> int:
        """Move notes of finished requests to the Done folder; return how many."""
        self._check_open()
        moved = await self._display.archive(seconds_of(older_than_s, "older_than_s"))
        await self._display.flush()
        return moved

    async def settle_overdue(self) -> int:
        """Record deadlines that have passed and executors that died; return how many changed."""
        self._check_open()
        changed = await self._timers.sweep() + await self._timers.find_dead_executors()
        await self._display.flush()
        return changed

    async def read_notes(self) -> None:
        """Look at every note once, as the running desk does all the time."""
        self._check_open()
        await self._desk.tick()

    async def record_reviewers(self) -> None:
        """Put on record now who may answer; a running desk does it by itself."""
        await self._recording.look(at_once=True)

    def _slowly(self) -> None:
        """Do what the slow round of the timers brings."""
        # none of it is urgent; the next round tries again
        task = asyncio.create_task(
            tried(self._slow_round, self._complaints, "the slow round"), name="hitl-slow-round"
        )
        self._tasks.append(task)
        task.add_done_callback(self._tasks.remove)

    async def _slow_round(self) -> None:
        self._parts.presence.keep()
        await self.archive()

    async def _submit(self, command: c.Command, *, show: bool = True) -> Receipt:
        """Submit and raise what was not accepted. A duplicate is as good as accepted."""
        try:
            receipt = await self._parts.ledger.submit(command)
        except Indeterminate:
            receipt = await self._parts.ledger.submit(command)  # the same ids: it counts once
        if show and receipt.request is not None:
            await self._shown(receipt.request.id)
        match receipt.kept:
            case Kept.ACCEPTED | Kept.DUPLICATE:
                return receipt
            case Kept.NOT_FOUND:
                raise RequestNotFound(receipt.message)
            case Kept.TOO_MANY:
                raise TooManyRequests(receipt.message)
            case Kept.REFUSED:
                raise Refused(_sentence(receipt), receipt.request)
            case Kept.UNPROVED:
                raise TrustError(receipt.message)
            case Kept.CONFLICT | Kept.STALE:
                raise Conflict(_sentence(receipt), receipt.request)

    async def _report(self, finish: c.Finish) -> Receipt:
        return await self._reporting.report(finish)

    async def _end(self, finish: c.Finish) -> Receipt:
        """Store the end of an execution; the lease of its claim is over then."""
        receipt = await self._submit(finish)
        if self._open is not None and receipt.request is not None and receipt.request.claim:
            self._open.presence.leases.drop(receipt.request.claim.holder)
        return receipt

    async def _shown(self, id: str) -> None:
        """Let the running desk show it with its next flush; without one, show it now."""
        self._display.show_soon(id)
        if self._open is None:  # closed meanwhile: closing shows it, or the next process
            return
        if self._open.watching:
            self._desk.wake()
            return
        try:
            await self._display.flush()
        except StorageError as error:  # the commit counts; what is shown is saved another time
            _log.error("what the notes show could not be saved: %s", error)


def _is_repeat(verdict: Verdict, key: str | None, id: str | None) -> bool:
    """True if the policy says that the same action again, named by nothing, is the same wish."""
    return key is None and id is None and verdict.requirement.repeats is Repeats.JOIN


def _sentence(receipt: Receipt) -> str:
    request = receipt.request
    if receipt.kept is Kept.CONFLICT and request is not None and request.status.is_terminal:
        return f"{receipt.message}. {standing(request)}"
    return receipt.message
