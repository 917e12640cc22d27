"""The points of one series as a chart can draw them: finite, in the order of x, with their gaps."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from operator import le
from typing import Final

LARGEST: Final = 1e300
"""Beyond it a difference could overflow."""
SMALLEST: Final = 1e-290
"""Below it a difference or a positive number counts as 0."""


@dataclass(frozen=True, slots=True)
class Curve:
    """Finite points in the order of x; `breaks`: indices of points that no line leads to."""

    name: str
    xs: list[float]
    ys: list[float]
    breaks: set[int]
    skipped: Counter[str]

    @classmethod
    def of(cls, name: str, xs: Sequence[float], ys: Sequence[float], log_y: bool) -> Curve:
        if len(xs) != len(ys):
            raise ValueError(f"{name}: {len(xs)} x values but {len(ys)} y values")
        x, y = list(map(float, xs)), list(map(float, ys))
        skipped: Counter[str] = Counter()
        if not _drawable(x):
            skipped.update(fault for value in x if (fault := _fault(value, False)))
            kept = [index for index, value in enumerate(x) if not _fault(value, False)]
            x, y = [x[index] for index in kept], [y[index] for index in kept]
        if not all(map(le, x, islice(x, 1, None))):
            order = sorted(range(len(x)), key=x.__getitem__)
            x, y = [x[index] for index in order], [y[index] for index in order]
        breaks: set[int] = set()
        if not _drawable(y) or (log_y and min(y, default=1.0) < SMALLEST):
            x, y, breaks = _without_gaps(x, y, log_y, skipped)
        return cls(name, x, list(map(math.log10, y)) if log_y else y, breaks, skipped)


def _drawable(values: list[float]) -> bool:
    return not values or (all(map(math.isfinite, values)) and max(map(abs, values)) < LARGEST)


def _fault(value: float, log: bool) -> str:
    if -LARGEST < value < LARGEST:
        return "not above 0" if log and value < SMALLEST else ""
    return "NaN" if math.isnan(value) else "infinite" if math.isinf(value) else "too large"


def _without_gaps(
    xs: list[float], ys: list[float], log: bool, skipped: Counter[str]
) -> tuple[list[float], list[float], set[int]]:
    kept_x: list[float] = []
    kept_y: list[float] = []
    breaks: set[int] = set()
    for x, y in zip(xs, ys, strict=True):
        fault = _fault(y, log)
        if fault:
            skipped[fault] += 1
            breaks.add(len(kept_y))
        else:
            kept_x.append(x)
            kept_y.append(y)
    return kept_x, kept_y, breaks


def smooth(xs: Sequence[float], ys: Sequence[float], weight: float) -> list[float]:
    """Exponential moving average of points at any distance, without a bias to its beginning.

    What lies one usual distance of points back weighs `weight` (0 to below 1) times as much. NaN
    and infinities stay and count for nothing. The pages smooth alike.
    """
    finite = (p for p in range(len(xs)) if math.isfinite(xs[p]) and math.isfinite(ys[p]))
    places = sorted(finite, key=xs.__getitem__)
    out = [math.nan if math.isfinite(y) else y for y in ys]
    if not places:
        return out
    spacing = (xs[places[-1]] - xs[places[0]]) / max(1, len(places) - 1)
    before, total, norm = xs[places[0]] - spacing, 0.0, 0.0
    for place in places:
        x = xs[place]
        kept = weight ** ((x - before) / spacing) if spacing > 0 else weight
        total = total * kept + (1 - kept) * ys[place]
        norm = norm * kept + (1 - kept)
        out[place] = total / norm if norm > 0 else ys[place]
        before = x
    return out
