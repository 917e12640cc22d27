"""What a report is made of, read from a store: runs, and the lines of their charts.

A series is read once and thinned at once, so that a report of many long runs fits into memory.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from typing import Any, Final, Literal, NamedTuple

from store.api.cli_runs import Run
from store.api.curve import smooth
from store.api.report.colours import marks_of
from store.api.report.lines import Line, thin_line
from store.errors import UsageError
from store.jsontext import from_json
from store.outline import MetricKey, RunLine
from store.query import Store
from store.reading import reading
from store.row import SYSTEM
from store.series import Series, read_series
from store.summarize import read_definitions

XAxis = Literal["step", "time"]
OTHERS: Final = "metrics"
"""The group of keys without a prefix."""


class Wish(NamedTuple):
    """What is asked for. `keys`: a regular expression; `smoothing`: 0 to below 1."""

    keys: str | None = None
    x_axis: XAxis = "step"
    smoothing: float = 0.0
    log_y: bool = False


class Subject(NamedTuple):
    """A run of the report; `mark`: the classes of its colour."""

    line: RunLine
    mark: str
    config: dict[str, Any]
    summary: dict[str, Any]

    @property
    def attributes(self) -> dict[str, Any]:
        return dict(from_json(self.line.attributes))


class Trace(NamedTuple):
    """A run's part of a chart: `shown`, and behind it `raw` where that was smoothed.

    `last` is None where there is no finite value; `least` and `greatest` leave NaN out.
    """

    subject: Subject
    shown: Line
    raw: Line | None
    x_name: str
    is_whole: bool
    last: float | None
    least: float | None
    greatest: float | None


class Chart(NamedTuple):
    key: str
    traces: list[Trace]


def subjects_of(lines: Sequence[RunLine]) -> list[Subject]:
    """The runs in their order."""
    marks = marks_of([line.id for line in lines])
    runs = map(Run, lines)
    return [
        Subject(run.line, mark, run.config, run.summary)
        for run, mark in zip(runs, marks, strict=True)
    ]


def read_charts(store: Store, subjects: Sequence[Subject], wish: Wish) -> list[Chart]:
    """The charts of the metrics that are asked for, by name.

    Without `keys`: of all that have more than one point, but for those about the machine.

    Raises:
        UsageError: `keys` is no regular expression, or fits no metric.
    """
    logged = [_drawable(store.catalogue.metric_keys(subject.line), wish) for subject in subjects]
    if wish.keys is not None and not any(logged):
        raise _no_such_metric(store, subjects, wish.keys)
    charts: dict[str, list[Trace]] = {}
    for subject, keys in zip(subjects, logged, strict=True):
        for key, trace in _read(store, subject, keys, wish):
            charts.setdefault(key, []).append(trace)
    return [Chart(key, charts[key]) for key in sorted(charts, key=_naturally)]


def grouped(charts: Iterable[Chart]) -> list[tuple[str, list[Chart]]]:
    """The charts by the first part of their keys; those without a prefix come last."""
    groups: dict[str, list[Chart]] = {}
    for chart in charts:
        prefix, slash, _ = chart.key.partition("/")
        groups.setdefault(prefix if prefix and slash else OTHERS, []).append(chart)
    return sorted(groups.items(), key=lambda group: (group[0] == OTHERS, _naturally(group[0])))


def _drawable(logged: Sequence[MetricKey], wish: Wish) -> dict[str, MetricKey]:
    if wish.keys is None:
        found = [m for m in logged if m.points > 1 and not m.key.startswith(SYSTEM)]
    else:
        found = [m for m in logged if m.points and _pattern(wish.keys).search(m.key)]
    return {metric.key: metric for metric in found}


def _pattern(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        raise UsageError(f"--keys: {error}", hint="it takes a regular expression") from error


def _no_such_metric(store: Store, subjects: Sequence[Subject], asked: str) -> UsageError:
    known = sorted({m.key for s in subjects for m in store.catalogue.metric_keys(s.line)})
    close = get_close_matches(asked, known, n=3) or known[:5]
    hint = f"there are {', '.join(close)}" if close else "the runs have none at all"
    return UsageError(f"no metric fits {asked!r}", hint=hint)


def _read(
    store: Store, subject: Subject, keys: dict[str, MetricKey], wish: Wish
) -> Iterator[tuple[str, Trace]]:
    if not keys:
        return
    with reading(store.folder.run_of(subject.line.key)) as connection:
        definitions = read_definitions(connection)
        for key, metric in keys.items():
            series = read_series(connection, key, None, definitions.of(key).step_metric)
            if series:  # tables and pictures have no points
                yield key, _trace(subject, series, metric, wish)


def _trace(subject: Subject, series: Series, metric: MetricKey, wish: Wish) -> Trace:
    xs: Sequence[float] = series.x
    if wish.x_axis == "time":
        began = subject.line.created or 0.0
        xs = [time - began for time in series.times]
    shown = line = thin_line(xs, series.values, log_y=wish.log_y)
    if wish.smoothing:
        smoothed = smooth(xs, series.values, wish.smoothing)
        shown = thin_line(xs, smoothed, log_y=wish.log_y)
    return Trace(
        subject,
        shown,
        line if wish.smoothing else None,
        series.x_name if wish.x_axis == "step" else "time",
        wish.x_axis == "step" and all(x.is_integer() for x in line.xs),
        next((value for value in reversed(series.values) if math.isfinite(value)), None),
        metric.least,
        metric.greatest,
    )


def _naturally(text: str) -> list[tuple[int, int | str]]:
    """Sorts layer2 before layer10."""
    parts = re.split(r"(\d+)", text)
    return [(0, int(part)) if part.isdecimal() else (1, part.casefold()) for part in parts if part]
