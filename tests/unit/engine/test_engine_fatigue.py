"""Joining repeats, limits of what one requester asks for, and alerts."""

from __future__ import annotations

import asyncio

import pytest
from engine_kit import Office

from hitl_vault.engine.alerts import LEAST_DECIDED, Thresholds, firing
from hitl_vault.errors import Conflict, InvalidRequest, TooManyRequests
from hitl_vault.ports import Counts

DETAILS = {"amount": 900, "to": "v"}


async def pay(hitl, **options):
    return await hitl.request_approval("payment", "Pay", DETAILS, **options)


async def test_two_identical_actions_are_two_requests_unless_they_are_joined(office, hitl):
    """Nothing is merged unless the caller says that it repeats itself."""
    one, two = await pay(hitl), await pay(hitl)
    assert one.id != two.id
    assert (await pay(hitl, join=True)).id == one.id
    assert len(office.vault.files) == 2


JOINING = """\
default: ask
rules:
  - {id: report, when: action.type == "payment", effect: ask, repeats: join}
"""


async def test_by_the_rule_repeats_without_a_name_are_one(office, hitl):
    """The operator says that a repeat is the same wish; what has a key or an id of its own is not."""
    office = Office(JOINING)
    hitl, other = await office.open(), await office.open()
    one = await pay(hitl)
    assert (await pay(other)).id == one.id
    assert {one.id for one in await asyncio.gather(*(pay(hitl) for _ in range(5)))} == {one.id}
    named = [await pay(hitl, key="a"), await pay(hitl, key="b"), await pay(hitl, id="c")]
    assert len({one.id, *(found.id for found in named)}) == 4
    assert (await hitl.request_approval("payment", "Pay", {"amount": 1})).id != one.id
    await hitl.approve(one.id, reviewer="alice")
    two = await pay(hitl)
    assert two.id != one.id  # that one is answered: this is asked anew
    for asked in (one, two):
        assert "a repeat joins it while it waits" in office.note(asked)


@pytest.mark.parametrize(
    "more",
    [
        "  - {id: other, when: details.amount > 1, effect: ask}\n",
        "  - {id: other, when: details.amount > 1, effect: ask, repeats: ask}\n",
    ],
)
async def test_a_rule_that_does_not_say_join_keeps_repeats_apart(more):
    """Two intended payments stay two, unless every rule that asks says otherwise."""
    hitl = await Office(JOINING + more).open()
    assert (await pay(hitl)).id != (await pay(hitl)).id


async def test_what_a_rule_joins_runs_once(office, hitl):
    hitl = await Office(JOINING).open()
    one, two = await pay(hitl), await pay(hitl)
    await hitl.approve(one.id, reviewer="alice")
    async with hitl.execution(one.id):
        pass
    with pytest.raises(Conflict):
        async with hitl.execution(two.id):
            raise AssertionError("it ran twice")


async def test_what_a_rule_joins_is_not_counted_against_a_limit():
    hitl = await Office(JOINING, max_pending_per_agent=1).open()
    assert len({(await pay(hitl)).id for _ in range(3)}) == 1
    with pytest.raises(TooManyRequests):
        await pay(hitl, key="another")


async def test_who_joined_runs_nothing_a_second_time(office, hitl):
    one = await pay(hitl)
    joined = await pay(await office.open(), join=True)
    assert joined.id == one.id
    await hitl.approve(one.id, reviewer="alice")
    async with hitl.execution(one.id):
        pass
    with pytest.raises(Conflict):
        async with hitl.execution(joined.id):
            raise AssertionError("it ran twice")


async def test_another_run_or_requester_never_joins(office, hitl):
    one = await pay(hitl, run_id="r-1")
    assert (await pay(hitl, run_id="r-2", join=True)).id != one.id
    assert (await pay(hitl, run_id="r-1", requested_by="x", join=True)).id != one.id
    assert (await pay(hitl, run_id="r-1", join=True)).id == one.id


