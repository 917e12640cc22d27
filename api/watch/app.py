"""The view on a terminal: panes, keys, and the reader's news on their way to what shows them.

The view says in a `Wish` what it shows; a thread (`reader`) reads and draws that. Nothing here
waits for a disk. Which panes there are follows the size of the terminal until the user folds or
unfolds one.
"""

from __future__ import annotations

import os
import re
from typing import ClassVar, Final

from textual import on
from textual.app import App, ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.events import Event, Key, Resize
from textual.geometry import Size
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Input

from store.api.watch import look
from store.api.watch.bar import Bar
from store.api.watch.chart_grid import ChartGrid
from store.api.watch.console import LINES, Console
from store.api.watch.help import Help
from store.api.watch.keys import EVERY
from store.api.watch.overview import Overview, short
from store.api.watch.panes import PANES, heights, shown_panes, widths
from store.api.watch.reader import Reader
from store.api.watch.run_list import RunList
from store.api.watch.wish import Axis, News, Wish
from store.outline import MetricKey, RunLine
from store.paths import StoreFolder
from store.row import SYSTEM

SMOOTHING: Final = (0.0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995)
NO_RUNS: Final = "no runs yet"
READING: Final = "reading the store…"


class WatchApp(App[None]):
    """`store watch`."""

    ENABLE_COMMAND_PALETTE = False
    ALLOW_SELECT = False
    TITLE = "store watch"
    CSS = look.CSS
    BINDINGS: ClassVar = [
        Binding(key.keys, key.action, key.help, show=False, priority=key.action == "leave")
        for key in EVERY
    ]

    class Arrived(Message):
        """The reader has news."""

        def __init__(self, news: News) -> None:
            super().__init__()
            self.news = news

    def __init__(
        self, folder: StoreFolder, run: str | None = None, *, ascii_only: bool = False
    ) -> None:
        # With textual's own colours NO_COLOR would still give shades of grey.
        super().__init__(ansi_color="NO_COLOR" in os.environ or None)
        self.register_theme(look.THEME)
        self.theme = look.THEME.name
        self._reader = Reader(folder, self._hear, ascii_only=ascii_only)
        self._news = News()
        self._selected: list[str] = [run] if run else []
        self._colors: dict[str, int] = {}
        self._folded: dict[str, bool] = {}
        self._x_axis: Axis = "step"
        self._smoothing = 0
        self._asked = ""
        self.runs = RunList(id="runs")
        self.runs.current = run
        self.charts = ChartGrid("Metrics", id="charts", empty="no metrics yet")
        self.system = ChartGrid("System", id="system", empty="no system metrics", prefix=SYSTEM)
        self.console_pane = Console(id="console")
        self.overview = Overview(id="overview")
        self.bar = Bar()

    def compose(self) -> ComposeResult:
        with Horizontal():
            yield self.runs
            with Vertical(id="middle"):
                yield self.charts
                yield self.system
                yield self.console_pane
            yield self.overview
        yield self.bar

    def on_mount(self) -> None:
        self.runs.border_title = "Runs"
        self.overview.border_title = "Overview"
        self.console_pane.border_title = "Console"
        self.runs.empty = READING
        self._arrange()
        self.runs.focus()
        # What is unforeseen there ends the view with a traceback.
        self.run_worker(self._reader.run, thread=True, exit_on_error=True)
        self.set_interval(1.0, self.runs.refresh_ages)

    def on_unmount(self) -> None:
        self._reader.stop()

    def on_resize(self, event: Resize) -> None:
        self._arrange(event.size)

    # -- news and wishes -----------------------------------------------------------------------

    def _hear(self, news: News) -> None:
        self.post_message(self.Arrived(news))

    @on(Arrived)
    def _show(self, message: Arrived) -> None:
        news = self._news = message.news
        if news.is_complete:
            known = {line.key for line in news.lines}
            self._selected = [key for key in self._selected if key in known]
        empty = NO_RUNS if news.is_complete else READING
        if news.lines is not self.runs.lines or empty != self.runs.empty:
            self.runs.empty = empty
            self.runs.update_lines(news.lines)
        self._show_run()
        self._show_metrics()
        self.charts.update_drawn(news.drawn)
        self.system.update_drawn(news.drawn)
        self.bar.update_news(news)
        self._want()

    def _drawn_runs(self) -> tuple[str, ...]:
        current = self.runs.current
        return tuple(self._selected) or ((current,) if current else ())

    def _want(self) -> None:
        runs = self._drawn_runs()
        colors = {key: self._color(key) for key in runs}
        has_color = not self.no_color
        marks = {
            key: ("┃" if has_color or len(runs) == 1 else look.LETTERS[n % 52], color)
            for n, (key, color) in enumerate(colors.items())
        }
        self.runs.update_marks(marks)
        self._reader.want(
            Wish(
                runs=runs,
                colors=tuple(colors.values()) if has_color else (),
                focus=self.runs.current,
                charts=self.charts.drawings() + self.system.drawings(),
                x_axis=self._x_axis,
                smoothing=SMOOTHING[self._smoothing],
                console=LINES if self.console_pane.display else 0,
            )
        )

    def _color(self, key: str) -> str:
        """A run keeps its colour while it is drawn; the first free one is given."""
        drawn = self._drawn_runs()
        self._colors = {other: n for other, n in self._colors.items() if other in drawn}
        taken = set(self._colors.values())
        free = next((n for n in range(len(look.SERIES)) if n not in taken), len(taken))
        return look.SERIES[self._colors.setdefault(key, free) % len(look.SERIES)]

    def _line(self, key: str | None) -> RunLine | None:
        return next((line for line in self._news.lines if line.key == key), None)

    def _show_run(self) -> None:
        news, key = self._news, self.runs.current
        trouble = news.troubles.get(key or "", "")
        self.overview.update_run(
            self._line(key),
            news.metrics.get(key or "", ()),
            news.unsent if news.wish.focus == key else "",
            trouble,
        )
        if news.wish.focus == key:
            self.console_pane.update_lines(key, news.console)

    def _show_metrics(self) -> None:
        runs = self._drawn_runs()
        known = [self._news.metrics[key] for key in runs if key in self._news.metrics]
        if runs and not known:
            return  # they are being read
        keys = sorted({metric.key for metrics in known for metric in metrics})
        values = _latest(known[0]) if len(known) == 1 else {}
        system = [key for key in keys if key.startswith(SYSTEM)]
        had_system = bool(self.system.keys)
        self.charts.update_keys([key for key in keys if not key.startswith(SYSTEM)], values)
        self.system.update_keys(system, values)
        if bool(system) != had_system:
            self._arrange()

    @on(RunList.Moved)
    def _moved(self) -> None:
        self._show_run()
        self._show_metrics()
        self._want()

    @on(RunList.Opened)
    def action_open(self) -> None:
        """Enter: one run alone, or one chart large."""
        if isinstance(self.focused, ChartGrid):
            self.focused.zoom(not self.focused.is_zoomed)
        elif self.runs.current:
            self._selected = [self.runs.current]
            self._moved()

    @on(RunList.Toggled)
    def action_select(self) -> None:
        """Space: draw this run with the others, or no longer."""
        key = self.runs.current
        if key in self._selected:
            self._selected.remove(key)
        elif key:
            self._selected.append(key)
        self._moved()

    @on(ChartGrid.Changed)
    def _changed(self) -> None:
        self._arrange()

    # -- panes ---------------------------------------------------------------------------------

    def _arrange(self, size: Size | None = None) -> None:
        size = size or self.size
        zoomed = next((grid.id for grid in (self.charts, self.system) if grid.is_zoomed), None)
        shown = shown_panes(size, self._folded, zoomed, has_system=bool(self.system.keys))
        for name in PANES:
            self._pane(name).display = name in shown
        for name, width in widths(size).items():
            self._pane(name).styles.width = width
        for name, height in heights(size).items():
            self._pane(name).styles.height = height
        if self.focused is None or not self.focused.display:
            self._focus_first()
        self._want()

    def _focus_first(self) -> None:
        shown = [pane for pane in map(self._pane, PANES) if pane.display]
        self.set_focus(shown[0] if shown else None)

    def _pane(self, name: str) -> Widget:
        return self.query_one(f"#{name}")

    def action_fold(self, pane: str) -> None:
        """Fold or unfold a pane."""
        self._folded[pane] = self._pane(pane).display
        self._arrange()

    def action_reset(self) -> None:
        """All panes and charts as at the start."""
        self._folded.clear()
        self._x_axis, self._smoothing = "step", 0
        for grid in (self.charts, self.system):
            grid.columns_asked = grid.rows_asked = 0
            grid.log_keys.clear()
            grid.is_zoomed = False
        self._note()
        self._arrange()

    def action_next_pane(self) -> None:
        """Tab."""
        self.screen.focus_next()

    def action_previous_pane(self) -> None:
        """Shift-Tab."""
        self.screen.focus_previous()

    def action_step_back(self) -> None:
        """Esc: one step back towards the list of runs."""
        zoomed = [grid for grid in (self.charts, self.system) if grid.is_zoomed]
        for grid in zoomed:
            grid.zoom(False)
        if zoomed:
            self._arrange()
        elif self.runs.display:
            self.runs.focus()

    # -- moving --------------------------------------------------------------------------------

    def action_move(self, columns: int, rows: int) -> None:
        """An arrow."""
        pane = self.focused
        if isinstance(pane, ChartGrid):
            pane.move_to(pane.place + columns + rows * pane.shape[0])
        elif isinstance(pane, RunList | Overview | Console):
            pane.key_move(rows + columns * pane.page)

    def action_turn(self, pages: int) -> None:
        """A page of charts, wherever the focus is; of lines where it is on lines."""
        pane = self.focused
        if isinstance(pane, Overview | Console):
            pane.key_move(pages * pane.page)
        else:
            (pane if isinstance(pane, ChartGrid) else self.charts).turn(pages)

    def action_edge(self, is_last: bool) -> None:
        """Home and End."""
        pane = self.focused
        if isinstance(pane, ChartGrid | RunList | Overview | Console):
            pane.move_to(10**9 if is_last else 0)

    # -- charts --------------------------------------------------------------------------------

    def _grid(self) -> ChartGrid:
        return self.focused if isinstance(self.focused, ChartGrid) else self.charts

    def _note(self) -> None:
        smoothing = SMOOTHING[self._smoothing]
        parts = ["by time"] if self._x_axis == "time" else []
        parts += [f"smoothed {smoothing:g}"] if smoothing else []
        for grid in (self.charts, self.system):
            grid.note = ", ".join(parts)
            grid.changed()

    def action_log_y(self) -> None:
        """A logarithmic axis for the chart in focus, or no longer."""
        grid = self._grid()
        if grid.focused_key:
            grid.log_keys ^= {grid.focused_key}
            grid.changed()

    def action_x_axis(self) -> None:
        """Step or time."""
        self._x_axis = "time" if self._x_axis == "step" else "step"
        self._note()

    def action_smooth(self, more: int) -> None:
        """More or less smoothing."""
        self._smoothing = max(0, min(self._smoothing + more, len(SMOOTHING) - 1))
        self._note()

    def action_ask(self, what: str) -> None:
        """The next digit says how many columns or rows."""
        self._asked = what
        self.bar.say(f"{what} of charts: 1 to 9, 0 for as many as fit")

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002
        """Keys belong to the filter while it is written."""
        return action == "leave" or not isinstance(self.focused, Input)

    async def on_event(self, event: Event) -> None:
        """A digit after `c` or `r` is an answer, and no key."""
        if isinstance(event, Key) and self._asked:
            asked, self._asked = self._asked, ""
            self.bar.say("")
            if event.key.isdecimal() and len(event.key) == 1:
                grid = self._grid()
                setattr(grid, f"{asked}_asked", int(event.key))
                grid.changed()
                return
        await super().on_event(event)

    # -- filters, help, end --------------------------------------------------------------------

    def action_filter(self, pane: str) -> None:
        """Write a filter for a pane."""
        self.bar.ask(pane)

    def action_clear(self, pane: str) -> None:
        """Take a pane's filter away."""
        self.bar.forget(pane)
        self._filter(pane, None)

    @on(Bar.Filtered)
    def _filtered(self, message: Bar.Filtered) -> None:
        self._filter(message.pane, message.pattern)

    @on(Bar.Done)
    def _done(self, message: Bar.Done) -> None:
        self._pane(message.pane).focus()

    def _filter(self, pane: str, pattern: re.Pattern[str] | None) -> None:
        shown = self._pane(pane)
        if isinstance(shown, RunList | ChartGrid):
            shown.filter(pattern)

    def action_help(self) -> None:
        """The list of keys."""
        self.push_screen(Help())

    def action_leave(self) -> None:
        """Quit."""
        self.exit()


def _latest(metrics: tuple[MetricKey, ...]) -> dict[str, str]:
    return {
        metric.key: short(metric.value)
        for metric in metrics
        if isinstance(metric.value, int | float)
    }
