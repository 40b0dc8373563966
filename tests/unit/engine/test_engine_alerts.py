"""Alerts on record: each begins once and ends once, whatever the number of desks, and is told so."""

import pytest
from engine_kit import Office
from test_engine_outbox import quietly, telling

from hitl_vault.adapters.outbox.memory import MemoryOutbox
from hitl_vault.core.duties import ALERTS, DEFAULT_EVENTS, Way
from hitl_vault.core.events import Kind
from hitl_vault.core.hours import parse_quiet
from hitl_vault.core.people import People, Reviewer
from hitl_vault.core.register import REGISTER_ID
from hitl_vault.engine.alerting import EVERY_S

STANDS_S = 600


@pytest.fixture
def office():
    return Office(alert_pending=1)


async def ask(hitl, number=2):
    return [await hitl.request_approval("pay", "Pay", {"n": n}) for n in range(number)]


async def on_record(office):
    return [
        (recorded.event.kind, recorded.event.data["name"])
        for recorded in await office.ledger.history(REGISTER_ID)
        if recorded.event.kind in ALERTS
    ]


async def look(office, *desks, after_s=EVERY_S):
    office.clock.advance(after_s)
    for hitl in desks:
        await hitl.timers.tick()


BEGAN, ENDED = (Kind.ALERT_FIRED, "pending"), (Kind.ALERT_ENDED, "pending")


async def test_an_alert_is_recorded_once_by_two_desks_and_again_when_it_ends(office):
    """With what is needed to understand it."""
    one, two = await office.open(), await office.open()
    asked = await ask(one)
    for _ in range(5):
        await look(office, one, two)
    assert await on_record(office) == [BEGAN]
    for request in asked:
        await one.cancel(request.id, by="agent")
    await look(office, two, one, after_s=STANDS_S)
    await look(office, one, two)
    assert await on_record(office) == [BEGAN, ENDED]
    began, ended = [
        r.event for r in await office.ledger.history(REGISTER_ID) if r.event.kind in ALERTS
    ]
    assert began.data["message"] == "2 requests wait for an answer"
    assert (began.data["value"], began.data["threshold"]) == (2, 1)
    assert ended.data["message"] == "0 requests wait for an answer"
    assert ended.data["since"] == began.at.isoformat()
    await office.verify()


async def test_a_new_desk_goes_on_with_what_is_on_record(office):
    """After a crash nothing is recorded again, and `alerts` says since when it fires."""
    dying = await office.open()
    await ask(dying)
    (alert,) = await dying.alerts()
    assert alert.since is None  # no desk has looked yet
    await dying.timers.tick()
    at = office.clock.now()
    dying.die()
    hitl = await office.open()
    await look(office, hitl)
    assert await on_record(office) == [BEGAN]
    (alert,) = await hitl.alerts()
    assert (alert.name, alert.since) == ("pending", at)


async def test_what_is_over_before_a_desk_looks_is_no_alert(office):
    """It looks once a minute, not at every change."""
    hitl = await office.open()
    await hitl.timers.tick()
    for request in await ask(hitl):
        await hitl.timers.tick()
        await hitl.cancel(request.id, by="agent")
    await look(office, hitl)
    assert await on_record(office) == []


async def test_what_goes_up_and_down_all_the_time_is_told_calmly(office):
    """An hour of flapping is some events, not sixty."""
    hitl = await office.open()
    await hitl.request_approval("pay", "Waits", {}, timeout="1d")
    for _ in range(30):
        (other,) = await ask(hitl, 1)
        await look(office, hitl)
        await hitl.cancel(other.id, by="agent")
        await look(office, hitl)
    found = await on_record(office)
    assert 4 <= len(found) <= 6
    assert found == [BEGAN, ENDED, BEGAN, ENDED, BEGAN, ENDED][: len(found)]


async def test_a_ledger_that_fails_is_looked_at_again(office, monkeypatch):
    """What fires is recorded a minute later."""
    hitl = await office.open()
    await ask(hitl)

    async def broken(_):
        raise OSError("unheard of")

    works = office.ledger.count
    monkeypatch.setattr(office.ledger, "count", broken)
    with pytest.raises(OSError, match="unheard"):
        await hitl.timers.tick()
    monkeypatch.setattr(office.ledger, "count", works)
    await hitl.timers.tick()
    assert await on_record(office) == []
    await look(office, hitl)
    assert await on_record(office) == [BEGAN]


