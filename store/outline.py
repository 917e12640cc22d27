"""Outline: what the catalogue keeps of one run, read from the run's database.

The signature says whether two outlines are of the same rows: sources, positions and digests, and
the number of stubs. Whether a writer lives, and with it the state, may change without it.
"""

from __future__ import annotations

import json
import math
import shlex
import sqlite3
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from typing import Any, NamedTuple

from store.database import Source
from store.jsontext import from_json, to_json
from store.ownership import Life
from store.paths import RunFolder
from store.row import Kind
from store.state import EDITOR, run_state, writer_state
from store.summarize import Definitions, summary_values


class RunLine(NamedTuple):
    """The catalogue's line on a run. `n` is its number there; `version` grows with its rows.

    Times in seconds since 1970. `ended` is None while the run is running; `steps` is the greatest
    step of a metric row; `points` counts logged values; `size` is the bytes of database, log and
    journals; `refused` counts values that could not be kept, by reason (JSON); `stubs` the rows
    that are not here. config, summary, attributes (JSON objects) and tags (a JSON list) are texts;
    `nan` lists the keys of the summary that are NaN, which JSON cannot say. With the state
    "damaged", `error` says why. `has_console` and `has_files`: 1 where there are such rows.
    """

    n: int
    key: str
    entity: str
    project: str
    id: str
    name: str
    state: str
    created: float | None
    updated: float | None
    ended: float | None
    host: str | None
    rows: int
    steps: int | None
    points: int
    size: int
    writers: int
    stubs: int
    refused: str
    config: str
    summary: str
    nan: str
    attributes: str
    group: str | None
    job_type: str | None
    tags: str
    notes: str | None
    commit: str | None
    command: str | None
    error: str | None
    has_console: int
    has_files: int
    stamp: str
    marks: str | None
    signature: str
    version: int

    @property
    def path(self) -> str:
        """entity/project/id"""
        return f"{self.entity}/{self.project}/{self.id}"


class WriterLine(NamedTuple):
    """One writer of a run; `writer` is its label, or host:pid. Times in seconds since 1970."""

    writer: str | None
    uuid: str
    label: str | None
    host: str | None
    pid: int | None
    state: str
    exit_code: int | None
    rows: int
    step: int | None
    opened: float | None
    latest: float | None
    alive: bool


class MetricKey(NamedTuple):
    """A key of the metrics or of the summary: its value there (`shown`), its logged values."""

    key: str
    value: object
    least: float | None
    greatest: float | None
    points: int
    shown: bool


class Outline(NamedTuple):
    line: RunLine
    writers: list[WriterLine]
    metrics: list[MetricKey]
    config: list[tuple[str, object, str]]


def read_outline(
    connection: sqlite3.Connection, run: RunFolder, life: Mapping[str, Life], now: float
) -> Outline:
    """Everything but stamp, marks and size, which belong to the files."""
    sources = [Source(*row) for row in connection.execute("SELECT * FROM source ORDER BY opened")]
    attributes = _settings(connection, "attribute")
    config = _settings(connection, "config")
    summary = summary_values(connection, Definitions(attributes))
    metrics = list(_metric_keys(connection, summary))
    stubs, has_console, has_files = connection.execute(
        "SELECT (SELECT count(*) FROM rejected), EXISTS(SELECT 1 FROM line),"
        " EXISTS(SELECT 1 FROM file WHERE value IS NOT NULL)"
    ).fetchone()
    line = damaged_line(run, "")._replace(
        name=_text(attributes.get("name")) or run.id,
        **_moments(sources, run_state(sources, life, now)),
        host=next((s.host for s in sources if s.host), None),
        rows=sum(source.position for source in sources),
        steps=max((s.step for s in sources if s.step is not None), default=None),
        points=sum(metric.points for metric in metrics),
        writers=len(sources),
        stubs=stubs,
        refused=to_json(_refused(connection)),
        config=to_json(config),
        summary=to_json(summary),
        nan=to_json([k for k, v in summary.items() if type(v) is float and math.isnan(v)]),
        attributes=to_json(attributes),
        **_described(attributes),
        error=None,
        has_console=has_console,
        has_files=has_files,
        signature=_signature(sources, stubs),
    )
    return Outline(
        line,
        [_writer_line(source, life.get(source.uuid, "unknown"), now) for source in sources],
        metrics,
        list(flatten(config)),
    )


