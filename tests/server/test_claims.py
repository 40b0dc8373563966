"""Executors over HTTP: one claim of many, a lease, a late end, a server that is killed between."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import httpx
from server_kit import serving

from hitl_vault import Orchestrator
from hitl_vault.adapters.access.tokens import FILE, AccessTokens
from hitl_vault.cli.starting import make_vault
from hitl_vault.core.access import Caller, Scope
from hitl_vault.errors import StorageError
from hitl_vault.testing.clock import FakeClock

PAYMENT = {"type": "payment", "description": "Pay", "details": {"amount": 1500, "to": "v@x.org"}}
EDITABLE = """```yaml
default: ask
rules:
  - id: any
    effect: ask
    answers: [approve, reject, edit]
```
"""


async def approved(agent, alice, **more):
    asked = await agent.post("/api/v1/requests", json=PAYMENT | more)
    assert asked.status_code == 201, asked.text
    at = f"/api/v1/requests/{asked.json()['id']}"
    voted = await alice.post(f"{at}/votes", json={"answer": "approve"})
    assert voted.json()["status"] == "approved", voted.text
    return at


async def outcome(client, at):
    """Return the request once its execution ended."""
    found = await client.get(f"{at}/wait", params={"until": "outcome", "timeout": 30})
    return found.json()


async def test_of_twenty_clients_one_gets_the_claim(tmp_path):
    async with serving(tmp_path / "vault") as service:
        agent, alice = service.agent(), service.reviewer()
        at = await approved(agent, alice)
        token = agent.headers["authorization"].partition(" ")[2]
        clients = [service.client(token) for _ in range(20)]
        tries = await asyncio.gather(
            *(
                client.post(f"{at}/claim", json={"executor": f"worker-{number}"})
                for number, client in enumerate(clients)
            )
        )
        won = [one for one in tries if one.status_code == 200]
        assert len(won) == 1
        assert {one.status_code for one in tries if one is not won[0]} == {409}
        assert all(one.json()["code"] == "conflict" for one in tries if one is not won[0])
        claim = won[0].json()
        assert claim["executor"].startswith("bot@worker-")
        assert claim["details"] == PAYMENT["details"]
        done = await agent.post(
            f"{at}/finish",
            json={"claim_id": claim["claim_id"], "status": "executed", "result": {"ok": True}},
        )
        assert (done.json()["status"], done.json()["outcome"]["result"]) == (
            "executed",
            {"ok": True},
        )
        assert done.json()["outcome"]["by"] == claim["executor"]


async def test_who_reports_the_end_of_what_nobody_claimed_is_told_just_that(tmp_path):
    async with serving(tmp_path / "vault") as service:
        agent, alice = service.agent(), service.reviewer()
        asked = (await agent.post("/api/v1/requests", json=PAYMENT)).json()["id"]
        report = {"claim_id": "worker", "status": "executed"}
        at = f"/api/v1/requests/{asked}"
        for status in ("pending", "approved"):
            told = await agent.post(f"{at}/finish", json=report)
            assert told.status_code == 409
            assert told.json()["detail"].startswith(f"{asked} is {status}, and nobody has claimed")
            await alice.post(f"{at}/votes", json={"answer": "approve"})


async def test_a_claim_carries_exactly_what_was_approved(tmp_path):
    """The edited details and their digest, where a reviewer changed them."""
    async with serving(tmp_path / "vault") as service:
        (service.root / "Policy.md").write_text(EDITABLE)
        await asyncio.to_thread(_settled, service.hitl)
        agent, alice = service.agent(), service.reviewer()
        asked = (await agent.post("/api/v1/requests", json=PAYMENT)).json()
        at = f"/api/v1/requests/{asked['id']}"
        changed = {"amount": 900, "to": "v@x.org"}
        voted = await alice.post(f"{at}/votes", json={"answer": "edit", "details": changed})
        assert voted.status_code == 200, voted.text
        refused = await agent.post(f"{at}/claim", json={"payload_sha256": asked["payload_sha256"]})
        assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
        claim = (await agent.post(f"{at}/claim", json={})).json()
        assert claim["details"] == changed
        assert claim["payload_sha256"] == voted.json()["payload_sha256"]
        assert claim["request"]["requested_details"] == PAYMENT["details"]


def _settled(hitl):
    """Let a changed policy come into force."""
    while (left := hitl.policies.reload()) is not None:
        __import__("time").sleep(left)


async def test_claiming_again_by_the_same_name_is_the_same_claim(tmp_path):
    """By `claim_id` or Idempotency-Key: the same lease; by another name: a conflict."""
    async with serving(tmp_path / "vault") as service:
        agent, alice = service.agent(), service.reviewer()
        at = await approved(agent, alice)
        first = await agent.post(f"{at}/claim", json={"claim_id": "mine", "lease_s": 60})
        again = await agent.post(f"{at}/claim", json={"claim_id": "mine", "lease_s": 60})
        assert first.json() | {"again": True} == again.json()  # it may have run already
        assert not first.json()["again"]
        other = await agent.post(f"{at}/claim", json={"claim_id": "other"})
        assert other.status_code == 409
        assert other.json()["request"]["claim"]["claim_id"] == "mine"
        at = await approved(agent, alice)
        keyed = [
            await agent.post(f"{at}/claim", json={}, headers={"Idempotency-Key": "k-1"})
            for _ in range(2)
        ]
        assert keyed[0].json() | {"again": True} == keyed[1].json()
        assert keyed[0].status_code == 200


async def test_only_the_agent_that_asked_or_an_operator_claims(tmp_path):
    async with serving(tmp_path / "vault") as service:
        agent, alice = service.agent(), service.reviewer()
        at = await approved(agent, alice)
        for client in (alice, service.agent("other"), service.agent("reader", Scope.READ)):
            for route, body in (
                ("claim", {}),
                ("claim/renew", {"claim_id": "c"}),
                ("finish", {"claim_id": "c", "status": "executed"}),
                ("cancel", {}),
            ):
                tried = await client.post(f"{at}/{route}", json=body)
                assert (tried.status_code, tried.json()["code"]) == (403, "forbidden"), route
        operator = service.reviewer("olga", Scope.OPERATE, Scope.READ)
        assert (await operator.post(f"{at}/claim", json={})).status_code == 200


async def test_a_lease_that_ends_leaves_an_unknown_end_and_a_late_report_resolves_it(tmp_path):
    clock = FakeClock()
    async with serving(tmp_path / "vault") as service:
        service.lease_clock(clock)
        agent, alice = service.agent(), service.reviewer()
        at = await approved(agent, alice)
        claim = (await agent.post(f"{at}/claim", json={"claim_id": "c-1", "lease_s": 60})).json()
        assert claim["lease_s"] == 60
        clock.advance(50)
        assert await service.hitl.settle_overdue() == 0
        renewed = await agent.post(f"{at}/claim/renew", json={"claim_id": "c-1"})
        assert renewed.json()["lease_ends_at"] > claim["lease_ends_at"]
        clock.advance(50)
        assert await service.hitl.settle_overdue() == 0
        clock.advance(10)
        lost = await outcome(agent, at)
        assert lost["status"] == "unknown"
        assert lost["outcome"]["by"] == "clock"
        assert "bot did not report within its lease of 1 min" in lost["outcome"]["error"]
        late = await agent.post(f"{at}/claim/renew", json={"claim_id": "c-1"})
        assert (late.status_code, late.json()["request"]["status"]) == (409, "unknown")
        wrong = await agent.post(f"{at}/finish", json={"claim_id": "c-2", "status": "executed"})
        assert wrong.status_code == 409
        for _ in range(2):
            done = await agent.post(f"{at}/finish", json={"claim_id": "c-1", "status": "executed"})
            assert (done.status_code, done.json()["status"]) == (200, "executed")
        assert (await agent.post(f"{at}/claim", json={"claim_id": "c-1"})).status_code == 409


async def test_a_lease_of_a_reported_claim_is_forgotten(tmp_path):
    async with serving(tmp_path / "vault") as service:
        agent, alice = service.agent(), service.reviewer()
        at = await approved(agent, alice)
        await agent.post(f"{at}/claim", json={"claim_id": "c-1"})
        assert len(service.leases()) == 1
        failed = {"claim_id": "c-1", "status": "failed", "error": "the bank is closed"}
        done = await agent.post(f"{at}/finish", json=failed)
        assert done.json()["outcome"]["error"] == "the bank is closed"
        assert not service.leases()


async def test_a_claim_whose_answer_is_lost_still_gets_a_lease(tmp_path, monkeypatch):
    """Nobody may come back for it: its end is recorded all the same."""
    clock = FakeClock()
    async with serving(tmp_path / "vault") as service:
        service.lease_clock(clock)
        agent, alice = service.agent(), service.reviewer()
        at = await approved(agent, alice)
        claim = service.hitl.claim

        async def stored_and_lost(*args, **more):
            await claim(*args, **more)
            raise StorageError("the disk went away")

        monkeypatch.setattr(
            type(service.hitl), "claim", lambda _, *a, **m: stored_and_lost(*a, **m)
        )
        lost = await agent.post(f"{at}/claim", json={"claim_id": "c-1", "lease_s": 10})
        assert lost.status_code == 500
        clock.advance(11)
        assert (await outcome(agent, at))["status"] == "unknown"


async def test_a_lease_ends_by_itself(tmp_path):
    """Nobody has to ask for it: who waits for the outcome hears of it."""
    async with serving(tmp_path / "vault") as service:
        agent, alice = service.agent(), service.reviewer()
        at = await approved(agent, alice)
        await agent.post(f"{at}/claim", json={"claim_id": "c-1", "lease_s": 0.1})
        assert (await outcome(agent, at))["status"] == "unknown"
        assert not service.leases()


async def test_twenty_retries_at_once_are_one_claim_with_one_lease(tmp_path):
    async with serving(tmp_path / "vault") as service:
        agent, alice = service.agent(), service.reviewer()
        at = await approved(agent, alice)
        tries = await asyncio.gather(
            *(agent.post(f"{at}/claim", json={"claim_id": "c-1"}) for _ in range(20))
        )
        assert {one.status_code for one in tries} == {200}
        told = [one.json() for one in tries]
        assert sum(not one.pop("again") for one in told) == 1  # one may run it, the others not
        assert all(one == told[0] for one in told)
        assert len(service.leases()) == 1
        events = (await agent.get(f"{at}/events")).json()["events"]
        assert [one["kind"] for one in events].count("claimed") == 1


@asynccontextmanager
async def two_services(root):
    """Give both services on one vault, the clock of their leases, the agent's client at each, and
    the path of a request that it has claimed at the first for a minute.
    """
    clock = FakeClock()
    async with serving(root) as one, serving(root) as other:
        one.lease_clock(clock)
        other.lease_clock(clock)
        agent = one.agent()
        there = other.client(agent.headers["authorization"].partition(" ")[2])
        at = await approved(agent, one.reviewer())
        await agent.post(f"{at}/claim", json={"claim_id": "c-1", "lease_s": 60})
        yield (one, other), clock, agent, there, at


async def test_two_services_on_one_vault_hand_out_one_claim(tmp_path):
    """Claim again, renew and report at any; a lease that would end after the report is nothing."""
    async with two_services(tmp_path / "vault") as ((one, other), clock, agent, there, at):
        refused = await there.post(f"{at}/claim", json={"claim_id": "c-2"})
        assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
        for path in ("claim", "claim/renew"):
            clock.advance(50 if path == "claim/renew" else 0)
            held = await there.post(f"{at}/{path}", json={"claim_id": "c-1"})
            assert (held.status_code, held.json()["again"]) == (200, True), path
        clock.advance(50)
        assert await one.hitl.settle_overdue() + await other.hitl.settle_overdue() == 0
        assert (await there.get(at)).json()["status"] == "executing"
        done = await there.post(f"{at}/finish", json={"claim_id": "c-1", "status": "executed"})
        assert (done.status_code, done.json()["status"]) == (200, "executed")
        assert not one.leases()
        clock.advance(61)
        assert await one.hitl.settle_overdue() == 0
        assert (await agent.get(at)).json() == done.json()


async def test_two_services_record_the_end_of_a_lease_once(tmp_path):
    async with two_services(tmp_path / "vault") as (_, clock, agent, there, at):
        clock.advance(60)
        lost = await asyncio.gather(outcome(agent, at), outcome(there, at))
        assert [one["status"] for one in lost] == ["unknown"] * 2
        refused = await there.post(f"{at}/claim/renew", json={"claim_id": "c-1"})
        assert (refused.status_code, refused.json()["request"]["status"]) == (409, "unknown")
        events = (await agent.get(f"{at}/events")).json()["events"]
        assert [one["kind"] for one in events].count("lost") == 1


async def test_a_folder_of_leases_that_was_removed_is_made_again_by_who_renews(tmp_path):
    """Who does not renew within a minute is gone: its end is unknown."""
    clock = FakeClock()
    async with serving(tmp_path / "vault") as service:
        service.lease_clock(clock)
        agent, alice = service.agent(), service.reviewer()
        renewed, gone = await approved(agent, alice), await approved(agent, alice)
        for at in (renewed, gone):
            await agent.post(f"{at}/claim", json={"claim_id": "c-1", "lease_s": 600})
        shutil.rmtree(service.root / ".hitl" / "leases")
        assert await service.hitl.settle_overdue() == 0
        clock.advance(30)
        held = await agent.post(f"{renewed}/claim/renew", json={"claim_id": "c-1", "lease_s": 600})
        assert (held.status_code, held.json()["lease_s"]) == (200, 600)
        clock.advance(31)
        lost = await outcome(agent, gone)
        assert lost["outcome"]["error"] == "the lease of bot is gone, and it did not report"
        assert (await agent.get(renewed)).json()["status"] == "executing"


async def test_an_unknown_end_is_resolved_by_a_person_who_may(tmp_path):
    async with serving(tmp_path / "vault") as service:
        agent, alice = service.agent(), service.reviewer()
        olga = service.reviewer("olga", Scope.OPERATE, Scope.READ)
        at = await approved(agent, alice)
        await agent.post(f"{at}/claim", json={"claim_id": "c-1"})
        body = {"status": "executed", "reason": "the bank shows it"}
        assert (await olga.post(f"{at}/resolve", json=body)).status_code == 422
        unknown = await agent.post(f"{at}/finish", json={"claim_id": "c-1", "status": "unknown"})
        assert unknown.json()["status"] == "unknown"
        assert (await alice.post(f"{at}/resolve", json=body)).status_code == 403
        for _ in range(2):
            resolved = await olga.post(f"{at}/resolve", json=body)
            assert (resolved.status_code, resolved.json()["status"]) == (200, "executed")
        assert resolved.json()["outcome"]["by"] == "olga"


SERVER = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from server_kit import serving

async def main():
    async with serving(Path(sys.argv[1])) as service:
        print("at", service.url, flush=True)
        await asyncio.sleep(3600)

asyncio.run(main())
"""


