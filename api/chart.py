"""A line chart made of braille dots, or of ASCII where the terminal has no braille.

Every character cell is 2 x 4 dots. A series is reduced to the first, lowest, highest and last point
of each column of dots (M4): the same picture as from all points, without a Python loop over the
points of a series that is finite and sorted. Points are drawn in the order of x. NaN, infinities
and what a logarithm cannot take interrupt the line and are counted below the chart. A line is never
wider than `width`; the chart is never higher than `height`, but has at least 3 rows to draw on.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TextIO

from store.api.curve import SMALLEST, Curve
from store.api.text import cut_text, format_number, text_width, visible
from store.api.ticks import Ticks, labelled, linear_ticks, log_ticks

Series = tuple[str, Sequence[float], Sequence[float]]
Line = list[tuple[str, str]]
"""(text, style) spans; a style is DIM, BOLD, a series' colour or ""."""
_Canvas = list[list[int]]  # braille bits by row and column

_BITS: Final = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
_COLORS: Final = ("36", "33", "35", "32", "34", "31", "96", "93", "95", "92", "94", "91")
_LETTERS: Final = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
DIM: Final = "2"
BOLD: Final = "1"
_MIN_ROWS: Final = 3
_LOOSEST: Final = 1.6
"""How much longer than its values an axis may be for the sake of round ends."""


@dataclass(frozen=True, slots=True)
class _Glyphs:
    axis: str
    tick: str
    corner: str
    line: str
    mark: str
    point: str
    dots: str


_BRAILLE: Final = _Glyphs("│", "┤", "└", "─", "┬", "●", "…")
_ASCII: Final = _Glyphs("|", "+", "+", "-", "+", "*", "~")


