"""Owns the half of the API that only looks: requests, history, notes. Never changes one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from hitl_vault.core import lifecycle
from hitl_vault.core.chain import Break, Head
from hitl_vault.core.duties import who_must_answer
from hitl_vault.core.events import Recorded
from hitl_vault.core.model import Request, Status
from hitl_vault.core.tally import Tally
from hitl_vault.core.trends import Trends
from hitl_vault.engine.alerting import firing_now
from hitl_vault.engine.alerts import Alert
from hitl_vault.engine.checks import filter_of, known_id, moment_of, name_of
from hitl_vault.engine.desk import Desk, Notice
from hitl_vault.engine.display import Display
from hitl_vault.engine.parts import Parts
from hitl_vault.errors import ConfigError, RequestNotFound
from hitl_vault.ports import Capabilities, Counts, Filter, Place
from hitl_vault.ports_telling import Backlog


class Looking(ABC):
    """What anybody may see."""

    _display: Display
    _desk: Desk

    @property
    @abstractmethod
    def _parts(self) -> Parts: ...

    @abstractmethod
    def _check_open(self) -> None: ...

    def now(self) -> datetime:
        """Return the time that deadlines are judged by."""
        return self._parts.clock.now()

    async def get(self, id: str) -> Request:
        """Return one request. Raises RequestNotFound."""
        request = await self._parts.ledger.get(known_id(id))
        if request is None:
            raise RequestNotFound(f"there is no request {id!r}")
        return request

    async def get_at(self, id: str, rev: int) -> Request:
        """Return a request as it was at this revision or later, without reading what this process
        has heard of. Raises RequestNotFound.
        """
        heard = self._parts.ledger.heard(id)
        return (
            heard.request if heard is not None and heard.request.rev >= rev else await self.get(id)
        )

    async def was_asked(self, key: str) -> bool:
        """True if a request was made with this key."""
        return await self.get_by_key(key) is not None

    async def get_by_key(self, key: str) -> Request | None:
        """Return the request that was made with this key, None if none was."""
        return await self._parts.ledger.get_by_key(name_of(key, "key"))

    async def check_status(self, id: str) -> Status:
        """Return where a request stands now, a passed deadline included."""
        request = await self.get(id)
        if lifecycle.is_overdue(request, self._parts.clock.now()):
            return Status.EXPIRED
        return request.status

    async def list_requests(
        self,
        *,
        status: Status | str | Iterable[Status] | None = None,
        type: str | None = None,
        requested_by: str | None = None,
        run_id: str | None = None,
        since: datetime | str | None = None,
        until: datetime | str | None = None,
        text: str | None = None,
        after: Place | None = None,
        limit: int | None = None,
    ) -> list[Request]:
        """Return the requests that match, newest first.

        Args:
            status: One status or several, as recorded; None for any.
            since: Asked at or after this time, which needs a time zone; or how long ago at most,
                such as "7d" or "12h". A text may also be a date and time with its zone (ISO 8601).
            until: Asked before this time, given as `since` is.
            text: Stands in what was said: the id, the description, the details and the like; A to Z
                in either case. Without a `limit` met early, this reads every request.
            after: Leaves out everything up to and including this place in the order, which is that
                of the last request of the page before.
            limit: At most so many; 0 gives none.

        Raises:
            InvalidRequest: An argument cannot be accepted; the message says what can.
        """
        return await self._parts.ledger.find(
            filter_of(
                status=status,
                type=type,
                requested_by=requested_by,
                run_id=run_id,
                since=since,
                until=until,
                text=text,
                after=after,
                limit=limit,
                now=self._parts.clock.now(),
            )
        )

    async def find(self, filter: Filter) -> list[Request]:
        """Return the requests that match, as `list_requests` does."""
        return await self._parts.ledger.find(filter)

    async def alerts(self) -> list[Alert]:
        """Return the alerts that fire now, by the thresholds in the settings (`alert_…`)."""
        return await firing_now(self._parts)

    async def tally(self) -> Tally:
        """Add up every request there is, and say up to which event; well under a second for
        100,000 of them. For who goes on counting with `subscribe`.
        """
        return await self._parts.ledger.tally()

    async def head(self) -> Head:
        """Return the end of the chain of events."""
        return await self._parts.ledger.head()

    async def backlog(self) -> Backlog:
        """Count what people are still to be told."""
        telling = self._parts.telling
        if telling is None:
            return Backlog()
        return await telling.outbox.backlog(self._parts.clock.now())

    async def stats(self, since: datetime | str | None = None) -> dict[str, Any]:
        """Return the figures over what was asked since then, as `hitl stats --json` prints them."""
        after = moment_of(since, "since", self._parts.clock.now())
        return await self._parts.ledger.figures(after)

    async def counts(self, within_s: float = 86400.0) -> Counts:
        """Return what waits, and how what was asked within this time was decided."""
        since = self._parts.clock.now() - timedelta(seconds=within_s)
        return await self._parts.ledger.count(since)

    async def trends(self, within_s: float, moments: int = 49) -> Trends:
        """Return what was asked within this time, and what became of it, counted."""
        since = self._parts.clock.now() - timedelta(seconds=within_s)
        return await self._parts.ledger.trends(since, moments)

    def waits_for(self, request: Request) -> tuple[str, ...]:
        """Return who may answer now and has not, by name; none where anybody may.

        Raises:
            ConfigError: The record of reviewers cannot be read.
        """
        found = who_must_answer(request, self._parts.people(), self._parts.clock.now())
        return tuple(one.name for one in found)

    async def history(self, id: str) -> list[Recorded]:
        """Return what happened to a request, in order."""
        return await self._parts.ledger.history((await self.get(id)).id)

    async def evidence(self, id: str) -> bytes:
        """Return the evidence about a request as a .zip, as `hitl audit export` writes it: what the
        setting `redact` names is hidden.

        Raises:
            RequestNotFound: There is no such request.
            ConfigError: The list of keys cannot be read, or this ledger gives no evidence.
        """
        request = await self.get(id)
        if self._parts.evidence is None:
            raise ConfigError("this ledger gives no evidence")
        return await self._parts.evidence.bundle(request.id)

    async def verify(self) -> Head | Break:
        """Prove the chain of events; returns its head, or the first event that is wrong."""
        return await self._parts.ledger.verify()

    @property
    def vault_id(self) -> str:
        """The vault's id: what its chain of events begins with and signed answers name."""
        return self._parts.vault_id

    async def note(self, id: str) -> str:
        """Return the request's note as it would be written new: without what people typed in."""
        request = await self.get(id)
        return self._display.fresh(request, await self.history(request.id)).decode()

    async def document_path(self, id: str) -> str | None:
        """Return where the request's note lies on disk, None if it has none."""
        vault, known = self._parts.vault, self._display.known(known_id(id))
        if known is None or await vault.load(known.path) is None:
            found = await vault.find(id)
        else:
            found = known.path
        return None if found is None else self._parts.absolute(found)

    def notices(self) -> list[Notice]:
        """Return what a person should know about the folders: copies, strangers, second notes."""
        self._check_open()
        return sorted(self._desk.notices.values(), key=lambda notice: notice.path)

    def capabilities(self) -> Capabilities:
        """Say what the ledger guarantees."""
        return self._parts.ledger.capabilities()
