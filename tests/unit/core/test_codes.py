"""One-time codes: one answer, one payload, few tries, for a while."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from hitl_vault.core import commands as c
from hitl_vault.core.codes import CHANNEL, MAX_TRIES, open_codes
from hitl_vault.core.events import Kind
from hitl_vault.core.lifecycle import MAX_REFUSED, apply
from hitl_vault.core.model import Assurance, Status
from hitl_vault.core.steps import Refusal, Step
from hitl_vault.testing.clock import START
from hitl_vault.testing.samples import make_ask, make_vote

CODE = c.IssueCode(id="pay-1", code_id="code-1", reviewer="alice", valid_s=600)


def do(request, command, now=START):
    judged = apply(request, command, now)
    assert isinstance(judged, Step), judged
    return judged.request


@pytest.fixture
def request_():
    return do(do(None, make_ask()), CODE)


def by_code(request, **changes):
    vote = make_vote(request, assurance=Assurance.AUTHENTICATED)
    return replace(vote, **{"channel": CHANNEL, "code_id": "code-1"} | changes)


def test_a_code_proves_one_answer(request_):
    decided = do(request_, by_code(request_))
    assert decided.status is Status.APPROVED
    assert decided.codes[0].used


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"code_id": ""}, "needs its code"),
        ({"code_id": "code-9"}, "not sent to you"),
        ({"reviewer": "bob"}, "not sent to you"),
    ],
)
def test_a_code_of_another_proves_nothing(request_, changes, says):
    refusal = apply(request_, by_code(request_, **changes), START)
    assert isinstance(refusal, Refusal)
    assert says in refusal.message


def test_a_code_expires_at_its_time_and_with_the_request(request_):
    at = START + timedelta(seconds=600)
    assert "expired" in apply(request_, by_code(request_), at).message
    assert open_codes(request_, "alice", at) == []
    late = do(request_, replace(CODE, code_id="code-2", valid_s=1e9))
    assert late.codes[1].expires_at == late.expires_at


def test_wrong_guesses_end_a_code_and_are_recorded(request_):
    for number in range(MAX_TRIES):
        guess = c.Refuse(
            id="pay-1", reviewer="alice", channel=CHANNEL, problem="wrong code", code_id="code-1"
        )
        step = apply(request_, guess, START)
        assert step.events[0].kind is Kind.REFUSED
        request_ = step.request
        assert request_.codes[0].tries == number + 1
    assert "mistyped" in apply(request_, by_code(request_), START).message
    assert request_.status is Status.PENDING


def test_refused_answers_are_recorded_only_so_often(request_):
    forged = c.Refuse(id="pay-1", reviewer="mallory", channel="api", problem="forged")
    for _ in range(MAX_REFUSED):
        request_ = do(request_, forged)
    assert isinstance(apply(request_, forged, START), Refusal)


def test_a_code_is_not_issued_twice_or_for_what_is_decided(request_):
    assert isinstance(apply(request_, CODE, START), Refusal)
    decided = do(request_, make_vote(request_))
    assert isinstance(apply(decided, replace(CODE, code_id="code-2"), START), Refusal)
