"""Rows as they can be read back from the tables: what `check`, exports and sync work from."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from itertools import groupby
from typing import Any, NamedTuple

from store.jsontext import from_json
from store.row import DIGEST_START, Kind, Row, chain, row_digest


class Reread(NamedTuple):
    """A row of a source, or the stub that stands for it (`row.kind` is STUB then)."""

    row: Row
    digest: bytes
    reason: str | None


def reread(connection: sqlite3.Connection, source: int, after: int = 0) -> Iterator[Reread]:
    """The rows of a source behind number `after`, in order, with h(n) made from what is here."""
    stubs = {
        number: (reason, digest)
        for number, reason, digest in connection.execute(
            "SELECT number, reason, digest FROM rejected WHERE source = ?", (source,)
        )
    }
    values = groupby(_values(connection, source, after), key=lambda item: item[0])
    number_of, items = next(values, (None, None))
    for number, kind, step, time, text, stream, line in connection.execute(
        "SELECT r.number, r.kind, r.step, r.time, e.data, l.stream, l.text FROM rows r"
        " LEFT JOIN event e ON e.row = r.seq LEFT JOIN line l ON l.row = r.seq"
        " WHERE r.source = ? AND r.number > ? ORDER BY r.number",
        (source, after),
    ):
        data: dict[str, Any] = {}
        if number_of == number and items is not None:
            data = {key: value for _, key, value in items}
            number_of, items = next(values, (None, None))
        elif text is not None:
            data = from_json(text)
        elif stream is not None:
            data = {"stream": stream, "text": line}
        row = Row(number, kind, step, time, data)
        if kind == Kind.STUB:
            reason, digest = stubs.get(number, ("unknown", b""))
            yield Reread(row, digest, reason)
        else:
            yield Reread(row, row_digest(row), None)


def _values(
    connection: sqlite3.Connection, source: int, after: int
) -> Iterator[tuple[int, str, Any]]:
    """(number, key, value) of metric rows, in the order of numbers."""
    for number, key, value, data in connection.execute(
        "SELECT r.number, m.name, p.value, NULL FROM rows r"
        " JOIN point p ON p.row = r.seq JOIN metric m ON m.id = p.metric"
        " WHERE r.source = ?1 AND r.number > ?2"
        " UNION ALL"
        " SELECT r.number, m.name, NULL, o.data FROM rows r"
        " JOIN object o ON o.row = r.seq JOIN metric m ON m.id = o.metric"
        " WHERE r.source = ?1 AND r.number > ?2 ORDER BY 1",
        (source, after),
    ):
        yield number, key, value if data is None else from_json(data)


def digest_from_tables(connection: sqlite3.Connection, source: int) -> bytes:
    """d(position) of a source, made anew from the tables."""
    digest = DIGEST_START
    for item in reread(connection, source):
        digest = chain(digest, item.digest)
    return digest
