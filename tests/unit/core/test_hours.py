"""Business hours: how they are written, merged, and become points in time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from hitl_vault.core import commands as c
from hitl_vault.core.durations import MAX_S
from hitl_vault.core.hours import after, parse_hours, parse_quiet
from hitl_vault.core.lifecycle import Refusal, Step, apply, next_due
from hitl_vault.core.model import Answer, Escalation, Requirement, Stage, Status
from hitl_vault.core.policy import lint_policy, parse_policy
from hitl_vault.core.policy_merging import Demand, OpenHours, merge_requirements
from hitl_vault.testing.samples import make_ask, make_edit, make_vote

OFFICE = "Mon-Fri 09:00-17:00 Europe/Berlin"
FRIDAY = datetime(2026, 11, 20, 15, 0, tzinfo=UTC)  # 16:00 in Berlin
HOUR = 3600.0


def ask(now=FRIDAY, **need):
    step = apply(None, make_ask(**need), now)
    assert isinstance(step, Step), step
    return step.request


def merge(*demands, timeout_s=None):
    return merge_requirements(
        demands, timeout_s=timeout_s, default_timeout_s=HOUR, default_use_within_s=86400
    )


@pytest.mark.parametrize(
    ("seconds", "due"),
    [
        (HOUR, "2026-11-20T16:00"),  # exactly the end of the day
        (2 * HOUR, "2026-11-23T09:00"),
        (9 * HOUR, "2026-11-23T16:00"),
        (41 * HOUR, "2026-11-27T16:00"),
    ],
)
def test_time_stands_still_over_night_and_the_weekend(seconds, due):
    """Hours of Friday afternoon go on on Monday."""
    assert after(FRIDAY, seconds, [parse_hours(OFFICE)]) == datetime.fromisoformat(f"{due}Z")


def test_several_stretches_and_days_that_go_over_sunday():
    """`Sat-Mon` is three days; stretches may overlap without counting twice."""
    hours = parse_hours("Sat-Mon 10:00-12:00, Mon 11:00-13:00 UTC")
    start = datetime(2026, 11, 20, tzinfo=UTC)
    assert after(start, 7 * HOUR, [hours]) == datetime(2026, 11, 23, 13, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("always", "is not days and times"),
        ("Mon-Fri 09:00-17:00", "days and times|time zone"),
        ("Mon-Fri 17:00-09:00 UTC", "ends before it begins"),
        ("Mon-Fri 09:00-25:00 UTC", "no time 25:00"),
        ("Mon-Fri 09:00-17:61 UTC", "no time 17:61"),
        ("Mon-Fri 09:00-17:00 Mars/Olympus", "Mars/Olympus.*time zone"),
        ("Mon-Fri 09:00-17:00 ../../etc/passwd", "time zone"),
        ("Mon-Foo 09:00-17:00 UTC", "is not days and times"),
    ],
)
def test_what_cannot_be_read_is_said(text, problem):
    """With an example of how to write it."""
    with pytest.raises(ValueError, match=problem):
        parse_hours(text)


@pytest.mark.parametrize("text", ["22:00", "22:00-22:00 UTC", "22:00-07:00", "25:00-07:00 UTC"])
def test_quiet_hours_that_cannot_be_read_are_said(text):
    """They begin and end on the clock of a zone."""
    with pytest.raises(ValueError):
        parse_quiet(text)


def test_quiet_hours_go_over_midnight():
    """From the evening until the morning, on the clock of their zone."""
    quiet = parse_quiet("22:00-07:00 Europe/Berlin")
    assert quiet.until(datetime(2026, 11, 20, 20, 59, tzinfo=UTC)) is None
    morning = datetime(2026, 11, 21, 6, tzinfo=UTC)
    assert quiet.until(datetime(2026, 11, 20, 21, 0, tzinfo=UTC)) == morning
    assert quiet.until(datetime(2026, 11, 21, 5, 59, tzinfo=UTC)) == morning
    assert quiet.until(morning) is None


def test_reminders_and_escalations_count_the_hours_and_expiry_does_not():
    """Asked on Friday at 16:00, reminded on Monday at 10:00; the time to answer goes on."""
    rung = Escalation(after_s=9 * HOUR, to=("cfo",))
    request = ask(hours=(OFFICE,), remind_s=(2 * HOUR,), escalate=(rung,), timeout_s=5 * 86400.0)
    assert request.expires_at == FRIDAY + timedelta(days=5)
    due = next_due(request)
    assert due == (datetime(2026, 11, 23, 9, tzinfo=UTC), c.Remind(id="pay-1", number=0))
    early = apply(request, c.Remind(id="pay-1", number=0), due[0] - timedelta(seconds=1))
    assert isinstance(early, Refusal)
    step = apply(request, c.Remind(id="pay-1", number=0), due[0])
    assert isinstance(step, Step)
    assert next_due(step.request)[0] == datetime(2026, 11, 23, 16, tzinfo=UTC)


def test_the_time_to_answer_counts_them_where_the_rule_says_so():
    """And a shorter plain time still wins."""
    in_hours = ask(hours=(OFFICE,), timeout_open_s=2 * HOUR, timeout_s=MAX_S)
    assert in_hours.expires_at == datetime(2026, 11, 23, 9, tzinfo=UTC)
    both = ask(hours=(OFFICE,), timeout_open_s=2 * HOUR, timeout_s=HOUR * 3)
    assert both.expires_at == FRIDAY + timedelta(hours=3)


def test_hours_become_points_in_time_when_it_is_asked():
    """Nothing of them is left to be read otherwise later."""
    request = ask(hours=(OFFICE,), remind_s=(2 * HOUR,), timeout_s=5 * 86400.0)
    assert request.requirement.hours == ()
    (seconds,) = request.requirement.remind_s
    assert FRIDAY + timedelta(seconds=seconds) == datetime(2026, 11, 23, 9, tzinfo=UTC)


def test_hours_that_cannot_be_read_here_are_refused_when_asked():
    """A request nobody would be reminded of is none."""
    refusal = apply(None, make_ask(hours=("Mon-Fri 09:00-17:00 Mars/Olympus",)), FRIDAY)
    assert isinstance(refusal, Refusal)


def test_an_edit_counts_its_own_hours_from_when_it_was_asked():
    """The deadlines of the changed action come beside those promised before."""
    request = ask(
        remind_s=(HOUR,),
        timeout_s=5 * 86400.0,
        answers=(Answer.APPROVE, Answer.REJECT, Answer.EDIT),
    )
    fresh = Requirement(
        stages=(Stage(quorum=2),),
        hours=(OFFICE,),
        remind_s=(3 * HOUR,),
        timeout_s=5 * 86400.0,
        answers=(Answer.APPROVE, Answer.REJECT, Answer.EDIT),
    )
    vote = make_vote(request, edit=make_edit(request, requirement=fresh, amount=2))
    step = apply(request, vote, FRIDAY + timedelta(minutes=10))
    assert isinstance(step, Step)
    assert step.request.status is Status.PENDING
    due = [FRIDAY + timedelta(seconds=s) for s in step.request.requirement.remind_s]
    assert due == [FRIDAY + timedelta(hours=1), datetime(2026, 11, 23, 10, tzinfo=UTC)]


def test_merged_hours_are_those_of_any_rule_with_timers():
    """Nobody hears later than any rule asks; a rule without timers has no say."""
    night = "Mon-Sun 00:00-06:00 UTC"
    office = Demand(remind_s=(HOUR,), hours=OpenHours(open=OFFICE))
    assert merge(office).hours == (OFFICE,)
    assert merge(office, Demand()).hours == (OFFICE,)
    assert merge(office, Demand(hours=OpenHours(open=night))).hours == (OFFICE,)
    always = Demand(escalate=(Escalation(after_s=HOUR, to=("cfo",)),))
    assert merge(office, always).hours == merge(always, office).hours == ()
    nightly = Demand(remind_s=(60.0,), hours=OpenHours(open=night))
    assert merge(office, nightly).hours == merge(nightly, office).hours == (OFFICE, night)
    assert merge(office, nightly, always).hours == merge(always, nightly, office).hours == ()


def test_merged_times_to_answer_are_the_shortest_of_each_kind():
    """One in hours and one in plain time stand beside each other; whichever ends first counts."""
    in_hours = Demand(timeout_s=8 * HOUR, hours=OpenHours(open=OFFICE, timeout=True))
    merged = merge(in_hours)
    assert (merged.timeout_open_s, merged.timeout_s) == (8 * HOUR, MAX_S)
    merged = merge(in_hours, Demand(timeout_s=2 * HOUR))
    assert (merged.timeout_open_s, merged.timeout_s) == (8 * HOUR, 2 * HOUR)
    assert merge(in_hours, timeout_s=60).timeout_s == 60
    assert ask(timeout_open_s=60.0).expires_at == FRIDAY + timedelta(seconds=60)


def rule(lines):
    body = "\n".join(f"    {line}" for line in lines)
    return f"default: ask\nrules:\n  - id: r\n    effect: ask\n{body}\n".encode()


def test_a_policy_says_them_in_two_ways():
    """As a text, or with whether the time to answer counts them too."""
    short = parse_policy(rule([f"hours: {OFFICE}", "remind: [1h]"]), name="p.yaml")
    assert short.rules[0].hours == OpenHours(open=OFFICE)
    long = parse_policy(
        rule([f"hours: {{open: '{OFFICE}', timeout: true}}", "timeout: 8h"]), name="p.yaml"
    )
    assert long.rules[0].hours == OpenHours(open=OFFICE, timeout=True)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["hours: nine to five", "remind: [1h]"], "write such as Mon-Fri 09:00-17:00"),
        (["hours: {timeout: true}", "timeout: 1h"], "needs `open`"),
        (["hours: {open: 'Mon 09:00-17:00 UTC', timout: true}"], "did you mean `timeout`"),
        ([f"hours: {OFFICE}"], "does nothing without"),
        ([f"hours: {{open: '{OFFICE}', timeout: true}}", "remind: [1h]"], "no `timeout`"),
    ],
)
def test_lint_names_the_line_of_wrong_hours(lines, message):
    """Each with what to do."""
    found = [p for p in lint_policy(rule(lines), name="p.yaml") if message in p.message]
    assert [problem.line for problem in found] == [5], found
