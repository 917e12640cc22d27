"""What is known of the run under the cursor: state, times, config, summary, git."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import ClassVar, Final, NamedTuple

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from store.api.text import (
    cut_text,
    flat,
    format_age,
    format_number,
    format_size,
    short_exponent,
    text_width,
)
from store.api.watch import look
from store.jsontext import from_json
from store.outline import MetricKey, RunLine, flatten
from store.row import SYSTEM

COMMIT: Final = 12
"""Digits of a commit that tell it apart."""


class Fact(NamedTuple):
    """A line: `heading` alone, or a key and its value."""

    key: str
    value: str = ""
    color: str | None = None
    is_heading: bool = False


class Overview(ScrollView, can_focus=True):
    """Shows one run; scrolls."""

    DEFAULT_CSS: ClassVar[str] = "Overview { overflow-x: hidden; }"

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._facts: list[Fact] = []
        self._key: str | None = None

    def update_run(
        self, line: RunLine | None, metrics: Sequence[MetricKey], unsent: str, trouble: str
    ) -> None:
        """Show this run."""
        facts = list(facts_of(line, metrics, unsent, trouble)) if line is not None else []
        key = line.key if line is not None else None
        if key != self._key:
            self._key = key
            self.scroll_to(y=0, animate=False)
        if facts != self._facts:
            self._facts = facts
            self.virtual_size = Size(0, len(facts))
            self.refresh()

    def key_move(self, rows: int) -> None:
        """Scroll by so many lines."""
        self.scroll_relative(y=rows, animate=False)

    def move_to(self, place: int) -> None:
        """Scroll to a line."""
        self.scroll_to(y=place, animate=False)

    @property
    def page(self) -> int:
        """Lines that are seen at once."""
        return max(1, self.size.height - 1)

    def render_line(self, y: int) -> Strip:
        width, place = self.scrollable_content_region.width, y + self.scroll_offset.y
        segments: list[Segment] = []
        if place < len(self._facts):
            fact = self._facts[place]
            color = Style(color=fact.color) if fact.color else Style()
            if fact.is_heading:
                segments = [Segment(cut_text(f" {fact.key}", width - 1), color + Style(bold=True))]
            else:
                segments = list(self._pair(fact, width, color))
        return look.segments_strip(segments, width, self.rich_style)

    def _pair(self, fact: Fact, width: int, color: Style) -> Iterator[Segment]:
        """The key, and the value at the right edge, or cut where they do not fit."""
        key = cut_text(fact.key, max(8, width // 2 - 2))
        room = max(0, width - text_width(key) - 4)
        value = cut_text(fact.value, room)
        space = " " * max(1, width - 3 - text_width(key) - text_width(value))
        yield Segment(f" {key}{space}", Style(color=look.MUTED))
        yield Segment(f" {value} ", color)


def facts_of(
    line: RunLine, metrics: Sequence[MetricKey], unsent: str, trouble: str
) -> Iterator[Fact]:
    """The lines of the overview, all texts harmless."""
    for fact in _facts(line, metrics, unsent, trouble):
        if fact.is_heading or fact.value:
            yield fact._replace(key=look.clean(fact.key), value=look.clean(fact.value))


def _facts(
    line: RunLine, metrics: Sequence[MetricKey], unsent: str, trouble: str
) -> Iterator[Fact]:
    mark, color = look.STATES.get(line.state, ("?", None))
    yield Fact(line.name, is_heading=True)
    yield Fact("state", f"{mark} {line.state}", color)
    yield Fact("damaged", line.error or "", look.BAD)
    yield Fact("trouble", trouble, look.BAD)
    yield Fact("id", line.id)
    yield Fact("project", f"{line.entity}/{line.project}")
    yield Fact("started", _when(line.created))
    if line.created is not None and line.updated is not None:
        word = "last row after" if line.state == "running" else "took"
        yield Fact(word, _span(line.updated - line.created))
    yield Fact("step", "" if line.steps is None else f"{line.steps:,}")
    yield Fact("rows", f"{line.rows:,}")
    yield Fact("remotes", unsent, look.WARN if unsent and unsent[0] != "0" else None)
    yield Fact("size", format_size(line.size))
    yield Fact("host", line.host or "")
    yield Fact("writers", f"{line.writers:,}" if line.writers > 1 else "")
    yield Fact("group", line.group or "")
    yield Fact("job type", line.job_type or "")
    yield Fact("tags", ", ".join(from_json(line.tags)))
    yield Fact("notes", line.notes or "")
    yield Fact("command", line.command or "")
    yield from _git(from_json(line.attributes).get("git"))
    yield from _section("Summary", _summary(line))
    yield from _section("Config", _config(line))
    yield from _section("Range", _spreads(metrics))


def _section(title: str, facts: Iterator[Fact]) -> Iterator[Fact]:
    listed = list(facts)
    if listed:
        yield Fact("", is_heading=True)
        yield Fact(title, is_heading=True, color=look.ACCENT)
        yield from listed


def _git(said: object) -> Iterator[Fact]:
    if not isinstance(said, dict):
        return
    yield Fact("commit", str(said.get("commit") or "")[:COMMIT])
    changed = " (changed)" if said.get("dirty") else ""
    yield Fact("branch", f"{said['branch']}{changed}" if said.get("branch") else changed.strip())
    yield Fact("remote", str(said.get("remote") or ""))


def _config(line: RunLine) -> Iterator[Fact]:
    for key, value, kind in flatten(from_json(line.config)):
        yield Fact(key, short(bool(value) if kind == "bool" else value))


def _summary(line: RunLine) -> Iterator[Fact]:
    nan = set(from_json(line.nan))
    for key, value in from_json(line.summary).items():
        if not key.startswith(SYSTEM):
            yield Fact(key, "NaN" if key in nan else short(value))


def _spreads(metrics: Sequence[MetricKey]) -> Iterator[Fact]:
    for metric in metrics:
        if metric.points > 1:
            low, high = short(metric.least), short(metric.greatest)
            yield Fact(metric.key, f"{low} … {high}" if low else "NaN")


def short(value: object) -> str:
    """A value in a few digits, or as text."""
    if type(value) is int and abs(value) >= 10**7:
        value = float(value)
    if type(value) is float and abs(value) >= 1e7:
        return short_exponent(f"{value:.5g}")
    if isinstance(value, bool | int | float):
        return format_number(value)
    return "" if value is None else str(flat(value))


def _when(seconds: float | None) -> str:
    if seconds is None:
        return ""
    try:
        return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))
    except (ValueError, OverflowError, OSError):
        return str(seconds)


def _span(seconds: float) -> str:
    return f"{max(0.0, seconds):.2g} s" if seconds < 10 else format_age(seconds)
