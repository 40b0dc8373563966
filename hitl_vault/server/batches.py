"""Owns reading many requests without holding many: in small batches, and in pages that have a size.
Never judges what is found.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any, Protocol

import msgspec
from fastapi.responses import Response, StreamingResponse

from hitl_vault import records
from hitl_vault.core.model import Request
from hitl_vault.ports import Place
from hitl_vault.server.paging import cursor_of
from hitl_vault.server.shapes import answer

MAX_PAGE_BYTES = 4_000_000
_AT_ONCE = 20
_JSON = "application/json"


class Find(Protocol):
    """`list_requests` with its filters given."""

    async def __call__(self, *, after: Place | None, limit: int) -> list[Request]:
        """Return what follows this place, at most `limit`."""
        ...


async def each(
    find: Find, *, after: Place | None = None, at_once: int = _AT_ONCE
) -> AsyncGenerator[Request, None]:
    """Yield what is found, newest first; every request once, whatever is asked meanwhile."""
    size = min(at_once, _AT_ONCE)
    while True:
        found = await find(after=after, limit=size)
        for request in found:
            yield request
        if len(found) < size:
            return
        after = Place(created_at=found[-1].created_at, id=found[-1].id)


async def page(find: Find, *, after: Place | None, limit: int) -> Response:
    """Answer with a page: at most `limit` requests, and at most `MAX_PAGE_BYTES` or one request."""
    rows: list[msgspec.Raw] = []
    size, following, last = 0, None, None
    async with aclosing(each(find, after=after, at_once=limit + 1)) as found:
        async for request in found:
            row = msgspec.json.encode(records.request_record(request))
            size += len(row)
            if last is not None and (len(rows) == limit or size > MAX_PAGE_BYTES):
                following = cursor_of(last)
                break
            rows.append(msgspec.Raw(row))
            last = request
    return answer({"requests": rows, "next": following})


async def streamed(
    rows: AsyncGenerator[dict[str, Any], None], begin: bytes = b"[", end: bytes = b"]"
) -> Response:
    """Answer with a JSON list of any length, sent as fast as it is taken, held nowhere.

    What cannot be read at all is an error before anything is sent.
    """
    first = await anext(rows, None)

    async def written() -> AsyncIterator[bytes]:
        async with aclosing(rows):
            yield begin
            if first is not None:
                yield msgspec.json.encode(first)
            async for row in rows:
                yield b"," + msgspec.json.encode(row)
            yield end

    return StreamingResponse(written(), media_type=_JSON)
