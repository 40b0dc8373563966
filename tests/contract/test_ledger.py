"""What every ledger guarantees, whatever it is made of."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from contextlib import aclosing, closing
from dataclasses import replace
from datetime import timedelta

import pytest

from hitl_vault.adapters.ledger import sqlite_find
from hitl_vault.adapters.ledger.memory import MemoryLedger
from hitl_vault.adapters.ledger.sqlite import SqliteLedger
from hitl_vault.core import chain
from hitl_vault.core import commands as c
from hitl_vault.core.canonical import payload_sha256
from hitl_vault.core.chain import Head
from hitl_vault.core.events import Kind
from hitl_vault.core.model import (
    Answer,
    Assurance,
    Escalation,
    GrantLimit,
    Requirement,
    Stage,
    Status,
)
from hitl_vault.core.register import REGISTER_ID, Grant, Register
from hitl_vault.core.registering import ALERT_STANDS
from hitl_vault.core.tally import BOUNDS_S, OTHER, Decided
from hitl_vault.core.tracing import Trace
from hitl_vault.core.trends import Rate
from hitl_vault.errors import InvalidRequest, NotOpen, RequestNotFound, StorageError
from hitl_vault.ports import Counts, Filter, Kept, Place
from hitl_vault.testing.clock import START, FakeClock
from hitl_vault.testing.samples import make_ask, make_claim, make_finish, make_vote


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture(params=["memory", "sqlite"])
async def ledger(request, workspace, clock):
    made = (
        MemoryLedger(clock)
        if request.param == "memory"
        else SqliteLedger(workspace / "l.db", clock)
    )
    yield made
    await made.aclose()


async def test_a_ledger_that_can_store_says_so_and_records_nothing(ledger):
    request = await accept(ledger, make_ask("r-1"))
    head = await ledger.head()
    await ledger.check_storing()
    assert (await ledger.head(), await ledger.get("r-1")) == (head, request)


@pytest.fixture
async def two(workspace, clock):
    """Two ledgers over one file, as two processes have."""
    ledgers = [SqliteLedger(workspace / "l.db", clock) for _ in range(2)]
    yield ledgers
    for one in ledgers:
        await one.aclose()


async def accept(ledger, command):
    receipt = await ledger.submit(command)
    assert receipt.kept is Kept.ACCEPTED, receipt
    return receipt.request


async def refuse(ledger, command, kept):
    """Submit what must not be accepted; nothing may have changed."""
    before = await ledger.head(), await ledger.get(command.id)
    receipt = await ledger.submit(command)
    assert receipt.kept is kept, receipt
    assert receipt.message
    assert (await ledger.head(), await ledger.get(command.id)) == before
    return receipt


async def executed(ledger, id="pay-1", **ask):
    request = await accept(ledger, make_ask(id, **ask))
    request = await accept(ledger, make_vote(request))
    request = await accept(ledger, make_claim(request))
    return await accept(ledger, make_finish(request, result={"receipt": 1}))


async def until(fact, timeout_s=5.0):
    """Wait for a fact, not for a time."""
    async with asyncio.timeout(timeout_s):
        while not fact():
            await asyncio.sleep(0.001)


async def waiting(ledger, request, after_rev=None, timeout_s=None):
    """Start a waiter and return once it waits."""
    rev = request.rev if after_rev is None else after_rev
    task = asyncio.create_task(ledger.wait(request.id, after_rev=rev, timeout_s=timeout_s))
    before = sum(map(len, ledger._waiters.values()))
    await until(lambda: sum(map(len, ledger._waiters.values())) > before or task.done())
    return task


ENDLESS = []
ENDLESS.append(ENDLESS)
DOUBLED = []
DOUBLED += [DOUBLED, DOUBLED]
DEEP = []
for _ in range(900):
    DEEP = [DEEP]


# submit and get


async def test_an_accepted_command_is_there_at_once(ledger):
    """After the receipt, every read shows the new state."""
    request = await accept(ledger, make_ask(key="INV-1", run_id="run-7"))
    assert request == await ledger.get("pay-1") == await ledger.get_by_key("INV-1")
    assert await ledger.find(Filter()) == [request]
    assert [recorded.event.kind for recorded in await ledger.history("pay-1")] == [Kind.REQUESTED]


async def test_a_whole_life(ledger):
    """From asking to the end, rev grows by one a step and the chain holds."""
    request = await executed(ledger)
    assert (request.rev, request.status, request.result) == (4, Status.EXECUTED, {"receipt": 1})
    history = await ledger.history("PAY-1")
    assert [r.seq for r in history] == [1, 2, 3, 4, 5]
    assert [r.event.rev for r in history] == [1, 2, 2, 3, 4]
    assert await ledger.verify() == await ledger.head() == Head(seq=5, hash=history[-1].hash)


async def test_asking_is_idempotent_on_id_and_key(ledger):
    """The same action again is a duplicate that returns the first; another one is a conflict."""
    first = await accept(ledger, make_ask("one", key="k"))
    assert (await refuse(ledger, make_ask("one", key="k"), Kept.DUPLICATE)).request == first
    assert (await ledger.submit(make_ask("two", key="k"))).request == first
    assert await ledger.get("two") is None
    other = {"amount": 2}
    assert (await refuse(ledger, make_ask("one", details=other), Kept.CONFLICT)).request == first
    assert (
        await refuse(ledger, make_ask("two", key="k", details=other), Kept.CONFLICT)
    ).request == first
    await accept(ledger, make_ask("two", key="K"))


async def test_ids_differ_by_more_than_case(ledger):
    """An id in another case is the same request: file systems may not tell them apart."""
    first = await accept(ledger, make_ask("Pay-1"))
    assert await ledger.get("pAY-1") == first
    assert (await ledger.submit(make_ask("PAY-1"))).request == first
    await refuse(ledger, make_ask("PAY-1", details={"a": 1}), Kept.CONFLICT)
    voted = await accept(ledger, make_vote(first))
    assert voted.id == "Pay-1"
    assert (await ledger.wait("PAY-1", after_rev=1, timeout_s=None)) == voted
    assert len(await ledger.history("pay-1")) == 3


@pytest.mark.parametrize("id", ["nobody", "", "a/b", "\ud800", "é", "%", "pay_1", "x" * 1000])
async def test_what_is_not_there_is_not_found(ledger, id):
    """No id makes a read or a command fail otherwise."""
    await accept(ledger, make_ask())
    assert await ledger.get(id) is None
    assert await ledger.get_by_key(id) is None
    assert await ledger.history(id) == []
    assert (await ledger.submit(c.Expire(id=id))).kept is Kept.NOT_FOUND
    with pytest.raises(RequestNotFound):
        await ledger.wait(id, after_rev=0, timeout_s=None)
    assert not ledger._waiters


async def test_receipts_say_what_was_kept(ledger):
    """Every kind of refusal comes with the present request, and changes nothing."""
    request = await accept(ledger, make_ask())
    await refuse(ledger, make_claim(request), Kept.REFUSED)
    await refuse(ledger, make_vote(request, payload_sha256="0" * 64), Kept.STALE)
    approved = await accept(ledger, make_vote(request))
    assert (await refuse(ledger, make_vote(request), Kept.DUPLICATE)).request == approved
    said_no = make_vote(request, answer=Answer.REJECT)
    assert (await refuse(ledger, said_no, Kept.CONFLICT)).request == approved
    assert (await ledger.submit(make_ask("../x"))).kept is Kept.REFUSED


async def test_the_deadline_is_judged_at_commit(ledger, clock):
    """An answer at the deadline is refused, and the expiry is recorded by it, without any timer."""
    request = await accept(ledger, make_ask(timeout_s=60))
    clock.advance(60)
    late = await ledger.submit(make_vote(request))
    assert (late.kept, late.request.status) == (Kept.CONFLICT, Status.EXPIRED)
    assert await ledger.get("pay-1") == late.request
    assert [r.event.kind for r in await ledger.history("pay-1")] == [Kind.REQUESTED, Kind.EXPIRED]


async def test_only_one_claim_of_many_succeeds(ledger):
    """Sixteen executors at once: one accepted, fifteen conflicts."""
    request = await accept(ledger, make_ask())
    request = await accept(ledger, make_vote(request))
    receipts = await asyncio.gather(
        *(ledger.submit(make_claim(request, f"claim-{n}")) for n in range(16))
    )
    kept = [receipt.kept for receipt in receipts]
    assert sorted(kept) == [Kept.ACCEPTED] + [Kept.CONFLICT] * 15
    winner = receipts[kept.index(Kept.ACCEPTED)].request.claim
    assert {receipt.request.claim for receipt in receipts} == {winner}


async def test_of_contradicting_decisions_one_wins(ledger):
    """Approve and reject at once: one is accepted, the other told so."""
    request = await accept(ledger, make_ask())
    receipts = await asyncio.gather(
        ledger.submit(make_vote(request, "alice")),
        ledger.submit(make_vote(request, "bob", Answer.REJECT)),
    )
    assert sorted(receipt.kept for receipt in receipts) == [Kept.ACCEPTED, Kept.CONFLICT]
    assert len({receipt.request.status for receipt in receipts}) == 1


@pytest.mark.parametrize(
    "result",
    [object(), {"x": {1: object()}}, "\ud800", 10**5000, ENDLESS, DOUBLED, DEEP],
    ids=list("abcdefg"),
)
async def test_what_cannot_be_written_fails_alone(ledger, result):
    """A command with a value no JSON can hold is refused; its neighbours are stored."""
    request = await accept(ledger, make_ask())
    request = await accept(ledger, make_vote(request))
    request = await accept(ledger, make_claim(request))
    bad, *good = await asyncio.gather(
        ledger.submit(make_finish(request, result=result)),
        *(ledger.submit(make_ask(f"other-{n}")) for n in range(5)),
        return_exceptions=True,
    )
    assert isinstance(bad, InvalidRequest)
    assert [receipt.kept for receipt in good] == [Kept.ACCEPTED] * 5
    assert (await ledger.get("pay-1")).status is Status.EXECUTING
    await accept(ledger, make_finish(request))
    assert await ledger.verify() == await ledger.head()


async def test_values_come_back_as_they_went_in(ledger):
    """Any JSON text, number and nesting survives."""
    details = {
        "t": 'é\u2028\u0000"\\😀',
        "n": [1, 1.5, -0.0, 5e-324, 2**53 - 1],
        "o": {"": None},
        "b": True,
    }
    request = await accept(ledger, make_ask(details=details))
    kept = await ledger.get("pay-1")
    assert kept == request
    assert payload_sha256(kept.action) == request.payload_sha256


async def test_a_cancelled_submit_is_stored_whole_or_not_at_all(ledger):
    """Cancelling who asked never leaves half a request."""
    tasks = [asyncio.create_task(ledger.submit(make_ask(f"p-{n}"))) for n in range(20)]
    await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await accept(ledger, make_ask("last"))
    found = await ledger.find(Filter())
    assert (await ledger.head()).seq == len(found)
    assert await ledger.verify() == await ledger.head()


# waiting


async def test_waiting_returns_at_once_what_is_newer(ledger):
    """What was committed before the call counts."""
    request = await accept(ledger, make_ask())
    assert await ledger.wait("pay-1", after_rev=0, timeout_s=None) == request
    voted = await accept(ledger, make_vote(request))
    assert await ledger.wait("pay-1", after_rev=1, timeout_s=0) == voted


async def test_many_waiters_are_woken_by_one_commit(ledger):
    """All of them return the new state, those of other requests do not."""
    request = await accept(ledger, make_ask())
    other = await accept(ledger, make_ask("other"))
    tasks = [await waiting(ledger, request) for _ in range(50)]
    aside = await waiting(ledger, other)
    voted = await accept(ledger, make_vote(request))
    async with asyncio.timeout(5):
        assert await asyncio.gather(*tasks) == [voted] * 50
    assert not aside.done()
    aside.cancel()
    await asyncio.gather(aside, return_exceptions=True)
    assert not ledger._waiters


async def test_cancelling_a_waiter_cancels_only_the_waiter(ledger):
    """The others and the request go on."""
    request = await accept(ledger, make_ask())
    one, two = await waiting(ledger, request), await waiting(ledger, request)
    one.cancel()
    with pytest.raises(asyncio.CancelledError):
        await one
    voted = await accept(ledger, make_vote(request))
    assert await asyncio.wait_for(two, 5) == voted


async def test_a_timeout_returns_the_request_as_it_is(ledger):
    """Patience that ends is no error of the ledger."""
    request = await accept(ledger, make_ask())
    for timeout_s in (0, 0.01, -1):
        assert await ledger.wait("pay-1", after_rev=1, timeout_s=timeout_s) == request
    assert not ledger._waiters


async def test_a_waiter_is_not_woken_by_what_it_knows(ledger):
    """Only a greater `rev` ends the wait, even if the news of an older one comes late."""
    request = await accept(ledger, make_ask(stages=(Stage(quorum=3),)))
    task = await waiting(ledger, request, after_rev=2)
    for name in ("alice", "bob"):
        assert not task.done()
        request = await accept(ledger, make_vote(request, name))
    assert (await asyncio.wait_for(task, 5)).rev == 3


async def test_no_commit_falls_between_reading_and_waiting(ledger):
    """A waiter that starts at any moment around a commit sees it."""
    request = await accept(ledger, make_ask(stages=(Stage(quorum=1000),)))
    for n in range(50):
        vote = asyncio.create_task(ledger.submit(make_vote(request, f"reviewer {n}")))
        for _ in range(n % 5):
            await asyncio.sleep(0)
        newer = await ledger.wait("pay-1", after_rev=request.rev, timeout_s=5)
        assert newer.rev == request.rev + 1
        request = newer
        await vote


# changes


async def read(ledger, after_seq=0):
    return [recorded async for recorded in ledger.changes(after_seq, follow=False)]


async def test_changes_come_in_order_from_any_cursor(ledger):
    """Each event once, in the order of the chain, after the cursor only."""
    await executed(ledger, "one")
    await executed(ledger, "two")
    every = await read(ledger)
    assert [recorded.seq for recorded in every] == list(range(1, 11))
    assert await read(ledger, 7) == every[7:]
    assert await read(ledger, 10) == await read(ledger, 99) == []


async def test_changes_are_read_page_by_page(ledger):
    """More events than a page holds all come, once."""
    await asyncio.gather(*(ledger.submit(make_ask(f"p-{n}")) for n in range(1050)))
    assert [recorded.seq for recorded in await read(ledger)] == list(range(1, 1051))
    seen = []
    async with aclosing(ledger.changes(0, follow=True)) as changes:
        async for recorded in changes:
            seen.append(recorded.seq)
            if len(seen) == 1050:
                break
    assert seen == list(range(1, 1051))


async def test_a_page_of_events_has_a_measure_in_bytes_and_none_is_left_out(workspace, clock):
    """What one asker writes at length must not fill the memory of who reads the events."""
    ledger = SqliteLedger(workspace / "l.db", clock)
    for n in range(8):
        await accept(ledger, make_ask(f"r-{n}"))
        await accept(ledger, c.Cancel(id=f"r-{n}", by="invoice-agent", reason="x" * 900_000))
    assert 2 <= len(ledger._events_after(0, 1000)) <= 12
    assert [one.seq async for one in ledger.changes(0, follow=False)] == list(range(1, 17))
    assert not ledger._at_hand
    await ledger.aclose()


async def test_following_gives_what_comes_later(ledger):
    """A follower gets every later event, and is forgotten when it goes."""
    await accept(ledger, make_ask("one"))
    async with aclosing(ledger.changes(0, follow=True)) as changes:
        assert (await anext(changes)).event.request_id == "one"
        following = asyncio.create_task(anext(changes))
        await until(lambda: ledger._followers)
        await accept(ledger, make_ask("two"))
        assert (await asyncio.wait_for(following, 5)).event.request_id == "two"
    assert not ledger._followers


# finding


async def test_each_filter_leaves_out_the_rest(ledger, clock):
    """Status, type, requester, run, prefix and time, alone and together."""
    await accept(ledger, make_ask("a_1", run_id="r1"))
    clock.advance(1)
    await executed(ledger, "a-2", type="deploy")
    clock.advance(1)
    request = await accept(ledger, make_ask("b-3", requested_by="other", timeout_s=5))
    await accept(ledger, make_vote(request, answer=Answer.REJECT))

    async def ids(**filter):
        return [found.id for found in await ledger.find(Filter(**filter))]

    assert await ids() == ["b-3", "a-2", "a_1"]
    assert await ids(oldest_first=True) == ["a_1", "a-2", "b-3"]
    assert await ids(limit=2) == ["b-3", "a-2"]
    assert await ids(limit=0) == []
    assert await ids(statuses=frozenset({Status.PENDING, Status.REJECTED})) == ["b-3", "a_1"]
    assert await ids(statuses=frozenset()) == []
    assert await ids(type="deploy") == ["a-2"]
    assert await ids(requested_by="other") == ["b-3"]
    assert await ids(run_id="r1") == ["a_1"]
    assert await ids(id_prefix="A") == ["a-2", "a_1"]
    assert await ids(id_prefix="a_") == ["a_1"]
    assert await ids(id_prefix="%") == await ids(id_prefix="\\") == []
    assert await ids(since=START + timedelta(seconds=1)) == ["b-3", "a-2"]
    assert await ids(since=START + timedelta(seconds=1, microseconds=1)) == ["b-3"]
    assert await ids(type="payment", requested_by="invoice-agent", limit=5) == ["a_1"]
    assert await ids(type="\ud800") == []


async def test_until_ends_before_its_moment(ledger, clock):
    """`since` and `until` of two neighbours hold every request once."""
    await accept(ledger, make_ask("a"))
    clock.advance(1)
    await accept(ledger, make_ask("b"))
    middle = START + timedelta(seconds=1)
    assert [one.id for one in await ledger.find(Filter(until=middle))] == ["a"]
    assert [one.id for one in await ledger.find(Filter(since=middle))] == ["b"]


async def test_a_text_is_found_in_what_was_said_and_nowhere_else(ledger):
    """Words, keys and values of the details, reasons and remarks; never the names of fields."""
    await accept(
        ledger,
        make_ask(
            "pay-1",
            details={
                "note": 'Say "hi" to 100% of Ünal\\Co_\n',
                "to": {"Name": "Zoë"},
                "sums": [17.5, 250],
            },
        ),
    )
    request = await accept(ledger, make_ask("pay-2", details={"to": "nobody"}))
    await accept(ledger, make_vote(request, answer=Answer.REJECT, reason="wrong IBAN"))
    await accept(ledger, c.Comment(id="pay-1", comment_id="c-1", author="bo", text="see ticket 99"))

    async def ids(text):
        return [found.id for found in await ledger.find(Filter(text=text))]

    for text in ('"HI"', "100%", "Ünal\\", "co_\n", "zoë", "name", "17.5", "250", "TICKET 9"):
        assert await ids(text) == ["pay-1"], text
    assert await ids("iban") == await ids("nobody") == ["pay-2"]
    assert await ids("PAY-") == ["pay-2", "pay-1"]
    for text in ("zoË", "policy_sha256", "pending", "100_", "_%", "\ud800", "\0"):
        assert await ids(text) == [], text
    one = Filter(text="pay", statuses=frozenset({Status.PENDING}), limit=1)
    assert [found.id for found in await ledger.find(one)] == ["pay-1"]


@pytest.mark.parametrize("oldest_first", [False, True])
@pytest.mark.parametrize("statuses", [None, frozenset({Status.PENDING, Status.APPROVED})])
async def test_pages_hold_every_request_once_whatever_is_asked_meanwhile(
    ledger, clock, oldest_first, statuses
):
    """Going on from the last request of a page skips none and repeats none, in either order."""
    for number in range(7):
        request = await accept(ledger, make_ask(f"{'aBcDeFg'[number]}-{number}"))
        if number % 2:
            await accept(ledger, make_vote(request))
        clock.advance(number % 3)  # some of the same moment
    before = [
        one.id for one in await ledger.find(Filter(statuses=statuses, oldest_first=oldest_first))
    ]
    assert len(before) == 7
    read, after = [], None
    while page := await ledger.find(
        Filter(statuses=statuses, oldest_first=oldest_first, after=after, limit=2)
    ):
        read += [one.id for one in page]
        after = Place(created_at=page[-1].created_at, id=page[-1].id.upper())
        clock.advance(1)
        await accept(ledger, make_ask(f"new-{len(read)}"))
        if len(read) > 20:
            break
    assert [id for id in read if not id.startswith("new")] == before
    assert len(set(read)) == len(read)
    if not oldest_first:
        assert read == before


async def test_a_page_is_found_by_an_index_whatever_it_is_filtered_by(workspace, clock):
    """No filter reads the whole table; only a text that is searched for does."""
    ledger = SqliteLedger(workspace / "l.db", clock)
    try:
        await accept(ledger, make_ask("pay-1"))
        place = Place(created_at=START, id="pay-1")
        for filter in (
            {},
            {"type": "payment"},
            {"requested_by": "bot"},
            {"run_id": "r-1"},
            {"statuses": frozenset({Status.PENDING})},
            {"since": START, "until": START},
        ):
            for after in (None, place):
                plan = _plan(workspace / "l.db", Filter(**filter, after=after, limit=5))
                assert "USING INDEX requests_by" in plan, plan
                assert "SCAN requests\n" not in plan, plan
    finally:
        await ledger.aclose()


def _plan(path, filter):
    with closing(sqlite3.connect(path)) as connection:
        statements = []
        connection.set_trace_callback(statements.append)
        sqlite_find.find(connection, filter)
        connection.set_trace_callback(None)
        found = connection.execute(f"EXPLAIN QUERY PLAN {statements[0]}")
        return "\n".join(detail for *_, detail in found) + "\n"


async def test_what_is_due_is_found_to_the_microsecond(ledger, clock):
    """`due_before` finds what time will bring until then: reminders and deadlines, not the done."""
    clock.advance(0.000123)
    await accept(ledger, make_ask("late", timeout_s=100))
    await accept(
        ledger, make_ask("soon", remind_s=(10,), escalate=(Escalation(after_s=20, to=("x",)),))
    )
    await executed(ledger, "done")

    async def due(seconds, microseconds=0):
        at = clock.now() + timedelta(seconds=seconds, microseconds=microseconds)
        return [found.id for found in await ledger.find(Filter(due_before=at, oldest_first=True))]

    assert await due(10, -1) == []
    assert await due(10) == ["soon"]
    assert await due(100, -1) == ["soon"]
    assert await due(100) == ["late", "soon"]
    clock.advance(10)
    await accept(ledger, c.Remind(id="soon", number=0))
    assert await due(9) == []
    assert await due(10) == ["soon"]


async def test_the_order_of_one_moment_is_stable(ledger):
    """Requests of the same microsecond are ordered by id."""
    for id in ("b", "a", "c"):
        await accept(ledger, make_ask(id))
    assert [found.id for found in await ledger.find(Filter())] == ["c", "b", "a"]
    assert [found.id for found in await ledger.find(Filter(limit=2, oldest_first=True))] == [
        "a",
        "b",
    ]


# the end


async def test_closing_tells_who_waits_and_who_follows(ledger):
    """Waiters and followers of this process end with NotOpen: nobody cancelled their own task."""
    request = await accept(ledger, make_ask())
    waiter = await waiting(ledger, request)

    async def follow():
        async with aclosing(ledger.changes(1, follow=True)) as changes:
            async for _ in changes:
                pass

    follower = asyncio.create_task(follow())
    await until(lambda: ledger._followers)
    await ledger.aclose()
    done = await asyncio.wait_for(asyncio.gather(waiter, follower, return_exceptions=True), 5)
    assert [type(one) for one in done] == [NotOpen] * 2
    ledger.hint()
    await asyncio.sleep(0)


async def test_what_was_submitted_before_closing_is_stored(ledger):
    """Closing waits for the commits that are under way."""
    tasks = [asyncio.create_task(ledger.submit(make_ask(f"p-{n}"))) for n in range(30)]
    await asyncio.sleep(0)
    await ledger.aclose()
    assert [receipt.kept for receipt in await asyncio.gather(*tasks)] == [Kept.ACCEPTED] * 30


async def test_after_closing_nothing_is_stored(ledger):
    """A submit after the end is a StorageError; closing twice is fine."""
    await accept(ledger, make_ask())
    await ledger.aclose()
    await ledger.aclose()
    with pytest.raises(StorageError, match="closed"):
        await ledger.submit(make_ask("two"))


async def test_capabilities_are_words(ledger):
    """An operator can read what the adapter promises."""
    said = ledger.capabilities()
    assert said.durability
    assert said.processes
    assert said.ordered_feed


# several processes


async def test_what_another_process_committed_unheard_counts_for_who_begins_to_wait(two):
    """Without a bell: who asked, and waits later, is told what was decided in between."""
    here, there = two
    requests = [await accept(here, make_ask(f"pay-{n}")) for n in range(3)]
    for request in requests:
        await accept(there, make_vote(request))
    waits = [here.wait(one.id, after_rev=one.rev, timeout_s=60) for one in requests]
    async with asyncio.timeout(5):
        assert {one.status for one in await asyncio.gather(*waits)} == {Status.APPROVED}


async def test_a_hint_wakes_for_what_another_process_committed(two):
    """Waiters and followers of one ledger hear of the other's commit after a hint."""
    ours, theirs = two
    request = await accept(theirs, make_ask())
    task = await waiting(ours, request)
    follower = asyncio.create_task(anext(ours.changes(1, follow=True)))
    await until(lambda: ours._followers)
    voted = await accept(theirs, make_vote(request))
    ours.hint()
    ours.hint()
    assert await asyncio.wait_for(task, 5) == voted
    assert (await asyncio.wait_for(follower, 5)).seq == 2


