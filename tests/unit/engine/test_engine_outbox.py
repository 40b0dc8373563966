"""Telling people: each event once to whom it concerns, whatever fails, dies, hangs or is late."""

import asyncio
import contextlib
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from engine_kit import ASK, Office
from proof_kit import MemoryCodeKey

from hitl_vault.adapters.outbox.memory import MemoryOutbox
from hitl_vault.core import commands as c
from hitl_vault.core.duties import DEFAULT_EVENTS, OF_REQUESTS, Way
from hitl_vault.core.events import Kind
from hitl_vault.core.hours import parse_quiet
from hitl_vault.core.model import Risk, Status
from hitl_vault.core.people import Away, People, Reviewer
from hitl_vault.core.redaction import parse_redaction
from hitl_vault.engine.outbox import OutboxRunner, delay_s
from hitl_vault.errors import NotSent

TEAMS = """\
default: ask
rules:
  - id: launch
    when: action.type == "launch"
    effect: ask
    risk: critical
  - id: staged
    when: action.type == "staged"
    effect: ask
    stages: [{approvers: [alice]}, {approvers: [lead]}]
    timeout: 4h
    remind: [1h]
    escalate: [{after: 2h, to: [cfo]}]
"""
PEOPLE = {
    "alice": Reviewer(name="alice", roles=frozenset({"team"}), notify=("a@1",)),
    "bob": Reviewer(name="bob", roles=frozenset({"lead"}), notify=("b@1", "b@2")),
    "cfo": Reviewer(name="cfo", notify=("c@1",)),
}


@pytest.fixture
def office():
    office = Office(TEAMS)
    office.people = People(reviewers=PEOPLE)
    return office


@asynccontextmanager
async def telling(office, hitl=None):
    """Run the outbox of one process; `tick` lets some time pass."""
    hitl = hitl or await office.open()
    parts = hitl._parts
    runner = OutboxRunner(parts, parts.telling)
    task = asyncio.create_task(runner.run())

    async def until(fact, step=0.1, most=400):
        for _ in range(most):
            for _ in range(12):
                await asyncio.sleep(0)
            if fact():
                return
            office.clock.advance(step)
        raise AssertionError("it did not come true")

    runner.until = until
    runner.for_a_while = lambda seconds=60: until(lambda: False, seconds / 20, 20)
    try:
        yield runner
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await runner.aclose()


async def quietly(runner, seconds=60):
    with contextlib.suppress(AssertionError):
        await runner.for_a_while(seconds)


async def test_who_must_answer_is_told_at_their_own_addresses(office):
    """The open stage's people, and nobody else; once."""
    mail = office.channels.add(Way(name="mail", people=True))
    hitl = await office.open()
    async with telling(office) as runner:
        asked = await hitl.request_approval("staged", "Do it", {"n": 1})
        await runner.until(lambda: mail.taken)
        await quietly(runner)
    assert [to for _, to in mail.taken] == [("a@1",)]
    message = mail.taken[0][0]
    assert message.id.startswith("vault-2-mail-")
    assert asked.id in message.body
    assert asked.payload_in_force in message.body
    assert f"hitl approve {asked.id}" in message.body
    assert await office.outbox.find() == []


async def test_the_next_stage_is_told_when_it_opens(office):
    """Not before: a vote that leaves the stage open calls nobody."""
    mail = office.channels.add(Way(name="mail", people=True))
    hitl = await office.open()
    async with telling(office) as runner:
        asked = await hitl.request_approval("staged", "Do it", {"n": 1})
        await runner.until(lambda: mail.taken)
        await hitl.approve(asked.id, reviewer="alice")
        await runner.until(lambda: len(mail.taken) == 2)
        await quietly(runner)
    assert [to for _, to in mail.taken] == [("a@1",), ("b@1", "b@2")]
    assert mail.subjects[1].startswith("The next stage needs an answer")


