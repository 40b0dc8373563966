"""Owns `hitl reviewer`: who may answer, in which roles, with which keys, and who stands in.

Never proves who runs it: whoever may write `.hitl` may change who answers. Each change is recorded.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from hitl_vault.cli.options import JsonOption, VaultOption
from hitl_vault.errors import InvalidRequest

if TYPE_CHECKING:
    from hitl_vault.core.people import People, Reviewer

reviewer = typer.Typer(
    help="Keep the record of who may answer, and with which keys.", no_args_is_help=True
)

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The person's name.")]
FromOption = Annotated[
    str | None,
    typer.Option("--from", metavar="WHEN", help="Such as 2026-12-20, in UTC; else now."),
]
_T = TypeVar("_T")


@reviewer.command()
def add(
    name: NameArgument,
    role: Annotated[
        list[str] | None, typer.Option("--role", "-r", metavar="ROLE", help="A role they hold.")
    ] = None,
    vault: VaultOption = None,
) -> None:
    """Put a person on record."""
    from hitl_vault.adapters.people import table
    from hitl_vault.cli.printing import safe

    roles = role or []

    def change(text: str, signers: str) -> tuple[str, str, None]:
        return table.with_reviewer(text, name=name, roles=roles), signers, None

    _change(vault, change)
    held = f", {', '.join(safe(one) for one in roles)}" if roles else ""
    print(f"{safe(name)} is on record{held}")


@reviewer.command()
def remove(name: NameArgument, vault: VaultOption = None) -> None:
    """Take a person off the record, and all their keys."""
    from hitl_vault.adapters.people import table
    from hitl_vault.adapters.ssh import editing
    from hitl_vault.cli.printing import safe

    def change(text: str, signers: str) -> tuple[str, str, tuple[Reviewer, list[str]]]:
        from hitl_vault.adapters.people.file import parse_people

        found = table.known(parse_people(text, name="reviewers.toml"), name)
        left, keys = editing.without_person(signers, name=name)
        told = found, [key.fingerprint for key in keys]
        return table.without_reviewer(text, name=name), left, told

    found, keys = _change(vault, change)
    print(f"{safe(found.name)} is no longer on record")
    for fingerprint in keys:
        print(f"  key {fingerprint} no longer counts")
    _warn_of_gap(vault, [found.name, *sorted(found.roles)])
    _warn_of_lost_stand_ins(vault, found.name)


@reviewer.command()
def role(
    name: NameArgument,
    add: Annotated[
        list[str] | None, typer.Option("--add", metavar="ROLE", help="Give them this role.")
    ] = None,
    remove: Annotated[
        list[str] | None, typer.Option("--remove", metavar="ROLE", help="Take this role back.")
    ] = None,
    vault: VaultOption = None,
) -> None:
    """Give a person roles, or take roles back."""
    from hitl_vault.adapters.people import table

    if not add and not remove:
        raise InvalidRequest("role: say which with --add or --remove")

    def change(text: str, signers: str) -> tuple[str, str, None]:
        new = table.with_roles(text, name=name, add=add or [], remove=remove or [])
        return new, signers, None

    _change(vault, change)
    _say_roles(vault, name)
    _warn_of_gap(vault, remove or [])


@reviewer.command()
def away(
    name: NameArgument,
    begins: FromOption = None,
    until: Annotated[
        str | None, typer.Option("--until", metavar="WHEN", help="When they are back, in UTC.")
    ] = None,
    to: Annotated[
        str, typer.Option("--to", metavar="NAME", help="Who answers in their place.")
    ] = "",
    clear: Annotated[
        bool, typer.Option("--clear", help="They are here: forget all times away.")
    ] = False,
    vault: VaultOption = None,
) -> None:
    """Say when a person is away, and who stands in; that person answers for both, with one vote."""
    from hitl_vault.adapters.people import table
    from hitl_vault.cli.printing import remark, safe
    from hitl_vault.core.people import Away

    if clear == (until is not None):
        raise InvalidRequest("away: say --until, or --clear alone")
    away = None
    if until is not None:
        begins_at = _time("from", begins) if begins else datetime.now(UTC).replace(microsecond=0)
        away = Away(begins_at=begins_at, ends_at=_time("until", until), to=to)

    def change(text: str, signers: str) -> tuple[str, str, None]:
        if away is None:
            return table.without_away(text, name=name), signers, None
        return table.with_away(text, name=name, away=away), signers, None

    _change(vault, change)
    if away is None:
        print(f"{safe(name)} is here")
        return
    stands_in = f"{safe(to)} stands in" if to else "nobody stands in"
    print(
        f"{safe(name)} is away from {_stamp(away.begins_at)} until {_stamp(away.ends_at)}: "
        f"{stands_in}"
    )
    if to and not _people(vault).covering(name, away.begins_at):
        remark(f"{safe(to)} is away then too, and nobody who is here stands in for them")


@reviewer.command()
def key(
    name: NameArgument,
    add: Annotated[
        str | None,
        typer.Option(
            "--add", metavar="FILE", help="An SSH public key: a .pub file, or - for stdin."
        ),
    ] = None,
    remove: Annotated[
        str | None,
        typer.Option("--remove", metavar="FINGERPRINT", help="A key, by how SHA256:… begins."),
    ] = None,
    begins: FromOption = None,
    until: Annotated[
        str | None,
        typer.Option("--until", metavar="WHEN", help="The last moment it counts, in UTC."),
    ] = None,
    vault: VaultOption = None,
) -> None:
    """Put a person's SSH public key on record, or take it off: it signs answers in their name."""
    from hitl_vault.adapters.people import table
    from hitl_vault.adapters.people.file import parse_people
    from hitl_vault.adapters.ssh import editing
    from hitl_vault.cli.printing import safe
    from hitl_vault.core.people import Key

    if (add is None) == (remove is None):
        raise InvalidRequest("key: say which with --add or with --remove")
    public = "" if add is None else _public_key(add)
    valid_after = _time("from", begins) if begins else None
    valid_before = _time("until", until) if until else None
    if valid_after and valid_before and valid_after >= valid_before:
        raise InvalidRequest("until: must be after the beginning")

    def change(text: str, signers: str) -> tuple[str, str, Key]:
        if remove is not None:
            left, gone = editing.without_key(signers, name=name, beginning=remove)
            return text, left, gone
        whose = name  # any name is a person's where no record is kept
        if text.strip():
            whose = table.known(parse_people(text, name="reviewers.toml"), name).name
        new, added = editing.with_key(
            signers,
            name=whose,
            key=public,
            valid_after=valid_after,
            valid_before=valid_before,
        )
        return text, new, added

    changed = _change(vault, change)
    whose = ", ".join(safe(one) for one in changed.principals)
    counts = "no longer counts" if remove is not None else "counts"
    print(f"{safe(changed.kind)} {changed.fingerprint} {counts} for {whose}")


