"""The rules of the register."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from hitl_vault.core import commands as c
from hitl_vault.core.events import Kind
from hitl_vault.core.model import Assurance, GrantLimit
from hitl_vault.core.register import REGISTER_ID, Bound, Grant, Register
from hitl_vault.core.registering import ALERT_STANDS, RegisterStep, is_in_force, record
from hitl_vault.core.steps import Refusal, Why
from hitl_vault.testing.clock import START

GRANT = Grant(
    grant_id="grant-1",
    by="alice",
    assurance=Assurance.AUTHENTICATED,
    type="payment",
    requested_by="invoice-agent",
    bounds=(Bound(path="/amount", at_most=500), Bound(path="/to", equals='"v@example.com"')),
    uses=2,
    made_at=START,
    expires_at=START + timedelta(days=1),
)

LIMIT = GrantLimit(uses=9, within_s=864000)


def after(*commands, now=START):
    register = Register()
    for command in commands:
        step = record(register, command, now)
        assert isinstance(step, RegisterStep), step
        register = step.register
    return register


def refused(register, command, why, now=START):
    refusal = record(register, command, now)
    assert isinstance(refusal, Refusal)
    assert refusal.why is why
    return refusal.message


def test_a_policy_is_recorded_once_with_what_changed():
    command = c.RecordPolicy(sha256="a" * 64, changes=("+ rule small",), loosens=True)
    step = record(Register(), command, START)
    (event,) = step.events
    assert (event.kind, event.request_id, event.rev) == (Kind.POLICY_CHANGED, REGISTER_ID, 1)
    assert event.data["loosens"] is True
    refused(step.register, command, Why.DUPLICATE)


def test_reviewers_are_recorded_when_they_change():
    register = after(c.RecordReviewers(sha256="a"), c.RecordReviewers(sha256="b"))
    assert (register.rev, register.reviewers_sha256) == (2, "b")
    refused(register, c.RecordReviewers(sha256="b"), Why.DUPLICATE)


def test_a_grant_is_used_as_often_as_it_says_and_once_for_each_request():
    register = after(c.MakeGrant(grant=GRANT))
    use = c.UseGrant(grant_id="grant-1", request_id="pay-1", limit=LIMIT)
    register = record(register, use, START).register
    refused(register, use, Why.DUPLICATE)
    register = record(register, replace(use, request_id="pay-2"), START).register
    assert "used up" in refused(register, replace(use, request_id="pay-3"), Why.REFUSED)


def test_a_grant_ends_at_its_time_and_when_it_is_revoked():
    register = after(c.MakeGrant(grant=GRANT))
    use = c.UseGrant(grant_id="grant-1", request_id="pay-1", limit=LIMIT)
    refused(register, use, Why.REFUSED, now=GRANT.expires_at)
    register = record(register, c.RevokeGrant(grant_id="grant-1", by="bob"), START).register
    refused(register, use, Why.REFUSED)
    assert not is_in_force(register.grant("grant-1"), START)


@pytest.mark.parametrize(
    "grant",
    [
        replace(GRANT, uses=0),
        replace(GRANT, expires_at=START),
        replace(GRANT, by="Invoice-Agent"),
        replace(GRANT, by=" "),
        replace(GRANT, type=" "),
        replace(GRANT, requested_by=""),
        replace(GRANT, uses=1001),
        replace(GRANT, assurance=Assurance.SIGNED),
        replace(GRANT, bounds=(Bound(path="/amount"),)),
        replace(GRANT, bounds=(Bound(path="amount", at_most=5),)),
        replace(GRANT, bounds=(Bound(path="/amount", at_most=5, anything=True),)),
        replace(GRANT, bounds=(Bound(path="/amount", at_most=float("nan")),)),
        replace(GRANT, bounds=(Bound(path="/amount", at_most=-1),)),
        replace(GRANT, bounds=(Bound(path="/amount", at_most=True),)),
        replace(GRANT, bounds=(Bound(path="/a", at_most=5), Bound(path="/a", anything=True))),
    ],
)
def test_a_grant_that_makes_no_sense_is_refused(grant):
    refused(Register(), c.MakeGrant(grant=grant), Why.REFUSED)


def test_a_grant_is_counted_by_the_narrower_of_its_own_terms_and_the_rules():
    register = after(c.MakeGrant(grant=GRANT))
    use = c.UseGrant(grant_id="grant-1", request_id="pay-1", limit=GrantLimit(uses=1, within_s=60))
    refused(register, use, Why.REFUSED, now=START + timedelta(seconds=60))
    register = record(register, use, START).register
    refused(register, replace(use, request_id="pay-2"), Why.REFUSED)
    assert record(register, replace(use, request_id="pay-2", limit=LIMIT), START).register.rev == 3


def test_one_request_never_uses_two_grants():
    other = replace(GRANT, grant_id="grant-2")
    register = after(c.MakeGrant(grant=GRANT), c.MakeGrant(grant=other))
    use = c.UseGrant(grant_id="grant-1", request_id="pay-1", limit=LIMIT)
    register = record(register, use, START).register
    assert "another grant" in refused(register, replace(use, grant_id="grant-2"), Why.REFUSED)


def test_nobody_unnamed_takes_a_grant_back():
    register = after(c.MakeGrant(grant=GRANT))
    refused(register, c.RevokeGrant(grant_id="grant-1", by=" "), Why.REFUSED)


def test_a_grant_never_begins_used():
    made = after(c.MakeGrant(grant=replace(GRANT, used_for=("pay-0",), revoked_by="x")))
    assert made.grant("grant-1").used_for == ()


@pytest.mark.parametrize(
    "command",
    [
        c.UseGrant(grant_id="grant-9", request_id="pay-1", limit=LIMIT),
        c.RevokeGrant(grant_id="grant-9", by="bob"),
    ],
)
def test_a_grant_that_is_not_there_is_not_found(command):
    refused(Register(), command, Why.NOT_FOUND)


def test_a_time_step_counts_for_one_answer_only():
    spend = c.SpendFactor(reviewer="Alice", step=100, use_id="pay-1")
    register = after(spend)
    refused(register, spend, Why.DUPLICATE)
    refused(register, replace(spend, use_id="pay-2"), Why.REFUSED)
    refused(register, replace(spend, step=99, use_id="pay-2"), Why.REFUSED)
    refused(register, replace(spend, reviewer="ALICE", use_id="pay-2"), Why.REFUSED)
    assert record(register, replace(spend, step=101, use_id="pay-2"), START).register.rev == 2


def test_a_clock_set_back_never_reorders_the_record():
    register = after(c.RecordReviewers(sha256="a"))
    step = record(register, c.RecordReviewers(sha256="b"), START - timedelta(days=1))
    assert step.events[0].at == START


def alert(*, fires=True, name="pending"):
    return c.RecordAlert(name=name, fires=fires, message="11 wait", value=11, threshold=10)


def test_an_alert_is_recorded_when_it_begins_and_when_it_ends():
    """Once each, whoever says it again; one that never fired cannot end."""
    refused(Register(), alert(fires=False), Why.DUPLICATE)
    fires = record(Register(), alert(), START)
    (event,) = fires.events
    assert (event.kind, event.actor) == (Kind.ALERT_FIRED, "clock")
    assert event.data == {"name": "pending", "message": "11 wait", "value": 11, "threshold": 10}
    refused(fires.register, alert(), Why.DUPLICATE)
    ended = record(fires.register, alert(fires=False), START + ALERT_STANDS)
    (event,) = ended.events
    assert (event.kind, event.data["since"]) == (Kind.ALERT_ENDED, START.isoformat())
    refused(ended.register, alert(fires=False), Why.DUPLICATE)


def test_an_alert_that_changed_stands_for_a_while():
    """What goes up and down all the time is told every ten minutes at the most."""
    soon = START + ALERT_STANDS - timedelta(seconds=1)
    fires = after(alert())
    refused(fires, alert(fires=False), Why.REFUSED, now=soon)
    assert fires.alert("pending").since == START
    ended = record(fires, alert(fires=False), START + ALERT_STANDS).register
    refused(ended, alert(), Why.REFUSED, now=soon + ALERT_STANDS)
    again = record(ended, alert(), START + 2 * ALERT_STANDS).register
    assert again.alert("pending").fires
    assert len(again.alerts) == 1
    assert record(again, alert(name="expired"), START + 2 * ALERT_STANDS).register.alerts[1:]
