"""Owns what one process has heard of lately: requests with their histories. Never reads a ledger.

Most of what is asked is decided, claimed and shown within moments by the same process. What it
committed, or was just told, need not be read back from the disk for each of these.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import msgspec

from hitl_vault.core.chain import encode_request
from hitl_vault.core.events import Recorded
from hitl_vault.core.model import Request
from hitl_vault.ports import Heard

_MOST = 2_048
_MAX_STATE_BYTES = 32_768
_MAX_TOLD_BYTES = 4_096  # what little others said lets nothing grow by much
_MAX_REV = 20  # few requests have more steps, and those that do grow with each


def bytes_of(recorded: Recorded) -> int:
    """Return how large what an event says is."""
    return len(msgspec.json.encode(recorded.event.data))


class Hearing:
    """The requests heard of last. Every entry is whole: its history leads to exactly its state."""

    def __init__(self) -> None:
        self._heard: OrderedDict[str, Heard] = OrderedDict()
        self._asking: set[str] = set()

    def __contains__(self, id: str) -> bool:
        return id.casefold() in self._heard or id.casefold() in self._asking

    @contextmanager
    def asking(self, id: str) -> Iterator[None]:
        """Keep what is told of a request this process asks for, from its first event on: another
        process may answer before the ask has returned.
        """
        self._asking.add(id.casefold())
        try:
            yield
        finally:
            self._asking.discard(id.casefold())

    def get(self, id: str) -> Heard | None:
        """Return what was heard of this request."""
        return self._heard.get(id.casefold())

    def committed(self, request: Request, events: Sequence[Recorded], state_bytes: int) -> None:
        """Keep one step that this process committed."""
        known = self.get(request.id)
        if known is not None and known.request.rev >= request.rev:
            return
        before = known.history if known is not None else ()
        last = before[-1].event.rev if before else 0
        if request.rev != last + 1 or state_bytes > _MAX_STATE_BYTES or last > _MAX_REV:
            self._heard.pop(request.id.casefold(), None)
            return
        self._keep(Heard(request=request, history=(*before, *events)))

    def told(self, request: Request | None, events: Sequence[Recorded]) -> None:
        """Keep what another process did to a request that is known here; forget it where `events`
        do not lead from what was known to `request`.
        """
        if request is None or request.id not in self:
            return
        known = self.get(request.id)
        before = () if known is None else known.history
        fresh = [one for one in events if not before or one.seq > before[-1].seq]
        if not fresh:
            return
        history = (*before, *fresh)
        revs = [recorded.event.rev for recorded in history]
        whole = revs[-1] == request.rev and set(revs) == set(range(1, request.rev + 1))
        small = (known is not None and sum(map(bytes_of, fresh)) <= _MAX_TOLD_BYTES) or len(
            encode_request(request)
        ) <= _MAX_STATE_BYTES
        if whole and small and request.rev <= _MAX_REV:
            self._keep(Heard(request=request, history=history))
        else:
            self._heard.pop(request.id.casefold(), None)

    def _keep(self, heard: Heard) -> None:
        id = heard.request.id.casefold()
        self._heard[id] = heard
        self._heard.move_to_end(id)
        while len(self._heard) > _MOST:
            self._heard.popitem(last=False)
