"""Owns what the engine is made of: the ports it was given and its options. Never builds them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from hitl_vault.core.voting import person
from hitl_vault.document.render import Renderer
from hitl_vault.ports import Clock, Ledger, PolicySource, Presence, VaultFolder, Watcher


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How the engine behaves; seconds throughout. See `config.Settings` for what each one does."""

    settle_s: float = 1.0
    timeout_s: float = 3600.0
    use_within_s: float = 86400.0
    archive_after_s: float = 3600.0
    rescan_s: float = 2.0
    missing_after_s: float = 5.0
    unreadable_after_s: float = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The ports of one vault.

    `watching` false: the engine reads no notes and runs no timers, and watches only while somebody
    waits, for commits of other processes.
    """

    ledger: Ledger
    vault: VaultFolder
    watcher: Watcher
    watching: bool
    policy: PolicySource
    presence: Presence
    clock: Clock
    renderer: Renderer
    token: Callable[[], str]
    executor: str
    options: Options = Options()
    roles: Mapping[str, frozenset[str]] = field(default_factory=dict)
    absolute: Callable[[str], str] = str

    def roles_of(self, reviewer: str) -> frozenset[str]:
        """Return the roles a reviewer holds."""
        return self.roles.get(person(reviewer), frozenset())