def damaged_line(run: RunFolder, error: str) -> RunLine:
    """The line on a run of which nothing can be read."""
    values: dict[str, Any] = dict.fromkeys(RunLine._fields)
    for name in ("n", "rows", "points", "size", "writers", "stubs", "version"):
        values[name] = 0
    for name in ("refused", "config", "summary", "attributes"):
        values[name] = "{}"
    values |= {"key": run.key, "entity": run.entity, "project": run.project, "id": run.id}
    values |= {"name": run.id, "state": "damaged", "error": error, "signature": f"bad: {error}"}
    values |= {"nan": "[]", "tags": "[]", "stamp": "", "has_console": 0, "has_files": 0}
    return RunLine(**values)


def _moments(everybody: list[Source], state: str) -> dict[str, Any]:
    sources = [source for source in everybody if source.parent != EDITOR]
    opened = [s.opened if s.opened is not None else s.latest for s in sources]
    latest = max((s.latest for s in sources if s.latest is not None), default=None)
    return {
        "state": state,
        "created": min((moment for moment in opened if moment is not None), default=None),
        "updated": latest,
        "ended": None if state == "running" else latest,
    }


def _described(attributes: Mapping[str, Any]) -> dict[str, Any]:
    tags, git, command = (attributes.get(key) for key in ("tags", "git", "command"))
    if isinstance(command, dict):
        command = command.get("command")
    if isinstance(command, list):
        command = shlex.join(map(str, command))
    return {
        **{key: _text(attributes.get(key)) for key in ("group", "job_type", "notes")},
        "tags": to_json(list(map(str, tags)) if isinstance(tags, list) else []),
        "commit": _text(git.get("commit")) if isinstance(git, dict) else None,
        "command": _text(command),
    }


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _settings(connection: sqlite3.Connection, table: str) -> dict[str, Any]:
    return {
        key: from_json(value)
        for key, value in connection.execute(
            f"SELECT key, value FROM {table} WHERE value IS NOT NULL ORDER BY key"
        )
    }


def _metric_keys(
    connection: sqlite3.Connection, summary: Mapping[str, object]
) -> Iterator[MetricKey]:
    for key, least, greatest, count in connection.execute(
        "SELECT key, min, max, count FROM summary"
    ):
        value, _ = as_column(summary.get(key))
        yield MetricKey(key, value, least, greatest, count, key in summary)


def as_column(value: object) -> tuple[object, str]:
    """A JSON value as SQL has it, and the name of its type; lists and dicts stay JSON."""
    if isinstance(value, bool):
        return int(value), "bool"
    if value is None or isinstance(value, int | float | str):
        return value, "null" if value is None else type(value).__name__
    return to_json(value), type(value).__name__


def flatten(values: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object, str]]:
    """(key, value, type) of each leaf; the keys of nested dicts are joined by dots."""
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield (f"{prefix}{key}", *as_column(value))


def _refused(connection: sqlite3.Connection) -> dict[str, int]:
    """What the writers counted as not kept; each source's last count holds for all before it."""
    last: dict[int, Any] = {}
    for source, text in connection.execute(
        "SELECT r.source, e.data FROM event e JOIN rows r ON r.seq = e.row"
        " WHERE r.kind = ? AND e.data LIKE '%\"refused\"%' ORDER BY r.source, r.number",
        (int(Kind.EVENT),),
    ):
        data = from_json(text)
        if isinstance(data, dict) and data.get("type") == "refused":
            last[source] = data.get("counts")
    total: dict[str, int] = {}
    for counts in last.values():
        for reason, count in counts.items() if isinstance(counts, dict) else ():
            if isinstance(count, int):
                total[reason] = total.get(reason, 0) + count
    return total


def _writer_line(source: Source, life: Life, now: float) -> WriterLine:
    host_pid = None if source.host is None or source.pid is None else f"{source.host}:{source.pid}"
    return WriterLine(
        *(source.label or host_pid, source.uuid, source.label, source.host, source.pid),
        *(writer_state(source, life, now), source.exit_code, source.position, source.step),
        *(source.opened, source.latest, life == "alive"),
    )


def _signature(sources: list[Source], stubs: int) -> str:
    known = sorted((source.uuid, source.position, source.digest.hex()) for source in sources)
    return blake2b(json.dumps([known, stubs]).encode(), digest_size=16).hexdigest()
