"""Graves: which runs were deleted on the server, by whom and when.

A client that still has a deleted run would send it again as if nothing had happened; it is told
instead, and sends it again only when it is asked to.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

FILE: Final = "deleted.db"
BUSY_SECONDS: Final = 10.0
_TABLE: Final = """
CREATE TABLE IF NOT EXISTS grave(
    entity TEXT NOT NULL, project TEXT NOT NULL, run TEXT NOT NULL, by TEXT NOT NULL,
    at REAL NOT NULL, PRIMARY KEY(entity, project, run)) WITHOUT ROWID
"""


class Grave(NamedTuple):
    """Who deleted a run, and when (seconds since 1970)."""

    by: str
    at: float


class Graves:
    """The graves in a server's data folder. Safe with several processes."""

    def __init__(self, data: Path) -> None:
        self._path = data / FILE

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        is_new = not self._path.exists()
        if is_new:
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600))
        connection = sqlite3.connect(self._path, timeout=BUSY_SECONDS, isolation_level=None)
        try:
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute(_TABLE)
            yield connection
        finally:
            connection.close()

    def find(self, entity: str, project: str, run: str) -> Grave | None:
        """The grave of a run, or None: it was not deleted."""
        if not self._path.exists():
            return None
        with self._open() as connection:
            found = connection.execute(
                "SELECT by, at FROM grave WHERE entity = ? AND project = ? AND run = ?",
                (entity, project, run),
            ).fetchone()
        return Grave(*found) if found else None

    def add(self, entity: str, project: str, run: str, *, by: str) -> Grave:
        """Remember that `by` deletes a run now."""
        grave = Grave(by, time.time())
        with self._open() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO grave VALUES(?, ?, ?, ?, ?)",
                (entity, project, run, *grave),
            )
        return grave

    def remove(self, entity: str, project: str, run: str) -> None:
        """Let a run come back."""
        if self._path.exists():
            with self._open() as connection:
                connection.execute(
                    "DELETE FROM grave WHERE entity = ? AND project = ? AND run = ?",
                    (entity, project, run),
                )
