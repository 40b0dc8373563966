"""Near or far, a desk keeps the same promises in the same words: every test runs on both."""

from __future__ import annotations

import asyncio
import inspect

import pytest
from client_kit import Pair, far, near, the_waiting, until

from hitl_vault import (
    ApprovalDesk,
    Cancelled,
    Conflict,
    Denied,
    Effect,
    ExecutionFailed,
    Expired,
    Head,
    InvalidRequest,
    Kind,
    NotOpen,
    Orchestrator,
    OutcomeUnknown,
    Refused,
    Rejected,
    RequestNotFound,
    Status,
    WaitTimeout,
    connect,
)
from hitl_vault.cli.starting import make_vault
from hitl_vault.client import ApprovalClient, PolicyClient, RemoteDesk

DETAILS = {"amount": 1500, "to": "v@example.com"}


@pytest.fixture(params=[near, far], ids=["embedded", "remote"])
async def pair(request, workspace):
    async with request.param(workspace / "vault") as made:
        yield made


async def asked(pair: Pair, **more):
    return await pair.hitl.request_approval("payment", "Pay", DETAILS, **more)


async def approved(pair: Pair, **more):
    request = await asked(pair, **more)
    return await pair.alice.approve(request.id, reviewer="alice")


def test_both_are_approval_desks():
    """Same methods, and each takes what the protocol says, in the same order and with the same
    defaults; mypy proves the types where each is made."""
    for kind in (Orchestrator, RemoteDesk):
        for name, method in vars(ApprovalDesk).items():
            if name.startswith("_") or not inspect.isfunction(method):
                continue
            wanted = inspect.signature(method).parameters
            taken = inspect.signature(getattr(kind, name)).parameters
            for parameter in wanted.values():
                assert parameter.name in taken, (kind, name)
                assert taken[parameter.name].default == parameter.default, (kind, name)
                assert taken[parameter.name].kind is parameter.kind, (kind, name)


async def test_a_desk_is_one(pair):
    assert isinstance(pair.hitl, ApprovalDesk)


async def test_what_is_asked_and_approved_is_heard_of(pair):
    request = await asked(pair, run_id="run-7")
    assert (request.status, request.details, request.action.run_id) == ("pending", DETAILS, "run-7")
    waiting = asyncio.create_task(pair.hitl.wait_for_approval(request.id))
    await pair.alice.approve(request.id, reviewer="alice", reason="fine")
    decided = await waiting
    assert (decided.status, decided.reviewers) == ("approved", ("alice",))
    assert decided.votes[0].reason == "fine"
    assert await pair.hitl.get(request.id) == decided
    assert await pair.hitl.check_status(request.id) is Status.APPROVED


async def test_a_rejection_is_an_error_that_carries_the_request(pair):
    request = await asked(pair)
    waiting = asyncio.create_task(pair.hitl.wait_for_approval(request.id))
    await pair.alice.reject(request.id, reviewer="alice", reason="too much")
    with pytest.raises(Rejected, match="alice: too much") as caught:
        await waiting
    assert caught.value.request.id == request.id
    assert (await pair.hitl.wait_for_decision(request.id)).status is Status.REJECTED


async def test_what_nobody_answers_expires(pair):
    request = await asked(pair, timeout=0.3)
    with pytest.raises(Expired):
        await pair.hitl.wait_for_approval(request.id)


async def test_patience_ends_and_the_request_waits_on(pair):
    request = await asked(pair)
    for timeout in (0, 0.2):
        with pytest.raises(WaitTimeout):
            await pair.hitl.wait_for_decision(request.id, timeout)
    await pair.alice.approve(request.id, reviewer="alice")
    assert (await pair.hitl.wait_for_decision(request.id, 0)).status is Status.APPROVED


async def test_cancelling_a_waiter_cancels_the_waiter_alone(pair):
    request = await asked(pair)
    one, other = (asyncio.create_task(pair.hitl.wait_for_decision(request.id)) for _ in range(2))
    await asyncio.sleep(0)
    one.cancel()
    with pytest.raises(asyncio.CancelledError):
        await one
    await pair.alice.approve(request.id, reviewer="alice")
    assert (await other).status is Status.APPROVED


