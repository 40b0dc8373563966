"""Owns the checks of `hitl doctor` that need the engine: watching, what waits, grants, notes.

Never answers: a look at the notes reads them as the desk always does.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

from hitl_vault.adapters.watch.supervised import SupervisedWatcher
from hitl_vault.cli.checks import Check, Mark
from hitl_vault.config import Settings
from hitl_vault.core.model import Status
from hitl_vault.core.registering import is_in_force
from hitl_vault.core.steps import resolving
from hitl_vault.errors import HitlVaultError
from hitl_vault.records import standing
from hitl_vault.wiring import Orchestrator

_TRIED_AFTER_S = 1.5  # the watcher's own test of events takes a second at most


async def living(root: Path, settings: Settings) -> list[Check]:
    """Try out watching, and look at the requests and their notes."""
    try:
        async with Orchestrator(root, watching=False) as hitl:
            await hitl.read_notes()
            found = [await _watching(root, settings), *await _requests(hitl), *await _grants(hitl)]
            found += [
                Check(Mark.LOOK, "note", f"{notice.path} {notice.text}", notice.advice)
                for notice in hitl.notices()
            ]
    except HitlVaultError as error:
        return [Check(Mark.WRONG, "engine", str(error))]
    return found


async def _watching(root: Path, settings: Settings) -> Check:
    watcher = SupervisedWatcher(root, mode=settings.watch)  # type: ignore[arg-type]
    watcher.start(lambda _: None)
    try:
        await asyncio.sleep(_TRIED_AFTER_S)
        health = watcher.health()
    finally:
        await watcher.aclose()
    by_events = health.startswith("file events")
    return Check(Mark.GOOD if by_events else Mark.LOOK, "watching", health)


async def _requests(hitl: Orchestrator) -> list[Check]:
    open_ones = await hitl.list_requests(
        status=[Status.PENDING, Status.APPROVED, Status.EXECUTING, Status.UNKNOWN]
    )
    waiting = [request for request in open_ones if standing(request) is Status.PENDING]
    overdue = [
        request
        for request in open_ones
        if request.status is Status.PENDING and standing(request) is Status.EXPIRED
    ]
    unknown = [request for request in open_ones if request.status is Status.UNKNOWN]
    found = [Check(Mark.GOOD, "requests", f"{len(waiting)} waiting")]
    if overdue:
        found.append(
            Check(
                Mark.LOOK,
                "overdue",
                f"{len(overdue)} expired, and nobody has noted it",
                "no desk is open: run hitl watch",
            )
        )
    found += [
        Check(
            Mark.LOOK,
            "unknown end",
            request.id,
            resolving(request.id),
        )
        for request in unknown
    ]
    return found


async def _grants(hitl: Orchestrator) -> list[Check]:
    now = datetime.now(UTC)
    usable = [grant for grant in await hitl.grants() if is_in_force(grant, now)]
    doubts = [(grant, hitl.doubt_of(grant)) for grant in usable]
    found = [Check(Mark.GOOD, "grants", f"{len(usable)} can be used")] if usable else []
    return found + [
        Check(
            Mark.LOOK,
            "grant",
            f"{grant.grant_id} answers nothing: {doubt}",
            f"change the policy, or: hitl grant revoke {grant.grant_id}",
        )
        for grant, doubt in doubts
        if doubt
    ]
