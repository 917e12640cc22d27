"""The tables and views of a run's database, and their version.

Stable: people open these files with any SQLite tool. The version is `PRAGMA user_version`; a newer
one is refused, an older one stays readable and is migrated by writers only. NaN is NULL in `value`
columns; `config`, `summary`, `attribute` and `file` are functions of the set of rows (see absorb).
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final

from store.errors import SchemaTooNew
from store.row import Kind

VERSION: Final = 1

TABLES: Final = """
CREATE TABLE meta(key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE source(
    id INTEGER PRIMARY KEY, uuid TEXT NOT NULL UNIQUE, kind TEXT NOT NULL,
    host TEXT, pid INTEGER, label TEXT, parent TEXT, store TEXT,
    opened REAL, latest REAL, step INTEGER, state TEXT, exit_code INTEGER,
    position INTEGER NOT NULL, digest BLOB NOT NULL,
    segment INTEGER NOT NULL DEFAULT 0, offset INTEGER NOT NULL DEFAULT 0,
    ended INTEGER NOT NULL DEFAULT 0, seen REAL);
CREATE TABLE kind(id INTEGER PRIMARY KEY, name TEXT NOT NULL);
CREATE TABLE rows(
    seq INTEGER PRIMARY KEY, source INTEGER NOT NULL REFERENCES source, number INTEGER NOT NULL,
    kind INTEGER NOT NULL, step INTEGER NOT NULL, time REAL NOT NULL, UNIQUE(source, number));
CREATE TABLE metric(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE point(metric INTEGER NOT NULL, row INTEGER NOT NULL, value,
    PRIMARY KEY(metric, row)) WITHOUT ROWID;
CREATE TABLE object(metric INTEGER NOT NULL, row INTEGER NOT NULL, type TEXT NOT NULL,
    data TEXT NOT NULL, PRIMARY KEY(metric, row)) WITHOUT ROWID;
CREATE TABLE line(row INTEGER PRIMARY KEY, stream TEXT NOT NULL, text TEXT NOT NULL);
CREATE TABLE event(row INTEGER PRIMARY KEY, data TEXT NOT NULL);
CREATE TABLE config(key TEXT PRIMARY KEY, value TEXT,
    time REAL NOT NULL, source TEXT NOT NULL, number INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE attribute(key TEXT PRIMARY KEY, value TEXT,
    time REAL NOT NULL, source TEXT NOT NULL, number INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE file(name TEXT PRIMARY KEY, value TEXT,
    time REAL NOT NULL, source TEXT NOT NULL, number INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE summary(key TEXT PRIMARY KEY, value, chosen INTEGER NOT NULL,
    time REAL NOT NULL, source TEXT NOT NULL, number INTEGER NOT NULL,
    min REAL, max REAL, count INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE cursor(remote TEXT NOT NULL, entity TEXT NOT NULL, project TEXT NOT NULL,
    source INTEGER NOT NULL REFERENCES source, position INTEGER NOT NULL, digest BLOB NOT NULL,
    PRIMARY KEY(remote, entity, project, source)) WITHOUT ROWID;
CREATE TABLE target(remote TEXT NOT NULL, entity TEXT NOT NULL, project TEXT NOT NULL,
    place TEXT NOT NULL, tried REAL, error TEXT, files INTEGER,
    PRIMARY KEY(remote, entity, project)) WITHOUT ROWID;
CREATE TABLE refused(remote TEXT NOT NULL, entity TEXT NOT NULL, project TEXT NOT NULL,
    source INTEGER NOT NULL REFERENCES source, number INTEGER NOT NULL, reason TEXT NOT NULL,
    PRIMARY KEY(remote, entity, project, source, number)) WITHOUT ROWID;
CREATE TABLE rejected(source INTEGER NOT NULL REFERENCES source, number INTEGER NOT NULL,
    frame BLOB, reason TEXT NOT NULL, digest BLOB NOT NULL,
    PRIMARY KEY(source, number)) WITHOUT ROWID;
"""

VIEWS: Final = """
CREATE VIEW writers AS SELECT
    s.id, coalesce(s.label, s.host || ':' || s.pid) AS writer, s.uuid, s.label, s.host, s.pid,
    s.state, s.exit_code, s.position AS rows, s.step,
    datetime(s.opened, 'unixepoch') AS opened, datetime(s.latest, 'unixepoch') AS latest
    FROM source s;
CREATE VIEW metrics AS SELECT
    m.name AS key, r.step, r.time, p.value, w.writer
    FROM point p JOIN metric m ON m.id = p.metric JOIN rows r ON r.seq = p.row
    JOIN writers w ON w.id = r.source;
CREATE VIEW console AS SELECT
    r.time, l.stream, l.text, w.writer
    FROM line l JOIN rows r ON r.seq = l.row JOIN writers w ON w.id = r.source;
CREATE VIEW events AS SELECT
    r.time, k.name AS kind, r.step, e.data, w.writer
    FROM event e JOIN rows r ON r.seq = e.row LEFT JOIN kind k ON k.id = r.kind
    JOIN writers w ON w.id = r.source;
CREATE VIEW files AS SELECT
    name, value ->> '$.size' AS size, value ->> '$.sha256' AS sha256 FROM file
    WHERE value IS NOT NULL;
"""


def create_or_check(connection: sqlite3.Connection, path: Path) -> None:
    """Make the tables of a new database; refuse one of a newer version.

    Raises:
        SchemaTooNew: made by a later Runstore.
    """
    (found,) = connection.execute("PRAGMA user_version").fetchone()
    if found > VERSION:
        raise SchemaTooNew(path, found, VERSION)
    if found == VERSION:
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        for statement in (TABLES + VIEWS).split(";"):
            connection.execute(statement)
        connection.executemany(
            "INSERT INTO kind VALUES(?, ?)", [(kind.value, kind.name.lower()) for kind in Kind]
        )
        connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
