"""Commands that arrive together share a transaction, and nobody can tell."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hitl_vault.adapters.ledger import sqlite_rows as rows
from hitl_vault.adapters.ledger.memory import MemoryLedger
from hitl_vault.adapters.ledger.sqlite import SqliteLedger
from hitl_vault.core import commands as c
from hitl_vault.core.model import Answer, Request, Status
from hitl_vault.errors import LedgerCorrupt
from hitl_vault.ports import Filter, Kept
from hitl_vault.testing.clock import FakeClock
from hitl_vault.testing.samples import make_ask, make_claim, make_finish, make_vote


@pytest.fixture
async def ledger(workspace):
    made = SqliteLedger(workspace / "l.db", FakeClock())
    yield made
    await made.aclose()


async def together(ledger, commands):
    """Submit while another process holds the file, so that all but the first share a commit."""
    with closing(sqlite3.connect(ledger._path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        made = [asyncio.ensure_future(ledger.submit(one)) for one in (make_ask("first"), *commands)]
        await asyncio.sleep(0)  # all are handed in
        other.execute("ROLLBACK")
    _, *receipts = await asyncio.gather(*made, return_exceptions=True)
    return receipts


async def as_asked(ask) -> Request:
    """Return the request an ask will make, so that it can be answered before it is there."""
    aside = MemoryLedger(FakeClock())
    receipt = await aside.submit(ask)
    await aside.aclose()
    return receipt.request


async def test_a_whole_life_fits_into_one_transaction(ledger):
    request = await as_asked(make_ask())
    approve, claim = make_vote(request), make_claim(request)
    receipts = await together(ledger, [make_ask(), approve, claim, make_finish(request)])
    assert [receipt.kept for receipt in receipts] == [Kept.ACCEPTED] * 4
    assert (await ledger.get("pay-1")).status is Status.EXECUTED
    assert [one.event.rev for one in await ledger.history("pay-1")] == [1, 2, 2, 3, 4]
    assert await ledger.verify() == await ledger.head()


@pytest.mark.parametrize("number", [1, 2, 5, 63, 64, 65, 85, 300])
async def test_any_number_of_asks_is_stored_in_their_order(ledger, number):
    receipts = await together(ledger, [make_ask(f"r-{n}", key=f"k-{n}") for n in range(number)])
    assert [receipt.kept for receipt in receipts] == [Kept.ACCEPTED] * number
    asked = [one.event.request_id async for one in ledger.changes(0, follow=False)]
    assert asked == ["first", *(f"r-{n}" for n in range(number))]
    again = await together(ledger, [make_vote(receipt.request) for receipt in receipts])
    assert [receipt.request.status for receipt in again] == [Status.APPROVED] * number
    assert len(await ledger.find(Filter())) == number + 1
    assert await ledger.verify() == await ledger.head()


async def test_one_key_asked_twice_is_one_request(ledger):
    receipts = await together(ledger, [make_ask("a", key="INV-1"), make_ask("b", key="INV-1")])
    assert [receipt.kept for receipt in receipts] == [Kept.ACCEPTED, Kept.DUPLICATE]
    assert [receipt.request.id for receipt in receipts] == ["a", "a"]


async def test_ids_that_differ_by_case_alone_are_one(ledger):
    receipts = await together(ledger, [make_ask("Pay-1"), make_ask("pAY-1", details={"x": 1})])
    assert [receipt.kept for receipt in receipts] == [Kept.ACCEPTED, Kept.CONFLICT]


async def test_limits_count_what_came_just_before(ledger):
    asks = [replace(make_ask(f"r-{n}"), max_pending=3) for n in range(5)]
    receipts = await together(ledger, asks)  # one more waits already
    assert [one.kept for one in receipts] == [Kept.ACCEPTED] * 2 + [Kept.TOO_MANY] * 3


@pytest.mark.parametrize("odd", ["", "\x00", "\ud800", "ſ", "a\x1eb", "é" * 200])
async def test_names_that_nothing_has_are_not_found_among_others(ledger, odd):
    known = await as_asked(make_ask("there"))
    votes = [replace(make_vote(known), id=odd), make_vote(known)]
    _, wrong, right = await together(ledger, [make_ask("there"), *votes])
    assert wrong.kept is Kept.NOT_FOUND
    assert right.kept is Kept.ACCEPTED


async def test_a_record_that_cannot_be_read_fails_its_own_command_alone(ledger, workspace):
    good = [(await ledger.submit(make_ask(id))).request for id in ("bad", "one", "two")]
    with closing(sqlite3.connect(workspace / "l.db")) as connection, connection:
        connection.execute("UPDATE requests SET state = '{\"id\": 7}' WHERE id = 'bad'")
    broken, *others = await together(ledger, [make_vote(request) for request in good])
    assert isinstance(broken, LedgerCorrupt)
    assert [receipt.kept for receipt in others] == [Kept.ACCEPTED] * 2


async def test_what_cannot_be_written_leaves_nothing_of_its_transaction(ledger, monkeypatch):
    """Also where it was to be written before the end, for one that looks at all."""
    written = rows.request_row

    def broken(request, state):
        if request.id == "bad":
            raise OverflowError("too large for the column")
        return written(request, state)

    monkeypatch.setattr(rows, "request_row", broken)
    asks = [make_ask("good"), make_ask("bad"), replace(make_ask("limited"), max_pending=9)]
    receipts = await together(ledger, asks)
    assert [type(one) for one in receipts] == [OverflowError] * 3
    assert [await ledger.get(id) for id in ("good", "bad", "limited")] == [None] * 3
    assert await ledger.verify() == await ledger.head()


_IDS = ("a", "b", "A")
_STEPS = ("ask", "keyed", "approve", "reject", "claim", "finish", "cancel", "comment")


def _command(step: str, id: str, request: Request) -> c.Command:
    made: dict[str, c.Command] = {
        "ask": make_ask(id),
        "keyed": make_ask(id, key="K"),
        "approve": make_vote(request),
        "reject": make_vote(request, "bob", Answer.REJECT),
        "claim": make_claim(request),
        "finish": make_finish(request),
        "cancel": c.Cancel(id=id, by="invoice-agent"),
        "comment": c.Comment(id=id, comment_id=f"{id}-1", author="carol", text="look"),
    }
    return replace(made[step], id=id)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(_STEPS), st.sampled_from(_IDS)), max_size=14))
def test_together_or_one_by_one_the_same_comes_of_it(tmp_path_factory, steps):
    async def both() -> None:
        folder = tmp_path_factory.mktemp("batch")
        request = await as_asked(make_ask("a"))
        commands = [_command(step, id, request) for step, id in steps]
        batched = SqliteLedger(folder / "l.db", FakeClock())
        single = MemoryLedger(FakeClock())
        try:
            receipts = await together(batched, commands)
            await single.submit(make_ask("first"))
            assert receipts == [await single.submit(one) for one in commands]
            assert await batched.find(Filter()) == await single.find(Filter())
            assert await batched.verify() == await batched.head()
            assert (await batched.head()).seq == (await single.head()).seq
        finally:
            await batched.aclose()
            await single.aclose()

    asyncio.run(both())
