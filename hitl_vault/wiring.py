"""Owns putting adapters into the engine: the only module that knows both. Never decides."""

from __future__ import annotations

import contextlib
import getpass
import os
import socket
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from hitl_vault.adapters.checkpoint.file import FileCheckpoints
from hitl_vault.adapters.checkpoint.webhook import WebhookCheckpoints
from hitl_vault.adapters.clock import SystemClock
from hitl_vault.adapters.ledger.evidence import LedgerEvidence
from hitl_vault.adapters.ledger.sqlite import SqliteLedger
from hitl_vault.adapters.notify.file import FileChannels
from hitl_vault.adapters.outbox.sqlite import SqliteOutbox
from hitl_vault.adapters.people.file import FilePeople
from hitl_vault.adapters.policy.file import FilePolicy
from hitl_vault.adapters.policy.lock import FilePolicyLock
from hitl_vault.adapters.presence.leases import FileLeases
from hitl_vault.adapters.presence.lockfile import LockfilePresence
from hitl_vault.adapters.proof.code_key import FileCodeKey
from hitl_vault.adapters.proof.hmac import HmacKeys, HmacProver
from hitl_vault.adapters.proof.ssh import SshProver
from hitl_vault.adapters.proof.totp import TotpFactors
from hitl_vault.adapters.ssh.signing import AllowedSigners
from hitl_vault.adapters.tokens import Tokens
from hitl_vault.adapters.tracing.opentelemetry import OpenTelemetryTracer
from hitl_vault.adapters.vault.filesystem import FilesystemVault, FolderNames
from hitl_vault.adapters.vault.index import DocumentIndex
from hitl_vault.adapters.vault.templates import VaultMessages, VaultRenderer
from hitl_vault.adapters.vault.traces import trace_of_a_ledger
from hitl_vault.adapters.watch.supervised import SupervisedWatcher
from hitl_vault.config import STATE_FOLDER, Settings, find_vault, load_settings
from hitl_vault.engine import orchestrator
from hitl_vault.engine.parts import Options, Parts, Telling
from hitl_vault.errors import ConfigError, InvalidRequest
from hitl_vault.ports import Clock
from hitl_vault.ports_trust import CheckpointStore, Prover


class Orchestrator(orchestrator.Orchestrator):
    """The approval desk of the vault in a folder.

    Args:
        vault: The folder, made by `hitl init`; None finds it as the command line does.
        watching: False reads no notes and runs no timers: for a short-lived process.
        overrides: Any setting by its name, such as `settle_s=0`.
    """

    def __init__(
        self,
        vault: str | os.PathLike[str] | None = None,
        *,
        watching: bool = True,
        clock: Clock | None = None,
        **overrides: Any,
    ) -> None:
        named = (os.environ.get("HITL_VAULT") or None) if vault is None else _path(vault)
        if not isinstance(watching, bool):
            raise InvalidRequest(f"watching must be True or False, not {watching!r:.80}")
        self.root = find_vault(Path.cwd(), named)
        self.settings = load_settings(self.root, os.environ, overrides)
        super().__init__(lambda: assemble(self.root, self.settings, watching=watching, clock=clock))


def _path(vault: object) -> str:
    if not isinstance(vault, str | os.PathLike):
        raise InvalidRequest(f"vault must be a path, not {type(vault).__name__}")
    named = os.fspath(vault)
    if not isinstance(named, str) or not named:
        raise InvalidRequest("vault is empty; name its folder, or pass None to look for it")
    return named


