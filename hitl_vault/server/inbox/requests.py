"""Owns the page of one request, and what is sent from it. Never decides: the engine judges, and
what it says comes back on the page, with everything that was typed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Form, Request
from fastapi.responses import Response

from hitl_vault import records
from hitl_vault.core.access import Identity, Scope
from hitl_vault.core.canonical import changes_between, check_same_shape, parse_json_object
from hitl_vault.core.model import Answer, Change, Details, Status
from hitl_vault.core.model import Request as Asked
from hitl_vault.errors import Forbidden, HitlVaultError, InvalidRequest
from hitl_vault.server.identities import At, Person, acting_as, check_sees
from hitl_vault.server.inbox.pages import (
    INBOX,
    check_may,
    new_router,
    page,
    part,
    see_other,
    wants_part,
)
from hitl_vault.server.inbox.queue import waits_for
from hitl_vault.server.inbox.views import View, view_of
from hitl_vault.server.problems import told
from hitl_vault.server.serving import Serving

CHANNEL = "inbox"
router = new_router(f"{INBOX}/requests")
Text = Annotated[str, Form()]


@dataclass(frozen=True, slots=True, kw_only=True)
class Typed:
    """What somebody typed into the forms of a page, to be shown again with what is wrong with it.

    `seen` is the digest of what they were shown; `changes` what their details would change.
    """

    problem: str = ""
    about: str = ""
    reviewer: str = ""
    reason: str = ""
    details: str = ""
    comment: str = ""
    seen: str = ""
    changes: tuple[Change, ...] = ()


@router.get("/{id}")
async def show(request: Request, id: str, at: At, caller: Person) -> Response:
    """Show one request."""
    return await _page(request, at, caller, await _seen(at, caller, id))


@router.get("/{id}/live")
async def live(request: Request, id: str, at: At, caller: Person) -> Response:
    """Return what may change of a request, for a page that is open."""
    asked = await _seen(at, caller, id)
    view = _view(at, asked, caller)
    history = await at.hitl.history(id)
    return part(request, "_live.html", view=view, history=history, caller=caller)


@router.post("/{id}/votes")
async def vote(
    request: Request,
    id: str,
    at: At,
    caller: Person,
    answer: Annotated[Answer, Form()],
    payload_sha256: Text,
    reviewer: Text = "",
    reason: Text = "",
    details: Text = "",
    code: Text = "",
) -> Response:
    """Answer a request, and show it as it stands then, or what is wrong with the answer."""
    check_may(caller, Scope.VOTE)
    asked = await _seen(at, caller, id)
    typed = Typed(reviewer=reviewer, reason=reason, details=details, seen=payload_sha256)
    try:
        voted = await at.hitl.vote(
            id,
            answer,
            reviewer=_name(caller, reviewer),
            reason=reason,
            details=parse_json_object(details) if answer is Answer.EDIT else None,
            payload_sha256=payload_sha256,
            assurance=caller.assurance,
            channel=CHANNEL,
            code=code,
        )
    except HitlVaultError as error:
        if wants_part(request):
            return await _card_again(request, at, caller, id, typed, error)
        about = "edit" if answer is Answer.EDIT else "answer"
        return await _again(request, at, caller, asked, typed, error, about)
    if wants_part(request):
        view = _view(at, voted, caller)
        return part(request, "_card.html", view=view, caller=caller, reason="", problem="")
    return see_other(f"{INBOX}/requests/{voted.id}#standing")


def _name(caller: Identity, typed: str) -> str:
    name = acting_as(caller, typed, "your name")
    if not name.strip():
        raise InvalidRequest("put your name with the answer")
    return name


@router.get("/{id}/edit")
async def edit(request: Request, id: str, at: At, caller: Person) -> Response:
    """Show the request with the form for changes open."""
    return await _page(request, at, caller, await _seen(at, caller, id), Typed(about="edit"))


@router.get("/{id}/votes")
@router.get("/{id}/comments")
@router.get("/{id}/resolve")
async def show_again(id: str, at: At, caller: Person) -> Response:
    """Lead to the request: a page that said what was wrong had this address."""
    asked = await _seen(at, caller, id)
    return see_other(f"{INBOX}/requests/{asked.id}")


@router.post("/{id}/edit")
async def preview(
    request: Request,
    id: str,
    at: At,
    caller: Person,
    details: Text,
    payload_sha256: Text,
    reviewer: Text = "",
    reason: Text = "",
) -> Response:
    """Show what would be approved instead, before anybody approves it."""
    check_may(caller, Scope.VOTE)
    asked = await _seen(at, caller, id)
    typed = Typed(reviewer=reviewer, reason=reason, details=details, seen=payload_sha256)
    try:
        changes = _changes(asked, parse_json_object(details))
    except HitlVaultError as error:
        return await _again(request, at, caller, asked, typed, error, "edit")
    typed = Typed(
        about="edit",
        reviewer=reviewer,
        reason=reason,
        details=details,
        seen=payload_sha256,
        changes=changes,
    )
    return await _page(request, at, caller, asked, typed)


def _changes(asked: Asked, details: Details) -> tuple[Change, ...]:
    check_same_shape(asked.action.details, details)
    changes = changes_between(asked.details, details)
    if not changes:
        raise InvalidRequest("nothing is changed; approve it as it is, or change a value")
    return changes


@router.post("/{id}/comments")
async def comment(
    request: Request, id: str, at: At, caller: Person, text: Text = "", reviewer: Text = ""
) -> Response:
    """Add a remark, which decides nothing."""
    check_may(caller, Scope.VOTE)
    asked = await _seen(at, caller, id)
    try:
        await at.hitl.comment(id, text, author=_name(caller, reviewer))
    except HitlVaultError as error:
        typed = Typed(comment=text, reviewer=reviewer)
        return await _again(request, at, caller, asked, typed, error, "comment")
    return see_other(f"{INBOX}/requests/{asked.id}#comments")


@router.post("/{id}/resolve")
async def resolve(
    request: Request,
    id: str,
    at: At,
    caller: Person,
    status: Annotated[Status, Form()],
    reason: Text = "",
    reviewer: Text = "",
) -> Response:
    """Say how an execution with an unknown end really ended."""
    if not caller.may(Scope.OPERATE):
        raise Forbidden("only who operates this service may say here how it ended")
    asked = await _seen(at, caller, id)
    try:
        await at.hitl.resolve(id, status, by=_name(caller, reviewer), reason=reason)
    except HitlVaultError as error:
        typed = Typed(reviewer=reviewer, reason=reason)
        return await _again(request, at, caller, asked, typed, error, "resolve")
    return see_other(f"{INBOX}/requests/{asked.id}#standing")


async def _seen(at: Serving, caller: Identity, id: str) -> Asked:
    request = await at.hitl.get(id)
    check_sees(caller, request)
    return request


def _view(at: Serving, asked: Asked, caller: Identity) -> View:
    return view_of(asked, at.now(), caller, waits_for(at, asked), whole=True)


async def _page(
    request: Request,
    at: Serving,
    caller: Identity,
    asked: Asked,
    typed: Typed = Typed(),
    status: int = 200,
) -> Response:
    view = _view(at, asked, caller)
    details = typed.details or records.as_json(asked.details)
    return await page(
        request,
        caller,
        "request.html",
        status=status,
        view=view,
        history=await at.hitl.history(asked.id),
        typed=typed,
        details=details,
        seen=typed.seen or asked.payload_in_force,
        is_old=bool(typed.seen) and typed.seen != asked.payload_in_force,
    )


async def _again(
    request: Request,
    at: Serving,
    caller: Identity,
    asked: Asked,
    typed: Typed,
    error: HitlVaultError,
    about: str,
) -> Response:
    """Show the page with what is wrong, and with everything that was typed.

    The form then names what the page shows now: whoever sends it again has seen that.
    """
    asked = await at.hitl.get(asked.id)
    again = Typed(
        problem=told(error, "a form of the inbox"),
        about=about,
        reviewer=typed.reviewer,
        reason=typed.reason,
        details=typed.details,
        comment=typed.comment,
    )
    return await _page(request, at, caller, asked, again, error.http_status)


async def _card_again(
    request: Request, at: Serving, caller: Identity, id: str, typed: Typed, error: HitlVaultError
) -> Response:
    view = view_of(await at.hitl.get(id), at.now(), caller)
    return part(
        request,
        "_card.html",
        status=error.http_status,
        view=view,
        caller=caller,
        reason=typed.reason,
        problem=told(error, "a form of the inbox"),
    )
