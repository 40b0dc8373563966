"""Owns one process of a race for the uses of a grant: asks, and runs at once what is approved.

Arguments: the vault, a file that gets one line for each run, and the keys to ask with.
"""

from __future__ import annotations

import asyncio
import os
import sys

from hitl_vault import Conflict, Orchestrator, Status


async def pay(hitl: Orchestrator, runs: int, key: str) -> None:
    number = int(key.rpartition("-")[2])
    asked = await hitl.request_approval(
        "payment", "", {"amount": number % 50}, requested_by="bot", key=key
    )
    print("asked", flush=True)
    if asked.status is not Status.APPROVED:
        return
    try:
        async with hitl.execution(asked.id):
            os.write(runs, f"{asked.id}\n".encode())
    except Conflict:
        pass


async def main(root: str, file: str, *keys: str) -> None:
    runs = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    async with Orchestrator(root, watching=False) as hitl:
        print("ready", flush=True)
        sys.stdin.readline()
        await asyncio.gather(*(pay(hitl, runs, key) for key in keys))


asyncio.run(main(*sys.argv[1:]))
