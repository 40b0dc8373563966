"""Safeguards of the public API that a careless or hurried caller runs into."""

import asyncio
import contextlib
import multiprocessing
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from hitl_vault import (
    Conflict,
    Denied,
    Expired,
    HitlVaultError,
    NotOpen,
    Orchestrator,
    OutcomeNotRecorded,
    Refused,
    Rejected,
    StorageError,
)
from hitl_vault.blocking import Orchestrator as Blocking

ASK = "default: ask\n"
DENY = "rules:\n  - {id: stop, effect: deny, reason: stopped}\n"
EDITS = "rules:\n  - {id: any, effect: ask, answers: [approve, reject, edit]}\n"


@pytest.fixture
def vault(workspace: Path) -> Path:
    (workspace / ".hitl").mkdir()
    (workspace / "Policy.yaml").write_text(ASK)
    return workspace


def desk(vault: Path, **options) -> Orchestrator:
    return Orchestrator(vault, policy="Policy.yaml", settle_s=0, **options)


async def approved(hitl: Orchestrator) -> str:
    request = await hitl.request_approval("deploy", "", {"x": 1})
    await hitl.approve(request.id, reviewer="alice")
    return request.id


async def test_one_execution_runs_once_however_it_is_entered(vault):
    """Entering the same execution again, later or at the same time, is a conflict."""
    async with desk(vault) as hitl:
        run = hitl.execution(await approved(hitl))
        ran = []

        async def enter():
            async with run:
                ran.append(1)
                await asyncio.sleep(0)

        results = await asyncio.gather(enter(), enter(), return_exceptions=True)
        with pytest.raises(Conflict):
            await enter()
        assert ran == [1]
        assert sum(isinstance(result, Conflict) for result in results) == 1


async def test_a_denial_counts_for_the_next_call_without_a_desk(vault):
    """A process that reads no notes sees a policy that was changed a moment ago."""
    async with desk(vault, watching=False) as hitl:
        ran = []

        @hitl.guard("deploy")
        async def deploy(x: int) -> None:
            ran.append(x)

        (vault / "Policy.yaml").write_text("default: allow\n")
        (vault / "Policy.yaml").write_text(DENY)
        with pytest.raises(Denied):
            await deploy(1)
        assert not ran


async def test_what_is_judged_is_what_is_stored(vault):
    """Changing the dictionary of an edit while it is handed in changes nothing."""
    (vault / "Policy.yaml").write_text(EDITS)
    async with desk(vault) as hitl:
        request = await hitl.request_approval("pay", "", {"amount": 1})
        details = {"amount": 2}
        voting = asyncio.create_task(hitl.approve(request.id, reviewer="al", details=details))
        await asyncio.sleep(0)
        details["amount"] = 10**6
        assert (await voting).details == {"amount": 2}


async def test_waiting_for_an_outcome_ends_when_nobody_may_start_it_any_more(vault):
    """An approval that was not used in time expires for whoever waits, without a timer."""
    async with desk(vault, watching=False, use_within_s=0.2) as hitl:
        id = await approved(hitl)
        assert (await hitl.wait_for_outcome(id, timeout=20)).status == "expired"
        with pytest.raises(Expired):
            await hitl.wait_for_approval(id)


async def test_an_end_that_could_not_be_stored_is_stored_later(vault, monkeypatch):
    """The action ran, the disk was full: its end is reported again while the process lives."""
    async with desk(vault) as hitl:
        id = await approved(hitl)
        submit = hitl._parts.ledger.submit

        async def full(_command):
            raise StorageError("disk full")

        with pytest.raises(OutcomeNotRecorded, match="was executed"):
            async with hitl.execution(id) as run:
                run.result = "done"
                monkeypatch.setattr(hitl._parts.ledger, "submit", full)
        monkeypatch.setattr(hitl._parts.ledger, "submit", submit)
        await hitl._reporting.again()
        assert (await hitl.get(id)).result == "done"


async def test_agents_cannot_claim_to_be_sure_of_a_reviewer(vault):
    """The calls an agent makes are recorded as edited, so a rule that wants more refuses them."""
    (vault / "Policy.yaml").write_text("rules:\n  - {id: a, effect: ask, assurance: signed}\n")
    async with desk(vault) as hitl:
        request = await hitl.request_approval("pay", "", {"amount": 1})
        with pytest.raises(Refused, match="signed"):
            await hitl.approve(request.id, reviewer="cfo")


async def test_remarks_are_bounded(vault):
    """A remark is stored with every later state, so it cannot be a book."""
    async with desk(vault) as hitl:
        request = await hitl.request_approval("pay", "", {"amount": 1})
        with pytest.raises(Refused, match="remarks"):
            await hitl.comment(request.id, "x" * 20_000)


