"""Owns saying whether the desk can work, part by part. Never mends anything."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from hitl_vault.engine.parts import Parts
from hitl_vault.engine.policies import Policies
from hitl_vault.errors import HitlVaultError


async def readiness(
    parts: Parts, policies: Policies, tasks: Sequence[asyncio.Task[None]]
) -> dict[str, str]:
    """Return what is wrong with each part, "" where it works: `ledger`, `vault`, `policy`."""
    return {
        "ledger": await _ledger(parts),
        "vault": await _vault(parts, tasks),
        "policy": _policy(policies),
    }


async def _ledger(parts: Parts) -> str:
    """It can be read, takes what is stored, and is still the one that was opened: `count` looks at
    the file anew.
    """
    try:
        await parts.ledger.count(parts.clock.now())
        await parts.ledger.check_storing()
    except HitlVaultError as error:
        return str(error)
    return ""


async def _vault(parts: Parts, tasks: Sequence[asyncio.Task[None]]) -> str:
    if not parts.watching:
        return "the notes are not watched: this process was opened without"
    ended = [task.get_name() for task in tasks if task.done()]
    if ended:
        return f"the notes are not watched any more: {', '.join(ended)} ended"
    try:
        await parts.vault.check_storing()
    except HitlVaultError as error:
        return f"no note can be written: {error}"
    return ""


def _policy(policies: Policies) -> str:
    try:
        policies.reload()
    except HitlVaultError as error:
        return str(error)
    return "" if policies.problem is None else str(policies.problem)
