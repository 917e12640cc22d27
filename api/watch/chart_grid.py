"""A grid of charts in pages: as many as are readable in the room there is, or as the user asks."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import ClassVar, Final

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from store.api.chart import Line
from store.api.text import cut_text, text_width
from store.api.watch import look
from store.api.watch.wish import Drawing

CELL: Final = (27, 8)
"""Cells and lines of the smallest chart that reads well, its title included."""
MOST: Final = 9
"""Columns or rows that may be asked for."""


class ChartGrid(Widget, can_focus=True):
    """Shows `keys`, `filter`ed; `drawings` says what has to be drawn for that."""

    class Changed(Message):
        """Other charts are shown than before, or elsewhere, or of another size."""

    DEFAULT_CSS: ClassVar[str] = "ChartGrid { overflow: hidden; }"

    def __init__(self, title: str, *, id: str, empty: str, prefix: str = "") -> None:
        super().__init__(id=id)
        self.prefix = prefix
        """What the titles of charts leave out."""
        self.title = title
        self.empty = empty
        self.note = ""
        """What the title says beside the number of charts: axis, smoothing."""
        self.keys: tuple[str, ...] = ()
        self.shown: tuple[str, ...] = ()
        self.focused_key: str | None = None
        self.is_zoomed = False
        self.columns_asked = 0
        self.rows_asked = 0
        self.log_keys: set[str] = set()
        self._values: Mapping[str, str] = {}
        self._drawn: Mapping[Drawing, tuple[Line, ...]] = {}
        self._pattern: re.Pattern[str] | None = None

    # -- what is shown -------------------------------------------------------------------------

    def update_keys(self, keys: Sequence[str], values: Mapping[str, str]) -> None:
        """These metrics, with their latest values where one run is shown."""
        if tuple(keys) != self.keys:
            self.keys = tuple(keys)
            self._choose()
        if dict(values) != self._values:
            self._values = dict(values)
            self.refresh()

    def update_drawn(self, drawn: Mapping[Drawing, tuple[Line, ...]]) -> None:
        """The charts as they were drawn."""
        mine = {drawing: drawn[drawing] for drawing in self.drawings() if drawing in drawn}
        if mine != self._drawn:
            # What is not drawn yet in its new size is seen in the old one.
            self._drawn = {**self._drawn, **mine} if len(mine) < len(self.drawings()) else mine
            self.refresh()

    def filter(self, pattern: re.Pattern[str] | None) -> None:
        """Only metrics whose name matches."""
        self._pattern = pattern
        self._choose()

    def _choose(self) -> None:
        pattern = self._pattern
        self.shown = tuple(key for key in self.keys if pattern is None or pattern.search(key))
        if self.focused_key not in self.shown:
            self.focused_key = self.shown[0] if self.shown else None
        self.changed()

    def changed(self) -> None:
        """Say so, and show it."""
        page, pages = self.page, self.pages
        count = f" {len(self.shown)}" if len(self.shown) == len(self.keys) else ""
        count = count or f" {len(self.shown)} of {len(self.keys)}"
        at = f"  page {page + 1}/{pages}" if pages > 1 else ""
        note = f"  {self.note}" if self.note else ""
        self.border_title = f"{self.title}{count}{at}{note}"
        self.post_message(self.Changed())
        self.refresh()

    # -- geometry ------------------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, int]:
        """Columns and rows of a page."""
        width, height = self.size
        if self.is_zoomed:
            return 1, 1
        columns = min(self.columns_asked, width // 14) or max(
            1, min(width // CELL[0], len(self.shown))
        )
        rows = max(1, min(height // CELL[1], -(-len(self.shown) // columns)))
        return columns, min(self.rows_asked or rows, max(1, height // 4))

    @property
    def place(self) -> int:
        """The place of the chart in focus among those shown."""
        return self.shown.index(self.focused_key) if self.focused_key in self.shown else 0

    @property
    def page(self) -> int:
        columns, rows = self.shape
        return self.place // (columns * rows)

    @property
    def pages(self) -> int:
        columns, rows = self.shape
        return max(1, -(-len(self.shown) // (columns * rows)))

    def _on_page(self) -> tuple[str, ...]:
        columns, rows = self.shape
        first = self.page * columns * rows
        return self.shown[first : first + columns * rows]

    def _cell(self) -> tuple[int, int]:
        columns, rows = self.shape
        return self.size.width // columns, self.size.height // rows

    def _drawing(self, key: str) -> Drawing:
        width, height = self._cell()
        return Drawing(key, max(12, width - 2), max(4, height - 1), key in self.log_keys)

    def drawings(self) -> tuple[Drawing, ...]:
        """What has to be drawn."""
        if not self.size or not self.display:
            return ()
        return tuple(self._drawing(key) for key in self._on_page())

    # -- moving --------------------------------------------------------------------------------

    def move_to(self, place: int) -> None:
        """Put the focus on the chart at a place, and show its page."""
        if self.shown:
            self.focused_key = self.shown[max(0, min(place, len(self.shown) - 1))]
            self.changed()

    def turn(self, pages: int) -> None:
        """Show a later or an earlier page, round and round."""
        columns, rows = self.shape
        self.move_to((self.page + pages) % self.pages * columns * rows)

    def zoom(self, is_zoomed: bool) -> None:
        """Show the chart in focus alone, or again with the others."""
        self.is_zoomed = is_zoomed
        self.changed()

    # -- drawing -------------------------------------------------------------------------------

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        if not self.shown:
            said = "no metric matches" if self.keys else self.empty
            text = f"  {said}" if y == min(1, self.size.height - 1) else ""
            quiet = [Segment(cut_text(text, width), Style(color=look.MUTED))]
            return look.segments_strip(quiet, width, self.rich_style)
        cell_width, cell_height = self._cell()
        columns, rows = self.shape
        row, line = divmod(y, cell_height)
        if row >= rows:
            return look.segments_strip([], width, self.rich_style)
        keys = self._on_page()[row * columns : (row + 1) * columns]
        strips = [self._cell_line(key, line, cell_width) for key in keys]
        return Strip.join(strips).adjust_cell_length(width).apply_style(self.rich_style)

    def _cell_line(self, key: str, line: int, width: int) -> Strip:
        if line == 0:
            return self._title(key, width)
        drawing = self._drawing(key)
        lines = self._drawn.get(drawing) or next(
            (lines for other, lines in self._drawn.items() if other.metric == key), ()
        )
        spans: Line = [(" ", ""), *lines[line - 1]] if line <= len(lines) else []
        return look.strip(spans, width, Style())

    def _title(self, key: str, width: int) -> Strip:
        is_focused = self.has_focus and key == self.focused_key
        value = self._values.get(key, "")
        notes = "log  " if key in self.log_keys else ""
        room = max(4, width - 4 - text_width(notes + value))
        name = look.fit(look.clean(key.removeprefix(self.prefix)), room)
        style = Style(bold=True, color=look.ACCENT if is_focused else None)
        return look.segments_strip(
            [
                Segment("▌" if is_focused else " ", Style(color=look.ACCENT)),
                Segment(f"{name} ", style),
                Segment(notes, Style(color=look.WARN)),
                Segment(value, Style(color=look.MUTED)),
            ],
            width,
            Style(),
        )

    def on_resize(self) -> None:
        self.changed()

    def on_click(self, event: events.Click) -> None:
        content = event.get_content_offset(self)
        keys = self._on_page()
        if content is None or not keys:
            return
        width, height = self._cell()
        columns, rows = self.shape
        column, row = min(content.x // width, columns - 1), min(content.y // height, rows - 1)
        if row * columns + column < len(keys):
            self.focused_key = keys[row * columns + column]
            self.zoom(not self.is_zoomed if event.chain == 2 else self.is_zoomed)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self.turn(1)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self.turn(-1)
