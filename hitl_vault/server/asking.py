"""Owns how every route asks: what only a service refuses, and what a caller is shown of a request
that was there. Never judges the action: the engine does.
"""

from __future__ import annotations

from dataclasses import dataclass

from hitl_vault.core.access import Identity
from hitl_vault.core.model import Details, Request
from hitl_vault.engine.checks import text_of
from hitl_vault.errors import Conflict, RequestNotFound
from hitl_vault.server.idempotency import request_key
from hitl_vault.server.identities import sees
from hitl_vault.server.serving import Serving

MAX_DESCRIPTION_BYTES = 65_536  # every list holds it; who asks in the same process may say more


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The request, and whether it was there before."""

    request: Request
    known: bool


async def ask(
    at: Serving,
    caller: Identity,
    type: str,
    description: str,
    details: Details,
    *,
    requested_by: str,
    agent: str = "",
    run_id: str = "",
    key: str | None = None,
    header: str | None = None,
    id: str | None = None,
    timeout: float | str | None = None,
    join: bool = False,
) -> Asked:
    """Ask as `request_approval` does; `header` is the caller's Idempotency-Key.

    Raises:
        InvalidRequest: A field cannot be accepted, or only the engine's own callers may use it.
        Conflict: As the engine says it; about somebody else's request, without it.
    """
    text_of(description, "description", MAX_DESCRIPTION_BYTES)
    named = request_key(caller, key, header)
    known = await _is_known(at, named, id)
    try:
        request = await at.hitl.request_approval(
            type,
            description,
            details,
            requested_by=requested_by,
            agent=agent,
            run_id=run_id,
            key=named,
            id=id,
            timeout=timeout,
            join=join,
        )
    except Conflict as error:
        raise hidden_from(caller, error) from error
    return Asked(request=request, known=known)


def hidden_from(caller: Identity, error: Conflict) -> Conflict:
    """Return the error without a request this caller may not see, which a key or an id has hit."""
    if not isinstance(error.current, Request) or sees(caller, error.current):
        return error
    return Conflict("this id or key was used for another action; use a new one for a new action")


async def _is_known(at: Serving, key: str | None, id: str | None) -> bool:
    if key is not None and key.strip():
        return await at.hitl.was_asked(key)
    if id is not None:
        try:
            await at.hitl.get(id)
        except RequestNotFound:
            return False
        return True
    return False
