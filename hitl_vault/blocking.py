"""Owns the twin of the API for code without asyncio, of a vault or of a service. Never repeats a
rule: it only waits for the asynchronous one, which runs on an event loop in a thread of its own.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, Protocol, Self, TypeVar

from hitl_vault import connecting, wiring
from hitl_vault.client import gateway
from hitl_vault.core.events import Event, Recorded
from hitl_vault.core.model import Details, Effect, Request, Verdict
from hitl_vault.core.register import Grant
from hitl_vault.engine import approval_desk
from hitl_vault.engine.desk import Notice
from hitl_vault.engine.execution import Execution
from hitl_vault.errors import NotOpen
from hitl_vault.ports import Capabilities

if TYPE_CHECKING:
    from hitl_vault.client import RemoteDesk

_NOT_OPEN = "it is not open; open it first: `with Orchestrator(...) as hitl:`"
_CLOSED = "it is closed; make a new one: `with Orchestrator(...) as hitl:`"

_P = ParamSpec("_P")
_R = TypeVar("_R")
_D = TypeVar("_D", bound=approval_desk.ApprovalDesk)
_Async = wiring.Orchestrator


@dataclass(frozen=True, slots=True, kw_only=True)
class _Exit:
    """What ends a program, raised by the work: carried past the event loop, which it would end."""

    error: KeyboardInterrupt | SystemExit


class _Twin(Protocol):
    """What waits for the asynchronous object it stands for."""

    hitl: Any

    def run(self, work: Coroutine[Any, Any, _R]) -> _R: ...


def _blocking(
    method: Callable[Concatenate[Any, _P], Coroutine[Any, Any, _R]],
) -> Callable[Concatenate[_Twin, _P], _R]:
    """Return the blocking twin of a method, whatever it is called on."""
    name = method.__name__

    def call(self: _Twin, /, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        work: Coroutine[Any, Any, _R] = getattr(self.hitl, name)(*args, **kwargs)
        return self.run(work)

    functools.update_wrapper(call, method)
    return call


async def _now(function: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> _R:
    """Call a plain function on the event loop, where nothing else runs beside it."""
    return function(*args, **kwargs)


class ApprovalDesk(Generic[_D]):
    """An approval desk for code that blocks; use it as a context manager.

    The same names, arguments, results and errors as `hitl_vault.ApprovalDesk`. Safe to use from
    several threads.
    """

    def __init__(self, hitl: _D) -> None:
        self.hitl = hitl
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="hitl-loop", daemon=True
        )
        self._work: set[asyncio.Task[Any]] = set()
        self._closed = False
        self._gate = threading.Lock()  # what passes it before closing is ended by closing

    def __enter__(self) -> Self:
        if self._closed or self._thread.is_alive():
            raise NotOpen(_CLOSED if self._closed else "it is open already, and is opened once")
        self._thread.start()
        try:
            self.run(self.hitl.open())
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release everything. Whoever waits in another thread gets NotOpen."""
        with self._gate:
            if self._closed:
                return
            self._closed = True
        if not self._thread.is_alive():
            self._loop.close()
            return
        try:
            asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def _check_open(self) -> None:
        if self._closed or not self._thread.is_alive():
            raise NotOpen(_CLOSED if self._closed else _NOT_OPEN)

    async def _end(self) -> None:
        """End what other threads wait for, while its end can still be recorded; then close."""
        work = set(self._work)
        for task in work:
            task.cancel()
        await asyncio.gather(*work, return_exceptions=True)
        await self.hitl.aclose()

    async def _counted(self, work: Coroutine[Any, Any, _R]) -> _R | _Exit:
        task = asyncio.current_task()
        assert task is not None
        self._work.add(task)
        try:
            return await work
        except (KeyboardInterrupt, SystemExit) as error:
            return _Exit(error=error)
        finally:
            self._work.discard(task)

    def run(self, work: Coroutine[Any, Any, _R]) -> _R:
        """Wait for asynchronous work on this object's event loop.

        An interrupt (Ctrl-C) cancels the work before it is raised. What the work itself raises is
        raised here, `SystemExit` and `KeyboardInterrupt` too; other threads go on.

        Raises:
            NotOpen: It is not open, or was closed meanwhile by another thread.
        """
        with self._gate:
            try:
                self._check_open()
            except NotOpen:
                work.close()
                raise
            future = asyncio.run_coroutine_threadsafe(self._counted(work), self._loop)
        try:
            result = future.result()
        except CancelledError as error:
            if self._closed:
                raise NotOpen(_CLOSED) from error
            raise
        except BaseException:
            future.cancel()
            raise
        if isinstance(result, _Exit):
            raise result.error
        return result

    def evaluate(self, type: str, details: Details, **who: str) -> Verdict:
        """Return what the policy says of an action, and why."""
        return self.run(self.hitl.verdict_on(type, details, **who))

    def requires_approval(self, type: str, details: Details, **who: str) -> bool:
        """True unless the policy allows the action without asking."""
        return self.evaluate(type, details, **who).effect is not Effect.ALLOW

    request_approval = _blocking(_Async.request_approval)
    was_asked = _blocking(_Async.was_asked)
    wait_for_decision = _blocking(_Async.wait_for_decision)
    wait_for_approval = _blocking(_Async.wait_for_approval)
    wait_for_outcome = _blocking(_Async.wait_for_outcome)
    mark_executed = _blocking(_Async.mark_executed)
    mark_failed = _blocking(_Async.mark_failed)
    approve = _blocking(_Async.approve)
    reject = _blocking(_Async.reject)
    cancel = _blocking(_Async.cancel)
    comment = _blocking(_Async.comment)
    get = _blocking(_Async.get)
    check_status = _blocking(_Async.check_status)
    list_requests = _blocking(_Async.list_requests)
    alerts = _blocking(_Async.alerts)
    history = _blocking(_Async.history)
    evidence = _blocking(_Async.evidence)
    verify = _blocking(_Async.verify)
    verdict_on = _blocking(_Async.verdict_on)
    vote = _blocking(approval_desk.ApprovalDesk.vote)

    @contextmanager
    def execution(self, id: str, *, executor: str | None = None) -> Iterator[Execution]:
        """Claim an approved request, and record how the block ended."""
        run = self.run(_now(self.hitl.execution, id, executor=executor))
        self.run(run.claim())
        try:
            yield run
        except BaseException as error:
            self.run(run.__aexit__(type(error), error, error.__traceback__))
            raise
        self.run(run.__aexit__(None, None, None))

    def guard(
        self, type: str, description: str = "", **options: Any
    ) -> Callable[[Callable[_P, _R]], Callable[_P, _R]]:
        """Return a decorator for plain functions; see `hitl_vault.Orchestrator.guard`.

        The function runs in a worker thread.
        """
        guard = self.hitl.guard(type, description, **options)

        def decorate(function: Callable[_P, _R]) -> Callable[_P, _R]:
            if inspect.iscoroutinefunction(function):
                raise TypeError(
                    "this is the blocking twin; guard async functions with the other one"
                )
            gated: Any = guard(function)  # type: ignore[arg-type]

            @functools.wraps(function)
            def call(*args: _P.args, **kwargs: _P.kwargs) -> _R:
                result: _R = self.run(gated(*args, **kwargs))
                return result

            return call

        return decorate

    def subscribe(self, after: int = 0, *, follow: bool = True) -> Generator[Recorded, None, None]:
        """Yield every event after sequence number `after`, then live."""
        return self._one_by_one(self.run(self._changes(after, follow)))

    def _one_by_one(
        self, changes: AsyncGenerator[Recorded, None]
    ) -> Generator[Recorded, None, None]:
        try:
            while True:
                try:
                    yield self.run(anext(changes))
                except StopAsyncIteration:
                    return
        finally:
            if not self._closed:
                self.run(changes.aclose())

    async def _changes(self, after: int, follow: bool) -> AsyncGenerator[Recorded, None]:
        """Subscribe on the event loop, which listening for other processes needs."""
        return self.hitl.subscribe(after, follow=follow)