async def test_reminders_escalations_and_the_end_are_told_once_each(office):
    """Silence is told of in the order of the ladder; and nobody approves by waiting."""
    mail = office.channels.add(Way(name="mail", people=True))
    hitl = await office.open()
    async with telling(office) as runner:
        asked = await hitl.request_approval("staged", "Do it", {"n": 1})
        for _ in range(5):
            await quietly(runner)
            office.clock.jump(3600)
            for _ in range(3):  # each tick brings one thing
                await hitl.timers.tick()
        await quietly(runner)
    told = [(m.facts["events"][0]["kind"], to) for m, to in mail.taken]
    assert told == [
        ("requested", ("a@1",)),
        ("reminded", ("a@1",)),
        ("escalated", ("a@1",)),
        ("escalated", ("c@1",)),
        ("expired", ("a@1",)),
        ("expired", ("c@1",)),
        ("expired", ("b@1", "b@2")),
    ]
    assert (await hitl.get(asked.id)).status is Status.EXPIRED


async def test_a_stand_in_is_told_in_the_place_of_who_is_away(office):
    """Who is away is left in peace."""
    now = office.clock.now()
    away = Away(begins_at=now, ends_at=now + timedelta(days=1), to="bob")
    alice = Reviewer(name="alice", notify=("a@1",), away=(away,))
    office.people = People(reviewers=PEOPLE | {"alice": alice})
    mail = office.channels.add(Way(name="mail", people=True))
    hitl = await office.open()
    async with telling(office) as runner:
        await hitl.request_approval("staged", "Do it", {"n": 1})
        await runner.until(lambda: mail.taken)
    assert [to for _, to in mail.taken] == [("b@1", "b@2")]


async def test_a_program_is_told_of_every_event(office):
    """Also of what nobody need answer any more, in order."""
    hook = office.channels.add(Way(name="hook", complete=True, events=OF_REQUESTS))
    hitl = await office.open()
    async with telling(office) as runner:
        await quietly(runner, 1)
        asked = await hitl.request_approval("staged", "Do it", {"n": 1})
        await hitl.reject(asked.id, reviewer="alice", reason="no")
        await runner.until(lambda: len(hook.taken) == 3)
    kinds = [m.facts["events"][0]["kind"] for m, _ in hook.taken]
    assert kinds == ["requested", "voted", "rejected"]
    assert hook.taken[0][0].facts["events"][0]["request"]["details"] == {"n": 1}


async def test_a_way_hides_what_it_is_told_to_and_the_others_do_not(office):
    """The person's message lacks the card, the program's has it; the note shows it."""
    hides = parse_redaction(["card"])
    mail = office.channels.add(Way(name="mail", people=True, redaction=hides))
    hook = office.channels.add(Way(name="hook", events=OF_REQUESTS, complete=True))
    hitl = await office.open()
    async with telling(office, hitl) as runner:
        asked = await hitl.request_approval("staged", "", {"card": "4111-2222", "n": 1})
        await runner.until(lambda: mail.taken and hook.taken)
    (message, _), (exact, _) = mail.taken[0], hook.taken[0]
    assert "4111-2222" not in message.body + str(message.facts)
    assert "Hidden here, and shown in the note: /card" in message.body
    assert asked.payload_sha256 in message.body
    assert exact.facts["events"][0]["request"]["details"] == {"card": "4111-2222", "n": 1}
    assert "4111-2222" in office.note(asked)


async def test_nobody_is_called_to_what_is_answered(office):
    """A message that is late is not sent to people; it would only cost their time."""
    mail = office.channels.add(Way(name="mail", people=True))
    mail.fails = NotSent("it answered 500")
    hitl = await office.open()
    async with telling(office) as runner:
        asked = await hitl.request_approval("staged", "Do it", {"n": 1})
        await runner.until(lambda: mail.tries)
        await hitl.reject(asked.id, reviewer="alice")
        mail.fails = None
        await quietly(runner, 600)
    assert mail.taken == []
    assert await office.outbox.find() == []


