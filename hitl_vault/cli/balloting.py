"""Owns `hitl ballot`: an answer made here, signed on another machine, and handed in here. Never
lets a person sign what they are not shown.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hitl_vault.cli.options import DetailsOption, IdArgument, JsonOption, VaultOption
from hitl_vault.errors import InvalidRequest, StorageError

if TYPE_CHECKING:
    from hitl_vault.core.ballot_file import BallotFile

ballot = typer.Typer(help="Answer with a signature made on another machine.", no_args_is_help=True)
FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="A ballot file.")]


@ballot.command()
def make(
    id: IdArgument,
    answer: Annotated[
        str, typer.Option("--answer", "-a", metavar="approve|reject", help="The answer.")
    ],
    out: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Where; else ID.ballot.")
    ] = None,
    reason: Annotated[str, typer.Option("--reason", "-m", metavar="TEXT", help="Why.")] = "",
    details: DetailsOption = None,
    change: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Approve with this value changed."),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--as", metavar="NAME", help="Who signs; else you.")
    ] = None,
    vault: VaultOption = None,
) -> None:
    """Write an answer to a file, to be signed elsewhere."""
    import asyncio

    from hitl_vault.cli.answering import with_changes
    from hitl_vault.cli.opening import desk, full_ids
    from hitl_vault.core.ballot_file import ballot_text, make_ballot_file
    from hitl_vault.core.model import Answer
    from hitl_vault.wiring import os_user

    if answer not in {"approve", "reject"}:
        raise InvalidRequest(f"answer: approve or reject, not {answer!r}")
    if answer == "reject" and (details is not None or change):
        raise InvalidRequest("set: only an approval can change values")
    (full,) = full_ids(vault, [id])

    async def made() -> BallotFile:
        async with desk(vault) as hitl:
            request = await hitl.get(full)
            changed = None
            if details is not None or change:
                changed = with_changes(request.details, details, change or [])
            said = Answer(answer) if changed is None else Answer.EDIT
            stated = await hitl.statement(
                full, said, reviewer=name or os_user(), reason=reason, details=changed
            )
            return make_ballot_file(request, stated, changed)

    file = out or Path(f"{full}.ballot")
    _write(file, ballot_text(asyncio.run(made())), fresh=True)
    print(f"{file}: sign it with: hitl ballot sign {file} --key KEY")


@ballot.command()
def show(
    file: FileArgument,
    exact: Annotated[
        bool, typer.Option("--bytes", help="Print the exact bytes that are signed, and only those.")
    ] = False,
) -> None:
    """Show what a ballot file answers, and whether it is signed."""
    from hitl_vault.core.statement import PAYLOAD_TYPE, key_id_of, pae

    found = _read(file)
    if exact:
        sys.stdout.buffer.write(pae(PAYLOAD_TYPE, found.body))
        return
    _print(found)
    key = key_id_of(found.envelope)
    print(f"signed with {key}, not checked here" if found.envelope else "not signed yet")


@ballot.command()
def sign(
    file: FileArgument,
    key: Annotated[
        str,
        typer.Option(
            "--key",
            metavar="KEY",
            help="An SSH key's file, private or public (agent, token); or hmac:ID.",
        ),
    ],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Sign a ballot file; needs no vault. Shows first what is signed, and asks."""
    from hitl_vault.cli.signing import signed_with
    from hitl_vault.core.ballot_file import ballot_text

    found = _read(file)
    _print(found)
    if not yes:
        if not sys.stdin.isatty():
            raise InvalidRequest("sign: nobody can be asked here; look at it, then add --yes")
        typer.confirm(f"Sign this: {found.answer} as {found.statement.reviewer}?", abort=True)
    _write(file, ballot_text(found.signed(signed_with(found.statement, key))))
    print(f"{file} is signed: hand it in with: hitl ballot submit {file}")


@ballot.command()
def submit(
    file: FileArgument,
    signature: Annotated[
        Path | None,
        typer.Option(
            "--signature",
            metavar="FILE",
            help="What ssh-keygen made of the bytes of `hitl ballot show --bytes`.",
        ),
    ] = None,
    vault: VaultOption = None,
    json: JsonOption = False,
) -> None:
    """Hand in a signed ballot file."""
    from hitl_vault.cli.answering import answer_all

    found = _read(file)
    if signature is not None:
        from hitl_vault.adapters.proof.ssh import sealed
        from hitl_vault.adapters.ssh.keygen import unarmoured

        found = found.signed(sealed(found.body, unarmoured(_text(signature))))
    if not found.envelope:
        raise InvalidRequest(
            f"{file} is not signed; sign it with: hitl ballot sign {file} --key KEY"
        )
    stated = found.statement
    answer_all(
        [stated.request],
        lambda hitl, full: hitl.vote(
            full,
            found.answer,
            reviewer=stated.reviewer,
            reason=stated.reason,
            details=found.changed,
            payload_sha256=stated.payload_sha256,
            channel="ballot",
            proof=found.envelope,
        ),
        vault,
        as_json=json,
    )


def _print(found: BallotFile) -> None:
    from hitl_vault.cli.printing import Cell, print_fields, print_lines, safe
    from hitl_vault.records import as_json

    stated, action = found.statement, found.action
    fields = [
        ("answer", Cell(safe(stated.answer), "bold")),
        ("as", Cell(safe(stated.reviewer))),
        ("reason", Cell(safe(stated.reason) or "(none)")),
        ("request", Cell(safe(stated.request))),
        ("action", Cell(safe(action.type))),
        ("asked by", Cell(safe(action.requested_by))),
        ("vault", Cell(safe(stated.vault))),
        ("made", Cell(safe(stated.at))),
    ]
    print_fields(fields)
    print_lines([Cell("what will run:"), Cell(as_json(found.changed or action.details), "cyan")])
    if found.changed is not None:
        print_lines([Cell("instead of:"), Cell(as_json(action.details))])


def _read(file: Path) -> BallotFile:
    from hitl_vault.core.ballot_file import parse_ballot_file

    return parse_ballot_file(_text(file), name=str(file))


def _text(file: Path) -> str:
    from hitl_vault.core.ballot_file import MAX_BYTES

    try:
        if file.stat().st_size > MAX_BYTES:
            raise InvalidRequest(f"{file}: it is larger than {MAX_BYTES:,} bytes")
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"{file}: it cannot be read: {error}") from error


def _write(file: Path, text: str, *, fresh: bool = False) -> None:
    try:
        if fresh:
            with file.open("x", encoding="utf-8") as new:
                new.write(text)
            return
        beside = file.with_name(f"{file.name}.new")
        beside.write_text(text, encoding="utf-8")
        beside.replace(file)
    except FileExistsError as error:
        raise InvalidRequest(f"{file} is there already; name another with -o") from error
    except OSError as error:
        raise StorageError(f"{file}: it cannot be written: {error.strerror}") from error
