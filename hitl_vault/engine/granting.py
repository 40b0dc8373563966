"""Owns making standing grants, listing them and taking them back. Never uses one."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta

from hitl_vault.core import commands as c
from hitl_vault.core import grants, voting
from hitl_vault.core.model import Action, Answer, Assurance, Details, Effect, Request, Verdict
from hitl_vault.core.register import Bound, Grant
from hitl_vault.engine.checks import MAX_TEXT_BYTES, name_of, seconds_of, text_of, word_of
from hitl_vault.engine.granted import record, strictest
from hitl_vault.engine.looking import Looking
from hitl_vault.engine.policies import Policies
from hitl_vault.errors import InvalidRequest, Refused, RequestNotFound
from hitl_vault.ports import Kept


class Granting(Looking):
    """The part of the API that makes standing grants, lists them and takes them back."""

    policies: Policies

    async def grants(self) -> list[Grant]:
        """Return the grants on record, oldest first: what can be used, and the latest others."""
        return list((await self._parts.ledger.register()).grants)

    async def grant(self, grant_id: str) -> Grant:
        """Return one grant. Raises RequestNotFound."""
        found = (await self._parts.ledger.register()).grant(grant_id)
        if found is None:
            raise RequestNotFound(f"there is no grant {grant_id!r}")
        return found

    async def make_grant(
        self,
        *,
        type: str,
        requested_by: str,
        bounds: Iterable[Bound],
        uses: int,
        until: datetime | float | str,
        by: str,
        reason: str = "",
        assurance: Assurance = Assurance.EDITED,
        from_request: str = "",
    ) -> Grant:
        """Approve beforehand what one requester may do, within bounds, so often, for a while.

        A grant answers only where the policy's rule has `grant:`, and only as far as that allows;
        it is judged each time it is used.

        Args:
            bounds: One for every value of the details; no bounds: actions without details.
            uses: How often, from 1.
            until: When it ends: an aware time, or how long it lasts, such as "3d".
            by: Who grants it: not the requester, and somebody who may answer when it is used.
            assurance: How sure the caller is of `by`; at most authenticated.

        Raises:
            InvalidRequest: A value cannot be accepted.
            Refused: It would be no sound grant; the message says why.
        """
        now = self._parts.clock.now()
        grant = Grant(
            grant_id=f"grant-{self._parts.token()}",
            by=name_of(by, "by"),
            assurance=word_of(assurance, Assurance, "assurance"),
            type=name_of(type, "type"),
            requested_by=name_of(requested_by, "requested_by"),
            bounds=tuple(bounds),
            uses=_whole(uses),
            made_at=now,
            expires_at=_end(until, now),
            reason=text_of(reason, "reason", MAX_TEXT_BYTES),
            from_request=from_request,
        )
        return await self._kept(c.MakeGrant(grant=grant), grant.grant_id)

    async def grant_like(
        self,
        id: str,
        *,
        uses: int,
        until: datetime | float | str,
        by: str,
        at_most: Mapping[str, float] | None = None,
        anything: Collection[str] = (),
        reason: str = "",
        assurance: Assurance = Assurance.EDITED,
    ) -> Grant:
        """Make a grant around a request that `by` approved: the same again, so often, for a while.

        Args:
            at_most: Values that may be anything from 0 to a number, such as `{"amount": 500}`;
                every other value must be the same again.
            anything: Names of values that may be any one text, number or truth value.

        Raises:
            Refused: It was not approved by `by`, or the policy allows no grant as wide.
            InvalidRequest: A name is not a value of the details; `uses` or `until` is wrong.
        """
        request = await self.get(id)
        mine = [vote for vote in request.votes if _approves(vote.reviewer, by, vote.answer)]
        if not request.status.was_approved or not mine:
            raise Refused(f"{request.id} is not approved by {by}; a grant follows an approval")
        self.check_grant_like(request, uses=uses, until=until, at_most=at_most, anything=anything)
        sure = min(mine[0].assurance, assurance, Assurance.AUTHENTICATED, key=lambda one: one.rank)
        return await self.make_grant(
            type=request.action.type,
            requested_by=request.action.requested_by,
            bounds=_bounds(request.details, at_most, anything),
            uses=uses,
            until=until,
            by=by,
            reason=reason,
            assurance=sure,
            from_request=request.id,
        )

    def check_grant_like(
        self,
        request: Request,
        *,
        uses: int,
        until: datetime | float | str,
        at_most: Mapping[str, float] | None = None,
        anything: Collection[str] = (),
        details: Details | None = None,
    ) -> None:
        """Raise what `grant_like` would raise once this is approved, with `details` if given."""
        details = request.details if details is None else details
        _bounds(details, at_most, anything)
        now = self._parts.clock.now()
        lasts = (_end(until, now) - now).total_seconds()
        self.policies.reload()
        verdict = strictest(request, self.policies, now, details)
        problem = "the policy does not ask for this now" if verdict is None else ""
        problem = problem or (grants.unusable(verdict) if verdict is not None else "")
        limit = verdict.requirement.grant if verdict is not None else None
        if not problem and limit is not None and _whole(uses) > limit.uses:
            problem = f"the policy allows a grant at most {limit.uses} uses here"
        if not problem and limit is not None and lasts > limit.within_s:
            allowed = timedelta(seconds=limit.within_s)
            problem = f"the policy allows a grant at most until {now + allowed:%Y-%m-%d %H:%M} UTC"
        if problem:
            raise Refused(f"no grant can be made of {request.id}: {problem}", request)

    def doubt_of(self, grant: Grant) -> str:
        """Return why the policy in force would not let a grant answer what it is for; "" if it may.

        Judged by an example at the bounds, so it is a hint for people and decides nothing.
        """
        now = self._parts.clock.now()
        verdict = self._verdict_on(grant, now)
        if verdict.effect is not Effect.ASK:
            return f"the policy says {verdict.effect} to it ({verdict.reason})"
        limit = verdict.requirement.grant
        if limit is not None and not grants.is_within(grant, limit, now):
            return "by the rule's own limit it is used up or over"
        return grants.unusable(verdict)

    def narrowed_to(self, grant: Grant) -> str:
        """Return to what the rule in force narrows a grant, such as "3 uses, until …"; "" if it
        leaves it as it is. By an example, as `doubt_of`.
        """
        verdict = self._verdict_on(grant, self._parts.clock.now())
        limit = verdict.requirement.grant if verdict.effect is Effect.ASK else None
        return "" if limit is None else grants.narrowed(grant, limit)

    def _verdict_on(self, grant: Grant, now: datetime) -> Verdict:
        action = Action(
            type=grant.type,
            description="",
            details=grants.example(grant.bounds),
            requested_by=grant.requested_by,
        )
        self.policies.reload()
        return self.policies.evaluate(action, now)

    async def revoke_grant(self, grant_id: str, *, by: str, reason: str = "") -> Grant:
        """Take a grant back: nothing is answered with it from now on.

        What it approved before stays approved; cancel that where it has not run.
        """
        found = await self.grant(grant_id)
        command = c.RevokeGrant(
            grant_id=found.grant_id,
            by=name_of(by, "by"),
            reason=text_of(reason, "reason", MAX_TEXT_BYTES),
        )
        return await self._kept(command, found.grant_id)

    async def _kept(self, command: c.MakeGrant | c.RevokeGrant, grant_id: str) -> Grant:
        receipt = await record(self._parts, command)
        grant = None if receipt.register is None else receipt.register.grant(grant_id)
        if receipt.kept not in {Kept.ACCEPTED, Kept.DUPLICATE} or grant is None:
            raise Refused(receipt.message)
        return grant


def _approves(reviewer: str, by: str, answer: Answer) -> bool:
    return voting.person(reviewer) == voting.person(by) and answer is not Answer.REJECT


def _bounds(
    details: Details, at_most: Mapping[str, float] | None, anything: Collection[str]
) -> tuple[Bound, ...]:
    try:
        return grants.bounds_for(details, at_most=at_most, anything=anything)
    except ValueError as error:
        raise InvalidRequest(f"grant: {error}") from error


def _whole(uses: int) -> int:
    if type(uses) is not int or not 1 <= uses <= grants.MAX_USES:
        raise InvalidRequest(f"uses must be a whole number from 1 to {grants.MAX_USES:,}")
    return uses


def _end(until: datetime | float | str, now: datetime) -> datetime:
    if not isinstance(until, datetime):
        return now + timedelta(seconds=seconds_of(until, "until", above_zero=True) or 0.0)
    if until.tzinfo is None:
        raise InvalidRequest("until must be a time with its time zone, or a duration such as 3d")
    return until
