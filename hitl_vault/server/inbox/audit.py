"""Owns the page of the record: its end, its newest events, and proving it. Never changes it."""

from __future__ import annotations

from fastapi import Request
from fastapi.responses import Response

from hitl_vault.core.access import Identity, Scope
from hitl_vault.core.chain import Break, Head
from hitl_vault.core.events import Recorded
from hitl_vault.errors import HitlVaultError
from hitl_vault.server.identities import At, Person
from hitl_vault.server.inbox.pages import check_may, new_router, page
from hitl_vault.server.problems import told
from hitl_vault.server.serving import Serving

_NEWEST = 30
router = new_router()


@router.get("/audit")
async def audit(request: Request, at: At, caller: Person) -> Response:
    """Show the end of the record."""
    check_may(caller, Scope.OPERATE)
    return await _page(request, at, caller)


@router.post("/audit")
async def verify(request: Request, at: At, caller: Person) -> Response:
    """Check the whole chain now, and say what came of it."""
    check_may(caller, Scope.OPERATE)
    try:
        found: Head | Break = await at.hitl.verify()
    except HitlVaultError as error:
        told(error, "checking the chain")  # it names files of this machine, for the log alone
        problem = "its file is damaged; the log of the service says how"
        return await _page(request, at, caller, problem=problem)
    if isinstance(found, Break):
        problem = f"the chain is broken at event {found.seq:,}: {found.problem}"
        return await _page(request, at, caller, problem=problem)
    return await _page(request, at, caller, proved=found)


async def _page(
    request: Request,
    at: Serving,
    caller: Identity,
    *,
    proved: Head | None = None,
    problem: str = "",
) -> Response:
    head = await at.hitl.head()
    newest: list[Recorded] = [
        recorded async for recorded in at.hitl.subscribe(max(0, head.seq - _NEWEST), follow=False)
    ]
    return await page(
        request,
        caller,
        "audit.html",
        head=head,
        events=newest[::-1],
        proved=proved,
        problem=problem,
        checked_at=at.now(),
    )