async def test_a_follower_alone_hears_of_hints(two):
    """A ledger that only ever followed is woken too."""
    ours, theirs = two
    follower = asyncio.create_task(anext(ours.changes(0, follow=True)))
    await until(lambda: ours._followers)
    await accept(theirs, make_ask())
    ours.hint()
    assert (await asyncio.wait_for(follower, 5)).seq == 1


async def test_who_follows_gets_every_event_once_however_far_behind(two):
    """From what is at hand, from the file, or from both, whichever process committed it."""
    ours, theirs = two
    got: list[int] = []
    async with aclosing(ours.changes(0, follow=True)) as changes:
        for round in range(8):
            many = 90 if round % 2 else 1
            for number in range(many):
                await accept(ours, make_ask(f"ours-{round}-{number}"))
                await accept(theirs, make_ask(f"theirs-{round}-{number}"))
            ours.hint()
            head = (await theirs.head()).seq
            while not got or got[-1] < head:
                got.append((await asyncio.wait_for(anext(changes), 5)).seq)
    assert got == list(range(1, (await ours.head()).seq + 1))
    assert [one.seq async for one in ours.changes(0, follow=False)] == got


async def test_a_hint_before_anything_happened_does_nothing(two):
    """Hints may come at any time."""
    two[0].hint()
    await accept(two[0], make_ask())
    two[0].hint()
    assert (await two[0].head()).seq == 1


