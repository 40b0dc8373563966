"""Owns what `hitl run` does: asks, waits, runs the approved command once, records how it ended.

Never runs a command twice for one approval, and never another one than was approved.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hitl_vault.cli.opening import desk, reading
from hitl_vault.cli.printing import remark, safe
from hitl_vault.cli.progress import waiting
from hitl_vault.cli.signals import Forwarding
from hitl_vault.core.model import Details, Effect, Request, Status
from hitl_vault.core.steps import resolving
from hitl_vault.document.sentences import unwritten
from hitl_vault.errors import Conflict, OutcomeNotRecorded, OutcomeUnknown

if TYPE_CHECKING:
    from hitl_vault.engine.execution import Execution
    from hitl_vault.wiring import Orchestrator

NOT_FOUND, NOT_EXECUTABLE = 127, 126  # as shells report them


async def ask_and_run(
    vault: str | None, type: str, description: str, wanted: Details, asked: dict[str, Any]
) -> int:
    """Ask, wait, run and record; return the exit code."""
    async with desk(vault, watching=True) as hitl:
        if not _known(vault, asked):
            verdict = hitl.evaluate(type, wanted, requested_by=asked["requested_by"])
            missing = _missing(wanted["command"], wanted["cwd"])
            if missing and verdict.effect is not Effect.DENY:
                remark(f"{missing}; nothing was asked")
                return NOT_FOUND
            if verdict.effect is Effect.ALLOW:
                with Forwarding() as signals:
                    return (await _spawn(wanted, signals))[0]
        request = await hitl.request_approval(type, description, wanted, **asked)
        request = await _approved(hitl, request, asked)
        return await _once(hitl, request)


def _known(vault: str | None, asked: dict[str, Any]) -> bool:
    with reading(vault, warn=False) as opened:
        by_key = asked["key"] and opened.ledger.get_by_key(asked["key"])
        return bool(by_key or (asked["id"] and opened.ledger.get(asked["id"])))


async def _approved(hitl: Orchestrator, request: Request, asked: dict[str, Any]) -> Request:
    if request.status is Status.PENDING:
        remark(f"asked for approval: {request.id}")
        note = await hitl.document_path(request.id)
        remark(f"answer in {safe(note)}" if note else unwritten(request.id))
    try:
        async with waiting(request):
            return await hitl.wait_for_approval(request.id)
    except asyncio.CancelledError:
        again = "--key" if asked["key"] else f"--id {request.id}"
        remark(f"stopped waiting; {request.id} still waits for its answer, and nothing ran")
        remark(f"go on with the same command and {again}; withdraw with: hitl cancel {request.id}")
        raise


async def _once(hitl: Orchestrator, request: Request) -> int:
    execution = hitl.execution(request.id)
    with Forwarding() as signals:
        try:
            await execution.claim()
        except Conflict as conflict:
            current = conflict.current
            if current is None or not current.status.was_approved:
                raise
        else:
            return await _claimed(execution, signals)
    return await _ran_before(hitl, current)


async def _claimed(execution: Execution, signals: Forwarding) -> int:
    """Run what was approved and record how it ended, whatever signals come."""
    edited = execution.request.edited
    if edited is not None:
        remark(f"{safe(edited.by)} approved it with changes; what they approved is what runs")
    code, result, error = await _attempt(execution, signals)
    if result is None:
        remark(error)
    status = Status.EXECUTED if code == 0 else Status.FAILED
    try:
        await execution.finish(status, result=result, error=error)
    except OutcomeNotRecorded:
        remark(f"the command has run and ended with exit code {code}")
        raise
    return code


async def _attempt(
    execution: Execution, signals: Forwarding
) -> tuple[int, dict[str, Any] | None, str]:
    if signals.caught is not None:
        return 128 + signals.caught, None, "interrupted before it was started"
    problem = _unusable(execution.details)
    if problem:
        return NOT_EXECUTABLE, None, f"not started: {problem}"
    try:
        code, result = await _spawn(execution.details, signals)
    except OSError as error:
        return NOT_EXECUTABLE, None, f"not started: {error}"
    return code, result, f"exit code {code}" if code else ""


def _unusable(details: Details) -> str:
    command = details.get("command")
    if not isinstance(command, list) or not command:
        return "the approved details hold no command"
    if not all(isinstance(word, str) and "\0" not in word for word in command):
        return "the approved command is not a list of texts"
    return _missing(command, str(details.get("cwd", ".")))


def _missing(command: list[str], folder: str) -> str:
    """Say why a command cannot be started, "" if it can."""
    if not Path(folder).is_dir():
        return f"there is no folder {folder}"
    name = command[0]
    found = shutil.which(str(Path(folder) / name) if os.sep in name else name)
    return "" if found else f"{name} is no command that can be run here"


async def _spawn(details: Details, signals: Forwarding) -> tuple[int, dict[str, Any]]:
    """Run it with our own stdin, stdout and stderr; return its exit code as a shell reports it."""
    child = await asyncio.create_subprocess_exec(*details["command"], cwd=details["cwd"])
    signals.child = child
    returned = await child.wait()
    if returned >= 0:
        return returned, {"exit_code": returned}
    return 128 - returned, {"exit_code": 128 - returned, "signal": -returned}


async def _ran_before(hitl: Orchestrator, request: Request) -> int:
    """Exit as the run before did; it is not run again."""
    if request.status is Status.EXECUTING:
        remark(f"{request.id} is running in another process; waiting for its end")
    ended = await hitl.wait_for_outcome(request.id)
    if ended.status is Status.UNKNOWN:
        raise OutcomeUnknown(
            f"{ended.id} was started and its end is not known, so it does not run again; "
            f"{resolving(ended.id)}",
            ended,
        )
    recorded = ended.result.get("exit_code") if isinstance(ended.result, dict) else None
    code = recorded if isinstance(recorded, int) else int(ended.status is not Status.EXECUTED)
    remark(f"{ended.id} ran before and ended {ended.status}, exit code {code}; it is not run again")
    return code
