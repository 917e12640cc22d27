"""Merge: absorb into a run's database what another database of the same run has beyond it.

What was seen before is skipped, stubs travel as stubs, rows replace stubs, and tombstones of
journals come along. Nothing that is here is overwritten, so a merge can be repeated at will.
"""

from __future__ import annotations

import sqlite3
from typing import Final

from store.database import RunDatabase, Source
from store.reread import reread
from store.row import Kind, Row

ROWS_AT_ONCE: Final = 5000


def merge(
    connection: sqlite3.Connection, database: RunDatabase, *, durable: bool = False
) -> tuple[int, list[str]]:
    """Absorb every source's rows; gives how many were new, and what does not fit together.

    To be called under the lock of `database`; with `durable` new rows are on the disk afterwards.
    """
    rows, problems = 0, []
    sources = [Source(*fields) for fields in connection.execute("SELECT * FROM source")]
    for source in sources:
        rows += _absorb_source(connection, source, database)
        found = database.source(source.uuid)
        if found and found.position == source.position and found.digest != source.digest:
            problems.append(f"source {source.uuid[:8]}: its rows differ from those there")
    known = {source.uuid: source for source in database.sources()}
    ended = [
        source.uuid
        for source in sources
        if source.ended
        and (here := known.get(source.uuid)) is not None
        and not here.ended
        and here.position == source.position
    ]
    if ended or (rows and durable):
        with database.transaction(durable=durable):
            database.end_sources(ended)
    return rows, problems


def _absorb_source(connection: sqlite3.Connection, source: Source, database: RunDatabase) -> int:
    known = database.source(source.uuid)
    if known is None and source.position:
        with database.transaction():
            known = database.ensure_source(source.uuid, source.kind)
    if known is None:
        return 0
    new = _replace_stubs(connection, source, database, known)
    rows: list[Row] = []
    for item in reread(connection, source.id, known.position):
        if item.row.kind != Kind.STUB:
            rows.append(item.row)
        if rows and (item.row.kind == Kind.STUB or len(rows) >= ROWS_AT_ONCE):
            new += database.absorb(source.uuid, rows)
            rows = []
        if item.row.kind == Kind.STUB:
            frame = _frame(connection, source, item.row.number)
            with database.transaction():
                database.reject(
                    *(source.uuid, item.row.number, frame, item.reason or "unknown"),
                    digest=item.digest or None,
                )
            new += 1
    return new + (database.absorb(source.uuid, rows) if rows else 0)


def _frame(connection: sqlite3.Connection, source: Source, number: int) -> bytes:
    (frame,) = connection.execute(
        "SELECT frame FROM rejected WHERE source = ? AND number = ?", (source.id, number)
    ).fetchone() or (b"",)
    return frame or b""


def _replace_stubs(
    connection: sqlite3.Connection, source: Source, database: RunDatabase, known: Source
) -> int:
    """Rows that are stubs there and rows here."""
    replaced = 0
    for (number,) in database.execute(
        "SELECT number FROM rejected WHERE source = ? AND number <= ?",
        (known.id, source.position),
    ).fetchall():
        item = next(reread(connection, source.id, number - 1), None)
        if item is not None and item.row.number == number and item.row.kind != Kind.STUB:
            database.absorb(source.uuid, [item.row])
            replaced += 1
    return replaced