class Orchestrator(ApprovalDesk[wiring.Orchestrator]):
    """The approval desk of one vault, for code that blocks; use it as a context manager.

    The same names, arguments, results and errors as `hitl_vault.Orchestrator`. Safe to use from
    several threads.
    """

    def __init__(self, vault: Any = None, **options: Any) -> None:
        super().__init__(wiring.Orchestrator(vault, **options))

    vote = _blocking(_Async.vote)
    statement = _blocking(_Async.statement)
    send_code = _blocking(_Async.send_code)
    resolve = _blocking(_Async.resolve)
    record_reviewers = _blocking(_Async.record_reviewers)
    grants = _blocking(_Async.grants)
    grant = _blocking(_Async.grant)
    make_grant = _blocking(_Async.make_grant)
    grant_like = _blocking(_Async.grant_like)
    revoke_grant = _blocking(_Async.revoke_grant)
    document_path = _blocking(_Async.document_path)
    readiness = _blocking(_Async.readiness)
    tally = _blocking(_Async.tally)
    head = _blocking(_Async.head)
    backlog = _blocking(_Async.backlog)
    stats = _blocking(_Async.stats)
    note = _blocking(_Async.note)
    claim = _blocking(_Async.claim)
    renew = _blocking(_Async.renew)
    finish = _blocking(_Async.finish)
    check_approval = _blocking(_Async.check_approval)
    get_by_key = _blocking(_Async.get_by_key)
    get_at = _blocking(_Async.get_at)
    find = _blocking(_Async.find)
    counts = _blocking(_Async.counts)
    trends = _blocking(_Async.trends)
    linked = _blocking(_Async.linked)
    archive = _blocking(_Async.archive)
    settle_overdue = _blocking(_Async.settle_overdue)
    read_notes = _blocking(_Async.read_notes)

    def check_grant_like(self, request: Request, **terms: Any) -> None:
        """Raise what `grant_like` would raise once the request is approved."""
        self.hitl.check_grant_like(request, **terms)

    def doubt_of(self, grant: Grant) -> str:
        """Return why the policy in force would not let a grant answer what it is for."""
        return self.hitl.doubt_of(grant)

    def waits_for(self, request: Request) -> tuple[str, ...]:
        """Return who may answer now and has not, by name; none where anybody may."""
        return self.hitl.waits_for(request)

    def narrowed_to(self, grant: Grant) -> str:
        """Return to what the rule in force narrows a grant, "" if it leaves it as it is."""
        return self.hitl.narrowed_to(grant)

    def code_for(self, event: Event) -> str:
        """Return the code that a `code_issued` event stands for, for who delivers it."""
        return self.hitl.code_for(event)

    def notices(self) -> list[Notice]:
        """Return what a person should know about the folders."""
        return self.hitl.notices()

    def watch_health(self) -> str:
        """Say how changes of notes are seen, and why."""
        return self.hitl.watch_health()

    @property
    def vault_id(self) -> str:
        """The vault's id: what its chain of events begins with and signed answers name."""
        return self.hitl.vault_id

    def now(self) -> datetime:
        """Return the time that deadlines are judged by."""
        return self.hitl.now()

    def capabilities(self) -> Capabilities:
        """Say what the ledger guarantees."""
        return self.hitl.capabilities()


