"""Whatever breaks between an agent and the vault, nothing is lost and nothing counts twice."""

from __future__ import annotations

import asyncio
import json
import logging
import random
from datetime import timedelta

import pytest
from client_kit import EVERYTHING, far, port_of, proxy, says, server_process, until
from test_claim_ends import failing

from hitl_vault import (
    ConfigError,
    Conflict,
    Forbidden,
    HitlVaultError,
    Incompatible,
    Indeterminate,
    Kind,
    Orchestrator,
    OutcomeNotRecorded,
    Rejected,
    Status,
    StorageError,
    TooFast,
    Unauthenticated,
    WaitTimeout,
    blocking,
    connect,
)
from hitl_vault.client import RemoteDesk
from hitl_vault.client.service import Call, Service
from hitl_vault.core import commands as c

DETAILS = {"amount": 1500}
PROBLEM = {"title": "x", "detail": "not stored", "code": "storage"}


def through(line, pair, who="agent", name="bot", *scopes, **options):
    """Return a desk behind the proxy."""
    token = pair.service.token(who, name, *scopes)
    return RemoteDesk(line.url, token, **options)


async def test_a_waiter_outlives_the_server(workspace):
    """Killed while somebody waits, answered meanwhile in the vault itself, started again: the
    waiter hears of it."""
    with server_process(workspace / "vault") as server:
        await server.start()
        async with connect(server.url, token=server.token("agent", "bot")) as hitl:
            request = await hitl.request_approval("payment", "Pay", DETAILS)
            waiting = asyncio.create_task(hitl.wait_for_approval(request.id))
            outcome = asyncio.create_task(hitl.wait_for_outcome(request.id))
            server.end()
            async with Orchestrator(server.root, watching=False) as at_home:
                await at_home.approve(request.id, reviewer="alice")
            await server.start()
            assert (await asyncio.wait_for(waiting, 40)).status is Status.APPROVED
            async with hitl.execution(request.id) as run:
                run.result = 1
            assert (await asyncio.wait_for(outcome, 40)).result == 1


async def test_a_stream_outlives_the_server(workspace):
    """Killed under a stream, with events recorded before, while it is down, and after."""
    with server_process(workspace / "vault") as server:
        await server.start()
        token = server.token("reviewer", "alice", *EVERYTHING)
        async with connect(server.url, token=token) as alice:
            seen = []

            async def follow():
                async for recorded in alice.subscribe():
                    seen.append(recorded)
                    if recorded.event.data.get("text") == "the last":
                        return

            following = asyncio.create_task(follow())
            async with Orchestrator(server.root, watching=False) as at_home:
                request = await at_home.request_approval("payment", "Pay", DETAILS)
                for n in range(3):
                    await at_home.comment(request.id, f"before {n}")
                await until(lambda: len(seen) >= 4)
                server.end()
                for n in range(3):
                    await at_home.comment(request.id, f"meanwhile {n}")
                await server.start()
                await at_home.comment(request.id, "the last")
            await asyncio.wait_for(following, 40)
            assert [one.seq for one in seen] == list(range(1, seen[-1].seq + 1))


@pytest.mark.parametrize("seed", range(4))
async def test_a_stream_cut_anywhere_loses_and_doubles_nothing(workspace, seed):
    """A proxy tears the connection after any number of bytes, in the middle of events too."""
    chance = random.Random(seed)
    async with far(workspace / "vault") as pair:
        request = await pair.hitl.request_approval("payment", "Pay", DETAILS)
        for n in range(40):
            await pair.hitl.comment(request.id, f"remark {n}")
        cuts = [chance.randrange(0, 2500) for _ in range(25)]
        async with proxy(port_of(pair.service.url), *cuts) as line:
            desk = through(line, pair, "reviewer", "carol", *EVERYTHING, sleep=no_sleep)
            async with desk:
                seen = []
                async for recorded in desk.subscribe():
                    seen.append(recorded)
                    if recorded.event.data.get("text") == "remark 39":
                        break
        whole = [one async for one in pair.alice.subscribe(follow=False)]
        assert seen == whole
        assert line.connections > 3


async def no_sleep(_: float) -> None:
    """Stand in for a wait between two tries."""
    await asyncio.sleep(0)


