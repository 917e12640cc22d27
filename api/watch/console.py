"""The end of what a run prints; follows while nobody scrolls up."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import ClassVar, Final

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from store.api.watch import look
from store.api.watch.wish import Printed

LINES: Final = 1000
"""So many of the last lines can be scrolled through."""
_CLOCK: Final = 9


class Console(ScrollView, can_focus=True):
    """Shows lines of the console, each in one line of the screen."""

    DEFAULT_CSS: ClassVar[str] = "Console { overflow-x: hidden; }"

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._lines: Sequence[Printed] = ()
        self._key: str | None = None
        self.is_following = True

    def update_lines(self, key: str | None, lines: Sequence[Printed]) -> None:
        """Show the lines of the run with that key."""
        if key == self._key and lines == self._lines:
            return
        if key != self._key:
            self.is_following = True
        self._key, self._lines = key, lines
        self.virtual_size = Size(0, len(lines))
        if self.is_following:
            self._to_end()
        self._refresh_title()
        self.refresh()

    def key_move(self, rows: int) -> None:
        """Scroll by so many lines."""
        self.move_to(self.scroll_offset.y + rows)

    def move_to(self, place: int) -> None:
        """Scroll to a line."""
        self.scroll_to(y=place, animate=False, immediate=True)
        self._look_where()

    @property
    def page(self) -> int:
        """Lines that are seen at once."""
        return max(1, self.size.height - 1)

    def on_mouse_scroll_up(self) -> None:
        self.call_after_refresh(self._look_where)

    def on_mouse_scroll_down(self) -> None:
        self.call_after_refresh(self._look_where)

    def _look_where(self) -> None:
        """Who scrolls up does not want to follow; who is at the end does."""
        self.is_following = round(self.scroll_target_y) >= self.max_scroll_y
        self._refresh_title()

    def _refresh_title(self) -> None:
        title = "Console" if self.is_following else "Console  End follows again"
        if title != self.border_title:
            self.border_title = title

    def on_resize(self) -> None:
        if self.is_following:
            self._to_end()

    def _to_end(self) -> None:
        # Not before the layout knows how long the content is.
        self.call_after_refresh(self.scroll_end, animate=False, immediate=True)

    def render_line(self, y: int) -> Strip:
        width, place = self.scrollable_content_region.width, y + self.scroll_offset.y
        segments: list[Segment] = []
        if place < len(self._lines):
            line = self._lines[place]
            color = look.WARN if line.stream == "stderr" else None
            text = look.clean_print(line.text, width - _CLOCK - 2)
            segments = [
                Segment(f" {_clock(line.time):>{_CLOCK - 1}} ", Style(color=look.MUTED)),
                Segment(text, Style(color=color)),
            ]
        elif not self._lines and y == 0:
            segments = [Segment("  nothing was printed", Style(color=look.MUTED))]
        return look.segments_strip(segments, width, self.rich_style)


def _clock(seconds: float) -> str:
    try:
        return time.strftime("%H:%M:%S", time.localtime(seconds))
    except (ValueError, OverflowError, OSError):
        return ""
