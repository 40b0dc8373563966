"""Owns `hitl audit`: showing, proving and exporting the chain of events. Never changes anything."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from hitl_vault.cli import audit_checkpoint
from hitl_vault.cli.options import JsonOption, SinceOption, VaultOption, complete_ids, parse_since

if TYPE_CHECKING:
    from hitl_vault.cli.opening import Opened
    from hitl_vault.core.events import Recorded

audit = typer.Typer(help="Show, prove and export the record of who did what.", no_args_is_help=True)
_PAGE = 1_000


@audit.command()
def show(
    id: Annotated[
        str | None,
        typer.Argument(
            metavar="ID", help="Only this request's events.", autocompletion=complete_ids
        ),
    ] = None,
    since: SinceOption = None,
    limit: Annotated[
        int | None, typer.Option("--limit", "-n", min=1, metavar="N", help="Only the last so many.")
    ] = None,
    vault: VaultOption = None,
    json: JsonOption = False,
) -> None:
    """Show events in order: who did what, and when."""
    from hitl_vault.cli.opening import reading
    from hitl_vault.cli.printing import remark
    from hitl_vault.cli.reading import print_history
    from hitl_vault.records import as_json, event_record

    after = parse_since(since)
    with reading(vault) as opened:
        found = opened.ledger.history(opened.one(id).id) if id else list(_events(opened))
    if after is not None:
        found = [recorded for recorded in found if recorded.event.at >= after]
    found = found[-limit:] if limit else found
    if json:
        print(as_json([event_record(recorded) for recorded in found]))
    elif found:
        print_history(found, with_id=id is None)
    else:
        remark("no events")


def _events(opened: Opened) -> Iterator[Recorded]:
    seq = 0
    while page := opened.ledger.events_after(seq, _PAGE):
        yield from page
        seq = page[-1].seq


@audit.command()
def verify(
    against: Annotated[
        str | None,
        typer.Option(
            "--against", metavar="PLACE", help="Compare with checkpoints: a file, a URL, or -."
        ),
    ] = None,
    signed: Annotated[
        bool, typer.Option("--signed", help="Take no checkpoint that is not signed.")
    ] = False,
    signers: Annotated[
        Path | None,
        typer.Option("--signers", metavar="FILE", help="Whose; else .hitl/allowed_signers."),
    ] = None,
    vault: VaultOption = None,
    json: JsonOption = False,
) -> None:
    """Prove that no event and no request was changed.

    A ledger that was cut, made anew or replaced as a whole cannot be seen from inside: note its
    head elsewhere with `hitl audit checkpoint`, and compare --against that.
    """
    from hitl_vault.cli.audit_checkpoint import compared
    from hitl_vault.cli.opening import reading
    from hitl_vault.cli.printing import Cell, print_lines
    from hitl_vault.core.chain import Break
    from hitl_vault.errors import InvalidRequest
    from hitl_vault.records import chain_record

    if against is None and (signed or signers):
        raise InvalidRequest("verify: --signed and --signers are about checkpoints; add --against")
    with reading(vault) as opened:
        found = opened.ledger.verify()
        vault_id = opened.ledger.vault_id
        if isinstance(found, Break):
            problem = f"the chain is broken at event {found.seq}: {found.problem}"
            _broken(vault_id, found.seq, problem, found.problem, json=json)
        noted = None
        if against is not None:
            noted = compared(
                opened.ledger, against, root=opened.root, signers=signers, signed=signed
            )
            if noted.problems:
                problem = f"the ledger contradicts {len(noted.problems)} checkpoints"
                listed = "\n      ".join([problem, *noted.problems])
                _broken(vault_id, found.seq, listed, "; ".join(noted.problems), json=json)
    newest = None if noted is None else noted.newest
    if json:
        record = chain_record(found, vault_id)
        if noted is not None and newest is not None:
            record |= {"checkpoints": noted.agreeing, "newest_checkpoint": newest.seq}
        print(_as_json(record))
        return
    events = "1 event" if found.seq == 1 else f"{found.seq:,} events"
    print_lines(
        [Cell(f"✓ the chain holds: {events}", "green"), Cell(f"  head {found.hash}", "dim")]
    )
    if noted is not None and newest is not None:
        print_lines(
            [
                Cell(
                    f"✓ it agrees with {noted.agreeing} checkpoints, the newest of event "
                    f"{newest.seq:,} on {newest.at:%Y-%m-%d %H:%M} UTC",
                    "green",
                )
            ]
        )


def _as_json(record: dict[str, Any]) -> str:
    from hitl_vault.records import as_json

    return as_json(record)


def _broken(vault_id: str, seq: int, told: str, problem: str, *, json: bool) -> NoReturn:
    if json:
        print(_as_json({"ok": False, "vault": vault_id, "seq": seq, "problem": problem}))
    print(f"hitl: {told}", file=sys.stderr)
    raise typer.Exit(1)


audit.command()(audit_checkpoint.checkpoint)


@audit.command()
def export(
    ids: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="ID",
            help="Give a bundle of evidence about each of these requests.",
            autocompletion=complete_ids,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="PATH",
            help="A new file, else stdout; with IDs a new folder or .zip file, else evidence.",
        ),
    ] = None,
    redact: Annotated[
        str | None,
        typer.Option(
            "--redact", metavar="KEYS", help="Hide these details too, such as card,/customer/email."
        ),
    ] = None,
    since: SinceOption = None,
    vault: VaultOption = None,
) -> None:
    """Write events, or evidence about requests, to be checked.

    With IDs, each gets a bundle of evidence. Without, all events are written as JSON Lines: the
    first is a header. Each following line holds `seq`, `hash` and `body`, the
    exact text that was stored; the hash is SHA-256 of the previous hash, a line feed and the
    SHA-256 of the body. An event with values to hide has `body_sha256` in place of `body`.
    """
    from hitl_vault.cli.audit_export import export_bundles, export_lines
    from hitl_vault.cli.opening import reading
    from hitl_vault.core.redaction import parse_redaction
    from hitl_vault.errors import InvalidRequest

    after = parse_since(since)
    if ids and after:
        raise InvalidRequest("since: a bundle holds the whole history of a request")
    with reading(vault) as opened:
        named = redact.split(",") if redact is not None else []
        redaction = parse_redaction((*opened.settings.redact, *named))
        if ids:
            export_bundles(opened, ids, output or Path("evidence"), redaction)
            return
        if output is None:
            export_lines(opened, after, sys.stdout, redaction)
            return
        try:
            with output.open("x", encoding="utf-8", newline="\n") as file:
                number = export_lines(opened, after, file, redaction)
        except OSError as error:
            raise InvalidRequest(f"cannot write {output}: {error.strerror}") from error
    print(f"{number:,} events in {output}")