async def test_reads_are_strong_across_processes(two):
    """What one committed, the other reads without any hint."""
    ours, theirs = two
    request = await accept(theirs, make_ask(key="k"))
    assert await ours.get("pay-1") == await ours.get_by_key("k") == request
    voted = await accept(ours, make_vote(request))
    assert await theirs.wait("pay-1", after_rev=1, timeout_s=None) == voted
    assert await ours.verify() == await theirs.head()


async def test_the_register_is_chained_with_the_requests(ledger):
    assert await ledger.register() == Register()
    await accept(ledger, make_ask("pay-1"))
    receipt = await ledger.record(c.RecordReviewers(sha256="a", changes=("alice",)))
    assert receipt.kept is Kept.ACCEPTED
    assert (await ledger.register()) == receipt.register
    await accept(ledger, make_ask("pay-2"))
    events = [recorded.event async for recorded in ledger.changes(0, follow=False)]
    assert [event.kind for event in events] == [
        Kind.REQUESTED,
        Kind.REVIEWERS_CHANGED,
        Kind.REQUESTED,
    ]
    assert isinstance(await ledger.verify(), Head)
    assert len(await ledger.find(Filter())) == 2
    assert await ledger.get(events[1].request_id) is None
    again = await ledger.record(c.RecordReviewers(sha256="a"))
    assert again.kept is Kept.DUPLICATE


