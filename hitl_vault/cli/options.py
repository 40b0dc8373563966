"""Owns the options that many commands share, and reading their values. Never opens anything."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hitl_vault.errors import InvalidRequest

if TYPE_CHECKING:
    from hitl_vault.core.model import Details, Status


def complete_ids(context: typer.Context, incomplete: str) -> list[str]:
    """Return ids for the shell to complete; nothing where there is no vault."""
    from hitl_vault.cli.opening import reading
    from hitl_vault.ports import Filter

    try:
        with reading(context.params.get("vault")) as opened:
            found = opened.ledger.find(Filter(id_prefix=incomplete, limit=50))
    except Exception:  # a shell that completes must never be shown an error
        return []
    return [request.id for request in found]


VaultOption = Annotated[
    str | None,
    typer.Option(
        "--vault",
        envvar="HITL_VAULT",
        metavar="FOLDER",
        help="The vault; else the nearest folder above with .hitl/.",
        show_default=False,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
SinceOption = Annotated[
    str | None,
    typer.Option("--since", metavar="WHEN", help="Such as 7d, 12h or 2026-11-21."),
]
IdArgument = Annotated[
    str,
    typer.Argument(
        metavar="ID", help="The request's id, or its beginning.", autocompletion=complete_ids
    ),
]
IdsArgument = Annotated[
    list[str],
    typer.Argument(metavar="ID", help="Ids, or their beginnings.", autocompletion=complete_ids),
]
TypeOption = Annotated[
    str, typer.Option("--type", "-t", metavar="TYPE", help="What kind of action, such as payment.")
]
DetailOption = Annotated[
    list[str] | None,
    typer.Option(
        "--detail",
        "-d",
        metavar="KEY=VALUE",
        help="One detail; repeat it. The value is JSON if it reads as JSON, else a text.",
    ),
]
DetailsOption = Annotated[
    str | None,
    typer.Option(
        "--details", metavar="JSON", help="All details: JSON, @file.json, or - for stdin."
    ),
]


def parse_since(text: str | None) -> datetime | None:
    """Return the moment `--since` names."""
    if text is None:
        return None
    from hitl_vault.core.durations import parse_duration

    try:
        return datetime.now(UTC) - timedelta(seconds=parse_duration(text))
    except ValueError:
        pass
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidRequest(f"since: {text!r} is neither such as 7d nor 2026-11-21") from error
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def parse_statuses(words: Sequence[str] | None) -> frozenset[Status] | None:
    """Return the statuses named by `--status`, several in one word allowed: `approved,failed`."""
    from hitl_vault.core.model import Status

    wanted = [part.strip().lower() for word in words or () for part in word.split(",")]
    try:
        return frozenset(Status(word) for word in wanted if word) or None
    except ValueError as error:
        known = ", ".join(Status)
        raise InvalidRequest(f"status: {error}; there are {known}") from error


def parse_details(given: str | None, single: Sequence[str] | None) -> Details:
    """Return the details of `--details` and `--detail`, the single ones winning."""
    details = {} if given is None else _parse_object(given)
    for item in single or ():
        key, equals, value = item.partition("=")
        if not equals or not key:
            raise InvalidRequest(f"detail: {item!r} must be such as amount=1500")
        details[key] = parse_value(value)
    return details


def _parse_object(given: str) -> Details:
    from hitl_vault.core.canonical import parse_json_object

    source = "details"
    if given == "-":
        source, given = "details from stdin", sys.stdin.read()
    elif given.startswith("@"):
        source = given[1:]
        try:
            given = Path(source).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidRequest(f"details: cannot read {source}: {error}") from error
    try:
        return parse_json_object(given)
    except InvalidRequest as error:
        raise InvalidRequest(f"{source}: {error}") from error


def parse_value(text: str) -> Any:
    """Return a JSON value if the text is one, else the text."""
    from hitl_vault.core.canonical import parse_json_object

    try:
        return parse_json_object(f'{{"value": {text}}}')["value"]
    except (InvalidRequest, KeyError):
        return text
