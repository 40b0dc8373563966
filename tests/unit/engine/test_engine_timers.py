"""The timers and the waiters: deadlines, reminders, dead executors; and waiting that loses nothing."""

import asyncio

import pytest
from engine_kit import Office, Process

from hitl_vault.core.events import Kind
from hitl_vault.core.model import Request, Status
from hitl_vault.errors import (
    Cancelled,
    Conflict,
    Expired,
    NotOpen,
    Refused,
    Rejected,
    RequestNotFound,
    WaitTimeout,
)

LADDER = """\
default: ask
rules:
  - id: ladder
    effect: ask
    approvers: [alice]
    timeout: 1h
    remind: [10m, 30m]
    escalate: [{after: 45m, to: [cfo]}]
"""


async def test_a_deadline_is_recorded_by_the_timers(office: Office, hitl: Process, asked: Request):
    """At the deadline, not before, the request expires and its note says so."""
    office.clock.advance(3599)
    await hitl.timers.tick()
    assert (await hitl.get(asked.id)).status is Status.PENDING
    office.clock.advance(1)
    await hitl.timers.tick()
    await hitl.shows()
    assert (await hitl.get(asked.id)).status is Status.EXPIRED
    assert "status: expired" in office.note(asked)


async def test_a_deadline_is_recorded_by_a_waiter(office: Office, hitl: Process, asked: Request):
    """A waiter needs no timer: it records the deadline itself."""
    office.clock.advance(3600)
    with pytest.raises(Expired):
        await hitl.wait_for_approval(asked.id)
    assert await office.kinds(asked) == [Kind.REQUESTED, Kind.EXPIRED]


async def test_the_status_is_expired_before_anybody_recorded_it(
    office: Office, hitl: Process, asked: Request
):
    """A passed deadline counts whether or not a sweep has run; no approval comes after it."""
    office.clock.advance(3600)
    assert await hitl.check_status(asked.id) is Status.EXPIRED
    with pytest.raises(Conflict):
        await hitl.approve(asked.id, reviewer="alice")
    assert (await hitl.get(asked.id)).status is Status.EXPIRED


async def test_reminders_and_escalations_come_once_each():
    """Each in its time, once, though two processes sweep."""
    office = Office(LADDER)
    hitl, other = await office.open(), await office.open()
    asked = await hitl.request_approval("payment", "", {})
    for _ in range(60):
        office.clock.advance(60)
        for process in (hitl, other):
            await process.timers.tick()
    assert await office.kinds(asked) == [
        Kind.REQUESTED, Kind.REMINDED, Kind.REMINDED, Kind.ESCALATED, Kind.EXPIRED,
    ]  # fmt: skip


async def test_after_an_escalation_more_people_may_answer():
    """Those an escalation names may answer from then on, not before."""
    office = Office(LADDER)
    hitl = await office.open()
    asked = await hitl.request_approval("payment", "", {})
    with pytest.raises(Refused, match="alice"):
        await hitl.approve(asked.id, reviewer="cfo")
    office.clock.advance(45 * 60)
    for _ in range(3):
        await hitl.timers.tick()
    assert (await hitl.approve(asked.id, reviewer="cfo")).status is Status.APPROVED


async def test_time_that_passed_while_nothing_ran_is_made_up_for():
    """A sweep after a long sleep expires; it does not first remind of what is over."""
    office = Office(LADDER)
    hitl = await office.open()
    asked = await hitl.request_approval("payment", "", {})
    office.clock.advance(86_400)
    for _ in range(5):
        await hitl.timers.tick()
    assert (await hitl.get(asked.id)).status is Status.EXPIRED


async def test_the_clock_may_be_set_back(office: Office, hitl: Process, asked: Request):
    """Nothing expires early, and an answer still counts."""
    office.clock.advance(3000)
    office.clock.jump(-86_400)
    await hitl.timers.tick()
    assert await hitl.check_status(asked.id) is Status.PENDING
    approved = await hitl.approve(asked.id, reviewer="alice")
    assert approved.status is Status.APPROVED
    assert approved.decided_at is not None
    assert approved.decided_at >= asked.created_at


async def test_a_clock_that_jumps_reminds_and_escalates_no_second_time():
    """Set back after a reminder, set forward again, seen by another process: each thing came once."""
    office = Office(LADDER)
    hitl, other = await office.open(), await office.open()
    asked = await hitl.request_approval("payment", "", {})
    for seconds in (601, -400, 500, -700, 2200, -2200, 1000, 1800, -3000, 2900):
        office.clock.jump(seconds)
        for process in (hitl, other, hitl, other):
            await process.timers.tick()
    assert await office.kinds(asked) == [
        Kind.REQUESTED, Kind.REMINDED, Kind.REMINDED, Kind.ESCALATED,
    ]  # fmt: skip
    approvers = (await hitl.get(asked.id)).requirement.stages[0].approvers
    assert approvers == ("alice", "cfo")


