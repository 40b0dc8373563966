"""Owns `hitl key`: whose keys count. Never shows a secret but once, to who enrols it."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from hitl_vault.cli.options import JsonOption, VaultOption, end_after
from hitl_vault.errors import InvalidRequest

key = typer.Typer(help="The keys by which reviewers prove their answers.", no_args_is_help=True)
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The reviewer.")]
UntilOption = Annotated[
    str | None,
    typer.Option("--for", metavar="TIME", help="How long it counts, such as 90d; else for ever."),
]


@key.command()
def add(
    name: NameArgument,
    id: Annotated[
        str | None, typer.Option("--id", metavar="ID", help="The key's id; else name and date.")
    ] = None,
    env: Annotated[
        str, typer.Option("--env", metavar="VARIABLE", help="Where the secret is; else a new one.")
    ] = "",
    lasting: UntilOption = None,
    vault: VaultOption = None,
) -> None:
    """Make a key that a reviewer's program and the vault share (HMAC)."""
    from hitl_vault.adapters.proof.hmac import HmacKeys
    from hitl_vault.cli.printing import remark

    now = datetime.now(UTC)
    keys = HmacKeys(_state(vault) / "keys" / "hmac.toml")
    until = None if lasting is None else end_after(lasting, now)
    made = keys.add(name, id or f"{_plain(name)}-{now:%Y%m%d}", now, until=until, env=env)
    if env:
        print(f"hmac:{made.key_id}: its secret is read from {env}")
        return
    remark("this is shown once; whoever holds it can answer as that reviewer:")
    print(f"hmac:{made.key_id} base64:{made.secret}")


@key.command()
def totp(
    name: NameArgument,
    qr: Annotated[bool, typer.Option("--qr", help="Draw it, for a phone's camera.")] = False,
    vault: VaultOption = None,
) -> None:
    """Make a second factor: six digits that change every 30 seconds."""
    from hitl_vault.adapters.proof.totp import TotpFactors
    from hitl_vault.cli.printing import remark
    from hitl_vault.errors import ConfigError

    state = _state(vault)
    if qr:
        if not sys.stdout.isatty():
            raise InvalidRequest("qr: it is drawn on a terminal only")
        try:
            import segno
        except ImportError as error:
            raise ConfigError(
                "drawing needs an extra: python -m pip install 'hitl-vault[totp]'"
            ) from error
    address = TotpFactors(state / "keys" / "totp.toml").enrol(name, state.parent.name)
    remark("this is shown once; put it into the authenticator app:")
    print(address)
    if qr:
        segno.make(address).terminal(compact=True)


@key.command("list")
def list_keys(vault: VaultOption = None, json: JsonOption = False) -> None:
    """List whose keys count, and how long."""
    from hitl_vault.cli.printing import Cell, Column, print_table, safe
    from hitl_vault.records import as_json

    found = _listed(_state(vault))
    if json:
        print(as_json(found))
        return
    names = ["key", "reviewer", "counts"]
    rows = [[Cell(safe(str(entry[name]))) for name in names] for entry in found]
    print_table([Column(name=name) for name in names], rows)


@key.command()
def retire(
    id: Annotated[str, typer.Argument(metavar="KEY", help="hmac:ID, or totp:NAME.")],
    vault: VaultOption = None,
) -> None:
    """End a key now. For an SSH key: hitl reviewer key NAME --remove."""
    from hitl_vault.adapters.proof.hmac import HmacKeys
    from hitl_vault.adapters.proof.totp import TotpFactors
    from hitl_vault.cli.printing import safe

    kind, _, name = id.partition(":")
    keys = _state(vault) / "keys"
    if kind == "hmac":
        HmacKeys(keys / "hmac.toml").retire(name, datetime.now(UTC))
    elif kind == "totp":
        TotpFactors(keys / "totp.toml").retire(name)
    else:
        raise InvalidRequest(
            f"{safe(id)}: write hmac:ID or totp:NAME; an SSH key is taken off with: "
            "hitl reviewer key NAME --remove SHA256:…"
        )
    print(f"{safe(id)} no longer counts")


def _listed(state: Path) -> list[dict[str, Any]]:
    from hitl_vault.adapters.proof.hmac import HmacKeys
    from hitl_vault.adapters.proof.totp import TotpFactors
    from hitl_vault.adapters.ssh.allowed_signers import load_signers

    found: list[dict[str, Any]] = []
    for signer in load_signers(state / "allowed_signers"):
        counts = f"no: {signer.problem}" if signer.problem else signer.options or "always"
        name = f"ssh:{signer.fingerprint}" if signer.key else f"line {signer.line}"
        found.append({"key": name, "reviewer": ",".join(signer.principals), "counts": counts})
    now = datetime.now(UTC)
    for shared in HmacKeys(state / "keys" / "hmac.toml").load().values():
        until = shared.ends_at
        counts = "always" if until is None else f"until {until.isoformat(' ', 'minutes')}"
        if until is not None and now >= until:
            counts = f"no: ended {until.isoformat(' ', 'minutes')}"
        found.append(
            {"key": f"hmac:{shared.key_id}", "reviewer": shared.reviewer, "counts": counts}
        )
    factors = TotpFactors(state / "keys" / "totp.toml").names()
    return found + [
        {"key": f"totp:{name}", "reviewer": name, "counts": "second factor"} for name in factors
    ]


def _state(vault: str | None) -> Path:
    from hitl_vault.cli.opening import locate
    from hitl_vault.config import STATE_FOLDER

    return locate(vault)[0] / STATE_FOLDER


def _plain(name: str) -> str:
    import re

    return re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-").lower() or "key"
