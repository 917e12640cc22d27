"""Series: the points of metrics, thinned to what a chart of so many pixels shows (`server.m4`).

    series?key=K...&points=W&x=step|time|relative&from=&to=[&source=UUID]
    /projects/{entity}/{project}/series?run=R...&key=K...                   several runs at once

`points` is the chart's width in pixels; all series of an answer share its columns, from `from` to
`to` in units of x (by default, from the first point of all to the last). `relative` is seconds
since the run began. As JSON, y has null for NaN and 9e999 for infinity. For
`Accept: application/x-runstore-series` the answer is, little-endian:

    0   magic "RSER", uint32 version (1), uint32 length H of the head, uint32 0
    16  the head: JSON of H bytes, padded with spaces to a multiple of 8
    ..  arrays, each at a multiple of 8 behind the head

The head is the JSON answer, but x and y of each series are [offset behind the head, count]. x is
float64; y is float64, or float32 with `type=float32`.
"""

from __future__ import annotations

import json
import sqlite3
import sys
import threading
from array import array
from collections.abc import Sequence
from struct import Struct
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from store.server.library import answer, find_run, opened
from store.server.m4 import m4
from store.server.points import Columns, Points
from store.server.problems import Problem
from store.server.query import Query, bad_request

if TYPE_CHECKING:
    from starlette.requests import Request

    from store.paths import RunFolder

CONTENT_TYPE: Final = "application/x-runstore-series"
MAGIC: Final = b"RSER"
HEADER: Final = Struct("<4sIII")
MAX_KEYS: Final = 100
MAX_RUNS: Final = 200
MAX_SERIES: Final = 1000
MAX_COLUMNS: Final = 10_000
MAX_PIXELS: Final = 1_000_000
"""Columns of all series of an answer, each of which gives four points and more."""
_COMMON: Final = ("key", "points", "from", "to", "x", "source", "type")
_making: Final = threading.Lock()


class _Asked(NamedTuple):
    keys: list[str]
    columns: int
    x: str
    source: str
    low: float | None
    high: float | None
    binary: bool
    code: str


class _Line(NamedTuple):
    """One series, as far as it is drawn; `total` points were logged in all."""

    run: str
    key: str
    total: int
    x: Sequence[float]
    y: array[float]


async def show_series(request: Request) -> Response:
    """Metrics of one run."""
    query = Query(request, *_COMMON)
    return await run_in_threadpool(_series, request, _read_query(request, query), None)


async def show_project_series(request: Request) -> Response:
    """Metrics of several runs of a project."""
    query = Query(request, "run", *_COMMON)
    names = list(dict.fromkeys(query.texts("run", MAX_RUNS)))
    if not names:
        raise bad_request("run is missing")
    return await run_in_threadpool(_series, request, _read_query(request, query), names)


def _read_query(request: Request, query: Query) -> _Asked:
    keys = list(dict.fromkeys(query.texts("key", MAX_KEYS)))
    if not keys:
        raise bad_request("key is missing")
    low, high = query.number("from"), query.number("to")
    if low is not None and high is not None and low > high:
        raise bad_request("from is greater than to")
    return _Asked(
        keys,
        columns=query.whole("points", 1000, 1, MAX_COLUMNS),
        x=query.choice("x", ("step", "time", "relative")),
        source=query.text("source") or "",
        low=low,
        high=high,
        binary=CONTENT_TYPE in request.headers.get("accept", ""),
        code="f" if query.choice("type", ("float64", "float32")) == "float32" else "d",
    )


def _series(request: Request, asked: _Asked, names: list[str] | None) -> Response:
    runs, missing = _find(request, names)
    count = len(runs) * len(asked.keys)
    if count > MAX_SERIES or count * asked.columns > MAX_PIXELS:
        raise bad_request(
            f"{count} series of {asked.columns} columns are too much for one answer",
            f"at most {MAX_SERIES} series and {MAX_PIXELS:,} columns in all",
        )
    low, high = _range(request, runs, asked)
    lines = [line for run in runs for line in _thinned(request, run, asked, low, high)]
    head: dict[str, Any] = {"x": asked.x, "from": low, "to": high, "points": asked.columns}
    if names is not None:
        head["missing"] = missing
    if asked.binary:
        return _binary(head, lines, asked.code)
    told = [{**_facts(line), "x": list(line.x), "y": line.y.tolist()} for line in lines]
    return answer({**head, "series": told})


