"""The thread that reads the store for the view: a look each second, and at once for a new wish.

It folds what writers have in their journals, as any reader does, and reads only what the wish
names and what changed. A look at all runs takes at most a fiftieth of the time, so that many runs
cost no more than few; the runs that are shown are looked at each time. Nothing that a store may be
like ends it: a run that cannot be read is named in the news.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from array import array
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from store.api.chart import Line
from store.api.watch.picture import Pictures, Source
from store.api.watch.points import Points
from store.api.watch.unsent import Unsent
from store.api.watch.wish import Drawing, News, Printed, Wish
from store.errors import StoreError
from store.outline import MetricKey, RunLine
from store.paths import StoreFolder
from store.query import Store
from store.reading import reading
from store.series import Series

SECONDS: Final = 1.0
LOCK_SECONDS: Final = 0.5
SHARE: Final = 50.0
RUN_SECONDS: Final = 0.01
"""For each run of the store: so late a new one may be seen, and no later."""
_PROBLEMS: Final = (StoreError, sqlite3.Error, OSError)
_TAIL: Final = (
    "SELECT r.time, l.stream, l.text FROM line l JOIN rows r ON r.seq = l.row"
    " ORDER BY l.row DESC LIMIT ?"
)


_NOTHING: Final = Series("", array("q"), array("d"), array("d"))


def said(error: Exception) -> str:
    """What went wrong, in a line."""
    return error.message if isinstance(error, StoreError) else str(error)


class Reader:
    """Reads until `stop`; `deliver` is called from the thread, with news each time there are."""

    def __init__(
        self, folder: StoreFolder, deliver: Callable[[News], None], *, ascii_only: bool = False
    ) -> None:
        self._folder = folder
        self._deliver = deliver
        self._wake = threading.Event()
        self._ending = False
        self._wish = Wish()
        self._news = News()
        self._points = Points()
        self._unsent = Unsent(folder)
        self._all_due = 0.0
        self._costs: deque[float] = deque(maxlen=3)
        self._stamp: object = None
        self._read: list[RunLine] = []
        self._pictures = Pictures(ascii_only=ascii_only)
        self._console: tuple[object, tuple[Printed, ...]] = (None, ())

    def want(self, wish: Wish) -> None:
        """What is to be read from now on."""
        if wish != self._wish:
            self._wish = wish
            self._wake.set()

    def stop(self) -> None:
        """Let `run` end soon."""
        self._ending = True
        self._wake.set()

    def run(self) -> None:
        """The thread."""
        with Store(self._folder, wait=LOCK_SECONDS, warn=lambda _: None) as store:
            self._take_lines(store)
            if self._news.lines:
                self._deliver(self._news)
            while not self._ending:
                self._look(store)
                self._wake.wait(SECONDS)
                self._wake.clear()

    def _look(self, store: Store) -> None:
        wish, before = self._wish, self._news
        troubles: dict[str, str] = {}
        try:
            self._refresh(store, wish)
            self._take_lines(store)
        except _PROBLEMS as error:
            troubles[""] = said(error)
        lines = {line.key: line for line in self._news.lines}
        metrics = self._metrics(store, wish, lines)
        self._news = self._news._replace(
            wish=wish,
            is_complete=True,
            metrics=metrics,
            drawn=self._draw(wish, lines, metrics, troubles),
            console=self._tail(wish, lines, troubles),
            unsent=self._unsent.of(lines.get(wish.focus or "")),
            stale=store.stale,
            troubles=troubles,
        )
        if self._news != before:
            self._deliver(self._news)

    def _refresh(self, store: Store, wish: Wish) -> None:
        began = time.monotonic()
        if began >= self._all_due:
            store.refresh()
            # A look that has folded much says nothing on what the next one costs.
            self._costs.append(time.monotonic() - began)
            longest = max(2.0, RUN_SECONDS * len(self._news.lines))
            self._all_due = began + max(0.9 * SECONDS, min(SHARE * min(self._costs), longest))
            return
        for line in self._shown(wish, {line.key: line for line in self._news.lines}):
            if not store.catalogue.is_current(line):
                store.refresh(only=line.key)

    def _take_lines(self, store: Store) -> None:
        """The lines of all runs, if the catalogue was changed by this or another process."""
        connection = store.catalogue.connection
        (version,) = connection.execute("PRAGMA data_version").fetchone()
        stamp = (id(connection), connection.total_changes, version)
        if stamp != self._stamp:
            self._stamp = stamp
            self._news = self._news._replace(lines=tuple(store.catalogue.lines()))

    @staticmethod
    def _shown(wish: Wish, lines: Mapping[str, RunLine]) -> list[RunLine]:
        keys = dict.fromkeys((*wish.runs, wish.focus))
        return [lines[key] for key in keys if key is not None and key in lines]

    def _metrics(
        self, store: Store, wish: Wish, lines: Mapping[str, RunLine]
    ) -> dict[str, tuple[MetricKey, ...]]:
        before = {line.key: line.version for line in self._read}
        self._read = self._shown(wish, lines)
        return {
            line.key: self._news.metrics[line.key]
            if before.get(line.key) == line.version
            else tuple(store.catalogue.metric_keys(line))
            for line in self._read
        }

    def _draw(
        self,
        wish: Wish,
        lines: Mapping[str, RunLine],
        metrics: Mapping[str, Sequence[MetricKey]],
        troubles: dict[str, str],
    ) -> dict[Drawing, tuple[Line, ...]]:
        names = [chart.metric for chart in wish.charts]
        colors = wish.colors or ("",) * len(wish.runs)
        runs = []
        for key, color in zip(wish.runs, colors, strict=True):
            if key in lines and names:
                found = self._series(lines[key], metrics.get(key, ()), names, troubles)
                runs.append((lines[key], color, found))
        return self._pictures.draw(
            wish,
            [
                [
                    Source(line.name, color, line.created or 0.0, found.get(name) or _NOTHING)
                    for line, color, found in runs
                ]
                for name in names
            ],
        )

    def _series(
        self,
        line: RunLine,
        metrics: Sequence[MetricKey],
        names: Sequence[str],
        troubles: dict[str, str],
    ) -> dict[str, Series]:
        run = self._folder.run_of(line.key)
        try:
            return self._points.read(line, metrics, names, lambda: reading(run))
        except _PROBLEMS as error:
            troubles[line.key] = said(error)
            return {}

    def _tail(
        self, wish: Wish, lines: Mapping[str, RunLine], troubles: dict[str, str]
    ) -> tuple[Printed, ...]:
        line = lines.get(wish.focus or "")
        if line is None or not line.has_console or not wish.console:
            return ()
        stamp = (line.n, line.version, wish.console)
        if stamp != self._console[0]:
            try:
                with reading(self._folder.run_of(line.key)) as connection:
                    rows = connection.execute(_TAIL, (wish.console,)).fetchall()
            except _PROBLEMS as error:
                troubles[line.key] = said(error)
                return ()
            self._console = (stamp, tuple(Printed(*row) for row in reversed(rows)))
        return self._console[1]
