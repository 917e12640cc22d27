"""The summary of a run, with the metrics' definitions applied.

A definition is an attribute `define/<metric or pattern>` with {"step_metric", "summary"}; in a
pattern `*` stands for any text. The exact name goes before patterns, a longer pattern before a
shorter one, each field for itself. What was set explicitly goes before every definition. Metrics
about the machine (`system/*`) are in no summary, unless a definition that names them says so.
"""

from __future__ import annotations

import math
import re
import sqlite3
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from store.jsontext import from_json
from store.row import SYSTEM

PREFIX: Final = "define/"


class Definition(NamedTuple):
    """How a metric is to be shown; None = nothing was said."""

    step_metric: str | None = None
    summary: str | None = None


class Definitions:
    """All definitions of a run."""

    def __init__(self, attributes: Mapping[str, Any]) -> None:
        self._exact: dict[str, Definition] = {}
        patterns: list[tuple[str, Definition]] = []
        for key, value in attributes.items():
            if key.startswith(PREFIX) and isinstance(value, dict):
                name = key[len(PREFIX) :]
                said = Definition(_text(value, "step_metric"), _text(value, "summary"))
                if "*" in name:
                    patterns.append((name, said))
                else:
                    self._exact[name] = said
        patterns.append((f"{SYSTEM}*", Definition(summary="none")))
        self._patterns = [
            (re.compile(re.escape(name).replace(r"\*", ".*"), re.DOTALL), said)
            for name, said in sorted(patterns, key=lambda pair: (-len(pair[0]), pair[0]))
        ]

    def of(self, metric: str) -> Definition:
        """What is defined for `metric`."""
        found = self._exact.get(metric, Definition())
        for pattern, said in self._patterns:
            if None not in found:
                break
            if pattern.fullmatch(metric):
                found = Definition(
                    found.step_metric or said.step_metric, found.summary or said.summary
                )
        return found


def _text(value: Mapping[str, Any], key: str) -> str | None:
    found = value.get(key)
    return found if isinstance(found, str) else None


def read_definitions(connection: sqlite3.Connection) -> Definitions:
    """The definitions in a run's database."""
    return Definitions(
        {
            key: from_json(value)
            for key, value in connection.execute(
                "SELECT key, value FROM attribute"
                " WHERE key >= 'define/' AND key < 'define0' AND value IS NOT NULL"
            )
        }
    )


def summary_values(
    connection: sqlite3.Connection, definitions: Definitions | None = None
) -> dict[str, Any]:
    """The summary of the run whose database this is: numbers (NaN included), texts, lists, dicts.

    An explicit value, else what the metric's definition asks for of the logged ones (last, min,
    max, mean, first, none), else the last one logged. min, max and mean leave NaN out.
    """
    chosen = definitions if definitions is not None else read_definitions(connection)
    values: dict[str, Any] = {}
    for key, value, how, least, greatest in connection.execute(
        "SELECT key, value, chosen, min, max FROM summary WHERE chosen >= 0 ORDER BY key"
    ):
        kind = chosen.of(key).summary if how == 0 else None
        if kind == "min":
            values[key] = _number(least)
        elif kind == "max":
            values[key] = _number(greatest)
        elif kind == "mean":
            values[key] = _mean(connection, key)
        elif kind == "first":
            values[key] = _first(connection, key)
        elif kind != "none":
            values[key] = _decode(value)
    return values


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _decode(value: object) -> Any:
    return from_json(value) if isinstance(value, str) else math.nan if value is None else value


def _mean(connection: sqlite3.Connection, key: str) -> float:
    """The exactly rounded mean, which does not depend on the order of the points."""
    values = [
        float(value)
        for (value,) in connection.execute(
            "SELECT value FROM point WHERE metric = (SELECT id FROM metric WHERE name = ?)"
            " AND value IS NOT NULL",
            (key,),
        )
    ]
    if not values:
        return math.nan
    greatest, count = max(map(abs, values)), len(values)
    if math.isinf(greatest):
        infinite = {value for value in values if math.isinf(value)}
        return infinite.pop() if len(infinite) == 1 else math.nan
    if greatest > 1e308 / count:
        return math.fsum(value / count for value in values)
    return math.fsum(values) / count


def _first(connection: sqlite3.Connection, key: str) -> Any:
    row = connection.execute(
        "SELECT v.value FROM ("
        " SELECT row, value FROM point WHERE metric = (SELECT id FROM metric WHERE name = ?)"
        " UNION ALL"
        " SELECT row, data FROM object WHERE metric = (SELECT id FROM metric WHERE name = ?)) v"
        " JOIN rows r ON r.seq = v.row JOIN source s ON s.id = r.source"
        " ORDER BY r.step, r.time, s.uuid, r.number LIMIT 1",
        (key, key),
    ).fetchone()
    return _decode(row[0]) if row else math.nan