@pytest.mark.parametrize("sweeps", [0, 1, 4])
async def test_silence_never_approves(sweeps: int):
    """Whatever time passes, whoever sweeps, in any order: the end of silence is expiry."""
    office = Office(LADDER)
    hitl = await office.open()
    asked = await hitl.request_approval("payment", "", {})
    for minutes in (9, 2, 20, 14, 1, 13, 1, 60, 600_000):
        office.clock.advance(minutes * 60)
        for _ in range(sweeps):
            await hitl.timers.tick()
        now = await hitl.check_status(asked.id)
        assert now in {Status.PENDING, Status.EXPIRED}
        with pytest.raises((Refused, Conflict)):
            await hitl.execution(asked.id).claim()
    assert await hitl.check_status(asked.id) is Status.EXPIRED
    assert not {Kind.VOTED, Kind.APPROVED} & set(await office.kinds(asked))


async def test_the_clock_may_jump_ahead(office: Office, hitl: Process, asked: Request):
    """Three days later nothing can be approved, nor claimed that was approved."""
    other = await hitl.request_approval("payment", "", {"n": 2})
    await hitl.approve(other.id, reviewer="alice")
    office.clock.jump(3 * 86_400)
    with pytest.raises(Conflict):
        await hitl.approve(asked.id, reviewer="alice")
    with pytest.raises(Conflict):
        async with hitl.execution(other.id):
            pytest.fail("it ran after its time")
    assert (await hitl.get(other.id)).status is Status.EXPIRED


async def test_an_approval_nobody_uses_expires(office: Office, hitl: Process, asked: Request):
    """The right to run ends `use_within` after the approval."""
    await hitl.approve(asked.id, reviewer="alice")
    office.clock.advance(86_400)
    await hitl.timers.tick()
    with pytest.raises(Expired, match="claimed"):
        await hitl.wait_for_approval(asked.id)


async def test_a_dead_executor_is_noticed_and_a_person_resolves_it(
    office: Office, hitl: Process, asked: Request
):
    """Its process gone, the outcome is unknown: nobody runs it again, a person says what happened."""
    other = await office.open()
    await hitl.approve(asked.id, reviewer="alice")
    await hitl.execution(asked.id).claim()
    await other.timers.find_dead_executors()
    assert (await other.get(asked.id)).status is Status.EXECUTING
    with pytest.raises(Refused, match="alive"):
        await other.resolve(asked.id, Status.EXECUTED, by="bob")
    hitl.die()
    await other.timers.find_dead_executors()
    await other.timers.find_dead_executors()
    assert (await other.get(asked.id)).status is Status.UNKNOWN
    with pytest.raises(Conflict):
        await other.execution(asked.id).claim()
    await other.resolve(asked.id, Status.EXECUTED, by="bob", reason="the bank says so")
    assert await office.kinds(asked) == [
        Kind.REQUESTED, Kind.VOTED, Kind.APPROVED, Kind.CLAIMED, Kind.LOST, Kind.RESOLVED,
    ]  # fmt: skip
    await other.rounds(4)
    assert "status: executed" in office.note(asked)


async def test_timers_and_desk_outlive_any_error(caplog: pytest.LogCaptureFixture):
    """An error nobody thought of costs a round, and is logged; the tasks go on."""
    office = Office(rescan_s=0.01)
    hitl = await office.open(watching=True)
    broken, calls = True, {"find": 0, "scan": 0}
    find, scan = office.ledger.find, office.vault.scan

    def breaking(name, works):
        async def call(*args):
            calls[name] += 1
            if broken:
                raise RuntimeError("unheard of")
            return await works(*args)

        return call

    office.ledger.find = breaking("find", find)  # type: ignore[method-assign]
    office.vault.scan = breaking("scan", scan)  # type: ignore[method-assign]
    async with asyncio.timeout(20):
        while calls["find"] < 6:
            office.clock.advance(2)
            hitl.desk.wake()
            await asyncio.sleep(0.001)
    broken = False
    asked = await hitl.request_approval("payment", "", {}, timeout=60)
    office.clock.advance(60)
    async with asyncio.timeout(20):
        while (await hitl.get(asked.id)).status is not Status.EXPIRED:
            office.clock.advance(1)
            await asyncio.sleep(0.001)
    assert caplog.text.count("unheard of") >= 4
    await hitl.aclose()


