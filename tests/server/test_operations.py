"""What who operates the service sees: does it live, is it ready, its figures."""

from __future__ import annotations

import asyncio
import time

import pytest
from prometheus_client.parser import text_string_to_metric_families
from server_kit import serving
from test_events import ask, streamed, vote

from hitl_vault.core.access import Scope
from hitl_vault.ports_telling import Backlog


async def figures(client, headers=None):
    answer = await client.get("/metrics", headers=headers)
    assert answer.status_code == 200, answer.text
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def figure(found, name, **labels):
    return found.get((name, tuple(sorted(labels.items()))), 0)


async def caught_up(service):
    """Wait until the figures have followed the ledger to its end."""
    async with asyncio.timeout(10):
        while service.serving.metrics.tally.seq < (await service.hitl.head()).seq:
            await asyncio.sleep(0.01)


async def test_a_living_process_says_so_to_anybody(tmp_path):
    async with serving(tmp_path / "vault") as service:
        answer = await service.client().get("/healthz")
        assert (answer.status_code, answer.json()) == (200, {"alive": True})


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_a_probe_may_ask_for_the_head_alone(tmp_path, path):
    async with serving(tmp_path / "vault") as service:
        answer, whole = await service.client().head(path), await service.client().get(path)
        assert (answer.status_code, answer.text) == (200, "")
        assert answer.headers["content-length"] == str(len(whole.content))


async def test_it_is_ready_when_ledger_vault_and_policy_are(tmp_path):
    async with serving(tmp_path / "vault") as service:
        answer = await service.client().get("/readyz")
        assert answer.status_code == 200
        assert answer.json()["ready"]
        assert set(answer.json()["parts"]) == {"ledger", "vault", "policy"}


async def test_what_is_not_ready_is_named_and_why_is_told_to_who_may_know(tmp_path, caplog):
    """A stranger learns which part, and no path of this machine."""
    async with serving(tmp_path / "vault") as service:
        (tmp_path / "vault" / "Policy.md").write_text("```yaml hitl-policy\nrules: [\n```\n")
        async with asyncio.timeout(10):
            while (answer := await service.client().get("/readyz")).json()["parts"]["policy"]["ok"]:
                await asyncio.sleep(0.05)
        parts = answer.json()["parts"]
        assert answer.status_code == 200  # the last good one is in force
        assert [name for name, part in parts.items() if not part["ok"]] == ["policy"]
        assert str(tmp_path) not in answer.text
        assert "log" in parts["policy"]["problem"]
        said = [one for one in caplog.messages if one.startswith("policy: not ready")]
        assert len(said) == 1  # however often it is asked
        known = await service.reviewer().get("/readyz")
        assert "Policy.md" in known.json()["parts"]["policy"]["problem"]


async def test_it_is_not_ready_when_its_ledger_is_no_longer_the_one_it_opened(tmp_path):
    async with serving(tmp_path / "vault") as service:
        (tmp_path / "vault" / ".hitl" / "ledger.db").rename(tmp_path / "elsewhere.db")
        answer = await service.reviewer().get("/readyz")
        assert answer.status_code == 503
        assert "replaced" in answer.json()["parts"]["ledger"]["problem"]
        (tmp_path / "elsewhere.db").rename(tmp_path / "vault" / ".hitl" / "ledger.db")
        assert (await service.reviewer().get("/readyz")).status_code == 200


async def test_the_figures_are_what_happened(tmp_path):
    async with serving(tmp_path / "vault") as service:
        agent, alice = service.agent("bot"), service.reviewer("alice")
        one, two = await ask(agent), await ask(agent, type="deploy")
        await ask(agent)
        await caught_up(service)
        before = await figures(alice)
        for decision in ("approved", "rejected", "expired", "cancelled"):
            key = ("hitl_decisions_total", (("decision", decision), ("type", "payment")))
            assert before[key] == 0  # so that the first of each is an increase
        await vote(alice, one)
        await vote(alice, two, "reject", reason="no")
        await caught_up(service)
        async with streamed(alice):
            found = await figures(alice)
        assert figure(found, "hitl_pending") == 1
        assert 0 < figure(found, "hitl_oldest_pending_seconds") < 60
        assert figure(found, "hitl_requests_total", type="payment") == 2
        assert figure(found, "hitl_decisions_total", decision="approved", type="payment") == 1
        assert figure(found, "hitl_decisions_total", decision="rejected", type="deploy") == 1
        by = {"decision": "approved", "requester": "bot"}
        assert figure(found, "hitl_decisions_by_requester_total", **by) == 1
        assert figure(found, "hitl_decision_ratio", decision="rejected") == 0.5
        assert figure(found, "hitl_decision_seconds_count") == 2
        assert figure(found, "hitl_ledger_events_total") == (await service.hitl.head()).seq
        assert figure(found, "hitl_events_total", kind="requested") == 3
        assert figure(found, "hitl_streams") == 1
        assert figure(found, "hitl_ready", part="ledger") == 1
        asked = {"method": "POST", "route": "/api/v1/requests", "status": "201"}
        assert figure(found, "hitl_http_requests_total", **asked) == 3
        voted = {"method": "POST", "route": "/api/v1/requests/{id}/votes"}
        assert figure(found, "hitl_http_request_seconds_count", **voted) == 2


