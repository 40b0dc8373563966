"""Owns `hitl token`: who may call the service. Never shows a token but once, to who made it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hitl_vault.cli.options import JsonOption, VaultOption, end_after
from hitl_vault.errors import InvalidRequest

if TYPE_CHECKING:
    from hitl_vault.adapters.access.tokens import AccessTokens
    from hitl_vault.core.access import Token

token = typer.Typer(help="Tokens for agents and people who use the service.", no_args_is_help=True)


@token.command()
def create(
    agent: Annotated[
        str | None, typer.Option("--agent", metavar="NAME", help="For an agent: it may ask.")
    ] = None,
    reviewer: Annotated[
        str | None,
        typer.Option("--reviewer", metavar="NAME", help="For a person: they may look and answer."),
    ] = None,
    scope: Annotated[
        list[str] | None,
        typer.Option("--scope", metavar="SCOPE", help="ask, read, vote or operate; repeatable."),
    ] = None,
    lasting: Annotated[
        str, typer.Option("--for", metavar="TIME", help="How long it counts, such as 30d.")
    ] = "90d",
    vault: VaultOption = None,
    json: JsonOption = False,
) -> None:
    """Make a token for an agent or a person. It is shown this once."""
    from hitl_vault.cli.printing import remark
    from hitl_vault.core.access import Caller, Scope
    from hitl_vault.engine.checks import name_of, word_of
    from hitl_vault.records import as_json

    if (agent is None) == (reviewer is None):
        raise InvalidRequest("say whose it is: --agent NAME or --reviewer NAME")
    caller = Caller.AGENT if agent is not None else Caller.REVIEWER
    now = datetime.now(UTC)
    made, text = _tokens(vault).create(
        caller,
        name_of(agent if agent is not None else reviewer, caller.value),
        now,
        scopes=[word_of(word, Scope, "scope") for word in scope or []],
        until=end_after(lasting, now),
    )
    if json:
        print(as_json(_record(made, now) | {"token": text}))
        return
    remark(f"this is shown once; whoever holds it calls as {made.name}:")
    print(text)


@token.command("list")
def list_tokens(vault: VaultOption = None, json: JsonOption = False) -> None:
    """List whose tokens count, for what, and how long."""
    from hitl_vault.cli.printing import Cell, Column, print_table, safe
    from hitl_vault.records import as_json

    now = datetime.now(UTC)
    found = [_record(one, now) for one in _tokens(vault).load().values()]
    if json:
        print(as_json(found))
        return
    names = ["id", "for", "name", "scopes", "counts"]
    rows = [
        [Cell(safe(str(one[key]))) for key in ("id", "caller", "name", "scopes", "counts")]
        for one in found
    ]
    print_table([Column(name=name) for name in names], rows)


@token.command()
def revoke(
    id: Annotated[str, typer.Argument(metavar="ID", help="The token's id, see hitl token list.")],
    vault: VaultOption = None,
) -> None:
    """End a token now."""
    from hitl_vault.cli.printing import safe

    revoked = _tokens(vault).revoke(id, datetime.now(UTC))
    print(f"{safe(revoked.token_id)} ({safe(revoked.name)}) no longer counts")


def _tokens(vault: str | None) -> AccessTokens:
    from hitl_vault.adapters.access.tokens import FILE, AccessTokens
    from hitl_vault.config import STATE_FOLDER, find_vault

    return AccessTokens(find_vault(Path.cwd(), vault) / STATE_FOLDER / "keys" / FILE)


def _record(one: Token, now: datetime) -> dict[str, Any]:
    counts = "always" if one.ends_at is None else f"until {one.ends_at.isoformat(' ', 'minutes')}"
    if one.ends_at is not None and now >= one.ends_at:
        counts = f"no: ended {one.ends_at.isoformat(' ', 'minutes')}"
    return {
        "id": one.token_id,
        "caller": one.caller.value,
        "name": one.name,
        "scopes": " ".join(sorted(one.scopes)),
        "counts": counts,
    }
