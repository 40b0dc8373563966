"""Owns the commands: every change anybody can ask for. Never decides whether it may happen.

A command says who wants what of which request. `lifecycle.apply` judges it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

from hitl_vault.core.model import (
    Action,
    Answer,
    Assurance,
    Change,
    Details,
    GrantLimit,
    Status,
    Verdict,
)
from hitl_vault.core.register import Grant
from hitl_vault.core.tracing import Trace


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """Create the request. Idempotent on `id` and on `key`, by the payload digest.

    With `join`, an ask without a key is one with the pending request for the same payload that has
    none either (`lifecycle.joins`). `max_pending` and `max_per_minute` limit what one requester may
    ask for; 0 is no limit. `trace` is kept with the request, and judged by nobody.
    """

    id: str
    action: Action
    payload_sha256: str
    verdict: Verdict
    key: str | None = None
    join: bool = False
    max_pending: int = 0
    max_per_minute: int = 0
    trace: Trace | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposedEdit:
    """The changed details of an `edit` answer, already judged again by the policy."""

    details: Details
    payload_sha256: str
    changes: tuple[Change, ...]
    verdict: Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote:
    """A reviewer answers. `payload_sha256` is the digest the reviewer saw; `roles` are theirs.

    `standing_for` are those who named the reviewer in their absence, each with their roles.
    `not_on_record` says why the name of the reviewer alone opens no stage, "" where it does.
    `proof` is what shows that the reviewer answered, `proof_id` its digest: it counts once.
    It counts for an answer stored from `valid_from` on, and before `valid_until` (aware UTC); None
    where it has no such limit. `code_id` names the one-time code that was typed, already compared.
    `grant` is the use of a standing grant that answers: recorded before, and judged again.
    `is_role` is true where the reviewer's name is that of a role.
    """

    id: str
    reviewer: str
    answer: Answer
    payload_sha256: str
    reason: str = ""
    assurance: Assurance = Assurance.EDITED
    channel: str = "api"
    roles: frozenset[str] = frozenset()
    standing_for: tuple[tuple[str, frozenset[str]], ...] = ()
    is_role: bool = False
    not_on_record: str = ""
    edit: ProposedEdit | None = None
    proof: str = ""
    proof_id: str = ""
    valid_from: datetime | None = None
    valid_until: datetime | None = None
    code_id: str = ""
    grant: UseGrant | None = None


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
    """Record that escalation number `number` (from 0) is due: more people may answer.

    `nobody` are the names and roles that nobody on record holds now.
    """

    id: str
    number: int
    nobody: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Comment:
    """Add a remark. Idempotent on `comment_id`."""

    id: str
    comment_id: str
    author: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class IssueCode:
    """Send a reviewer a one-time code for the payload in force. Idempotent on `code_id`."""

    id: str
    code_id: str
    reviewer: str
    valid_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Refuse:
    """Record that an answer was not what it claims to be: forged, replayed, expired or mistyped.

    With `code_id`, it was a wrong guess at that code; `guess` tells it from other wrong ones, and
    the same one counts once.
    """

    id: str
    reviewer: str
    channel: str
    problem: str
    code_id: str = ""
    guess: str = ""


Command: TypeAlias = (
    Ask
    | Vote
    | Cancel
    | Claim
    | Finish
    | Resolve
    | Expire
    | Remind
    | Escalate
    | Comment
    | IssueCode
    | Refuse
)
"""What can be asked of one request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordPolicy:
    """Put on record which policy is in force. `changes` are lines for people."""

    sha256: str
    changes: tuple[str, ...] = ()
    loosens: bool = False
    signed_by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordReviewers:
    """Put on record who may answer and by which keys: a digest, and what changed, for people."""

    sha256: str
    changes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeGrant:
    """Allow actions within bounds for a while. Idempotent on `grant.grant_id`."""

    grant: Grant


@dataclass(frozen=True, slots=True, kw_only=True)
class UseGrant:
    """Use a grant for one request, once for each request. The bounds are judged before.

    `limit` is what the policy's rules allow of a grant by now; it is counted by the narrower.
    """

    grant_id: str
    request_id: str
    limit: GrantLimit


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokeGrant:
    """Take a grant back."""

    grant_id: str
    by: str
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpendFactor:
    """Use up a reviewer's time-based code: its step counts for one answer, named by `use_id`."""

    reviewer: str
    step: int
    use_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MissFactor:
    """Count a wrong code in a reviewer's name, whatever request it was typed for."""

    reviewer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordAlert:
    """Put on record that an alert fires, or no longer does. `message` says so for people."""

    name: str
    fires: bool
    message: str
    value: float
    threshold: float


RegisterCommand: TypeAlias = (
    RecordPolicy
    | RecordReviewers
    | MakeGrant
    | UseGrant
    | RevokeGrant
    | SpendFactor
    | MissFactor
    | RecordAlert
)
"""What can be asked of the register, which is of the vault as a whole."""
