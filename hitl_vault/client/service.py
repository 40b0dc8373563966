"""Owns sending calls to the service: connections, tokens, second tries. Never knows what a call
means.

Every call may be sent again: what changes something names itself by an id of the caller's, so that
it counts once however often it arrives.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx
import tenacity

from hitl_vault.adapters.tokens import Tokens
from hitl_vault.adapters.tracing.opentelemetry import OpenTelemetryTracer
from hitl_vault.client import answers
from hitl_vault.client.address import checked, sendable, warn_in_the_open
from hitl_vault.client.answers import Again, NoSuchRoute, judged, lost
from hitl_vault.core.tracing import headers_of
from hitl_vault.errors import (
    Incompatible,
    Indeterminate,
    NotOpen,
    OutcomeNotRecorded,
    StorageError,
)
from hitl_vault.version import __version__

_log = logging.getLogger(__name__)
_T = TypeVar("_T")
_API = "/api/v1/"
_CONNECT_S = 5.0
_READ_S = 30.0
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.2, 5.0
_NOT_OPEN = "it is not open; open it first: `async with connect(...) as hitl:`"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call of the API.

    `name` is the caller's own for a change that has no other id, the same in every try. `read_s`
    is how long the answer may take; `waits`: for a person. `only_asks`: it changes nothing, though
    it has a body.
    """

    method: str
    path: str
    body: Mapping[str, Any] | None = None
    query: Mapping[str, Any] = field(default_factory=dict)
    name: str = ""
    read_s: float = _READ_S
    waits: bool = False
    only_asks: bool = False

    @property
    def changes(self) -> bool:
        """True if it changes something."""
        return self.method != "GET" and not self.only_asks