@pytest.mark.parametrize("cut", [0, 1, 40, 300])
async def test_what_arrived_and_lost_its_answer_counts_once(workspace, cut):
    """Asking, remarking, voting, claiming and finishing: each answer is cut off the first time."""
    async with far(workspace / "vault") as pair:
        async with proxy(port_of(pair.service.url)) as line:
            async with (
                through(line, pair) as hitl,
                through(line, pair, "reviewer", "carol", *EVERYTHING) as carol,
            ):

                async def torn(call):
                    line.cut()  # idle connections, so that the next call makes its own
                    await asyncio.sleep(0)
                    line.plan[:] = [cut]
                    told = await call
                    assert line.plan == []
                    return told

                request = await torn(hitl.request_approval("payment", "Pay", DETAILS))
                keyed = await torn(hitl.request_approval("payment", "Pay", DETAILS, key="K"))
                assert len(await pair.alice.list_requests()) == 2
                await torn(hitl.comment(request.id, "once"))
                await torn(carol.approve(request.id, reviewer="carol"))
                run = hitl.execution(request.id)
                assert await torn(run.claim())
                await torn(run.finish(Status.EXECUTED, result=7))
                await torn(hitl.cancel(keyed.id))
        kinds = [one.event.kind for one in await pair.hitl.history(request.id)]
        assert kinds == [
            Kind.REQUESTED, Kind.COMMENTED, Kind.VOTED, Kind.APPROVED, Kind.CLAIMED, Kind.EXECUTED,
        ]  # fmt: skip
        assert (await pair.hitl.get(keyed.id)).status is Status.CANCELLED


async def test_a_server_in_trouble_is_asked_again_as_late_as_it_says(workspace):
    waited = []

    async def sleep(seconds):
        waited.append(seconds)

    trouble = [
        says(503, headers="Retry-After: 7\r\n"),
        says(500),
        says(500, json.dumps(PROBLEM)),
        says(502, "<html>Bad gateway"),
        says(429, headers="Retry-After: 3\r\n"),
    ]
    async with far(workspace / "vault") as pair:
        async with proxy(port_of(pair.service.url), *trouble) as line:
            async with through(line, pair, sleep=sleep) as hitl:
                request = await hitl.request_approval("payment", "Pay", DETAILS)
        assert (await pair.hitl.get(request.id)).status is Status.PENDING
        assert len(waited) == 5
        assert 7 <= waited[0] < 7 + 5
        assert 3 <= waited[4] < 3 + 5
        assert all(seconds <= 5 for seconds in waited[1:4])


async def test_patience_ends_with_what_is_known(workspace):
    """Nobody there: nothing was changed. Taken and not answered: it may have been."""
    async with far(workspace / "vault") as pair:
        async with proxy(port_of(pair.service.url)) as line:
            async with through(line, pair, patience_s=0.5) as hitl:
                line.plan[:] = [0] * 50
                with pytest.raises(Indeterminate, match="ask again with the same id"):
                    await hitl.request_approval("payment", "Pay", DETAILS, id="once")
                with pytest.raises(StorageError, match="nothing was changed"):
                    await hitl.get("once")
                line.plan[:] = [says(500, json.dumps(PROBLEM))] * 50
                with pytest.raises(StorageError, match="not stored") as caught:
                    await hitl.request_approval("payment", "Pay", DETAILS)
                assert not isinstance(caught.value, Indeterminate)
                line.plan[:] = [says(429, headers="Retry-After: 60\r\n")]
                with pytest.raises(TooFast):
                    await hitl.get("once")
                assert (await hitl.get("once")).status is Status.PENDING
    async with RemoteDesk("http://127.0.0.1:9", "hitl_a_b", patience_s=0.2) as nobody:
        with pytest.raises(StorageError, match="no answer from http") as caught:
            await nobody.request_approval("payment", "Pay", DETAILS)
        assert not isinstance(caught.value, Indeterminate)
        with pytest.raises(WaitTimeout):
            await nobody.wait_for_decision("x", 0.3)
        with pytest.raises(StorageError):
            await nobody.wait_for_decision("x", 0)
        with pytest.raises(StorageError):
            await asyncio.to_thread(nobody.evaluate, "payment", DETAILS)


LATER = {"refused": says(429), "too slow": says(408), "too early": says(425)}


