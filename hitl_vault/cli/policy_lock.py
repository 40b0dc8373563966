"""Owns `hitl policy lock`: signing a policy that loosens, and saying whether one waits for it.

Never puts a policy in force: the desk does, once it sees the signature.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hitl_vault.cli.options import VaultOption

if TYPE_CHECKING:
    from hitl_vault.adapters.policy.lock import FilePolicyLock
    from hitl_vault.config import Settings
    from hitl_vault.core.policy import Policy
    from hitl_vault.engine.policies import Policies


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How the policy in the file and the one in force stand to each other."""

    policies: Policies
    lock: FilePolicyLock
    written: Policy
    locked: bool

    @property
    def waits(self) -> str:
        """Why the written policy is not in force, "" if it is."""
        return str(self.policies.problem or "")

    @property
    def lines(self) -> tuple[list[str], bool]:
        """What the written policy changes, as lines, and whether it loosens."""
        from hitl_vault.core.policy_diff import compare

        if self.policies.current.sha256 == self.written.sha256:
            return [], False
        found = compare(self.policies.current, self.written)
        return [*found.changes, *(f"looser: {reason}" for reason in found.reasons)], found.loosens


def standing(root: Path, settings: Settings) -> Standing:
    """Look at the policy as the desk does; changes nothing.

    Raises:
        PolicyError: The policy cannot be read.
    """
    from hitl_vault.adapters.clock import SystemClock
    from hitl_vault.adapters.policy.file import FilePolicy
    from hitl_vault.cli.opening import ledger_of, log_to
    from hitl_vault.config import STATE_FOLDER
    from hitl_vault.core.policy import parse_policy
    from hitl_vault.engine.policies import Policies
    from hitl_vault.wiring import options_of, policy_lock

    log_to(logging.NullHandler())
    state = root / STATE_FOLDER
    ledger = ledger_of(root)
    try:
        on_record, vault_id = ledger.register().policy_sha256, ledger.vault_id
    finally:
        ledger.close()
    source = FilePolicy(root / settings.policy, kept=state / "policy.last-good")
    written = parse_policy(source.load(), name=source.name)
    lock = policy_lock(root, vault_id)
    used = lock if settings.policy_lock else None
    policies = Policies(source, options_of(settings), SystemClock(), used, on_record)
    wait_s = policies.reload()
    if wait_s is not None:
        time.sleep(wait_s)
        policies.reload()
    return Standing(policies=policies, lock=lock, written=written, locked=settings.policy_lock)


def lock(
    sign: Annotated[
        Path | None,
        typer.Option("--sign", metavar="KEY", help="Sign the policy as it is written, with this."),
    ] = None,
    status: Annotated[
        bool, typer.Option("--status", help="Say whether the policy waits for a signature.")
    ] = False,
    vault: VaultOption = None,
) -> None:
    """Sign a policy that loosens, so that it counts.

    With `policy_lock = true` in config.toml, a policy that loosens waits for this. KEY is an SSH
    key; its public half must stand in .hitl/allowed_signers. Exits 1 while the policy waits.
    """
    from hitl_vault.cli.opening import locate
    from hitl_vault.errors import InvalidRequest

    if sign is None and not status:
        raise InvalidRequest("lock: say --status, or --sign KEY")
    root, settings = locate(vault)
    found = standing(root, settings)
    _print_changes(found)
    if sign is not None:
        name = found.lock.sign(found.written.sha256, sign, datetime.now(UTC))
        print(f"signed by {name}: policy {found.written.sha256[:12]}")
        found = standing(root, settings)
    _print_status(found)
    if found.waits:
        raise typer.Exit(1)


def _print_changes(found: Standing) -> None:
    from hitl_vault.cli.printing import Cell, print_lines, safe

    lines, loosens = found.lines
    if not lines and not found.waits:
        return
    print_lines([Cell(f"  {safe(line)}", "yellow" if "looser" in line else "") for line in lines])
    if lines:
        print("this loosens" if loosens else "this loosens nothing")


def _print_status(found: Standing) -> None:
    from hitl_vault.cli.printing import Cell, print_lines, safe

    signed_by = found.lock.signed_by(found.written.sha256)
    said = f"signed by {signed_by}" if signed_by else "not signed"
    print_lines([Cell(f"policy {found.written.sha256[:12]}: {safe(said)}")])
    if not found.locked:
        print("policies are not locked: any change comes into force by itself (policy_lock)")
    elif found.waits:
        print_lines([Cell(f"✗ {safe(found.waits)}", "red")])
    else:
        print("policies are locked; this one may be in force")
