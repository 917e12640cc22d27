"""M4: of many points those few that draw the same line.

A chart that is W pixel columns wide needs, of each column, the first, the least, the greatest and
the last point: lines between neighbouring points of different columns are then those of all
points, and within a column the line reaches as far up and down.

NaN is a gap. The runs between gaps are kept apart, each with its four points and one NaN between
two of them; only where a single column has more than PARTS runs, the gaps within it are closed
(those at its edges stay). So no column gives more than 5 * PARTS + 1 points. With `buckets` the
same points are found without looking at each of them.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import isnan
from typing import Final

from store.server.buckets import NO_BUCKETS, Buckets, extremes, has_nan, mean

PARTS: Final = 4


def m4(
    x: Sequence[float],
    y: Sequence[float],
    columns: int,
    low: float,
    high: float,
    buckets: Buckets = NO_BUCKETS,
) -> Sequence[int]:
    """The places of the points that a chart of x from `low` to `high` needs, in order.

    Column c of W is [edge(c), edge(c + 1)), the last one with its end; see `edge`. The points
    next to the range on both sides are among them, where lines enter and leave the chart.

    Args:
        x: ascending, without NaN.
        y: as many, NaN for gaps.
        columns: at least 1.
        buckets: those of y.
    """
    start, end = bisect_left(x, low), bisect_right(x, high)
    before, behind = range(max(0, start - 1), start), range(end, min(len(x), end + 1))
    if end - start <= 4 * columns:
        return range(before.start, behind.stop)
    kept = list(before)
    for first, stop in _columns(x, columns, low, high):
        if stop - first <= 4:
            kept.extend(range(first, stop))
        else:
            kept.extend(_column(y, first, stop, buckets))
    kept.extend(behind)
    return kept


def means(
    x: Sequence[float],
    y: Sequence[float],
    columns: int,
    low: float,
    high: float,
    buckets: Buckets = NO_BUCKETS,
) -> tuple[array[float], array[float]]:
    """The mean of the finite values of each column, at the middle of where its points lie.

    Empty where `m4` gives all points, which say it themselves. Arguments as of `m4`.
    """
    at, found = array("d"), array("d")
    if bisect_right(x, high) - bisect_left(x, low) > 4 * columns:
        for first, stop in _columns(x, columns, low, high):
            if stop > first and (value := mean(y, buckets, first, stop)) is not None:
                at.append((x[first] + x[stop - 1]) / 2)
                found.append(value)
    return at, found


def _columns(
    x: Sequence[float], columns: int, low: float, high: float
) -> Iterator[tuple[int, int]]:
    """From which place to before which each pixel column goes."""
    start, end = bisect_left(x, low), bisect_right(x, high)
    edges = (bisect_left(x, edge(c, columns, low, high), start, end) for c in range(1, columns))
    return pairwise([start, *edges, end])


def edge(column: int, columns: int, low: float, high: float) -> float:
    """Where a pixel column begins."""
    return low + (high - low) * column / columns


def _column(y: Sequence[float], first: int, stop: int, buckets: Buckets) -> list[int]:
    # Also infinities of both signs have no sum; `_gapped` sorts that out.
    if has_nan(y, buckets, first, stop):
        return list(_gapped(y, first, stop))
    return _four(y, first, stop, buckets)


def _four(y: Sequence[float], first: int, stop: int, buckets: Buckets = NO_BUCKETS) -> list[int]:
    """First, least, greatest and last point of a run without NaN."""
    return sorted({first, *extremes(y, buckets, first, stop), stop - 1})


def _gapped(y: Sequence[float], first: int, stop: int) -> Iterator[int]:
    gaps = [place for place in range(first, stop) if isnan(y[place])]
    if not gaps:
        yield from _four(y, first, stop)
        return
    runs = [(a + 1, b) for a, b in pairwise([first - 1, *gaps, stop]) if b - a > 1]
    if not runs:
        yield first
        return
    if gaps[0] == first:
        yield first
    if len(runs) > PARTS:
        yield from _merged(y, runs)
    else:
        for index, (begin, end) in enumerate(runs):
            if index:
                yield begin - 1
            yield from _four(y, begin, end)
    if gaps[-1] == stop - 1:
        yield stop - 1


def _merged(y: Sequence[float], runs: list[tuple[int, int]]) -> list[int]:
    """The four points of several runs taken as one."""
    places = [place for begin, end in runs for place in range(begin, end)]
    least, greatest = min(places, key=y.__getitem__), max(places, key=y.__getitem__)
    return sorted({places[0], least, greatest, places[-1]})