def make_grant(**changes):
    return c.MakeGrant(
        grant=Grant(
            **{
                "grant_id": "grant-1",
                "by": "alice",
                "assurance": Assurance.AUTHENTICATED,
                "type": "payment",
                "requested_by": "agent",
                "bounds": (),
                "uses": 3,
                "made_at": START,
                "expires_at": START + timedelta(days=1),
            }
            | changes
        )
    )


async def test_of_many_uses_of_a_grant_only_as_many_count_as_it_has(ledger, clock):
    await ledger.record(make_grant())
    limit = GrantLimit(uses=9, within_s=86400)
    uses = [c.UseGrant(grant_id="grant-1", request_id=f"pay-{n}", limit=limit) for n in range(8)]
    receipts = await asyncio.gather(*(ledger.record(use) for use in uses))
    assert sum(receipt.kept is Kept.ACCEPTED for receipt in receipts) == 3


async def test_of_many_desks_that_see_an_alert_one_records_it(ledger, clock):
    def seen(*, fires):
        return c.RecordAlert(name="pending", fires=fires, message="", value=11, threshold=10)

    for fires in (True, False):
        receipts = await asyncio.gather(*(ledger.record(seen(fires=fires)) for _ in range(6)))
        assert sum(receipt.kept is Kept.ACCEPTED for receipt in receipts) == 1
        assert (await ledger.register()).alert("pending").fires is fires
        clock.advance(ALERT_STANDS.total_seconds())
    history = await ledger.history(REGISTER_ID)
    assert [one.event.kind for one in history] == [Kind.ALERT_FIRED, Kind.ALERT_ENDED]
    assert isinstance(await ledger.verify(), Head)


