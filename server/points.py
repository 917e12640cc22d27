"""Points of metrics as columns, remembered while they are looked at.

Reading a million points takes about a second, drawing them again at another zoom should not. Kept
are the columns that were used last, MOST points in all, and rows that came since are added to
them. They hold for a run's file, the last of its rows that was read, and the number of its stubs:
only a stub that becomes a row changes what is behind.
"""

from __future__ import annotations

import math
import sqlite3
import threading
from array import array
from collections import OrderedDict
from pathlib import Path
from typing import Final, NamedTuple

from store.paths import RunFolder

MOST: Final = 3_000_000
"""Points; 24 bytes each."""
FETCH: Final = 256


class Columns(NamedTuple):
    """steps: array('q'); times: array('d'), seconds since 1970; values: array('d'), NaN included.

    In the order of (step, time); `mark` is (last seq, stubs) of what was read.
    """

    steps: array[int]
    times: array[float]
    values: array[float]
    mark: tuple[int, int]


class Points:
    """Reads columns and remembers them. Thread-safe."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._kept: OrderedDict[tuple[Path, int, str, str], Columns] = OrderedDict()
        self._size = 0
        self._lock = threading.Lock()

    @property
    def held(self) -> int:
        """The points that are remembered."""
        return self._size

    def read(
        self, connection: sqlite3.Connection, run: RunFolder, key: str, source: str = ""
    ) -> Columns:
        """The points of metric `key`; empty when there are none. `source` (a uuid): only its own.

        `connection` is one to the database of `run`.
        """
        place = (run.path, run.database.stat().st_ino, key, source)
        with self._lock:
            kept = self._kept.get(place)
        found = _read(connection, key, source, kept)
        self._keep(place, found)
        return found

    def _keep(self, place: tuple[Path, int, str, str], columns: Columns) -> None:
        with self._lock:
            before = self._kept.pop(place, None)
            self._size -= len(before.values) if before else 0
            self._kept[place] = columns
            self._size += len(columns.values)
            while self._size > self._most or len(self._kept) > 10_000:
                _, dropped = self._kept.popitem(last=False)
                self._size -= len(dropped.values)


def _read(connection: sqlite3.Connection, key: str, source: str, kept: Columns | None) -> Columns:
    metric, last, stubs = connection.execute(
        "SELECT m.id, (SELECT max(row) FROM point WHERE metric = m.id),"
        " (SELECT count(*) FROM rejected)"
        " FROM (SELECT 1) LEFT JOIN metric m ON m.name = ?",
        (key,),
    ).fetchone()
    mark = (last or 0, stubs)
    if kept is not None and kept.mark == mark:
        return kept
    steps, times, values, after = array("q"), array("d"), array("d"), 0
    if kept is not None and kept.mark[1] == stubs:
        steps, times, values, after = kept.steps[:], kept.times[:], kept.values[:], kept.mark[0]
    condition = " AND r.source = (SELECT id FROM source WHERE uuid = ?4)" if source else ""
    cursor = connection.execute(
        "SELECT r.step, r.time, p.value FROM point p CROSS JOIN rows r ON r.seq = p.row"
        f" WHERE p.metric = ?1 AND p.row > ?2 AND p.row <= ?3{condition}",
        (metric, after, mark[0], source)[: 4 if source else 3],
    )
    old = len(steps)
    # A few at a time: a long list of rows is one more thing for Python's collector to walk.
    while rows := cursor.fetchmany(FETCH):
        in_steps, in_times, found = zip(*rows, strict=True)
        steps.extend(in_steps)
        times.extend(in_times)
        values.extend([math.nan if value is None else value for value in found])
    if not _in_order(steps, times, max(0, old - 1)):
        order = sorted(range(len(steps)), key=lambda place: (steps[place], times[place]))
        steps = array("q", [steps[place] for place in order])
        times = array("d", [times[place] for place in order])
        values = array("d", [values[place] for place in order])
    return Columns(steps, times, values, mark)


def _in_order(steps: array[int], times: array[float], since: int) -> bool:
    new_steps, new_times = steps[since:].tolist(), times[since:].tolist()
    if new_steps != sorted(new_steps):
        return False
    if new_times == sorted(new_times):
        return True
    pairs = list(zip(new_steps, new_times, strict=True))
    return pairs == sorted(pairs)
