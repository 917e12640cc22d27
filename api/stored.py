"""What a run's database says about the run, for the process that writes it."""

from __future__ import annotations

import sqlite3
from typing import Any

from store.errors import StoreError
from store.paths import RunFolder


def stored_summary(run: RunFolder) -> dict[str, Any]:
    """The summary as the database has it, metric definitions applied; {} when it has none yet."""
    from store.database import RunDatabase
    from store.query import summary_values

    try:
        database = RunDatabase(run.database, write=False)
    except (StoreError, OSError, sqlite3.Error):
        return {}
    try:
        return dict(summary_values(database.connection))
    finally:
        database.close()
