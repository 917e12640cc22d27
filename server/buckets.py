"""Summaries of SIZE neighbouring points each, so that a chart costs what it shows.

The least, the greatest and the total of any stretch of points then needs the summaries within it
and at most SIZE points at either end. They say exactly what the points say: where a stretch holds
a NaN, or infinities of both signs, its total is NaN and the points themselves have to be asked.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from math import isfinite, isnan
from typing import Final, NamedTuple

SIZE: Final = 64


class Buckets(NamedTuple):
    """Of each whole stretch of SIZE points: its least and greatest value and their total."""

    least: Sequence[float]
    greatest: Sequence[float]
    total: Sequence[float]


NO_BUCKETS: Final = Buckets(array("d"), array("d"), array("d"))


def make_buckets(y: Sequence[float], before: Buckets = NO_BUCKETS) -> Buckets:
    """The buckets of `y`; those in `before` are taken as they are."""
    least, greatest, total = (array("d", part) for part in before)
    for first in range(len(total) * SIZE, len(y) - SIZE + 1, SIZE):
        part = y[first : first + SIZE]
        least.append(min(part))
        greatest.append(max(part))
        total.append(sum(part))
    return Buckets(least, greatest, total)


def _inner(buckets: Buckets, first: int, stop: int) -> tuple[int, int]:
    """The buckets from one to before the other that lie wholly between two places."""
    begin = -(-first // SIZE)
    return begin, max(begin, min(stop // SIZE, len(buckets.total)))


def total(y: Sequence[float], buckets: Buckets, first: int, stop: int) -> float:
    """The sum of a stretch; NaN where it holds a NaN, and perhaps where it holds infinities."""
    begin, end = _inner(buckets, first, stop)
    if begin >= end:
        return sum(y[first:stop])
    edges = sum(y[first : begin * SIZE]) + sum(y[end * SIZE : stop])
    return edges + sum(buckets.total[begin:end])


def extremes(y: Sequence[float], buckets: Buckets, first: int, stop: int) -> tuple[int, int]:
    """The first place of the least and of the greatest value of a stretch without NaN."""
    begin, end = _inner(buckets, first, stop)
    if begin >= end:
        part = list(y[first:stop])
        return first + part.index(min(part)), first + part.index(max(part))
    pieces = (range(first, begin * SIZE), range(end * SIZE, stop))
    return (
        _place(y, buckets.least, begin, end, pieces, greatest=False),
        _place(y, buckets.greatest, begin, end, pieces, greatest=True),
    )


def _place(
    y: Sequence[float],
    summary: Sequence[float],
    begin: int,
    end: int,
    edges: tuple[range, range],
    *,
    greatest: bool,
) -> int:
    choose = max if greatest else min
    inner = list(summary[begin:end])
    found = choose(inner)
    head, tail = (list(y[edge.start : edge.stop]) for edge in edges)
    best = choose([found, *head, *tail])
    if best in head:
        return edges[0].start + head.index(best)
    if best == found:
        first = (begin + inner.index(best)) * SIZE
        return first + list(y[first : first + SIZE]).index(best)
    return edges[1].start + tail.index(best)


def mean(y: Sequence[float], buckets: Buckets, first: int, stop: int) -> float | None:
    """The mean of the finite values of a stretch; None where there is none."""
    found, count = total(y, buckets, first, stop), stop - first
    if not isfinite(found):
        finite = list(_finite(y, first, stop))
        found, count = sum(finite), len(finite)
    return found / count if count and isfinite(found) else None


def _finite(y: Sequence[float], first: int, stop: int) -> Iterator[float]:
    return (value for value in y[first:stop] if isfinite(value))


def has_nan(y: Sequence[float], buckets: Buckets, first: int, stop: int) -> bool:
    """Whether a stretch may hold a NaN."""
    return isnan(total(y, buckets, first, stop))
