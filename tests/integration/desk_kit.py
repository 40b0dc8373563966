"""Owns real vaults on a real disk for the tests. Never in the system's temporary folder, where vim
saves differently."""

from __future__ import annotations

import asyncio
import shutil
import uuid
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hitl_vault import Orchestrator
from hitl_vault.core.chain import Head
from hitl_vault.core.events import Kind
from hitl_vault.core.model import Request

HERE = Path(__file__).resolve().parents[2] / ".cache" / "tests"
ASK = "```yaml hitl-policy\ndefault: ask\n```\n"
QUICK: dict[str, Any] = {"settle_s": 0.15, "rescan_s": 0.2}


@contextmanager
def new_vault(policy: str = ASK) -> Iterator[Path]:
    """Make a vault, and take it away at the end."""
    root = HERE / uuid.uuid4().hex / "vault"
    for name in (".hitl", "Pending_Approval", "Approved", "Rejected", "Done"):
        (root / name).mkdir(parents=True)
    (root / "Policy.md").write_text(policy)
    try:
        yield root
    finally:
        shutil.rmtree(root.parent, ignore_errors=True)


async def until(fact: Callable[[], Any] | Callable[[], Awaitable[Any]], limit_s: float = 40) -> Any:
    """Wait for a fact and return it."""
    async with asyncio.timeout(limit_s):
        while True:
            told = fact()
            if asyncio.iscoroutine(told):
                told = await told
            if told:
                return told
            await asyncio.sleep(0.01)


async def note_of(hitl: Orchestrator, request: Request) -> Path:
    """Return the file of a request's note."""
    path = await hitl.document_path(request.id)
    assert path is not None
    return Path(path)


async def kinds(hitl: Orchestrator, request: Request) -> list[Kind]:
    """Return what happened to a request."""
    return [recorded.event.kind for recorded in await hitl.history(request.id)]


async def prove(hitl: Orchestrator) -> None:
    """Prove the chain."""
    assert isinstance(await hitl.verify(), Head)


def ticked(text: str, answer: str = "Approve") -> str:
    """Return a note with one box ticked."""
    old = f"- [ ] {answer} ^"
    assert text.count(old) == 1, text
    return text.replace(old, f"- [x] {answer} ^")
