"""Owns `hitl audit`: showing, proving and exporting the chain of events. Never changes anything."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

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
    from hitl_vault.cli.records import as_json, event_record

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
def verify(vault: VaultOption = None, json: JsonOption = False) -> None:
    """Prove that no event and no request was changed.

    A whole ledger put in the place of another one cannot be seen from inside: compare the head
    printed here with one you noted down earlier, elsewhere.
    """
    from hitl_vault.cli.opening import reading
    from hitl_vault.cli.printing import Cell, print_lines
    from hitl_vault.cli.records import as_json
    from hitl_vault.core.chain import Break

    with reading(vault) as opened:
        found = opened.ledger.verify()
        vault_id = opened.ledger.vault_id
    if isinstance(found, Break):
        if json:
            print(
                as_json(
                    {"ok": False, "vault": vault_id, "seq": found.seq, "problem": found.problem}
                )
            )
        print(f"hitl: the chain is broken at event {found.seq}: {found.problem}", file=sys.stderr)
        raise typer.Exit(1)
    if json:
        print(as_json({"ok": True, "vault": vault_id, "events": found.seq, "head": found.hash}))
        return
    events = "1 event" if found.seq == 1 else f"{found.seq:,} events"
    print_lines(
        [Cell(f"✓ the chain holds: {events}", "green"), Cell(f"  head {found.hash}", "dim")]
    )


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
    """Write all events, or evidence about requests, for anybody to check.

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
