"""One metric of a run as columns, and all of them as joined rows.

`point` is clustered by metric, and its rows lie in the order of `rows.seq`: a series is one range
scan with one cheap look-up a point. Rows that are fetched some hundred at a time cost less than
all at once, because no heap of tuples builds up that Python's collector would walk through.
"""

from __future__ import annotations

import math
import sqlite3
from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Any, Final

from store.errors import UsageError
from store.jsontext import from_json
from store.row import SYSTEM, Kind

FETCH: Final = 256
_POINTS: Final = (
    "SELECT r.step, r.time, p.value FROM point p CROSS JOIN rows r ON r.seq = p.row"
    " WHERE p.metric = ?"
)


class Series:
    """The points of one metric in the order of (step, time).

    steps: array('q'); times: array('d'), seconds since 1970; values: array('d'), NaN included
    (integers beyond 2**53 are rounded; SQL has them exactly). `x` has the values of the step metric
    that `define_metric` named (`x_name`), or the steps.
    """

    __slots__ = ("name", "steps", "times", "values", "x", "x_name")

    def __init__(
        self,
        name: str,
        steps: array[int],
        times: array[float],
        values: array[float],
        x: array[Any] | None = None,
        x_name: str = "step",
    ) -> None:
        self.name = name
        self.steps = steps
        self.times = times
        self.values = values
        self.x: array[Any] = steps if x is None else x
        self.x_name = x_name

    def __len__(self) -> int:
        return len(self.values)

    def __iter__(self) -> Iterator[tuple[int, float]]:
        """(step, value) pairs."""
        return zip(self.steps, self.values, strict=True)

    def __repr__(self) -> str:
        return f"<Series {self.name!r} of {len(self)} points>"

    def numpy(self) -> tuple[Any, Any]:
        """(steps as int64, values as float64) as numpy arrays. ImportError without numpy."""
        import numpy as np

        return np.asarray(self.steps), np.asarray(self.values)

    def pandas(self) -> Any:
        """A pandas.DataFrame with step, time, value (and x). ImportError without pandas."""
        import pandas as pd

        return pd.DataFrame(self._columns())

    def polars(self) -> Any:
        """A polars.DataFrame with step, time, value (and x). ImportError without polars."""
        import polars as pl

        return pl.DataFrame(self._columns())

    def _columns(self) -> dict[str, Sequence[Any]]:
        columns: dict[str, Sequence[Any]] = {
            "step": self.steps,
            "time": self.times,
            "value": self.values,
        }
        if self.x is not self.steps:
            columns["x" if self.x_name in columns else self.x_name] = self.x
        return {name: list(values) for name, values in columns.items()}


def read_series(
    connection: sqlite3.Connection, name: str, writer: str | None, step_metric: str | None
) -> Series:
    """The series of metric `name`, empty where it was never logged.

    Args:
        writer: only what one writer logged: its label, host:pid or uuid.
        step_metric: the metric whose values become `x`.

    Raises:
        UsageError: there is no such writer.
    """
    metric = _metric_id(connection, name)
    sources = _sources(connection, writer)
    steps, times, values = array("q"), array("d"), array("d")
    if metric is None:
        return Series(name, steps, times, values)
    if step_metric is not None and (x_metric := _metric_id(connection, step_metric)) is not None:
        return _read_with_x(connection, (name, metric), (step_metric, x_metric), sources)
    condition = "" if writer is None else f" AND r.source IN ({', '.join(map(str, sources))})"
    for order in ("", " ORDER BY r.step, r.time"):
        cursor = connection.execute(f"{_POINTS}{condition}{order}", (metric,))
        while rows := cursor.fetchmany(FETCH):
            in_steps, in_times, found = zip(*rows, strict=True)
            steps += array("q", in_steps)
            times += array("d", in_times)
            values += array("d", map(_float, found) if None in found else found)
        # Rows lie in the order of arrival; within one source the time never goes back.
        if order or (len(sources) == 1 and _is_sorted(steps.tolist())):
            break
        steps, times, values = array("q"), array("d"), array("d")
    return Series(name, steps, times, values)


