"""Owns answering a request with a standing grant. Never counts a use and never decides.

The ledger does both, each in one commit. A use is committed before the answer it is for, so that a
crash in between loses a use, and never makes one; the commit of the answer judges the grant again.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import datetime
from functools import reduce

from hitl_vault.core import commands as c
from hitl_vault.core import grants, lifecycle
from hitl_vault.core.canonical import with_details
from hitl_vault.core.model import Answer, Details, Effect, Request, Status, Verdict
from hitl_vault.core.register import Grant
from hitl_vault.core.requirements import stricter
from hitl_vault.core.steps import Step
from hitl_vault.engine.parts import Parts
from hitl_vault.engine.policies import Policies
from hitl_vault.errors import Indeterminate, StorageError
from hitl_vault.ports import Kept, Receipt

_log = logging.getLogger(__name__)


async def answer_by_grant(parts: Parts, policies: Policies, request: Request) -> Request:
    """Approve a request that waits, if a standing grant covers it; else return it as it stands.

    Safe to repeat and to run in several processes at once: one request uses one grant once. Never
    raises what storage says: the request is recorded, and waits for a person then.
    """
    untouched = not (request.votes or request.comments or request.edited)
    if request.requirement.grant is None or request.status is not Status.PENDING or not untouched:
        return request
    try:
        return await _answer(parts, policies, request)
    except StorageError as error:
        _log.warning("%s waits for a person; no grant could be used: %s", request.id, error)
        return request


async def _answer(parts: Parts, policies: Policies, request: Request) -> Request:
    register = await parts.ledger.register()
    # as the ledger reckons it: a clock set back prolongs nothing
    now = max(parts.clock.now(), request.updated_at, register.updated_at or request.updated_at)
    verdict = strictest(request, policies, now)
    if verdict is None or grants.unusable(verdict):
        return request
    limit = verdict.requirement.grant
    assert limit is not None, "a grant is usable only where the policy has a limit"
    begun = [grant for grant in register.grants if request.id in grant.used_for]
    open_ones = [grant for grant in register.grants if grants.is_within(grant, limit, now)]
    going = [grant for grant in begun if grant.revoked_at is None and now < grant.expires_at]
    for grant in going if begun else sorted(open_ones, key=lambda one: one.expires_at):
        vote = _vote(parts, grant, request)
        if grants.outside(grant, request.action) or not _approves_it(request, verdict, vote, now):
            continue
        use = c.UseGrant(grant_id=grant.grant_id, request_id=request.id, limit=limit)
        receipt = await record(parts, use)
        if receipt.kept in {Kept.ACCEPTED, Kept.DUPLICATE}:
            under = replace(vote, channel=grants.CHANNEL, grant=use)
            answered = await _submit(parts, under)
            return answered.request or request
    return request


def strictest(
    request: Request, policies: Policies, now: datetime, details: Details | None = None
) -> Verdict | None:
    """Return what the recorded verdict and every policy read by now demand together.

    None where a policy does not ask, or cannot be read: nothing is answered by a grant then.
    """
    action = with_details(request.action, request.details if details is None else details)
    fresh = policies.verdicts(action, now, request.requirement.timeout_s)
    if policies.problem is not None or any(one.effect is not Effect.ASK for one in fresh):
        return None
    return reduce(stricter, fresh, request.verdict)


def _approves_it(request: Request, verdict: Verdict, vote: c.Vote, now: datetime) -> bool:
    """True if the vote alone would approve the request, by the rules for anybody's vote.

    Of the grant nothing is judged here: it is not used yet.
    """
    judged = lifecycle.apply(replace(request, verdict=verdict), vote, now)
    return isinstance(judged, Step) and judged.request.status is Status.APPROVED


def _vote(parts: Parts, grant: Grant, request: Request) -> c.Vote:
    because = f": {grant.reason}" if grant.reason else ""
    return c.Vote(
        id=request.id,
        reviewer=grant.by,
        answer=Answer.APPROVE,
        payload_sha256=request.payload_sha256,
        reason=f"under {grant.grant_id}{because}",
        assurance=grant.assurance,
        proof=grant.grant_id,
        **parts.standing(grant.by),
    )


async def record(parts: Parts, command: c.RegisterCommand) -> Receipt:
    """Record a command; where the commit may or may not have happened, once more."""
    try:
        return await parts.ledger.record(command)
    except Indeterminate:
        return await parts.ledger.record(command)  # the same ids: it counts once


async def _submit(parts: Parts, vote: c.Vote) -> Receipt:
    try:
        return await parts.ledger.submit(vote)
    except Indeterminate:
        return await parts.ledger.submit(vote)