@pytest.mark.parametrize("later", LATER.values(), ids=LATER)
async def test_what_may_have_arrived_is_unclear_whatever_is_answered_later(workspace, later):
    """The first answer is lost and the repeats are turned away: the id to ask again with is said,
    and asking with it is no second request."""
    async with far(workspace / "vault") as pair:
        async with proxy(port_of(pair.service.url)) as line:
            async with through(line, pair, patience_s=0.5) as hitl:
                line.plan[:] = [0, *[later] * 1000]
                with pytest.raises(Indeterminate, match="ask again with the same id") as caught:
                    await hitl.request_approval("payment", "Pay", DETAILS)
                line.plan.clear()
                (stored,) = await pair.alice.list_requests()
                assert f"(id {stored.id})" in str(caught.value)
                await hitl.request_approval("payment", "Pay", DETAILS, id=stored.id)
                line.cut()
                await asyncio.sleep(0)
                line.plan[:] = [0, *[later] * 1000]
                with pytest.raises(Indeterminate, match=r"\(key K\)"):
                    await hitl.request_approval("payment", "Pay", DETAILS, key="K")
                line.plan[:] = [0, *[later] * 1000]
                with pytest.raises(HitlVaultError) as caught:  # it changes nothing
                    await hitl.verdict_on("payment", DETAILS)
                assert not isinstance(caught.value, Indeterminate)
        assert len(await pair.alice.list_requests()) == 2


async def test_plain_code_hears_the_same_of_what_may_have_arrived(workspace):
    async with far(workspace / "vault") as pair:
        token = pair.service.token("agent", "bot")
        async with proxy(port_of(pair.service.url), 0, *[LATER["refused"]] * 1000) as line:

            def ask():
                with blocking.connect(line.url, token=token, patience_s=0.5) as hitl:
                    hitl.request_approval("payment", "Pay", DETAILS)

            with pytest.raises(Indeterminate, match="ask again with the same id") as caught:
                await asyncio.to_thread(ask)
        (stored,) = await pair.alice.list_requests()
        assert stored.id in str(caught.value)


async def test_a_call_that_blocks_its_thread_remembers_that_it_may_have_arrived(workspace):
    async with far(workspace / "vault") as pair:
        token = pair.service.token("agent", "bot")
        async with proxy(port_of(pair.service.url), 0, *[LATER["refused"]] * 1000) as line:
            service = Service(line.url, token, patience_s=0.5)
            service.open()
            body = {"type": "payment", "description": "", "details": DETAILS, "id": "once"}
            call = Call(method="POST", path="requests", body=body)
            with pytest.raises(Indeterminate, match="ask again with the same id"):
                await asyncio.to_thread(service.send_blocking, call)
            await service.aclose()
        assert (await pair.hitl.get("once")).status is Status.PENDING


async def test_who_may_not_call_is_told_at_once(workspace):
    async with far(workspace / "vault") as pair:
        request = await pair.hitl.request_approval("payment", "Pay", DETAILS)
        with pytest.raises(Forbidden, match="may not vote"):
            await pair.hitl.approve(request.id, reviewer="alice")
        with pytest.raises(Forbidden, match="alice's, not bob's"):
            await pair.alice.approve(request.id, reviewer="bob")
        with pytest.raises(Forbidden, match="bot's, not root's"):
            await pair.hitl.request_approval("payment", "", DETAILS, requested_by="root")
        with pytest.raises(Forbidden):
            await pair.hitl.verify()
        for token in (None, "hitl_wrong_token"):
            async with connect(pair.service.url, token=token) as stranger:
                with pytest.raises(Unauthenticated):
                    await stranger.get(request.id)
                with pytest.raises(Unauthenticated):
                    await anext(stranger.subscribe())
                with pytest.raises(Unauthenticated):
                    await stranger.wait_for_decision(request.id)
        assert (await pair.hitl.get(request.id)).votes == ()


async def test_an_end_that_cannot_be_reported_is_reported_later(workspace, caplog):
    """The agent hears that it must not run again; it is recorded once the service is back."""
    with server_process(workspace / "vault") as server:
        await server.start()
        token = server.token("agent", "bot")
        async with RemoteDesk(server.url, token, patience_s=0.5) as hitl:
            request = await hitl.request_approval("payment", "Pay", DETAILS)
            async with Orchestrator(server.root, watching=False) as at_home:
                await at_home.approve(request.id, reviewer="alice")
            with pytest.raises(OutcomeNotRecorded, match="must not run again") as caught:
                async with hitl.execution(request.id) as run:
                    run.result = "paid"
                    server.end()
            assert caught.value.request.id == request.id
            await server.start()
            ended = await until(lambda: _ended(hitl, request.id))
            assert (ended.status, ended.result) == ("executed", "paid")