async def _server(root):
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        SERVER,
        str(root),
        os.path.dirname(__file__),
        stdout=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        word, url = (await process.stdout.readline()).decode().split()
    assert word == "at"
    return process, url


async def test_a_server_killed_between_claim_and_finish_loses_nothing(tmp_path):
    """After kill -9 a claim goes on as long as its lease: renewed, claimed again, reported; one
    whose lease ended while no service lived is unknown; a late report counts, a second claim never.
    """
    root = tmp_path / "vault"
    make_vault(root)
    tokens = AccessTokens(root / ".hitl" / "keys" / FILE)
    now = datetime.now(UTC)
    bot = tokens.create(Caller.AGENT, "bot", now, scopes=())[1]
    alice = tokens.create(Caller.REVIEWER, "alice", now, scopes=())[1]
    process, url = await _server(root)
    try:
        async with _client(url, bot) as agent, _client(url, alice) as reviewer:
            ids = [await approved(agent, reviewer, key=f"k-{number}") for number in range(2)]
            for at, lease_s in zip(ids, (60, 2), strict=True):
                body = {"claim_id": "c-1", "lease_s": lease_s}
                claim = await agent.post(f"{at}/claim", json=body)
                assert claim.status_code == 200, claim.text
    finally:
        os.kill(process.pid, signal.SIGKILL)
        await process.wait()
    await _until(claim.json()["lease_ends_at"])
    process, url = await _server(root)
    try:
        async with _client(url, bot) as agent:
            lost = await outcome(agent, ids[1])
            assert lost["outcome"]["error"] == "bot did not report within its lease of 2 s"
            for path in ("claim", "claim/renew"):
                held = await agent.post(f"{ids[0]}/{path}", json={"claim_id": "c-1"})
                assert (held.status_code, held.json()["again"]) == (200, True), held.text
                late = await agent.post(f"{ids[1]}/{path}", json={"claim_id": "c-1"})
                assert late.status_code == 409, late.text
            assert held.json()["lease_s"] == 60
            assert held.json()["request"]["status"] == "executing"
            for at in ids:
                done = await agent.post(
                    f"{at}/finish", json={"claim_id": "c-1", "status": "executed", "result": 1}
                )
                assert (done.status_code, done.json()["status"]) == (200, "executed"), done.text
    finally:
        os.kill(process.pid, signal.SIGTERM)
        await process.wait()
    async with Orchestrator(root, watching=False) as hitl:
        kept, late = [
            [str(recorded.event.kind) for recorded in await hitl.history(at.rpartition("/")[2])]
            for at in ids
        ]
        assert kept[-2:] == ["claimed", "executed"]
        assert late[-3:] == ["claimed", "lost", "executed"]
    assert not list((root / ".hitl" / "leases").iterdir())


async def _until(moment):
    """Wait for a time on the wall."""
    left = datetime.fromisoformat(moment) - datetime.now(UTC)
    await asyncio.sleep(max(0.0, left.total_seconds()))


def _client(url, token):
    return httpx.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=60)