# waiting


async def test_an_answer_given_before_is_returned_at_once(
    office: Office, hitl: Process, asked: Request
):
    """A waiter that comes late, or again after a crash, gets what was decided."""
    await hitl.approve(asked.id, reviewer="alice")
    hitl.die()
    other = await office.open()
    approved = await other.wait_for_approval(asked.id)
    assert approved.status is Status.APPROVED


async def test_many_wait_and_cancelling_one_cancels_only_that_one(
    office: Office, hitl: Process, asked: Request
):
    """Any number may wait for one request."""
    waiters = [asyncio.create_task(hitl.wait_for_decision(asked.id)) for _ in range(50)]
    await asyncio.sleep(0)
    waiters[7].cancel()
    await asyncio.sleep(0)
    assert (await hitl.get(asked.id)).status is Status.PENDING
    await hitl.reject(asked.id, reviewer="alice", reason="no")
    done = await asyncio.gather(*waiters, return_exceptions=True)
    assert isinstance(done[7], asyncio.CancelledError)
    assert all(request.status is Status.REJECTED for i, request in enumerate(done) if i != 7)
    assert not office.ledger._waiters


async def test_impatience_is_not_expiry(office: Office, hitl: Process, asked: Request):
    """The caller's own patience ends; the request waits on, and waiting again loses nothing."""
    with pytest.raises(WaitTimeout):
        await hitl.wait_for_decision(asked.id, timeout=0)
    waiter = asyncio.create_task(hitl.wait_for_decision(asked.id, timeout=0.01))
    await asyncio.sleep(0)
    office.clock.advance(0.02)
    with pytest.raises(WaitTimeout, match="still waits"):
        await waiter
    await hitl.approve(asked.id, reviewer="alice")
    assert (await hitl.wait_for_decision(asked.id, timeout=0)).status is Status.APPROVED


async def test_each_ending_has_its_error(office: Office, hitl: Process):
    """wait_for_approval returns only when approved."""
    rejected, cancelled = [await hitl.request_approval("a", "", {"n": n}) for n in range(2)]
    await hitl.reject(rejected.id, reviewer="alice", reason="too much")
    await hitl.cancel(cancelled.id, reason="not needed")
    with pytest.raises(Rejected, match="by alice: too much") as caught:
        await hitl.wait_for_approval(rejected.id)
    assert caught.value.request is not None
    assert caught.value.request.id == rejected.id
    with pytest.raises(Cancelled, match="not needed"):
        await hitl.wait_for_approval(cancelled.id)
    with pytest.raises(RequestNotFound):
        await hitl.wait_for_approval("nothing")


async def test_remarks_and_reminders_do_not_wake_a_waiter(
    office: Office, hitl: Process, asked: Request
):
    """Only a decision ends the wait."""
    waiter = asyncio.create_task(hitl.wait_for_decision(asked.id))
    for number in range(5):
        await asyncio.sleep(0)
        await hitl.comment(asked.id, f"remark {number}")
    await asyncio.sleep(0)
    assert not waiter.done()
    await hitl.cancel(asked.id)
    assert (await waiter).status is Status.CANCELLED


async def test_closing_ends_every_waiter(office: Office, hitl: Process, asked: Request):
    """Nobody waits on a closed vault, and nobody takes that for a cancellation of their own."""
    waits = (hitl.wait_for_decision, hitl.wait_for_approval, hitl.wait_for_outcome)
    waiters = [asyncio.create_task(wait(asked.id)) for wait in waits]
    await asyncio.sleep(0)
    await hitl.aclose()
    for waiter in waiters:
        with pytest.raises(NotOpen, match="still waits"):
            await waiter


async def test_waiting_for_an_outcome_ends_with_it(office: Office, hitl: Process, asked: Request):
    """Executed, failed, or known to be dead."""
    waiter = asyncio.create_task(hitl.wait_for_outcome(asked.id))
    await hitl.approve(asked.id, reviewer="alice")
    async with hitl.execution(asked.id) as run:
        await asyncio.sleep(0)
        assert not waiter.done()
        run.result = {"paid": 900}
    assert (await waiter).result == {"paid": 900}


async def test_waiting_for_an_outcome_notices_a_death(
    office: Office, hitl: Process, asked: Request
):
    """A waiter for an outcome does not wait for the dead."""
    other = await office.open()
    await hitl.approve(asked.id, reviewer="alice")
    await hitl.execution(asked.id).claim()
    hitl.die()
    assert (await other.wait_for_outcome(asked.id)).status is Status.UNKNOWN
    await other.shows()
    assert "status: unknown" in office.note(asked)
