"""Business hours against what a clock on the wall shows, minute by minute, over changes of clocks."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from zoneinfo import ZoneInfo

from hypothesis import example, given
from hypothesis import strategies as st

from hitl_vault.core.hours import _DAYS, Hours, Window, after, parse_hours, parse_quiet

ZONES = ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "UTC"]
SPRING, AUTUMN = datetime(2026, 3, 27, tzinfo=UTC), datetime(2026, 10, 23, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"


@st.composite
def windows(draw: st.DrawFn) -> str:
    first, last = draw(st.sampled_from(_DAYS)), draw(st.sampled_from(_DAYS))
    begin = draw(st.integers(0, 95)) * 15
    end = draw(st.integers(begin // 15 + 1, 96)) * 15
    return f"{first}-{last} {clock(begin)}-{clock(end)}"


texts = st.builds(
    lambda some, zone: f"{', '.join(some)} {zone}",
    st.lists(windows(), min_size=1, max_size=3),
    st.sampled_from(ZONES),
)
starts = st.builds(
    lambda base, minutes: base + timedelta(minutes=minutes),
    st.sampled_from([SPRING, AUTUMN, datetime(2026, 4, 3, tzinfo=UTC)]),
    st.integers(0, 5 * 1440),
)


def counts(hours: Hours, at: datetime) -> bool:
    """What a person with a clock says: between the first and the last time it shows the window."""
    day = at.astimezone(ZoneInfo(hours.zone)).date()
    return any(
        day.weekday() in window.days and _between(at, shown(window, hours.zone, day))
        for window in hours.windows
    )


def _between(at: datetime, ends: tuple[datetime, datetime] | None) -> bool:
    return ends is not None and ends[0] <= at <= ends[1]


@lru_cache(maxsize=10_000)
def shown(window: Window, zone: str, day: date) -> tuple[datetime, datetime] | None:
    """Look at the clock every minute of a day; return when it first and last shows the window."""
    noon = datetime(day.year, day.month, day.day, 12, tzinfo=ZoneInfo(zone)).astimezone(UTC)
    found = [
        at
        for step in range(-14 * 60, 14 * 60)
        if (local := (at := noon + step * MINUTE).astimezone(ZoneInfo(zone))).date() == day
        and window.begin_min <= local.hour * 60 + local.minute < window.end_min
    ]
    return (min(found), max(found)) if found else None


@given(texts, starts, st.integers(1, 600))
@example("Sun 02:15-02:30 Europe/Berlin", datetime(2026, 10, 24, 22, tzinfo=UTC), 75)
@example("Sun 01:00-02:00 Europe/Berlin", datetime(2026, 10, 24, 22, tzinfo=UTC), 60)
@example("Sun 02:15-02:45 Europe/Berlin", datetime(2026, 3, 28, 22, tzinfo=UTC), 30)
@example("Sun 01:00-03:00 Europe/Berlin", datetime(2026, 3, 28, 22, tzinfo=UTC), 60)
def test_so_many_minutes_count_as_the_clock_on_the_wall_shows(text, start, minutes):
    """Counting minute by minute ends at the same moment."""
    hours = parse_hours(text)
    at, left = start, minutes
    due = after(start, minutes * 60, [hours])
    if due - start > timedelta(days=3):
        return  # counting would take too long; the other properties hold of it too
    while left:
        left -= counts(hours, at)
        at += MINUTE
    assert due == at


@given(
    st.lists(texts, min_size=1, max_size=3), starts, st.lists(st.integers(1, 100_000), min_size=2)
)
def test_more_time_ends_later_and_never_before_plain_time(some, start, seconds):
    """Monotone in the duration, and never sooner than the duration itself."""
    hours = [parse_hours(text) for text in some]
    ends = [after(start, s, hours) for s in sorted(seconds)]
    assert all(one <= two for one, two in pairwise(ends))
    assert all(
        end - start >= timedelta(seconds=s) for end, s in zip(ends, sorted(seconds), strict=True)
    )


@given(st.lists(texts, min_size=2, max_size=3), starts, st.integers(1, 100_000))
def test_more_hours_never_end_later(some, start, seconds):
    """Merged rules: nobody hears later than any one of them asks."""
    hours = [parse_hours(text) for text in some]
    assert after(start, seconds, hours) <= min(after(start, seconds, [one]) for one in hours)
    assert after(start, seconds, hours) >= after(start, seconds, [])


@given(texts, starts, st.integers(1, 50_000), st.integers(1, 50_000))
def test_counting_in_two_parts_is_counting_once(text, start, one, two):
    """Where the first part ends, the second goes on."""
    hours = [parse_hours(text)]
    assert after(after(start, one, hours), two, hours) == after(start, one + two, hours)


@given(st.integers(0, 1439), st.integers(0, 1439), st.sampled_from(ZONES), starts)
def test_quiet_ends_later_and_is_over_then(begin, end, zone, at):
    """Until the end it is quiet, then it is not; what is said is at most a day and an hour away."""
    if begin == end:
        return
    quiet = parse_quiet(f"{clock(begin)}-{clock(end)} {zone}")
    until = quiet.until(at)
    if until is None:
        return
    assert at < until <= at + timedelta(hours=25)
    assert quiet.until(until - timedelta(seconds=1)) == until
    assert quiet.until(until) is None
