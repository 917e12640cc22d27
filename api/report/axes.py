"""The axes of a chart: from values to units of the drawing, and round numbers to read them by."""

from __future__ import annotations

import math
from typing import Final, NamedTuple

from store.api.curve import SMALLEST
from store.api.ticks import Ticks, linear_ticks, log_ticks

_LINES: Final = 20
"""How dense ticks are, as `store.api.ticks` counts it: lines of a terminal beside the axis."""
_ROOM: Final = 0.05
"""Part of the range that is left free above and below the lines."""
_UNITS: Final = (("s", 1.0, 180.0), ("min", 60.0, 3 * 3600.0), ("h", 3600.0, 72 * 3600.0))


class Axis(NamedTuple):
    """Values `low` to `high` at `start` to `end`: exponents of ten where `is_log`.

    `unit`: how much one is of what the ticks count.
    """

    low: float
    high: float
    start: float
    end: float
    ticks: Ticks
    is_log: bool = False
    is_whole: bool = False
    unit: float = 1.0

    def place(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def step_axis(low: float, high: float, start: float, end: float, *, is_whole: bool) -> Axis:
    """An x axis that ends where the lines end; with whole numbers only, if all x are."""
    if _is_flat(low, high):
        low, high = _around(low, is_whole)
    if is_whole and high - low <= 6:
        numbers = range(math.ceil(low), math.floor(high) + 1)
        ticks = [(float(number), str(number)) for number in numbers]
    else:
        ticks = _inside(linear_ticks(low, high, _LINES), low, high)
    return Axis(low, high, start, end, ticks, is_whole=is_whole)


def time_axis(low: float, high: float, start: float, end: float) -> tuple[str, Axis]:
    """An x axis of seconds, and the unit of its ticks."""
    low = min(low, 0.0)
    high = high if high > low else low + 1.0
    units = (unit for unit in _UNITS if high <= unit[2])
    name, length, _ = next(units, ("d", 86400.0, math.inf))
    ticks = _inside(linear_ticks(low / length, high / length, _LINES), low / length, high / length)
    return name, Axis(
        low, high, start, end, [(at * length, text) for at, text in ticks], unit=length
    )


def value_axis(low: float, high: float, start: float, end: float, *, is_log: bool) -> Axis:
    """A y axis with room around the lines."""
    if is_log:
        room = max(_ROOM * (high - low), 0.02) if high - low > 1e-9 else 0.3
        low, high = low - room, high + room
        return Axis(low, high, start, end, log_ticks(low, high, _LINES), is_log=True)
    if _is_flat(low, high):
        low, high = _around(low, is_whole=False)
    room = _ROOM * (high - low)
    low, high = low - room, high + room
    return Axis(low, high, start, end, _inside(linear_ticks(low, high, _LINES), low, high))


def _is_flat(low: float, high: float) -> bool:
    return high - low <= max(1e-12 * max(abs(low), abs(high)), SMALLEST)


def _around(value: float, is_whole: bool) -> tuple[float, float]:
    room = 0.5 if is_whole and abs(value) < 1e12 else abs(value) * 0.1 or 1.0
    return value - room, value + room


def _inside(ticks: Ticks, low: float, high: float) -> Ticks:
    slack = 1e-9 * (high - low)
    return [(at, text) for at, text in ticks if low - slack <= at <= high + slack]