async def test_the_same_key_is_the_same_request(pair):
    first = await asked(pair, key="INV-1")
    assert (await asked(pair, key="INV-1")).id == first.id
    assert await pair.hitl.was_asked("INV-1")
    assert not await pair.hitl.was_asked("INV-2")
    with pytest.raises(Conflict) as caught:
        await pair.hitl.request_approval("payment", "Pay", {"amount": 9000}, key="INV-1")
    assert caught.value.current.id == first.id


async def test_an_own_id_and_joining(pair):
    request = await asked(pair, id="my-own-1")
    assert request.id == "my-own-1"
    waits = await pair.hitl.request_approval("deploy", "", {"to": "prod"}, join=True)
    assert (
        await pair.hitl.request_approval("deploy", "", {"to": "prod"}, join=True)
    ).id == waits.id


async def test_what_was_approved_runs_once(pair):
    request = await approved(pair)
    async with pair.hitl.execution(request.id) as run:
        assert run.details == DETAILS
        run.result = {"receipt": "R-1"}
    ended = await pair.hitl.wait_for_outcome(request.id)
    assert (ended.status, ended.result) == ("executed", {"receipt": "R-1"})
    with pytest.raises(Conflict) as caught:
        async with pair.hitl.execution(request.id):
            pytest.fail("it ran twice")
    assert caught.value.current.status is Status.EXECUTED


async def test_of_many_executors_one_runs(pair):
    request = await approved(pair)
    ran = []

    async def execute():
        async with pair.hitl.execution(request.id):
            ran.append(1)

    told = await asyncio.gather(*(execute() for _ in range(8)), return_exceptions=True)
    assert len(ran) == 1
    assert sum(isinstance(one, Conflict) for one in told) == 7


async def test_what_was_not_approved_does_not_run(pair):
    request = await asked(pair)
    with pytest.raises(Refused, match="not approved"):
        async with pair.hitl.execution(request.id):
            pytest.fail("it ran")
    with pytest.raises(RequestNotFound):
        async with pair.hitl.execution("no-such"):
            pytest.fail("it ran")


async def test_a_failure_is_recorded_and_raised(pair):
    request = await approved(pair)
    with pytest.raises(ZeroDivisionError):
        async with pair.hitl.execution(request.id):
            raise ZeroDivisionError("by zero")
    ended = await pair.hitl.get(request.id)
    assert (ended.status, ended.outcome.error) == ("failed", "ZeroDivisionError: by zero")


async def test_what_is_torn_away_is_unknown(pair):
    request = await approved(pair)
    runs = asyncio.Event()

    async def work():
        async with pair.hitl.execution(request.id):
            runs.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await runs.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await pair.hitl.get(request.id)).status is Status.UNKNOWN
    to_do = f"hitl resolve {request.id} executed"
    with pytest.raises(OutcomeUnknown, match=to_do) as caught:
        await pair.hitl.wait_for_approval(request.id)
    assert caught.value.request.id == request.id
    with pytest.raises(Conflict, match=to_do):
        await pair.hitl.execution(request.id).claim()


async def test_a_guard_asks_runs_once_and_remembers(pair):
    paid = []

    @pair.hitl.guard("payment", "Pay {amount} to {to}", key="inv-{invoice}")
    async def pay(amount: int, to: str, invoice: str) -> dict:
        paid.append(amount)
        return {"paid": amount}

    assert await pay(10, "eve", "0") == {"paid": 10}  # allowed: nobody is asked
    assert await pair.hitl.list_requests() == []
    task = asyncio.create_task(pay(900, "bob", "1"))
    request = await the_waiting(pair.alice)
    assert request.action.description == "Pay 900 to bob"
    changed = {"amount": 600, "to": "bob", "invoice": "1"}
    await pair.alice.approve(request.id, reviewer="alice", details=changed)
    assert await task == {"paid": 600}
    assert await pay(900, "bob", "1") == {"paid": 600}
    assert paid == [10, 600]