def _find(request: Request, names: list[str] | None) -> tuple[list[RunFolder], list[str]]:
    """The runs that are there, and the names of those that are not."""
    if names is None:
        return [find_run(request)], []
    runs, missing = [], []
    for name in names:
        try:
            runs.append(find_run(request, name))
        except Problem:
            missing.append(name)
    return runs, missing


# -- points ------------------------------------------------------------------------------------


def _points(request: Request) -> Points:
    state = request.app.state
    with _making:
        if not hasattr(state, "points"):
            state.points = Points()
        return cast("Points", state.points)


def _range(request: Request, runs: list[RunFolder], asked: _Asked) -> tuple[float, float]:
    """From where to where the chart goes."""
    low, high = asked.low, asked.high
    if low is None or high is None:
        ends: list[float] = []
        for run in runs:
            with opened(request, run) as connection:
                for key in asked.keys:
                    columns = _points(request).read(connection, run, key, asked.source)
                    if columns.values:
                        ends += _ends(columns, asked.x, _began(connection, asked.x))
        low = min(ends, default=0.0) if low is None else low
        high = max(ends, default=low) if high is None else high
    return float(low), float(max(low, high))


def _ends(columns: Columns, x: str, began: float) -> tuple[float, float]:
    if x == "step":
        return columns.steps[0], columns.steps[-1]
    return min(columns.times) - began, max(columns.times) - began


def _began(connection: sqlite3.Connection, x: str) -> float:
    """What x is counted from."""
    if x != "relative":
        return 0.0
    (began,) = connection.execute(
        "SELECT min(coalesce(s.opened, (SELECT r.time FROM rows r WHERE r.source = s.id"
        " AND r.kind != 0 ORDER BY r.number LIMIT 1))) FROM source s"
    ).fetchone()
    return began or 0.0


def _thinned(
    request: Request, run: RunFolder, asked: _Asked, low: float, high: float
) -> list[_Line]:
    lines = []
    with opened(request, run) as connection:
        began = _began(connection, asked.x)
        for key in asked.keys:
            columns = _points(request).read(connection, run, key, asked.source)
            x, y = _axes(columns, asked.x, began)
            kept = m4(x, y, asked.columns, low, high)
            lines.append(
                _Line(
                    *(run.id, key, len(y), [x[place] for place in kept]),
                    array("d", [y[place] for place in kept]),
                )
            )
    return lines


def _axes(columns: Columns, x: str, began: float) -> tuple[Sequence[float], array[float]]:
    """x ascending, and y beside it."""
    if x == "step":
        return columns.steps, columns.values
    times, values = columns.times, columns.values
    listed = times.tolist()
    if listed != sorted(listed):
        order = sorted(range(len(listed)), key=listed.__getitem__)
        times = array("d", [times[place] for place in order])
        values = array("d", [values[place] for place in order])
    return (times if not began else array("d", [time - began for time in times])), values


# -- answers -----------------------------------------------------------------------------------


def _facts(line: _Line) -> dict[str, Any]:
    return {"run": line.run, "key": line.key, "total": line.total}


def _binary(head: dict[str, Any], lines: list[_Line], code: str) -> Response:
    parts: list[bytes] = []
    offset = 0

    def place(values: array[Any]) -> list[int]:
        nonlocal offset
        if sys.byteorder == "big":
            values.byteswap()
        data = values.tobytes()
        data += bytes(-len(data) % 8)
        parts.append(data)
        offset += len(data)
        return [offset - len(data), len(values)]

    told = [
        {**_facts(line), "x": place(array("d", line.x)), "y": place(array(code, line.y))}
        for line in lines
    ]
    kind = "float32" if code == "f" else "float64"
    text = json.dumps({**head, "type": kind, "series": told}).encode()
    text += b" " * (-len(text) % 8)
    content = b"".join([HEADER.pack(MAGIC, 1, len(text), 0), text, *parts])
    return Response(content, media_type=CONTENT_TYPE)
