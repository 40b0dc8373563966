"""Owns the values of the register: what is on record for a vault as a whole. Never acts.

The policy and the reviewers in force, standing grants, used-up second factors, which alerts fire.
`registering` judges what may change it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from hitl_vault.core.model import Assurance

REGISTER_ID = "~register"
"""What events of the register are filed under. No request can have this id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """What a grant allows one value of the details to be.

    `path` is a JSON Pointer (RFC 6901) to a value that is not an object. Exactly one of the others
    is given: `equals` (compact JSON text), `at_most` (a number, 0 the least), or `anything`.
    """

    path: str
    equals: str | None = None
    at_most: float | None = None
    anything: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """A standing approval of one type of action by one requester, within bounds, for a while.

    Every value of an action's details must be within a bound of its own; a value without one is
    outside of the grant.
    """

    grant_id: str
    by: str
    assurance: Assurance
    type: str
    requested_by: str
    bounds: tuple[Bound, ...]
    uses: int
    made_at: datetime
    expires_at: datetime
    reason: str = ""
    from_request: str = ""
    used_for: tuple[str, ...] = ()
    revoked_at: datetime | None = None
    revoked_by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpentFactor:
    """The newest time step of a reviewer's second factor that was used, and for what."""

    reviewer: str
    step: int
    use_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MissedFactor:
    """How many codes of a reviewer's second factor were wrong, since the first of them."""

    reviewer: str
    since: datetime
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StandingAlert:
    """Whether an alert fires, and since when it does or does not."""

    name: str
    fires: bool
    since: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Register:
    """The vault's record; `rev` 0 where nothing was ever recorded, and grows by 1 a step."""

    rev: int = 0
    updated_at: datetime | None = None
    policy_sha256: str = ""
    reviewers_sha256: str = ""
    grants: tuple[Grant, ...] = ()
    spent_factors: tuple[SpentFactor, ...] = ()
    missed_factors: tuple[MissedFactor, ...] = ()
    alerts: tuple[StandingAlert, ...] = ()

    def grant(self, grant_id: str) -> Grant | None:
        """Return a grant by its id, in force or not."""
        return next((grant for grant in self.grants if grant.grant_id == grant_id), None)

    def alert(self, name: str) -> StandingAlert | None:
        """Return how an alert stands, None if it never fired."""
        return next((alert for alert in self.alerts if alert.name == name), None)
