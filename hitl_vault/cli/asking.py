"""Owns `hitl request` and `hitl wait`. Never answers, and never runs anything."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from hitl_vault.cli.options import (
    DetailOption,
    DetailsOption,
    IdArgument,
    JsonOption,
    TextOption,
    TypeOption,
    VaultOption,
    parse_details,
)

if TYPE_CHECKING:
    from hitl_vault.core.model import Request
    from hitl_vault.wiring import Orchestrator


def request(
    type: TypeOption,
    description: Annotated[
        str, typer.Option("--description", "-m", metavar="TEXT", help="In the agent's own words.")
    ] = "",
    detail: DetailOption = None,
    text: TextOption = None,
    details: DetailsOption = None,
    by: Annotated[str, typer.Option("--by", metavar="NAME", help="Who asks.")] = "agent",
    agent: Annotated[
        str, typer.Option("--agent", metavar="NAME", help="Which agent acts for them.")
    ] = "",
    run: Annotated[str, typer.Option("--run", metavar="RUN", help="Which run it belongs to.")] = "",
    key: Annotated[
        str | None,
        typer.Option("--key", metavar="KEY", help="Names the action: asking again asks once."),
    ] = None,
    id: Annotated[str | None, typer.Option("--id", metavar="ID", help="Your own id.")] = None,
    timeout: Annotated[
        str | None,
        typer.Option("--timeout", metavar="TIME", help="Time to answer, such as 30m or 1h."),
    ] = None,
    join: Annotated[
        bool,
        typer.Option("--join", help="If the identical request waits, be one with it: a repeat."),
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait", "-w", help="Wait for the decision, and exit by it.")
    ] = False,
    vault: VaultOption = None,
    json: JsonOption = False,
) -> None:
    """Ask for approval of an action.

    Prints the request's id, and on the next line where its note lies, if it can be written.
    """
    import asyncio

    from hitl_vault.cli.opening import desk

    wanted = parse_details(details, detail, text)

    async def ask() -> None:
        async with desk(vault, watching=wait) as hitl:
            asked = await hitl.request_approval(
                type,
                description,
                wanted,
                requested_by=by,
                agent=agent,
                run_id=run,
                key=key,
                id=id,
                timeout=timeout,
                join=join,
            )
            note = await hitl.document_path(asked.id)
            if not (json and wait):
                _print_asked(asked, note, as_json=json)
            if wait:
                await _wait(hitl, asked.id, None, as_json=json)

    asyncio.run(ask())


def _print_asked(asked: Request, note: str | None, *, as_json: bool) -> None:
    from hitl_vault import records
    from hitl_vault.cli.printing import is_terminal, remark, safe
    from hitl_vault.document.sentences import unwritten

    if as_json:
        print(records.as_json(records.request_record(asked) | {"note": note}))
        return
    print(asked.id)
    if note:
        print(safe(note), flush=True)
    elif asked.status == "pending":
        remark(unwritten(asked.id))
    if any(vote.channel == "grant" for vote in asked.votes):
        remark(f"{records.standing(asked)} {safe(asked.reason)}")
    elif asked.rev - len(asked.codes) > 1:  # a code may be sent while it is asked
        remark(f"it was asked before, and is {records.standing(asked)}")
    elif note and is_terminal():
        remark(f"asked; answer in the note, or with: hitl review {asked.id}")


def wait(
    id: IdArgument,
    timeout: Annotated[
        str | None,
        typer.Option("--timeout", metavar="TIME", help="How long to wait; exit 6 afterwards."),
    ] = None,
    vault: VaultOption = None,
    json: JsonOption = False,
) -> None:
    """Wait for the decision, and exit by it.

    0 if it is approved, 3 rejected, 4 expired, 5 cancelled. Answers in notes are read meanwhile, so
    that no `hitl watch` is needed.
    """
    import asyncio

    from hitl_vault.cli.opening import desk, full_ids

    (full,) = full_ids(vault, [id])

    async def wait_here() -> None:
        async with desk(vault, watching=True) as hitl:
            await _wait(hitl, full, timeout, as_json=json)

    asyncio.run(wait_here())


async def _wait(hitl: Orchestrator, id: str, timeout: str | None, *, as_json: bool) -> None:
    import asyncio

    from hitl_vault import records
    from hitl_vault.cli.printing import remark
    from hitl_vault.cli.progress import waiting
    from hitl_vault.document.sentences import decision_line

    try:
        async with waiting(await hitl.get(id)):
            decided = await hitl.wait_for_approval(id, timeout)
    except asyncio.CancelledError:
        remark(f"stopped waiting; {id} still waits for its answer")
        remark(f"go on with: hitl wait {id}; withdraw with: hitl cancel {id}")
        raise
    if as_json:
        print(records.as_json(records.request_record(decided)))
    else:
        print(f"{decided.id} {decision_line(decided)}")
