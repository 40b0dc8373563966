"""Owns the contracts of what proves, signs and witnesses. Never implements one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from hitl_vault.core.people import People
from hitl_vault.core.statement import Envelope


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyInForce:
    """A key that proves a signature, and for which times of commit: from, and before (aware UTC).

    None is no limit.
    """

    key_id: str
    valid_from: datetime | None = None
    valid_until: datetime | None = None


class Prover(Protocol):
    """Judges one kind of signature. Guarantees: never takes a key or a namespace that is not on
    record, or whose time is not now; never says yes in doubt.
    """

    kind: str

    async def key_of(self, envelope: Envelope, reviewer: str, at: datetime) -> KeyInForce:
        """Return the reviewer's key that made the signature; the ledger judges its times again.

        Raises:
            TrustError: It does not prove that this reviewer signed exactly these bytes.
        """
        ...


class SecondFactor(Protocol):
    """Judges time-based codes. Guarantees: constant-time; a step is returned for its code only."""

    def step_of(self, reviewer: str, typed: str, at: datetime) -> int | None:
        """Return the time step whose code was typed, None if it is none of the near ones.

        Raises:
            NoSecondFactor: The reviewer has none.
            ConfigError: It cannot be judged here.
        """
        ...

    def ends_at(self, step: int) -> datetime:
        """Return when the code of a step is near no more (aware UTC)."""
        ...


class CodeKey(Protocol):
    """The secret that one-time codes follow from: the same for every process of a vault."""

    def load(self) -> bytes:
        """Return it; made now if there is none.

        Raises:
            ConfigError, StorageError: It cannot be read or made, or others may read it.
        """
        ...


class PeopleSource(Protocol):
    """Where the record of reviewers and their keys comes from; read again whenever it has changed.

    Guarantees: cheap while nothing has changed: it is asked before every vote and every second.
    """

    def load(self) -> People:
        """Return who may answer, and by which keys.

        Raises:
            ConfigError: The reviewers cannot be read; the message names the file and what is wrong.
                Keys that cannot be read are said in `keys_problem`, and there are none.
        """
        ...


class PolicyLock(Protocol):
    """Says whether a policy was signed by somebody who may. Guarantees: never yes in doubt."""

    def seen(self) -> object:
        """Return something that compares unequal whenever the answer may have changed."""
        ...

    def signed_by(self, policy_sha256: str) -> str:
        """Return who signed the policy with this digest, "" if nobody did, as far as is shown."""
        ...


class CheckpointStore(Protocol):
    """Where heads of the chain are noted, outside of the vault.

    Guarantees: what is noted is added and changes nothing noted before.
    """

    name: str  # what it may be called in messages: no secret

    async def note(self, line: str) -> None:
        """Note one line; returns within seconds, or raises NotSent."""
        ...

    async def newest(self) -> str:
        """Return the line noted last, "" if it is not known."""
        ...


class EvidenceSource(Protocol):
    """Gathers what proves how a request came to be as it is."""

    async def bundle(self, id: str) -> bytes:
        """Return the evidence about one request as a .zip, what the settings hide left out.

        Raises:
            RequestNotFound: There is no such request.
            ConfigError: The list of keys cannot be read.
        """
        ...
