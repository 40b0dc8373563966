"""Owns `hitl code`: sending one-time codes. Never prints one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from hitl_vault.cli.options import IdArgument, JsonOption, VaultOption

if TYPE_CHECKING:
    from hitl_vault.core.model import Request

code = typer.Typer(no_args_is_help=True)


@code.callback()
def _group() -> None:
    """Send one-time codes, by which a note proves who answered."""


@code.command()
def send(
    id: IdArgument,
    to: Annotated[str, typer.Option("--to", metavar="NAME", help="The reviewer it is for.")],
    vault: VaultOption = None,
    json: JsonOption = False,
) -> None:
    """Send a reviewer a code for a request, in place of earlier ones."""
    import asyncio

    from hitl_vault import records
    from hitl_vault.cli.opening import desk, full_ids
    from hitl_vault.cli.printing import safe

    (full,) = full_ids(vault, [id])

    async def sent() -> Request:
        async with desk(vault) as hitl:
            return await hitl.send_code(full, to=to)

    request = asyncio.run(sent())
    newest = request.codes[-1]
    if json:
        shown = {"id": request.id, "reviewer": newest.reviewer, "code_id": newest.code_id}
        print(records.as_json(shown | {"expires_at": newest.expires_at.isoformat()}))
        return
    until = newest.expires_at.astimezone().strftime("%H:%M")
    print(f"{request.id}: a code goes to {safe(newest.reviewer)}; it counts until {until}")
