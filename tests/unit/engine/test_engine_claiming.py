"""Executors elsewhere: one claim, named by its holder; a late end; a check before running."""

import pytest
from engine_kit import EDITABLE, Office, Process

from hitl_vault.core.model import Request, Status
from hitl_vault.errors import Conflict, Denied, InvalidRequest, Refused, RequestNotFound


@pytest.fixture
async def approved(hitl: Process, asked: Request) -> Request:
    return await hitl.approve(asked.id, reviewer="alice")


async def test_claiming_again_by_the_same_name_is_the_same_claim(hitl: Process, approved: Request):
    """A retry gets the claim it holds; another name gets nothing; after the end nobody does."""
    first = await hitl.claim(approved.id, claim_id="mine", executor="bot")
    again = await hitl.claim(approved.id, claim_id="mine", executor="bot")
    assert (first.status, first.claim) == (Status.EXECUTING, again.claim)
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


async def test_a_claim_of_a_dead_process_is_not_handed_out_again(
    office: Office, hitl: Process, approved: Request
):
    """Its end is recorded as unknown; the same name gets a Conflict, and may still report."""
    await hitl.claim(approved.id, claim_id="mine")
    other = await office.open()
    with pytest.raises(Conflict, match="another process"):
        await other.claim(approved.id, claim_id="mine")
    hitl.die()
    with pytest.raises(Conflict, match="unknown"):
        await other.claim(approved.id, claim_id="mine")
    done = await other.finish(approved.id, "mine", Status.FAILED, error="it broke")
    assert (done.status, done.outcome.error) == (Status.FAILED, "it broke")


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
