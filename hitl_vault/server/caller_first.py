"""Owns the order in which a route looks at a request: who calls comes before what it says. Never
answers itself.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from typing import Any

from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.responses import Response
from fastapi.routing import APIRoute

from hitl_vault.server.identities import counted, identity, person

_FINDERS = (identity, person, counted)


class CallerFirstRoute(APIRoute):
    """A route that finds who calls, and counts the call, before it reads the body.

    FastAPI reads and parses a body before it runs a dependency: a stranger's would cost as much as
    a caller's. What the route depends on is found first, and taken when its turn comes.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler."""
        inner = super().get_route_handler()
        finders = [find for find in _FINDERS if find in _calls(self.dependant)]

        async def caller_first(request: Request) -> Response:
            for find in finders:
                await find(request)
            return await inner(request)

        return caller_first


def _calls(dependant: Dependant) -> Iterator[Any]:
    yield dependant.call
    for one in dependant.dependencies:
        yield from _calls(one)