def assemble(
    root: Path, settings: Settings, *, watching: bool = True, clock: Clock | None = None
) -> Parts:
    """Open the vault at `root` and return everything the engine needs."""
    clock = clock or SystemClock()
    state = root / STATE_FOLDER
    names = FolderNames(
        pending=settings.pending_folder,
        approved=settings.approved_folder,
        rejected=settings.rejected_folder,
        done=settings.done_folder,
    )
    renderer = VaultRenderer(state / "templates")
    with contextlib.ExitStack() as opened:  # what fails leaves nothing open
        ledger = open_ledger(root, clock)
        opened.callback(ledger.close)
        index = DocumentIndex(state / "documents.db", settings.done_folder)
        opened.callback(index.close)
        keys = state / "keys"
        provers: list[Prover] = [
            SshProver(state / "allowed_signers"),
            HmacProver(HmacKeys(keys / "hmac.toml")),
        ]
        parts = Parts(
            ledger=ledger,
            vault=FilesystemVault(root, names, index),
            watcher=SupervisedWatcher(
                root,
                mode=settings.watch,  # type: ignore[arg-type]
                also=frozenset({settings.policy}),
            ),
            policy_path=settings.policy,
            watching=watching,
            policy=FilePolicy(root / settings.policy, kept=state / "policy.last-good"),
            presence=LockfilePresence(state / "run", FileLeases(state / "leases", clock)),
            clock=clock,
            renderer=renderer,
            token=Tokens().take,
            executor=f"{os_user()}@{socket.gethostname()}:{os.getpid()}",
            options=options_of(settings),
            people=FilePeople(state / "reviewers.toml").load,
            provers={prover.kind: prover for prover in provers},
            tracer=OpenTelemetryTracer(),
            code_key=FileCodeKey(keys / "code.key"),
            second_factor=TotpFactors(keys / "totp.toml"),
            absolute=lambda path: str(root / path),
            checkpoints=checkpoint_store(root, settings.checkpoint_to) if watching else None,
            evidence=LedgerEvidence(ledger, state / "allowed_signers", settings.redact),
            vault_id=ledger.vault_id,
            policy_lock=policy_lock(root, ledger.vault_id) if settings.policy_lock else None,
            telling=Telling(
                outbox=SqliteOutbox(state / "outbox.db"),
                channels=FileChannels(state, clock, settings.redact),
                messages=VaultMessages(state / "templates"),
            ),
        )
        opened.pop_all()
    return parts


def open_ledger(root: Path, clock: Clock | None = None) -> SqliteLedger:
    """Open the ledger of the vault at `root`."""
    state = root / STATE_FOLDER
    return SqliteLedger(
        state / "ledger.db",
        clock or SystemClock(),
        bell=state / "bell",
        lost=partial(trace_of_a_ledger, state),
    )


def checkpoint_store(root: Path, place: str) -> CheckpointStore | None:
    """Return where checkpoints go: a file, or a URL; None for "".

    Raises:
        ConfigError: The place is neither, or its environment variable is not set.
    """
    if not place:
        return None
    found = resolved_place(place)
    if found.startswith(("http://", "https://")):
        return WebhookCheckpoints(found, root / STATE_FOLDER / "checkpoint.last")
    file = Path(found).expanduser()
    if not file.is_absolute():
        raise ConfigError(f"checkpoint_to: {found!r} must be a full path or a URL")
    return FileCheckpoints(file)


def resolved_place(place: str) -> str:
    """Return a place of checkpoints, read from the environment where it says env:NAME."""
    if not place.startswith("env:"):
        return place
    found = os.environ.get(place.removeprefix("env:"), "")
    if not found:
        raise ConfigError(f"checkpoint_to: {place} names an environment variable that is not set")
    return found


def policy_lock(root: Path, vault_id: str) -> FilePolicyLock:
    """Return what says whether a policy of the vault at `root` is signed."""
    state = root / STATE_FOLDER
    signers = AllowedSigners(state / "allowed_signers")
    return FilePolicyLock(state / "policy.lock", vault_id, signers)


def options_of(settings: Settings) -> Options:
    """Return what the engine needs of the settings."""
    names = Options.__dataclass_fields__
    values: Mapping[str, Any] = {name: getattr(settings, name) for name in names}
    return Options(**values)


def os_user() -> str:
    """Return the name of the user this process runs as, as the system knows it.

    The environment is not asked: anybody can set `USER`.
    """
    try:
        import pwd

        return pwd.getpwuid(os.getuid()).pw_name
    except (ImportError, KeyError):
        return getpass.getuser()
