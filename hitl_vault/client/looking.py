"""Owns the half of a service's desk that only looks: requests, events. Never changes one."""

from __future__ import annotations

from abc import ABC
from collections.abc import AsyncGenerator, Callable, Iterable
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec

from hitl_vault import records
from hitl_vault.client.events import EventStream
from hitl_vault.client.service import Call, Service
from hitl_vault.core.chain import Break, Head, decoder_of
from hitl_vault.core.events import Recorded
from hitl_vault.core.model import Request, Status, is_valid_id
from hitl_vault.engine.alerts import Alert
from hitl_vault.engine.checks import count_of, filter_of, known_id, name_of
from hitl_vault.engine.composing import Composing
from hitl_vault.errors import RequestNotFound

_T = TypeVar("_T")
_PAGE = 500


class RemoteLooking(Composing, ABC):
    """What the caller's token may see."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def get(self, id: str) -> Request:
        """Return one request. Raises RequestNotFound."""
        record = await self._service.send(Call(method="GET", path=path_of(id)))
        return await self._read(records.request_of, record)

    async def check_status(self, id: str) -> Status:
        """Return where a request stands now, a passed deadline included."""
        return (await self.get(id)).status

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
        limit: int | None = None,
    ) -> list[Request]:
        """Return the requests that match, newest first; see `Orchestrator.list_requests`."""
        want = filter_of(
            status=status,
            type=type,
            requested_by=requested_by,
            run_id=run_id,
            since=since,
            until=until,
            text=text,
            after=None,
            limit=limit,
            now=datetime.now(UTC),
        )
        if limit == 0 or want.statuses == frozenset():
            return []
        query = {
            "status": None if want.statuses is None else sorted(want.statuses),
            "type": type,
            "requested_by": requested_by,
            "run_id": run_id,
            "since": None if want.since is None else want.since.isoformat(),
            "until": None if want.until is None else want.until.isoformat(),
            "text": want.text,
        }
        found: list[Request] = []
        after: str | None = None
        while limit is None or len(found) < limit:
            page = _PAGE if limit is None else min(_PAGE, limit - len(found))
            call = Call(
                method="GET", path="requests", query=query | {"limit": page, "after": after}
            )
            answer = await self._service.send(call)
            page_of, after = await self._read(_page, answer)
            found += page_of
            if after is None:
                break
        return found

    def subscribe(self, after: int = 0, *, follow: bool = True) -> AsyncGenerator[Recorded, None]:
        """Yield every event after sequence number `after`, then live. Store `seq` to go on.

        It goes on by itself after a lost connection and a restart of the service: no event is
        missing and none comes twice. An agent's token sees the events of its own requests.
        """
        count_of(after, "after")
        return EventStream(self._service, after, follow=follow).events()

    async def history(self, id: str) -> list[Recorded]:
        """Return what happened to a request, in order."""
        answer = await self._service.send(Call(method="GET", path=f"{path_of(id)}/events"))
        return await self._read(_events, answer)

    async def alerts(self) -> list[Alert]:
        """Return the alerts that fire now. Needs a token that may read."""
        answer = await self._service.send(Call(method="GET", path="alerts"))
        return await self._read(_alerts, answer)

    async def verify(self) -> Head | Break:
        """Prove the chain of events. Needs a token that may operate."""
        answer = await self._service.send(Call(method="GET", path="audit/verify", read_s=600.0))
        return await self._read(records.chain_of, answer)

    async def was_asked(self, key: str) -> bool:
        """True if a request was made with this key."""
        call = Call(method="GET", path="requests", query={"key": name_of(key, "key"), "limit": 1})
        found, _ = await self._read(_page, await self._service.send(call))
        return bool(found)

    async def _read(self, read: Callable[[Any], _T], record: Any) -> _T:
        try:
            return read(record)
        except (ValueError, LookupError, TypeError) as error:
            raise await self._service.unreadable(error) from error


def path_of(id: str) -> str:
    """Return the path of a request. Raises RequestNotFound for what is no id of one."""
    if not is_valid_id(known_id(id)):
        raise RequestNotFound(f"there is no request {id[:120]!r}")
    return f"requests/{id}"


def _page(answer: Any) -> tuple[list[Request], str | None]:
    return [records.request_of(record) for record in answer["requests"]], answer["next"]


def _events(answer: Any) -> list[Recorded]:
    return [records.recorded_of(record) for record in answer["events"]]


def _alerts(answer: Any) -> list[Alert]:
    return decoder_of(list[Alert]).decode(msgspec.json.encode(answer))
