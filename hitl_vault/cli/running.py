"""Owns the options of `hitl run`. Never runs anything itself: `executing` does."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hitl_vault.cli.options import (
    DetailOption,
    DetailsOption,
    TextOption,
    TypeOption,
    VaultOption,
    parse_details,
)
from hitl_vault.errors import InvalidRequest


def run(
    command: Annotated[
        list[str], typer.Argument(metavar="COMMAND", help="What to run, after two hyphens.")
    ],
    type: TypeOption,
    description: Annotated[
        str, typer.Option("--description", "-m", metavar="TEXT", help="In your own words.")
    ] = "",
    detail: DetailOption = None,
    text: TextOption = None,
    details: DetailsOption = None,
    by: Annotated[str, typer.Option("--by", metavar="NAME", help="Who asks.")] = "agent",
    key: Annotated[
        str | None,
        typer.Option("--key", metavar="KEY", help="Names the action: it runs once, ever."),
    ] = None,
    id: Annotated[
        str | None, typer.Option("--id", metavar="ID", help="Your own id, or one to go on with.")
    ] = None,
    timeout: Annotated[
        str | None,
        typer.Option("--timeout", metavar="TIME", help="Time to answer, such as 30m or 1h."),
    ] = None,
    vault: VaultOption = None,
) -> None:
    """Run a command once it is approved.

    Exits as the command does. Where the policy allows the action without asking, it runs at once
    and nothing is recorded. The reviewer sees the exact command and folder; if they change it, what
    they approved is what runs.
    """
    import asyncio

    from hitl_vault.cli.executing import ask_and_run

    if details == "-":
        raise InvalidRequest("details: stdin belongs to the command; use --details @file.json")
    wanted = parse_details(details, detail, text)
    for name in ("command", "cwd"):
        if name in wanted:
            raise InvalidRequest(f"detail: {name} is the command line's own")
    wanted = {"command": list(command), "cwd": str(Path.cwd()), **wanted}
    asked = {"requested_by": by, "key": key, "id": id, "timeout": timeout}
    description = description or f"Run {' '.join(command)}"
    code = asyncio.run(ask_and_run(vault, type, description, wanted, asked))
    raise typer.Exit(code)
