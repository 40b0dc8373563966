"""Owns `hitl watch` and `hitl archive`: the desk in the foreground. Never answers anything."""

from __future__ import annotations

from typing import Annotated

import typer

from hitl_vault.cli.options import JsonOption, VaultOption


def watch(vault: VaultOption = None, json: JsonOption = False) -> None:
    """Keep the desk open: read answers, expire, remind, archive.

    On a terminal, what waits and what happened is shown live; in a pipe, each event is one line.
    """
    import asyncio

    from hitl_vault.cli.printing import is_terminal

    if is_terminal() and not json:
        from hitl_vault.cli.live import watch_live

        asyncio.run(watch_live(vault))
    else:
        from hitl_vault.cli.lines import watch_lines

        asyncio.run(watch_lines(vault, as_json=json))


def archive(
    older_than: Annotated[
        str | None,
        typer.Option(
            "--older-than", metavar="TIME", help="Finished for so long; 0 for all that is finished."
        ),
    ] = None,
    vault: VaultOption = None,
) -> None:
    """Move notes of finished requests to the Done folder."""
    import asyncio

    from hitl_vault.cli.opening import desk
    from hitl_vault.core.durations import parse_duration
    from hitl_vault.errors import InvalidRequest

    try:
        age_s = None if older_than is None else parse_duration(older_than)
    except ValueError as error:
        raise InvalidRequest(f"older-than: {error}") from error

    async def move() -> int:
        async with desk(vault) as hitl:
            await hitl.settle_overdue()
            return await hitl.archive(age_s)

    moved = asyncio.run(move())
    print(f"{moved} {'note' if moved == 1 else 'notes'} moved")