def supports_braille(stream: TextIO) -> bool:
    """Whether the encoding of `stream` has the characters of a chart without `ascii_only`."""
    try:
        "⣿┤●…".encode(getattr(stream, "encoding", None) or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def line_chart(
    series: Sequence[Series],
    *,
    width: int,
    height: int,
    title: str = "",
    x_label: str = "step",
    log_y: bool = False,
    ascii_only: bool = False,
    color: bool = False,
) -> list[str]:
    """The lines of a chart of `series`, each (name, xs, ys) with as many xs as ys.

    `width` (cells) and `height` (lines) are those of the whole chart. Several series are told apart
    by colour, or without it by letters on the lines; only `color` writes ANSI codes. ValueError: xs
    and ys of a series differ in length.
    """
    glyphs = _ASCII if ascii_only else _BRAILLE
    lines = chart_lines(
        series,
        width=width,
        height=height,
        title=title,
        x_label=x_label,
        log_y=log_y,
        ascii_only=ascii_only,
        colors=_COLORS if color else (),
    )
    return [_render(line, width, color, glyphs) for line in lines]


def chart_lines(
    series: Sequence[Series],
    *,
    width: int,
    height: int,
    title: str = "",
    x_label: str = "step",
    log_y: bool = False,
    ascii_only: bool = False,
    colors: Sequence[str] = (),
    behind: int = 0,
    has_heading: bool = True,
) -> list[Line]:
    """The lines of `line_chart` for others to colour; only `line_chart` cuts them to `width`.

    Args:
        colors: the styles of the series; with fewer than there are series, letters tell them apart.
        behind: so many of the first series stand behind the others, without a name.
        has_heading: False leaves out title and legend.
    """
    glyphs = _ASCII if ascii_only else _BRAILLE
    curves = [Curve.of(_label(name, glyphs), xs, ys, log_y) for name, xs, ys in series]
    style = _Style(len(curves), behind, colors, glyphs)
    foot = _footer(curves[behind:])
    head = _heading(_label(title, glyphs), curves, style, width, max(1, height // 4))
    head = head if has_heading else []
    rows = max(_MIN_ROWS, height - len(head) - len(foot) - 2)
    low, high, ticks = _y_scale(curves, rows, log_y)
    x_name = cut_text(_label(x_label, glyphs), 12, glyphs.dots)
    gutter = max([text_width(x_name), *(len(text) for _, text in ticks)])
    gutter = gutter if gutter + 10 <= width else 0
    left = gutter + 2 if gutter else 1
    edges = [x for curve in curves for x in (*curve.xs[:1], *curve.xs[-1:])]
    first, last = min(edges, default=0.0), max(edges, default=0.0)
    last = last if last - first > max(1e-14 * abs(last), SMALLEST) else first
    frame = _Frame(max(1, width - left), rows, first, last, low, high)
    body = _body(curves, frame, style)
    lines = [*_indented(head, left, width), *_y_axis(body, frame, ticks, gutter, glyphs)]
    lines += _x_axis(curves, frame, x_name if gutter else "", left, glyphs)
    return [*lines, *foot]


def _label(text: str, glyphs: _Glyphs) -> str:
    text = visible(text)
    return text.encode("ascii", "replace").decode("ascii") if glyphs is _ASCII else text


@dataclass(frozen=True, slots=True)
class _Frame:
    """The drawing: `columns` x `rows` cells, `first` <= x <= `last`, `low` <= y <= `high`."""

    columns: int
    rows: int
    first: float
    last: float
    low: float
    high: float

    def column_of(self, x: float) -> int:
        """The column of dots of `x`; a frame without extent has its only x in the middle."""
        span, dots = self.last - self.first, 2 * self.columns - 1
        return round((x - self.first) / span * dots) if span else dots // 2

    def row_of(self, y: float) -> int:
        return round((self.high - y) / (self.high - self.low) * (4 * self.rows - 1))

    def buckets(self, xs: list[float]) -> Iterator[tuple[int, int, int]]:
        """(start, stop, column of dots) of the points that share a column."""
        span, dots = self.last - self.first, 2 * self.columns - 1
        start = 0
        while start < len(xs):
            column = self.column_of(xs[start])
            border = self.first + (column + 0.5) / dots * span
            stop = bisect_left(xs, border, start + 1) if span else len(xs)
            yield start, stop, column
            start = stop

    def draw(self, curve: Curve) -> _Canvas:
        canvas = [[0] * self.columns for _ in range(self.rows)]
        before: tuple[int, int] | None = None
        for start, stop, column in self.buckets(curve.xs):
            part = curve.ys[start:stop]
            if before and start not in curve.breaks:
                _draw_line(canvas, *before, column, self.row_of(part[0]))
            _draw_line(canvas, column, self.row_of(max(part)), column, self.row_of(min(part)))
            before = column, self.row_of(part[-1])
        return canvas


def _draw_line(canvas: _Canvas, column: int, row: int, to_column: int, to_row: int) -> None:
    steps = max(abs(to_column - column), abs(to_row - row), 1)
    for step in range(steps + 1):
        x = column + (2 * step * (to_column - column) + steps) // (2 * steps)
        y = row + (2 * step * (to_row - row) + steps) // (2 * steps)
        canvas[y >> 2][x >> 1] |= _BITS[y & 3][x & 1]


class _Style:
    """How series are told apart."""

    def __init__(self, count: int, behind: int, colors: Sequence[str], glyphs: _Glyphs) -> None:
        self.behind = behind
        self.glyphs = glyphs
        self._colors = colors
        self.lettered = count - behind > 1 and count > len(colors)

    def code(self, index: int) -> str:
        return self._colors[index % len(self._colors)] if self._colors else ""

    def letter(self, index: int) -> str:
        place = index - self.behind
        return _LETTERS[place % len(_LETTERS)] if self.lettered and place >= 0 else ""


def _body(curves: list[Curve], frame: _Frame, style: _Style) -> list[Line]:
    canvases = [frame.draw(curve) for curve in curves]
    lines: list[Line] = [[(" ", "")] * frame.columns for _ in range(frame.rows)]
    for row in range(frame.rows):
        for column in range(frame.columns):
            parts = [canvas[row][column] for canvas in canvases]
            if any(parts[style.behind :]):
                parts[: style.behind] = [0] * style.behind
            bits = 0
            for part in parts:
                bits |= part
            if bits:
                # Of several series in one cell the one with most dots is seen, or the later one.
                owner = max(range(len(parts)), key=lambda index: (parts[index].bit_count(), index))
                lines[row][column] = (_glyph(bits, owner, style), style.code(owner))
    for index, (curve, canvas) in enumerate(zip(curves, canvases, strict=True)):
        for row, column in _marks(curve, canvas, index, len(curves), style):
            mark = style.letter(index) or style.glyphs.point
            lines[row][column] = (mark, style.code(index))
    if not any(curve.xs for curve in curves):
        text = "no points to show"[: frame.columns]
        start = (frame.columns - len(text)) // 2
        lines[frame.rows // 2][start : start + len(text)] = [(char, DIM) for char in text]
    return lines


def _glyph(bits: int, owner: int, style: _Style) -> str:
    if style.glyphs is not _ASCII:
        return chr(0x2800 + bits)
    return style.letter(owner) or _ascii_glyph(bits)


def _ascii_glyph(bits: int) -> str:
    left = [row for row in range(4) if bits & _BITS[row][0]]
    right = [row for row in range(4) if bits & _BITS[row][1]]
    rows = left + right
    if left and right and sum(left) / len(left) != sum(right) / len(right) and len(set(rows)) > 1:
        return "\\" if sum(left) / len(left) < sum(right) / len(right) else "/"
    if len(set(rows)) > 2:
        return "|"
    middle = sum(rows) / len(rows)
    return "'" if middle < 1 else "-" if middle <= 2 else "."


def _marks(
    curve: Curve, canvas: _Canvas, index: int, count: int, style: _Style
) -> Iterator[tuple[int, int]]:
    """The cells that carry a letter (or the only point): one in about 16 columns, staggered."""
    if not style.lettered and len(curve.xs) != 1:
        return
    columns = len(canvas[0])
    used = [column for column in range(columns) if any(line[column] for line in canvas)]
    every = max(16, 4 * count)
    offset = (2 * index + 1) * every // (2 * count)
    chosen = [column for column in used if column % every == offset] or used[-1:]
    for column in chosen:
        rows = [row for row, line in enumerate(canvas) if line[column]]
        yield rows[len(rows) // 2], column


def _y_scale(curves: list[Curve], rows: int, log: bool) -> tuple[float, float, Ticks]:
    """Lowest and highest y, and the ticks; a constant has one tick, in the middle."""
    drawn = [curve.ys for curve in curves if curve.ys]
    if not drawn:
        return 0.0, 1.0, []
    low, high = min(map(min, drawn)), max(map(max, drawn))
    size = max(abs(low), abs(high))
    if high - low <= max(1e-12 * size, SMALLEST):
        middle = 10**low if log else low
        return low - (size or 1.0), high + (size or 1.0), [(low, format_number(middle))]
    if log:
        return low, high, log_ticks(low, high, rows)
    ticks = linear_ticks(low, high, rows)
    if ticks[-1][0] - ticks[0][0] > _LOOSEST * (high - low):
        finer = linear_ticks(low, high, 2 * rows)
        return low, high, [tick for tick in finer if low <= tick[0] <= high]
    return ticks[0][0], ticks[-1][0], ticks


def _y_axis(
    body: list[Line], frame: _Frame, ticks: Ticks, gutter: int, glyphs: _Glyphs
) -> Iterator[Line]:
    labels = {frame.row_of(position) // 4: text for position, text in ticks}
    for row, line in enumerate(body):
        text = f"{labels.get(row, ''):>{gutter}} " if gutter else ""
        yield [(text + (glyphs.tick if row in labels else glyphs.axis), DIM), *line]


def _x_axis(
    curves: list[Curve], frame: _Frame, name: str, left: int, glyphs: _Glyphs
) -> Iterator[Line]:
    """The axis with marks below the first, middle and last x, and the line of their labels."""
    labels = _x_labels(curves, frame)
    axis = [glyphs.line] * frame.columns
    text = [" "] * frame.columns
    for x, label in labels:
        column = min(frame.column_of(x) // 2, frame.columns - 1)
        start = min(max(0, column - len(label) // 2), max(0, frame.columns - len(label)))
        if x == frame.first and len(labels) > 1:
            start = 0
        around = text[max(0, start - 2) : start + len(label) + 2]
        if start + len(label) <= frame.columns and not "".join(around).strip():
            text[start : start + len(label)] = label
            axis[column] = glyphs.mark
    yield [(" " * (left - 1) + glyphs.corner + "".join(axis), DIM)]
    space = " " * (left - 2 - text_width(name)) + name + "  " if name else " " * left
    yield [(space + "".join(text), DIM)]


def _x_labels(curves: list[Curve], frame: _Frame) -> Ticks:
    """First, last and middle x, in the order in which they get room; one if all x are the same."""
    if not any(curve.xs for curve in curves):
        return []
    first, last = frame.first, frame.last
    middle = first / 2 + last / 2
    if first == last:
        return [(first, format_number(first))]
    step = (last - first) / 200
    if all(x.is_integer() for curve in curves for x in (*curve.xs[:1000], *curve.xs[-1:])):
        step, middle = max(1.0, step), float(round(middle))
    ticks = labelled([first, last, middle], step, 12)
    return [(x, text.rstrip("0").rstrip(".") if "." in text else text) for x, text in ticks]


def _heading(title: str, curves: list[Curve], style: _Style, width: int, most: int) -> list[Line]:
    """The title (or the name of the only series) and a legend of at most `most` lines."""
    count = len(curves) - style.behind
    if count == 1:
        title = title or curves[-1].name
    lines: list[Line] = [[(cut_text(title, width, style.glyphs.dots), BOLD)]] if title else []
    legend: list[Line] = [[]]
    used = 0
    for index, curve in list(enumerate(curves))[style.behind :] if count > 1 else []:
        line = style.glyphs.line
        mark = line + (style.letter(index) or line) + line
        name = cut_text(curve.name, max(1, width - 8), style.glyphs.dots)
        size = text_width(mark) + 1 + text_width(name)
        if used and used + 3 + size > width:
            if len(legend) == most:
                break
            legend.append([])
            used = 0
        gap = "   " if used else ""
        legend[-1] += [(gap, ""), (mark, style.code(index)), (f" {name}", "")]
        used += len(gap) + size
    return lines + [line for line in legend if line]


def _indented(lines: list[Line], left: int, width: int) -> list[Line]:
    """The lines, above the drawing if they fit there."""
    longest = max((sum(text_width(text) for text, _ in line) for line in lines), default=0)
    return [[(" " * left, ""), *line] for line in lines] if left + longest <= width else lines


def _footer(curves: list[Curve]) -> list[Line]:
    skipped: Counter[str] = Counter()
    for curve in curves:
        skipped.update(curve.skipped)
    parts = ", ".join(f"{count} {fault}" for fault, count in skipped.most_common())
    return [[(f"not shown: {parts}", DIM)]] if parts else []


def _render(line: Line, width: int, color: bool, glyphs: _Glyphs) -> str:
    """The line as text of at most `width` cells, equal codes joined, blanks at the end dropped."""
    room, spans = width, list[list[str]]()
    for text, code in line:
        part = cut_text(text, room, glyphs.dots)
        room -= text_width(part)
        shown = code if color and part.strip() else ""
        if spans and spans[-1][1] == shown:
            spans[-1][0] += part
        else:
            spans.append([part, shown])
    while spans and not spans[-1][0].strip():
        spans.pop()
    if spans:
        spans[-1][0] = spans[-1][0].rstrip()
    return "".join(f"\x1b[{code}m{text}\x1b[0m" if code else text for text, code in spans)
