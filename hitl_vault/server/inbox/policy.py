"""Owns the page of the policy: its rules, and what they say of an action. Never changes them."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Form, Request
from fastapi.responses import Response

from hitl_vault.core.access import Identity, Scope
from hitl_vault.core.canonical import parse_json_object
from hitl_vault.document.sentences import groups
from hitl_vault.engine.checks import action_of
from hitl_vault.errors import HitlVaultError
from hitl_vault.server.identities import At, Person
from hitl_vault.server.inbox.pages import check_may, new_router, page
from hitl_vault.server.problems import told
from hitl_vault.server.serving import Serving

_EXAMPLE = '{\n  "amount": 1500,\n  "to": "vendor@example.com"\n}'
router = new_router()
Text = Annotated[str, Form()]


@router.get("/policy")
async def policy(request: Request, at: At, caller: Person) -> Response:
    """Show the rules in force."""
    check_may(caller, Scope.READ)
    asked = {"type": "payment", "details": _EXAMPLE, "requested_by": "agent"}
    return await _page(request, at, caller, asked)


@router.post("/policy")
async def explain(
    request: Request,
    at: At,
    caller: Person,
    type: Text,
    details: Text = "{}",
    requested_by: Text = "agent",
) -> Response:
    """Show what the policy makes of an action, and why; nothing is asked or recorded."""
    check_may(caller, Scope.READ)
    asked = {"type": type, "details": details, "requested_by": requested_by}
    try:
        action = action_of(type, "", parse_json_object(details), requested_by, "", "")
    except HitlVaultError as error:
        return await _page(request, at, caller, asked, problem=told(error, "explaining the policy"))
    verdict = at.hitl.evaluate(action.type, action.details, requested_by=action.requested_by)
    findings = at.hitl.policies.current.explain(action, at.now())
    return await _page(request, at, caller, asked, verdict=verdict, findings=findings)


async def _page(
    request: Request, at: Serving, caller: Identity, asked: dict[str, str], **found: Any
) -> Response:
    policies = at.hitl.policies
    policies.reload()
    shown = {"verdict": None, "findings": (), "problem": ""} | found
    verdict = shown["verdict"]
    return await page(
        request,
        caller,
        "policy.html",
        status=422 if shown["problem"] else 200,
        asked=asked,
        policy=policies.current,
        cannot=str(policies.problem or ""),
        needed=groups(verdict.requirement) if verdict is not None else "",
        **shown,
    )
