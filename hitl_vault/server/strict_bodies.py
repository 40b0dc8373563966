"""Owns how the routes read JSON bodies: strictly, so that no two readers understand one
differently. Never judges what a body says.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from hitl_vault.core.canonical import parse_json
from hitl_vault.errors import InvalidRequest
from hitl_vault.server.caller_first import CallerFirstRoute


class StrictRoute(CallerFirstRoute):
    """A route whose bodies have no key twice, and no number that JSON does not know."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler, reading strictly."""
        inner = super().get_route_handler()

        async def strictly(request: Request) -> Response:
            try:
                return await inner(StrictRequest(request.scope, request.receive))
            except HTTPException as error:
                raise meant(error) from None

        return strictly


def meant(error: Exception) -> Exception:
    """Return what FastAPI says nothing of when it answers that a body cannot be read."""
    cause = error.__cause__
    return (
        cause if isinstance(error, HTTPException) and isinstance(cause, InvalidRequest) else error
    )


class StrictRequest(Request):
    """A request whose JSON body is read strictly."""

    async def json(self) -> Any:
        """Return what the body says. Raises InvalidRequest."""
        try:
            return parse_json(await self.body())
        except InvalidRequest as error:
            raise InvalidRequest(f"body: {error}") from error
