"""Owns `hitl outbox`: what is still to be told, and trying out how. Never shows an address."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from hitl_vault.cli.options import JsonOption, VaultOption
from hitl_vault.errors import InvalidRequest, RequestNotFound

if TYPE_CHECKING:
    from hitl_vault.adapters.outbox.sqlite import SqliteOutbox
    from hitl_vault.ports_telling import Channel, Parcel

outbox = typer.Typer(help="What people are still to be told.", no_args_is_help=True)
_T = TypeVar("_T")

IdArgument = Annotated[
    str | None, typer.Argument(metavar="ID", help="A message, as `hitl outbox list` names it.")
]
AllOption = Annotated[bool, typer.Option("--all", help="Every dead letter.")]


@outbox.command("list")
def list_parcels(
    dead: Annotated[bool, typer.Option("--dead", help="Only dead letters.")] = False,
    vault: VaultOption = None,
    json: JsonOption = False,
) -> None:
    """Show what is still to be told, and what could not be."""
    from hitl_vault.records import as_json

    none: list[Parcel] = []
    found = [parcel for parcel in _with(vault, _find, none) if parcel.dead or not dead]
    if json:
        print(as_json([_record(parcel) for parcel in found]))
    else:
        _print(found)


@outbox.command()
def retry(id: IdArgument = None, all: AllOption = False, vault: VaultOption = None) -> None:
    """Send a message again, as if it were new; a running desk does it."""
    _check_chosen(id, all=all)

    async def work(box: SqliteOutbox) -> int:
        return await box.retry(await _chosen(box, id), datetime.now(UTC))

    print(f"{_count(_with(vault, work, 0))} to be sent again")


@outbox.command()
def drop(id: IdArgument = None, all: AllOption = False, vault: VaultOption = None) -> None:
    """Give a message up for good: nobody is told of it."""
    _check_chosen(id, all=all)

    async def work(box: SqliteOutbox) -> int:
        return await box.drop(await _chosen(box, id))

    print(f"{_count(_with(vault, work, 0))} dropped")


@outbox.command("test")
def try_out(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="One way in notify.toml; else every one.")
    ] = None,
    to: Annotated[
        str | None, typer.Option("--to", metavar="PERSON", help="Only this person, of `people`.")
    ] = None,
    vault: VaultOption = None,
    json: JsonOption = False,
) -> None:
    """Send a test message now, and say whether it was taken."""
    import asyncio

    from hitl_vault.cli.opening import locate
    from hitl_vault.cli.printing import Cell, print_lines, safe
    from hitl_vault.records import as_json

    root, _ = locate(vault)
    tried = asyncio.run(_try_all(root, name, to))
    if json:
        listed = [{"way": way, "to": whom, "problem": said} for way, whom, said in tried]
        print(as_json(listed))
    else:
        for way, whom, said in tried:
            target = safe(f"{way} to {whom}" if whom else way)
            line = f"✗ {target}: {safe(said)}" if said else f"✓ {target} took it"
            print_lines([Cell(line, "red" if said else "green")])
    if any(said for *_, said in tried):
        raise typer.Exit(1)


async def _try_all(root: Path, name: str | None, to: str | None) -> list[tuple[str, str, str]]:
    import asyncio

    from hitl_vault.adapters.clock import SystemClock
    from hitl_vault.adapters.notify.file import NAME, FileChannels
    from hitl_vault.config import STATE_FOLDER

    channels = FileChannels(root / STATE_FOLDER, SystemClock()).load()
    if not channels or (name is not None and name not in channels):
        known = f"; it has {', '.join(channels)}" if channels else ""
        what = "says no way to tell people" if name is None else f"has no [{name}]{known}"
        raise InvalidRequest(f"{STATE_FOLDER}/{NAME} {what}")
    chosen = [channels[name]] if name is not None else list(channels.values())
    targets = [
        (channel, whom, addresses)
        for channel in chosen
        for whom, addresses in _targets(root, channel, to)
    ]
    if not targets:
        ways = ", ".join(channel.way.name for channel in chosen)
        raise InvalidRequest(
            f"{ways}: nobody has an address; give people `notify` in {STATE_FOLDER}/reviewers.toml"
        )
    said = await asyncio.gather(*(_try(channel, at) for channel, _, at in targets))
    return [
        (channel.way.name, whom, problem)
        for (channel, whom, _), problem in zip(targets, said, strict=True)
    ]


def _targets(root: Path, channel: Channel, to: str | None) -> list[tuple[str, tuple[str, ...]]]:
    from hitl_vault.adapters.people.file import FilePeople
    from hitl_vault.config import STATE_FOLDER

    if not channel.way.people:
        return [] if to is not None else [("", ())]
    people = FilePeople(root / STATE_FOLDER / "reviewers.toml").load()
    if to is None:
        return [(one.name, one.notify) for one in people.reviewers.values() if one.notify]
    found = people.find(to)
    if found is None or not found.notify:
        raise InvalidRequest(f"{STATE_FOLDER}/reviewers.toml has no `notify` of {to!r}")
    return [(found.name, found.notify)]


async def _try(channel: Channel, to: Sequence[str]) -> str:
    import secrets

    from hitl_vault.errors import ConfigError, NotSent
    from hitl_vault.ports_telling import Message

    message = Message(
        id=f"test-{secrets.token_hex(8)}",
        subject="A test message of hitl",
        body="Nothing is asked of you. If you read this, messages reach you.\n",
        facts={"events": []},
    )
    try:
        await channel.notifier.send(message, to)
    except (ConfigError, NotSent) as error:
        return str(error)
    return ""


def _with(vault: str | None, work: Callable[[SqliteOutbox], Awaitable[_T]], otherwise: _T) -> _T:
    """Do the work with the vault's outbox; where there is none, make none."""
    import asyncio

    from hitl_vault.adapters.outbox.sqlite import SqliteOutbox
    from hitl_vault.cli.opening import locate
    from hitl_vault.config import STATE_FOLDER

    root, _ = locate(vault)
    path = root / STATE_FOLDER / "outbox.db"

    async def opened() -> _T:
        box = SqliteOutbox(path, mends=False)  # a desk mends, and tells again
        try:
            return await work(box)
        finally:
            await box.aclose()

    return asyncio.run(opened()) if path.exists() else otherwise