USE = c.UseGrant(grant_id="grant-1", request_id="pay-1", limit=GrantLimit(uses=2, within_s=1800))


async def granted(ledger, use=USE, **changes):
    """Return a vote under a grant whose use is on record, and which nobody has handed in yet."""
    asked = await accept(ledger, make_ask(requested_by="agent", details={}))
    await ledger.record(make_grant(**changes))
    await ledger.record(use)
    vote = make_vote(asked, assurance=Assurance.AUTHENTICATED)
    return replace(vote, channel="grant", proof="grant-1", grant=use)


async def test_a_grant_that_still_holds_at_the_commit_gives_the_vote(ledger):
    vote = await granted(ledger)
    assert (await accept(ledger, vote)).status is Status.APPROVED
    await ledger.record(c.RevokeGrant(grant_id="grant-1", by="bob"))
    await refuse(ledger, vote, Kept.DUPLICATE)  # what it approved before stays approved


async def unproved(ledger, vote, says):
    """Submit a vote whose grant does not hold; it is on record, and a person can still answer."""
    receipt = await ledger.submit(vote)
    assert (receipt.kept, receipt.request.status) == (Kept.UNPROVED, Status.PENDING)
    assert receipt.request.votes == ()
    assert says in receipt.message
    event = (await ledger.history("pay-1"))[-1].event
    assert (event.kind, event.actor) == (Kind.REFUSED, "alice")
    assert event.data == {"reviewer": "alice", "channel": "grant", "problem": receipt.message}
    assert await ledger.get("pay-1") == receipt.request
    assert isinstance(await ledger.verify(), Head)
    approved = await accept(ledger, make_vote(receipt.request, "bob"))
    assert approved.status is Status.APPROVED


