"""The stream of events: it goes on where it ended, shows what one may see, and costs little."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import time
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest
from httpx_sse import aconnect_sse
from server_kit import serving

from hitl_vault.core.access import Scope

PAYMENT = {"type": "payment", "description": "Pay", "details": {"amount": 1500, "to": "v@x.org"}}
EVENTS = "/api/v1/events"


async def ask(client, **changes):
    answer = await client.post("/api/v1/requests", json=PAYMENT | changes)
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


async def vote(client, id, answer="approve", **more):
    voted = await client.post(f"/api/v1/requests/{id}/votes", json={"answer": answer, **more})
    assert voted.status_code == 200, voted.text


@asynccontextmanager
async def streamed(client, path=EVENTS, headers=None, **params):
    """Open a stream; yields a function that returns its next event."""
    async with aconnect_sse(client, "GET", path, params=params, headers=headers or {}) as source:
        source.response.raise_for_status()
        frames = source.aiter_sse()

        async def following():
            async with asyncio.timeout(10):
                async for frame in frames:
                    if frame.data:
                        return frame
            return None

        yield following


async def kinds_of(following, number):
    return [(await following()).event for _ in range(number)]


async def pages(client, **params):
    answer = await client.get(EVENTS, params={"follow": "false", **params})
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_a_stream_gives_what_was_and_what_comes_with_its_number_in_the_ledger(tmp_path):
    async with serving(tmp_path / "vault") as service:
        agent, alice = service.agent(), service.reviewer()
        id = await ask(agent)
        async with streamed(alice, id=id) as following:
            first = await following()
            assert first.event == "requested"
            shown = json.loads(first.data)
            (recorded,) = await service.hitl.history(id)
            assert (first.id, shown["seq"]) == (str(recorded.seq), recorded.seq)
            assert (shown["hash"], shown["requested_by"]) == (recorded.hash, "bot")
            await vote(alice, id)
            assert await kinds_of(following, 2) == ["voted", "approved"]


async def test_a_stream_that_broke_goes_on_after_the_last_event_one_took(tmp_path):
    """Whether the id is sent as the header of a browser or in the address; nothing twice."""
    async with serving(tmp_path / "vault") as service:
        agent, alice = service.agent(), service.reviewer()
        id = await ask(agent)
        async with streamed(alice, kind="requested") as following:
            last = (await following()).id
        await vote(alice, id)
        for how in ({"headers": {"Last-Event-ID": last}}, {"after": last}):
            async with streamed(alice, **how) as following:
                assert await kinds_of(following, 2) == ["voted", "approved"]
        async with streamed(alice, after="now") as following:
            await ask(agent)
            assert await kinds_of(following, 1) == ["requested"]


@pytest.mark.parametrize("after", ["-1", "x", "1e3", "9" * 30, "999999"])
async def test_a_number_that_is_no_event_is_said_instead_of_waited_for(tmp_path, after):
    async with serving(tmp_path / "vault") as service:
        answer = await service.reviewer().get(EVENTS, params={"after": after})
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid"), answer.text


async def test_each_filter_leaves_out_the_rest(tmp_path):
    async with serving(tmp_path / "vault") as service:
        alice = service.reviewer()
        bot, other = service.agent("bot"), service.agent("other")
        one = await ask(bot, run_id="run-1")
        two = await ask(other, type="deploy")
        await vote(alice, one)

        async def ids(**params):
            return {event["id"] for event in (await pages(alice, **params))["events"]}

        assert await ids(id=one) == await ids(type="payment") == {one}
        assert await ids(requested_by="other") == await ids(type="deploy") == {two}
        assert await ids(run_id="run-1") == {one}
        assert await ids(kind="approved") == {one}
        assert await ids(kind=["approved", "requested"]) == {one, two}
        assert "hitl-register" not in await ids(type="payment")


async def test_an_agent_sees_its_own_requests_only_and_nothing_of_the_vault(tmp_path):
    """Policy, reviewers and grants are for who may read everything."""
    async with serving(tmp_path / "vault") as service:
        bot, other = service.agent("bot"), service.agent("other")
        mine, theirs = await ask(bot), await ask(other)
        seen = (await pages(bot))["events"]
        assert {event["id"] for event in seen} == {mine}
        assert (await bot.get(EVENTS, params={"id": theirs, "follow": "false"})).status_code == 403
        asked = await bot.get(EVENTS, params={"requested_by": "other", "follow": "false"})
        assert asked.status_code == 403
        reader = service.agent("reader", Scope.ASK, Scope.READ)
        kinds = {event["kind"] for event in (await pages(reader))["events"]}
        assert {"policy_changed", "requested"} <= kinds
        async with streamed(bot) as following:
            assert json.loads((await following()).data)["id"] == mine
            await ask(other)
            again = await ask(bot)
            assert json.loads((await following()).data)["id"] == again


async def test_pages_lead_through_all_events_once(tmp_path):
    async with serving(tmp_path / "vault") as service:
        agent, alice = service.agent(), service.reviewer()
        for _ in range(7):
            await ask(agent)
        seen, after = [], 0
        while True:
            page = await pages(alice, after=after, limit=3, kind="requested")
            seen += [event["seq"] for event in page["events"]]
            after = page["next"]
            if not page["more"]:
                break
        assert len(seen) == 7
        assert seen == sorted(set(seen))
        assert (await pages(alice, after=after))["events"] == []
        assert (await pages(alice, after=after))["next"] == after


async def test_a_quiet_stream_says_that_it_lives_and_where_to_go_on(tmp_path):
    async with serving(tmp_path / "vault", heartbeat_s=0.05) as service:
        agent, alice = service.agent(), service.reviewer()
        await ask(agent)
        head = (await service.hitl.head()).seq
        async with alice.stream("GET", EVENTS, params={"type": "none"}) as answer:
            text = ""
            async for piece in answer.aiter_text():
                text += piece
                if text.count("still here") == 2:
                    break
        assert text.startswith("retry: ")
        assert f"id: {head}\n: still here\n\n: still here\n\n" in text
        assert "data:" not in text


async def test_a_stream_ends_when_its_token_no_longer_counts(tmp_path):
    """Busy or quiet: revoking a token takes the stream away, too."""
    async with serving(tmp_path / "vault", heartbeat_s=0.05) as service:
        token = service.token("reviewer", "mallory")
        async with streamed(service.client(token), after="now") as following:
            service.serving.tokens.revoke(token.split("_")[1], datetime.now(UTC))
            assert await following() is None


async def test_a_revoked_token_is_told_nothing_more(tmp_path):
    """Not even until the next heartbeat."""
    async with serving(tmp_path / "vault", heartbeat_s=600) as service:
        agent, token = service.agent(), service.token("reviewer", "mallory")
        async with streamed(service.client(token), after="now") as following:
            await ask(agent)
            assert (await following()).event == "requested"
            service.serving.tokens.revoke(token.split("_")[1], datetime.now(UTC))
            await ask(agent)
            assert await following() is None


async def test_tokens_that_cannot_be_read_end_a_stream_and_nothing_else(tmp_path, caplog):
    async with serving(tmp_path / "vault", heartbeat_s=600) as service:
        async with streamed(service.reviewer(), after="now") as following:
            (service.root / ".hitl" / "keys" / "tokens.toml").write_text("no toml")
            await service.hitl.request_approval("payment", "", {"amount": 1})
            assert await following() is None
        assert "Traceback" not in caplog.text


async def test_what_another_process_commits_is_streamed(tmp_path):
    from hitl_vault import Orchestrator

    async with serving(tmp_path / "vault") as service:
        alice = service.reviewer()
        async with streamed(alice, after="now", kind="requested") as following:
            async with Orchestrator(tmp_path / "vault", watching=False) as other:
                asked = await other.request_approval("payment", "", {"amount": 1})
            assert json.loads((await following()).data)["id"] == asked.id


def reads_slowly(url, token):
    """Open a stream on a socket that takes nothing in."""
    host, port = url.removeprefix("http://").split(":")
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    made.connect((host, int(port)))
    made.sendall(
        f"GET {EVENTS} HTTP/1.1\r\nHost: {host}:{port}\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
    )
    return made


async def test_who_reads_slowly_costs_little_memory_and_slows_nobody(tmp_path):
    """Megabytes of events: what is not read stays in the ledger, and others get all at once."""
    async with serving(tmp_path / "vault") as service:
        agent, alice = service.agent(), service.reviewer()
        id = await ask(agent)
        slow = reads_slowly(service.url, service.token("reviewer", "slow"))
        try:
            while not service.serving.feed.streams:
                await asyncio.sleep(0.01)
            async with streamed(alice, id=id) as following:
                for number in range(150):
                    await service.hitl.comment(
                        id, "x" * 9_000 + str(number), author=f"bot-{number % 2}"
                    )
                for _ in range(151):
                    assert await following() is not None
            server = service.server
            buffered = [
                connection.transport.get_write_buffer_size()
                for connection in server.server_state.connections
            ]
            assert max(buffered) < 500_000  # of more than a megabyte of events
            slow.settimeout(10)
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1_000_000)
            text = b""
            while b"x149" not in text:
                text += await asyncio.to_thread(slow.recv, 1_000_000)
            assert text.count(b"event: commented") == 150  # it lost nothing
        finally:
            slow.close()


async def test_a_thousand_streams_are_cheap(tmp_path):
    """One event reaches all of them soon, with one read of the ledger."""
    async with serving(tmp_path / "vault") as service:
        agent = service.agent()
        await ask(agent)
        feed, number = service.serving.feed, 1_000
        got = asyncio.Semaphore(0)

        async def read(after):
            async def pick(told):
                return told.frame

            stream = feed.stream(after, pick, heartbeat_s=60, counts=lambda: True)
            async for chunk in stream:
                if b"event: requested" in chunk:
                    got.release()
                    await stream.aclose()
                    return

        head = (await service.hitl.head()).seq
        tasks = [asyncio.create_task(read(head)) for _ in range(number)]
        while feed.streams < number:
            await asyncio.sleep(0.01)
        reads, pages_of = 0, service.hitl.subscribe

        def counted(*args, **kwargs):
            nonlocal reads
            reads += 1
            return pages_of(*args, **kwargs)

        service.hitl.subscribe = counted
        began = time.monotonic()
        await ask(agent)
        for _ in range(number):
            await got.acquire()
        assert time.monotonic() - began < 5
        assert reads == 0
        await asyncio.gather(*tasks)
        assert feed.streams == 0


async def test_no_more_streams_are_taken_than_the_service_has_room_for(tmp_path):
    async with serving(tmp_path / "vault", max_streams=1) as service:
        alice = service.reviewer()
        async with streamed(alice):
            answer = await alice.get(EVENTS)
            assert (answer.status_code, answer.headers["retry-after"]) == (429, "5")
        with contextlib.suppress(asyncio.TimeoutError):
            async with asyncio.timeout(5):
                while service.serving.feed.streams:
                    await asyncio.sleep(0.01)
        async with streamed(alice) as following:
            assert await following() is not None


async def test_the_stream_of_a_workflow_has_the_names_of_the_documented_service(tmp_path):
    """A request belongs to the workflow its run id, or a workflow_id in its details, names."""
    path = "/api/v1/stream/sse"
    async with serving(tmp_path / "vault") as service:
        agent, alice = service.agent("bot"), service.reviewer()
        other = service.agent("other")
        one = await ask(agent, run_id="wf-1")
        await ask(agent, run_id="wf-2")
        await vote(alice, one)
        two = await ask(agent, details={"amount": 900, "workflow_id": "wf-1"})
        await vote(alice, two, "reject", reason="too much")
        async with streamed(agent, path, workflow_id="wf-1") as following:
            seen = [await following() for _ in range(4)]
            told = [json.loads(frame.data) for frame in seen]
        names = ["APPROVAL_REQUESTED", "APPROVAL_DECISION"] * 2
        assert [frame.event for frame in seen] == names == [one["type"] for one in told]
        assert [one["approval_id"] for one in told] == [one, one, two, two]
        assert {one["workflow_id"] for one in told} == {"wf-1"}
        assert [one["payload"].get("approved") for one in told] == [None, True, None, False]
        assert told[3]["payload"]["feedback"] == "too much"
        assert told[1]["agent_id"] == "bot"
        async with streamed(
            agent, path, workflow_id="wf-1", types="APPROVAL_DECISION"
        ) as following:
            assert json.loads((await following()).data)["approval_id"] == one
        async with streamed(other, path, workflow_id="wf-1") as following:
            theirs = await ask(other, run_id="wf-1")
            assert json.loads((await following()).data)["approval_id"] == theirs
        assert (await agent.get(path)).status_code == 422
