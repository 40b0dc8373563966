"""Owns the geometry of charts: where a line and its marks go. Never knows what it draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil, log10

WIDTH, HEIGHT = 560, 190
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 10, 10, 26


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A mark on an axis, or a bar: where, how large, and what stands there."""

    x: float
    y: float
    text: str
    width: float = 0
    height: float = 0
    value: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A chart in a box of WIDTH by HEIGHT. `line` and `area` are SVG paths, "" for bars."""

    xs: tuple[Mark, ...]
    ys: tuple[Mark, ...]
    line: str = ""
    area: str = ""
    bars: tuple[Mark, ...] = ()
    left: int = _LEFT
    right: int = WIDTH - _RIGHT
    bottom: int = HEIGHT - _BOTTOM
    width: int = WIDTH
    height: int = HEIGHT


def line_chart(numbers: Sequence[int], since: datetime, until: datetime) -> Chart:
    """Return numbers over time as steps: each holds until the next."""
    top = _round_up(max(numbers, default=0))
    across = (WIDTH - _LEFT - _RIGHT) / max(1, len(numbers) - 1)
    points = [(_LEFT + across * place, _y(number, top)) for place, number in enumerate(numbers)]
    line = (
        f"M{_xy(points[0])}" + "".join(f"H{x:.1f}V{y:.1f}" for x, y in points[1:]) if points else ""
    )
    base = HEIGHT - _BOTTOM
    return Chart(
        xs=_times(since, until),
        ys=_numbers(top),
        line=line,
        area=f"{line}V{base}H{_LEFT}Z" if points else "",
    )


def bar_chart(named: Sequence[tuple[str, int]]) -> Chart:
    """Return one bar a name, side by side."""
    top = _round_up(max((number for _, number in named), default=0))
    slot = (WIDTH - _LEFT - _RIGHT) / max(1, len(named))
    base = HEIGHT - _BOTTOM
    bars = tuple(
        Mark(
            x=round(_LEFT + slot * (place + 0.14), 1),
            y=round(_y(number, top), 1),
            width=round(slot * 0.72, 1),
            height=round(base - _y(number, top), 1),
            text=name,
            value=number,
        )
        for place, (name, number) in enumerate(named)
    )
    xs = tuple(
        Mark(x=round(_LEFT + slot * (place + 0.5), 1), y=HEIGHT - 8, text=name)
        for place, (name, _) in enumerate(named)
    )
    return Chart(xs=xs, ys=_numbers(top), bars=bars)


def _xy(point: tuple[float, float]) -> str:
    return f"{point[0]:.1f},{point[1]:.1f}"


def _y(number: int, top: int) -> float:
    return _TOP + (HEIGHT - _TOP - _BOTTOM) * (1 - number / top)


def _round_up(number: int) -> int:
    """Return the next number that divides into four even steps."""
    if number <= 4:  # noqa: PLR2004
        return 4
    step = 10 ** int(log10(number / 4))
    for factor in (1, 2, 5, 10):
        if factor * step * 4 >= number:
            return int(factor * step * 4)
    return ceil(number / 4) * 4


def _numbers(top: int) -> tuple[Mark, ...]:
    return tuple(
        Mark(x=_LEFT - 6, y=round(_y(top * part // 4, top), 1), text=f"{top * part // 4:,}")
        for part in range(5)
    )


def _times(since: datetime, until: datetime) -> tuple[Mark, ...]:
    span = until - since
    form = "%H:%M" if span <= timedelta(days=2) else "%-d %b"
    return tuple(
        Mark(
            x=round(_LEFT + (WIDTH - _LEFT - _RIGHT) * part / 4, 1),
            y=HEIGHT - 8,
            text=f"{since + span * part / 4:{form}}",
        )
        for part in range(5)
    )
