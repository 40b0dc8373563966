"""Owns how durations are written: `90`, `"90s"`, `"45m"`, `"1h30m"`, `"1w"`. Never guesses."""

from __future__ import annotations

import math
import re
from typing import Any

_PART = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw])")
_UNIT_S = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
MAX_S = 10 * 365 * 86400.0


def parse_duration(value: Any) -> float:
    """Return the seconds a number or a text such as `1h30m` stands for.

    Raises:
        ValueError: It is no duration between 0 and ten years; the message says what is accepted.
    """
    seconds = _seconds(value)
    if seconds is not None and seconds > MAX_S:
        raise ValueError(f"{_shown(value)} is longer than ten years, the most that is accepted")
    if seconds is None or not math.isfinite(seconds) or seconds < 0:
        raise ValueError(f"{_shown(value)} is not a duration; write 30s, 45m, 1h30m, 2d or seconds")
    return seconds


def _shown(value: Any) -> str:
    try:
        return repr(value)[:80]
    except ValueError:  # an integer of thousands of digits
        return "this number"


def _seconds(value: Any) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, float) and math.isinf(value):
        return None
    if isinstance(value, int | float):
        return math.inf if value > MAX_S else float(max(value, -1))
    if not isinstance(value, str):
        return None
    text = value.strip().lower()
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    parts = _PART.findall(text)
    if not parts or _PART.sub("", text).strip():
        return None
    return sum(float(number) * _UNIT_S[unit] for number, unit in parts)


def show_duration(seconds: float) -> str:
    """Return seconds as people write them: `45 s`, `30 min`, `1 h 30 min`, `2 d`."""
    whole = max(0, round(seconds))
    if whole < 60:  # noqa: PLR2004
        return f"{whole} s"
    days, rest = divmod(whole, 86400)
    hours, rest = divmod(rest, 3600)
    minutes = rest // 60
    parts = [(days, "d"), (hours, "h"), (minutes, "min")]
    shown = [f"{number} {unit}" for number, unit in parts if number]
    return " ".join(shown[:2])
