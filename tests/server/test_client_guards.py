"""What a far executor and a far listener check themselves, whatever answers them."""

from __future__ import annotations

import asyncio
import json

import pytest
from client_kit import far, proxy, until

from hitl_vault import Conflict, Incompatible, Status, TooFast, Unauthenticated
from hitl_vault.client import RemoteDesk
from hitl_vault.errors import RequestNotFound

DETAILS = {"amount": 1500}


async def approved(pair, **more):
    request = await pair.hitl.request_approval("payment", "Pay", DETAILS, **more)
    return await pair.alice.approve(request.id, reviewer="alice")


@pytest.mark.parametrize(
    "other", [{"details": {"amount": 9999}}, {"payload_sha256": "0" * 64}], ids=["text", "digest"]
)
async def test_a_claim_that_brings_other_details_runs_nothing(workspace, other):
    """Not what was approved, or not what its digest says: given back, and on record as not run."""
    async with far(workspace / "vault") as pair:
        request = await approved(pair)
        run = pair.hitl.execution(request.id)
        original = run._service.send

        async def send(call, **more):
            answer = await original(call, **more)
            if call.path.endswith("/claim"):
                answer["request"] |= other
            return answer

        run._service.send = send
        with pytest.raises(Conflict, match="what would run is not what was approved"):
            async with run:
                pytest.fail("it ran")
        ended = await pair.alice.get(request.id)
        assert (ended.status, "nothing was run" in ended.outcome.error) == ("failed", True)


@pytest.mark.parametrize("ours", [True, False])
async def test_only_a_claim_of_ones_own_is_given_back(workspace, ours):
    """The service stored it, died before it said so, and then calls it taken: it is this one's.
    Somebody else's claim is left alone, and runs on."""
    async with far(workspace / "vault") as pair:
        request = await approved(pair)
        if not ours:
            other = pair.hitl.execution(request.id, executor="other")
            await other.claim()
        run = pair.hitl.execution(request.id)
        original, sent = run._service.send, []

        async def send(call, **more):
            sent.append(call.path.rpartition("/")[2])
            answer = await original(call, **more)
            if call.path.endswith("/claim") and ours:
                raise Conflict("it is claimed already", await pair.alice.get(request.id))
            return answer

        run._service.send = send
        with pytest.raises(Conflict):
            await run.claim()
        now = await pair.alice.get(request.id)
        if ours:
            assert (now.status, "nothing was run" in now.outcome.error) == ("failed", True)
        else:
            assert "finish" not in sent
            assert now.status is Status.EXECUTING
            run._service.send = original
            await other.finish(Status.EXECUTED)


async def test_an_event_that_is_told_again_after_a_break_comes_once(workspace):
    """A service that begins further back than it was asked to doubles nothing."""
    async with far(workspace / "vault") as pair:
        for _ in range(2):
            await approved(pair)
        client = pair.service.reviewer("carla")
        found = (await client.get("/api/v1/events?follow=false")).json()["events"]
        assert len(found) >= 4

        def told(*events):
            lines = [f"id: {one['seq']}\ndata: {json.dumps(one)}\n\n" for one in events]
            return _stream("".join(lines))

        answers = [told(*found[:3]), told(*found[:3]), told(*found[1:4])]
        async with proxy(9, *answers) as line:
            async with RemoteDesk(line.url, "hitl_a_b", patience_s=1) as hitl:
                heard, stream = [], hitl.subscribe()
                while len(heard) < 4:
                    heard.append((await asyncio.wait_for(anext(stream), 20)).seq)
                await stream.aclose()
        assert heard == [one["seq"] for one in found[:4]]


def _stream(text):
    head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
    return (head + text).encode()


async def test_a_lease_is_renewed_again_after_answers_that_say_nothing_of_it(workspace, caplog):
    """Too many calls, a proxy's page, a sign-in wall: only what the service says of the claim ends
    the renewing."""
    async with far(workspace / "vault") as pair:
        request = await approved(pair)
        run = pair.hitl.execution(request.id)
        run._lease_s = 3.0
        original, renewed = run._service.send, []
        troubles = [TooFast("slowly", 1.0), Incompatible("<html>"), Unauthenticated("sign in")]

        async def send(call, **more):
            if not call.path.endswith("/renew"):
                return await original(call, **more)
            if troubles:
                raise troubles.pop(0)
            renewed.append(await original(call, **more))
            if len(renewed) > 1:
                raise RequestNotFound("it is gone")

        run._service.send = send
        await run.claim()
        run._lease_s = 0.03
        await until(lambda: run._renewing.done())
        assert len(renewed) == 2
        assert caplog.text.count("could not be renewed") == 3
        assert "does not count any more (it is gone)" in caplog.text
        await run.finish(Status.EXECUTED)
