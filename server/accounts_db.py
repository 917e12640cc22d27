"""accounts.db: its tables, and the one right way to open and change it.

Write-ahead log with synchronous=FULL; a file of mode 0600, published whole (by a link), so that of
several processes that make it at once one wins. Every write is a BEGIN IMMEDIATE under
accounts.lock, which also keeps SQLite's WAL-reset bug out (present up to 3.51.2). Connections are
pooled, not bound to threads: a thread that ends must not leave one open.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from store.errors import SchemaTooNew, StoreCorrupt, StoreNotFound
from store.locks import run_lock

FILE: Final = "accounts.db"
VERSION: Final = 2
BUSY_SECONDS: Final = 10.0
_POOLED: Final = 8

TABLES: Final = """
CREATE TABLE users(
    name TEXT PRIMARY KEY REFERENCES entities(name),
    admin INTEGER NOT NULL DEFAULT 0,
    disabled INTEGER NOT NULL DEFAULT 0,
    created REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE entities(
    name TEXT PRIMARY KEY,
    kind TEXT NOT NULL CHECK(kind IN ('user', 'team')),
    created REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE members(
    entity TEXT NOT NULL REFERENCES entities(name) ON DELETE CASCADE,
    project TEXT NOT NULL DEFAULT '',
    user TEXT NOT NULL REFERENCES users(name) ON DELETE CASCADE,
    role TEXT NOT NULL CHECK(role IN ('admin', 'member', 'viewer')),
    PRIMARY KEY(entity, project, user)
) WITHOUT ROWID;
CREATE INDEX members_by_user ON members(user);
CREATE TABLE projects(
    entity TEXT NOT NULL REFERENCES entities(name),
    name TEXT NOT NULL,
    visibility TEXT NOT NULL CHECK(visibility IN ('private', 'team', 'public', 'open')),
    created REAL NOT NULL,
    PRIMARY KEY(entity, name)
) WITHOUT ROWID;
CREATE TABLE keys(
    id TEXT PRIMARY KEY,
    hash BLOB NOT NULL UNIQUE,
    prefix TEXT NOT NULL,
    user TEXT NOT NULL REFERENCES users(name) ON DELETE CASCADE,
    scopes TEXT NOT NULL,
    label TEXT,
    created REAL NOT NULL,
    expires REAL,
    last_used REAL,
    revoked REAL
) WITHOUT ROWID;
CREATE INDEX keys_by_user ON keys(user);
"""
"""A member with a project ('' is none) belongs to that project only."""
SESSIONS: Final = """
CREATE TABLE sessions(
    hash BLOB PRIMARY KEY,
    key TEXT NOT NULL REFERENCES keys(id) ON DELETE CASCADE,
    created REAL NOT NULL,
    expires REAL NOT NULL
) WITHOUT ROWID;
"""
"""Since version 2."""


class AccountsDatabase:
    """accounts.db of a data folder."""

    def __init__(self, folder: Path, *, create: bool = False) -> None:
        """Open it; with `create` it is made where there is none.

        Raises:
            StoreNotFound: it is not there, and not to be made.
            StoreCorrupt: it is no database of accounts.
            SchemaTooNew: made by a later Runstore.
        """
        self.path = folder / FILE
        self._lock = run_lock(folder / "accounts.lock")
        self._pool: deque[sqlite3.Connection] = deque()
        if not self.path.exists():
            if not create:
                raise StoreNotFound(folder)
            _publish(self.path)
        with self.reading() as connection:
            found = self._version(connection)
        if found < VERSION:
            self._migrate()

    def _version(self, connection: sqlite3.Connection) -> int:
        found: int = connection.execute("PRAGMA user_version").fetchone()[0]
        if found > VERSION:
            raise SchemaTooNew(self.path, found, VERSION)
        if found < 1:
            raise StoreCorrupt(self.path, "not a database of accounts")
        return found

    def _migrate(self) -> None:
        with self.writing() as connection:
            # Another process may have done it while this one waited.
            if self._version(connection) == 1:
                connection.execute(SESSIONS.strip().rstrip(";"))
                connection.execute(f"PRAGMA user_version = {VERSION}")

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection to read with."""
        try:
            connection = self._pool.pop()
        except IndexError:
            connection = connect(self.path)
        try:
            yield connection
        except BaseException:
            connection.close()
            raise
        if len(self._pool) < _POOLED:
            self._pool.append(connection)
        else:
            connection.close()

    @contextlib.contextmanager
    def writing(self, timeout: float = BUSY_SECONDS) -> Iterator[sqlite3.Connection]:
        """A connection within a write transaction; what was written is on the disk at the end.

        Raises:
            StoreLocked: another process wrote for longer than `timeout` seconds.
        """
        with self._lock.hold(timeout), self.reading() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def close(self) -> None:
        """Close the connections; the last one of a host folds the write-ahead log in."""
        with self._lock.hold(BUSY_SECONDS):
            while self._pool:
                self._pool.pop().close()


def connect(path: Path) -> sqlite3.Connection:
    """A connection to a database that is there: opening makes none."""
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw",
        uri=True,
        timeout=BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA trusted_schema = OFF")
    except sqlite3.OperationalError:
        connection.close()
        raise
    except sqlite3.DatabaseError as error:
        connection.close()
        raise StoreCorrupt(path, str(error)) from error
    return connection


def _publish(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.parent / f".{FILE}.{os.getpid()}.{os.urandom(4).hex()}"
    os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    try:
        with contextlib.closing(connect(temporary)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(
                f"BEGIN;{TABLES}{SESSIONS}PRAGMA user_version = {VERSION};COMMIT;"
            )
        try:
            with contextlib.suppress(FileExistsError):
                os.link(temporary, path)
        except OSError:  # a disk without hard links
            if not path.exists():
                os.replace(temporary, path)
    finally:
        for ending in ("", "-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{temporary}{ending}")