def test_the_blocking_twin_says_so_if_it_is_not_open(vault):
    """Used outside `with` it raises, it does not hang; closing it is harmless."""
    hitl = Blocking(vault, policy="Policy.yaml")
    with pytest.raises(RuntimeError, match="with Orchestrator"):
        hitl.check_status("x")
    hitl.close()
    hitl.close()


def test_a_fork_does_not_give_up_its_parents_claim(vault):
    """A forked child that closes what it inherited leaves the parent executing."""

    async def run() -> str:
        async with desk(vault) as hitl:
            async with hitl.execution(await approved(hitl)) as claimed:
                child = multiprocessing.get_context("fork").Process(
                    target=hitl._parts.presence.close
                )
                child.start()
                child.join()
                await hitl.settle_overdue()
                return (await hitl.get(claimed.request.id)).status.value

    assert asyncio.run(run()) == "executing"


async def test_a_key_that_was_asked_holds_even_when_the_policy_allows_it_now(vault):
    """Loosening the policy neither repeats what was executed nor runs what was rejected."""
    ran = []
    async with desk(vault) as hitl:

        @hitl.guard("pay", key="inv-{inv}")
        async def pay(inv: str) -> str:
            ran.append(inv)
            return "paid"

        for inv, answer in (("A", hitl.approve), ("B", hitl.reject)):
            await answer(
                (await hitl.request_approval("pay", "pay", {"inv": inv}, key=f"inv-{inv}")).id,
                reviewer="al",
            )
        assert await pay("A") == "paid"
    (vault / "Policy.yaml").write_text("rules:\n  - {id: all, effect: allow}\n")
    async with desk(vault) as hitl:
        again = hitl.guard("pay", key="inv-{inv}")(pay.__wrapped__)
        await asyncio.sleep(0.4)
        assert await again("A") == "paid"
        with pytest.raises(Rejected):
            await again("B")
    assert ran == ["A"]


async def test_what_is_not_open_says_so(vault):
    """Used before it is opened or after it was closed, every method raises NotOpen."""
    hitl = desk(vault)

    async def check(id):
        for call in (
            lambda: hitl.evaluate("pay", {}),
            lambda: hitl.requires_approval("pay", {}),
            hitl.notices,
            lambda: hitl.execution(id),
            lambda: hitl.subscribe(),
        ):
            with pytest.raises(NotOpen, match="open"):
                call()
        for wait in (hitl.wait_for_approval, hitl.get, hitl.document_path, hitl.mark_executed):
            with pytest.raises(NotOpen, match="open"):
                await wait(id)
        for work in (hitl.archive, hitl.read_notes, hitl.settle_overdue, hitl.verify):
            with pytest.raises(NotOpen, match="open"):
                await work()

    await check("x")
    async with hitl:
        asked = await hitl.request_approval("pay", "", {})
    await check(asked.id)


async def test_opening_that_fails_leaves_nothing_open(vault):
    """No file and no thread of a vault that could not be assembled, however often it is tried."""
    async with desk(vault):
        pass
    for file in (vault / ".hitl").glob("documents.db*"):
        file.unlink()
    (vault / ".hitl" / "documents.db").mkdir()
    kept = []
    for _ in range(5):
        hitl = desk(vault)
        with pytest.raises(HitlVaultError) as failed:
            await hitl.open()
        kept.append(failed)  # with all its frames: nothing is closed by being forgotten
    opened = [os.path.realpath(file.path) for file in os.scandir("/proc/self/fd")]
    assert not [name for name in opened if name.startswith(str(vault))]


async def test_an_end_that_found_no_room_is_recorded_once_there_is(workspace):
    """On a disk that is really full: who ran it is told so, and the end is stored by itself."""
    disk = workspace / "disk"
    disk.mkdir()
    if os.geteuid() or not shutil.which("mount") or subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)], capture_output=True
    ).returncode:  # fmt: skip
        pytest.skip("mounting a small file system needs root")
    try:
        (disk / ".hitl").mkdir()
        (disk / "Policy.yaml").write_text(ASK)
        async with desk(disk) as hitl:
            id = await approved(hitl)
            with pytest.raises(OutcomeNotRecorded, match=r"was executed.*the disk is full"):
                async with hitl.execution(id) as run:
                    run.result = "y" * 50_000
                    with open(disk / "ballast", "wb", buffering=0) as file:
                        with contextlib.suppress(OSError):
                            while file.write(b"x" * 512):
                                pass
            assert (await hitl.get(id)).status == "executing"
            (disk / "ballast").unlink()
            assert (await hitl.wait_for_outcome(id, timeout=20)).status == "executed"
    finally:
        subprocess.run(["umount", str(disk)], check=True)
