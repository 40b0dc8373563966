"""Processes that decide and claim at the same moment: one wins, every other one hears Conflict."""

import asyncio
import os
import sys
import time
from pathlib import Path

import pytest
from kill_kit import new_vault, remove

from hitl_vault import Kind, Orchestrator, Status
from hitl_vault.core.chain import Head

RACER = Path(__file__).parent / "children" / "racer.py"


async def start(root: Path, name: str) -> asyncio.subprocess.Process:
    racer = await asyncio.create_subprocess_exec(
        sys.executable, str(RACER), str(root), name,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert racer.stdout is not None
    assert await racer.stdout.readline() == b"ready\n"
    return racer


async def race(racers: list[asyncio.subprocess.Process], id: str, whats: list[str]) -> list[str]:
    """Let every racer act at one moment; return their outcomes."""
    at = time.monotonic() + 0.01
    for racer, what in zip(racers, whats, strict=True):
        racer.stdin.write(f"{id} {what} {at}\n".encode())
    return [(await racer.stdout.readline()).split()[2].decode() for racer in racers]


@pytest.mark.parametrize(("processes", "races"), [(2, 60), (4, 30), (8, 15)])
async def test_one_decides_and_one_claims(processes: int, races: int) -> None:
    """Approvals against rejections, then claims: a decision never changes, one execution starts."""
    root = new_vault()
    racers = []
    try:
        racers = [await start(root, f"p{number}") for number in range(processes)]
        async with Orchestrator(root, watching=False) as hitl:
            for number in range(races):
                asked = await hitl.request_approval("pay", "", {"n": number})
                whats = [("approve", "reject")[(number + i) % 2] for i in range(processes)]
                said = await race(racers, asked.id, whats)
                decided = await hitl.get(asked.id)
                assert decided.status in {Status.APPROVED, Status.REJECTED}
                for what, outcome in zip(whats, said, strict=True):
                    agrees = (what == "approve") == (decided.status is Status.APPROVED)
                    assert outcome == (decided.status if agrees else "conflict")
                assert [r.event.kind for r in await hitl.history(asked.id)].count(Kind.VOTED) == 1
                if decided.status is Status.REJECTED:
                    asked = await hitl.request_approval("pay", "", {"again": number})
                    await hitl.approve(asked.id, reviewer="alice")
                said = await race(racers, asked.id, ["claim"] * processes)
                assert sorted(said) == ["conflict"] * (processes - 1) + ["ran"]
                kinds = [r.event.kind for r in await hitl.history(asked.id)]
                assert kinds.count(Kind.CLAIMED) == kinds.count(Kind.EXECUTED) == 1
            assert isinstance(await hitl.verify(), Head)
    finally:
        for racer in racers:
            racer.stdin.close()
            await racer.wait()
        remove(root)


async def test_a_save_between_our_write_and_our_look_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A person saves in the instant after the engine replaced the note: their save is seen."""
    from hitl_vault.adapters.vault.filesystem import FilesystemVault, FolderNames
    from hitl_vault.adapters.vault.index import DocumentIndex

    root = new_vault()
    vault = FilesystemVault(root, FolderNames(), DocumentIndex(root / "x.db", "Done"))
    path = vault.path_for("a")
    await vault.create(path, b"pending")
    replace = Path.replace

    def and_then_somebody_saves(self: Path, target: Path) -> Path:
        done = replace(self, target)
        os.truncate(target, 0)
        Path(target).write_bytes(b"approved by a person")
        return done

    monkeypatch.setattr(Path, "replace", and_then_somebody_saves)
    remembered = await vault.replace(path, b"pending", b"told")
    loaded = await vault.load(path)
    assert loaded is not None
    assert loaded.data == b"approved by a person"
    assert loaded.signature != remembered
    await vault.aclose()
    remove(root)


async def test_what_a_killed_write_left_behind_is_tidied_up() -> None:
    """Half-written files of ours go after an hour; younger ones and other people's stay."""
    root = new_vault()
    folder = root / "Pending_Approval"
    old, young, theirs = (folder / name for name in (".hitl-1-2.tmp", ".hitl-3-4.tmp", ".x.tmp"))
    for file in (old, young, theirs):
        file.write_bytes(b"half")
    for file in (old, theirs):
        os.utime(file, (time.time() - 7200,) * 2)
    async with Orchestrator(root, watching=False) as hitl:
        await hitl.read_notes()
    assert [file.exists() for file in (old, young, theirs)] == [False, True, True]
    remove(root)
