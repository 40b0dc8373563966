"""Owns `hitl audit checkpoint`, and comparing a chain with such notes. Never changes the vault."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hitl_vault.cli.options import VaultOption

if TYPE_CHECKING:
    from collections.abc import Callable

    from hitl_vault.adapters.ledger.reader import LedgerReader
    from hitl_vault.core.checkpoint import Checkpoint, Compared
    from hitl_vault.ports_trust import CheckpointStore


def checkpoint(
    to: Annotated[
        Path | None,
        typer.Option("--to", metavar="FILE", help="Add it to this file; else checkpoint_to."),
    ] = None,
    webhook: Annotated[
        str | None,
        typer.Option("--webhook", metavar="URL", help="POST it there; env:NAME reads the URL."),
    ] = None,
    sign: Annotated[
        Path | None, typer.Option("--sign", metavar="KEY", help="Sign it with this SSH key.")
    ] = None,
    vault: VaultOption = None,
) -> None:
    """Note the head of the chain outside of the vault.

    Whoever holds the note can see later whether the ledger was cut, made anew or replaced:
    hitl audit verify --against FILE. Without a place, the line is printed.
    """
    import asyncio
    from datetime import UTC, datetime

    from hitl_vault.cli.opening import reading
    from hitl_vault.core.checkpoint import Checkpoint, checkpoint_line
    from hitl_vault.errors import InvalidRequest

    if to is not None and webhook is not None:
        raise InvalidRequest("checkpoint: give --to or --webhook, not both")
    with reading(vault) as opened:
        head, vault_id = opened.ledger.head(), opened.ledger.vault_id
        root, place = opened.root, opened.settings.checkpoint_to
    now = datetime.now(UTC).replace(microsecond=0)
    noted = Checkpoint(vault=vault_id, seq=head.seq, hash=head.hash, at=now)
    if sign is not None:
        noted = _signed(noted, sign, root)
    line = checkpoint_line(noted)
    store = _store(to, webhook or place, root)
    if store is None:
        print(line)
        return
    asyncio.run(store.note(line))
    print(f"event {head.seq:,} noted: {store.name}")


def _store(to: Path | None, place: str, root: Path) -> CheckpointStore | None:
    from hitl_vault.adapters.checkpoint.file import FileCheckpoints
    from hitl_vault.wiring import checkpoint_store

    return FileCheckpoints(to) if to is not None else checkpoint_store(root, place)


def _signed(noted: Checkpoint, key: Path, root: Path) -> Checkpoint:
    from dataclasses import replace

    from hitl_vault.adapters.ssh.signing import AllowedSigners
    from hitl_vault.config import STATE_FOLDER
    from hitl_vault.core.checkpoint import NAMESPACE, signed_bytes

    signers = AllowedSigners(root / STATE_FOLDER / "allowed_signers")
    name, signature = signers.sign(NAMESPACE, signed_bytes(noted), key)
    return replace(noted, by=name, signature=signature)


def compared(
    ledger: LedgerReader, against: str, *, root: Path, signers: Path | None, signed: bool
) -> Compared:
    """Compare a chain that holds with the checkpoints at a file, a URL or stdin (`-`).

    Raises:
        InvalidRequest: They cannot be read.
        NotSent: The URL gave nothing.
    """
    from hitl_vault.core.chain import genesis
    from hitl_vault.core.checkpoint import compare

    def hash_at(seq: int) -> str:
        if seq == 0:
            return genesis(ledger.vault_id).hash
        ((_, _, found),) = ledger.stored_after(seq - 1, 1)
        return found

    return compare(
        _lines(against),
        vault=ledger.vault_id,
        head_seq=ledger.head().seq,
        hash_at=hash_at,
        complaint=_complaint(root, signers, signed=signed),
    )


def _complaint(root: Path, signers: Path | None, *, signed: bool) -> Callable[[Checkpoint], str]:
    from hitl_vault.adapters.ssh.signing import AllowedSigners
    from hitl_vault.config import STATE_FOLDER
    from hitl_vault.core.checkpoint import NAMESPACE, signed_bytes
    from hitl_vault.errors import TrustError

    allowed = AllowedSigners(signers or root / STATE_FOLDER / "allowed_signers")

    def complaint(noted: Checkpoint) -> str:
        if not noted.signature:
            return "it is not signed" if signed else ""
        try:
            allowed.verify(NAMESPACE, noted.by, signed_bytes(noted), noted.signature)
        except TrustError as error:
            return str(error)
        return ""

    return complaint


def _lines(against: str) -> list[str]:
    from hitl_vault.adapters.checkpoint.webhook import fetch_lines
    from hitl_vault.errors import InvalidRequest
    from hitl_vault.wiring import resolved_place

    if against == "-":
        return sys.stdin.read().splitlines()
    place = resolved_place(against)
    if place.startswith(("http://", "https://")):
        return fetch_lines(place)
    try:
        return Path(place).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"against: cannot read {place}: {error}") from error
