"""Owns the values of the domain: what an action, a request, a vote and an outcome are. Never acts.

Every value is immutable. Times are aware UTC datetimes (`_at`, `use_by`), durations seconds (`_s`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeAlias

from hitl_vault.core.tracing import Trace

Details: TypeAlias = dict[str, Any]
"""A JSON object. Treated as frozen: never changed in place after it entered a value."""

MAX_ID_BYTES = 120
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class Status(StrEnum):
    """Where a request stands; the legal moves are `steps.TRANSITIONS`."""

    PENDING = "pending"  # waits for a person
    APPROVED = "approved"  # may be claimed, once, before `use_by`
    REJECTED = "rejected"
    EXPIRED = "expired"  # not answered, or not claimed, in time
    CANCELLED = "cancelled"  # withdrawn before it ran
    EXECUTING = "executing"  # claimed; the action is running
    EXECUTED = "executed"
    FAILED = "failed"
    UNKNOWN = "unknown"  # the executor died; a person resolves it

    @property
    def is_terminal(self) -> bool:
        """True if the status can never change again."""
        return self in _TERMINAL

    @property
    def was_approved(self) -> bool:
        """True if a request in this status has been approved and not withdrawn since."""
        return self in _WAS_APPROVED


_TERMINAL = frozenset(
    {Status.REJECTED, Status.EXPIRED, Status.CANCELLED, Status.EXECUTED, Status.FAILED}
)
_WAS_APPROVED = frozenset(
    {Status.APPROVED, Status.EXECUTING, Status.EXECUTED, Status.FAILED, Status.UNKNOWN}
)


class _Ordered(StrEnum):
    """A StrEnum whose members are ordered as they are written, weakest first."""

    rank: int
    """Its place among them, from 0."""

    def __init__(self, _: str) -> None:
        self.rank = len(type(self).__members__)


class Effect(_Ordered):
    """What the policy says of an action; the later member wins."""

    ALLOW = "allow"
    ASK = "ask"
    DENY = "deny"


class Risk(_Ordered):
    """How much can go wrong, as the policy rates it."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


class Assurance(_Ordered):
    """How sure we are that a person gave an answer, weakest first."""

    EDITED = "edited"  # a file, or an unproved caller, says so
    AUTHENTICATED = "authenticated"  # an OS user, token or one-time code
    SIGNED = "signed"  # a key


class Repeats(_Ordered):
    """What the identical action comes to that is asked again, without a key, while one waits."""

    JOIN = "join"  # the same wish: it is one with what waits
    ASK = "ask"  # another wish: people are asked about both


