"""Executors elsewhere: one claim, named by its holder; a late end; a check before running."""

from datetime import timedelta

import pytest
from engine_kit import EDITABLE, Office, Process

from hitl_vault.core.model import Request, Status
from hitl_vault.errors import (
    Conflict,
    Denied,
    InvalidRequest,
    Refused,
    RequestNotFound,
    StorageError,
)


@pytest.fixture
async def approved(hitl: Process, asked: Request) -> Request:
    return await hitl.approve(asked.id, reviewer="alice")


async def test_claiming_again_by_the_same_name_is_the_same_claim(hitl: Process, approved: Request):
    """A retry gets the claim it holds; another name gets nothing; after the end nobody does."""
    first = await hitl.claim(approved.id, claim_id="mine", executor="bot")
    again = await hitl.claim(approved.id, claim_id="mine", executor="bot")
    assert (first.request.status, first.request.claim) == (Status.EXECUTING, again.request.claim)
    assert (first.lease, first.again, again.again) == (again.lease, False, True)
    with pytest.raises(Conflict):
        await hitl.claim(approved.id, claim_id="other")
    done = await hitl.finish(approved.id, "mine", Status.EXECUTED, result={"paid": 1})
    assert (done.status, done.result) == (Status.EXECUTED, {"paid": 1})
    with pytest.raises(Conflict):
        await hitl.claim(approved.id, claim_id="mine")


async def test_a_claim_for_other_details_than_approved_is_no_claim(
    hitl: Process, approved: Request
):
    """The digest the executor means to run must be that of what was approved."""
    with pytest.raises(Conflict, match="not what was approved"):
        await hitl.claim(approved.id, payload_sha256="0" * 64)
    assert (await hitl.get(approved.id)).status is Status.APPROVED
    digest = approved.payload_in_force
    await hitl.claim(approved.id, claim_id="mine", payload_sha256=digest)
    with pytest.raises(Conflict, match="other details"):
        await hitl.claim(approved.id, claim_id="mine", payload_sha256="0" * 64)


async def test_a_late_end_by_the_right_claim_resolves_an_unknown_one(
    hitl: Process, approved: Request
):
    """Unknown, then executed; but not by another claim, and not twice otherwise."""
    await hitl.claim(approved.id, claim_id="mine")
    lost = await hitl.finish(approved.id, "mine", Status.UNKNOWN, error="late", by="clock")
    assert (lost.status, lost.outcome.by) == (Status.UNKNOWN, "clock")
    with pytest.raises(Conflict):
        await hitl.finish(approved.id, "another", Status.EXECUTED)
    done = await hitl.finish(approved.id, "mine", Status.EXECUTED, result=7)
    assert (done.status, done.result) == (Status.EXECUTED, 7)
    assert await hitl.finish(approved.id, "mine", Status.EXECUTED, result=7) == done
    with pytest.raises(Conflict):
        await hitl.finish(approved.id, "mine", Status.FAILED)


async def test_a_claim_outlives_the_process_that_handed_it_out(
    office: Office, hitl: Process, approved: Request
):
    """Claimed again and renewed at another one it is the same claim, which ends once: by its time."""
    first = await hitl.claim(approved.id, claim_id="mine", executor="bot", lease_s=60)
    hitl.die()
    other = await office.open()
    again = await other.claim(approved.id, claim_id="mine", lease_s=3600)
    assert (again.lease, again.again) == (first.lease, True)
    office.clock.advance(50)
    renewed = await other.renew(approved.id, "mine")
    assert renewed.lease.ends_at - first.lease.ends_at == timedelta(seconds=50)
    office.clock.advance(59)
    assert await other.settle_overdue() == 0
    office.clock.advance(1)
    third = await office.open()
    assert await third.settle_overdue() + await other.settle_overdue() == 1
    lost = await other.get(approved.id)
    assert (lost.status, lost.outcome.by) == (Status.UNKNOWN, "clock")
    assert lost.outcome.error == "bot did not report within its lease of 1 min"
    assert office.leases.kept == {}
    for too_late in (other.claim, other.renew):
        with pytest.raises(Conflict) as caught:
            await too_late(approved.id, claim_id="mine")
        assert caught.value.current == lost
    done = await other.finish(approved.id, "mine", Status.FAILED, error="it broke")
    assert (done.status, done.outcome.error) == (Status.FAILED, "it broke")


async def test_a_lease_that_has_ended_is_not_renewed_before_its_end_is_on_record(
    office: Office, hitl: Process, approved: Request
):
    """Whoever hears of it records it: the Conflict says unknown."""
    await hitl.claim(approved.id, claim_id="mine", lease_s=60)
    office.clock.advance(60)
    with pytest.raises(Conflict, match="unknown") as caught:
        await hitl.renew(approved.id, "mine")
    assert caught.value.current.status is Status.UNKNOWN


async def test_a_claim_that_got_nothing_leaves_no_lease(
    office: Office, hitl: Process, approved: Request, asked: Request
):
    """Nor does one that was reported; and without a stored lease nothing is claimed."""
    other = await hitl.request_approval("pay", "Pay", {"amount": 6})
    for id in (other.id, "nothing"):
        with pytest.raises((Refused, RequestNotFound)):
            await hitl.claim(id)
    assert office.leases.kept == {}
    office.leases.fails = StorageError("the disk is full")
    with pytest.raises(StorageError):
        await hitl.claim(approved.id, claim_id="mine")
    assert (await hitl.get(approved.id)).status is Status.APPROVED
    office.leases.fails = None
    mine = await hitl.claim(approved.id, claim_id="mine")
    with pytest.raises(Conflict):
        await hitl.claim(approved.id, claim_id="other")
    await hitl.claim(approved.id, claim_id="mine")
    assert list(office.leases.kept) == [mine.lease.holder]
    await hitl.finish(approved.id, "mine", Status.EXECUTED)
    assert office.leases.kept == {}


