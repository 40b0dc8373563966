"""Execution: what was approved runs once, with what was approved, and its end is recorded."""

import asyncio

import pytest
from engine_kit import Office, Process

from hitl_vault.core.events import Kind
from hitl_vault.core.model import Request, Status
from hitl_vault.errors import (
    Conflict,
    Denied,
    Indeterminate,
    InvalidRequest,
    OutcomeNotRecorded,
    Refused,
    RequestNotFound,
)


@pytest.fixture
async def approved(hitl: Process, asked: Request) -> Request:
    return await hitl.approve(asked.id, reviewer="alice")


async def test_what_is_not_approved_cannot_be_claimed(hitl: Process, asked: Request):
    """Pending, rejected, unknown: no claim, and the block does not run."""
    with pytest.raises(Refused, match="not approved"):
        async with hitl.execution(asked.id):
            pytest.fail("it ran")
    await hitl.reject(asked.id, reviewer="alice")
    with pytest.raises(Conflict):
        async with hitl.execution(asked.id):
            pytest.fail("it ran")
    with pytest.raises(RequestNotFound):
        async with hitl.execution("nothing"):
            pytest.fail("it ran")


async def test_only_one_of_many_claims_wins(office: Office, hitl: Process, approved: Request):
    """Twenty try at once, in two processes: one runs."""
    other = await office.open()
    ran = []

    async def run(process: Process) -> None:
        async with process.execution(approved.id):
            ran.append(process)
            await asyncio.sleep(0)

    tries = await asyncio.gather(
        *(run(process) for process in [hitl, other] * 10), return_exceptions=True
    )
    assert len(ran) == 1
    assert sum(isinstance(outcome, Conflict) for outcome in tries) == 19
    assert (await hitl.get(approved.id)).status is Status.EXECUTED


async def test_each_way_out_of_the_block_is_recorded(hitl: Process):
    """A result, an error, an interruption: executed, failed, unknown."""
    ids = []
    for number in range(3):
        request = await hitl.request_approval("payment", "", {"n": number})
        ids.append((await hitl.approve(request.id, reviewer="alice")).id)
    async with hitl.execution(ids[0]) as run:
        run.result = {"receipt": 7}
    with pytest.raises(ZeroDivisionError):
        async with hitl.execution(ids[1]):
            1 / 0  # noqa: B018
    with pytest.raises(asyncio.CancelledError):
        async with hitl.execution(ids[2]):
            raise asyncio.CancelledError
    ended = [await hitl.get(id) for id in ids]
    assert [request.status for request in ended] == [Status.EXECUTED, Status.FAILED, Status.UNKNOWN]
    assert ended[0].result == {"receipt": 7}
    assert [request.outcome.error for request in ended if request.outcome] == [
        "", "ZeroDivisionError: division by zero", "interrupted by CancelledError",
    ]  # fmt: skip


class Odd:
    def __repr__(self) -> str:
        raise RuntimeError("no words")


@pytest.mark.parametrize(
    "result", [object(), {1, 2}, b"\xff", "\ud800", 10**400, float("nan"), Odd(), "x" * 10**6]
)
async def test_any_result_is_recorded_somehow(hitl: Process, approved: Request, result: object):
    """The action has run: whatever it returned, its end is recorded."""
    async with hitl.execution(approved.id) as run:
        run.result = result
    assert (await hitl.get(approved.id)).status is Status.EXECUTED


async def test_a_claim_cancelled_on_its_way_does_not_stay_open(
    office: Office, hitl: Process, approved: Request, monkeypatch: pytest.MonkeyPatch
):
    """Nothing ran under a claim whose caller was cancelled, and the record says so."""
    submit, held = office.ledger.submit, asyncio.Event()

    async def slow(command):
        stored = asyncio.ensure_future(submit(command))
        if type(command).__name__ == "Claim":
            held.set()
            await asyncio.sleep(3600)
        return await stored

    monkeypatch.setattr(office.ledger, "submit", slow)
    task = asyncio.create_task(hitl.execution(approved.id).claim())
    await held.wait()
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    ended = await hitl.get(approved.id)
    assert ended.status is Status.FAILED
    assert ended.outcome is not None
    assert "nothing was run" in ended.outcome.error


