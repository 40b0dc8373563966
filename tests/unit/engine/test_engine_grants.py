"""Standing grants: what they answer, what they never answer, and what is recorded of it."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from engine_kit import Office

from hitl_vault.core import commands as c
from hitl_vault.core.events import Kind
from hitl_vault.core.model import Answer, Assurance, GrantLimit, Status
from hitl_vault.core.register import Bound
from hitl_vault.errors import (
    Conflict,
    Denied,
    InvalidRequest,
    Refused,
    Rejected,
    RequestNotFound,
    StorageError,
)

RULE = """\
default: ask
rules:
  - id: small
    when: action.type == "payment" && details.amount < 500
    effect: ask
    answers: [approve, reject, edit]
    grant: {uses: 3, within: 7d}
"""
BOUNDS = (Bound(path="/amount", at_most=400), Bound(path="/to", equals='"v"'))
WHO = {"requested_by": "invoice-agent"}


@pytest.fixture
async def office():
    office = Office(RULE)
    yield office
    await office.verify()


async def grant(hitl, **changes):
    made = {"type": "payment", "requested_by": "invoice-agent", "bounds": BOUNDS, "uses": 3}
    made |= {"until": "3d", "by": "alice", "assurance": Assurance.AUTHENTICATED}
    return await hitl.make_grant(**(made | changes))


async def pay(hitl, amount=100, to="v", **options):
    details = {"amount": amount, "to": to}
    return await hitl.request_approval("payment", "Pay", details, **(WHO | options))


async def test_what_a_grant_covers_is_recorded_approved_and_runs_once(office, hitl):
    made = await grant(hitl, reason="monthly invoices")
    asked = await pay(hitl)
    assert asked.status is Status.APPROVED
    (vote,) = asked.votes
    assert (vote.reviewer, vote.channel, vote.proof) == ("alice", "grant", made.grant_id)
    assert vote.assurance is Assurance.AUTHENTICATED
    assert asked.reason == f"under {made.grant_id}: monthly invoices"
    assert await office.kinds(asked) == [Kind.REQUESTED, Kind.VOTED, Kind.APPROVED]
    note = office.note(asked)
    assert f"alice · approves (authenticated, over grant): under {made.grant_id}" in note
    assert "status: approved" in note
    async with hitl.execution(asked.id):
        pass
    with pytest.raises(Conflict):
        async with hitl.execution(asked.id):
            raise AssertionError("it ran twice")
    (known,) = await hitl.grants()
    assert known.used_for == (asked.id,)
    used = [e.event async for e in hitl.subscribe(follow=False) if e.event.kind is Kind.GRANT_USED]
    assert [event.data["request_id"] for event in used] == [asked.id]


@pytest.mark.parametrize(
    "asked",
    [
        {"amount": 401},
        {"to": "w"},
        {"amount": "100"},
        {"amount": True},
        {"requested_by": "other"},
    ],
)
async def test_what_lies_outside_waits_for_a_person(office, hitl, asked):
    await grant(hitl)
    assert (await pay(hitl, **asked)).status is Status.PENDING
    assert (await hitl.grants())[0].used_for == ()


async def test_a_grant_answers_as_often_as_it_says_and_no_more(office, hitl):
    await grant(hitl, uses=2)
    assert [(await pay(hitl)).status for _ in range(4)] == ["approved"] * 2 + ["pending"] * 2


async def test_a_grant_ends_at_its_time_and_when_it_is_revoked(office, hitl):
    await grant(hitl, until="1h")
    office.clock.advance(3600)
    assert (await pay(hitl)).status is Status.PENDING
    made = await grant(hitl)
    approved = await pay(hitl)
    revoked = await hitl.revoke_grant(made.grant_id, by="bob", reason="no more")
    assert (revoked.revoked_by, approved.status) == ("bob", Status.APPROVED)
    assert (await pay(hitl)).status is Status.PENDING


async def test_asking_again_with_the_key_uses_nothing_more(office, hitl):
    await grant(hitl)
    one = await pay(hitl, key="INV-1")
    again = await pay(hitl, key="INV-1")
    assert (again.id, again.status) == (one.id, Status.APPROVED)
    assert (await hitl.grants())[0].used_for == (one.id,)


POLICIES = {
    "no grants any more": RULE.replace("    grant: {uses: 3, within: 7d}\n", ""),
    "several people": RULE.replace("    grant:", "    quorum: 2\n    grant:"),
    "stages": RULE.replace(
        "    grant:", "    stages: [{approvers: [alice]}, {approvers: [bob]}]\n    grant:"
    ),
    "a reason each time": RULE.replace("    grant:", "    require_reason: [approve]\n    grant:"),
    "a higher assurance": RULE.replace("    grant:", "    assurance: signed\n    grant:"),
    "somebody else": RULE.replace("    grant:", "    approvers: [finance]\n    grant:"),
    "the requester": RULE.replace("    grant:", "    approvers: [invoice-agent]\n    grant:"),
    "only edits": RULE.replace("[approve, reject, edit]", "[reject, edit]"),
    "another rule too": RULE + "  - {id: other, when: details.amount > 1, effect: ask}\n",
}


@pytest.mark.parametrize("name", POLICIES)
async def test_what_the_policy_demands_of_a_person_no_grant_gives(office, hitl, name):
    """Judged when it is used, by the policy in force then."""
    await grant(hitl)
    assert (await pay(hitl)).status is Status.APPROVED
    office.policy.text = POLICIES[name]
    hitl.policies.reload()
    office.clock.advance(1)
    hitl.policies.reload()
    assert (await pay(hitl)).status is Status.PENDING
    assert len((await hitl.grants())[0].used_for) == 1


async def test_a_tightened_policy_counts_for_grants_before_it_has_settled(office, hitl):
    await grant(hitl)
    office.policy.text = POLICIES["no grants any more"]
    assert (await pay(hitl)).status is Status.PENDING


async def test_no_grant_answers_while_the_policy_cannot_be_read(office, hitl):
    await grant(hitl)
    office.policy.text = None
    hitl.policies.reload()
    office.clock.advance(1)
    assert (await pay(hitl)).status is Status.PENDING


async def test_a_deny_rule_beats_a_grant_before_and_after_its_use(office, hitl):
    await grant(hitl)
    asked = await pay(hitl)
    office.policy.text = RULE + "  - {id: stop, when: details.amount > 1, effect: deny}\n"
    with pytest.raises(Denied):
        await pay(hitl)
    with pytest.raises(Denied, match="stop"):
        await hitl.execution(asked.id).claim()
    assert len((await hitl.grants())[0].used_for) == 1


async def test_a_rules_narrower_limit_narrows_a_grant_made_before(office, hitl):
    await grant(hitl)
    assert (await pay(hitl)).status is Status.APPROVED
    office.policy.text = RULE.replace("uses: 3", "uses: 1")
    assert (await pay(hitl)).status is Status.PENDING
    office.policy.text = RULE.replace("within: 7d", "within: 1h")
    office.clock.advance(3600)
    assert (await pay(hitl)).status is Status.PENDING


@pytest.mark.parametrize("assurance", list(Assurance)[:2])
async def test_a_grant_is_as_sure_as_it_was_made(assurance):
    office = Office(RULE.replace("    grant:", "    assurance: authenticated\n    grant:"))
    hitl = await office.open()
    await grant(hitl, assurance=assurance)
    expected = "approved" if assurance is Assurance.AUTHENTICATED else "pending"
    assert (await pay(hitl)).status == expected


async def test_a_grantor_who_may_no_longer_answer_grants_nothing_more():
    rule = RULE.replace("    grant:", "    approvers: [finance]\n    grant:")
    office = Office(rule, roles={"alice": frozenset({"finance"})})
    hitl = await office.open()
    await grant(hitl)
    assert (await pay(hitl)).status is Status.APPROVED
    office.people = type(office.people)()
    assert (await pay(hitl)).status is Status.PENDING


async def test_the_agent_that_acts_is_no_grantor_for_itself(office, hitl):
    await grant(hitl, by="bot")
    assert (await pay(hitl, agent="Bot")).status is Status.PENDING


async def test_a_crash_between_use_and_answer_is_completed_and_uses_once(office, hitl):
    made = await grant(hitl, uses=1)
    real, lost = office.ledger.submit, []

    async def dies(command):
        if isinstance(command, c.Vote) and not lost:
            lost.append(command)
            raise StorageError("the disk is gone")
        return await real(command)

    office.ledger.submit = dies
    asked = await pay(hitl, key="INV-1")
    assert asked.status is Status.PENDING
    assert (await hitl.grants())[0].used_for == (asked.id,)
    assert (await pay(hitl)).status is Status.PENDING  # the only use is spent
    other = await office.open()
    again = await pay(other, key="INV-1")
    assert (again.id, again.status) == (asked.id, Status.APPROVED)
    assert again.votes[0].proof == made.grant_id
    assert (await hitl.grants())[0].used_for == (asked.id,)


async def test_a_crash_before_the_use_leaves_a_request_that_waits(office, hitl):
    made = await grant(hitl, uses=1)

    async def dies(command):
        raise StorageError("the disk is gone")

    office.ledger.record, real = dies, office.ledger.record
    asked = await pay(hitl, key="INV-1")
    office.ledger.record = real
    assert (asked.status, made.used_for) == (Status.PENDING, ())
    assert (await hitl.approve(asked.id, reviewer="bob")).status is Status.APPROVED
    assert (await hitl.grants())[0].used_for == ()


async def test_a_revoked_grant_completes_nothing(office, hitl):
    made = await grant(hitl)
    asked = await pay(hitl, to="w", key="INV-1")  # waits
    use = c.UseGrant(grant_id=made.grant_id, request_id=asked.id, limit=GrantLimit(uses=9))
    await office.ledger.record(use)
    await grant(hitl, bounds=(BOUNDS[0], Bound(path="/to", equals='"w"')))
    await hitl.revoke_grant(made.grant_id, by="bob")
    assert (await pay(hitl, to="w", key="INV-1")).status is Status.PENDING


@pytest.mark.parametrize("meanwhile", ["revoked", "over", "over, and the clock set back"])
async def test_a_grant_that_ends_between_its_use_and_its_answer_gives_none(office, hitl, meanwhile):
    """The request waits for a person; the use is spent, and what was tried is on record."""
    made = await grant(hitl, until="30m")
    real = office.ledger.submit

    async def slow(command):
        if isinstance(command, c.Vote) and command.grant is not None:
            if meanwhile == "revoked":
                await hitl.revoke_grant(made.grant_id, by="bob")
            else:
                office.clock.advance(1800)
            if meanwhile.endswith("back"):
                await office.ledger.record(c.RecordReviewers(sha256="a"))
                office.clock.jump(-1800)
        return await real(command)

    office.ledger.submit = slow
    asked = await pay(hitl, key="INV-1")
    assert (asked.status, asked.votes) == (Status.PENDING, ())
    assert await office.kinds(asked) == [Kind.REQUESTED, Kind.REFUSED]
    office.ledger.submit = real
    again = await pay(hitl, key="INV-1")
    assert (again.id, again.status, again.refused) == (asked.id, Status.PENDING, 1)
    assert (await hitl.grants())[0].used_for == (asked.id,)
    assert (await hitl.approve(asked.id, reviewer="bob")).status is Status.APPROVED


async def test_what_a_person_has_touched_is_left_to_people(office, hitl):
    """A vote, a change or a remark on a waiting request: no grant answers it any more."""
    for number, touch in enumerate(("remark", "reject", "edit")):
        asked = await pay(hitl, key=f"INV-{number}")
        if touch == "remark":
            await hitl.comment(asked.id, "wait, I ask them", author="bob")
        elif touch == "reject":
            await hitl.reject(asked.id, reviewer="bob")
        made = await grant(hitl)
        again = await pay(hitl, key=f"INV-{number}")
        if touch == "edit":
            assert again.status is Status.APPROVED  # untouched so far
            with pytest.raises(Conflict):
                await hitl.approve(asked.id, reviewer="bob", details={"amount": 1, "to": "v"})
        else:
            assert again.status is (Status.REJECTED if touch == "reject" else Status.PENDING)
        await hitl.revoke_grant(made.grant_id, by="bob")


async def test_a_change_that_waits_for_somebody_is_not_answered_by_a_grant(office, hitl):
    """The grant covers what was asked, and a reviewer changed it: people go on with it."""
    big = "  - {id: big, when: details.amount >= 500, effect: ask, approvers: [cfo], answers: [approve, edit]}\n"
    office.policy.text = RULE + big
    office.clock.advance(1)
    hitl.policies.reload()
    office.clock.advance(1)
    hitl.policies.reload()
    asked = await pay(hitl, key="INV-1")
    changed = await hitl.approve(asked.id, reviewer="bob", details={"amount": 900, "to": "v"})
    assert (changed.status, changed.details["amount"]) == (Status.PENDING, 900)
    await grant(hitl)
    again = await pay(hitl, key="INV-1")
    assert (again.id, again.status) == (asked.id, Status.PENDING)
    assert (await hitl.grants())[0].used_for == ()
    assert (await pay(hitl, key="INV-2")).status is Status.APPROVED


async def test_two_at_once_never_use_more_than_there_is(office, hitl):
    await grant(hitl, uses=3)
    found = await asyncio.gather(*(pay(hitl, amount=n) for n in range(12)))
    assert sorted(one.status for one in found) == ["approved"] * 3 + ["pending"] * 9


async def test_a_grant_is_made_around_an_approval(office, hitl):
    asked = await pay(hitl, amount=100)
    await hitl.vote(asked.id, Answer.APPROVE, reviewer="alice", assurance=Assurance.AUTHENTICATED)
    made = await hitl.grant_like(
        asked.id,
        uses=2,
        until=office.clock.now() + timedelta(days=1),
        by="Alice",
        at_most={"amount": 300},
        assurance=Assurance.AUTHENTICATED,
    )
    assert made.from_request == asked.id
    assert made.assurance is Assurance.AUTHENTICATED
    assert made.bounds == (Bound(path="/amount", at_most=300), Bound(path="/to", equals='"v"'))
    assert (await pay(hitl, amount=300)).status is Status.APPROVED
    assert (await pay(hitl, amount=301)).status is Status.PENDING


async def test_a_grant_around_a_change_is_around_what_was_approved(office, hitl):
    asked = await pay(hitl, amount=100)
    await hitl.approve(asked.id, reviewer="alice", details={"amount": 50, "to": "v"})
    made = await hitl.grant_like(asked.id, uses=1, until="1d", by="alice")
    assert made.bounds[0] == Bound(path="/amount", equals="50")
    assert (await pay(hitl, amount=100)).status is Status.PENDING
    assert (await pay(hitl, amount=50)).status is Status.APPROVED


async def test_a_grant_never_is_surer_than_the_approval_it_follows(office, hitl):
    asked = await pay(hitl)
    await hitl.approve(asked.id, reviewer="alice")
    made = await hitl.grant_like(
        asked.id, uses=1, until="1d", by="alice", assurance=Assurance.AUTHENTICATED
    )
    assert made.assurance is Assurance.EDITED


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"by": "bob"}, Refused, "not approved by bob"),
        ({"uses": 4}, Refused, "at most 3 uses"),
        ({"uses": 0}, InvalidRequest, "whole number"),
        ({"uses": True}, InvalidRequest, "whole number"),
        ({"until": "8d"}, Refused, "at most until"),
        ({"until": "soon"}, InvalidRequest, "not a duration"),
        ({"at_most": {"amount": 99}}, InvalidRequest, "not between 0 and 99"),
        ({"anything": ["cc"]}, InvalidRequest, "not a value"),
    ],
)
async def test_a_grant_wider_than_the_rule_or_not_theirs_is_not_made(
    office, hitl, changes, error, says
):
    asked = await pay(hitl)
    await hitl.approve(asked.id, reviewer="alice")
    with pytest.raises(error, match=says):
        await hitl.grant_like(asked.id, **({"uses": 1, "until": "1d", "by": "alice"} | changes))
    assert await hitl.grants() == []


async def test_where_the_rule_has_no_grant_none_is_made_of_an_approval(hitl, office):
    asked = await hitl.request_approval("deploy", "", {"app": "x"})
    await hitl.approve(asked.id, reviewer="alice")
    with pytest.raises(Refused, match="allows no standing grants"):
        await hitl.grant_like(asked.id, uses=1, until="1d", by="alice")


async def test_a_grant_that_is_not_there_is_not_found(office, hitl):
    one, two = await grant(hitl), await grant(hitl)
    assert await hitl.grant(one.grant_id) == one
    for name in ("grant-", "", one.grant_id[:-1]):
        with pytest.raises(RequestNotFound):
            await hitl.grant(name)
    assert [g.grant_id for g in await hitl.grants()] == [one.grant_id, two.grant_id]


async def test_the_note_of_a_granted_request_says_so_beside_an_open_desk(office):
    """The desk may hear of the request before its asker shows it: one note, and it is current."""
    hitl = await office.open(watching=True)
    made = await grant(hitl, uses=3)
    found = await asyncio.gather(*(pay(hitl, amount=n) for n in range(3)))
    for one in found:
        note = office.note(one)
        assert "status: approved" in note
        assert note.count(f"under {made.grant_id}") == 2  # the reason, and the audit line
    assert len(office.vault.files) == 3
    await hitl.aclose()


async def test_a_guard_under_a_grant_runs_without_waiting(office, hitl):
    ran = []

    @hitl.guard("payment", "Pay {amount}", requested_by="invoice-agent")
    async def pay_it(amount, to):
        ran.append(amount)

    await grant(hitl, uses=2)
    await pay_it(amount=10, to="v")
    await pay_it(amount=20, to="v")
    third = asyncio.create_task(pay_it(amount=30, to="v"))
    while not (waiting := await hitl.list_requests(status="pending")):
        await asyncio.sleep(0)
    await hitl.reject(waiting[0].id, reviewer="alice")
    with pytest.raises(Rejected):
        await third
    assert ran == [10, 20]