async def test_a_grant_revoked_between_its_use_and_its_vote_approves_nothing(ledger):
    vote = await granted(ledger)
    await ledger.record(c.RevokeGrant(grant_id="grant-1", by="bob"))
    await unproved(ledger, vote, "grant-1 was revoked by bob before its answer was stored")


async def test_a_grant_revoked_in_the_same_transaction_approves_nothing(ledger):
    """What was submitted first is judged first, however many share one commit."""
    vote = await granted(ledger)
    revoke = ledger.record(c.RevokeGrant(grant_id="grant-1", by="bob"))
    _, receipt = await asyncio.gather(revoke, ledger.submit(vote))
    assert (receipt.kept, receipt.request.status) == (Kept.UNPROVED, Status.PENDING)


@pytest.mark.parametrize("ends", [{"expires_at": START + timedelta(minutes=30)}, {}])
async def test_a_grant_over_between_its_use_and_its_vote_approves_nothing(ledger, clock, ends):
    """By its own end, or by the time the rule allows it; to the microsecond."""
    vote = await granted(ledger, **ends)
    clock.advance(1800)
    await unproved(ledger, vote, "grant-1 was over before its answer was stored")


async def test_a_grant_holds_until_the_moment_of_its_end(ledger, clock):
    vote = await granted(ledger)
    clock.advance(1800 - 1e-6)
    assert (await accept(ledger, vote)).status is Status.APPROVED


async def test_a_clock_set_back_prolongs_no_grant(ledger, clock):
    """The register has seen a later time, and the record never goes back."""
    vote = await granted(ledger)
    clock.advance(1800)
    await ledger.record(c.RecordReviewers(sha256="a"))
    clock.jump(-1800)
    await unproved(ledger, vote, "grant-1 was over")


@pytest.mark.parametrize(
    ("use", "vote", "says"),
    [
        ({"request_id": "pay-2"}, {}, "was not used for this request"),
        ({}, {"grant": replace(USE, grant_id="grant-9")}, "grant-9 was not used"),
        ({}, {"grant": replace(USE, limit=GrantLimit(uses=0))}, "was used up"),
    ],
)
async def test_a_vote_names_a_grant_that_was_used_for_it(ledger, use, vote, says):
    made = await granted(ledger, replace(USE, **use))
    await unproved(ledger, replace(made, **({"grant": USE} | vote)), says)


async def test_a_vote_under_a_grant_is_its_makers_and_no_surer(ledger):
    made = await granted(ledger, assurance=Assurance.EDITED)
    await unproved(ledger, made, "grant-1 is alice's, and only edited")


async def test_a_vote_under_a_grant_is_for_what_it_covers(ledger):
    made = await granted(ledger, type="deploy")
    await unproved(ledger, made, "does not cover it: it is for 'deploy'")


async def test_what_was_heard_is_what_is_stored(ledger):
    request = await executed(ledger)
    heard = ledger.heard(request.id)
    assert heard.request == await ledger.get(request.id)
    assert list(heard.history) == await ledger.history(request.id)


async def test_what_was_not_heard_of_is_not_made_up(ledger):
    assert ledger.heard("pay-1") is None


async def test_a_large_request_is_not_kept_in_memory(ledger):
    request = await accept(ledger, make_ask("pay-1", details={"text": "x" * 100_000}))
    assert ledger.heard(request.id) is None


async def test_what_another_process_committed_is_heard_with_a_hint(two):
    one, other = two
    request = await accept(one, make_ask("pay-1"))
    await accept(other, make_vote(request))
    one.hint()
    await until(lambda: one.heard("pay-1").request.status is Status.APPROVED)
    assert list(one.heard("pay-1").history) == await one.history("pay-1")


async def test_a_gap_in_what_was_heard_is_forgotten_not_filled(two):
    one, other = two
    request = await accept(one, make_ask("pay-1"))
    request = await accept(other, make_vote(request))
    await accept(one, make_claim(request))  # one never heard of the vote
    heard = one.heard("pay-1")
    assert heard is None or list(heard.history) == await one.history("pay-1")