class Answer(StrEnum):
    """What a reviewer may say."""

    APPROVE = "approve"
    REJECT = "reject"
    EDIT = "edit"  # approve, with changed details


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """What an agent wants to do."""

    type: str
    description: str
    details: Details
    requested_by: str
    agent: str = ""
    run_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One group of reviewers and how many of them must approve. No approvers: anyone."""

    approvers: tuple[str, ...] = ()
    quorum: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Escalation:
    """After `after_s` without a decision, the people and roles in `to` may answer too."""

    after_s: float
    to: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantLimit:
    """How wide a standing grant for what a rule asks about may be: so often, for so long."""

    uses: int = 1
    within_s: float = 86400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """Who must answer, how many, by when and how sure we must be."""

    stages: tuple[Stage, ...] = (Stage(),)
    timeout_s: float = 3600.0
    use_within_s: float = 86400.0
    answers: tuple[Answer, ...] = (Answer.APPROVE, Answer.REJECT)
    require_reason: tuple[Answer, ...] = ()
    assurance: Assurance = Assurance.EDITED
    veto: bool = True
    settle_s: float | None = None
    remind_s: tuple[float, ...] = ()
    escalate: tuple[Escalation, ...] = ()
    grant: GrantLimit | None = None  # None: every action is asked about
    hours: tuple[str, ...] = ()  # `remind_s`, `escalate` count only these; see `core.hours`
    repeats: Repeats = Repeats.ASK
    timeout_open_s: float | None = None  # a time to answer that counts only `hours`


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the policy says of one action, and why."""

    effect: Effect
    rules: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    risk: Risk = Risk.LOW
    requirement: Requirement = Requirement()
    policy_sha256: str = ""
    summary: str = ""

    @property
    def reason(self) -> str:
        """The reasons as one sentence for people."""
        return "; ".join(self.reasons)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One changed value between the details asked for and the details in force.

    `path` is a JSON Pointer (RFC 6901); `before` and `after` are compact JSON texts.
    """

    path: str
    before: str
    after: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Edited:
    """Details a reviewer changed: they replace the requested ones for everything that follows."""

    details: Details
    payload_sha256: str
    by: str
    at: datetime
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote:
    """One reviewer's answer to one exact payload."""

    reviewer: str
    answer: Answer
    at: datetime
    payload_sha256: str
    reason: str = ""
    assurance: Assurance = Assurance.EDITED
    channel: str = "api"
    stage: int = 0
    proof: str = ""
    on_behalf_of: str = ""  # whom the reviewer stood in for, where that is why they could answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """A one-time code sent to a reviewer: good for one answer to one exact payload.

    What the code is, is not recorded; whoever holds the vault's code key can work it out again.
    """

    code_id: str
    reviewer: str
    at: datetime
    expires_at: datetime
    payload_sha256: str
    tries: int = 0
    used: bool = False
    wrong: tuple[str, ...] = ()  # what tells the wrong guesses apart


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """The single right to execute. `holder` names the process or the lease it lives with."""

    claim_id: str
    executor: str
    holder: str
    at: datetime
    payload_sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How the execution ended; `status` is executed, failed or unknown."""

    status: Status
    at: datetime
    by: str
    result: Any = None
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comment:
    """A remark; it decides nothing."""

    comment_id: str
    author: str
    text: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """The record that asks about one action. `rev` starts at 1 and grows by 1 a step."""

    id: str
    rev: int
    status: Status
    action: Action
    payload_sha256: str
    verdict: Verdict
    created_at: datetime
    updated_at: datetime
    expires_at: datetime
    key: str | None = None
    use_by: datetime | None = None
    decided_at: datetime | None = None
    reason: str = ""
    votes: tuple[Vote, ...] = ()
    edited: Edited | None = None
    claim: Claim | None = None
    outcome: Outcome | None = None
    comments: tuple[Comment, ...] = ()
    reminded: int = 0
    escalated: int = 0
    codes: tuple[Code, ...] = ()
    refused: int = 0  # how many answers were recorded as forged, replayed or mistyped
    spent_proofs: tuple[str, ...] = ()
    trace: Trace | None = None  # which trace it was asked in

    @property
    def requirement(self) -> Requirement:
        """The requirement in force."""
        return self.verdict.requirement

    @property
    def details(self) -> Details:
        """The details in force: the edited ones where a reviewer changed them."""
        return self.action.details if self.edited is None else self.edited.details

    @property
    def payload_in_force(self) -> str:
        """The digest that votes and the claim must name."""
        return self.payload_sha256 if self.edited is None else self.edited.payload_sha256

    @property
    def reviewers(self) -> tuple[str, ...]:
        """Who answered, in the order of their present votes."""
        return tuple(vote.reviewer for vote in self.votes)

    @property
    def result(self) -> Any:
        """What the execution returned (JSON), None before."""
        return None if self.outcome is None else self.outcome.result


def make_id(at: datetime, slug: str, token: str) -> str:
    """Return a request id that sorts by time: `20261121-093012-payment-7f3ac91e04`.

    Args:
        at: Aware UTC time of asking.
        slug: Any text; reduced to `[a-z0-9-]`, at most 40 characters.
        token: At least 40 random bits as hexadecimal.
    """
    plain = re.sub(r"[^a-z0-9]+", "-", slug.lower()).strip("-")[:40].strip("-") or "action"
    return f"{at:%Y%m%d-%H%M%S}-{plain}-{token}"


def is_valid_id(text: str) -> bool:
    """True for `[A-Za-z0-9._-]`, at most 120 bytes, no leading or trailing dot, no `..`."""
    return (
        len(text) <= MAX_ID_BYTES
        and _ID.fullmatch(text) is not None  # ASCII only, so that characters are bytes
        and not text.endswith(".")
        and ".." not in text
    )
