"""Owns one process of a race: it does the same things as its twins at the same moments.

Reads lines `ID WHAT AT` (AT: the monotonic moment to act), answers `ID WHAT OUTCOME`.
"""

from __future__ import annotations

import asyncio
import sys
import time

from hitl_vault import Conflict, Orchestrator


async def act(hitl: Orchestrator, id: str, what: str, me: str) -> str:
    try:
        if what == "claim":
            async with hitl.execution(id, executor=me):
                pass
        elif what == "approve":
            return str((await hitl.approve(id, reviewer=me)).status)
        else:
            return str((await hitl.reject(id, reviewer=me)).status)
    except Conflict:
        return "conflict"
    return "ran"


async def main(root: str, me: str) -> None:
    loop = asyncio.get_running_loop()
    async with Orchestrator(root, watching=False) as hitl:
        print("ready", flush=True)
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            id, what, at = line.split()
            time.sleep(max(0.0, float(at) - time.monotonic()))
            print(id, what, await act(hitl, id, what, me), flush=True)


asyncio.run(main(*sys.argv[1:]))
