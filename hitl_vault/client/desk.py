"""Owns the approval desk of a service: the calls of the protocol, over HTTP. Never decides."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

from hitl_vault import records
from hitl_vault.client.execution import LEASE_S, RemoteExecution
from hitl_vault.client.looking import RemoteLooking, path_of
from hitl_vault.client.service import Call, Service
from hitl_vault.core import commands as c
from hitl_vault.core.model import Answer, Details, Request, Status, Verdict
from hitl_vault.engine.checks import (
    MAX_TEXT_BYTES,
    action_of,
    digest_of,
    id_of,
    key_of,
    known_id,
    name_of,
    seconds_of,
    text_of,
    word_of,
)
from hitl_vault.engine.execution import Execution
from hitl_vault.engine.reporting import Reporting
from hitl_vault.errors import (
    Indeterminate,
    InvalidRequest,
    OutcomeNotRecorded,
    StorageError,
    TooFast,
    WaitTimeout,
)

_POLL_S = 30.0  # how long one call waits for a person; proxies cut calls that last a minute
_SLACK_S = 10.0
_AGAIN_S = 1.0
_TORN_S = 5.0  # for how long an interrupted program may be kept by saying that it was
_ANYBODY = "agent"  # the name of who gives none: the service knows the token's


class RemoteDesk(RemoteLooking):
    """The approval desk of a service; use it as `async with RemoteDesk("http://…") as hitl:`.

    The same calls, values and errors as `Orchestrator`. In a name that is left out, the token's
    counts; another name than the token's is `Forbidden`.

    Guarantees:
        What changes something may be sent again and counts once. A lost connection and a restarted
        service are waited out: for `patience_s` by a call, for as long as the caller waits by what
        waits. All methods belong to one event loop.
    """

    def __init__(
        self, url: str, token: str | None = None, *, lease_s: float = LEASE_S, **options: Any
    ) -> None:
        """Take the address and the token.

        Args:
            url: Where the service is, such as `http://desk:8020`.
            token: What `hitl token create` printed; None takes `HITL_TOKEN`.
            lease_s: How long after this program's death the end of what it ran becomes unknown.
            options: Those of `client.service.Service`, such as `patience_s`.

        Raises:
            ConfigError: The address or the token cannot be used.
        """
        self._lease_s = lease_s
        super().__init__(Service(url, token, **options))
        self._reporting: Reporting[None] = Reporting(self._finish, asyncio.sleep)

    def __repr__(self) -> str:
        return f"RemoteDesk({self._service.url!r})"

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
        """Make ready to call; nothing is sent yet, so the service may be down meanwhile."""
        self._service.open()

    async def aclose(self) -> None:
        """Report what is not reported yet, and close every connection."""
        await self._reporting.stop()
        if self._service.is_open:
            await self._reporting.leave(lambda finish: self._finish(finish, _TORN_S))
        await self._service.aclose()

    # asking

    def evaluate(
        self,
        type: str,
        details: Details,
        *,
        requested_by: str = _ANYBODY,
        agent: str = "",
        run_id: str = "",
    ) -> Verdict:
        """Return what the policy says of an action: one call that blocks this thread.

        `verdict_on` does the same without keeping the event loop waiting.
        """
        call = _evaluation(type, details, requested_by, agent, run_id)
        try:
            return records.verdict_of(self._service.send_blocking(call))
        except ValueError as error:
            raise StorageError(f"the answer cannot be read: {error}") from error

    async def verdict_on(
        self,
        type: str,
        details: Details,
        *,
        requested_by: str = _ANYBODY,
        agent: str = "",
        run_id: str = "",
    ) -> Verdict:
        """Return what the policy says of an action: allow, ask or deny, and why."""
        call = _evaluation(type, details, requested_by, agent, run_id)
        return await self._read(records.verdict_of, await self._service.send(call))

    async def request_approval(
        self,
        type: str,
        description: str,
        details: Details,
        *,
        requested_by: str = _ANYBODY,
        agent: str = "",
        run_id: str = "",
        key: str | None = None,
        id: str | None = None,
        timeout: float | str | None = None,
        join: bool = False,
    ) -> Request:
        """Ask for approval of exactly this action; see `Orchestrator.request_approval`.

        Without `key` and `id` the request gets an id here, so that it is asked once however often
        the call has to be sent. An `Indeterminate` names it: ask again with it.
        """
        if join and (key is not None or id is not None):
            raise InvalidRequest("join is for asking without a key and an id of your own")
        action = action_of(type, description, details, requested_by, agent, run_id)
        key = key_of(key)
        if key is None and not join:
            id = id_of(id, datetime.now(UTC), type, self._service.another_token)
        body = {
            "type": action.type,
            "description": action.description,
            "details": action.details,
            "requested_by": _name(requested_by),
            "agent": agent,
            "run_id": run_id,
            "key": key,
            "id": id,
            "timeout": seconds_of(timeout, above_zero=True),
            "join": join,
        }
        try:
            return await self._change("requests", body)
        except Indeterminate as error:  # an id made here is known to nobody else
            if join:
                raise
            name = f"key {key}" if key is not None else f"id {id}"
            raise Indeterminate(f"{error} ({name})") from error

    # waiting

    async def wait_for_decision(self, id: str, timeout: float | str | None = None) -> Request:
        """Return the request once it is decided; see `Orchestrator.wait_for_decision`.

        It waits out a lost connection and a restart of the service, until `timeout`.
        """
        return await self._wait(id, seconds_of(timeout), "decision", _is_decided)

    async def wait_for_outcome(self, id: str, timeout: float | str | None = None) -> Request:
        """Return the request once its execution has ended, or it can no longer be executed."""
        return await self._wait(id, seconds_of(timeout), "outcome", _has_ended)

    async def _wait(
        self, id: str, patience_s: float | None, what: str, fits: Callable[[Request], bool]
    ) -> Request:
        loop = asyncio.get_running_loop()
        end = None if patience_s is None else loop.time() + patience_s
        while True:
            began = loop.time()
            left = float("inf") if end is None else max(0.0, end - loop.time())
            call = Call(
                method="GET",
                path=f"{path_of(id)}/wait",
                query={"timeout": min(left, _POLL_S), "until": what},
                read_s=min(left, _POLL_S) + _SLACK_S,
                waits=True,
            )
            try:
                record = await self._service.send(call, patience_s=left)
            except StorageError as error:
                if end is None or not patience_s or loop.time() < end - 1:
                    raise
                raise WaitTimeout(f"{id}: no {what} heard of after {patience_s:g} s") from error
            request = await self._read(records.request_of, record)
            if fits(request):
                return request
            if end is not None and loop.time() >= end:
                raise WaitTimeout(f"{id} has no {what} after {patience_s:g} s; it still waits")
            if loop.time() < began + _AGAIN_S:  # a service that does not wait must not be flooded
                await asyncio.sleep(min(_AGAIN_S, left))

    # running

    def execution(self, id: str, *, executor: str | None = None) -> Execution:
        """Return the single right to execute an approved request; see `Orchestrator.execution`.

        While the block runs, the lease of its claim is renewed. If this program dies, the service
        records `unknown`, and a person resolves it.
        """
        known_id(id)
        if executor is not None:
            name_of(executor, "executor")
        return RemoteExecution(
            self._service,
            self.get,
            self._leased,
            self._reporting.report,
            id,
            executor,
            lease_s=self._lease_s,
        )

    async def _leased(self, record: Any) -> Request:
        return await self._read(lambda lease: records.request_of(lease["request"]), record)

    async def _finish(self, finish: c.Finish, patience_s: float | None = None) -> None:
        body = {
            "claim_id": finish.claim_id,
            "status": finish.status.value,
            "result": finish.result,
            "error": finish.error,
        }
        if finish.status is Status.UNKNOWN:
            patience_s = _TORN_S
        call = Call(method="POST", path=f"{path_of(finish.id)}/finish", body=body)
        try:
            await self._service.send(call, patience_s=patience_s)
        except OutcomeNotRecorded as error:  # the service could not store it: report it again
            raise StorageError("the service could not store it") from error
        except (TooFast, WaitTimeout) as error:  # not now: report it again
            raise StorageError(str(error)) from error

    # answering

    async def vote(
        self,
        id: str,
        answer: Answer,
        *,
        reviewer: str,
        reason: str = "",
        details: Details | None = None,
        payload_sha256: str | None = None,
        proof: str = "",
        code: str = "",
        totp: str = "",
    ) -> Request:
        """Hand in one reviewer's answer; it is worth what the token proves.

        An empty `reviewer` is whose token it is. Raises what `Orchestrator.vote` does, and
        Forbidden for an agent's token, or for another reviewer than the token's.
        """
        body = {
            "answer": word_of(answer, Answer, "answer").value,
            "reviewer": name_of(reviewer, "reviewer") if reviewer else None,
            "reason": text_of(reason, "reason", MAX_TEXT_BYTES),
            "details": details,
            "payload_sha256": digest_of(payload_sha256, "payload_sha256"),
            "proof": proof,
            "code": code,
            "totp": totp,
        }
        return await self._change(f"{path_of(id)}/votes", body, once=True)

    async def cancel(self, id: str, *, by: str = _ANYBODY, reason: str = "") -> Request:
        """Withdraw a request that does not run yet. Raises Conflict once it runs or has ended."""
        name_of(by, "by")
        body = {"by": _name(by), "reason": text_of(reason, "reason", MAX_TEXT_BYTES)}
        return await self._change(f"{path_of(id)}/cancel", body)

    async def comment(self, id: str, text: str, *, author: str = _ANYBODY) -> Request:
        """Add a remark; it decides nothing. Raises InvalidRequest for an empty one."""
        if not text_of(text, "text", MAX_TEXT_BYTES).strip():
            raise InvalidRequest("text is empty; say what to remark")
        name_of(author, "author")
        body = {"author": _name(author), "text": text}
        return await self._change(f"{path_of(id)}/comments", body, once=True)

    async def _change(self, path: str, body: dict[str, Any], *, once: bool = False) -> Request:
        name = self._service.another_id("call") if once else ""
        call = Call(method="POST", path=path, body=body, name=name)
        return await self._read(records.request_of, await self._service.send(call))


def _evaluation(type: str, details: Details, requested_by: str, agent: str, run_id: str) -> Call:
    action = action_of(type, "", details, requested_by, agent, run_id)
    body = {
        "type": action.type,
        "details": action.details,
        "requested_by": _name(requested_by),
        "agent": agent,
        "run_id": run_id,
    }
    return Call(method="POST", path="policy/evaluate", body=body, only_asks=True)


def _is_decided(request: Request) -> bool:
    return request.status is not Status.PENDING


def _has_ended(request: Request) -> bool:
    return request.status.is_terminal or request.status is Status.UNKNOWN


def _name(name: str) -> str | None:
    return None if name == _ANYBODY else name
