"""A chart as a figure: inline SVG with axes and lines, and a legend with the last values.

Nothing needs a script; `data-scale` says to cursor.js how to read values off the drawing.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final
from xml.etree.ElementTree import Element

from store.api.report.axes import Axis, step_axis, time_axis, value_axis
from store.api.report.lines import path_of
from store.api.report.markup import element, named
from store.api.report.reading import Chart, Trace
from store.api.text import cut_text, format_number, visible
from store.jsontext import to_json

WIDTH: Final = 480
HEIGHT: Final = 226
LEFT: Final = 52
RIGHT: Final = WIDTH - 12
TOP: Final = 8
BOTTOM: Final = HEIGHT - 38
LEGEND: Final = 6
"""So many runs are named at each chart; more of them above all charts."""
MANY: Final = 16
"""Lines of more runs are thinner."""
TOLD: Final = 12
"""So many runs are told of to those who cannot see the chart."""
NAME: Final = 60
MINUS: Final = str.maketrans("-", "\u2212")


def figure(chart: Chart, most: int, *, log_y: bool) -> Element:
    """The chart; `most`: the bytes that each of its lines may have."""
    traces = [trace for trace in chart.traces if not trace.shown.is_empty]
    drawn = element("figure", element("figcaption", named(chart.key)), class_="chart")
    if traces:
        drawn.append(_drawing(chart.key, traces, most, log_y=log_y))
        if len(traces) <= LEGEND:
            drawn.append(_legend(traces))
    else:
        drawn.append(element("p", "nothing that can be drawn", class_="empty"))
    skipped: Counter[str] = Counter()
    for trace in chart.traces:
        skipped.update((trace.raw or trace.shown).skipped)
    if skipped:
        said = ", ".join(f"{count:,} {fault}" for fault, count in skipped.most_common())
        drawn.append(element("p", f"Not drawn: {said}", class_="note"))
    return drawn


def key_of(mark: str) -> Element:
    """A piece of a run's line, for legends and tables."""
    line = element("path", class_=mark, d="M1 4h22")
    return element("svg", line, class_="key", viewBox="0 0 24 8", aria_hidden="true")


def legend_item(name: str, mark: str, *more: Element | str) -> Element:
    """A run in a legend."""
    return element("li", key_of(mark), " ", named(name, NAME), *more)


# -- the drawing -------------------------------------------------------------------------------


def _drawing(key: str, traces: Sequence[Trace], most: int, *, log_y: bool) -> Element:
    x_name, x = _x_axis(traces)
    x_name = cut_text(visible(x_name), NAME)
    y = _y_axis(traces, log_y)
    scale = [x.low / x.unit, x.high / x.unit, x.start, x.end, x.is_whole, *y[:4], y.is_log]
    drawing = element(
        "svg",
        *_x_parts(x, x_name),
        *_y_parts(y),
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        role="img",
        aria_label=_told(key, x_name, traces),
        data_x=x_name,
        data_scale=to_json(scale),
    )
    behind = element("g", class_="raw")
    front = element("g", class_="lines many" if len(traces) > MANY else "lines")
    for trace in traces:
        mark = trace.subject.mark
        if trace.raw is not None:
            behind.append(element("path", class_=mark, d=path_of(trace.raw, x, y, most)))
        title = element("title", cut_text(visible(trace.subject.line.name[: 2 * NAME]), NAME))
        front.append(element("path", title, class_=mark, d=path_of(trace.shown, x, y, most)))
        if len(trace.shown.ys) == 1:
            cx, cy = x.place(trace.shown.xs[0]), y.place(trace.shown.ys[0])
            front.append(element("circle", class_=mark, r=2.5, cx=f"{cx:g}", cy=f"{cy:g}"))
    drawing.extend([behind, front] if len(behind) else [front])
    return drawing


def _x_axis(traces: Sequence[Trace]) -> tuple[str, Axis]:
    low = min(trace.shown.xs[0] for trace in traces)
    high = max(trace.shown.xs[-1] for trace in traces)
    names = {trace.x_name for trace in traces}
    if names == {"time"}:
        unit, axis = time_axis(low, high, LEFT, RIGHT)
        return f"time ({unit})", axis
    name = names.pop() if len(names) == 1 else "step"
    is_whole = all(trace.is_whole for trace in traces)
    return name, step_axis(low, high, LEFT, RIGHT, is_whole=is_whole)


def _y_axis(traces: Sequence[Trace], log_y: bool) -> Axis:
    lines = [line for trace in traces for line in (trace.shown, trace.raw) if line is not None]
    finite = [value for line in lines for value in line.ys if not math.isnan(value)]
    return value_axis(min(finite), max(finite), BOTTOM, TOP, is_log=log_y)


def _x_parts(axis: Axis, name: str) -> Iterator[Element]:
    marks = "".join(f"M{axis.place(at):g} {BOTTOM}v4" for at, _ in axis.ticks)
    yield element("path", class_="axis", d=f"M{LEFT} {BOTTOM}H{RIGHT}{marks}")
    labels = element("g", class_="x", text_anchor="middle")
    for at, text in axis.ticks:
        place = f"{axis.place(at):g}"
        labels.append(element("text", text.translate(MINUS), x=place, y=BOTTOM + 16))
    labels.append(element("text", name, x=(LEFT + RIGHT) / 2, y=HEIGHT - 6, class_="name"))
    yield labels


def _y_parts(axis: Axis) -> Iterator[Element]:
    lines = "".join(f"M{LEFT} {axis.place(at):g}H{RIGHT}" for at, _ in axis.ticks)
    yield element("path", class_="rules", d=lines)
    labels = element("g", class_="y", text_anchor="end")
    for at, text in axis.ticks:
        place = f"{axis.place(at) + 4:g}"
        labels.append(element("text", text.translate(MINUS), x=LEFT - 7, y=place))
    yield labels


def _legend(traces: Sequence[Trace]) -> Element:
    legend = element("ul", class_="legend")
    for trace in traces:
        value = element("span", _number(trace.last), class_="value")
        legend.append(legend_item(trace.subject.line.name, trace.subject.mark, " ", value))
    return legend


def _told(key: str, x_name: str, traces: Sequence[Trace]) -> str:
    """The chart in words."""
    parts = [f"{cut_text(visible(key), NAME)} by {x_name}."]
    for trace in traces[:TOLD]:
        name = cut_text(visible(trace.subject.line.name), NAME)
        reach = f"{_number(trace.least)} to {_number(trace.greatest)}"
        parts.append(f"{name}: last {_number(trace.last)}, {reach}.")
    if len(traces) > TOLD:
        parts.append(f"And {len(traces) - TOLD} more runs.")
    return " ".join(parts)


def _number(value: float | None) -> str:
    return "" if value is None else format_number(value).translate(MINUS)
