"""Series: the points of metrics, thinned to what a chart of so many pixels shows (`server.m4`).

    series?key=K...&points=W&x=step|time|relative|metric&from=&to=[&mean=1][&source=UUID|&by=source]
    /projects/{entity}/{project}/series?run=R...&key=K...                   several runs at once

`points` is the chart's width in pixels; all series of an answer share its columns, from `from` to
`to` in units of x (by default, from the first point of all to the last). `relative` is seconds
since the run began; `metric` the value that the metric `x_key` had. With `mean=1`, a series that
was thinned has the mean of each column (mean_x, mean_y; else empty), for smoothing. As JSON, y has
null for NaN and 9e999 for infinity. With `by=source` each writer has series of its own, those
without points left out. For `Accept: application/x-runstore-series` the answer is,
little-endian:

    0   magic "RSER", uint32 version (1), uint32 length H of the head, uint32 0
    16  the head: JSON of H bytes, padded with spaces to a multiple of 8
    ..  arrays, each at a multiple of 8 behind the head

The head is the JSON answer, but an array is [offset behind the head, count]; equal ones lie there
once. x is float64; y is float64, or float32 with `type=float32`.
"""

from __future__ import annotations

import json
import sqlite3
import sys
import threading
from array import array
from collections.abc import Callable, Iterator, Sequence
from struct import Struct
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from store.server.column_files import ColumnFiles
from store.server.columns import Line
from store.server.library import answer, find_run, opened
from store.server.m4 import m4, means
from store.server.points import MOST, Points
from store.server.problems import Problem
from store.server.query import Query, bad_request
from store.state import EDITOR

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
_COMMON: Final = ("key", "points", "from", "to", "x", "x_key", "mean", "source", "by", "type")
_making: Final = threading.Lock()


class _Asked(NamedTuple):
    keys: list[str]
    columns: int
    x: str
    x_key: str
    mean: bool
    source: str
    by_source: bool
    low: float | None
    high: float | None
    binary: bool
    code: str


class _Thinned(NamedTuple):
    """One series, as far as it is drawn; `total` points were logged in all."""

    run: str
    key: str
    source: str
    total: int
    x: array[float]
    y: array[float]
    mean_x: array[float]
    mean_y: array[float]


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
    x, x_key = query.choice("x", ("step", "time", "relative", "metric")), query.text("x_key")
    source, by = query.text("source") or "", query.choice("by", ("run", "source"))
    if (x == "metric") != (x_key is not None) or (x == "metric" and source):
        raise bad_request("x_key names the metric of x=metric, which is that of all sources")
    if source and by == "source":
        raise bad_request("source= names one, by=source takes all of them")
    return _Asked(
        keys,
        columns=query.whole("points", 1000, 1, MAX_COLUMNS),
        x=x,
        x_key=x_key or "",
        mean=query.choice("mean", ("0", "1")) == "1",
        source=source,
        by_source=by == "source",
        low=low,
        high=high,
        binary=CONTENT_TYPE in request.headers.get("accept", ""),
        code="f" if query.choice("type", ("float64", "float32")) == "float32" else "d",
    )


def _series(request: Request, asked: _Asked, names: list[str] | None) -> Response:
    runs, missing = _find(request, names)
    if asked.by_source and len(runs) > 1:
        raise bad_request("by=source takes one run at a time")
    count = len(runs) * len(asked.keys)
    if count > MAX_SERIES or count * asked.columns > MAX_PIXELS:
        raise bad_request(
            f"{count} series of {asked.columns} columns are too much for one answer",
            f"at most {MAX_SERIES} series and {MAX_PIXELS:,} columns in all",
        )
    low, high, held = _range(request, runs, asked)
    thinned: list[_Thinned] = []
    for run in runs:
        found = held.pop(run.id, None) or _read(request, run, asked)
        thinned += _thin(run, found, asked, low, high)
    head: dict[str, Any] = {"x": asked.x, "from": low, "to": high, "points": asked.columns}
    if names is not None:
        head["missing"] = missing
    if asked.binary:
        return _binary(head, thinned, asked)
    return answer(
        {**head, "series": [_told(line, asked, lambda y: y.tolist()) for line in thinned]}
    )


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
            state.points = Points(files=ColumnFiles.of_user())
        return cast("Points", state.points)


class _Found(NamedTuple):
    """The lines of a run, each with its (key, source), and what their x are counted from."""

    names: list[tuple[str, str]]
    lines: list[Line]
    began: float


