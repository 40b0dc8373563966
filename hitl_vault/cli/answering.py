"""Owns `approve`, `reject`, `cancel`, `comment` and `resolve`. Never says more of who answered than
the system proves: an OS user is authenticated, a typed name is not.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hitl_vault.cli.options import (
    DetailsOption,
    IdArgument,
    IdsArgument,
    JsonOption,
    VaultOption,
    parse_details,
)
from hitl_vault.cli.signing import CodeOption, Proof, SignOption, TotpOption
from hitl_vault.errors import HitlVaultError, InvalidRequest

if TYPE_CHECKING:
    from hitl_vault.core.model import Details, Request
    from hitl_vault.core.register import Grant
    from hitl_vault.wiring import Orchestrator

ReasonOption = Annotated[str, typer.Option("--reason", "-m", metavar="TEXT", help="Why.")]
AsOption = Annotated[
    str | None,
    typer.Option(
        "--as",
        metavar="NAME",
        help="Answer in this name; if it is not your own user name, that alone proves nothing.",
        show_default=False,
    ),
]
MIN_DIGITS = 8
Answering = Callable[["Orchestrator", str], Awaitable["Request"]]


def approve(
    ids: IdsArgument,
    reason: ReasonOption = "",
    details: DetailsOption = None,
    change: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Approve with this value changed."),
    ] = None,
    payload: Annotated[
        str | None,
        typer.Option(
            "--payload",
            metavar="DIGEST",
            help="Approve only these details: the front of the digest you were shown.",
            show_default=False,
        ),
    ] = None,
    grant: Annotated[
        bool,
        typer.Option("--grant", help="Approve the same beforehand too: with --uses and --until."),
    ] = False,
    uses: Annotated[
        int | None, typer.Option("--uses", metavar="N", min=1, help="Of the grant: how often.")
    ] = None,
    until: Annotated[
        str | None,
        typer.Option("--until", metavar="WHEN", help="Of the grant: 3d, friday or 2026-12-01."),
    ] = None,
    at_most: Annotated[
        list[str] | None,
        typer.Option("--at-most", metavar="KEY=NUMBER", help="Of the grant: a value up to this."),
    ] = None,
    anything: Annotated[
        list[str] | None,
        typer.Option("--any", metavar="KEY", help="Of the grant: a value whatever it is."),
    ] = None,
    name: AsOption = None,
    sign: SignOption = None,
    code: CodeOption = None,
    totp: TotpOption = None,
    vault: VaultOption = None,
    json: JsonOption = False,
) -> None:
    """Approve requests, as the user you are, or by a proof."""
    from hitl_vault.core.model import Answer

    proof = Proof(sign, code, totp)
    who = answering_as(name, proved=proof.is_given)
    wide = _grant_terms(grant, uses, until, at_most, anything)
    made: dict[str, Grant] = {}

    async def answer(hitl: Orchestrator, id: str) -> Request:
        edited = None
        request = await hitl.get(id)
        if details is not None or change:
            edited = with_changes(request.details, details, change or [])
        seen = _what_was_seen(request, payload)
        said = Answer.APPROVE if edited is None else Answer.EDIT
        if wide is not None:  # nothing is approved in the belief that it is granted too
            hitl.check_grant_like(request, details=edited, **wide)
        given = {"reason": reason, "details": edited, "payload_sha256": seen}
        now = await proof.vote(hitl, id, said, given, who)
        if wide is not None:
            by, sure = who["reviewer"], who["assurance"]
            made[id] = await hitl.grant_like(id, by=by, assurance=sure, reason=reason, **wide)
        return now

    answer_all(ids, answer, vault, as_json=json, made=made)


def _grant_terms(
    grant: bool,
    uses: int | None,
    until: str | None,
    at_most: list[str] | None,
    anything: list[str] | None,
) -> dict[str, Any] | None:
    """Return how far a grant goes as the engine takes it, None where none is wanted."""
    if not grant:
        if uses or until or at_most or anything:
            raise InvalidRequest("--uses, --until, --at-most and --any belong to --grant")
        return None
    from hitl_vault.cli.options import parse_bounds, parse_terms

    count, end = parse_terms(uses, until)
    most = parse_bounds(at_most, "at-most")
    return {"uses": count, "until": end, "at_most": most, "anything": anything or ()}


def reject(
    ids: IdsArgument,
    reason: ReasonOption = "",
    name: AsOption = None,
    sign: SignOption = None,
    code: CodeOption = None,
    totp: TotpOption = None,
    vault: VaultOption = None,
    json: JsonOption = False,
) -> None:
    """Reject requests, as the user you are, or by a proof."""
    from hitl_vault.core.model import Answer

    proof = Proof(sign, code, totp)
    who = answering_as(name, proved=proof.is_given)
    answer_all(
        ids,
        lambda hitl, full: proof.vote(hitl, full, Answer.REJECT, {"reason": reason}, who),
        vault,
        as_json=json,
    )


def _what_was_seen(request: Request, payload: str | None) -> str:
    """Return the digest a vote is for. Details another reviewer changed must be named."""
    from hitl_vault.cli.printing import safe
    from hitl_vault.errors import Conflict, InvalidRequest

    digest = request.payload_in_force
    if payload is not None and (len(payload) < MIN_DIGITS or not digest.startswith(payload)):
        raise Conflict(f"{request.id} is about {digest[:12]}…, not {safe(payload[:64])}", request)
    if payload is None and request.edited is not None:
        changes = ", ".join(
            f"{safe(ch.path)} {safe(ch.before)} → {safe(ch.after)}" for ch in request.edited.changes
        )
        raise InvalidRequest(
            f"{safe(request.edited.by)} changed {changes}; to approve that, add "
            f"--payload {digest[:12]}"
        )
    return digest


def cancel(
    ids: IdsArgument,
    reason: ReasonOption = "",
    vault: VaultOption = None,
    json: JsonOption = False,
) -> None:
    """Withdraw requests that do not run yet."""
    by = _user()
    answer_all(ids, lambda hitl, full: hitl.cancel(full, by=by, reason=reason), vault, as_json=json)


def comment(
    id: IdArgument,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="The remark.")],
    vault: VaultOption = None,
    json: JsonOption = False,
) -> None:
    """Add a remark to a request; it decides nothing."""
    author = _user()
    answer_all(
        [id], lambda hitl, full: hitl.comment(full, text, author=author), vault, as_json=json
    )


def resolve(
    id: IdArgument,
    outcome: Annotated[
        str, typer.Argument(metavar="executed|failed", help="How the execution really ended.")
    ],
    reason: ReasonOption = "",
    vault: VaultOption = None,
    json: JsonOption = False,
) -> None:
    """Say how an execution with an unknown end really ended."""
    from hitl_vault.core.model import Status

    if outcome not in {"executed", "failed"}:
        raise InvalidRequest(f"an execution ended executed or failed, not {outcome!r}")
    by, status = _user(), Status(outcome)
    answer_all(
        [id],
        lambda hitl, full: hitl.resolve(full, status, by=by, reason=reason),
        vault,
        as_json=json,
    )


def _user() -> str:
    from hitl_vault.wiring import os_user

    return os_user()


def answering_as(name: str | None, *, proved: bool = False) -> dict[str, Any]:
    """Return who answers and how sure that is, as the engine takes it; say so if it is not.

    With `proved`, a proof of its own shows who answers.
    """
    from hitl_vault.cli.printing import remark, safe
    from hitl_vault.core.model import Assurance

    user = _user()
    if name is None or name == user:
        return {"reviewer": user, "assurance": Assurance.AUTHENTICATED, "channel": "cli"}
    if proved:
        return {"reviewer": name, "channel": "cli"}
    remark(f"you are {user}; a typed name proves nothing, so it counts as edited: {safe(name)}")
    return {"reviewer": name, "assurance": Assurance.EDITED, "channel": "cli"}


def with_changes(details: Details, whole: str | None, changes: list[str]) -> Details:
    """Return the details with `--details` and `--set` applied; `a.b=1` reaches inside objects."""
    from hitl_vault.cli.options import QUOTED, parse_value

    new = dict(details) if whole is None else parse_details(whole, None)
    seen: set[str] = set()
    for item in changes:
        path, equals, text = item.partition("=")
        if not equals:
            raise InvalidRequest(f"set: {item!r} must be such as amount=1200")
        if path in seen:
            raise InvalidRequest(f"set: {path!r} is given twice")
        seen.add(path)
        first, _, rest = path.partition(".")
        if path in new or not rest:
            new[path] = text if isinstance(new.get(path), str) else parse_value(text, path, QUOTED)
        elif isinstance(new.get(first), dict):
            new[first] = with_changes(new[first], None, [f"{rest}={text}"])
        else:
            raise InvalidRequest(f"set: there is no {path!r} in the details")
    return new


def answer_all(
    ids: list[str],
    answer: Answering,
    vault: str | None,
    *,
    as_json: bool,
    made: Mapping[str, Grant] | None = None,
) -> None:
    """Do it to each request in turn; what fails does not stop the others."""
    import asyncio

    from hitl_vault import records
    from hitl_vault.cli.exits import report
    from hitl_vault.cli.opening import desk, found_ids

    found = found_ids(vault, ids)
    answered: list[dict[str, Any]] = []

    async def each() -> int:
        code = 0
        async with desk(vault) as hitl:
            for given, full in zip(ids, found, strict=True):
                id = given if isinstance(full, HitlVaultError) else full
                try:
                    if isinstance(full, HitlVaultError):
                        raise full
                    request = await answer(hitl, full)
                except HitlVaultError as error:
                    if len(ids) == 1:
                        raise
                    failed = report(error, as_json=False, about=id)
                    code = code or failed
                    answered.append(
                        {"id": id, "error": {"code": error.code, "message": str(error)}}
                    )
                    continue
                record, grant = records.request_record(request), (made or {}).get(id)
                if grant is not None:
                    record["grant"] = records.grant_record(grant, datetime.now(UTC))
                answered.append(record)
                if not as_json:
                    _say(request, grant)
        return code

    code = asyncio.run(each())
    if as_json:
        print(records.as_json(answered))
    if code:
        raise typer.Exit(code)


def _say(request: Request, grant: Grant | None) -> None:
    from hitl_vault.cli.printing import stamp
    from hitl_vault.document.sentences import decision_line
    from hitl_vault.records import standing

    print(f"{request.id} {decision_line(request, standing(request))}", flush=True)
    if grant is not None:
        print(f"{grant.grant_id} {grant.uses} more, until {stamp(grant.expires_at)}", flush=True)
