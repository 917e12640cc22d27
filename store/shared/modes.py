"""Changing a store's mode: from one host's to one that hosts share, and back.

Everything that the other mode needs is made first, run by run; then the record in store.json is
replaced; then goes what only the old mode needed. Interrupted before the record, the store is as
it was; behind it, as it shall be, with files that `change_mode` removes when it is called again.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

from store import paths
from store.database import RunDatabase
from store.disk import Mode, detect_mode, file_system
from store.errors import UsageError
from store.fold import fold
from store.locks import run_lock
from store.paths import RunFolder, StoreFolder
from store.shared.publish import back_up, publish_file
from store.shared.snapshots import newest_snapshot, open_database, snapshot_numbers, snapshot_path
from store.transfer import LOCK_SECONDS, require_unwritten, sync_folder


def change_mode(
    store: StoreFolder,
    mode: Mode,
    *,
    force: bool = False,
    tell: Callable[[RunFolder], None] = lambda run: None,  # noqa: ARG005
) -> StoreFolder:
    """Put `store` into `mode`; `tell` is called after each run. Nothing changes what it holds.

    Raises:
        UsageError: local mode on a disk that hosts may share, without `force`.
        StoreError: a writer lives, or, without `force`, may; hard links that shared mode needs are
            not to be had.
        OSError, sqlite3.Error: the disk is full, or not ours to write to.
    """
    if mode == "local" and detect_mode(store.path) == "shared" and not force:
        raise UsageError(
            f"{store.path} lies on a disk of type {file_system(store.path)}, which other hosts may "
            "write to",
            hint="--force makes it a store for one host all the same: use it from one host only",
        )
    now = _as(store, "shared" if store.is_shared else "local")
    for run in now.runs():
        require_unwritten(run, force=force)
    if mode != store.record.mode:
        for run in now.runs():
            if mode == "shared":
                _share(run, _as(store, "shared").run_of(run.key))
            else:
                _take_home(run)
            tell(run)
    changed = paths.change_mode(store, mode)
    for run in changed.runs():
        _tidy(run, now.run_of(run.key))
    return changed


def _as(store: StoreFolder, mode: Mode) -> StoreFolder:
    """The store as one in `mode`, whatever its record and its disk say."""
    seen = StoreFolder(store.path)
    seen.record = store.record._replace(mode=mode, forced=True)
    return seen


def _share(run: RunFolder, shared: RunFolder) -> None:
    """Make a snapshot of a run's own database."""
    fold(run, timeout=LOCK_SECONDS, durable=True)
    with run_lock(run.lock).hold(LOCK_SECONDS):
        if run.database.exists():
            with contextlib.closing(sqlite3.connect(run.database)) as database:
                # Without its log: the file is about to be a name of the snapshot.
                database.execute("PRAGMA journal_mode = DELETE")
            publish_file(shared, run.database, max(snapshot_numbers(run), default=0) + 1)


def _take_home(run: RunFolder) -> None:
    """Make this host's database of a shared run, with all that is on the share, the run's own."""
    part = run.path / f".run.{os.getpid()}.{os.urandom(4).hex()}.part"
    with run_lock(run.lock).hold(LOCK_SECONDS):
        database = open_database(run)
        try:
            fold(run, timeout=LOCK_SECONDS, database=database)
            back_up(database, part)
        finally:
            database.close()
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(part, run.path / "run.db")
    sync_folder(run.path)


def _tidy(run: RunFolder, before: RunFolder) -> None:
    """Remove what only the mode before needed."""
    if run.is_shared:
        for name in ("run.lock", "sync.lock", "run.db-wal", "run.db-shm"):
            (run.path / name).unlink(missing_ok=True)
        return
    found = newest_snapshot(run)
    if found is None:
        return
    with contextlib.closing(_opened(run)):
        for number in snapshot_numbers(run):
            snapshot_path(run, number).unlink()
    shutil.rmtree(run.path / "remotes", ignore_errors=True)
    if before.home != run.path:
        shutil.rmtree(before.home, ignore_errors=True)


def _opened(run: RunFolder) -> RunDatabase:
    """The run's own database, which must be whole before the snapshots go."""
    return RunDatabase(Path(run.database), write=False)
