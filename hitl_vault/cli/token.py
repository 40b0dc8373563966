"""Owns `hitl token`: who may call the service, who is signed in. Never shows a secret but once, to
who made it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hitl_vault.cli.options import JsonOption, VaultOption, end_after
from hitl_vault.errors import ConfigError, InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hitl_vault.adapters.access.sign_ins import SignIns
    from hitl_vault.adapters.access.tokens import AccessTokens
    from hitl_vault.core.access import Scope

token = typer.Typer(help="Tokens for agents and people who use the service.", no_args_is_help=True)
ScopeOption = Annotated[
    list[str] | None,
    typer.Option("--scope", metavar="SCOPE", help="ask, read, vote or operate; repeatable."),
]


@token.command()
def create(
    agent: Annotated[
        str | None, typer.Option("--agent", metavar="NAME", help="For an agent: it may ask.")
    ] = None,
    reviewer: Annotated[
        str | None,
        typer.Option("--reviewer", metavar="NAME", help="For a person: they may look and answer."),
    ] = None,
    scope: ScopeOption = None,
    lasting: Annotated[
        str,
        typer.Option("--for", metavar="TIME", help="How long it counts, such as 30d, or: always."),
    ] = "90d",
    vault: VaultOption = None,
    json: JsonOption = False,
) -> None:
    """Make a token for an agent or a person. It is shown this once."""
    from hitl_vault.cli.printing import remark, safe
    from hitl_vault.core.access import Caller
    from hitl_vault.engine.checks import name_of
    from hitl_vault.records import as_json

    if (agent is None) == (reviewer is None):
        raise InvalidRequest("say whose it is: --agent NAME or --reviewer NAME")
    caller = Caller.AGENT if agent is not None else Caller.REVIEWER
    name = name_of(agent if agent is not None else reviewer, caller.value)
    now = datetime.now(UTC)
    keys = _keys(vault)
    if caller is Caller.REVIEWER:
        name = _on_record(keys, name)
    made, text = _tokens(keys).create(
        caller,
        name,
        now,
        scopes=_scopes(scope),
        until=None if lasting == "always" else end_after(lasting, now),
    )
    if json:
        record = _record(made.token_id, caller.value, made.name, made.scopes, made.ends_at, now)
        print(as_json(record | {"token": text}))
        return
    remark(f"this is shown once; whoever holds it calls as {safe(made.name)}:")
    print(text)


@token.command()
def link(
    reviewer: Annotated[str, typer.Option("--reviewer", metavar="NAME", help="Who signs in.")],
    scope: ScopeOption = None,
    lasting: Annotated[
        str, typer.Option("--for", metavar="TIME", help="How long it counts; at most 1d.")
    ] = "10m",
    vault: VaultOption = None,
    json: JsonOption = False,
) -> None:
    """Make a link that signs a person in to the inbox, once."""
    from datetime import timedelta

    from hitl_vault.cli.printing import remark, safe
    from hitl_vault.core.access import DEFAULT, Caller
    from hitl_vault.engine.checks import name_of
    from hitl_vault.records import as_json

    now = datetime.now(UTC)
    ends_at = end_after(lasting, now)
    if ends_at > now + timedelta(days=1):
        raise InvalidRequest(f"for: {lasting} is too long for a link; at most 1d")
    keys = _keys(vault)
    name = _on_record(keys, name_of(reviewer, "reviewer"))
    wanted = frozenset(_scopes(scope)) or DEFAULT[Caller.REVIEWER]
    made, text = _sign_ins(keys).make_link(name, wanted, now, ends_at)
    where = f"{_url(keys)}/sign-in/link#{text}"
    if json:
        record = _record(made.link_id, "link", made.name, made.scopes, made.ends_at, now)
        print(as_json(record | {"link": where}))
        return
    remark(f"this is shown once; whoever opens it first, until {_at(ends_at)}, is {safe(name)}:")
    print(where)


@token.command("list")
def list_tokens(vault: VaultOption = None, json: JsonOption = False) -> None:
    """List whose tokens count, and who is or may be signed in."""
    from hitl_vault.cli.printing import Cell, Column, print_table, safe
    from hitl_vault.records import as_json

    found = _all(_keys(vault), datetime.now(UTC))
    if json:
        print(as_json(found))
        return
    names = ["id", "for", "name", "scopes", "counts"]
    rows = [
        [Cell(safe(str(one[key]))) for key in ("id", "caller", "name", "scopes", "counts")]
        for one in found
    ]
    print_table([Column(name=name) for name in names], rows)


@token.command()
def revoke(
    id: Annotated[str, typer.Argument(metavar="ID", help="Its id, or its beginning.")],
    vault: VaultOption = None,
) -> None:
    """End a token, a session or a link now."""
    from hitl_vault.cli.printing import safe

    keys, now = _keys(vault), datetime.now(UTC)
    found = _named(_all(keys, now), id)
    if found["caller"] in {"session", "link"}:
        _sign_ins(keys).end(found["id"], now)
    else:
        _tokens(keys).revoke(found["id"], now)
        for session in list(_sign_ins(keys).sessions().values()):
            if session.token_id == found["id"]:
                _sign_ins(keys).end(session.session_id, now)
    print(f"{found['caller']} {safe(found['id'])} of {safe(found['name'])} no longer counts")


def _keys(vault: str | None) -> Path:
    from hitl_vault.config import STATE_FOLDER, find_vault

    return find_vault(Path.cwd(), vault) / STATE_FOLDER / "keys"


def _tokens(keys: Path) -> AccessTokens:
    from hitl_vault.adapters.access.tokens import FILE, AccessTokens

    return AccessTokens(keys / FILE)


def _sign_ins(keys: Path) -> SignIns:
    from hitl_vault.adapters.access.sign_ins import SignIns

    return SignIns(keys)


def _scopes(words: list[str] | None) -> list[Scope]:
    from hitl_vault.core.access import Scope
    from hitl_vault.engine.checks import word_of

    return [word_of(word, Scope, "scope") for word in words or []]


def _on_record(keys: Path, name: str) -> str:
    """Return a reviewer's name as it is on record; as it is, where no record is kept.

    Raises:
        InvalidRequest: There is a record, and nobody has this name.
    """
    from hitl_vault.adapters.people.file import FilePeople

    people = FilePeople(keys.parent / "reviewers.toml").load()
    found = people.find(name)
    if found is not None:
        return found.name
    if people.on_record:
        near = people.nearest(name)
        hint = f"; did you mean {near}?" if near else ""
        raise InvalidRequest(
            f"reviewer: {name} is not on record, so no answer of theirs would count{hint or '.'} "
            "See hitl reviewer list"
        )
    return name


def _url(keys: Path) -> str:
    try:
        from hitl_vault.server.settings import FILE, load_server_settings
    except ImportError as error:
        raise ConfigError(
            "signing in needs an extra: python -m pip install 'hitl-vault[server]'"
        ) from error
    settings = load_server_settings(keys.parent / FILE)
    return settings.url.rstrip("/") or f"http://{settings.host}:{settings.port}"


def _all(keys: Path, now: datetime) -> list[dict[str, Any]]:
    sign_ins = _sign_ins(keys)
    return [
        *(
            _record(one.token_id, one.caller.value, one.name, one.scopes, one.ends_at, now)
            for one in _tokens(keys).load().values()
        ),
        *(
            _record(one.session_id, "session", one.name, one.scopes, one.ends_at, now)
            for one in sign_ins.sessions().values()
        ),
        *(
            _record(one.link_id, "link", one.name, one.scopes, one.ends_at, now)
            for one in sign_ins.links().values()
        ),
    ]


def _named(known: list[dict[str, Any]], beginning: str) -> dict[str, Any]:
    found = [one for one in known if beginning and one["id"].startswith(beginning)]
    if len(found) == 1:
        return found[0]
    if not found:
        raise InvalidRequest(f"no token has an id that starts with {beginning!r}; see the list")
    listed = [f"{one['id']}  {one['caller']} {one['name']}" for one in found[:8]]
    raise InvalidRequest("\n".join([f"several ids start with {beginning!r}:", *listed]))


def _record(
    id: str, kind: str, name: str, scopes: Iterable[str], ends_at: datetime | None, now: datetime
) -> dict[str, Any]:
    counts = "always" if ends_at is None else f"until {_at(ends_at)}"
    if ends_at is not None and now >= ends_at:
        counts = f"no: ended {_at(ends_at)}"
    return {
        "id": id,
        "caller": kind,
        "name": name,
        "scopes": " ".join(sorted(scopes)),
        "counts": counts,
    }


def _at(at: datetime) -> str:
    return at.isoformat(" ", "minutes")
