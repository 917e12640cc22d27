"""The file of a store's catalogue: its tables, where it lies, opening it, throwing it away.

It lies in the first of $STORE_CACHE, $XDG_CACHE_HOME/runstore (~/.cache/runstore), $XDG_RUNTIME_DIR
and a private folder in the system's temporary directory that is on a local disk and can be written
to. Everything in it can be made again: a file that is damaged is removed, one with other tables
has another name, and where no file can be had the catalogue is kept in memory.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from hashlib import blake2b
from pathlib import Path
from typing import Final

from store.host import cache_folders
from store.outline import MetricKey, RunLine, WriterLine
from store.paths import StoreFolder

BUSY_SECONDS: Final = 10.0
MEANING: Final = 2
"""To be raised when columns stay but their meaning changes."""

TABLES: Final = f"""
CREATE TABLE run(n INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE,
    {", ".join(f'"{name}"' for name in RunLine._fields[2:])});
CREATE INDEX run_by_id ON run(id);
CREATE INDEX run_by_name ON run(name);
CREATE TABLE metric_key(slot INTEGER PRIMARY KEY AUTOINCREMENT, n INTEGER NOT NULL,
    run TEXT NOT NULL, entity TEXT NOT NULL, project TEXT NOT NULL,
    {", ".join(MetricKey._fields)}, UNIQUE(n, key));
CREATE INDEX metric_key_by_key ON metric_key(key, run);
CREATE INDEX metric_key_by_run ON metric_key(run, key);
CREATE TABLE config_key(n INTEGER NOT NULL,
    run TEXT NOT NULL, entity TEXT NOT NULL, project TEXT NOT NULL,
    key TEXT NOT NULL, value, type TEXT NOT NULL);
CREATE INDEX config_key_by_key ON config_key(key, run);
CREATE INDEX config_key_by_run ON config_key(run, key);
CREATE INDEX config_key_of_run ON config_key(n);
CREATE TABLE writer(n INTEGER NOT NULL,
    run TEXT NOT NULL, entity TEXT NOT NULL, project TEXT NOT NULL,
    {", ".join(WriterLine._fields)});
CREATE INDEX writer_by_run ON writer(run);
CREATE INDEX writer_of_run ON writer(n)
"""
FORM: Final = blake2b(f"{MEANING} {TABLES}".encode(), digest_size=4).hexdigest()
CHILDREN: Final = {
    "metric_key": ", ".join(("n", "run", "entity", "project", *MetricKey._fields)),
    "config_key": "n, run, entity, project, key, value, type",
    "writer": ", ".join(("n", "run", "entity", "project", *WriterLine._fields)),
}


def cache_file(store: StoreFolder) -> Path | None:
    """Where the catalogue of `store` belongs; None when there is no place for it."""
    folder = next(cache_folders(), None)
    return None if folder is None else folder / f"{store.place}.{FORM}.db"


def open_cache(path: Path | None) -> sqlite3.Connection:
    """A connection to the catalogue at `path` (None: in memory), its tables made where absent.

    Raises:
        sqlite3.Error: damaged, or not to be opened.
    """
    if path is not None:
        with contextlib.suppress(OSError):
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    connection = sqlite3.connect(
        path if path is not None else ":memory:",
        uri=True,
        timeout=BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        connection.execute("PRAGMA synchronous = OFF")
        if path is not None:
            connection.execute("PRAGMA journal_mode = WAL")
        if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            connection.execute("BEGIN IMMEDIATE")
            # Another process may have made them while this one waited.
            if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                for statement in TABLES.split(";"):
                    connection.execute(statement)
            connection.execute("COMMIT")
    except BaseException:
        connection.close()
        raise
    return connection


def remove_cache(path: Path) -> None:
    """Throw a catalogue away; processes that have it open go on with their own."""
    for ending in ("", "-wal", "-shm", "-journal"):
        with contextlib.suppress(OSError):
            os.unlink(f"{path}{ending}")
