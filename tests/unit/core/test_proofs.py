"""What proves a vote is judged once more at the commit, by the ledger's time."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hitl_vault.core import commands as c
from hitl_vault.core.events import Kind
from hitl_vault.core.lifecycle import MAX_REFUSED, apply
from hitl_vault.core.model import Assurance, Status
from hitl_vault.core.steps import Refusal, Step, Why
from hitl_vault.testing.clock import START
from hitl_vault.testing.samples import make_ask, make_vote

MICRO = timedelta(microseconds=1)


def asked(**changes):
    made = apply(None, make_ask(assurance=Assurance.SIGNED), START)
    return replace(made.request, **changes)


def signed(request, **changes):
    return replace(make_vote(request, assurance=Assurance.SIGNED), **changes)


def unproved(request, vote, at):
    """Hand in a vote whose proof does not count; return the sentence that is on record."""
    judged = apply(request, vote, at)
    assert isinstance(judged, Refusal), judged
    assert judged.why is Why.UNPROVED
    after = judged.step.request
    assert (after.status, after.votes, after.refused) == (Status.PENDING, (), 1)
    (event,) = judged.step.events
    assert (event.kind, event.actor) == (Kind.REFUSED, "alice")
    assert event.data["problem"] == judged.message
    return judged.message


def test_a_key_counts_until_the_microsecond_before_its_end():
    request, until = asked(), START + timedelta(minutes=5)
    vote = signed(request, valid_until=until)
    assert isinstance(apply(request, vote, until - MICRO), Step)
    says = unproved(request, vote, until)
    assert "counted until 2026-11-21 09:35:12 UTC" in says
    assert says.endswith("answer again with what is in force")


def test_a_key_counts_from_its_beginning_on():
    request = asked()
    vote = signed(request, valid_from=START)
    assert isinstance(apply(request, vote, START), Step)
    assert "counts only from" in unproved(request, replace(vote, valid_from=START + MICRO), START)


def test_a_proof_that_was_used_in_between_is_on_record():
    request = asked(spent_proofs=("one",))
    assert "used for an answer before" in unproved(request, signed(request, proof_id="one"), START)


def test_a_clock_set_back_prolongs_no_key():
    """The request has seen a later time than the clock tells now."""
    request = asked(updated_at=START + timedelta(minutes=9))
    vote = signed(request, valid_until=START + timedelta(minutes=5))
    assert "counted until" in unproved(request, vote, START)


def test_what_is_refused_without_end_is_recorded_only_so_often():
    request = asked(refused=MAX_REFUSED)
    judged = apply(request, signed(request, valid_until=START), START)
    assert (judged.why, judged.step) == (Why.UNPROVED, None)


def test_what_is_no_longer_open_is_a_conflict_and_no_late_proof():
    request = asked()
    vote = signed(request, valid_until=START + MICRO)
    done = apply(request, vote, START).request
    assert apply(done, vote, START + timedelta(minutes=1)).why is Why.DUPLICATE
    cancelled = apply(request, c.Cancel(id=request.id, by="agent"), START).request
    assert apply(cancelled, vote, START + timedelta(minutes=1)).why is Why.CONFLICT


times = st.integers(-5, 5).map(lambda n: START + timedelta(minutes=10, seconds=n))


@given(times, st.none() | times, st.none() | times)
def test_a_vote_is_counted_exactly_while_its_proof_counts(at, begins, ends):
    """Whatever the times: counted where begin <= commit < end, refused and recorded elsewhere."""
    request = asked()
    vote = signed(request, valid_from=begins, valid_until=ends)
    holds = (begins is None or begins <= at) and (ends is None or at < ends)
    judged = apply(request, vote, at)
    after = judged.request if isinstance(judged, Step) else judged.step.request
    assert (after.status is Status.APPROVED) is holds
    assert after.refused == (not holds)


@pytest.mark.parametrize("channel", ["code", "grant"])
def test_a_channel_that_promises_a_proof_comes_with_it(channel):
    request = asked()
    judged = apply(request, signed(request, channel=channel), START)
    assert (judged.why, judged.step) == (Why.REFUSED, None)
    assert "needs" in judged.message