async def _find(box: SqliteOutbox) -> list[Parcel]:
    return await box.find()


def _check_chosen(id: str | None, *, all: bool) -> None:
    if (id is None) != all:
        raise InvalidRequest("name one message, or say --all for every dead letter")


async def _chosen(box: SqliteOutbox, id: str | None) -> list[str] | None:
    if id is None:
        return None
    ids = [parcel.id for parcel in await box.find()]
    found = [known for known in ids if id == known] or [
        known for known in ids if _short(known).startswith(id)
    ]
    if len(found) == 1:
        return found
    if not found:
        raise RequestNotFound(f"no message is called {id!r}; see `hitl outbox list`")
    listed = "\n".join(_short(known) for known in found[:8])
    raise RequestNotFound(f"several messages begin with {id!r}; write more of it:\n{listed}")


def _short(id: str) -> str:
    """Return a message's id without that of its vault."""
    return id.partition("-")[2] or id


def _count(number: int) -> str:
    return f"{number} {'message' if number == 1 else 'messages'}"


def _record(parcel: Parcel) -> dict[str, Any]:
    first = parcel.duties[0]
    return {
        "id": parcel.id,
        "way": first.way,
        "person": first.person,
        "dead": parcel.dead,
        "sending": parcel.leased,
        "tries": parcel.tries,
        "next_try": None if parcel.next_at is None else parcel.next_at.isoformat(),
        "problem": parcel.problem,
        "taken": len(parcel.taken),
        "events": [
            {"seq": duty.seq, "kind": duty.kind.value, "id": duty.request_id}
            for duty in parcel.duties
        ],
    }


def _print(found: Sequence[Parcel]) -> None:
    from hitl_vault.cli.printing import Cell, Column, print_table, safe

    if not found:
        print("nothing is left to tell")
        return
    columns = [
        *(Column(name=name) for name in ("id", "to")),
        Column(name="about", wide=True),
        Column(name="tries", right=True),
        *(Column(name=name, spare=True) for name in ("next", "problem")),
    ]
    print_table(columns, [_row(parcel, Cell, safe) for parcel in found])


def _row(parcel: Parcel, cell: Callable[..., Any], safe: Callable[..., str]) -> list[Any]:
    first = parcel.duties[0]
    more = f" and {len(parcel.duties) - 1} more" if len(parcel.duties) > 1 else ""
    next_at = (
        "sending" if parcel.leased else f"{parcel.next_at:%m-%d %H:%M}" if parcel.next_at else ""
    )
    return [
        cell(_short(parcel.id)),
        cell(safe(f"{first.way} {first.person}".strip())),
        cell(safe(f"{first.kind} {first.request_id}{more}")),
        cell(str(parcel.tries)),
        cell("dead", "bold red")
        if parcel.dead
        else cell("sending" if parcel.leased else next_at, "dim"),
        cell(safe(parcel.problem), "red" if parcel.dead else "yellow"),
    ]
