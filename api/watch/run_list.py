"""The list of runs: state, name, age; a cursor, and the runs that are drawn together."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from typing import ClassVar, Final

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from store.api.text import format_age
from store.api.watch import look
from store.outline import RunLine

AGE: Final = 5
"""Cells of the longest age: `59 s`, `364 d`."""


class RunList(ScrollView, can_focus=True):
    """Shows `lines`; the cursor stays with its run when others come and go."""

    DEFAULT_CSS: ClassVar[str] = "RunList { overflow-x: hidden; }"

    class Moved(Message):
        """The cursor is on another run."""

    class Toggled(Message):
        """A run was chosen, or no longer."""

    class Opened(Message):
        """A run alone is to be seen."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self.lines: Sequence[RunLine] = ()
        self.shown: list[RunLine] = []
        self.current: str | None = None
        self.empty = ""
        self._marks: Mapping[str, tuple[str, str]] = {}
        self._pattern: re.Pattern[str] | None = None
        self._ages: list[str] = []

    def update_lines(self, lines: Sequence[RunLine]) -> None:
        """Show these runs."""
        self.lines = lines
        self._choose()

    def update_marks(self, marks: Mapping[str, tuple[str, str]]) -> None:
        """(mark, colour) of the runs that are drawn, by key."""
        if marks != self._marks:
            self._marks = dict(marks)
            self.refresh()

    def filter(self, pattern: re.Pattern[str] | None) -> None:
        """Show only runs whose name, path, state, group or tags match."""
        self._pattern = pattern
        self._choose()

    def _choose(self) -> None:
        before = self.cursor
        self.shown = [line for line in self.lines if self._matches(line)]
        if self.current not in {line.key for line in self.shown}:
            # The run has gone: the one that took its place.
            place = min(before, len(self.shown) - 1)
            self.current = self.shown[place].key if self.shown else None
            self.post_message(self.Moved())
        self.virtual_size = Size(0, len(self.shown))
        self._refresh_title()
        self.refresh()

    def _matches(self, line: RunLine) -> bool:
        facts = (line.name, line.path, line.state, line.group or "", line.tags)
        return self._pattern is None or any(map(self._pattern.search, facts))

    def _refresh_title(self) -> None:
        total, shown = len(self.lines), len(self.shown)
        self.border_title = f"Runs {total:,}" if shown == total else f"Runs {shown:,} of {total:,}"

    @property
    def cursor(self) -> int:
        """The place of the run under the cursor."""
        return next((n for n, line in enumerate(self.shown) if line.key == self.current), 0)

    def move_to(self, place: int) -> None:
        """Put the cursor on the run at a place of the list."""
        if not self.shown:
            return
        place = max(0, min(place, len(self.shown) - 1))
        if self.shown[place].key != self.current:
            self.current = self.shown[place].key
            self.post_message(self.Moved())
            self.refresh()
        self.scroll_to_region(Region(0, place, 1, 1), animate=False)

    def refresh_ages(self) -> None:
        """Draw anew where an age reads otherwise than before."""
        if self._seen_ages() != self._ages:
            self.refresh()

    def _seen_ages(self) -> list[str]:
        top = self.scroll_offset.y
        now = time.time()
        return [_age(line, now) for line in self.shown[top : top + self.size.height]]

    def render_line(self, y: int) -> Strip:
        width, place = self.scrollable_content_region.width, y + self.scroll_offset.y
        if y == 0:
            self._ages = self._seen_ages()
        if place >= len(self.shown):
            text = self.empty if not self.lines and y == 1 else ""
            quiet = [Segment(look.fit(f"  {text}", width), Style(color=look.MUTED))]
            return look.segments_strip(quiet, width, self.rich_style)
        line = self.shown[place]
        is_current = line.key == self.current
        back = Style(bgcolor=look.RAISED) if is_current else Style()
        bar = look.ACCENT if self.has_focus else look.MUTED
        mark, color = self._marks.get(line.key, (" ", look.MUTED))
        state, state_color = look.STATES.get(line.state, ("?", look.MUTED))
        room = width - AGE - 6
        segments = [
            Segment("▌" if is_current else " ", Style(color=bar)),
            Segment(mark, Style(color=color, bold=True)),
            Segment(f" {state} ", Style(color=state_color)),
            Segment(look.fit(look.clean(line.name), room), Style(bold=is_current)),
            Segment(f"{_age(line, time.time()):>{AGE}} ", Style(color=look.MUTED)),
        ]
        return look.segments_strip(segments, width, self.rich_style + back)

    def key_move(self, rows: int) -> None:
        """Move the cursor by so many runs."""
        self.move_to(self.cursor + rows)

    @property
    def page(self) -> int:
        """Runs that are seen at once."""
        return max(1, self.size.height)

    def on_click(self, event: events.Click) -> None:
        place = event.y - self.gutter.top + self.scroll_offset.y
        if not 0 <= place < len(self.shown):
            return
        at_mark = event.x < 3
        self.move_to(place)
        self.post_message(self.Toggled() if at_mark or event.ctrl else self.Opened())

    def on_resize(self) -> None:
        self.scroll_to_region(Region(0, self.cursor, 1, 1), animate=False)


def _age(line: RunLine, now: float) -> str:
    return "" if line.created is None else format_age(now - line.created)
