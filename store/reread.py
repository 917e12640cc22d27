"""Rows as they can be read back from the tables: what `check`, exports and sync work from."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from store.jsontext import from_json
from store.row import DIGEST_START, Kind, Row, next_digest, row_digest

ROWS_AT_ONCE: Final = 2000


class Reread(NamedTuple):
    """A row of a source, or the stub that stands for it (`row.kind` is STUB then)."""

    row: Row
    digest: bytes
    reason: str | None


def reread(connection: sqlite3.Connection, source: int, after: int = 0) -> Iterator[Reread]:
    """The rows of a source behind number `after`, in order, with h(n) made from what is here."""
    while True:
        part = connection.execute(
            "SELECT r.seq, r.number, r.kind, r.step, r.time, e.data, l.stream, l.text,"
            " x.reason, x.digest FROM rows r"
            " LEFT JOIN event e ON e.row = r.seq LEFT JOIN line l ON l.row = r.seq"
            " LEFT JOIN rejected x ON r.kind = 0 AND x.source = r.source AND x.number = r.number"
            " WHERE r.source = ? AND r.number > ? ORDER BY r.number LIMIT ?",
            (source, after, ROWS_AT_ONCE),
        ).fetchall()
        if not part:
            return
        values = _values(connection, [fields[0] for fields in part])
        for fields in part:
            yield _assemble(fields, values)
        after = part[-1][1]


def _assemble(fields: tuple[Any, ...], values: dict[int, dict[str, Any]]) -> Reread:
    seq, number, kind, step, time, text, stream, line, reason, digest = fields
    if kind == Kind.STUB:
        return Reread(Row(number, kind, step, time, {}), digest or b"", reason or "unknown")
    if text is not None:
        data = from_json(text)
    elif stream is not None:
        data = {"stream": stream, "text": line}
    else:
        data = values.get(seq, {})
    row = Row(number, kind, step, time, data)
    return Reread(row, row_digest(row), None)


def _values(connection: sqlite3.Connection, seqs: list[int]) -> dict[int, dict[str, Any]]:
    """Metric values by seq. A batch's rows lie side by side, so this is a few range scans."""
    found: dict[int, dict[str, Any]] = {}
    for first, last in stretches(seqs):
        for seq, key, value in connection.execute(
            "SELECT p.row, m.name, p.value FROM metric m"
            " CROSS JOIN point p ON p.metric = m.id AND p.row BETWEEN ? AND ?",
            (first, last),
        ):
            found.setdefault(seq, {})[key] = value
        for seq, key, text in connection.execute(
            "SELECT o.row, m.name, o.data FROM metric m"
            " CROSS JOIN object o ON o.metric = m.id AND o.row BETWEEN ? AND ?",
            (first, last),
        ):
            found.setdefault(seq, {})[key] = from_json(text)
    return found


def stretches(seqs: list[int]) -> Iterator[tuple[int, int]]:
    first = last = seqs[0]
    for seq in seqs[1:]:
        if seq != last + 1:
            yield first, last
            first = seq
        last = seq
    yield first, last


def digest_from_tables(connection: sqlite3.Connection, source: int) -> bytes:
    """d(position) of a source, made anew from the tables."""
    digest = DIGEST_START
    for item in reread(connection, source):
        digest = next_digest(digest, item.digest)
    return digest