@reviewer.command("list")
def list_reviewers(vault: VaultOption = None, json: JsonOption = False) -> None:
    """List who is on record: roles, keys, times away and stand-ins."""
    from hitl_vault.cli.printing import Cell, Column, print_table, remark, safe
    from hitl_vault.records import as_json

    people, now = _people(vault), datetime.now(UTC)
    if people.keys_problem:
        remark(f"no signature counts until it is mended: {people.keys_problem}")
    found = sorted(people.reviewers.values(), key=lambda one: one.name.casefold())
    if json:
        print(as_json([_record(people, one, now) for one in found]))
        return
    if not found:
        remark("nobody is on record: any name in a rule is a person's name")
        return
    rows = [
        [
            Cell(safe(one.name), "bold"),
            Cell(", ".join(safe(held) for held in sorted(one.roles)) or "none"),
            Cell(_keys_in_words(people, one, now)),
            Cell(_away_in_words(people, one, now), "yellow" if one.is_away(now) else ""),
        ]
        for one in found
    ]
    columns = [Column(name="name"), Column(name="roles", wide=True), Column(name="keys")]
    print_table([*columns, Column(name="away")], rows)


def _record(people: People, one: Reviewer, now: datetime) -> dict[str, Any]:
    return {
        "name": one.name,
        "roles": sorted(one.roles),
        "keys": [
            {
                "type": key.kind,
                "fingerprint": key.fingerprint,
                "namespaces": None if key.namespaces is None else list(key.namespaces),
                "valid_after": key.valid_after and key.valid_after.isoformat(),
                "valid_before": key.valid_before and key.valid_before.isoformat(),
                "expired": key.has_expired(now),
            }
            for key in people.keys_of(one.name)
        ],
        "away": [
            {"from": a.begins_at.isoformat(), "until": a.ends_at.isoformat(), "to": a.to}
            for a in one.away
        ],
        "is_away": one.is_away(now),
        "covered_by": people.covering(one.name, now) if one.is_away(now) else "",
        "stands_in_for": [name for name, _ in people.standing_for(one.name, now)],
    }


