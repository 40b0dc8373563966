"""Owns putting on record which policy is in force: what changed, and what of it loosens. Never
judges whether it may come into force; `policies` does.

Whichever process sees a policy come into force first records it; for the others, and while nothing
changes, this costs nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

from hitl_vault.core import commands as c
from hitl_vault.core.canonical import with_details
from hitl_vault.core.model import Request, Status
from hitl_vault.core.policy import Policy
from hitl_vault.core.policy_diff import compare, looser
from hitl_vault.engine.parts import Options, Parts
from hitl_vault.engine.policies import Policies, Taken
from hitl_vault.errors import StorageError
from hitl_vault.ports import Filter

_log = logging.getLogger(__name__)
_RECENT = 200
_NAMED = 20
_MAX_LINES = 100
_MAX_CHARS = 500


class PolicyRecord:
    """Records the policies of one vault."""

    def __init__(self, parts: Parts, policies: Policies) -> None:
        self._parts, self._policies = parts, policies
        self._failed = ""

    async def update(self) -> None:
        """Put a policy that has come into force on record; one that cannot be is tried again."""
        taken = self._policies.taken
        if taken is None:
            return
        try:
            await self._record(taken)
        except StorageError as error:  # it is in force all the same: the file says so
            if str(error) != self._failed:
                _log.error("the policy in force could not be put on record: %s", error)
            self._failed = str(error)
            return
        self._failed = ""
        self._policies.recorded(taken)

    async def _record(self, taken: Taken) -> None:
        on_record = (await self._parts.ledger.register()).policy_sha256
        if on_record == taken.policy.sha256:
            return
        changes, loosens = await self._told(taken, on_record)
        await self._parts.ledger.record(
            c.RecordPolicy(
                sha256=taken.policy.sha256,
                changes=tuple(line[:_MAX_CHARS] for line in _cut(changes, _MAX_LINES)),
                loosens=loosens,
                signed_by=taken.signed_by,
            )
        )
        if loosens:
            told = "; ".join(line for line in changes if line.startswith("looser")) or changes[0]
            _log.warning("policy %s is in force and loosens: %s", taken.policy.sha256[:12], told)

    async def _told(self, taken: Taken, on_record: str) -> tuple[list[str], bool]:
        if not on_record:
            return [f"the first on record: {_size(taken.policy)}"], False
        if taken.before is None or taken.before.sha256 != on_record:
            gone = f"the policy on record before it, {on_record[:12]}, is not kept here"
            return [f"{gone}: what changed cannot be told", _size(taken.policy)], True
        options = self._parts.options
        found = compare(
            taken.before,
            taken.policy,
            timeout_s=options.timeout_s,
            use_within_s=options.use_within_s,
        )
        waiting = await self._parts.ledger.find(Filter(statuses=frozenset({Status.PENDING})))
        recent = await self._parts.ledger.find(Filter(limit=_RECENT))
        requests = list({request.id: request for request in (*waiting, *recent)}.values())
        named = list(judged_looser(taken.before, taken.policy, requests, options))
        reasons = [f"looser: {reason}" for reason in found.reasons]
        return [*found.changes, *reasons, *_cut(named, _NAMED)], found.loosens or bool(named)


def judged_looser(
    old: Policy, new: Policy, requests: Sequence[Request], options: Options
) -> Iterator[str]:
    """Yield a line for each request that the new policy would judge less strictly."""
    for request in requests:
        action = with_details(request.action, request.details)
        one, other = (
            policy.evaluate(
                action,
                request.created_at,
                default_timeout_s=options.timeout_s,
                default_use_within_s=options.use_within_s,
            )
            for policy in (old, new)
        )
        if why := looser(one, other):
            yield f"looser for {request.id} ({request.status}): {why}"


def _cut(lines: Sequence[str], most: int) -> list[str]:
    left = len(lines) - most
    return [*lines[:most], f"and {left} more"] if left > 0 else list(lines)


def _size(policy: Policy) -> str:
    rules = "1 rule" if len(policy.rules) == 1 else f"{len(policy.rules)} rules"
    return f"{rules}, default {policy.default}"
