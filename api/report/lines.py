"""The lines of a chart as SVG paths, of no more bytes than are given.

A series is thinned by M4 when it is read, and again for the columns of the chart that it comes to
stand in: what is drawn reaches as far up and down as all of its points.
"""

from __future__ import annotations

import functools
import math
from array import array
from collections import Counter
from collections.abc import Sequence
from typing import Final, NamedTuple

from store.api.curve import Curve
from store.api.report.axes import Axis
from store.server.m4 import m4

FINEST: Final = 800
"""Columns of a chart: two to a unit of its drawing."""
COARSEST: Final = 24
_SHORTEST: Final = 4
"""Bytes that a column takes at least."""


class Line(NamedTuple):
    """Points in the order of x, NaN in `ys` for gaps; `skipped`: what cannot be drawn, counted."""

    xs: array[float]
    ys: array[float]
    skipped: Counter[str]

    @property
    def is_empty(self) -> bool:
        return all(map(math.isnan, self.ys))


def thin_line(xs: Sequence[float], ys: Sequence[float], *, log_y: bool) -> Line:
    """The points that a chart of FINEST columns needs; with `log_y`, of the exponents of ten."""
    curve = Curve.of("", xs, ys, log_y)
    x, y = array("d"), array("d")
    begin = 0
    for end in [*sorted(curve.breaks), len(curve.xs)]:
        if end > begin:
            if x:
                x.append(curve.xs[begin])
                y.append(math.nan)
            x.extend(curve.xs[begin:end])
            y.extend(curve.ys[begin:end])
            begin = end
    if x:
        places = m4(x, y, FINEST, x[0], x[-1])
        x, y = array("d", (x[place] for place in places)), array("d", (y[p] for p in places))
    return Line(x, y, curve.skipped)


def path_of(line: Line, x: Axis, y: Axis, most: int) -> str:
    """The `d` of a path, of about `most` bytes or less: with fewer columns where they are too many.

    One point alone is a line of no length, which round ends make visible.
    """
    columns, digits = max(COARSEST, min(FINEST, most // _SHORTEST)), 1
    while True:
        text = _path(line, x, y, columns, digits)
        if len(text) <= most or (columns == COARSEST and not digits):
            return text
        # Without its last digit a path is about a quarter shorter.
        fitting = columns * most // len(text) * (4 if digits else 3) // 3
        columns = max(COARSEST, min(columns - 1, fitting))
        digits = 0


def _path(line: Line, x: Axis, y: Axis, columns: int, digits: int) -> str:
    """M to where a line begins, then l, h and v by so much, in units with so many digits."""
    unit = 10**digits
    parts: list[str] = []
    at: tuple[int, int] | None = None
    for place in m4(line.xs, line.ys, columns, x.low, x.high):
        value = line.ys[place]
        if math.isnan(value):
            at = None
            continue
        to = round(x.place(line.xs[place]) * unit), round(y.place(value) * unit)
        if at is None:
            parts.append(f"M{_pair(*to, unit)}h0")
        elif to != at:
            right, down = to[0] - at[0], to[1] - at[1]
            if not down:
                parts.append(f"h{_number(right, unit)}")
            else:
                parts.append(f"l{_pair(right, down, unit)}" if right else f"v{_number(down, unit)}")
        at = to
    return "".join(parts)


def _pair(first: int, second: int, unit: int) -> str:
    space = "" if second < 0 else " "
    return f"{_number(first, unit)}{space}{_number(second, unit)}"


@functools.cache
def _number(value: int, unit: int) -> str:
    text = f"{value / unit:g}"
    return text.replace("0.", ".", 1) if text.startswith(("0.", "-0.")) else text
