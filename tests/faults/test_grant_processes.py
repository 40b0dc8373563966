"""Processes that use one grant at the same moment, and die of it: never more runs than uses."""

import asyncio
import random
import sys
from collections import Counter
from pathlib import Path

import pytest
from kill_kit import new_vault, remove

from hitl_vault import Assurance, Bound, Orchestrator
from hitl_vault.core.chain import Head

CHILD = Path(__file__).parent / "children" / "granted.py"
POLICY = """\
```yaml hitl-policy
default: ask
rules:
  - {id: small, when: action.type == "payment", effect: ask, grant: {uses: 50, within: 7d}}
```
"""


@pytest.fixture
def root():
    root = new_vault()
    (root / "Policy.md").write_text(POLICY)
    yield root
    remove(root)


async def make_grant(hitl, uses):
    return await hitl.make_grant(
        type="payment",
        requested_by="bot",
        bounds=[Bound(path="/amount", at_most=50)],
        uses=uses,
        until="1d",
        by="alice",
        assurance=Assurance.AUTHENTICATED,
    )


async def start(root, keys):
    child = await asyncio.create_subprocess_exec(
        sys.executable, str(CHILD), str(root), str(root / "runs"), *keys,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert await child.stdout.readline() == b"ready\n"
    return child


def runs(root):
    file = root / "runs"
    return Counter(file.read_text().split() if file.exists() else [])


async def test_processes_never_run_more_than_a_grant_has_uses(root):
    """Four processes, each key asked by two of them: as many runs as uses, each request once."""
    async with Orchestrator(root, watching=False) as hitl:
        await make_grant(hitl, 7)
    keys = [[f"k-{n}" for n in range(start, start + 12)] for start in (0, 6, 12, 18)]
    children = [await start(root, mine) for mine in keys]
    for child in children:
        child.stdin.write(b"\n")
    assert [await child.wait() for child in children] == [0] * 4
    ran = runs(root)
    assert sum(ran.values()) == len(ran) == 7
    async with Orchestrator(root, watching=False) as hitl:
        (grant,) = await hitl.grants()
        assert sorted(grant.used_for) == sorted(ran)
        assert len(await hitl.list_requests(status="pending")) == 30 - 7
        assert isinstance(await hitl.verify(), Head)


async def test_processes_that_die_and_ask_again_never_run_more_either(root):
    """Killed anywhere between asking and running, then asked again with the same keys."""
    chance = random.Random(7)
    async with Orchestrator(root, watching=False) as hitl:
        await make_grant(hitl, 20)
    keys = [f"k-{n}" for n in range(30)]
    for _ in range(6):
        children = [await start(root, keys) for _ in range(2)]
        for child in children:
            child.stdin.write(b"\n")
        for _ in range(chance.randrange(1, 12)):
            await children[0].stdout.readline()
        for child in children:
            if child.returncode is None:
                child.kill()
            await child.wait()
    last = await start(root, keys)
    last.stdin.write(b"\n")
    assert await last.wait() == 0
    ran = runs(root)
    async with Orchestrator(root, watching=False) as hitl:
        (grant,) = await hitl.grants()
        assert len(set(grant.used_for)) == len(grant.used_for) <= 20
        assert set(ran) <= set(grant.used_for)
        assert set(ran.values()) <= {1}
        decided = await hitl.list_requests()
        assert len(decided) == 30
        approved = {request.id for request in decided if request.votes}
        assert approved == set(grant.used_for)  # what a kill left between the steps was completed
        assert isinstance(await hitl.verify(), Head)