async def test_an_alert_is_told_when_it_begins_and_when_it_ends(office):
    """Once each, by two desks, to whom the way is for; it says what fires and how to look."""
    ops = office.channels.add(Way(name="ops", events=ALERTS))
    mail = office.channels.add(Way(name="mail", people=True))
    hitl = await office.open()
    async with telling(office) as one, telling(office):
        asked = await ask(hitl)
        await hitl.timers.tick()
        await one.until(lambda: ops.taken)
        for request in asked:
            await hitl.cancel(request.id, by="agent")
        await look(office, hitl, after_s=STANDS_S)
        await one.until(lambda: len(ops.taken) == 2)
        await quietly(one, 300)
    began, ended = (message for message, _ in ops.taken)
    assert began.subject == "An alert fires: 2 requests wait for an answer"
    assert "threshold: above 1" in began.body
    assert "hitl alerts" in began.body
    assert ended.subject == "An alert has ended: 0 requests wait for an answer"
    assert "since: 2026-11-21 09:30 UTC" in ended.body
    assert began.facts["events"][0]["data"]["name"] == "pending"
    assert mail.taken == []


async def test_people_are_told_of_alerts_where_the_set_up_names_them(office):
    """All on record, or those in `to`."""
    office.people = People(
        reviewers={
            name: Reviewer(name=name, roles=frozenset({role}), notify=(f"{name}@1",))
            for name, role in (("alice", "ops"), ("bob", "finance"))
        }
    )
    oncall = office.channels.add(Way(name="oncall", people=True, events=ALERTS, to=("ops",)))
    everybody = office.channels.add(Way(name="everybody", people=True, events=ALERTS))
    hitl = await office.open()
    async with telling(office) as runner:
        await ask(hitl)
        await hitl.timers.tick()
        await runner.until(lambda: oncall.taken and len(everybody.taken) == 2)
        await quietly(runner)
    assert [to for _, to in oncall.taken] == [("alice@1",)]


async def test_a_digest_and_quiet_hours_hold_alerts_back_too(office):
    """They are not urgent: who sleeps need not know that much waits."""
    ops = office.channels.add(Way(name="ops", events=ALERTS, digest_s=900))
    night = office.channels.add(
        Way(name="night", events=ALERTS, quiet=parse_quiet("09:00-11:00 UTC"))
    )
    hitl = await office.open()
    async with telling(office) as runner:
        await ask(hitl)
        await hitl.timers.tick()
        await quietly(runner, 600)
        assert ops.taken == night.taken == []
        await runner.until(lambda: ops.taken, step=30)
        assert office.clock.now().minute in {45, 46}
        await runner.until(lambda: night.taken, step=60)
    assert office.clock.now().hour == 11


async def test_a_digest_of_alerts_alone_speaks_of_no_requests(office):
    """Two alerts are two events."""
    office.options = type(office.options)(alert_pending=1, alert_oldest_s=1)
    ops = office.channels.add(Way(name="ops", events=ALERTS, digest_s=900))
    hitl = await office.open()
    async with telling(office) as runner:
        await ask(hitl)
        office.clock.advance(2)
        await hitl.timers.tick()
        await runner.until(lambda: ops.taken, step=30)
    ((message, _),) = ops.taken
    assert message.subject == "2 events"
    assert "a request has waited for" in message.body


async def test_a_lost_outbox_tells_again_of_what_fires(office):
    """As it does of what waits; not of alerts that have ended."""
    ops = office.channels.add(Way(name="ops", events=DEFAULT_EVENTS | ALERTS))
    hitl = await office.open()
    asked = await ask(hitl)
    await hitl.timers.tick()
    async with telling(office) as runner:
        await runner.until(lambda: len(ops.taken) == 3)
    office.outbox = MemoryOutbox()
    ops.taken.clear()
    async with telling(office) as runner:
        await runner.until(lambda: len(ops.taken) == 3)
        await quietly(runner)
    assert [subject.split(":")[0] for subject in ops.subjects].count("An alert fires") == 1
    for request in asked:
        await hitl.cancel(request.id, by="agent")
    await look(office, hitl, after_s=STANDS_S)
    office.outbox = MemoryOutbox()
    ops.taken.clear()
    async with telling(office) as runner:
        await quietly(runner)
    assert ops.taken == []
