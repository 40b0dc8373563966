"""Owns saying in the log what does not work: once, seldom while it lasts, and once when it works
again. Never mends anything.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypedDict

from hitl_vault.errors import HitlVaultError

_AGAIN_S = 300.0
_KINDS = 8  # problems of one thing that are told apart while it does not work


class Manner(TypedDict):
    """How something is told of; see `Complaints`."""

    failing: str
    working: str
    steady_s: float


ROUNDS = Manner(
    failing="%s could not be finished, it is tried again",
    working="%s can be finished again",
    steady_s=30.0,
)
"""For what works in rounds, some of which have nothing to store."""


@dataclass(slots=True, kw_only=True)
class _Lasting:
    said: dict[str, float] = field(default_factory=dict)  # each problem, and when it was told
    failed_at: float = 0.0


class Complaints:
    """What does not work, by name.

    Args:
        failing: The sentence for a name (`%s`); the problem follows it.
        working: The sentence for a name that works again.
        steady_s: It works again once it has not failed for so long: some tries have little to do.
    """

    def __init__(
        self,
        log: logging.Logger,
        monotonic: Callable[[], float],
        *,
        failing: str,
        working: str,
        steady_s: float = 0.0,
    ) -> None:
        self._log, self._monotonic, self._steady_s = log, monotonic, steady_s
        self._failing, self._working = failing, working
        self._lasting: dict[str, _Lasting] = {}

    def failed(self, name: str, problem: str, error: Exception | None = None) -> None:
        """Tell of a problem, unless it was told in the last five minutes. `error` brings its
        traceback along.
        """
        now = self._monotonic()
        lasting = self._lasting.setdefault(name, _Lasting())
        lasting.failed_at = now
        key = problem if problem in lasting.said or len(lasting.said) < _KINDS else ""
        if now - lasting.said.get(key, now - _AGAIN_S) >= _AGAIN_S:
            lasting.said[key] = now
            self._log.error(f"{self._failing}: %s", name, problem, exc_info=error)

    def worked(self, name: str) -> None:
        """Tell that it works again, if it did not."""
        lasting = self._lasting.get(name)
        if lasting is None or self._monotonic() - lasting.failed_at < self._steady_s:
            return
        del self._lasting[name]
        self._log.warning(self._working, name)


async def tried(work: Callable[[], Awaitable[None]], complaints: Complaints, name: str) -> None:
    """Do the work of a round; what goes wrong is told, never raised."""
    try:
        await work()
    except HitlVaultError as error:
        complaints.failed(name, str(error))
    except Exception as error:
        complaints.failed(name, f"{type(error).__name__}: {error}", error)
    else:
        complaints.worked(name)