async def test_a_refused_message_is_tried_again_until_it_is_taken(office, caplog):
    """With growing pauses; the same id each time; the log says it once."""
    ops = office.channels.add(Way(name="ops"))
    ops.fails = NotSent("it answered 500")
    hitl = await office.open()
    async with telling(office) as runner:
        await hitl.request_approval("launch", "Go", {}, timeout="1d")
        await runner.until(lambda: ops.tries == 5, step=5)
        (parcel,) = await office.outbox.find()
        assert parcel.problem == "it answered 500"
        ops.fails = None
        await runner.until(lambda: ops.taken, step=30)
        await quietly(runner)
    assert len(ops.taken) == 1
    assert caplog.text.count("it answered 500") == 1


async def test_what_is_refused_for_ever_or_too_often_is_a_dead_letter(office, caplog):
    """It waits for a person, and is sent again when told to."""
    gone = office.channels.add(Way(name="gone"))
    gone.fails = NotSent("it answered 410", again=False)
    tired = office.channels.add(Way(name="tired", tries=3))
    tired.fails = RuntimeError("https://user:secret@example.com")
    hitl = await office.open()
    async with telling(office) as runner:
        await hitl.request_approval("launch", "Go", {}, timeout="1d")
        await runner.until(lambda: tired.tries == 3, step=5)
        await quietly(runner, 7200)
        assert (gone.tries, tired.tries) == (1, 3)
        found = {p.duties[0].way: p for p in await office.outbox.find()}
        assert found["gone"].dead
        assert found["tired"].dead
        assert found["tired"].problem == "RuntimeError"
        assert "secret" not in caplog.text
        gone.fails = tired.fails = None
        assert await office.outbox.retry(None, office.clock.now()) == 2
        await runner.until(lambda: gone.taken and tired.taken)
    assert "hitl outbox list" in caplog.text


async def test_one_way_that_hangs_holds_up_no_other(office):
    """Nor the desk, nor closing: what hangs is given back to be sent again."""
    slow = office.channels.add(Way(name="slow"))
    slow.hangs = True
    quick = office.channels.add(Way(name="quick"))
    hitl = await office.open()
    async with telling(office) as runner:
        for number in range(3):
            await hitl.request_approval("launch", "Go", {"n": number})
        await runner.until(lambda: len(quick.taken) == 3)
        assert slow.tries >= 1
    left = await office.outbox.find()
    assert len(left) == 3
    assert not any(parcel.leased for parcel in left)


async def test_an_old_vault_begins_at_its_head_and_tells_of_what_waits(office):
    """What is over is history; what waits is told, under the id it would have had."""
    hitl = await office.open()
    over = await hitl.request_approval("launch", "Old", {"n": 1})
    await hitl.cancel(over.id)
    waits = await hitl.request_approval("launch", "Waits", {"n": 2})
    ops = office.channels.add(Way(name="ops", events=DEFAULT_EVENTS | {Kind.CANCELLED}))
    async with telling(office) as runner:
        await runner.until(lambda: ops.taken)
        await quietly(runner)
    ((message, _),) = ops.taken
    assert waits.id in message.body
    assert message.id == "vault-4-ops"


async def test_a_lost_outbox_loses_nothing_that_waits(office):
    """It is told again, under the same id, so that a receiver can leave it out."""
    ops = office.channels.add(Way(name="ops"))
    hitl = await office.open()
    async with telling(office) as runner:
        await hitl.request_approval("launch", "Go", {})
        await runner.until(lambda: ops.taken)
    office.outbox = MemoryOutbox()
    async with telling(office) as runner:
        await runner.until(lambda: len(ops.taken) == 2)
    assert ops.taken[0][0].id == ops.taken[1][0].id


class LosingOutbox(MemoryOutbox):
    """One that can be lost while it is in use; how far all was told is kept elsewhere."""

    kept: int | None = None

    async def lose(self):
        kept = await self.told()
        self.__init__()
        self.kept = kept

    async def told(self):
        found = await super().told()
        return self.kept if found is None else found


