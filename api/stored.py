"""What a run's database says about the run, for the process that writes it."""

from __future__ import annotations

import sqlite3
from typing import Any, Final

from store.database import RunDatabase
from store.errors import StoreError
from store.fold import fold
from store.paths import RunFolder
from store.query import summary_values

FOLD_SECONDS: Final = 2.0


def stored_summary(run: RunFolder) -> dict[str, Any]:
    """The summary as the database has it, metric definitions applied; {} when it has none yet."""
    try:
        if run.is_shared:  # a writer there does not fold as it goes
            fold(run, timeout=FOLD_SECONDS)
        database = RunDatabase(run.database, write=False)
    except (StoreError, OSError, sqlite3.Error):
        return {}
    try:
        return dict(summary_values(database.connection))
    finally:
        database.close()