def _read(request: Request, run: RunFolder, asked: _Asked) -> _Found:
    points = _points(request)
    with opened(request, run) as connection:
        sources = _sources(connection, run, asked) if asked.by_source else [asked.source]
        names = [(key, source) for source in sources for key in asked.keys]
        if asked.x == "metric":
            lines = [
                points.read_by(connection, run, key, asked.x_key, source) for key, source in names
            ]
            return _Found(names, lines, 0.0)
        columns = [
            found
            for source in sources
            for found in points.read_all(connection, run, asked.keys, source)
        ]
        lines = [found.by_step if asked.x == "step" else found.by_time for found in columns]
        return _Found(names, lines, _began(connection, asked.x))


def _sources(connection: sqlite3.Connection, run: RunFolder, asked: _Asked) -> list[str]:
    sql = "SELECT uuid FROM source WHERE parent IS NOT ? ORDER BY id"
    found = [uuid for (uuid,) in connection.execute(sql, (EDITOR,))]
    count = len(found) * len(asked.keys)
    if count > MAX_SERIES or count * asked.columns > MAX_PIXELS:
        raise bad_request(
            f"{len(found)} sources of {run.id} are too much for one answer",
            "without by=source they are drawn as one",
        )
    return found


def _range(
    request: Request, runs: list[RunFolder], asked: _Asked
) -> tuple[float, float, dict[str, _Found]]:
    """From where to where the chart goes, and what was read to know it, as far as that is held."""
    low, high, size = asked.low, asked.high, 0
    held: dict[str, _Found] = {}
    if low is None or high is None:
        ends: list[float] = []
        for run in runs:
            found = _read(request, run, asked)
            for line in found.lines:
                if line.y:
                    ends += (line.x[0] - found.began, line.x[-1] - found.began)
            size += sum(len(line.y) for line in found.lines)
            if size <= MOST:
                held[run.id] = found
        low = min(ends, default=0.0) if low is None else low
        high = max(ends, default=low) if high is None else high
    return float(low), float(max(low, high)), held


def _began(connection: sqlite3.Connection, x: str) -> float:
    """What x is counted from."""
    if x != "relative":
        return 0.0
    (began,) = connection.execute(
        "SELECT min(coalesce(s.opened, (SELECT r.time FROM rows r WHERE r.source = s.id"
        " AND r.kind != 0 ORDER BY r.number LIMIT 1))) FROM source s"
    ).fetchone()
    return began or 0.0


def _thin(
    run: RunFolder, found: _Found, asked: _Asked, low: float, high: float
) -> Iterator[_Thinned]:
    began = found.began
    for (key, source), (x, y, buckets) in zip(found.names, found.lines, strict=True):
        if asked.by_source and not len(y):
            continue
        chart = (x, y, asked.columns, low + began, high + began, buckets)
        kept = m4(*chart)
        mean_x, mean_y = means(*chart) if asked.mean else (array("d"), array("d"))
        yield _Thinned(
            *(run.id, key, source, len(y)),
            _shifted(_chosen(x, kept), began),
            _chosen(y, kept),
            _shifted(mean_x, began),
            mean_y,
        )


def _chosen(values: Sequence[float], places: Sequence[int]) -> array[float]:
    if isinstance(places, range):
        return array("d", values[places.start : places.stop])
    return array("d", [values[place] for place in places])


def _shifted(values: array[float], by: float) -> array[float]:
    return array("d", [value - by for value in values]) if by else values


# -- answers -----------------------------------------------------------------------------------


def _told(
    line: _Thinned, asked: _Asked, put_y: Callable[[array[float]], list[Any]], put_x: Any = list
) -> dict[str, Any]:
    told = {
        "run": line.run,
        "key": line.key,
        "total": line.total,
        "x": put_x(line.x),
        "y": put_y(line.y),
    }
    if asked.by_source:
        told["source"] = line.source
    if asked.mean:
        told |= {"mean_x": put_x(line.mean_x), "mean_y": put_y(line.mean_y)}
    return told


def _binary(head: dict[str, Any], lines: list[_Thinned], asked: _Asked) -> Response:
    placed: dict[bytes, int] = {}
    offset = 0

    def place(values: array[Any]) -> list[int]:
        nonlocal offset
        if sys.byteorder == "big":
            values.byteswap()
        data = values.tobytes()
        data += bytes(-len(data) % 8)
        if data not in placed:
            placed[data] = offset
            offset += len(data)
        return [placed[data], len(values)]

    told = [_told(line, asked, lambda y: place(array(asked.code, y)), place) for line in lines]
    kind = "float32" if asked.code == "f" else "float64"
    text = json.dumps({**head, "type": kind, "series": told}).encode()
    text += b" " * (-len(text) % 8)
    content = b"".join([HEADER.pack(MAGIC, 1, len(text), 0), text, *placed])
    return Response(content, media_type=CONTENT_TYPE)