async def test_an_outbox_lost_under_a_running_desk_forgets_nothing(office):
    """Not what calls nobody, not what is gathered or tried again; also where nothing more happens.
    What was told is not told again.
    """
    office.outbox = LosingOutbox()
    events = DEFAULT_EVENTS | {Kind.APPROVED}
    ops = office.channels.add(Way(name="ops", events=events))
    late = office.channels.add(Way(name="late", events=events, digest_s=900))
    hitl = await office.open()
    async with telling(office) as runner:
        await quietly(runner, 1)
        first = await hitl.request_approval("open", "Go", {"n": 1})
        await hitl.approve(first.id, reviewer="alice")
        await runner.until(lambda: late.taken, step=30)
        assert await office.outbox.find() == []
        told = len(ops.taken)
        ops.fails = NotSent("it answered 500")
        second = await hitl.request_approval("open", "Go", {"n": 2})
        await hitl.approve(second.id, reviewer="alice")
        await runner.until(lambda: ops.tries > told)
        await office.outbox.lose()
        ops.fails = None
        await runner.until(lambda: len(ops.taken) > told)
        await runner.until(lambda: len(late.taken) > 1, step=30)
        await quietly(runner, 30)
    for taker in (ops, late):
        about = [
            (event["kind"], event["request"]["id"])
            for message, _ in taker.taken
            for event in message.facts["events"]
        ]
        assert about.count(("approved", second.id)) == 1
        assert about.count(("approved", first.id)) == 1


async def test_an_outbox_of_another_ledger_holds_nothing_back(office):
    """It was followed further than there are events: telling begins anew with what waits."""
    await office.outbox.put([], after=None, upto=10_000)
    ops = office.channels.add(Way(name="ops"))
    hitl = await office.open()
    await hitl.request_approval("launch", "Waits", {"n": 1})
    async with telling(office) as runner:
        await runner.until(lambda: ops.taken)
        await hitl.request_approval("launch", "Comes", {"n": 2})
        await runner.until(lambda: len(ops.taken) == 2)


async def test_who_took_a_message_is_left_out_at_the_next_try(office):
    """Durably, also by another process; and the dead letter knows it too."""
    ops = office.channels.add(Way(name="ops", tries=3))
    ops.fails = NotSent("one did not take it", taken=frozenset({"tag"}))
    hitl = await office.open()
    await hitl.request_approval("launch", "Go", {}, timeout="1d")
    async with telling(office) as runner:
        await runner.until(lambda: ops.tries == 1)
        assert ops.but == frozenset()
        await quietly(runner, 1)
    async with telling(office) as runner:
        await runner.until(lambda: ops.tries == 3, step=5)
        assert ops.but == {"tag"}
        await quietly(runner, 5)
        (parcel,) = await office.outbox.find()
        assert parcel.dead
        assert parcel.taken == {"tag"}


async def test_a_process_that_comes_later_goes_on_where_the_last_one_ended(office):
    """Events of the time between are told; those before are not told again."""
    ops = office.channels.add(Way(name="ops"))
    hitl = await office.open()
    async with telling(office) as runner:
        await hitl.request_approval("launch", "First", {"n": 1})
        await runner.until(lambda: ops.taken)
    await hitl.request_approval("launch", "Second", {"n": 2})
    async with telling(office) as runner:
        await runner.until(lambda: len(ops.taken) == 2)
        await quietly(runner)
    assert len({message.id for message, _ in ops.taken}) == 2


async def test_two_processes_tell_once(office):
    """Both follow, both may send; each event is told once."""
    ops = office.channels.add(Way(name="ops"))
    hitl = await office.open()
    async with telling(office) as one, telling(office):
        for number in range(20):
            await hitl.request_approval("launch", "Go", {"n": number})
        await one.until(lambda: len(ops.taken) >= 20)
        await quietly(one)
    assert len(ops.taken) == len({message.id for message, _ in ops.taken}) == 20


