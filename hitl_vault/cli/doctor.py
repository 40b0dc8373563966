"""Owns `hitl doctor`: looks at everything that can be wrong with a vault, and says what to do.

Never repairs anything unless told to.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from hitl_vault.cli.options import JsonOption, VaultOption

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hitl_vault.cli.checks import Check


def doctor(
    vault: VaultOption = None,
    json: JsonOption = False,
    reindex: Annotated[
        bool,
        typer.Option(
            "--reindex",
            help="First build the ledger's search indexes anew, if its events and requests prove "
            "themselves whole; else change nothing.",
        ),
    ] = False,
) -> None:
    """Look for trouble, and say what to do about it."""
    import asyncio

    from hitl_vault.cli.checks import Mark
    from hitl_vault.records import as_json

    if reindex:
        _reindex(vault)
    checks = asyncio.run(_checked(vault))
    wrong = [check for check in checks if check.mark is Mark.WRONG]
    if json:
        listed = [
            {"mark": c.mark.name.lower(), "what": c.what, "found": c.found, "advice": c.advice}
            for c in checks
        ]
        print(as_json({"ok": not wrong, "checks": listed}))
    else:
        _print(checks)
    if wrong:
        raise typer.Exit(1)


def _reindex(vault: str | None) -> None:
    from hitl_vault.cli.opening import reading
    from hitl_vault.cli.printing import remark

    with reading(vault, warn=False) as opened:
        head = opened.ledger.rebuild_indexes()
    remark(f"the search indexes of the ledger are new; {head.seq:,} events hold")


async def _checked(vault: str | None) -> list[Check]:
    import logging
    from pathlib import Path

    from hitl_vault.cli import (
        checks,
        checks_access,
        checks_around,
        checks_people,
        checks_proofs,
        checks_telling,
        checks_trust,
    )
    from hitl_vault.cli.checks_living import living
    from hitl_vault.cli.opening import locate, log_to

    root, settings = locate(vault)
    log_to(logging.NullHandler())  # what would be logged is what the checks find
    found = [
        *checks.folders(root, settings),
        *checks.ledger(root),
        *checks.policy(root, settings),
        *checks.templates(root),
        *checks_people.people(root, settings),
        *checks_people.trust(root, settings),
        *checks_trust.modes(root, settings),
        *checks_trust.reviewers_keys(root, Path.home()),
        *checks_trust.lock(root, settings),
        *checks_trust.checkpoints(root, settings),
        *checks_trust.ignored_by_git(root),
        *checks_telling.ways(root),
        *await checks_telling.letters(root),
        *checks_proofs.proofs(root, settings),
        *checks_access.access(root),
        *checks_around.disk(root),
        *checks_around.neighbours(root, settings),
        *checks_around.obsidian(root),
    ]
    return found + await living(root, settings)


def _print(checks: Sequence[Check]) -> None:
    from hitl_vault.cli.checks import Mark
    from hitl_vault.cli.printing import Cell, print_lines, safe

    styles = {Mark.GOOD: "green", Mark.NOTE: "dim", Mark.LOOK: "yellow", Mark.WRONG: "bold red"}
    width = max(len(check.what) for check in checks)
    for check in checks:
        style, found = styles[check.mark], f"  {safe(check.found)}"
        print_lines([Cell(f"{check.mark.value} {check.what.ljust(width)}", style, found)])
        if check.advice:
            print_lines([Cell(f"    {safe(check.advice)}")])
    wrong = sum(check.mark is Mark.WRONG for check in checks)
    look = sum(check.mark is Mark.LOOK for check in checks)
    verdict = f"{wrong} wrong, {look} to look at" if wrong or look else "all is well"
    print(f"\n{verdict}")
    sys.stdout.flush()
