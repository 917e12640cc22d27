"""What the view shows (`Wish`), and what was read and drawn for it (`News`).

The view and the reader share nothing else: both are values, made anew and never changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

from store.api.chart import Line
from store.outline import MetricKey, RunLine

Axis = Literal["step", "time"]


class Drawing(NamedTuple):
    """A chart as it stands on the screen; width and height in cells."""

    metric: str
    width: int
    height: int
    log_y: bool


class Wish(NamedTuple):
    """What has to be read.

    `runs` are the keys of those that are drawn, each in its place of `colors` (none: letters);
    `focus` is the key of the run whose console and remotes are shown.
    """

    runs: tuple[str, ...] = ()
    colors: tuple[str, ...] = ()
    focus: str | None = None
    charts: tuple[Drawing, ...] = ()
    x_axis: Axis = "step"
    smoothing: float = 0.0
    console: int = 0
    """Lines of the console's end."""


class Printed(NamedTuple):
    """A line of the console; `time` in seconds since 1970."""

    time: float
    stream: str
    text: str


class News(NamedTuple):
    """The store as it was found. `metrics`, `troubles`: by a run's key.

    `is_complete` is False while only the lines of an earlier look are known. `unsent` is a sentence
    on the rows of the run in focus that its remotes do not have.
    """

    wish: Wish = Wish()
    is_complete: bool = False
    lines: tuple[RunLine, ...] = ()
    metrics: Mapping[str, tuple[MetricKey, ...]] = {}
    drawn: Mapping[Drawing, tuple[Line, ...]] = {}
    console: tuple[Printed, ...] = ()
    unsent: str = ""
    stale: tuple[str, ...] = ()
    troubles: Mapping[str, str] = {}