async def test_a_guard_does_not_run_what_is_forbidden_rejected_or_failed(pair):
    ran = []

    @pair.hitl.guard("wipe")
    async def wipe() -> None:
        ran.append("wipe")

    with pytest.raises(Denied, match="Never"):
        await wipe()

    @pair.hitl.guard("deploy", key="{to}")
    def deploy(to: str) -> None:
        ran.append(to)
        raise OSError("no disk")

    task = asyncio.create_task(deploy("a"))
    await pair.alice.reject((await the_waiting(pair.alice)).id, reviewer="alice")
    with pytest.raises(Rejected):
        await task
    task = asyncio.create_task(deploy("b"))
    await pair.alice.approve((await the_waiting(pair.alice)).id, reviewer="alice")
    with pytest.raises(OSError, match="no disk"):
        await task
    with pytest.raises(ExecutionFailed, match="no disk"):
        await deploy("b")
    assert ran == ["b"]


async def test_a_guard_never_runs_again_what_may_have_run(pair):
    began = asyncio.Event()

    @pair.hitl.guard("deploy", key="k")
    async def deploy() -> None:
        began.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(deploy())
    await pair.alice.approve((await the_waiting(pair.alice)).id, reviewer="alice")
    await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(OutcomeUnknown):
        await deploy()


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda d: d.request_approval("", "", {}), "type is empty"),
        (lambda d: d.request_approval("x", "", {"n": float("nan")}), "details"),
        (lambda d: d.request_approval("x", "", {}, id="../up"), "id '../up' cannot be used"),
        (lambda d: d.request_approval("x", "", {}, timeout=0), "timeout must be more than 0"),
        (lambda d: d.request_approval("x", "", {}, key="k", join=True), "join is for asking"),
        (lambda d: d.wait_for_decision("x", -1), "timeout"),
        (lambda d: d.list_requests(status="perhaps"), "status must be one of"),
        (lambda d: d.list_requests(limit=-1), "limit"),
        (lambda d: d.comment("x", " "), "text is empty"),
        (lambda d: d.vote("x", "maybe", reviewer="a"), "answer must be one of"),
        (lambda d: d.get(5), "id must be a text"),
    ],
)
async def test_what_cannot_be_accepted_is_told_by_its_field(pair, call, says):
    with pytest.raises(InvalidRequest, match=says):
        await call(pair.hitl)


async def test_what_is_not_there_is_not_found(pair):
    for call in (
        lambda d: d.get("no-such"),
        lambda d: d.get(""),
        lambda d: d.get("a/../b"),
        lambda d: d.wait_for_decision("no-such"),
        lambda d: d.history("no-such"),
        lambda d: d.cancel("no-such"),
    ):
        with pytest.raises(RequestNotFound):
            await call(pair.hitl)


async def test_lists_are_filtered_and_complete(pair):
    ids = [(await asked(pair, run_id=f"run-{n % 2}", id=f"r-{n}")).id for n in range(7)]
    await pair.hitl.cancel("r-3")
    newest_first = ids[::-1]
    listed = [one.id for one in await pair.hitl.list_requests()]
    assert listed == newest_first
    assert [one.id for one in await pair.hitl.list_requests(limit=2)] == newest_first[:2]
    assert await pair.hitl.list_requests(limit=0) == []
    assert [one.id for one in await pair.hitl.list_requests(status="cancelled")] == ["r-3"]
    some = await pair.hitl.list_requests(run_id="run-1", status=[Status.PENDING], since="1h")
    assert {one.id for one in some} == {"r-1", "r-5"}
    assert await pair.hitl.list_requests(type="other") == []


async def test_remarks_and_withdrawal(pair):
    request = await asked(pair)
    commented = await pair.hitl.comment(request.id, "the invoice is attached")
    assert [one.text for one in commented.comments] == ["the invoice is attached"]
    assert (await pair.hitl.cancel(request.id, reason="paid by card")).status is Status.CANCELLED
    with pytest.raises(Cancelled, match="paid by card"):
        await pair.hitl.wait_for_approval(request.id)
    with pytest.raises(Conflict):
        await pair.alice.approve(request.id, reviewer="alice")


async def test_what_ran_elsewhere_is_marked_once(pair):
    request = await approved(pair)
    for _ in range(2):
        marked = await pair.hitl.mark_executed(request.id, {"ok": True})
        assert (marked.status, marked.result) == ("executed", {"ok": True})
    other = await approved(pair)
    assert (await pair.hitl.mark_failed(other.id, "no")).outcome.error == "no"