async def test_risk_and_names_say_who_is_told(office):
    """A way for high risks hears of no others; a way for some people only of what they must answer."""
    high = office.channels.add(Way(name="high", risk=Risk.HIGH))
    leads = office.channels.add(Way(name="leads", to=("lead",)))
    team = office.channels.add(Way(name="team", to=("team",), people=True))
    hitl = await office.open()
    async with telling(office) as runner:
        staged = await hitl.request_approval("staged", "Do it", {"n": 1})
        await hitl.request_approval("launch", "Go", {"n": 2})
        await runner.until(lambda: high.taken and len(team.taken) == 2)
        assert [m.facts["events"][0]["request"]["type"] for m, _ in leads.taken] == ["launch"]
        await hitl.approve(staged.id, reviewer="alice")
        await runner.until(lambda: len(leads.taken) == 2)
        await quietly(runner)
    assert [m.facts["events"][0]["request"]["type"] for m, _ in high.taken] == ["launch"]
    assert {to for _, to in team.taken} == {("a@1",)}


async def test_what_is_not_urgent_is_gathered_into_one_message(office):
    """At the full quarter of an hour; what is critical goes at once."""
    ops = office.channels.add(Way(name="ops", digest_s=900))
    hitl = await office.open()
    async with telling(office) as runner:
        for number in range(4):
            await hitl.request_approval("staged", "Do it", {"n": number})
        await hitl.request_approval("launch", "Go", {"n": 9})
        await runner.until(lambda: ops.taken)
        await quietly(runner, 5)
        assert len(ops.taken) == 1
        assert ops.taken[0][0].urgent
        await runner.until(lambda: len(ops.taken) == 2, step=30)
        await quietly(runner, 3)
    assert office.clock.now().minute in {45, 46}
    digest = ops.taken[1][0]
    assert len(digest.facts["events"]) == 4
    assert digest.subject == "4 events about 4 requests"


async def test_quiet_hours_hold_back_what_is_not_urgent(office):
    """Until they end; what is critical, or would be over by then, goes at once."""
    quiet = parse_quiet("09:00-11:00 UTC")
    ops = office.channels.add(Way(name="ops", quiet=quiet))
    hitl = await office.open()
    async with telling(office) as runner:
        await hitl.request_approval("staged", "Waits", {"n": 1})
        await hitl.request_approval("staged", "Would be over", {"n": 2}, timeout="1h")
        await hitl.request_approval("launch", "Critical", {"n": 3}, timeout="4h")
        await runner.until(lambda: len(ops.taken) == 2)
        await quietly(runner, 600)
        assert len(ops.taken) == 2
        await runner.until(lambda: len(ops.taken) == 3, step=60)
    assert office.clock.now().hour == 11
    assert "Waits" in ops.taken[2][0].body


async def test_a_code_goes_to_its_reviewer_alone(office):
    """Never to a channel, never into the facts for programs."""
    office.code_key = MemoryCodeKey()
    mail = office.channels.add(Way(name="mail", people=True))
    ops = office.channels.add(Way(name="ops", events=frozenset(Kind)))
    hook = office.channels.add(Way(name="hook", complete=True, events=frozenset(Kind)))
    hitl = await office.open()
    asked = await hitl.request_approval("staged", "Do it", {"n": 1})
    async with telling(office) as runner:
        await runner.until(lambda: mail.taken)
        code = c.IssueCode(id=asked.id, code_id="c1", reviewer="cfo", valid_s=600)
        await office.ledger.submit(code)
        await runner.until(lambda: len(mail.taken) == 2 and len(hook.taken) == 2)
        await quietly(runner)
    message, to = mail.taken[1]
    assert to == ("c@1",)
    (issued,) = [
        recorded.event
        for recorded in await office.history(asked)
        if recorded.event.kind is Kind.CODE_ISSUED
    ]
    secret = hitl.code_for(issued)
    assert secret in message.body
    others = [m for m, _ in (*ops.taken, *hook.taken)] + [mail.taken[0][0]]
    assert not any(secret in f"{m.subject}{m.body}{m.facts}" for m in others)
    assert secret not in str(message.facts)
    assert len(ops.taken) == 1


