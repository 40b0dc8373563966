"""Owns `hitl grant`: standing grants made, listed, shown and taken back. Never uses one."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hitl_vault.cli.answering import AsOption, ReasonOption
from hitl_vault.cli.options import (
    JsonOption,
    TypeOption,
    VaultOption,
    parse_bounds,
    parse_terms,
)

if TYPE_CHECKING:
    from hitl_vault.core.register import Bound, Grant

grant = typer.Typer(
    help="Approve beforehand what an agent may do, within bounds.",
    no_args_is_help=True,
)

UsesOption = Annotated[
    int | None, typer.Option("--uses", metavar="N", min=1, help="How often.", show_default=False)
]
UntilOption = Annotated[
    str | None,
    typer.Option(
        "--until",
        metavar="WHEN",
        help="Until when: 3d, or the end of a day such as friday or 2026-12-01.",
        show_default=False,
    ),
]
AtMostOption = Annotated[
    list[str] | None,
    typer.Option("--at-most", metavar="KEY=NUMBER", help="This value from 0 to a number."),
]
AnyOption = Annotated[
    list[str] | None,
    typer.Option("--any", metavar="KEY", help="This value whatever it is, if it is only one."),
]
GrantArgument = Annotated[
    str, typer.Argument(metavar="GRANT", help="The grant's id, or its beginning.")
]


@grant.command()
def add(
    type: TypeOption,
    agent: Annotated[str, typer.Option("--agent", metavar="NAME", help="Who may ask for it.")],
    uses: UsesOption = None,
    until: UntilOption = None,
    equals: Annotated[
        list[str] | None,
        typer.Option("--equals", metavar="KEY=VALUE", help="This value exactly; repeat it."),
    ] = None,
    at_most: AtMostOption = None,
    anything: AnyOption = None,
    reason: ReasonOption = "",
    name: AsOption = None,
    vault: VaultOption = None,
    json: JsonOption = False,
) -> None:
    """Make a grant. Every value of the details needs a bound: --equals, --at-most or --any."""
    import asyncio

    from hitl_vault.cli.answering import answering_as
    from hitl_vault.cli.opening import desk
    from hitl_vault.cli.printing import remark

    count, end = parse_terms(uses, until)
    bounds = _bounds(equals, at_most, anything)
    who = answering_as(name)

    async def make() -> None:
        async with desk(vault) as hitl:
            made = await hitl.make_grant(
                type=type,
                requested_by=agent,
                bounds=bounds,
                uses=count,
                until=end,
                by=who["reviewer"],
                assurance=who["assurance"],
                reason=reason,
            )
            _print_one(made, as_json=json)
            doubt = hitl.doubt_of(made)
            if doubt:
                remark(f"as it stands it answers nothing: {doubt}")
            elif narrower := hitl.narrowed_to(made):
                remark(f"the rule in force lets less of it count: {narrower}")

    asyncio.run(make())


def _bounds(
    equals: list[str] | None, at_most: list[str] | None, anything: list[str] | None
) -> list[Bound]:
    from hitl_vault.core import grants
    from hitl_vault.core.register import Bound

    return [
        *(grants.same(name, value) for name, value in parse_bounds(equals, "equals").items()),
        *(
            Bound(path=grants.pointer_to(name), at_most=value)
            for name, value in parse_bounds(at_most, "at-most").items()
        ),
        *(Bound(path=grants.pointer_to(name), anything=True) for name in anything or ()),
    ]


@grant.command("list")
def list_grants(
    everything: Annotated[
        bool, typer.Option("--all", "-a", help="Those that have ended too.")
    ] = False,
    vault: VaultOption = None,
    json: JsonOption = False,
) -> None:
    """List the grants that can be used, the one that ends first on top."""
    from hitl_vault.cli.opening import reading
    from hitl_vault.cli.printing import Cell, Column, print_table, remark, safe, stamp
    from hitl_vault.core.registering import is_in_force
    from hitl_vault.records import as_json, grant_record

    now = datetime.now(UTC)
    with reading(vault) as opened:
        known = opened.ledger.register().grants
    found = sorted(
        (one for one in known if everything or is_in_force(one, now)),
        key=lambda one: one.expires_at,
    )
    if json:
        print(as_json([grant_record(one, now) for one in found]))
        return
    if not found:
        remark("no grant has been made" if everything else "no grant can be used now")
        return
    columns = [
        Column(name="grant"),
        Column(name="action", wide=True),
        Column(name="for"),
        Column(name="left", right=True),
        Column(name="until", spare=True),
        Column(name="by", spare=True),
    ]
    print_table(
        columns,
        [
            [
                Cell(one.grant_id, "bold" if is_in_force(one, now) else "dim"),
                Cell(_within(one)),
                Cell(safe(one.requested_by, limit=24)),
                Cell(_left(one, now)),
                Cell(stamp(one.expires_at)),
                Cell(safe(one.by, limit=24)),
            ]
            for one in found
        ],
    )


def _within(one: Grant) -> str:
    from hitl_vault.cli.printing import safe

    parts = ", ".join(bound_line(bound) for bound in one.bounds)
    return safe(f"{one.type} ({parts})" if parts else f"{one.type} (no details)", limit=300)


def bound_line(bound: Bound) -> str:
    """Return a bound in words."""
    from hitl_vault.cli.printing import safe

    name = safe(bound.path[1:], limit=80)
    if bound.equals is not None:
        return f"{name} = {safe(bound.equals, limit=80)}"
    return f"{name} ≤ {bound.at_most:g}" if bound.at_most is not None else f"{name} any"


def _left(one: Grant, now: datetime) -> str:
    if one.revoked_at is not None:
        return "revoked"
    if now >= one.expires_at:
        return "over"
    return f"{one.uses - len(one.used_for)} of {one.uses}"


@grant.command()
def show(id: GrantArgument, vault: VaultOption = None, json: JsonOption = False) -> None:
    """Show one grant, and what it was used for."""
    from hitl_vault.cli.opening import reading
    from hitl_vault.cli.printing import Cell, heading, print_lines, safe, status_cell
    from hitl_vault.records import standing

    with reading(vault) as opened:
        one = opened.grant(id)
        used = [(name, opened.ledger.get(name)) for name in one.used_for]
    _print_one(one, as_json=json)
    if json or not used:
        return
    heading("Used for")
    for name, request in used:
        status = "not here" if request is None else standing(request)
        print_lines([Cell(safe(name), "", f"  {status_cell(status).text}")])


@grant.command()
def revoke(
    id: GrantArgument,
    reason: ReasonOption = "",
    vault: VaultOption = None,
    json: JsonOption = False,
) -> None:
    """Take a grant back. What it approved stays approved; cancel that with hitl cancel."""
    import asyncio

    from hitl_vault.cli.opening import desk, reading
    from hitl_vault.wiring import os_user

    with reading(vault) as opened:
        full = opened.grant(id).grant_id

    async def take_back() -> Grant:
        async with desk(vault) as hitl:
            return await hitl.revoke_grant(full, by=os_user(), reason=reason)

    _print_one(asyncio.run(take_back()), as_json=json)


def _print_one(one: Grant, *, as_json: bool) -> None:
    from hitl_vault import records
    from hitl_vault.cli.printing import print_fields

    if as_json:
        print(records.as_json(records.grant_record(one, datetime.now(UTC))))
        return
    print_fields(_fields(one))


def _fields(one: Grant) -> list[tuple[str, Any]]:
    from hitl_vault.cli.printing import Cell, safe, stamp

    revoked = f"{safe(one.revoked_by)}, {stamp(one.revoked_at)}" if one.revoked_at else ""
    optional = [("why", one.reason), ("made of", one.from_request)]
    return [
        ("grant", Cell(one.grant_id, "bold")),
        ("action", Cell(safe(one.type))),
        ("for", Cell(safe(one.requested_by))),
        *(("bound", Cell(bound_line(bound))) for bound in one.bounds),
        ("left", Cell(_left(one, datetime.now(UTC)))),
        ("until", Cell(stamp(one.expires_at))),
        ("by", Cell(f"{safe(one.by)} ({one.assurance})", "", f"  {stamp(one.made_at)}")),
        *((name, Cell(safe(text))) for name, text in optional if text),
        *([("revoked by", Cell(revoked, "red"))] if revoked else []),
    ]