async def test_an_unsure_commit_is_asked_again(office: Office, hitl: Process, approved: Request):
    """A claim that may be stored is submitted again with the same id: it holds, once."""
    office.ledger.unsure = 1
    async with hitl.execution(approved.id):
        pass
    assert (await office.kinds(approved)).count(Kind.CLAIMED) == 1
    office.ledger.unsure = 2
    with pytest.raises(Indeterminate):
        await hitl.request_approval("payment", "", {"n": 5}, key="five")
    again = await hitl.request_approval("payment", "", {"n": 5}, key="five")
    assert len(await hitl.list_requests(type="payment")) == 2
    assert again.status is Status.PENDING


async def test_an_end_that_cannot_be_recorded_is_told(
    office: Office, hitl: Process, approved: Request
):
    """The block ran and the disk is full: the caller hears that it ran, and may report again."""
    run = hitl.execution(approved.id)
    with pytest.raises(OutcomeNotRecorded, match=r"was executed.*executed\|failed"):
        async with run:
            office.ledger.failing = 1
    assert (await hitl.get(approved.id)).status is Status.EXECUTING
    await run.finish(Status.EXECUTED, result="late")
    assert (await hitl.get(approved.id)).result == "late"


async def test_an_interruption_on_a_full_disk_stays_one(
    office: Office, hitl: Process, approved: Request
):
    """The task that was cancelled ends cancelled, and its end is recorded later as unknown."""
    with pytest.raises(asyncio.CancelledError):
        async with hitl.execution(approved.id):
            office.ledger.failing = 1
            raise asyncio.CancelledError
    await hitl._reporting.again()
    assert (await hitl.get(approved.id)).status is Status.UNKNOWN


async def test_a_deny_rule_beats_an_approval(office: Office, hitl: Process, approved: Request):
    """The policy was changed after the approval: nothing runs, and the approval stays unused."""
    office.policy.text = (
        "default: ask\nrules:\n  - {id: stop, effect: deny, reason: no payments today}\n"
    )
    with pytest.raises(Denied, match="stop"):
        async with hitl.execution(approved.id):
            pytest.fail("it ran")
    assert (await hitl.get(approved.id)).status is Status.APPROVED


async def test_marks_record_what_was_done_elsewhere(hitl: Process):
    """mark_executed and mark_failed claim and finish at once, once, and may be repeated."""
    ids = []
    for number in range(2):
        request = await hitl.request_approval("payment", "", {"n": number})
        with pytest.raises(Refused):
            await hitl.mark_executed(request.id)
        ids.append((await hitl.approve(request.id, reviewer="alice")).id)
    for _ in range(2):
        assert (await hitl.mark_executed(ids[0], {"ok": True})).status is Status.EXECUTED
        assert (await hitl.mark_failed(ids[1], "broke")).status is Status.FAILED
    with pytest.raises(Conflict):
        await hitl.mark_failed(ids[0], "no")
    with pytest.raises(Conflict):
        await hitl.mark_executed(ids[0], {"ok": "something else"})


async def test_a_resolution_is_executed_or_failed(hitl: Process, approved: Request):
    """Anything else is no end of an execution."""
    with pytest.raises(InvalidRequest):
        await hitl.resolve(approved.id, Status.APPROVED, by="bob")
    with pytest.raises(Conflict):
        await hitl.resolve(approved.id, Status.EXECUTED, by="bob")


async def test_a_deny_rule_that_has_settled_since_the_approval_stops_the_claim(
    office: Office, hitl: Process, approved: Request
):
    """Not only one that is just being read: the policy of the approval is no longer in force."""
    office.policy.text = "default: ask\nrules:\n  - {id: stop, effect: deny}\n"
    hitl.policies.reload()
    office.clock.advance(1)
    assert hitl.policies.reload() is None
    with pytest.raises(Denied, match="stop"):
        async with hitl.execution(approved.id):
            pytest.fail("it ran")


async def test_a_rule_about_the_time_is_judged_again_at_the_claim():
    """The policy is the same one; the time is not."""
    office = Office(
        "default: ask\nrules:\n"
        "  - {id: late, effect: deny, when: \"now >= timestamp('2026-11-21T12:00:00Z')\"}\n"
    )
    hitl = await office.open()
    assert office.clock.now().isoformat() < "2026-11-21T12"
    request = await hitl.request_approval("payment", "Pay", {"amount": 900})
    await hitl.approve(request.id, reviewer="alice")
    office.clock.advance(4 * 3600)
    with pytest.raises(Denied, match="late"):
        async with hitl.execution(request.id):
            pytest.fail("it ran")