async def test_without_a_code_key_a_code_waits_for_a_process_that_has_one(office):
    """And a code that can no longer be used is not sent at all."""
    mail = office.channels.add(Way(name="mail", people=True))
    hitl = await office.open()
    asked = await hitl.request_approval("staged", "Do it", {"n": 1})
    async with telling(office) as runner:
        await runner.until(lambda: mail.taken)
        await office.ledger.submit(
            c.IssueCode(id=asked.id, code_id="c1", reviewer="cfo", valid_s=600)
        )
        await quietly(runner, 20)
        (parcel,) = await office.outbox.find()
        assert "code key" in parcel.problem
        await quietly(runner, 3000)
        (parcel,) = await office.outbox.find()
        assert parcel.dead
        assert "no longer be used" in parcel.problem
    assert len(mail.taken) == 1


async def test_a_broken_set_up_holds_messages_back_and_is_said_once(office, caplog):
    """When it is mended, what happened meanwhile is told."""
    ops = office.channels.add(Way(name="ops"))
    office.channels.broken = "notify.toml: [ops] has no key 'hello'"
    hitl = await office.open()
    async with telling(office) as runner:
        await hitl.request_approval("launch", "Go", {})
        await quietly(runner, 120)
        assert caplog.text.count("has no key 'hello'") <= 2  # of following, and of sending
        office.channels.broken = ""
        await runner.until(lambda: ops.taken)


async def test_without_ways_nothing_is_written(office):
    """A vault whose people read their notes has no outbox."""
    hitl = await office.open()
    async with telling(office) as runner:
        await hitl.request_approval("launch", "Go", {})
        await quietly(runner)
    assert await office.outbox.cursor() is None


async def test_an_outbox_that_fails_disturbs_nothing(office, caplog):
    """Requests are asked and answered; people are told once it works again."""
    ops = office.channels.add(Way(name="ops"))
    works = office.outbox.put

    async def broken(*_, **__):
        raise OSError("unheard of")

    office.outbox.put = broken
    hitl = await office.open(watching=True)
    asked = await hitl.request_approval("launch", "Go", {})
    assert (await hitl.approve(asked.id, reviewer="alice")).status is Status.APPROVED
    async with telling(office) as runner:
        await quietly(runner, 30)
        other = await hitl.request_approval("launch", "Go", {"n": 2})
        office.outbox.put = works
        await runner.until(lambda: ops.taken)
    assert other.id in ops.taken[0][0].body
    await hitl.aclose()


async def test_a_sender_that_dies_is_replaced_at_once(office):
    """What a killed process was sending, the next one sends."""
    ops = office.channels.add(Way(name="ops"))
    ops.hangs = True
    dying = await office.open()
    await dying.request_approval("launch", "Go", {}, timeout="1d")
    runner = OutboxRunner(dying._parts, dying._parts.telling)
    task = asyncio.create_task(runner.run())
    while not ops.tries:
        office.clock.advance(0.1)
        await asyncio.sleep(0)
    task.cancel()
    for sending in runner._sending.values():
        sending.cancel()
    dying.die()
    ops.hangs = False
    async with telling(office) as other:
        await other.until(lambda: ops.taken)
        await quietly(other)
    assert len(ops.taken) == 1


async def test_the_pauses_grow_to_an_hour_and_differ():
    """Doubled each time, spread by half either way, the same for every process."""
    assert all(2.5 <= delay_s(f"m{n}", 1) <= 7.5 for n in range(50))
    assert all(1800 <= delay_s(f"m{n}", 40) <= 5400 for n in range(50))
    assert len({delay_s(f"m{n}", 3) for n in range(50)}) > 40
    assert delay_s("m", 3) == delay_s("m", 3)
    assert ASK
