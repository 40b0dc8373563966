"""Whether something can be stored is known without trying at every question."""

from __future__ import annotations

import pytest

from hitl_vault.adapters.ledger.sqlite import SqliteLedger
from hitl_vault.adapters.storing import Storing, try_in
from hitl_vault.errors import StorageError
from hitl_vault.testing.clock import FakeClock
from hitl_vault.testing.samples import make_ask


class Place:
    """A place that is tried, and how often it was."""

    def __init__(self):
        self.tries, self.problem = 0, None

    async def attempt(self):
        self.tries += 1
        if self.problem is not None:
            raise self.problem


@pytest.fixture
def place():
    return Place()


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def known(place, clock):
    return Storing(place.attempt, clock.monotonic)


async def test_it_is_tried_every_five_seconds_at_most(place, clock, known):
    for _ in range(100):
        await known.check()
        clock.advance(0.1)
    assert place.tries == 2


async def test_a_failed_try_stands_until_a_later_one_works(place, clock, known):
    place.problem = StorageError("full")
    for _ in range(3):
        with pytest.raises(StorageError, match="full"):
            await known.check()
    place.problem = None
    clock.advance(5)
    await known.check()
    assert place.tries == 2


async def test_what_could_not_be_stored_is_known_at_once_and_until_something_is(place, known):
    await known.check()
    known.failed(StorageError("full"))
    with pytest.raises(StorageError, match="full"):
        await known.check()
    known.stored()
    await known.check()
    assert place.tries == 1


async def test_a_try_that_works_ends_a_failure_where_nobody_asks_any_more(place, clock, known):
    """Callers are sent elsewhere meanwhile."""
    known.failed(StorageError("locked"))
    await known.check()
    assert place.tries == 1


def test_a_try_leaves_nothing_behind(workspace):
    try_in(workspace)
    assert list(workspace.iterdir()) == []


async def test_a_ledger_that_failed_is_tried_for_real_and_stays_as_it_was(workspace):
    ledger = SqliteLedger(workspace / "ledger.db", FakeClock())
    await ledger.submit(make_ask("r-1"))
    head = await ledger.head()
    ledger._storing.failed(StorageError("full"))
    await ledger.check_storing()
    assert await ledger.head() == head == await ledger.verify()
    await ledger.submit(make_ask("r-2"))
    await ledger.aclose()
