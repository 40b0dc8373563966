"""Owns the checks of `hitl doctor` of who could tamper: modes, keys, the lock, checkpoints.

Never changes a file, and never reads a private key.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hitl_vault.adapters.ledger.reader import LedgerReader
from hitl_vault.adapters.ssh.allowed_signers import decoded, load_signers
from hitl_vault.cli.checks import Check, Mark
from hitl_vault.cli.opening import ledger_of
from hitl_vault.config import STATE_FOLDER, Settings
from hitl_vault.errors import ConfigError, HitlVaultError

_WORTH_A_CHECKPOINT = 100  # events
_LISTED = 5


def modes(root: Path, settings: Settings) -> Iterator[Check]:
    """Look for state, keys and rules that other users may write, and keys they may read."""
    state = root / STATE_FOLDER
    written = [state, *(file for file in sorted(state.rglob("*")) if not file.is_symlink())]
    open_ones = [file for file in written if _mode(file) & 0o022]
    if open_ones:
        listed = ", ".join(str(file.relative_to(root)) for file in open_ones[:_LISTED])
        yield Check(
            Mark.LOOK,
            "modes",
            f"other users may write {listed}",
            f"chmod -R go-rwx {state}",
        )
    for file in sorted((state / "keys").rglob("*")):
        if file.is_file() and _mode(file) & 0o077:
            advice = f"chmod 600 {file}, and make a new one: it may have been read"
            yield Check(Mark.WRONG, "keys", f"other users may read {file.name}", advice)
    policy = root / settings.policy
    if _mode(policy) & 0o022:
        yield Check(
            Mark.LOOK,
            "policy",
            f"other users may write {settings.policy}",
            f"chmod go-w {policy}; or let it need a signature: policy_lock = true",
        )


def _mode(file: Path) -> int:
    try:
        return stat.S_IMODE(file.stat().st_mode)
    except OSError:
        return 0


def reviewers_keys(root: Path, home: Path) -> Iterator[Check]:
    """Look for private keys of reviewers where the engine, and so every agent, can read them."""
    try:
        allowed = {signer.key for signer in load_signers(root / STATE_FOLDER / "allowed_signers")}
    except ConfigError:
        return  # said by another check
    for public in sorted((home / ".ssh").glob("*.pub")):
        private = public.with_suffix("")
        try:
            kind, encoded = public.read_text(encoding="utf-8").split()[:2]
            key = decoded(encoded)
        except (OSError, UnicodeDecodeError, ValueError):
            continue
        # a key of the kind sk- is of no use without its token
        if key in allowed and not kind.startswith("sk-") and os.access(private, os.R_OK):
            yield Check(
                Mark.LOOK,
                "keys",
                f"{private} signs answers here, and what runs as this user can read it",
                "keep it under another user, or use a hardware key; a passphrase helps a little",
            )


def lock(root: Path, settings: Settings) -> Iterator[Check]:
    """See whether a policy waits for its signature, and whether anybody could give it."""
    from hitl_vault.cli.policy_lock import standing

    if not settings.policy_lock:
        return
    if not (root / STATE_FOLDER / "allowed_signers").is_file():
        advice = f"put the public keys of those who may into {STATE_FOLDER}/allowed_signers"
        yield Check(Mark.WRONG, "policy lock", "no key may sign a policy", advice)
    try:
        waits = standing(root, settings).waits
    except HitlVaultError as error:
        yield Check(Mark.WRONG, "policy lock", str(error))
        return
    if waits:
        advice = "read what it changes: hitl policy lock --status; then sign it, or take it back"
        yield Check(Mark.WRONG, "policy lock", waits, advice)
    else:
        yield Check(Mark.GOOD, "policy lock", "on; a policy that loosens waits for a signature")


def checkpoints(root: Path, settings: Settings) -> Iterator[Check]:
    """See whether the head of the chain is noted elsewhere, lately, and agrees."""
    from hitl_vault.core.chain import Break

    try:
        ledger = ledger_of(root)
    except HitlVaultError:
        return  # said already
    try:
        if isinstance(ledger.verify(), Break):
            return  # said already
        if settings.checkpoint_to:
            yield _compared(ledger, root, settings)
        elif ledger.head().seq >= _WORTH_A_CHECKPOINT:
            yield Check(
                Mark.LOOK,
                "checkpoints",
                "the head of the chain is noted nowhere else",
                "a ledger cut or replaced as a whole is found by that only: set checkpoint_to, or "
                "run hitl audit checkpoint --to FILE now and then",
            )
    finally:
        ledger.close()


def _compared(ledger: LedgerReader, root: Path, settings: Settings) -> Check:
    from hitl_vault.cli.audit_checkpoint import compared
    from hitl_vault.wiring import checkpoint_store

    try:
        store = checkpoint_store(root, settings.checkpoint_to)
        place = getattr(store, "path", None)
        if place is None:
            return Check(Mark.GOOD, "checkpoints", f"sent to {store.name if store else ''}")
        if root.resolve() in place.resolve().parents:
            advice = "whoever can change the ledger can change it too: keep it elsewhere"
            return Check(Mark.LOOK, "checkpoints", f"{place} lies in the vault", advice)
        found = compared(ledger, str(place), root=root, signers=None, signed=False)
    except HitlVaultError as error:
        advice = "a running desk writes it: hitl watch; or run hitl audit checkpoint"
        return Check(Mark.LOOK, "checkpoints", str(error), advice)
    if found.problems:
        advice = "keep a copy of the ledger and of the checkpoints; compare with a backup"
        return Check(Mark.WRONG, "checkpoints", found.problems[0], advice)
    newest = found.newest
    old = timedelta(seconds=2 * settings.checkpoint_every_s)
    behind = newest is not None and newest.seq < ledger.head().seq
    if newest is not None and behind and datetime.now(UTC) - newest.at > old:
        advice = "no desk is open: run hitl watch"
        return Check(Mark.LOOK, "checkpoints", f"the last one is of {newest.at:%F}", advice)
    return Check(Mark.GOOD, "checkpoints", f"{found.agreeing} agree, in {place}")


def ignored_by_git(root: Path) -> Iterator[Check]:
    """See that git would not take the ledger up."""
    git = shutil.which("git")
    if git is None:
        return
    try:
        asked = subprocess.run(  # noqa: S603  a fixed command line
            [git, "-C", str(root), "check-ignore", "-q", "--no-index", f"{STATE_FOLDER}/ledger.db"],
            capture_output=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return
    if asked.returncode == 1:  # in a repository, and not ignored
        yield Check(
            Mark.LOOK,
            "git",
            f"git does not ignore the ledger in {STATE_FOLDER}",
            f"put ledger.db* and documents.db* into {STATE_FOLDER}/.gitignore, as hitl init does",
        )
