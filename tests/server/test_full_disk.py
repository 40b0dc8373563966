"""What the service says of itself where nothing can be stored: on disks that are really full."""

from __future__ import annotations

import asyncio

import pytest
from disk_kit import filled, tmpfs
from server_kit import serving
from test_claim_ends import ROOT, approved, outcome_of
from test_operations import figure, figures

from hitl_vault.adapters import storing
from hitl_vault.adapters.vault.filesystem import FilesystemVault, FolderNames
from hitl_vault.adapters.vault.index import DocumentIndex
from hitl_vault.core.access import Scope
from hitl_vault.errors import StorageError


@pytest.fixture
def disk(workspace, monkeypatch):
    """A small disk, of which every question makes a new try."""
    monkeypatch.setattr(storing, "_TRY_S", 0.0)
    with tmpfs(workspace / "disk", "7m") as mounted:
        yield mounted


async def broken_parts(client):
    answer = await client.get("/readyz")
    parts = answer.json()["parts"]
    broken = {name: part["problem"] for name, part in parts.items() if not part["ok"]}
    assert answer.status_code == (503 if broken else 200)
    return broken


async def test_it_is_not_ready_while_nothing_can_be_stored(disk, caplog):
    """Also before anybody asks for anything; and again once there is room."""
    async with serving(disk / "vault") as service:
        agent, alice = service.agent(), service.reviewer("alice", Scope.OPERATE)
        assert await broken_parts(alice) == {}
        with filled(disk):
            found = await broken_parts(alice)
            assert set(found) == {"ledger", "vault"}
            assert "No space left" in found["ledger"]
            assert "no note can be written" in found["vault"]
            asked = await agent.post(ROOT, json={"type": "x", "details": {"x": "y" * 9000}})
            assert asked.status_code == 500
            assert set(await broken_parts(alice)) == {"ledger", "vault"}
        assert await broken_parts(alice) == {}
        assert (await agent.post(ROOT, json={"type": "x"})).status_code == 201
    said = [one for one in caplog.messages if one.startswith(("ledger:", "vault:"))]
    assert {"ledger: ready again", "vault: ready again"} <= set(said)


async def test_the_other_figures_stay_where_the_outbox_cannot_be_read(disk):
    async with serving(disk / "vault") as service:
        alice = service.reviewer("alice", Scope.OPERATE)
        with filled(disk):
            found = await figures(alice)
            assert not [name for name, _ in found if name == "hitl_outbox"]
            assert found["hitl_ready", (("part", "outbox"),)] == 0
            assert found["hitl_ready", (("part", "ledger"),)] == 0
            assert ("hitl_pending", ()) in found
        found = await figures(alice)
        assert figure(found, "hitl_ready", part="outbox") == 1
        assert ("hitl_outbox", (("state", "dead"),)) in found


async def test_an_end_that_cannot_be_stored_is_answered_without_a_path(disk):
    """The agent learns that it must not run again, and nothing of this machine."""
    async with serving(disk / "vault") as service:
        agent, alice = service.agent(), service.reviewer()
        at = await approved(agent, alice, "r-1")
        await agent.post(f"{at}/claim", json={"claim_id": "worker"})
        report = {"claim_id": "worker", "status": "executed", "result": "y" * 50_000}
        with filled(disk):
            ended = await agent.post(f"{at}/finish", json=report)
        assert ended.status_code == 503
        detail = ended.json()["detail"]
        assert "r-1 was executed, and that could not be recorded; it must not run again" in detail
        assert str(disk) not in ended.text
        assert "ledger.db" not in ended.text
        assert (await outcome_of(agent, at))[0] == "executed"


async def test_who_cannot_sign_in_for_now_is_told_so_on_a_page(disk):
    """Nobody signed in before, so that the key of sessions is to be made."""
    async with serving(disk / "vault") as service:
        browser = service.client(headers={"Accept": "text/html"})
        with filled(disk):
            page = await browser.get("/sign-in")
        assert page.status_code == 503
        assert "cannot be done now" in page.text
        assert str(disk) not in page.text
        assert (await browser.get("/sign-in")).status_code == 200


async def test_a_round_that_fails_again_and_again_is_logged_once(disk, caplog):
    async with serving(disk / "vault", {"rescan_s": 0.05}) as service:
        asked = await service.hitl.request_approval("payment", "", {})
        display, failures = service.hitl._display, 0
        real = display._save

        async def counted(**more):
            nonlocal failures
            try:
                await real(**more)
            except StorageError:
                failures += 1
                raise

        display._save = counted
        with filled(disk):
            async with asyncio.timeout(30):
                while failures < 4:
                    display.unseen(asked.id)
                    display.seen(asked.id, display.known(asked.id).path, None)
                    await asyncio.sleep(0.01)
        said = [one for one in caplog.messages if one.startswith("a round of the desk could not")]
        assert len(said) == 1


async def test_a_note_that_cannot_be_written_is_told_of_in_the_same_words_each_time(disk):
    """Else each of a thousand tries would be news."""
    made = FilesystemVault(disk, FolderNames(), DocumentIndex(disk / "documents.db", "Done"))
    path, said = "Pending_Approval/approval_pay-1.md", set()
    await made.create(path, b"one")
    with filled(disk):
        for _ in range(3):
            with pytest.raises(StorageError, match=path) as failed:
                await made.replace(path, b"one", b"x" * 9000)
            said.add(str(failed.value))
    await made.aclose()
    assert len(said) == 1
