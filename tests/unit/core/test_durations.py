"""How durations are written and shown."""

from __future__ import annotations

import pytest

from hitl_vault.core.durations import MAX_S, parse_duration, show_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        *((90, 90), (1.5, 1.5), (0, 0), ("0", 0), ("90", 90), ("90s", 90), (" 45M ", 2700)),
        *(("1h30m", 5400), ("1h 30m", 5400), ("1.5h", 5400), ("2d", 172800), ("1w", 604800)),
    ],
)
def test_durations_people_write(text, seconds):
    """Seconds or texts with units."""
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        *("", "h", "-1", "1x", "1h30", "h30m", "1e3", "m1", "one hour", "1,5h", "1h-30m", "nan"),
        *(
            -1,
            float("nan"),
            float("inf"),
            -0.1,
            -(10**5000),
        ),
        *(True, False, None, [], {}, b"1h"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_no_duration_is_refused_in_words(text):
    """Nothing is guessed, and nothing but ValueError comes out."""
    with pytest.raises(ValueError, match="write 30s, 45m, 1h30m, 2d or seconds") as refused:
        parse_duration(text)
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize("value", [10**400, MAX_S + 1, "9" * 400, "521w9d", "99999d"], ids=repr)
def test_what_is_too_long_is_told_the_limit(value):
    """It is a duration, so it is not called none."""
    with pytest.raises(ValueError, match="is longer than ten years") as refused:
        parse_duration(value)
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (-5, "0 s"),
        (0, "0 s"),
        (45.4, "45 s"),
        (59.7, "1 min"),
        (1800, "30 min"),
        (5400, "1 h 30 min"),
        (172800, "2 d"),
        (90061, "1 d 1 h"),
    ],
)
def test_durations_as_people_read_them(seconds, shown):
    """Two units at most."""
    assert show_duration(seconds) == shown