class _OfADesk:
    """What speaks to a desk in other words, on the desk's event loop."""

    def __init__(self, hitl: Any, desk: ApprovalDesk[Any]) -> None:
        self.hitl, self._desk = hitl, desk

    def run(self, work: Coroutine[Any, Any, _R]) -> _R:
        return self._desk.run(work)


class PolicyClient(_OfADesk):
    """The blocking twin of `client.PolicyClient`."""

    def __init__(self, desk: ApprovalDesk[Any]) -> None:
        super().__init__(gateway.PolicyClient(desk.hitl), desk)

    check = _blocking(gateway.PolicyClient.check)
    check_deployment = _blocking(gateway.PolicyClient.check_deployment)
    check_code_execution = _blocking(gateway.PolicyClient.check_code_execution)
    check_billing = _blocking(gateway.PolicyClient.check_billing)


class ApprovalClient(_OfADesk):
    """The blocking twin of `client.ApprovalClient`."""

    def __init__(self, desk: ApprovalDesk[Any]) -> None:
        super().__init__(gateway.ApprovalClient(desk.hitl), desk)

    _Words = gateway.ApprovalClient
    request_approval = _blocking(_Words.request_approval)
    wait_for_approval = _blocking(_Words.wait_for_approval)
    request_and_wait = _blocking(_Words.request_and_wait)
    request_code_execution_approval = _blocking(_Words.request_code_execution_approval)
    request_deployment_approval = _blocking(_Words.request_deployment_approval)
    request_billing_approval = _blocking(_Words.request_billing_approval)
    approve = _blocking(_Words.approve)


def connect(
    place: Any = None, *, token: str | None = None, **options: Any
) -> Orchestrator | ApprovalDesk[RemoteDesk]:
    """Return the desk of a vault or of a service, for code that blocks; see `connecting`."""
    if connecting.is_address(place):
        return ApprovalDesk(connecting.remote(place, token=token, **options))
    connecting.check_no_address(place)
    connecting.check_no_token(token)
    return Orchestrator(place, **options)
