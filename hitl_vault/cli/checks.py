"""Owns the checks of `hitl doctor` that only look at files. Never changes one."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from hitl_vault.cli.opening import ledger_of
from hitl_vault.config import STATE_FOLDER, Settings
from hitl_vault.core.chain import Break
from hitl_vault.errors import StorageError

_ADVICE = {  # by the error's code; what is not here says itself what to do
    "newer_format": "upgrade hitl-vault here; the ledger itself is well",
    "ledger_corrupt": "keep a copy of it before you change anything",
}


class Mark(Enum):
    """How good a finding is."""

    GOOD = "✓"
    NOTE = "·"
    LOOK = "!"
    WRONG = "✗"


@dataclass(frozen=True, slots=True)
class Check:
    """What was looked at, what was found and what to do about it."""

    mark: Mark
    what: str
    found: str
    advice: str = ""


def folders(root: Path, settings: Settings) -> Iterator[Check]:
    """Look at the folders and who may write and read them."""
    names = [
        settings.pending_folder,
        settings.approved_folder,
        settings.rejected_folder,
        settings.done_folder,
    ]
    for name in names:
        nearest = _nearest(root / name)
        if not nearest.is_dir():
            what = nearest.relative_to(root).as_posix()
            kind = "a file" if nearest.is_file() else "no folder"
            found = f"{what} is {kind}, so no note can be written there"
            yield Check(Mark.WRONG, "vault", found, "move it away; the folder is made again")
            return
    closed = [name for name in ("", *names) if not os.access(_nearest(root / name), os.W_OK)]
    if closed:
        listed = ", ".join(name or str(root) for name in closed)
        yield Check(Mark.WRONG, "vault", f"cannot write to {listed}", f"chown or chmod: {listed}")
    else:
        yield Check(Mark.GOOD, "vault", str(root))
    state = root / STATE_FOLDER
    mode = stat.S_IMODE(state.stat().st_mode)
    if mode & 0o077:
        yield Check(
            Mark.LOOK, STATE_FOLDER, f"others may enter it (mode {mode:o})", f"chmod 700 {state}"
        )
    else:
        yield Check(Mark.GOOD, STATE_FOLDER, f"mode {mode:o}")


def _nearest(path: Path) -> Path:
    while not path.exists():
        path = path.parent
    return path


def ledger(root: Path) -> Iterator[Check]:
    """Open the ledger, prove its chain and look through its file."""
    file = root / STATE_FOLDER / "ledger.db"
    try:
        with closing(ledger_of(root)) as opened:
            found, journal = opened.verify(), opened.journal_mode()
    except StorageError as error:
        yield Check(Mark.WRONG, "ledger", str(error), _ADVICE.get(error.code, ""))
        return
    mode = stat.S_IMODE(file.stat().st_mode)
    if mode & 0o077:
        yield Check(Mark.LOOK, "ledger", f"others may read it (mode {mode:o})", f"chmod 600 {file}")
    if journal != "wal":
        yield Check(
            Mark.LOOK,
            "journal",
            "this file system, or a program that has the ledger open, keeps SQLite from its "
            "write-ahead log: it is as safe and slower, and who reads may wait for who writes",
            f"keep {STATE_FOLDER} on a local disk",
        )
    if isinstance(found, Break):
        yield Check(
            Mark.WRONG,
            "chain",
            found.problem,
            "somebody changed the ledger, or the disk did: keep a copy, compare with a backup",
        )
    else:
        yield Check(Mark.GOOD, "chain", f"{found.seq:,} events hold, head {found.hash[:12]}")


def policy(root: Path, settings: Settings) -> Iterator[Check]:
    """Read the rules."""
    from hitl_vault.core.policy import Severity, lint_policy, parse_policy

    file = root / settings.policy
    try:
        text = file.read_bytes()
    except OSError as error:
        advice = f"make it again with: hitl init {root}"
        yield Check(Mark.WRONG, "policy", f"{settings.policy}: {error.strerror}", advice)
        return
    problems = lint_policy(text, name=settings.policy)
    for problem in problems:
        wrong = problem.severity is Severity.ERROR
        yield Check(
            Mark.WRONG if wrong else Mark.LOOK,
            "policy",
            f"{settings.policy}:{problem.line}: {problem.message}",
            "until it is mended, the last good policy is in force" if wrong else "",
        )
    if not any(problem.severity is Severity.ERROR for problem in problems):
        rules = len(parse_policy(text, name=settings.policy).rules)
        yield Check(Mark.GOOD, "policy", f"{settings.policy}, {rules} rules")


def templates(root: Path) -> Iterator[Check]:
    """Fill the vault's own templates with a sample."""
    from hitl_vault.adapters.vault.templates import VaultRenderer
    from hitl_vault.cli.sample import VOTERS, sample

    folder = root / STATE_FOLDER / "templates"
    renderer = VaultRenderer(folder)
    renderer.render(sample())
    renderer.render(sample(), voters=VOTERS)
    if renderer.problem is not None:
        advice = "mend it, or take it out; until then notes are written by the built-in one"
        yield Check(Mark.WRONG, "templates", str(renderer.problem), advice)
        return
    own = sorted(file.name for file in folder.glob("*.j2"))
    yield Check(
        Mark.GOOD, "templates", f"your own: {', '.join(own)}" if own else "the built-in one"
    )
