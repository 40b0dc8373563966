"""Owns `hitl list` and `hitl show`. Never changes anything, and loads no engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from hitl_vault.cli.options import (
    IdArgument,
    JsonOption,
    SinceOption,
    VaultOption,
    parse_since,
    parse_statuses,
)

if TYPE_CHECKING:
    from datetime import datetime

    from hitl_vault.cli.opening import Opened
    from hitl_vault.cli.printing import Cell
    from hitl_vault.core.events import Recorded
    from hitl_vault.core.model import Request

_WIDE = 120  # from this width on whole ids are shown
_URGENT_S = 300


def list_requests(
    everything: Annotated[
        bool, typer.Option("--all", "-a", help="Finished requests too, not only what waits.")
    ] = False,
    status: Annotated[
        list[str] | None,
        typer.Option("--status", "-s", metavar="STATUS", help="Only these: approved,failed."),
    ] = None,
    type: Annotated[
        str | None, typer.Option("--type", "-t", metavar="TYPE", help="Only this kind of action.")
    ] = None,
    by: Annotated[
        str | None, typer.Option("--by", metavar="NAME", help="Only what this agent asked for.")
    ] = None,
    run: Annotated[
        str | None, typer.Option("--run", metavar="RUN", help="Only what belongs to this run.")
    ] = None,
    since: SinceOption = None,
    limit: Annotated[
        int | None, typer.Option("--limit", "-n", min=1, metavar="N", help="At most so many.")
    ] = None,
    vault: VaultOption = None,
    json: JsonOption = False,
) -> None:
    """List what waits for an answer, newest first."""
    from hitl_vault.cli.opening import reading
    from hitl_vault.core.model import Status
    from hitl_vault.ports import Filter
    from hitl_vault.records import as_json, request_record, standing

    wanted = parse_statuses(status) or (None if everything else frozenset({Status.PENDING}))
    # what is overdue is expired, whether or not anybody has recorded that yet
    stored = wanted and wanted | {Status.PENDING, Status.APPROVED}
    after = parse_since(since)
    with reading(vault) as opened:
        found = [
            request
            for request in opened.ledger.find(
                Filter(statuses=stored, type=type, requested_by=by, run_id=run, since=after)
            )
            if wanted is None or standing(request) in wanted
        ][:limit]
        if json:
            print(as_json([request_record(request) for request in found]))
        else:
            _print_list(opened, found, only_waiting=wanted == frozenset({Status.PENDING}))


def _print_list(opened: Opened, found: list[Request], *, only_waiting: bool) -> None:
    from datetime import UTC, datetime

    from hitl_vault.cli.printing import Column, is_terminal, print_table, remark

    if not found:
        remark("nothing waits for an answer" if only_waiting else "no such request")
        return
    now = datetime.now(UTC)
    columns = [
        Column(name="id"),
        Column(name="status"),
        Column(name="risk", spare=True),
        Column(name="action", wide=True),
        Column(name="asked by", spare=True),
        Column(name="left" if only_waiting else "time", right=True),
    ]
    rows = [_row(opened, request, now) for request in found]
    if only_waiting and is_terminal():
        del columns[1]
        for row in rows:
            del row[1]
    print_table(columns, rows)


def _row(opened: Opened, request: Request, now: datetime) -> list[Cell]:
    from hitl_vault.cli.printing import Cell, risk_cell, safe, status_cell
    from hitl_vault.document.sentences import headline, time_left
    from hitl_vault.records import standing

    left = time_left(request, now)
    urgent = request.status == "pending" and (request.expires_at - now).total_seconds() < _URGENT_S
    return [
        _id_cell(opened, request.id),
        status_cell(standing(request, now)),
        risk_cell(request.verdict.risk),
        Cell(headline(request)),
        Cell(safe(request.action.requested_by, limit=24)),
        Cell(left, "bold red" if urgent else ""),
    ]


def _id_cell(opened: Opened, id: str) -> Cell:
    from hitl_vault.cli.printing import Cell, console, is_terminal

    if not is_terminal():
        return Cell(id)
    short = opened.short(id)
    if console().width >= _WIDE:
        return Cell(short, "bold", id[len(short) :])
    return Cell(short, "bold", "…" if short != id else "")


def show(id: IdArgument, vault: VaultOption = None, json: JsonOption = False) -> None:
    """Show one request and its history.

    What would run, why it is asked, who has answered and who still may, how it ended, and each
    event with its hash.
    """
    from datetime import UTC, datetime

    from hitl_vault.cli.opening import reading
    from hitl_vault.cli.tallying import load_people, tally_fields, tally_record
    from hitl_vault.records import as_json, event_record, request_record

    with reading(vault) as opened:
        request = opened.one(id)
        history = opened.ledger.history(request.id)
        note = opened.note(request.id)
        people, now = load_people(opened.root), datetime.now(UTC)
        if not json:
            tally = tally_fields(request, people, now)
            _print_request(request, history, "" if note is None else str(note), tally)
            return
        record = request_record(request)
        record["tally"] = tally_record(request, people, now)
        record["note"] = None if note is None else str(note)
        record["history"] = [event_record(recorded) for recorded in history]
        print(as_json(record))


def _print_request(
    request: Request, history: list[Recorded], note: str, tally: list[tuple[str, Cell]]
) -> None:
    from datetime import UTC, datetime

    from hitl_vault.cli.printing import Cell, heading, print_fields, print_lines, safe, status_cell
    from hitl_vault.document.sentences import decision_line, headline, vote_line
    from hitl_vault.records import as_json, standing

    now = datetime.now(UTC)
    status = standing(request, now)
    print_lines([Cell(request.id, "dim"), Cell(headline(request), "bold")])
    print()
    fields = [("status", Cell(decision_line(request, status), status_cell(status).style))]
    fields += [*asked_fields(request, now), *tally]
    fields += [("vote", Cell(vote_line(vote))) for vote in request.votes]
    fields += [
        ("remark", Cell(f"{safe(comment.author)}: {safe(comment.text)}"))
        for comment in request.comments
    ]
    print_fields([*fields, ("note", Cell(safe(note) or "none in the vault"))])
    heading("What would run" if request.claim is None else "What runs, or ran")
    print_lines([Cell(as_json(request.details))])
    if request.edited is not None:
        heading(f"Changed by {safe(request.edited.by)}")
        print_lines(
            [
                Cell(f"{safe(change.path)}  {safe(change.before)} → {safe(change.after)}")
                for change in request.edited.changes
            ]
        )
    if request.action.description:
        heading("The agent says")
        print_lines([Cell(f"> {safe(line)}") for line in request.action.description.splitlines()])
    if request.outcome is not None and request.outcome.result is not None:
        heading("Result")
        print_lines([Cell(as_json(request.outcome.result))])
    heading("History")
    print_history(history)


def asked_fields(request: Request, now: datetime) -> list[tuple[str, Cell]]:
    """Return the fields that say who asks what is needed, and why."""
    from hitl_vault.cli.printing import Cell, risk_cell, safe, stamp
    from hitl_vault.document.sentences import needed, time_left

    verdict, action = request.verdict, request.action
    waiting = request.status == "pending"
    left = time_left(request, now)
    optional = [("agent", action.agent), ("run", action.run_id), ("key", request.key or "")]
    return [
        ("risk", risk_cell(verdict.risk)),
        ("why", Cell("; ".join(safe(reason) for reason in verdict.reasons))),
        ("rule", Cell(", ".join(safe(rule) for rule in verdict.rules) or "the default")),
        ("needed", Cell(needed(verdict.requirement))),
        ("asked by", Cell(safe(action.requested_by), tail=f"  {stamp(request.created_at)}")),
        *((name, Cell(safe(value))) for name, value in optional if value),
        ("answer by", Cell(stamp(request.expires_at), tail=f"  {left}" if waiting else "")),
    ]


def print_history(history: list[Recorded], *, with_id: bool = False) -> None:
    """Print events, one a row."""
    from hitl_vault.cli.printing import Cell, Column, print_table, stamp
    from hitl_vault.document.sentences import subject, what, who

    columns = [Column(name="seq", right=True), Column(name="time (UTC)", spare=True)]
    columns += [Column(name="request")] if with_id else []
    columns += [Column(name="who"), Column(name="what", wide=True)]
    columns += [Column(name="hash", spare=True)]
    rows = []
    for recorded in history:
        event = recorded.event
        row = [Cell(str(recorded.seq), "dim"), Cell(stamp(event.at).removesuffix(" UTC"))]
        row += [Cell(subject(event))] if with_id else []
        row += [Cell(who(event)), Cell(what(event)), Cell(recorded.hash[:8], "dim")]
        rows.append(row)
    print_table(columns, rows)
