"""Owns not losing how an execution ended: what cannot be reported now is reported again, while the
desk is open. Never decides how anything ended.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

from hitl_vault.core import commands as c
from hitl_vault.core.model import Status
from hitl_vault.errors import HitlVaultError, StorageError

_T = TypeVar("_T")
_AGAIN_S = 1.0


class Reporting(Generic[_T]):
    """Reports the ends of executions; each claim has one."""

    def __init__(
        self,
        submit: Callable[[c.Finish], Awaitable[_T]],
        sleep: Callable[[float], Awaitable[Any]],
    ) -> None:
        self._submit, self._sleep = submit, sleep
        # by request and claim: claims of two requests may have one name
        self._unreported: dict[tuple[str, str], c.Finish] = {}
        self._again: asyncio.Task[None] | None = None
        self._left = False

    async def report(self, finish: c.Finish) -> _T:
        """Submit the end of an execution.

        Raises:
            StorageError: Not stored; it is tried again later.
        """
        name = (finish.id.casefold(), finish.claim_id)
        if finish.status is Status.UNKNOWN:  # an end that is known and waits to be stored stays
            finish = self._unreported.get(name, finish)
        self._unreported[name] = finish
        try:
            told = await self._submit(finish)
        except StorageError:
            if not self._left and self._again is None:
                self._again = asyncio.create_task(self._report_later(), name="hitl-report")
            raise
        except HitlVaultError:
            self._unreported.pop(name, None)
            raise
        self._unreported.pop(name, None)
        return told

    async def _report_later(self) -> None:
        try:
            while self._unreported:
                await self._sleep(_AGAIN_S)
                await self.again()
        finally:
            self._again = None

    async def again(self) -> None:
        """Try once what could not be stored; what fails is kept where it may yet be."""
        for finish in list(self._unreported.values()):
            with contextlib.suppress(HitlVaultError):
                await self.report(finish)

    async def stop(self) -> None:
        """Try no more by itself."""
        self._left = True
        if self._again is not None:
            self._again.cancel()
            await asyncio.gather(self._again, return_exceptions=True)

    async def leave(self, submit: Callable[[c.Finish], Awaitable[Any]]) -> None:
        """Try once more what is left; what fails now stays unknown, as its claim shows."""
        while self._unreported:  # more may come while these are stored
            _, finish = self._unreported.popitem()
            with contextlib.suppress(HitlVaultError):
                await submit(finish)
