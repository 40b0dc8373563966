"""Owns the checks of `hitl doctor` of what proves answers: keys, and who may read them.

Never shows a secret, and never changes a file.
"""

from __future__ import annotations

import importlib.util
import shutil
import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from hitl_vault.adapters.proof.hmac import HmacKeys
from hitl_vault.adapters.proof.secret_files import load_secret
from hitl_vault.adapters.proof.totp import TotpFactors
from hitl_vault.adapters.ssh.allowed_signers import load_signers
from hitl_vault.cli.checks import Check, Mark
from hitl_vault.config import STATE_FOLDER, Settings
from hitl_vault.errors import ConfigError, PolicyError

_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_WRITE = stat.S_IWGRP | stat.S_IWOTH


def proofs(root: Path, settings: Settings) -> Iterator[Check]:
    """Look at every file of keys, and whether the policy asks for what there is none of."""
    state = root / STATE_FOLDER
    yield from _signers(state / "allowed_signers")
    yield from _secrets(state / "keys")
    yield from _asked_for(root / settings.policy, state)


def _signers(file: Path) -> Iterator[Check]:
    try:
        known = load_signers(file)
    except ConfigError as error:
        yield Check(Mark.WRONG, "signatures", str(error), "mend it; until then no SSH key counts")
        return
    for signer in known:
        if signer.problem:
            found = f"{file.name}:{signer.line}: {signer.problem}"
            yield Check(Mark.WRONG, "signatures", found, "until it is mended this line is nobody's")
    if known and shutil.which("ssh-keygen") is None:
        advice = "install OpenSSH 8.7 or newer (openssh-client): no SSH signature can be judged"
        yield Check(Mark.WRONG, "signatures", "ssh-keygen is not installed", advice)
    if known and stat.S_IMODE(file.stat().st_mode) & _WRITE:
        found = f"others may change {file.name}, and so who may sign"
        yield Check(Mark.WRONG, "signatures", found, f"chmod go-w {file}; look at what is in it")
    if known and not any(signer.problem for signer in known):
        yield Check(Mark.GOOD, "signatures", f"{len(known)} SSH keys")


def _secrets(folder: Path) -> Iterator[Check]:
    if not folder.is_dir():
        return
    mode = stat.S_IMODE(folder.stat().st_mode)
    if mode & _OTHERS:
        yield Check(
            Mark.LOOK, "keys", f"others may enter it (mode {mode:o})", f"chmod 700 {folder}"
        )
    try:
        keys = HmacKeys(folder / "hmac.toml")
        now = datetime.now(UTC)
        for key in keys.load().values():
            if key.ends_at is None or now < key.ends_at:
                keys.secret_of(key)
        factors = TotpFactors(folder / "totp.toml").names()
        load_secret(folder / "code.key")
    except ConfigError as error:
        yield Check(Mark.WRONG, "keys", str(error), "until then what needs it is refused")
        return
    if factors and importlib.util.find_spec("pyotp") is None:
        advice = "python -m pip install 'hitl-vault[totp]'"
        yield Check(Mark.WRONG, "keys", "second factors cannot be judged here", advice)
    held = list(folder.iterdir())
    if held and not any(stat.S_IMODE(file.stat().st_mode) & _OTHERS for file in [folder, *held]):
        yield Check(Mark.GOOD, "keys", "readable by you alone")


def _asked_for(policy: Path, state: Path) -> Iterator[Check]:
    from hitl_vault.core.model import Assurance
    from hitl_vault.core.policy import parse_policy

    try:
        rules = parse_policy(policy.read_bytes(), name=policy.name).rules
    except (OSError, PolicyError):
        return  # said by another check
    wanted = [rule.id for rule in rules if rule.assurance is Assurance.SIGNED]
    if wanted and not any(
        (state / name).exists() for name in ("allowed_signers", "keys/hmac.toml")
    ):
        yield Check(
            Mark.LOOK,
            "signatures",
            f"the rule {wanted[0]} asks for signed answers, and nobody has a key",
            "hitl reviewer key NAME --add FILE.pub; until then nobody can answer it",
        )
