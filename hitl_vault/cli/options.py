"""Owns the options that many commands share, and reading their values. Never opens anything."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hitl_vault.errors import InvalidRequest

if TYPE_CHECKING:
    from hitl_vault.core.model import Details, Status


QUOTED = "for a text put it in double quotes: '\"…\"'"


def complete_ids(context: typer.Context, incomplete: str) -> list[str]:
    """Return ids for the shell to complete; nothing where there is no vault."""
    from hitl_vault.cli.opening import reading
    from hitl_vault.ports import Filter

    try:
        with reading(context.params.get("vault"), warn=False) as opened:
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
        help="One detail; repeat it. JSON if it reads as JSON (1500, true, [1]), else a text.",
    ),
]
TextOption = Annotated[
    list[str] | None,
    typer.Option(
        "--text",
        metavar="KEY=VALUE",
        help="One detail that is a text, whatever it looks like (0500, true).",
    ),
]
DetailsOption = Annotated[
    str | None,
    typer.Option(
        "--details", metavar="JSON", help="All details: JSON, @file.json, or - for stdin."
    ),
]
_NUMBER = re.compile(
    r"[+-]?(\d[\d_]*\.?\d*|\.\d+)(e[+-]?\d+)?|0x[\da-f]+|[+-]?(nan|inf|infinity)", re.IGNORECASE
)
_WORDS = {"true", "false", "null", "none"}


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


_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_SHORTEST_DAY = 3


def parse_until(text: str, now: datetime | None = None) -> datetime:
    """Return the moment `--until` names: after 3d or 12h, or the end of a day in local time."""
    from hitl_vault.core.durations import parse_duration

    now = now or datetime.now().astimezone()
    word = text.strip().lower()
    days = [n for n, day in enumerate(_DAYS) if len(word) >= _SHORTEST_DAY and day.startswith(word)]
    if days or word in {"today", "tomorrow"}:
        ahead = (days[0] - now.weekday()) % 7 if days else int(word == "tomorrow")
        return _end_of(now + timedelta(days=ahead))
    try:
        return (now + timedelta(seconds=parse_duration(word))).astimezone(UTC)
    except ValueError:
        pass
    try:
        at = datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise InvalidRequest(f"until: {text!r} is none of 3d, friday and 2026-12-01") from error
    if len(word) == len("2026-12-01"):
        return _end_of(at)
    return at.astimezone(UTC)


def _end_of(day: datetime) -> datetime:
    midnight = datetime(day.year, day.month, day.day) + timedelta(days=1)  # noqa: DTZ001  local
    return midnight.astimezone(UTC)


def parse_terms(uses: int | None, until: str | None) -> tuple[int, datetime]:
    """Return how often and until when a grant counts."""
    if uses is None or until is None:
        raise InvalidRequest("say how far the grant goes: --uses 3 --until friday")
    return uses, parse_until(until)


def parse_bounds(items: Sequence[str] | None, option: str) -> dict[str, Any]:
    """Return the values of an option such as `--at-most amount=500`, by name."""
    found: dict[str, Any] = {}
    for item in items or ():
        name, equals, value = item.partition("=")
        if not (name and equals):
            raise InvalidRequest(f"{option}: {item!r} must be such as amount=500")
        if name in found:
            raise InvalidRequest(f"{option}: {name!r} is given twice")
        found[name] = parse_value(value, f"{option}: {name}", QUOTED)
    return found


def parse_statuses(words: Sequence[str] | None) -> frozenset[Status] | None:
    """Return the statuses named by `--status`, several in one word allowed: `approved,failed`."""
    from hitl_vault.core.model import Status

    wanted = [part.strip().lower() for word in words or () for part in word.split(",")]
    try:
        return frozenset(Status(word) for word in wanted if word) or None
    except ValueError as error:
        known = ", ".join(Status)
        unknown = next(word for word in wanted if word and word not in [*Status])
        raise InvalidRequest(f"status: there is no {unknown[:80]!r}; there are {known}") from error


def parse_details(
    given: str | None, single: Sequence[str] | None, texts: Sequence[str] | None = None
) -> Details:
    """Return the details of `--details`, `--detail` and `--text`, the single ones winning."""
    details = {} if given is None else _parse_object(given)
    found = [(item, "detail", "amount=1500") for item in single or ()]
    found += [(item, "text", "code=0500") for item in texts or ()]
    seen: set[str] = set()
    for item, option, example in found:
        key, equals, value = item.partition("=")
        if not equals or not key:
            raise InvalidRequest(f"{option}: {item!r} must be such as {example}")
        if key in seen:
            raise InvalidRequest(f"{option}: {key!r} is given twice; a list is {key}='[1, 2]'")
        seen.add(key)
        text = f"for a text write --text {key}=…"
        details[key] = value if option == "text" else parse_value(value, key, text)
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


def parse_value(text: str, name: str, for_a_text: str) -> Any:
    """Return a JSON value if the text is one, else the text.

    Raises:
        InvalidRequest: It looks like JSON or a number and is none that JSON can hold; guessing
            could turn an amount into a text. `for_a_text` says how to give it as a text.
    """
    from hitl_vault.core.canonical import parse_json_object

    try:
        found = parse_json_object(f'{{"value": {text}}}')
    except InvalidRequest as error:
        if text[:1] in {*'{["'} and text:
            why = str(error).partition(" at line")[0].removeprefix("not JSON: ")
            raise InvalidRequest(
                f"{name}: {text[:80]!r} starts as JSON and is none ({why}); {for_a_text}"
            ) from error
        found = {}
    if found.keys() == {"value"}:
        return found["value"]
    plain = text.strip()
    if _NUMBER.fullmatch(plain) or plain.lower() in _WORDS:
        raise InvalidRequest(
            f"{name}: {text[:80]!r} is no number or word that JSON can hold exactly (such as 500, "
            f"0.5, true, null); {for_a_text}"
        )
    return text


def end_after(lasting: str, now: datetime) -> datetime:
    """Return the time at which something made now ends, for `--for TIME`."""
    from hitl_vault.core.durations import parse_duration

    try:
        end = now + timedelta(seconds=parse_duration(lasting))
    except (ValueError, OverflowError) as error:
        raise InvalidRequest(f"for: {error}") from error
    return end.replace(microsecond=0)