async def test_a_lease_that_no_claim_lives_by_is_removed_once_it_is_over(
    office: Office, hitl: Process, approved: Request
):
    """Its process was killed before the claim was stored: the approval is still good."""
    await office.leases.begin(approved.id, 60)
    await office.leases.begin("nothing", 60)
    office.clock.advance(119)
    await hitl._timers.tick()
    assert len(office.leases.kept) == 2
    office.clock.advance(1)
    await hitl._timers.tick()
    assert office.leases.kept == {}
    assert (await hitl.get(approved.id)).status is Status.APPROVED


async def test_a_claim_whose_commit_is_in_doubt_has_its_lease(
    office: Office, hitl: Process, approved: Request
):
    """It may be stored, and nobody may come back for it; who does finds it was there before."""
    office.ledger.unsure = 2
    with pytest.raises(StorageError):
        await hitl.claim(approved.id, claim_id="mine", lease_s=60)
    again = await hitl.claim(approved.id, claim_id="mine")
    assert (again.again, again.lease.seconds) == (True, 60)
    assert list(office.leases.kept) == [again.lease.holder]


async def test_a_claim_that_is_stored_at_the_second_try_is_the_first(
    office: Office, hitl: Process, approved: Request
):
    """Nobody else can have run it: it does not say again."""
    office.ledger.unsure = 1
    assert not (await hitl.claim(approved.id, claim_id="mine")).again


async def test_a_claim_of_a_process_is_no_lease(office: Office, hitl: Process, approved: Request):
    """What a program executes by itself lives with it: it is not claimed or renewed from elsewhere."""
    run = hitl.execution(approved.id, executor="bot")
    await run.claim()
    for tried in (
        hitl.claim(approved.id, claim_id=run.claim_id, executor="bot"),
        hitl.renew(approved.id, run.claim_id),
    ):
        with pytest.raises(Conflict, match="no lease"):
            await tried
    assert office.leases.kept == {}
    assert (await hitl.get(approved.id)).status is Status.EXECUTING


@pytest.mark.parametrize("lease_s", [0, -1, 86401, float("inf"), float("nan")])
async def test_how_long_a_lease_may_be(hitl: Process, approved: Request, lease_s: float):
    with pytest.raises(InvalidRequest, match="lease_s"):
        await hitl.claim(approved.id, claim_id="mine", lease_s=lease_s)
    await hitl.claim(approved.id, claim_id="mine")
    with pytest.raises(InvalidRequest, match="lease_s"):
        await hitl.renew(approved.id, "mine", lease_s)


async def test_what_an_end_may_be(hitl: Process, approved: Request):
    """Executed, failed or unknown; of a request there is."""
    await hitl.claim(approved.id, claim_id="mine")
    with pytest.raises(InvalidRequest, match="ends executed"):
        await hitl.finish(approved.id, "mine", Status.APPROVED)
    with pytest.raises(RequestNotFound):
        await hitl.finish("nothing", "mine", Status.EXECUTED)


async def test_a_check_says_why_a_request_may_not_run_now(office: Office, hitl: Process):
    """Pending, other details, another's claim, executed, forbidden meanwhile, too late."""
    asked = await hitl.request_approval("pay", "Pay", {"amount": 5})

    async def why(details=None, **more):
        return (await hitl.check_approval(asked.id, details, **more)).why

    assert "not approved yet" in await why()
    asked = await hitl.approve(asked.id, reviewer="alice")
    assert await why() == await why({"amount": 5}) == ""
    assert await why(payload_sha256=asked.payload_in_force) == ""
    assert "not what was approved" in await why({"amount": 6})
    assert "not what was approved" in await why(payload_sha256="0" * 64)
    office.policy.text = "default: deny\nrules: []\n"
    assert "forbids" in await why()
    with pytest.raises(Denied):
        await hitl.claim(asked.id, claim_id="mine")
    office.policy.text = EDITABLE
    office.clock.advance(1)
    hitl.policies.reload()
    office.clock.advance(1)
    assert await why() == ""
    await hitl.claim(asked.id, claim_id="mine")
    assert await why(claim_id="mine") == ""
    assert "another claim" in await why()
    await hitl.finish(asked.id, "mine", Status.EXECUTED)
    assert "is executed" in await why(claim_id="mine")
    late = await hitl.request_approval("pay", "Pay", {"amount": 7})
    await hitl.approve(late.id, reviewer="alice")
    office.clock.advance(90_000)
    assert "has expired" in (await hitl.check_approval(late.id)).why
    with pytest.raises(RequestNotFound):
        await hitl.check_approval("nothing")


async def test_a_remark_named_by_its_author_is_made_once(hitl: Process, asked: Request):
    """The same words again change nothing; other words under the name are a Conflict."""
    for _ in range(2):
        said = await hitl.comment(asked.id, "look at this", author="bot", comment_id="c-1")
    assert len(said.comments) == 1
    with pytest.raises(Conflict):
        await hitl.comment(asked.id, "something else", author="bot", comment_id="c-1")


async def test_what_is_pending_cannot_be_claimed_from_elsewhere(hitl: Process, asked: Request):
    with pytest.raises(Refused, match="not approved"):
        await hitl.claim(asked.id, claim_id="mine")