async def test_an_end_that_is_turned_away_is_reported_later(workspace):
    """The service takes no more from this caller for now: the end is not forgotten."""
    async with far(workspace / "vault") as pair:
        async with proxy(port_of(pair.service.url)) as line:
            async with through(line, pair, patience_s=0.3) as hitl:
                request = await hitl.request_approval("payment", "Pay", DETAILS)
                await pair.alice.approve(request.id, reviewer="alice")
                with pytest.raises(OutcomeNotRecorded, match="must not run again"):
                    async with hitl.execution(request.id) as run:
                        run.result = "paid"
                        line.cut()
                        await asyncio.sleep(0)
                        line.plan[:] = [LATER["refused"]] * 1000
                line.plan.clear()
                ended = await until(lambda: _ended(hitl, request.id))
                assert (ended.status, ended.result) == ("executed", "paid")


async def test_an_end_the_service_could_not_store_is_said_once(workspace):
    """One sentence, not the service's inside the client's; and no file of the service."""
    async with far(workspace / "vault") as pair:
        token = pair.service.token("agent", "bot")
        async with RemoteDesk(pair.service.url, token, patience_s=0.2) as hitl:
            request = await hitl.request_approval("payment", "Pay", DETAILS)
            await pair.alice.approve(request.id, reviewer="alice")
            with failing(pair.service, c.Finish) as ids:
                ids.add(request.id)
                with pytest.raises(OutcomeNotRecorded) as caught:
                    async with hitl.execution(request.id) as run:
                        run.result = "paid"
            said = str(caught.value)
            assert said.startswith(f"{request.id} was executed, and that could not be recorded (")
            assert said.count("was executed") == said.count("must not run again") == 1
            assert (await until(lambda: _ended(hitl, request.id))).result == "paid"


async def _ended(hitl, id):
    try:
        request = await hitl.get(id)
    except StorageError:
        return None
    return request if request.status is Status.EXECUTED else None


async def test_a_lease_lives_as_long_as_the_block_and_no_longer(workspace):
    """It is renewed while the block runs; when the program is gone, the end is unknown, and a late
    report of it still counts."""
    async with far(workspace / "vault") as pair:
        token = pair.service.token("agent", "bot")
        async with RemoteDesk(pair.service.url, token, lease_s=1.5) as hitl:
            request = await hitl.request_approval("payment", "Pay", DETAILS)
            await pair.alice.approve(request.id, reviewer="alice")
            leases = pair.service.hitl._parts.presence.leases
            async with hitl.execution(request.id) as run:
                (name,) = pair.service.leases()
                first = leases.find(name).ends_at
                await until(lambda: leases.find(name).ends_at > first + timedelta(seconds=1.5))
                assert (await hitl.get(request.id)).status is Status.EXECUTING
                run._renewing.cancel()  # as if the program had died
                found = await hitl.wait_for_outcome(request.id)
                assert (found.status, "lease" in found.outcome.error) == ("unknown", True)
                run.result = "it ran all the same"
            assert (await hitl.get(request.id)).result == "it ran all the same"


@pytest.mark.parametrize("later", [0, LATER["refused"]], ids=["silent", "refused"])
async def test_a_claim_that_did_not_get_through_is_given_back(workspace, later):
    """The service took the claim and nobody heard: nothing ran, and that is on record."""
    async with far(workspace / "vault") as pair:
        async with proxy(port_of(pair.service.url)) as line:
            async with through(line, pair, patience_s=0.4) as hitl:
                request = await hitl.request_approval("payment", "Pay", DETAILS)
                await pair.alice.approve(request.id, reviewer="alice")
                run = hitl.execution(request.id)
                original = run._service.send

                async def send(call, **more):
                    if call.path.endswith("/claim"):
                        line.cut()
                        await asyncio.sleep(0)
                        line.plan[:] = [0, *[later] * 1000]
                    elif call.path.endswith("/finish"):
                        line.plan.clear()
                    return await original(call, **more)

                run._service.send = send
                with pytest.raises(Indeterminate):
                    await run.claim()
                ended = await pair.hitl.wait_for_outcome(request.id)
                assert (ended.status, "nothing was run" in ended.outcome.error) == ("failed", True)
        with pytest.raises(Conflict):
            await pair.hitl.execution(request.id).claim()