class Service:
    """The service at an address, as one caller sees it.

    Args:
        url: Where it is, without `/api/v1`; behind a proxy with the path it has there.
        token: What `hitl token create` printed; None takes `HITL_TOKEN`.
        patience_s: For how long a call is tried again before it fails.
        connections: How many calls may wait for people at the same time.
        sleep: How to wait between two tries, for tests.
    """

    def __init__(
        self,
        url: str,
        token: str | None = None,
        *,
        patience_s: float = 30.0,
        connections: int = 1000,
        sleep: Callable[[float], Any] = asyncio.sleep,
    ) -> None:
        self.url = checked(url)
        token = token if token is not None else os.environ.get("HITL_TOKEN") or None
        self.patience_s, self._connections, self._sleep = patience_s, connections, sleep
        self._headers = {"User-Agent": f"hitl-vault/{__version__}"}
        if token:
            self._headers["Authorization"] = f"Bearer {sendable(token)}"
            warn_in_the_open(self.url)
        self._tokens = Tokens()
        self._quick: httpx.AsyncClient | None = None
        self._patient: httpx.AsyncClient | None = None

    @property
    def is_open(self) -> bool:
        """True between `open` and `aclose`."""
        return self._quick is not None

    def open(self) -> None:
        """Make the connections' pools; nothing is sent yet."""
        if self.is_open:
            raise RuntimeError("this desk is open already")
        self._quick = self._pool(100)  # its own, so that no number of waiters keeps a claim waiting
        self._patient = self._pool(self._connections)

    async def aclose(self) -> None:
        """Close every connection."""
        pools, self._quick, self._patient = (self._quick, self._patient), None, None
        for pool in pools:
            if pool is not None:
                await pool.aclose()

    def _pool(self, most: int) -> httpx.AsyncClient:
        limits = httpx.Limits(max_connections=most, max_keepalive_connections=min(most, 20))
        return httpx.AsyncClient(base_url=self.url + _API, headers=self._headers, limits=limits)

    def pool(self, *, waits: bool) -> httpx.AsyncClient:
        """Return the pool for calls that wait for people, or for the others. Raises NotOpen."""
        pool = self._patient if waits else self._quick
        if pool is None:
            raise NotOpen(_NOT_OPEN)
        return pool

    def another_id(self, what: str) -> str:
        """Return a new id for something this caller makes."""
        return f"{what}-{self.another_token()}{self.another_token()}"

    def another_token(self) -> str:
        """Return 40 random bits as hexadecimal."""
        return self._tokens.take()

    async def send(self, call: Call, *, patience_s: float | None = None) -> Any:
        """Return the answer's JSON values; what got none is sent again until `patience_s`.

        Raises:
            HitlVaultError: What the service says no with.
            Indeterminate: No answer that counts, to a call that changes something and may have
                arrived in one of its tries, whatever the last one was answered.
            StorageError: No answer, and nothing was changed.
            Incompatible: What answers is no service that this client can talk to.
        """
        request = self._request(call)

        async def once() -> Any:
            pool = self.pool(waits=call.waits)
            try:
                return judged(await pool.request(**request))
            except (httpx.TransportError, RuntimeError) as error:
                raise self._broken(error) from error

        return await self.tried(once, changes=call.changes, patience_s=patience_s)

    async def tried(
        self,
        once: Callable[[], Awaitable[_T]],
        *,
        changes: bool = False,
        patience_s: float | None = None,
    ) -> _T:
        """Return what `once` returns; if it raises `Again`, do it again, until `patience_s`."""
        patience_s = self.patience_s if patience_s is None else patience_s
        arrived = False
        try:
            async for attempt in tenacity.AsyncRetrying(sleep=self._sleep, **_tries(patience_s)):
                with attempt:
                    try:
                        return await once()
                    except Again as again:
                        arrived = arrived or again.arrived
                        raise
        except Again as again:
            raise self._given_up(changes, again.error, arrived=arrived) from again.error
        except NoSuchRoute as error:
            raise await self._incompatible(str(error)) from error
        raise AssertionError("tenacity returns or raises")

    async def stream(self, call: Call, headers: Mapping[str, str]) -> httpx.Response:
        """Return an answer whose body is still coming; one try, for `tried`."""
        pool, request = self.pool(waits=call.waits), self._request(call)
        request["headers"].update(headers)
        try:
            response = await pool.send(pool.build_request(**request), stream=True)
        except (httpx.TransportError, RuntimeError) as error:
            raise self._broken(error) from error
        if response.is_success:
            return response
        try:
            await response.aread()
        except (httpx.TransportError, RuntimeError) as error:
            raise self._broken(error) from error
        finally:
            await response.aclose()
        judged(response)
        raise AssertionError("what is no success is raised")

    def _broken(self, error: httpx.TransportError | RuntimeError) -> Exception:
        if not self.is_open:
            return NotOpen("it was closed meanwhile")
        return lost(error) if isinstance(error, httpx.TransportError) else error

    def send_blocking(self, call: Call) -> Any:
        """Do what `send` does while everything else in this thread stands still."""
        if not self.is_open:
            raise NotOpen(_NOT_OPEN)
        request, arrived = self._request(call), False
        try:
            with httpx.Client(base_url=self.url + _API, headers=self._headers) as pool:
                for attempt in tenacity.Retrying(sleep=time.sleep, **_tries(self.patience_s)):
                    with attempt:
                        try:
                            return judged(pool.request(**request))
                        except httpx.TransportError as error:
                            again = lost(error)
                            arrived = arrived or again.arrived
                            raise again from error
                        except Again as again:
                            arrived = arrived or again.arrived
                            raise
        except Again as again:
            raise self._given_up(call.changes, again.error, arrived=arrived) from again.error
        except NoSuchRoute as error:
            raise Incompatible(f"what answers at {self.url} does not know this call") from error
        raise AssertionError("tenacity returns or raises")

    def _request(self, call: Call) -> dict[str, Any]:
        made: dict[str, Any] = {
            "method": call.method,
            "url": call.path,
            "params": {name: value for name, value in call.query.items() if value is not None},
            "timeout": httpx.Timeout(call.read_s, connect=_CONNECT_S, pool=call.read_s),
        }
        made["headers"] = headers_of(OpenTelemetryTracer().current())
        if call.name:
            made["headers"]["Idempotency-Key"] = call.name
        if call.body is not None:
            made["json"] = {name: value for name, value in call.body.items() if value is not None}
        return made

    def _given_up(self, changes: bool, error: Exception, *, arrived: bool) -> Exception:
        """Return what to raise; `arrived`: one of the tries may have, and may have counted."""
        is_lost = isinstance(error, httpx.TransportError)
        told = str(error)
        if is_lost:
            told = f"no answer from {self.url}: {told or type(error).__name__}"
        says_so = isinstance(error, Indeterminate | OutcomeNotRecorded)
        if changes and arrived and not says_so:
            return Indeterminate(f"{told}; it may have been stored: ask again with the same id")
        return StorageError(f"{told}; nothing was changed") if is_lost else error

    async def _incompatible(self, told: str) -> Incompatible:
        """Say which of the two is older, as far as the service tells."""
        try:
            found = await self.pool(waits=False).get("openapi.json", timeout=_CONNECT_S)
            about = found.json()["info"]
            name, version = str(about["title"]), str(about["version"])
        except (httpx.HTTPError, ValueError, LookupError, TypeError):
            name, version = "", ""
        if name != "hitl_vault":
            return Incompatible(
                f"what answers at {self.url} is no hitl_vault service ({told}); give the address "
                "that `hitl serve` printed, without /api/v1"
            )
        newer = _parts(version) > _parts(__version__)
        mend = "upgrade this program's hitl-vault" if newer else "upgrade the service"
        return Incompatible(
            f"the service at {self.url} is version {version}, this client {__version__}, and they "
            f"do not understand each other ({told}): {mend}"
        )

    async def unreadable(self, error: Exception) -> Incompatible:
        """Return the error for an answer whose JSON is not what this client knows."""
        return await self._incompatible(f"the answer cannot be read: {answers.shown(str(error))}")


def _tries(patience_s: float) -> dict[str, Any]:
    """Return how tenacity is to try again: with jitter, a cap, and as long as the service asks."""
    jittered = tenacity.wait_random_exponential(multiplier=_FIRST_WAIT_S, max=_LONGEST_WAIT_S)

    def wait(state: tenacity.RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome is not None else None
        asked = error.after_s if isinstance(error, Again) else 0.0
        return asked + jittered(state)

    def say(state: tenacity.RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome is not None else None
        _log.info("no answer that counts (%s); trying again", error)

    return {
        "retry": tenacity.retry_if_exception_type(Again),
        "wait": wait,
        "stop": tenacity.stop_before_delay(patience_s),
        "before_sleep": say,
        "reraise": True,
    }


def _parts(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())
