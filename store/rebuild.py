"""Make tables anew from rows, and a database anew from what can be read of a damaged one."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple

from store.batch import Batch
from store.database import RunDatabase
from store.materialize import materialize
from store.paths import RunFolder
from store.reread import Reread, reread
from store.row import Kind

__all__ = ["rematerialize", "reread", "salvage", "stale_tables"]

MATERIALIZED: Final = ("config", "attribute", "file", "summary")
ROWS_AT_ONCE: Final = 5000


def stale_tables(connection: sqlite3.Connection) -> list[str]:
    """Which of the materialized tables differ from what the rows say."""
    with contextlib.closing(_from_rows(connection)) as fresh:
        return [
            table
            for table in MATERIALIZED
            if fresh.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall()
            != connection.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall()
        ]


def rematerialize(connection: sqlite3.Connection, table: str) -> None:
    """Replace one materialized table; within the caller's transaction."""
    with contextlib.closing(_from_rows(connection)) as fresh:
        rows = fresh.execute(f"SELECT * FROM {table}").fetchall()
    connection.execute(f"DELETE FROM {table}")
    if rows:
        marks = ", ".join("?" * len(rows[0]))
        connection.executemany(f"INSERT INTO {table} VALUES({marks})", rows)


def _from_rows(connection: sqlite3.Connection) -> sqlite3.Connection:
    """The materialized tables of a run in memory, made from its rows alone."""
    fresh = sqlite3.connect(":memory:", isolation_level=None)
    for (sql,) in connection.execute(
        f"SELECT sql FROM sqlite_master WHERE type = 'table' AND name IN {MATERIALIZED}"
    ):
        fresh.execute(sql)
    names: dict[str, int] = {}
    for source, uuid in connection.execute("SELECT id, uuid FROM source").fetchall():
        rows = reread(connection, source)
        while part := list(islice(rows, ROWS_AT_ONCE)):
            batch = Batch(source, uuid, 1, b"")
            for item in part:
                if item.row.kind == Kind.METRIC:
                    ids = {key: names.setdefault(key, len(names)) for key in item.row.data}
                    batch.add_mixed(0, item.row, ids)
                elif item.row.kind != Kind.STUB:
                    batch.add_other(0, item.row)
            materialize(fresh, batch)
    return fresh


class Salvaged(NamedTuple):
    """Rows that made it into the new database, and where the damaged one is kept."""

    rows: int
    kept_as: Path


def salvage(run: RunFolder) -> Salvaged:
    """Replace a damaged run.db by a new one with all rows that can still be read.

    Under run.lock. The damaged file is kept beside it; journals that are still there are folded
    from their start by the next fold.
    """
    kept = run.path / f"run.db.damaged-{time.strftime('%Y%m%dT%H%M%S')}-{os.urandom(2).hex()}"
    fresh_path = run.path / "run.db.new"
    for suffix in ("", "-wal", "-shm"):
        Path(f"{fresh_path}{suffix}").unlink(missing_ok=True)
    rows = 0
    fresh = RunDatabase(fresh_path)
    try:
        old = sqlite3.connect(run.database, isolation_level=None)
        try:
            rows = sum(_save_source(old, fresh, s) for s in _readable_sources(old))
        finally:
            old.close()
        with fresh.transaction(durable=True):
            _set_bookmarks(run, fresh)
    finally:
        fresh.close()
    for suffix in ("-wal", "-shm", ""):
        damaged = Path(f"{run.database}{suffix}")
        if damaged.exists():
            os.replace(damaged, f"{kept}{suffix}")
    os.replace(fresh_path, run.database)
    return Salvaged(rows, kept)


def _set_bookmarks(run: RunFolder, fresh: RunDatabase) -> None:
    """Let the next fold begin at the first segment that is still there."""
    for uuid, segments in run.segments().items():
        source = fresh.ensure_source(uuid)
        fresh.execute(
            "UPDATE source SET segment = ?, offset = 0 WHERE id = ?", (segments[0][0], source.id)
        )


def _readable_sources(old: sqlite3.Connection) -> list[tuple[Any, ...]]:
    try:
        return old.execute("SELECT id, uuid FROM source").fetchall()
    except sqlite3.DatabaseError:
        return []


def _save_source(old: sqlite3.Connection, fresh: RunDatabase, source: tuple[Any, ...]) -> int:
    saved = 0
    rows = _until_damage(reread(old, source[0]))
    while part := list(islice(rows, ROWS_AT_ONCE)):
        expected = saved + 1
        whole = [item for i, item in enumerate(part) if item.row.number == expected + i]
        for item in whole:
            if item.row.kind == Kind.STUB:
                with fresh.transaction():
                    fresh.reject(
                        *(source[1], item.row.number, b"", item.reason or "unknown"),
                        digest=item.digest or None,
                    )
            else:
                fresh.absorb(source[1], [item.row])
        saved += len(whole)
        if len(whole) != len(part):
            break
    return saved


def _until_damage(rows: Iterator[Reread]) -> Iterator[Reread]:
    with contextlib.suppress(sqlite3.DatabaseError, ValueError):
        yield from rows
