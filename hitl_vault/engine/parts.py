"""Owns what the engine is made of: the ports it was given and its options. Never builds them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypedDict

from hitl_vault.core.model import Request
from hitl_vault.core.people import People
from hitl_vault.document.message import MessageRenderer
from hitl_vault.document.render import Renderer
from hitl_vault.document.voters import NOBODY, Voters, asks_several, voters_of
from hitl_vault.engine.alerts import Thresholds
from hitl_vault.errors import ConfigError
from hitl_vault.ports import Clock, Ledger, PolicySource, Presence, VaultFolder, Watcher
from hitl_vault.ports_telling import ChannelSource, Outbox
from hitl_vault.ports_trust import (
    CheckpointStore,
    CodeKey,
    EvidenceSource,
    PolicyLock,
    Prover,
    SecondFactor,
)
from hitl_vault.ports_watching import Tracer, Untraced

_UNREADABLE = (
    "the record of reviewers cannot be read, so no name and no role counts until it is mended; "
    "`hitl doctor` says what is wrong with it"
)
_UNKNOWN = "this name is not, or no longer, on record as a reviewer"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options(Thresholds):
    """How the engine behaves; seconds throughout. See `config.Settings` for what each one does."""

    settle_s: float = 1.0
    timeout_s: float = 3600.0
    use_within_s: float = 86400.0
    archive_after_s: float = 3600.0
    rescan_s: float = 2.0
    missing_after_s: float = 5.0
    unreadable_after_s: float = 30.0
    checkpoint_every_s: float = 86400.0
    max_pending_per_agent: int = 0
    max_requests_per_minute: int = 0
    code_valid_s: float = 3600.0
    codes: str = "auto"
    serve_url: str = ""


class Standing(TypedDict):
    """What a vote says of its reviewer beside the name."""

    roles: frozenset[str]
    is_role: bool
    standing_for: tuple[tuple[str, frozenset[str]], ...]
    not_on_record: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Telling:
    """What telling people is made of."""

    outbox: Outbox
    channels: ChannelSource
    messages: MessageRenderer


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The ports of one vault.

    `policy_path` is where the policy lies, relative to the vault, with `/`.
    `watching` false: the engine reads no notes and runs no timers, and watches only while somebody
    waits, for commits of other processes. Without `telling`, people are told only by their notes.
    One-time codes are worked out from `code_key`; None where there is none.
    `vault_id` is what signed answers name the vault by, and what the id of every message begins
    with; `provers` judge such answers, by the kind of their keys.
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
    policy_path: str = "Policy.md"
    options: Options = Options()
    people: Callable[[], People] = People
    policy_lock: PolicyLock | None = None
    checkpoints: CheckpointStore | None = None
    evidence: EvidenceSource | None = None
    vault_id: str = ""
    provers: Mapping[str, Prover] = field(default_factory=dict)
    code_key: CodeKey | None = None
    second_factor: SecondFactor | None = None
    absolute: Callable[[str], str] = str
    telling: Telling | None = None
    tracer: Tracer = field(default_factory=Untraced)

    def standing(self, reviewer: str) -> Standing:
        """Return as whom this person answers now; as nobody where the record cannot be read."""
        try:
            people = self.people()
        except ConfigError:
            return Standing(
                roles=frozenset(), is_role=False, standing_for=(), not_on_record=_UNREADABLE
            )
        missing = people.on_record and people.find(reviewer) is None
        return Standing(
            roles=people.roles_of(reviewer),
            is_role=people.is_role(reviewer),
            standing_for=people.standing_for(reviewer, self.clock.now()),
            not_on_record=_UNKNOWN if missing else "",
        )

    def unheld(self, names: Iterable[str]) -> tuple[str, ...]:
        """Return the names and roles of these that nobody on record holds now."""
        try:
            return self.people().unheld(names)
        except ConfigError:  # who holds what is not known; `standing` lets nobody answer
            return ()

    def voters(self, request: Request) -> Voters:
        """Return who may answer a request now, for their own lines in its note.

        Raises:
            ConfigError: The record of people cannot be read.
        """
        if not asks_several(request.requirement):
            return NOBODY
        return voters_of(request, self.people(), self.clock.now())

    def voters_to_show(self, request: Request) -> Voters:
        """Return them for writing a note, which never fails for the record of people."""
        try:
            return self.voters(request)
        except ConfigError as error:
            _log.error("notes are written without lines for each person: %s", error)
            return NOBODY