async def test_a_late_announcement_never_returns_an_older_state(two):
    """A waiter that has read what another process committed is not woken by our own older commit."""
    ours, theirs = two
    request = await accept(theirs, make_ask(stages=(Stage(quorum=9),)))
    voted = await accept(theirs, make_vote(request, "alice"))
    task = await waiting(ours, voted)
    ours._resolve("pay-1", request)
    await asyncio.sleep(0)
    assert not task.done()
    voted = await accept(ours, make_vote(voted, "bob"))
    assert await asyncio.wait_for(task, 5) == voted


async def test_what_was_looked_at_before_it_was_announced_is_not_heard_of_too_late(
    workspace, clock
):
    """The loop was busy: another process answered before our own commit was announced here."""
    one, other = (SqliteLedger(workspace / "l.db", clock) for _ in range(2))
    await accept(one, make_ask("pay-0"))
    done = threading.Event()

    async def answer() -> None:
        while (request := await other.get("pay-1")) is None:
            await asyncio.sleep(0.001)
        await accept(other, make_vote(request))
        await other.aclose()
        done.set()

    answering = threading.Thread(target=lambda: asyncio.run(answer()))
    answering.start()
    asking = asyncio.create_task(one.submit(make_ask("pay-1")))
    await asyncio.sleep(0)  # it is handed in
    one.hint()
    done.wait(10)  # and the loop does nothing until all is committed
    await asking
    await asyncio.sleep(0)
    heard = one.heard("pay-1")
    assert heard.request.status is Status.APPROVED
    assert list(heard.history) == await one.history("pay-1")
    answering.join()
    await one.aclose()


# joins, limits and counts


def same(id, **changes):
    return replace(make_ask(id), **changes)


async def test_a_join_is_one_with_what_waits_and_never_with_what_does_not(ledger, clock):
    """The identical action as asked, pending, without a key; else it is a request of its own."""
    one = await accept(ledger, same("one"))
    receipt = await ledger.submit(same("two", join=True))
    assert (receipt.kept, receipt.request.id) == (Kept.DUPLICATE, one.id)
    assert (await accept(ledger, same("three"))).id == "three"  # without join it never joins
    other = replace(make_ask("x").action, details={"amount": 2})
    assert (await accept(ledger, ask_for("four", other, join=True))).id == "four"
    for id in ("one", "three"):
        await accept(ledger, make_vote(await ledger.get(id)))
    assert (await accept(ledger, same("five", join=True))).id == "five"


async def test_nothing_joins_a_request_with_a_key_or_past_its_deadline(ledger, clock):
    await accept(ledger, same("keyed", key="INV-1"))
    late = await accept(ledger, same("late", join=True))
    clock.advance((late.expires_at - clock.now()).total_seconds())
    assert (await accept(ledger, same("fresh", join=True))).id == "fresh"


async def test_joins_at_the_same_moment_make_one_request(ledger):
    receipts = await asyncio.gather(*(ledger.submit(same(f"r-{n}", join=True)) for n in range(20)))
    assert {receipt.request.id for receipt in receipts} == {"r-0"}
    assert len(await ledger.find(Filter())) == 1


def ask_for(id, action, **changes):
    return replace(make_ask(id), action=action, payload_sha256=payload_sha256(action), **changes)


async def test_no_more_may_wait_of_one_requester_than_its_limit(ledger, clock):
    """The next is refused and changes nothing; answers make room; others are not held up."""
    asks = [same(f"r-{n}", max_pending=2) for n in range(5)]
    kept = [receipt.kept for receipt in await asyncio.gather(*map(ledger.submit, asks))]
    assert kept == [Kept.ACCEPTED] * 2 + [Kept.TOO_MANY] * 3
    head = await ledger.head()
    receipt = await ledger.submit(asks[4])
    assert "2 requests waiting, and at most 2 may wait" in receipt.message
    assert (await ledger.head(), await ledger.get("r-4")) == (head, None)
    assert (await ledger.submit(asks[0])).kept is Kept.DUPLICATE  # asking again is no new request
    other = replace(make_ask("x").action, requested_by="other")
    await accept(ledger, ask_for("other", other, max_pending=2))
    await accept(ledger, make_vote(await ledger.get("r-0")))
    await accept(ledger, asks[4])


async def test_what_is_overdue_does_not_count_as_waiting(ledger, clock):
    one = await accept(ledger, same("one", max_pending=1))
    clock.advance((one.expires_at - clock.now()).total_seconds())
    await accept(ledger, same("two", max_pending=1))


async def test_what_was_only_reminded_of_still_counts_as_waiting(ledger, clock):
    need = Requirement(timeout_s=3600, remind_s=(60,))
    verdict = replace(make_ask("x").verdict, requirement=need)
    await accept(ledger, same("one", verdict=verdict, max_pending=1))
    clock.advance(120)
    assert (await ledger.submit(same("two", max_pending=1))).kept is Kept.TOO_MANY
    assert (await ledger.count(clock.now() - timedelta(hours=1))).oldest_pending_s == 120


async def test_nobody_asks_more_often_than_its_limit(ledger, clock):
    """Counted over a minute that moves."""
    for n in range(3):
        await accept(ledger, same(f"r-{n}", max_per_minute=3))
        clock.advance(10)
    receipt = await ledger.submit(same("r-3", max_per_minute=3))
    assert receipt.kept is Kept.TOO_MANY
    assert "3 times within a minute" in receipt.message
    clock.advance(30)
    await accept(ledger, same("r-3", max_per_minute=3))
    assert (await ledger.submit(same("r-4", max_per_minute=3))).kept is Kept.TOO_MANY


async def test_counts_say_how_the_desk_stands(ledger, clock):
    """What waits at any age; what was decided of what was asked lately; overdue is expired."""
    assert await ledger.count(clock.now()) == Counts()
    for n in range(6):
        await accept(ledger, same(f"old-{n}"))
    clock.advance(3600)  # they are overdue, and nobody has recorded it
    start = clock.now()
    asked = [await accept(ledger, same(f"r-{n}")) for n in range(5)]
    await accept(ledger, make_vote(asked[0]))
    await accept(ledger, make_vote(asked[1], answer=Answer.REJECT))
    await accept(ledger, c.Cancel(id=asked[2].id, by="agent"))
    clock.advance(60)
    assert await ledger.count(start) == Counts(
        pending=2, oldest_pending_s=60, approved=1, rejected=1, expired=0
    )
    assert (await ledger.count(START)).expired == 6
    clock.advance(3600)
    assert (await ledger.count(start)).expired == 2
    clock.advance(86400)  # the approval was never used
    assert await ledger.count(start) == Counts(rejected=1, expired=3)


