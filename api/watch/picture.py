"""From series to the lines of a chart: x axis, smoothing, colours."""

from __future__ import annotations

import math
from collections.abc import Sequence
from operator import is_
from typing import Final, NamedTuple

from store.api.chart import Line, chart_lines
from store.api.curve import smooth
from store.api.watch.wish import Axis, Drawing, Wish
from store.row import SYSTEM
from store.series import Series

FAINT: Final = "faint "
"""Before the colour of a line that stands behind its smoothed one."""
_UNITS: Final = (("s", 1.0, 180.0), ("min", 60.0, 3 * 3600.0), ("h", 3600.0, math.inf))


class Source(NamedTuple):
    """A run's part of a chart; `began` in seconds since 1970."""

    name: str
    color: str
    began: float
    series: Series


class Pictures:
    """The charts that were drawn last, kept as long as neither they nor their series change."""

    def __init__(self, *, ascii_only: bool = False) -> None:
        self._ascii_only = ascii_only
        self._kept: dict[object, tuple[list[Series], tuple[Line, ...]]] = {}

    def draw(
        self, wish: Wish, sources: Sequence[Sequence[Source]]
    ) -> dict[Drawing, tuple[Line, ...]]:
        """The charts of the wish; `sources` are those of each."""
        kept: dict[object, tuple[list[Series], tuple[Line, ...]]] = {}
        drawn = {}
        for chart, runs in zip(wish.charts, sources, strict=True):
            how = (chart, wish.x_axis, wish.smoothing, tuple(source[:3] for source in runs))
            series = [source.series for source in runs]
            before = self._kept.get(how)
            if before is not None and all(map(is_, before[0], series)):
                kept[how] = before
            else:
                lines = draw(chart, runs, wish.x_axis, wish.smoothing, ascii_only=self._ascii_only)
                kept[how] = series, lines
            drawn[chart] = kept[how][1]
        self._kept = kept
        return drawn


def draw(
    drawing: Drawing,
    sources: Sequence[Source],
    x_axis: Axis,
    smoothing: float,
    *,
    ascii_only: bool = False,
) -> tuple[Line, ...]:
    """The lines of the chart; time is that since each run began."""
    # What the machine did has no steps of its own.
    name, columns = _columns(sources, "time" if drawing.metric.startswith(SYSTEM) else x_axis)
    curves: list[tuple[str, Sequence[float], Sequence[float]]] = [
        (source.name, xs, source.series.values) for source, xs in zip(sources, columns, strict=True)
    ]
    colors = [source.color for source in sources if source.color]
    behind = 0
    if smoothing:
        smoothed = [(title, xs, smooth(xs, ys, smoothing)) for title, xs, ys in curves]
        behind, curves = len(curves), [*curves, *smoothed]
        colors = [*(FAINT + color for color in colors), *colors]
    return tuple(
        chart_lines(
            curves,
            width=drawing.width,
            height=drawing.height,
            x_label=name,
            log_y=drawing.log_y,
            ascii_only=ascii_only,
            colors=colors,
            behind=behind,
            has_heading=False,
        )
    )


def _columns(sources: Sequence[Source], x_axis: Axis) -> tuple[str, Sequence[Sequence[float]]]:
    """The name of the x axis, and the values on it."""
    if x_axis == "step":
        names = {source.series.x_name for source in sources if len(source.series)}
        return names.pop() if len(names) == 1 else "step", [s.series.x for s in sources]
    longest = max((max(s.series.times) - s.began for s in sources if len(s.series)), default=0.0)
    unit, length, _ = next(unit for unit in _UNITS if not longest >= unit[2])
    return unit, [[(time - s.began) / length for time in s.series.times] for s in sources]
