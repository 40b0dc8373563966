"""Owns the commands: every change anybody can ask for. Never decides whether it may happen.

A command says who wants what of which request. `lifecycle.apply` judges it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

from hitl_vault.core.model import Action, Answer, Assurance, Change, Details, Status, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """Create the request. Idempotent on `id` and on `key`, by the payload digest."""

    id: str
    action: Action
    payload_sha256: str
    verdict: Verdict
    key: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposedEdit:
    """The changed details of an `edit` answer, already judged again by the policy."""

    details: Details
    payload_sha256: str
    changes: tuple[Change, ...]
    verdict: Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote:
    """A reviewer answers. `payload_sha256` is the digest the reviewer saw; `roles` are theirs."""

    id: str
    reviewer: str
    answer: Answer
    payload_sha256: str
    reason: str = ""
    assurance: Assurance = Assurance.EDITED
    channel: str = "api"
    roles: frozenset[str] = frozenset()
    edit: ProposedEdit | None = None
    proof: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel:
    """Withdraw the request, before it runs."""

    id: str
    by: str
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """Take the single right to execute. `denied_by` is the deny rule in force now, if any."""

    id: str
    claim_id: str
    executor: str
    holder: str
    payload_sha256: str
    denied_by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finish:
    """Report how the claimed execution ended: executed, failed or unknown."""

    id: str
    claim_id: str
    status: Status
    by: str
    result: Any = None
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolve:
    """A person says how an execution with an unknown end really ended."""

    id: str
    by: str
    status: Status
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expire:
    """Make a passed deadline visible."""

    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Remind:
    """Record that reminder number `number` (from 0) is due."""

    id: str
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Escalate:
    """Record that escalation number `number` (from 0) is due: more people may answer."""

    id: str
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Comment:
    """Add a remark. Idempotent on `comment_id`."""

    id: str
    comment_id: str
    author: str
    text: str


Command: TypeAlias = (
    Ask | Vote | Cancel | Claim | Finish | Resolve | Expire | Remind | Escalate | Comment
)