def _read_with_x(
    connection: sqlite3.Connection,
    y: tuple[str, int],
    x: tuple[str, int],
    sources: list[int],
) -> Series:
    """Each point beside the step metric's value: of its own step, else the last one before it."""
    placed: dict[tuple[int, int], float] = {}
    logged: dict[int, tuple[list[int], list[float]]] = {}
    sql = (
        "SELECT r.source, r.number, r.step, r.time, p.value FROM point p"
        " CROSS JOIN rows r ON r.seq = p.row WHERE p.metric = ?"
    )
    for source, number, step, _, value in connection.execute(
        f"{sql} ORDER BY r.source, r.number", (x[1],)
    ):
        placed[source, step] = _float(value)
        numbers, before = logged.setdefault(source, ([], []))
        numbers.append(number)
        before.append(_float(value))
    steps, times, values, at = array("q"), array("d"), array("d"), array("d")
    wanted = frozenset(sources)
    for source, number, step, time, value in connection.execute(
        f"{sql} ORDER BY r.step, r.time", (y[1],)
    ):
        if source not in wanted:
            continue
        place = placed.get((source, step))
        if place is None:
            numbers, before = logged.get(source, ([], []))
            index = bisect_right(numbers, number)
            place = before[index - 1] if index else math.nan
        steps.append(step)
        times.append(time)
        values.append(_float(value))
        at.append(place)
    return Series(y[0], steps, times, values, at, x[0])


def read_history(
    connection: sqlite3.Connection, keys: Sequence[str] | None = None
) -> list[dict[str, Any]]:
    """A dict per row of (writer, step): `_step`, `_time`, `_writer`, and what was logged there.

    Frames of one step are joined; a key that a writer logged again at the same step begins
    another row. With `keys`, only rows that have one of them, and only those keys; without, all
    but those about the machine.
    """
    names = dict(connection.execute("SELECT id, name FROM metric ORDER BY id"))
    logged = (name for name in names.values() if not name.startswith(SYSTEM))
    wanted = set(logged if keys is None else keys)
    frames: dict[int, dict[str, Any]] = {}
    for metric, name in names.items():
        if name not in wanted:
            continue
        for row, value in connection.execute(
            "SELECT row, value FROM point WHERE metric = ?", (metric,)
        ):
            frames.setdefault(row, {})[name] = math.nan if value is None else value
        for row, text in connection.execute(
            "SELECT row, data FROM object WHERE metric = ?", (metric,)
        ):
            frames.setdefault(row, {})[name] = from_json(text)
    writers = dict(connection.execute("SELECT id, writer FROM writers"))
    history: list[dict[str, Any]] = []
    open_rows: dict[tuple[int, int], dict[str, Any]] = {}
    for source, step, time, seq in connection.execute(
        "SELECT source, step, time, seq FROM rows WHERE kind = ? ORDER BY source, number",
        (int(Kind.METRIC),),
    ):
        frame = frames.get(seq)
        if frame is None:
            continue
        row = open_rows.get((source, step))
        if row is None or not row.keys().isdisjoint(frame):
            row = open_rows[source, step] = {"_step": step, "_time": time}
            row["_writer"] = writers[source]
            history.append(row)
        row["_time"] = time
        row.update(frame)
    history.sort(key=lambda row: (row["_step"], row["_time"]))
    return history


def _metric_id(connection: sqlite3.Connection, name: str) -> int | None:
    row = connection.execute("SELECT id FROM metric WHERE name = ?", (name,)).fetchone()
    return row[0] if row else None


def _sources(connection: sqlite3.Connection, writer: str | None) -> list[int]:
    rows = connection.execute("SELECT id, writer, uuid FROM writers").fetchall()
    found = [number for number, *names in rows if writer is None or writer in names]
    if writer is not None and not found:
        known = ", ".join(sorted({str(row[1]) for row in rows}))
        raise UsageError(f"no writer {writer!r} in this run", hint=f"there are: {known}")
    return found


def _is_sorted(values: list[int]) -> bool:
    return values == sorted(values)


def _float(value: Any) -> float:
    return math.nan if value is None else float(value)
