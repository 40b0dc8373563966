"""Owns running what was approved, once, far from the vault. Never runs anything again.

The claim has an id of this program's own, so that it may be sent again. While the block runs, its
lease is renewed: if this program dies, the service records `unknown` once the lease has ended.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from hitl_vault.client.service import Call, Service
from hitl_vault.core import commands as c
from hitl_vault.core.canonical import payload_sha256, with_details
from hitl_vault.core.model import Request
from hitl_vault.engine.execution import Execution
from hitl_vault.errors import (
    Conflict,
    HitlVaultError,
    Incompatible,
    RequestNotFound,
    StorageError,
)

_log = logging.getLogger(__name__)
_SHARE = 3  # a lease is renewed when a third of it is over, so that two renewals may be lost
LEASE_S = 60.0


class RemoteExecution(Execution):
    """The single right to execute one approved request of a service."""

    def __init__(
        self,
        service: Service,
        get: Callable[[str], Awaitable[Request]],
        read: Callable[[Any], Awaitable[Request]],
        report: Callable[[c.Finish], Awaitable[Any]],
        id: str,
        executor: str | None,
        *,
        lease_s: float,
    ) -> None:
        super().__init__(id, executor or "", service.another_id("claim"))
        self._service, self._get, self._read, self._report = service, get, read, report
        self._lease_s = lease_s
        self._renewing: asyncio.Task[None] | None = None

    async def _take(self) -> Request:
        approved = await self._get(self._id)
        present = payload_sha256(with_details(approved.action, approved.details))
        claim = {
            "claim_id": self.claim_id,
            "executor": self._executor or None,
            "payload_sha256": present,
            "lease_s": self._lease_s,
        }
        try:
            record = await self._service.send(
                Call(method="POST", path=f"requests/{self._id}/claim", body=claim)
            )
            request = await self._read(record)
        except (asyncio.CancelledError, StorageError, Incompatible):
            await asyncio.shield(self._not_begun())
            raise
        except Conflict as conflict:
            if self._is_ours(conflict.current):  # its lease ended before anybody heard of it
                await asyncio.shield(self._not_begun())
            raise
        if request.payload_in_force != present or request.details != approved.details:
            await asyncio.shield(self._not_begun())
            raise Conflict("what would run is not what was approved; nothing may run", request)
        self._renewing = asyncio.create_task(self._renew(), name=f"hitl-lease-{self._id}")
        return request

    def _is_ours(self, request: Request | None) -> bool:
        claim = None if request is None else request.claim
        return claim is not None and claim.claim_id == self.claim_id

    async def _renew(self) -> None:
        """Say again and again that this program lives."""
        renewal = Call(
            method="POST",
            path=f"requests/{self._id}/claim/renew",
            body={"claim_id": self.claim_id, "lease_s": self._lease_s},
        )
        while True:
            await asyncio.sleep(self._lease_s / _SHARE)
            try:
                await self._service.send(renewal, patience_s=self._lease_s)
            except (Conflict, RequestNotFound) as error:
                _log.error(
                    "%s: the claim does not count any more (%s); how it ends is reported all the "
                    "same, and a person may have to say it",
                    self._id,
                    error,
                )
                return
            except HitlVaultError as error:  # which says nothing of the claim
                _log.warning(
                    "%s: the lease could not be renewed, it is tried again: %s", self._id, error
                )

    async def _record(self, finish: c.Finish) -> None:
        if self._renewing is not None:
            self._renewing.cancel()
        await self._report(finish)
