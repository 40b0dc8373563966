"""Owns the contracts of watching the desk at work: figures and traces. Never watches."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from hitl_vault.core.tally import Tally
from hitl_vault.core.tracing import Trace


class Tallying(Protocol):
    """The part of a ledger that is added up once, when somebody begins to watch."""

    async def tally(self) -> Tally:
        """Add up every request there is, as of one moment: `Tally.seq` is the event it goes up to.

        Takes well under a second for 100,000 requests, and holds nobody up meanwhile.
        """
        ...


class Tracer(Protocol):
    """Where spans go. Guarantees: costs next to nothing where nobody listens, and never raises."""

    def current(self) -> Trace | None:
        """Return the trace context this code runs in, None if there is none."""
        ...

    def span(
        self, name: str, trace: Trace | None = None, attributes: Mapping[str, str] | None = None
    ) -> AbstractContextManager[object]:
        """Return a context that is one span: a child of the context this code runs in, linked to
        `trace`; or a child of `trace` where there is none.
        """
        ...


class Untraced:
    """No spans at all: for engines of tests."""

    def current(self) -> Trace | None:
        """There is none."""
        return None

    def span(
        self, name: str, trace: Trace | None = None, attributes: Mapping[str, str] | None = None
    ) -> AbstractContextManager[object]:
        """Return a context that does nothing."""
        del name, trace, attributes
        return nullcontext()