def _keys_in_words(people: People, one: Reviewer, now: datetime) -> str:
    keys = people.keys_of(one.name)
    listed = [f"{k.fingerprint}{' (expired)' if k.has_expired(now) else ''}" for k in keys]
    return ", ".join(listed) or "none"


def _away_in_words(people: People, one: Reviewer, now: datetime) -> str:
    from hitl_vault.cli.printing import safe

    words = [
        f"{_stamp(a.begins_at)} to {_stamp(a.ends_at)}, {safe(a.to) or 'nobody'} stands in"
        for a in one.away
        if a.ends_at > now
    ]
    for_whom = ", ".join(safe(name) for name, _ in people.standing_for(one.name, now))
    words += [f"stands in for {for_whom}"] if for_whom else []
    return "; ".join(words)


def _change(vault: str | None, make: Callable[[str, str], tuple[str, str, _T]]) -> _T:
    """Change the files, then have it recorded."""
    import asyncio

    from hitl_vault.adapters.people.keeping import PeopleFiles
    from hitl_vault.cli.opening import desk, locate
    from hitl_vault.config import STATE_FOLDER

    root, _ = locate(vault)
    told = PeopleFiles(root / STATE_FOLDER).change(make)

    async def record() -> None:
        async with desk(vault) as hitl:
            await hitl.record_reviewers()

    asyncio.run(record())
    return told


def _people(vault: str | None) -> People:
    from hitl_vault.adapters.people.file import FilePeople
    from hitl_vault.cli.opening import locate
    from hitl_vault.config import STATE_FOLDER

    root, _ = locate(vault)
    return FilePeople(root / STATE_FOLDER / "reviewers.toml").load()


def _say_roles(vault: str | None, name: str) -> None:
    from hitl_vault.cli.printing import safe

    roles = sorted(_people(vault).roles_of(name))
    print(f"{safe(name)}: {', '.join(safe(role) for role in roles) or 'no role'}")


def _warn_of_gap(vault: str | None, names: list[str]) -> None:
    """Say which of these the policy still names although nobody is them now."""
    from hitl_vault.cli.naming import policy_names
    from hitl_vault.cli.opening import locate
    from hitl_vault.cli.printing import remark, safe
    from hitl_vault.core.voting import person

    root, settings = locate(vault)
    named = {person(one) for one in policy_names(root / settings.policy)}
    for gone in _people(vault).unheld([name for name in names if person(name) in named]):
        remark(f"{settings.policy} names {safe(gone)}, and nobody on record is that now")


def _warn_of_lost_stand_ins(vault: str | None, name: str) -> None:
    from hitl_vault.cli.printing import remark, safe
    from hitl_vault.core.voting import person

    for other in _people(vault).reviewers.values():
        if person(name) in {person(away.to) for away in other.away}:
            remark(f"{safe(other.name)} named {safe(name)} as stand-in; name somebody else")


def _public_key(given: str) -> str:
    import sys

    if given == "-":
        return sys.stdin.read()
    try:
        return Path(given).expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError, RuntimeError) as error:
        why = getattr(error, "strerror", None) or "it is not text"
        raise InvalidRequest(f"key: cannot read {given}: {why}") from error


def _time(what: str, text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidRequest(f"{what}: {text!r} is no date; write such as 2026-12-20") from error
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def _stamp(at: datetime) -> str:
    whole_day = (at.hour, at.minute, at.second) == (0, 0, 0)
    return f"{at:%Y-%m-%d}" if whole_day else f"{at:%Y-%m-%d %H:%M} UTC"
