"""Owns business hours and quiet hours: when time counts, and when people are left in peace.

Written as `Mon-Fri 09:00-17:00 Europe/Berlin` and `22:00-07:00 Europe/Berlin`. A window of a day
begins when the clocks of its zone first show its begin, and ends when they last show its end: where
clocks are set back, what they show twice counts twice; where they are set forward, what they never
show counts nothing. Never asks what time it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from hitl_vault.core.durations import MAX_S
from hitl_vault.core.model import Requirement

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY = "|".join(_DAYS)
_TIMES = r"(\d\d?):(\d\d)\s*-\s*(\d\d?):(\d\d)"
_WINDOW = re.compile(rf"({_DAY})(?:-({_DAY}))?\s+{_TIMES}", re.IGNORECASE)
_QUIET = re.compile(rf"{_TIMES}\s+(\S+)")
_EXAMPLE = "Mon-Fri 09:00-17:00 Europe/Berlin"
_QUIET_EXAMPLE = "22:00-07:00 Europe/Berlin"
_DAY_MIN = 24 * 60
_AT_ONCE = 14  # days looked at together
_INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """One stretch of a day, in minutes after midnight, on some days of the week (0 is Monday)."""

    days: frozenset[int]
    begin_min: int
    end_min: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Hours:
    """When time counts. `zone` is a name of the IANA time zone database."""

    windows: tuple[Window, ...]
    zone: str

    def on(self, day: date) -> list[tuple[datetime, datetime]]:
        """Return the stretches of one local day, in UTC."""
        zone = ZoneInfo(self.zone)
        found = [
            (_first(day, window.begin_min, zone), _last(day, window.end_min, zone))
            for window in self.windows
            if day.weekday() in window.days
        ]
        return [(begin, end) for begin, end in found if begin < end]


@dataclass(frozen=True, slots=True, kw_only=True)
class Quiet:
    """When people are left in peace, every day; over midnight where `end_min` is not later."""

    begin_min: int
    end_min: int
    zone: str

    def until(self, at: datetime) -> datetime | None:
        """Return when the quiet around this moment ends, in UTC; None where it is not quiet."""
        zone = ZoneInfo(self.zone)
        today = at.astimezone(zone).date()
        for day in (today - timedelta(days=1), today):
            last = day if self.begin_min < self.end_min else day + timedelta(days=1)
            end = _last(last, self.end_min, zone)
            if _first(day, self.begin_min, zone) <= at < end:
                return end
        return None


@lru_cache(maxsize=256)
def parse_hours(text: str) -> Hours:
    """Read `Mon-Fri 09:00-17:00, Sat 10:00-12:00 Europe/Berlin`.

    Raises:
        ValueError: It is not written so; the message says what is wrong.
    """
    days, _, zone = text.strip().rpartition(" ")
    windows = tuple(_window(part.strip()) for part in days.split(","))
    return Hours(windows=windows, zone=_zone(zone))


def _window(text: str) -> Window:
    found = _WINDOW.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is not days and times; write such as {_EXAMPLE}")
    first = _DAYS.index(found[1].lower())
    last = first if found[2] is None else _DAYS.index(found[2].lower())
    days = frozenset((first + step) % 7 for step in range((last - first) % 7 + 1))
    begin_min, end_min = _minutes(found[3], found[4]), _minutes(found[5], found[6])
    if begin_min >= end_min:
        raise ValueError(f"{text!r} ends before it begins; write a night as two windows, to 24:00")
    return Window(days=days, begin_min=begin_min, end_min=end_min)


@lru_cache(maxsize=64)
def parse_quiet(text: str) -> Quiet:
    """Read `22:00-07:00 Europe/Berlin`. Raises ValueError, as `parse_hours` does."""
    found = _QUIET.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is not a time of the day; write such as {_QUIET_EXAMPLE}")
    begin_min, end_min = _minutes(found[1], found[2]), _minutes(found[3], found[4])
    if begin_min == end_min:
        raise ValueError(f"{text!r} begins when it ends; write such as {_QUIET_EXAMPLE}")
    return Quiet(begin_min=begin_min, end_min=end_min, zone=_zone(found[5]))


def _minutes(hours: str, minutes: str) -> int:
    total = int(hours) * 60 + int(minutes)
    if int(minutes) >= 60 or total > _DAY_MIN:  # noqa: PLR2004
        raise ValueError(f"there is no time {hours}:{minutes}")
    return total


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(
            f"{name!r} is not a known time zone; write such as Europe/Berlin or UTC (a system "
            "without time zones needs: pip install tzdata)"
        ) from error
    return name


def is_readable(texts: Sequence[str]) -> bool:
    """True if every one of these hours can be read here."""
    try:
        for text in texts:
            parse_hours(text)
    except ValueError:
        return False
    return True


def after(start: datetime, seconds: float, hours: Sequence[Hours]) -> datetime:
    """Return when so many seconds have counted since `start`.

    What lies in any of the hours counts; without hours, all time does. Never later than ten years.
    """
    latest = start + timedelta(seconds=MAX_S)
    if not hours:
        return min(latest, start + timedelta(seconds=seconds))
    left = timedelta(seconds=seconds)
    for begin, end in _stretches(start, latest, hours):
        if end - begin >= left:
            return begin + left
        left -= end - begin
    return latest


def _stretches(
    start: datetime, latest: datetime, hours: Sequence[Hours]
) -> Iterator[tuple[datetime, datetime]]:
    """Yield what counts from `start` on: in order, without overlaps."""
    begin = start
    while begin < latest:
        end = min(latest, begin + timedelta(days=_AT_ONCE))
        first = begin.date() - timedelta(days=2)  # no zone is further from UTC than that
        found = sorted(
            stretch
            for each in hours
            for number in range(_AT_ONCE + 5)
            for stretch in each.on(first + timedelta(days=number))
        )
        done = begin
        for opens, closes in found:
            opens, closes = max(opens, done), min(closes, end)  # noqa: PLW2901
            if opens < closes:
                yield opens, closes
                done = closes
        begin = end


def resolved(need: Requirement, asked_at: datetime, now: datetime) -> Requirement:
    """Return the requirement with plain durations in place of those that count business hours.

    It is done once, when a request is asked or edited: a later change of a time zone's rules moves
    no deadline that people were told. Reminders and escalations count from `asked_at`, the time to
    answer from `now`.
    """
    if not need.hours:
        if need.timeout_open_s is None:
            return need
        timeout_s = min(need.timeout_s, need.timeout_open_s)
        return replace(need, timeout_s=timeout_s, timeout_open_s=None)
    hours = [parse_hours(text) for text in need.hours]

    def plain(seconds: float, since: datetime) -> float:
        return (after(since, seconds, hours) - since).total_seconds()

    timeout_s = need.timeout_s
    if need.timeout_open_s is not None:
        timeout_s = min(timeout_s, plain(need.timeout_open_s, now))
    return replace(
        need,
        timeout_s=timeout_s,
        remind_s=tuple(plain(seconds, asked_at) for seconds in need.remind_s),
        escalate=tuple(
            replace(rung, after_s=plain(rung.after_s, asked_at)) for rung in need.escalate
        ),
        hours=(),
        timeout_open_s=None,
    )


def _first(day: date, minute: int, zone: ZoneInfo) -> datetime:
    """Return when the clocks of a zone first show this minute of a day, or a later one."""
    shown = _local(day, minute)
    at = shown.replace(tzinfo=zone).astimezone(UTC)
    return at if _shows(at, zone, shown) else _set_forward(shown, zone)


def _last(day: date, minute: int, zone: ZoneInfo) -> datetime:
    """Return when the clocks of a zone have last shown what is before this minute of a day."""
    shown = _local(day, minute) - _INSTANT
    at = shown.replace(tzinfo=zone, fold=1).astimezone(UTC)
    return at + _INSTANT if _shows(at, zone, shown) else _set_forward(shown, zone)


def _local(day: date, minute: int) -> datetime:
    return datetime(day.year, day.month, day.day) + timedelta(minutes=minute)  # noqa: DTZ001


def _shows(at: datetime, zone: ZoneInfo, shown: datetime) -> bool:
    return at.astimezone(zone).replace(tzinfo=None, fold=0) == shown


def _set_forward(shown: datetime, zone: ZoneInfo) -> datetime:
    """Return when the clocks were set forward over this time, which they never show."""
    early, late = sorted(shown.replace(tzinfo=zone, fold=f).astimezone(UTC) for f in (0, 1))
    before = early.astimezone(zone).utcoffset()
    while late - early > _INSTANT:
        middle = early + (late - early) / 2
        if middle.astimezone(zone).utcoffset() == before:
            early = middle
        else:
            late = middle
    return late
