"""The points of one metric as columns, and as the line of a chart.

Steps, times and values lie in the order of (step, time). They are arrays, or views of a file of
`store.server.column_files` that is mapped into memory; neither changes once it is made.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import isnan
from typing import NamedTuple

from store.server.buckets import NO_BUCKETS, Buckets, make_buckets


class Line(NamedTuple):
    """x ascending and without NaN, y beside it (NaN = gap), and the buckets of y."""

    x: Sequence[float]
    y: Sequence[float]
    buckets: Buckets


NO_LINE = Line(array("d"), array("d"), NO_BUCKETS)


@dataclass(slots=True)
class Columns:
    """steps: int64; times: float64, seconds since 1970; values: float64, NaN included.

    `mark` is (last seq, stubs) of what was read; `in_time` says that the times ascend as well, and
    `filed` how many of the points a file has.
    """

    steps: Sequence[int]
    times: Sequence[float]
    values: Sequence[float]
    mark: tuple[int, int]
    buckets: Buckets = field(compare=False)
    in_time: bool = field(compare=False)
    filed: int = field(default=0, compare=False)
    _by_time: Line | None = field(default=None, compare=False)

    def __len__(self) -> int:
        return len(self.values)

    @property
    def by_step(self) -> Line:
        return Line(self.steps, self.values, self.buckets)

    @property
    def by_time(self) -> Line:
        if self.in_time:
            return Line(self.times, self.values, self.buckets)
        if self._by_time is None:
            self._by_time = sorted_line(self.times, self.values)
        return self._by_time


def make_columns(
    steps: array[int],
    times: array[float],
    values: array[float],
    mark: tuple[int, int],
    before: Columns | None = None,
) -> Columns:
    """Columns of points in the order of arrival, which begin with all of `before`."""
    old = len(before) if before is not None else 0
    known = before.buckets if before is not None else NO_BUCKETS
    filed = before.filed if before is not None else 0
    if not _in_order(steps, times, max(0, old - 1)):
        order = sorted(range(len(steps)), key=lambda place: (steps[place], times[place]))
        steps = array("q", [steps[place] for place in order])
        times = array("d", [times[place] for place in order])
        values = array("d", [values[place] for place in order])
        known, old, before = NO_BUCKETS, 0, None
    in_time = before is None or before.in_time
    in_time = in_time and is_ascending(times[max(0, old - 1) :])
    return Columns(steps, times, values, mark, make_buckets(values, known), in_time, filed)


def sorted_line(x: Sequence[float], y: Sequence[float]) -> Line:
    """The line of points whose x come in any order; those without an x are left out."""
    places = [place for place in range(len(x)) if not isnan(x[place])]
    places.sort(key=x.__getitem__)
    at = array("d", [x[place] for place in places])
    values = array("d", [y[place] for place in places])
    return Line(at, values, make_buckets(values))


def is_ascending(values: Sequence[float]) -> bool:
    listed = list(values)
    return listed == sorted(listed)


def _in_order(steps: array[int], times: array[float], since: int) -> bool:
    new_steps, new_times = steps[since:].tolist(), times[since:].tolist()
    if new_steps != sorted(new_steps):
        return False
    if new_times == sorted(new_times):
        return True
    pairs = list(zip(new_steps, new_times, strict=True))
    return pairs == sorted(pairs)
