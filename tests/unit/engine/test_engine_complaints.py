"""The log says what does not work without filling itself."""

from __future__ import annotations

import logging

import pytest

from hitl_vault.engine.complaints import ROUNDS, Complaints, tried
from hitl_vault.errors import StorageError
from hitl_vault.testing.clock import FakeClock

_log = logging.getLogger(__name__)


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def notes(clock):
    return Complaints(_log, clock.monotonic, failing="%s fails", working="%s works again")


def test_a_problem_is_told_once_and_then_every_five_minutes(clock, notes, caplog):
    for _ in range(601):
        notes.failed("a", "full")
        clock.advance(1)
    assert caplog.messages == ["a fails: full"] * 3


def test_another_problem_is_told_at_once_and_two_in_turn_are_not_told_for_ever(notes, caplog):
    for _ in range(50):
        notes.failed("a", "full")
        notes.failed("a", "locked")
    assert caplog.messages == ["a fails: full", "a fails: locked"]


def test_problems_that_never_are_the_same_do_not_fill_the_log(notes, caplog):
    for number in range(1000):
        notes.failed("a", f"problem {number}")
    assert len(caplog.messages) < 10


def test_what_works_again_is_told_once_and_a_new_problem_at_once(notes, caplog):
    notes.worked("a")
    notes.failed("a", "full")
    notes.failed("b", "full")
    notes.worked("a")
    notes.worked("a")
    notes.failed("a", "full")
    assert caplog.messages == ["a fails: full", "b fails: full", "a works again", "a fails: full"]


async def test_rounds_with_nothing_to_store_do_not_mean_that_it_works_again(clock, caplog):
    complaints = Complaints(_log, clock.monotonic, **ROUNDS)

    async def full():
        raise StorageError("full")

    async def idle():
        clock.advance(1)

    for _ in range(20):
        await tried(full, complaints, "a round of the desk")
        await tried(idle, complaints, "a round of the desk")
    assert len(caplog.messages) == 1
    for _ in range(60):
        await tried(idle, complaints, "a round of the desk")
    assert caplog.messages[1:] == ["a round of the desk can be finished again"]


async def test_an_error_of_ours_is_told_with_where_it_was(clock, caplog):
    complaints = Complaints(_log, clock.monotonic, **ROUNDS)

    async def wrong():
        raise KeyError("x")

    await tried(wrong, complaints, "a round of the desk")
    await tried(wrong, complaints, "a round of the desk")
    assert len(caplog.records) == 1
    assert caplog.records[0].exc_info