async def test_what_was_changed_or_decided_is_not_joined(hitl):
    one = await pay(hitl)
    await hitl.reject(one.id, reviewer="alice")
    two = await pay(hitl, join=True)
    assert two.id != one.id
    assert (await pay(hitl, join=True)).id == two.id


@pytest.mark.parametrize("name", [{"key": "INV-1"}, {"id": "mine"}])
async def test_join_is_for_asking_without_a_name(hitl, name):
    with pytest.raises(InvalidRequest, match="join"):
        await pay(hitl, join=True, **name)


async def test_an_agent_that_floods_is_refused_and_nobody_else():
    office = Office(max_pending_per_agent=2)
    hitl = await office.open()
    asked = await asyncio.gather(
        *(pay(hitl, requested_by="flood") for _ in range(6)), return_exceptions=True
    )
    assert sum(isinstance(one, TooManyRequests) for one in asked) == 4
    assert len(office.vault.files) == 2
    first = next(one for one in asked if not isinstance(one, Exception))
    with pytest.raises(TooManyRequests, match="'flood' has 2 requests waiting"):
        await pay(await office.open(), requested_by="flood")
    await pay(hitl, requested_by="other")
    assert (await pay(hitl, requested_by="flood", join=True)).id in {
        one.id for one in asked if not isinstance(one, Exception)
    }
    await hitl.cancel(first.id)
    await pay(hitl, requested_by="flood")
    await office.verify()


async def test_what_a_policy_allows_or_denies_counts_for_nothing():
    office = Office(
        "default: ask\nrules:\n  - {id: no, when: action.type == 'wipe', effect: deny}\n",
        max_requests_per_minute=1,
    )
    hitl = await office.open()
    for _ in range(3):
        with pytest.raises(Exception, match="forbids"):
            await hitl.request_approval("wipe", "", {})
    await pay(hitl, key="a")
    await pay(hitl, key="a")  # the same again asks for nothing new
    with pytest.raises(TooManyRequests, match="ask again in a minute"):
        await pay(hitl)
    office.clock.advance(60)
    await pay(hitl)


NOTHING = Counts()


@pytest.mark.parametrize(
    ("counts", "names"),
    [
        (NOTHING, []),
        (Counts(pending=10, oldest_pending_s=7200, approved=7, rejected=3), []),
        (Counts(pending=11, oldest_pending_s=1), ["pending"]),
        (Counts(pending=1, oldest_pending_s=7200.1), ["oldest_s"]),
        (Counts(approved=69, rejected=31), ["rejected_percent"]),
        (Counts(rejected=LEAST_DECIDED - 1), []),
        (Counts(rejected=LEAST_DECIDED), ["rejected_percent"]),
        (Counts(expired=1), ["expired"]),
        (
            Counts(pending=99, oldest_pending_s=1e6, rejected=9, expired=9),
            ["pending", "oldest_s", "rejected_percent", "expired"],
        ),
    ],
)
def test_an_alert_fires_above_its_threshold_and_not_at_it(counts, names):
    assert [alert.name for alert in firing(counts, Thresholds())] == names


def test_thresholds_are_the_operators():
    counts = Counts(pending=3, oldest_pending_s=60, approved=5, rejected=5, expired=2)
    strict = Thresholds(alert_pending=2, alert_oldest_s=30, alert_rejected_percent=10)
    assert len(firing(counts, strict)) == 4
    wide = Thresholds(alert_rejected_percent=50, alert_expired=2)
    assert firing(counts, wide) == []


async def test_the_engine_tells_which_alerts_fire():
    """For whoever tells people: by the settings, over what the ledger holds now."""
    office = Office(alert_pending=1, alert_within_s=7200)
    hitl = await office.open()
    assert await hitl.alerts() == []
    await pay(hitl)
    await pay(hitl)
    (alert,) = await hitl.alerts()
    assert (alert.name, alert.message) == ("pending", "2 requests wait for an answer")
    office.clock.advance(3600)
    (alert,) = await hitl.alerts()
    assert (alert.name, alert.value, alert.threshold) == ("expired", 2, 0)