async def test_what_is_no_service_of_ours_is_named(workspace):
    page = says(200, "<html>Welcome to the router")
    for answer in (page, says(404, "nothing here"), says(302, headers="Location: /login\r\n")):
        async with proxy(9, *[answer] * 4) as line:
            async with RemoteDesk(line.url, "hitl_a_b", patience_s=0.3) as hitl:
                with pytest.raises(Incompatible, match="no hitl_vault service"):
                    await hitl.get("x")


@pytest.mark.parametrize(
    ("version", "mend"), [("0.0.1", "upgrade the service"), ("99.1", "upgrade this program's")]
)
async def test_a_service_of_another_time_is_told_apart(version, mend):
    """An answer nobody can read, or a call it does not know: who is older is said."""
    about = says(200, json.dumps({"info": {"title": "hitl_vault", "version": version}}))
    missing = json.dumps({"code": "not_found", "detail": "Not Found"})
    for answer in (says(404, missing), says(200, '{"id": "x", "status": "dreaming"}')):
        async with proxy(9, answer, about) as line:
            async with RemoteDesk(line.url, "hitl_a_b") as hitl:
                with pytest.raises(Incompatible, match=mend) as caught:
                    await hitl.get("x")
                assert version in str(caught.value)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://", "no address of a service"),
        ("http://me:secret@desk:8020", "pass the token by itself"),
        ("http://desk:8020/?a=1", "leave out what follows"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused(url, says):
    with pytest.raises(ConfigError, match=says) as caught:
        connect(url)
    assert "secret" not in str(caught.value)


async def test_a_token_is_shown_nowhere(workspace, caplog, monkeypatch):
    """Not in an error, not in the log, not in what a debugger shows; and it may come from the
    environment."""
    caplog.set_level(logging.DEBUG)
    async with far(workspace / "vault") as pair:
        token = pair.service.token("agent", "env-bot")
        monkeypatch.setenv("HITL_TOKEN", token)
        async with connect(pair.service.url + "/api/v1/") as hitl:
            request = await hitl.request_approval("payment", "Pay", DETAILS)
            assert request.action.requested_by == "env-bot"
            with pytest.raises(Forbidden) as caught:
                await hitl.approve(request.id, reviewer="env-bot")
            secret = token.rpartition("_")[2]
            assert secret not in repr(hitl) + str(caught.value) + caplog.text
    with pytest.raises(ConfigError, match="copy it again") as caught:
        connect("http://desk:8020", token=f"{token}\n")
    assert secret not in str(caught.value)
    assert "unencrypted" not in caplog.text
    connect("http://desk.example:8020", token=token)
    assert "the token goes to desk.example unencrypted" in caplog.text


async def test_many_wait_on_one_client(workspace):
    """200 waiters, a connection each, and one answer each; claims do not queue behind them."""
    async with far(workspace / "vault", at_once=20) as pair:
        asked = [
            await pair.hitl.request_approval("payment", "Pay", DETAILS, id=f"r-{n}")
            for n in range(40)
        ]
        waiting = [
            asyncio.create_task(pair.hitl.wait_for_decision(one.id))
            for one in asked
            for _ in range(5)
        ]
        await until(lambda: pair.service.serving.limits.answering >= 200)
        for n, one in enumerate(asked):
            answer = pair.alice.approve if n % 2 else pair.alice.reject
            await answer(one.id, reviewer="alice")
        told = await asyncio.gather(*waiting)
        assert [one.status for one in told[::5]] == ["rejected", "approved"] * 20
        with pytest.raises(Rejected):
            await pair.hitl.wait_for_approval(asked[0].id)


async def test_more_waiters_than_the_service_takes_are_all_answered(workspace):
    """What is one too many is asked again, until there is room."""
    async with far(workspace / "vault", max_waits=4) as pair:
        request = await pair.hitl.request_approval("payment", "Pay", DETAILS)
        waiting = [asyncio.create_task(pair.hitl.wait_for_decision(request.id)) for _ in range(12)]
        await until(lambda: pair.service.serving.limits.answering >= 4)
        await pair.alice.approve(request.id, reviewer="alice")
        assert {one.status for one in await asyncio.gather(*waiting)} == {Status.APPROVED}