async def test_everything_is_added_up_as_of_one_event(ledger, clock):
    """What waits, by type, rule and requester how it was decided, and how soon."""
    for number, type in enumerate(["payment", "payment", "deploy", "deploy", "deploy"]):
        await accept(ledger, ask_for(f"r-{number}", make_ask(type=type).action))
        clock.advance(1)
    clock.advance(60)
    await accept(ledger, make_vote(await ledger.get("r-0")))
    await accept(ledger, make_claim(await ledger.get("r-0")))
    await accept(ledger, make_vote(await ledger.get("r-2"), answer=Answer.REJECT))
    await accept(ledger, c.Cancel(id="r-3", by="invoice-agent"))
    clock.advance(3600)
    await accept(ledger, c.Expire(id="r-4"))
    tally = await ledger.tally()
    assert tally.seq == (await ledger.head()).seq
    assert tally.asked == {"payment": 2, "deploy": 3}
    assert tally.decided == {
        (Decided.APPROVED, "payment"): 1,
        (Decided.REJECTED, "deploy"): 1,
        (Decided.CANCELLED, "deploy"): 1,
        (Decided.EXPIRED, "deploy"): 1,
    }
    assert tally.by_requester[Decided.APPROVED, "invoice-agent"] == 1
    assert tally.by_rule.total() == 4
    assert list(tally.pending) == ["r-1"]
    assert tally.oldest_pending_s(clock.now()) == pytest.approx(3664)
    assert sum(tally.times) == 2  # only people's answers
    assert tally.times[BOUNDS_S.index(300.0)] == 2
    assert tally.times_s == pytest.approx(65 + 63)
    assert tally.share(Decided.REJECTED) == pytest.approx(1 / 3)


async def test_ever_new_names_are_added_up_under_one(ledger):
    for number in range(60):
        await accept(ledger, make_ask(f"r-{number}", type=f"type-{number}"))
    tally = await ledger.tally()
    assert len(tally.asked) == 51
    assert (tally.asked["type-0"], tally.asked[OTHER]) == (1, 10)


async def test_the_trace_a_request_was_asked_in_is_kept_with_it(ledger):
    """In the record and in its first event; it is no part of what an approval binds to."""
    trace = Trace(traceparent=f"00-{'4' * 32}-{'a' * 16}-01", tracestate="k=v")
    request = await accept(ledger, replace(make_ask(), trace=trace))
    assert request.trace == trace == (await ledger.get("pay-1")).trace
    assert request.payload_sha256 == make_ask().payload_sha256
    (asked,) = await ledger.history("pay-1")
    assert asked.event.data["traceparent"] == trace.traceparent
    assert asked.event.data["tracestate"] == "k=v"
    again = await ledger.submit(replace(make_ask(), trace=None))
    assert (again.kept, again.request.trace) == (Kept.DUPLICATE, trace)


async def test_what_was_stored_before_there_were_traces_is_read(ledger):
    """A state without the field is a request without a trace."""
    request = await accept(ledger, make_ask())
    stored = chain.encode_request(request)
    before = stored.replace(b',"trace":null', b"")
    assert before != stored
    assert chain.decode_request(before) == request


async def test_figures_are_of_what_was_asked_since(ledger, clock):
    """Counted from the requests alone, the same by every ledger; see `core.figures`."""
    await executed(ledger, "a-1")
    clock.advance(10)
    request = await accept(ledger, make_ask("a-2", requested_by="other"))
    await accept(ledger, make_vote(request, answer=Answer.REJECT))
    await accept(ledger, make_ask("a-3"))
    clock.advance(5)
    every = await ledger.figures(None)
    assert every["by_status"] == {"executed": 1, "rejected": 1, "pending": 1}
    assert every["pending"] == {"count": 1, "oldest_s": 5.0}
    assert every["by_requester"] == {"invoice-agent": 2, "other": 1}
    late = await ledger.figures(START + timedelta(seconds=10))
    assert late["by_status"] == {"rejected": 1, "pending": 1}


async def test_trends_say_what_became_of_what_was_asked(ledger, clock):
    """Waiting over time, how long it took, and rates; what a grant answered took nobody any time."""
    await accept(ledger, make_ask("before", timeout_s=100_000))
    clock.advance(1000)
    since = clock.now()
    asked = [await accept(ledger, make_ask(f"f-{n}", timeout_s=5000)) for n in range(5)]
    clock.advance(30)
    await accept(ledger, make_vote(asked[0], "alice"))
    clock.advance(370)
    await accept(ledger, make_vote(asked[1], "bob", answer=Answer.REJECT))
    await accept(ledger, c.Cancel(id=asked[2].id, by="agent"))
    await accept(ledger, await granted(ledger))
    clock.advance(600)
    found = await ledger.trends(since, 6)
    assert (found.asked, found.approved, found.rejected, found.expired) == (6, 2, 1, 0)
    assert found.waiting == (6, 5, 3, 3, 3, 3)  # every 200 s
    assert found.took == (1, 0, 1, 0, 0, 0, 0)
    assert (found.median_s, found.p90_s) == (400, 400)
    assert found.by_rule == (Rate(name="large-payment", asked=6, approved=2, rejected=1),)
    assert found.by_requester == (
        Rate(name="invoice-agent", asked=5, approved=1, rejected=1),
        Rate(name="agent", asked=1, approved=1),
    )
    assert found.by_reviewer == (
        Rate(name="alice", asked=1, approved=1),
        Rate(name="bob", asked=1, rejected=1),
    )
    clock.advance(5000)  # nobody answered the last two, and nobody has recorded that
    later = await ledger.trends(since, 2)
    assert (later.expired, later.waiting) == (2, (6, 1))
    nothing = await ledger.trends(clock.now(), 2)
    assert (nothing.asked, nothing.median_s, nothing.by_rule) == (0, None, ())
