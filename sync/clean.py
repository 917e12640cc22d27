"""Clean: remove runs here that a remote was found, row by row, to have.

The look and the removal happen under the run's lock, and not while a writer lives or a journal
waits, so that nothing can come in between.
"""

from __future__ import annotations

import time
from typing import NamedTuple

from store.cleaned import Cleaned, note_cleaned
from store.errors import StoreError
from store.fold import fold
from store.jsontext import from_json
from store.locks import run_lock
from store.paths import RunFolder
from store.reading import reading
from store.shared.publish import publish
from store.sync.cursors import Target
from store.sync.engine import LOCK_SECONDS
from store.sync.remote import Remote
from store.sync.verify import verify_run
from store.transfer import remove_run, require_unwritten


class CleanResult(NamedTuple):
    """What came of one run: its rows when it was removed, else why it was not."""

    run: RunFolder
    rows: int
    reason: str | None


def clean_run(run: RunFolder, remote: Remote, target: Target) -> CleanResult:
    """Remove `run` if `target` has all of it.

    Raises:
        SyncError, NotAllowed, EntityUnknown: see `Remote`.
        StoreError, OSError, sqlite3.Error: the run cannot be read, or not be removed.
    """
    with run_lock(run.lock).hold(LOCK_SECONDS):
        try:
            require_unwritten(run)
        except StoreError as error:
            return CleanResult(run, 0, error.message)
        fold(run, timeout=LOCK_SECONDS)
        if run.is_shared:
            publish(run)
        if run.segments():
            return CleanResult(run, 0, "rows wait in a journal")
        found = verify_run(run, remote, target, deep=True)
        if found.unsent:
            return CleanResult(run, 0, f"{found.unsent} rows are not sent")
        if found.findings:
            return CleanResult(run, 0, "; ".join(found.findings))
        note_cleaned(run, _describe(run, remote, target, found.rows))
        remove_run(run)
    return CleanResult(run, found.rows, None)


def _describe(run: RunFolder, remote: Remote, target: Target, rows: int) -> Cleaned:
    with reading(run) as connection:
        (step,) = connection.execute("SELECT max(step) FROM source").fetchone()
        (name,) = connection.execute(
            "SELECT value FROM attribute WHERE key = 'name'"
        ).fetchone() or (None,)
    named = from_json(name) if name else None
    return Cleaned(
        id=run.id,
        name=named if isinstance(named, str) else run.id,
        step=step,
        rows=rows,
        remote=target.remote,
        where=remote.where,
        entity=target.entity,
        project=target.project,
        at=time.time(),
    )
