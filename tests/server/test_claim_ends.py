"""Ends of claims when the disk fails, two services share a vault, or names are taken twice."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager

import pytest
from server_kit import serving

from hitl_vault.core import commands as c
from hitl_vault.core.access import Scope
from hitl_vault.errors import StorageError
from hitl_vault.testing.clock import FakeClock

ROOT = "/api/v1/requests"


async def approved(agent, reviewer, id):
    asked = await agent.post(ROOT, json={"id": id, "type": "x", "details": {"id": id}})
    assert asked.status_code == 201, asked.text
    voted = await reviewer.post(f"{ROOT}/{id}/votes", json={"answer": "approve"})
    assert voted.json()["status"] == "approved"
    return f"{ROOT}/{id}"


@contextmanager
def failing(service, command):
    """While it is entered, the disk takes no such command of the requests it yields."""
    ledger, ids = service.hitl._parts.ledger, set()
    real = ledger.submit

    async def submit(given):
        if isinstance(given, command) and given.id in ids:
            raise StorageError("the disk is full")
        return await real(given)

    ledger.submit = submit
    try:
        yield ids
    finally:
        del ledger.submit


async def outcome_of(client, at):
    done = await client.get(f"{at}/wait", params={"until": "outcome", "timeout": 30})
    return done.json()["status"], (done.json()["outcome"] or {}).get("result")


async def test_ends_of_two_claims_with_one_name_are_both_kept_while_the_disk_fails(tmp_path):
    async with serving(tmp_path / "vault") as service:
        one, two, alice = service.agent("one"), service.agent("two"), service.reviewer()
        first, second = await approved(one, alice, "r-1"), await approved(two, alice, "r-2")
        for agent, at in ((one, first), (two, second)):
            await agent.post(f"{at}/claim", json={"claim_id": "worker"})
        report = {"claim_id": "worker", "status": "executed", "result": 1}
        with failing(service, c.Finish) as ids:
            ids.add("r-1")
            assert (await one.post(f"{first}/finish", json=report)).status_code == 503
            assert (await two.post(f"{second}/finish", json=report)).status_code == 200
        assert await outcome_of(one, first) == ("executed", 1)


async def test_a_lease_that_ends_takes_no_end_back_that_waits_to_be_stored(tmp_path):
    async with serving(tmp_path / "vault") as service:
        agent, alice = service.agent(), service.reviewer()
        clock = FakeClock()
        service.lease_clock(clock)
        at = await approved(agent, alice, "r-1")
        await agent.post(f"{at}/claim", json={"claim_id": "c-1", "lease_s": 60})
        with failing(service, c.Finish) as ids:
            ids.add("r-1")
            report = {"claim_id": "c-1", "status": "executed", "result": 1}
            assert (await agent.post(f"{at}/finish", json=report)).status_code == 503
            clock.advance(61)
            with pytest.raises(StorageError):
                await service.hitl.settle_overdue()
        assert await outcome_of(agent, at) == ("executed", 1)


async def test_a_lease_that_came_to_nothing_ends_no_claim_of_another_service(tmp_path):
    """One service could not store the claim; it was made at the other one, and goes on there."""
    async with serving(tmp_path / "vault") as one, serving(tmp_path / "vault") as other:
        clock = FakeClock()
        for service in (one, other):
            service.lease_clock(clock)
        token = one.token("agent", "bot")
        alice = one.reviewer()
        at = await approved(one.client(token), alice, "r-1")
        with failing(one, c.Claim) as ids:
            ids.add("r-1")
            body = {"claim_id": "c-1", "lease_s": 60}
            lost = await one.client(token).post(f"{at}/claim", json=body)
            assert lost.status_code == 500
        there = await other.client(token).post(f"{at}/claim", json={"claim_id": "c-1"})
        assert there.status_code == 200
        assert not there.json()["again"]
        assert len(one.leases()) == 2
        clock.advance(61)
        await one.hitl.settle_overdue()
        await one.hitl._timers.tick()
        assert (await alice.get(at)).json()["status"] == "executing"
        assert len(one.leases()) == 1


async def test_a_claims_name_is_its_executors_own(tmp_path):
    async with serving(tmp_path / "vault") as service:
        agent, alice = service.agent(), service.reviewer()
        at = await approved(agent, alice, "r-1")
        claim = {"claim_id": "nightly", "executor": "worker-1"}
        assert (await agent.post(f"{at}/claim", json=claim)).status_code == 200
        other = await agent.post(f"{at}/claim", json=claim | {"executor": "worker-2"})
        assert other.status_code == 409
        assert "worker-1" in other.json()["detail"]


async def test_two_that_claim_by_one_name_at_once_are_told_apart(tmp_path):
    async with serving(tmp_path / "vault") as service:
        agent, alice = service.agent(), service.reviewer("alice", *Scope)
        at = await approved(agent, alice, "r-1")
        claims = [agent.post(f"{at}/claim", json={"claim_id": "nightly"}) for _ in range(2)]
        told = [answer.json()["again"] for answer in await asyncio.gather(*claims)]
        assert sorted(told) == [False, True]