async def test_a_restart_goes_on_with_what_the_ledger_holds(tmp_path):
    async with serving(tmp_path / "vault") as service:
        agent, alice = service.agent(), service.reviewer()
        await vote(alice, await ask(agent))
        await ask(agent)
        await caught_up(service)
        before = await figures(alice)
    async with serving(tmp_path / "vault") as service:
        alice = service.reviewer()
        await vote(alice, await ask(service.agent()))
        await caught_up(service)
        after = await figures(alice)
    approved = {"decision": "approved", "type": "payment"}
    assert figure(before, "hitl_decisions_total", **approved) == 1
    assert figure(after, "hitl_decisions_total", **approved) == 2
    assert figure(after, "hitl_pending") == 1


async def test_expired_approvals_and_withdrawn_requests_are_told_apart(tmp_path):
    async with serving(tmp_path / "vault") as service:
        agent, alice = service.agent(), service.reviewer()
        await service.hitl.cancel(await ask(agent), by="bot")
        await ask(agent, timeout=0.05)
        await service.hitl.cancel(id := await ask(agent, timeout=60), by="bot")
        async with asyncio.timeout(20):
            while service.serving.metrics.tally.pending:
                await asyncio.sleep(0.05)
        found = await figures(alice)
        of = {"type": "payment"}
        assert figure(found, "hitl_decisions_total", decision="cancelled", **of) == 2
        assert figure(found, "hitl_decisions_total", decision="expired", **of) == 1
        assert figure(found, "hitl_unclaimed_total") == 0
        assert id


async def test_who_waits_is_counted_while_they_wait(tmp_path):
    async with serving(tmp_path / "vault") as service:
        agent, alice = service.agent(), service.reviewer()
        id = await ask(agent)
        waiting = asyncio.create_task(agent.get(f"/api/v1/requests/{id}/wait"))
        async with asyncio.timeout(10):
            while not service.serving.stopping.waiters:
                await asyncio.sleep(0.01)
        assert figure(await figures(alice), "hitl_waiters") == 1
        await vote(alice, id)
        await waiting
        assert figure(await figures(alice), "hitl_waiters") == 0


async def test_the_outbox_is_counted(tmp_path):
    async with serving(tmp_path / "vault") as service:

        async def backlog():
            return Backlog(due=2, later=1, dead=3)

        service.hitl.backlog = backlog
        found = await figures(service.reviewer())
        assert [figure(found, "hitl_outbox", state=s) for s in ("due", "later", "dead")] == [
            2,
            1,
            3,
        ]


async def test_the_figures_are_for_who_may_read_or_operate(tmp_path):
    async with serving(tmp_path / "vault") as service:
        assert (await service.client().get("/metrics")).status_code == 401
        assert (await service.agent().get("/metrics")).status_code == 403
        await figures(service.reviewer("carol", Scope.OPERATE))
        await figures(service.reviewer("dave", Scope.READ))


async def test_open_metrics_are_for_programs_of_this_machine_alone(tmp_path):
    """A proxy on this machine speaks for somebody else."""
    async with serving(tmp_path / "vault", metrics_open=True) as service:
        stranger = service.client()
        await figures(stranger)
        for header in ("X-Forwarded-For", "Forwarded", "X-Real-IP", "Via"):
            assert (await stranger.get("/metrics", headers={header: "a"})).status_code == 401


async def test_names_that_strangers_choose_never_fill_the_figures(tmp_path):
    """Types, unknown addresses and methods are bounded."""
    async with serving(tmp_path / "vault") as service:
        agent, alice = service.agent(), service.reviewer()
        for number in range(55):
            await service.hitl.request_approval(f"type-{number}", "", {"n": number})
        await agent.get("/nowhere/secret-path")
        await agent.request("BREW", "/healthz")
        await caught_up(service)
        found = await figures(alice)
        types = [labels for name, labels in found if name == "hitl_requests_total"]
        assert len(types) == 51
        assert figure(found, "hitl_requests_total", type="(other)") == 5
        assert "secret-path" not in str(found)
        assert "BREW" not in str(found)


@pytest.mark.timeout(300)
async def test_a_scrape_costs_the_same_however_many_requests_there_are(tmp_path):
    """Nothing is scanned: the ledger is asked for no request."""
    async with serving(tmp_path / "vault") as service:
        alice = service.reviewer()
        await asyncio.gather(
            *(service.hitl.request_approval("payment", "", {"n": n}) for n in range(300))
        )
        await caught_up(service)

        async def refuse(*_, **__):
            raise AssertionError("a scrape asked for requests")

        service.hitl.list_requests = service.hitl.get = service.hitl.tally = refuse
        began = time.monotonic()
        for _ in range(10):
            assert figure(await figures(alice), "hitl_pending") == 300
        assert time.monotonic() - began < 5


async def test_a_type_of_unreadable_characters_is_spelled_out_in_the_figures(tmp_path):
    async with serving(tmp_path / "vault", metrics_open=True) as service:
        await service.hitl.request_approval("pay\x00\x1b[1m", "", {})
        await caught_up(service)
        answer = await service.client().get("/metrics")
        assert "\x00" not in answer.text
        assert "\x1b" not in answer.text
        found = await figures(service.client())
        assert figure(found, "hitl_requests_total", type="pay<U+0000><U+001B>[1m") == 1
