"""Points of metrics, remembered while they are looked at.

Reading a million points takes about a second, drawing them again at another zoom should not. Kept
in memory are the columns that were used last, MOST points in all, and those of long metrics in
`store.server.column_files`; rows that came since are added to them. They hold for a run's file,
the last of its rows that was read, and the number of its stubs: only a stub that becomes a row
changes what is behind.
"""

from __future__ import annotations

import math
import sqlite3
import threading
from array import array
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from store.paths import RunFolder
from store.series import read_series
from store.server.column_files import ColumnFiles
from store.server.columns import NO_LINE, Columns, Line, make_columns, sorted_line

MOST: Final = 6_000_000
"""Points; 24 bytes each."""
MOST_RUNS: Final = 5000
FETCH: Final = 256
Mark = tuple[int, int]
_Place = tuple[Path, int, str, str, str | None]


class Points:
    """Reads columns and remembers them. Thread-safe."""

    def __init__(self, most: int = MOST, files: ColumnFiles | None = None) -> None:
        self._most = most
        self._files = files if files is not None else ColumnFiles(None)
        self._kept: OrderedDict[_Place, tuple[int, Any]] = OrderedDict()
        self._tops: dict[tuple[Path, int, str], tuple[Mark, dict[str, Mark]]] = {}
        self._size = 0
        self._lock = threading.Lock()

    @property
    def held(self) -> int:
        """The points that are remembered."""
        return self._size

    def read_all(
        self, connection: sqlite3.Connection, run: RunFolder, keys: Sequence[str], source: str = ""
    ) -> list[Columns]:
        """`read` of several metrics, which asks once whether anything came."""
        place = (run.path, run.database.stat().st_ino, source)
        top: Mark = connection.execute(
            "SELECT coalesce(max(seq), 0), (SELECT count(*) FROM rejected) FROM rows"
        ).fetchone()
        before, marks = self._tops.get(place, (None, {}))
        if before != top:
            marks = {}
        found: list[Columns] = []
        for key in keys:
            kept: Columns | None = self._get((*place[:2], key, source, None))
            if kept is None or marks.get(key) != kept.mark:
                kept = self.read(connection, run, key, source)
            found.append(kept)
        marks = marks | {key: kept.mark for key, kept in zip(keys, found, strict=True)}
        with self._lock:
            if len(self._tops) >= MOST_RUNS:
                self._tops.clear()
            self._tops[place] = (top, marks)
        return found

    def read(
        self, connection: sqlite3.Connection, run: RunFolder, key: str, source: str = ""
    ) -> Columns:
        """The points of metric `key`; empty when there are none. `source` (a uuid): only its own.

        `connection` is one to the database of `run`.
        """
        place = (run.path, run.database.stat().st_ino, key, source, None)
        metric, mark = _mark(connection, key)
        kept: Columns | None = self._get(place)
        if kept is not None and kept.mark == mark:
            return kept
        if kept is None and metric is not None:
            kept = self._files.load(connection, run, key, source)
        found = _read(connection, metric, mark, source, kept)
        if found is not kept:
            self._files.keep(connection, run, key, source, found)
        self._keep(place, found, len(found))
        return found

    def read_by(
        self,
        connection: sqlite3.Connection,
        run: RunFolder,
        key: str,
        x_key: str,
        source: str = "",
    ) -> Line:
        """The line of metric `key` over the values of `x_key`, as `Series.x` gives them."""
        place = (run.path, run.database.stat().st_ino, key, source, x_key)
        (metric, mark), (x_metric, x_mark) = _mark(connection, key), _mark(connection, x_key)
        if metric is None or x_metric is None:
            return NO_LINE
        marks = (mark, x_mark)
        kept: tuple[tuple[Mark, Mark], Line] | None = self._get(place)
        if kept is not None and kept[0] == marks:
            return kept[1]
        series = read_series(connection, key, source or None, x_key)
        line = sorted_line(series.x, series.values)
        self._keep(place, (marks, line), len(line.y))
        return line

    def _get(self, place: _Place) -> Any:
        with self._lock:
            if place not in self._kept:
                return None
            self._kept.move_to_end(place)
            return self._kept[place][1]

    def _keep(self, place: _Place, found: object, size: int) -> None:
        with self._lock:
            before = self._kept.pop(place, None)
            self._size -= before[0] if before else 0
            self._kept[place] = (size, found)
            self._size += size
            while self._size > self._most or len(self._kept) > 10_000:
                _, (dropped, _) = self._kept.popitem(last=False)
                self._size -= dropped


def _mark(connection: sqlite3.Connection, key: str) -> tuple[int | None, Mark]:
    """The metric's number, and (last seq, stubs)."""
    metric, last, stubs = connection.execute(
        "SELECT m.id, (SELECT max(row) FROM point WHERE metric = m.id),"
        " (SELECT count(*) FROM rejected)"
        " FROM (SELECT 1) LEFT JOIN metric m ON m.name = ?",
        (key,),
    ).fetchone()
    return metric, (last or 0, stubs)


def _read(
    connection: sqlite3.Connection,
    metric: int | None,
    mark: Mark,
    source: str,
    kept: Columns | None,
) -> Columns:
    if kept is not None and kept.mark == mark:
        return kept
    if kept is not None and kept.mark[1] != mark[1]:
        kept = None
    steps, times, values = array("q"), array("d"), array("d")
    if kept is not None:
        for column, before in (*((steps, kept.steps), (times, kept.times), (values, kept.values)),):
            _append(column, before)
    condition = " AND r.source = (SELECT id FROM source WHERE uuid = ?)" if source else ""
    cursor = connection.execute(
        "SELECT r.step, r.time, p.value FROM point p CROSS JOIN rows r ON r.seq = p.row"
        f" WHERE p.metric = ? AND p.row > ? AND p.row <= ?{condition}",
        (metric, kept.mark[0] if kept else 0, mark[0], source)[: 4 if source else 3],
    )
    # A few at a time: a long list of rows is one more thing for Python's collector to walk.
    while rows := cursor.fetchmany(FETCH):
        in_steps, in_times, found = zip(*rows, strict=True)
        steps.extend(in_steps)
        times.extend(in_times)
        values.extend([math.nan if value is None else value for value in found])
    return make_columns(steps, times, values, mark, kept)


def _append(column: array[Any], before: Sequence[Any]) -> None:
    column.frombytes(memoryview(before).cast("B"))  # type: ignore[arg-type]
