"""Bring config, attribute, file and summary up to date with a batch of rows.

Each is the winner of a contest that any order of arrival decides alike: see `store.absorb`.
"""

from __future__ import annotations

import sqlite3
from typing import Final

from store.batch import Batch
from store.jsontext import to_json
from store.row import DELETED, Kind

_TABLES: Final = {Kind.CONFIG: "config", Kind.ATTRIBUTE: "attribute", Kind.FILE: "file"}

_NEWER: Final = "(excluded.time, excluded.source, excluded.number) > (time, source, number)"
_SET: Final = """
INSERT INTO {table}(key, value, time, source, number) VALUES(?, ?, ?, ?, ?)
ON CONFLICT(key) DO UPDATE SET
    value = excluded.value, time = excluded.time,
    source = excluded.source, number = excluded.number
WHERE (excluded.time, excluded.source, excluded.number) > (time, source, number)
"""
# chosen: 0 = logged, 1 = set explicitly, -1 = taken away explicitly
_WINS: Final = (
    "(abs(excluded.chosen), excluded.time, excluded.source, excluded.number)"
    " > (abs(chosen), time, source, number)"
)
_SUMMARY: Final = f"""
INSERT INTO summary(key, value, chosen, time, source, number, min, max, count)
VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT(key) DO UPDATE SET
    min = CASE WHEN min IS NULL OR excluded.min < min THEN coalesce(excluded.min, min)
          ELSE min END,
    max = CASE WHEN max IS NULL OR excluded.max > max THEN coalesce(excluded.max, max)
          ELSE max END,
    count = count + excluded.count,
    value = CASE WHEN {_WINS} THEN excluded.value ELSE value END,
    chosen = CASE WHEN {_WINS} THEN excluded.chosen ELSE chosen END,
    time = CASE WHEN {_WINS} THEN excluded.time ELSE time END,
    source = CASE WHEN {_WINS} THEN excluded.source ELSE source END,
    number = CASE WHEN {_WINS} THEN excluded.number ELSE number END
"""


def materialize(connection: sqlite3.Connection, batch: Batch) -> None:
    """Apply the batch's settings and logged values."""
    for kind, table in _TABLES.items():
        sql = _SET.format(table=table)
        if table == "file":
            sql = sql.replace("(key,", "(name,").replace("CONFLICT(key)", "CONFLICT(name)")
        connection.executemany(
            sql,
            [
                (key, _setting(value), row.time, batch.uuid, row.number)
                for row in batch.settings.get(kind, ())
                for key, value in row.data.items()
            ],
        )
    connection.executemany(
        _SUMMARY,
        [
            (key, *_chosen(value), row.time, batch.uuid, row.number, None, None, 0)
            for row in batch.settings.get(Kind.SUMMARY, ())
            for key, value in row.data.items()
        ],
    )
    connection.executemany(
        _SUMMARY,
        [
            (key, s.value, 0, s.stamp[0], batch.uuid, s.stamp[1], s.least, s.greatest, s.count)
            for key, s in batch.logged.items()
        ],
    )


def _setting(value: object) -> str | None:
    return None if value == DELETED else to_json(value)


def _chosen(value: object) -> tuple[object, int]:
    """A summary value as its column keeps it (numbers as they are, the rest as JSON text)."""
    if value == DELETED:
        return None, -1
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value, 1
    return to_json(value), 1