async def test_events_are_told_once_each_and_go_on_where_one_stopped(pair):
    request = await approved(pair)
    seen = []
    stream = pair.alice.subscribe()
    async for recorded in stream:
        seen.append(recorded)
        if recorded.event.kind is Kind.APPROVED:
            break
    await stream.aclose()
    await pair.hitl.comment(request.id, "thanks")
    rest = [one async for one in pair.alice.subscribe(seen[-1].seq, follow=False)]
    assert [one.event.kind for one in rest] == [Kind.COMMENTED]
    everything = seen + rest
    assert [one.seq for one in everything] == list(range(1, len(everything) + 1))
    history = await pair.hitl.history(request.id)
    assert history == [one for one in everything if one.event.request_id == request.id]


async def test_the_vault_is_looked_after_from_here(pair):
    for n in range(11):
        await asked(pair, id=f"r-{n}")
    assert [alert.name for alert in await pair.alice.alerts()] == ["pending"]
    head = await pair.alice.verify()
    assert isinstance(head, Head)
    assert head.seq >= 11


async def test_the_policy_is_asked_without_asking_anybody(pair):
    for type, details, effect in (
        ("payment", {"amount": 10}, Effect.ALLOW),
        ("payment", {"amount": 900}, Effect.ASK),
        ("wipe", {}, Effect.DENY),
    ):
        verdict = await pair.hitl.verdict_on(type, details)
        assert verdict.effect is effect
        plain = pair.hitl.evaluate
        same = (
            plain(type, details)
            if pair.service is None
            else await asyncio.to_thread(plain, type, details)
        )
        assert same == verdict
    assert await pair.hitl.list_requests() == []


async def test_a_desk_that_is_not_open_says_so(workspace):
    make_vault(workspace / "vault")
    for desk in (connect(workspace / "vault"), connect("http://127.0.0.1:9")):
        with pytest.raises(NotOpen, match="open it first"):
            await desk.get("x")


async def test_closing_tells_who_waits(workspace):
    async with far(workspace / "vault") as pair:
        request = await asked(pair)
        waiting = asyncio.create_task(pair.hitl.wait_for_decision(request.id))
        await until(lambda: pair.service.serving.limits.answering)
        await pair.hitl.aclose()
        with pytest.raises(NotOpen):
            await waiting


async def test_the_words_of_a_gateway(pair):
    """Policy first, then a person, each helper with its own time to answer."""
    policy, approvals = PolicyClient(pair.hitl), ApprovalClient(pair.hitl)
    decision = await policy.check_deployment("vercel", {"project": "site"})
    assert (decision.allowed, decision.requires_approval) == (True, True)
    assert not (await policy.check("wipe", {})).allowed
    assert (await policy.check("wipe", {})).reason == "Never"
    small = await policy.check("payment", {"amount": 1})
    assert (small.allowed, small.requires_approval) == (True, False)
    assert (await policy.check_code_execution("ls")).requires_approval
    assert (await policy.check_billing("subscribe", 29.99)).requires_approval

    for request, type, details, seconds in (
        (
            await approvals.request_code_execution_approval("npm run migrate", "run-1"),
            "code_execution",
            {"command": "npm run migrate"},
            1800,
        ),
        (
            await approvals.request_deployment_approval("vercel", {"project": "site"}, "run-1"),
            "deploy",
            {"platform": "vercel", "config": {"project": "site"}},
            3600,
        ),
        (
            await approvals.request_billing_approval("create_subscription", 29.99, "run-1"),
            "create_billing",
            {"operation": "create_subscription", "amount": 29.99},
            7200,
        ),
    ):
        assert (request.action.type, request.details) == (type, details)
        assert request.action.run_id == "run-1"
        given = (request.expires_at - request.created_at).total_seconds()
        assert given <= seconds  # a rule's shorter time wins
        await pair.hitl.cancel(request.id)

    asking = asyncio.create_task(
        approvals.request_and_wait("deploy", "Deploy", {"to": "prod"}, action_id="deploy-1")
    )
    request = await the_waiting(pair.alice)
    assert request.id == "deploy-1"
    await ApprovalClient(pair.alice).approve(request.id, approved_by="alice", feedback="go")
    assert (await asking).status is Status.APPROVED
    other = await approvals.request_approval("deploy", "", {"to": "test"}, timeout_seconds=60)
    await ApprovalClient(pair.alice).approve(other.id, approved=False, approved_by="alice")
    with pytest.raises(Rejected):
        await approvals.wait_for_approval(other.id)
