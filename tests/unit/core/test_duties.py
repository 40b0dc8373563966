"""Who is told of what: exactly those who can do something about it now."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from hitl_vault.core.duties import (
    DEFAULT_EVENTS,
    OF_REQUESTS,
    OLD,
    Way,
    duties,
    held_until,
    who_must_answer,
)
from hitl_vault.core.events import Event, Kind, Recorded
from hitl_vault.core.hours import parse_quiet
from hitl_vault.core.lifecycle import Step, apply
from hitl_vault.core.model import Answer, Requirement, Risk, Stage, Status
from hitl_vault.core.people import Away, People, Reviewer
from hitl_vault.testing.clock import START as NOW
from hitl_vault.testing.samples import make_ask, make_edit, make_vote

TEAM = Stage(approvers=("team",))


def people(*reviewers):
    return People(reviewers={one.name: one for one in reviewers})


def one(name, *roles, away_to=""):
    away = Away(begins_at=NOW - timedelta(1), ends_at=NOW + timedelta(1), to=away_to)
    return Reviewer(
        name=name,
        roles=frozenset(roles),
        notify=(f"{name}@",),
        away=(away,) if away_to else (),
    )


def ask(**need):
    step = apply(None, make_ask(**need), NOW)
    assert isinstance(step, Step)
    return step.request


def step(request, command):
    done = apply(request, command, NOW)
    assert isinstance(done, Step), done
    return done.request


def names(request, everybody):
    return sorted(found.name for found in who_must_answer(request, everybody, NOW))


def recorded(request, kind, at=NOW, **data):
    id = "~register" if request is None else request.id
    event = Event(kind=kind, request_id=id, rev=1, at=at, actor="x", data=data)
    return Recorded(seq=7, hash="", event=event)


def told(way, request, kind, everybody=None, at=NOW, **data):
    return duties(
        recorded(request, kind, at, **data),
        request,
        [way],
        everybody or people(one("anna", "team")),
        vault_id="v",
        now=NOW,
    )


def test_a_role_is_everybody_who_holds_it_and_nobody_is_told_twice():
    """Also who is named besides."""
    everybody = people(one("anna", "team"), one("ben", "team"), one("cfo"))
    request = ask(stages=(Stage(approvers=("team", "Anna", "guest")),))
    assert names(request, everybody) == ["anna", "ben", "guest"]


def test_a_stage_open_to_anyone_is_everybody_but_who_asked():
    """Nobody answers their own request."""
    everybody = people(one("anna"), one("ben"), one("invoice-agent"))
    assert names(ask(), everybody) == ["anna", "ben"]


def test_who_has_answered_is_not_asked_again_until_the_details_change():
    """Then every answer counts anew, also that of the editor if it was too weak."""
    everybody = people(one("anna", "team"), one("ben", "team"))
    answers = (Answer.APPROVE, Answer.REJECT, Answer.EDIT)
    request = ask(stages=(Stage(approvers=("team",), quorum=2),), answers=answers)
    request = step(request, make_vote(request, "anna", roles=("team",)))
    assert names(request, everybody) == ["ben"]
    stricter = Requirement(stages=(Stage(approvers=("anna", "ben"), quorum=2),), answers=answers)
    edit = make_edit(request, requirement=stricter, amount=2)
    request = step(request, make_vote(request, "ben", roles=("team",), edit=edit))
    assert request.status is Status.PENDING
    assert "anna" in names(request, everybody)


@pytest.mark.parametrize(
    ("chain", "who"),
    [
        ([("anna", "ben"), ("ben", "")], ["ben"]),
        ([("anna", "ben"), ("ben", "cara"), ("cara", "")], ["cara"]),
        ([("anna", "ben"), ("ben", "anna")], ["anna"]),  # round and round: better told away
        ([("anna", "stranger")], ["anna"]),  # who is not on record stands in for nobody
        ([("anna", "invoice-agent"), ("invoice-agent", "")], []),  # nor does who asked
    ],
)
def test_who_is_away_is_replaced_at_the_end_of_the_chain(chain, who):
    """As far as stand-ins may follow one another."""
    everybody = people(*(one(name, away_to=to) for name, to in chain))
    assert names(ask(stages=(Stage(approvers=("anna",)),)), everybody) == who


def test_nobody_must_answer_what_is_decided():
    """Whatever the stages say."""
    request = ask(stages=(TEAM,))
    request = step(request, make_vote(request, "anna", Answer.REJECT, roles=("team",)))
    assert names(request, people(one("anna", "team"))) == []


@pytest.mark.parametrize("kind", sorted(OF_REQUESTS))
def test_calls_are_for_what_waits_and_other_events_for_whom_they_concern(kind):
    """A person is called only while an answer counts; a program hears of everything."""
    waits = ask(stages=(TEAM,))
    over = replace(waits, status=Status.REJECTED)
    mail = Way(name="mail", people=True, events=OF_REQUESTS)
    hook = Way(name="hook", complete=True, events=OF_REQUESTS)
    calls = kind in DEFAULT_EVENTS - {Kind.EXPIRED, Kind.LOST}
    assert len(told(hook, over, kind, reviewer="anna")) == 1
    assert len(told(mail, over, kind, reviewer="anna")) == (0 if calls else 1)
    assert len(told(mail, waits, kind, reviewer="anna")) == (0 if kind is Kind.VOTED else 1)


def test_only_events_that_are_named_are_told():
    """And events of the vault only to who names them."""
    request = ask(stages=(TEAM,))
    assert not told(Way(name="ops"), request, Kind.APPROVED)
    assert told(Way(name="ops", events=frozenset({Kind.APPROVED})), request, Kind.APPROVED)
    assert not told(Way(name="ops", events=OF_REQUESTS), None, Kind.POLICY_CHANGED)
    assert told(Way(name="ops", events=frozenset(Kind)), None, Kind.POLICY_CHANGED)


def test_what_ended_long_ago_is_history():
    """A vault whose desk was off for a month does not write a month of mails."""
    request = replace(ask(stages=(TEAM,)), status=Status.EXPIRED)
    long_ago = NOW - OLD - timedelta(seconds=1)
    assert not told(Way(name="ops"), request, Kind.EXPIRED, at=long_ago)
    assert told(Way(name="ops"), request, Kind.EXPIRED, at=NOW - OLD)
    assert told(Way(name="ops"), ask(stages=(TEAM,)), Kind.REQUESTED, at=long_ago)


def test_ids_are_the_same_for_every_process_and_differ_for_every_target():
    """Vault, event and target; however a name is spelt."""
    everybody = people(one("anna", "team"), one("ben", "team"))
    mail = Way(name="mail", people=True)
    request = ask(stages=(TEAM,))
    first, second = told(mail, request, Kind.REQUESTED, everybody)
    assert first.id != second.id
    assert first.id.startswith("v-7-mail-")
    assert [duty.id for duty in told(mail, request, Kind.REQUESTED, everybody)] == [
        first.id,
        second.id,
    ]
    (ops,) = told(Way(name="ops"), request, Kind.REQUESTED, everybody)
    assert ops.id == "v-7-ops"


def test_a_digest_is_due_at_full_multiples_and_never_too_late():
    """What would be over by then is told at once, and so is what is critical."""
    way = Way(name="ops", digest_s=900)
    (duty,) = told(way, ask(timeout_s=3600.0), Kind.REQUESTED)
    assert (duty.gathered, duty.urgent) == (True, False)
    assert duty.due_at == datetime(2026, 11, 21, 9, 45, tzinfo=UTC)
    (duty,) = told(way, ask(timeout_s=600.0), Kind.REQUESTED)
    assert (duty.gathered, duty.urgent, duty.due_at) == (False, True, NOW)
    request = ask()
    critical = replace(request, verdict=replace(request.verdict, risk=Risk.CRITICAL))
    (duty,) = told(way, critical, Kind.REQUESTED)
    assert duty.urgent


def test_quiet_holds_back_what_can_wait():
    """Until its end; never what would be over by then."""
    way = Way(name="ops", quiet=parse_quiet("09:00-11:00 UTC"))
    request = ask(timeout_s=2 * 3600.0)
    (duty,) = told(way, request, Kind.REQUESTED)
    assert held_until(duty, request, way, NOW) == datetime(2026, 11, 21, 11, tzinfo=UTC)
    assert held_until(duty, ask(timeout_s=3600.0), way, NOW) is None
    assert held_until(replace(duty, urgent=True), request, way, NOW) is None
    assert held_until(duty, request, way, NOW + timedelta(hours=2)) is None
