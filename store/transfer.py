"""Transfer: copies of runs from store to store, and their removal.

A run that is new there is copied page by page with SQLite's backup, under run.lock and after a
fold, into a hidden file of the target store, and renamed. One that is there already absorbs the
rows it lacks: what was copied before is skipped, stubs travel as stubs, rows replace stubs. So a
copy can be killed at any moment and repeated at will; nothing there is ever overwritten.

The target store has an id of its own, for the id names a place on a disk (spilled journals and
caches are found by it). Rows are known by (source, number), so two copies of a store that meet
again, here or on a server, double nothing. Never two run.locks at once.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, Literal, NamedTuple

from store.errors import StoreError
from store.fold import fold
from store.jsontext import from_json
from store.locks import run_lock
from store.merge import merge
from store.ownership import writer_life
from store.paths import RunFolder, StoreFolder, remove_tree
from store.reading import reading
from store.shared.publish import publish
from store.shared.snapshots import catch_up, note_unpublished, open_database
from store.shared.spills import drop_spill_folders, spill_folders

LOCK_SECONDS: Final = 30.0


class Copied(NamedTuple):
    """What was done for one run: `rows` and `files` are those that were new there."""

    run: str
    what: Literal["new", "more", "same"]
    rows: int
    files: int
    problems: tuple[str, ...] = ()


def copy_runs(runs: Iterable[RunFolder], target: StoreFolder) -> Iterator[Copied]:
    """Copy runs into `target`, one after the other; a run that fails does not stop the rest."""
    for run in runs:
        try:
            yield copy_run(run, target)
        except (StoreError, sqlite3.Error, OSError) as error:
            reason = error.message if isinstance(error, StoreError) else str(error)
            yield Copied(run.key, "same", 0, 0, (f"not copied: {reason}",))


def copy_run(run: RunFolder, target: StoreFolder) -> Copied:
    """Copy one run into `target`; all that was logged before the call is there afterwards.

    Raises:
        StoreLocked: a lock of the run, here or there, was not to be had.
        StoreCorrupt, SchemaTooNew: one of the two databases.
        OSError, sqlite3.Error: the disk is full, or not ours to write to.
    """
    there = target.run_of(run.key)
    files = _copy_new_files(run, there)
    rows: int | None = None
    problems: list[str] = []
    if not there.is_shared and not there.database.exists():
        rows = _copy_database(run, there, target)
    is_new = rows is not None
    if rows is None:
        with _snapshot(run) as connection:
            rows, problems = _merge_into(connection, there)
    files += _settle_files(run, there)
    what: Literal["new", "more", "same"] = "new" if is_new else "more" if rows else "same"
    return Copied(run.key, what, rows, files, tuple(problems))


# -- rows --------------------------------------------------------------------------------------


def fold_if_ours(run: RunFolder) -> None:
    """Fold the journals; where this is not our folder to write to, reading does it in a copy."""
    if run.is_unfolded():
        with contextlib.suppress(PermissionError, sqlite3.OperationalError):
            fold(run, timeout=LOCK_SECONDS)


@contextlib.contextmanager
def _snapshot(run: RunFolder) -> Iterator[sqlite3.Connection]:
    """The run's rows as they are at one moment, for as long as the block lasts."""
    fold_if_ours(run)
    with reading(run) as connection:
        connection.execute("BEGIN")
        try:
            yield connection
        finally:
            connection.execute("ROLLBACK")


def _copy_database(run: RunFolder, there: RunFolder, target: StoreFolder) -> int | None:
    """Copy a database that is not there yet; gives its rows, or None: somebody was faster."""
    # In the store's own folder, where `check` knows it as left over if this process is killed.
    temporary = target.path / f".store.copy.{os.getpid()}.{os.urandom(4).hex()}"
    try:
        rows = _back_up(run, temporary)
        there.path.mkdir(parents=True, exist_ok=True)
        with run_lock(there.lock).hold(LOCK_SECONDS):
            if there.database.exists():
                return None
            os.replace(temporary, there.database)
        sync_folder(there.path)
    finally:
        for ending in ("", "-wal", "-shm", "-journal"):
            Path(f"{temporary}{ending}").unlink(missing_ok=True)
    return rows


def _back_up(run: RunFolder, path: Path) -> int:
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(PermissionError):
            stack.enter_context(run_lock(run.lock).hold(LOCK_SECONDS))
        fold_if_ours(run)
        connection = stack.enter_context(reading(run))
        copy = stack.enter_context(contextlib.closing(sqlite3.connect(path)))
        connection.backup(copy)
        (rows,) = copy.execute("SELECT total(position) FROM source").fetchone()
    with path.open("rb+") as file:
        os.fsync(file.fileno())
    return int(rows)


def sync_folder(path: Path) -> None:
    """Put the names of a new run's folder, and of those above it, on the disk itself."""
    for folder in (path, *path.parents[:3]):
        with contextlib.suppress(OSError):
            fd = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)


def _merge_into(connection: sqlite3.Connection, there: RunFolder) -> tuple[int, list[str]]:
    there.path.mkdir(parents=True, exist_ok=True)
    with run_lock(there.lock).hold(LOCK_SECONDS):
        database = open_database(there)
        try:
            if there.is_shared:
                catch_up(there, database)
                note_unpublished(database)
            done = merge(connection, database, durable=True)
        finally:
            database.close()
    if there.is_shared:
        publish(there)
    return done


# -- files -------------------------------------------------------------------------------------


def _listed(run: RunFolder) -> Iterator[str]:
    """The names of the kept files; what begins with a dot at the top is Runstore's own."""
    for folder, folders, names in os.walk(run.files):
        base = Path(folder)
        if base == run.files:
            folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            hidden = base == run.files and name.startswith(".")
            if not hidden and (base / name).is_file():
                yield (base / name).relative_to(run.files).as_posix()


def _copy_new_files(run: RunFolder, there: RunFolder) -> int:
    """Files first: a row that tells of a file must find it, wherever the copy is interrupted."""
    copied = 0
    for name in _listed(run):
        if not (there.files / name).exists():
            _copy_file(run, there, name)
            copied += 1
    return copied


def _settle_files(run: RunFolder, there: RunFolder) -> int:
    """Of two files with one name, the one that the rows there now tell of is kept."""
    differing = [
        name for name in _listed(run) if _looks_other(run.files / name, there.files / name)
    ]
    if not differing:
        return 0
    with reading(there) as connection:
        wanted = {
            name: from_json(text).get("sha256")
            for name, text in connection.execute(
                "SELECT name, value FROM file WHERE value IS NOT NULL"
            )
        }
    copied = 0
    for name in differing:
        digest = wanted.get(name)
        if digest is None or _hash(there.files / name) == digest:
            continue
        if _hash(run.files / name) == digest:
            _copy_file(run, there, name)
            copied += 1
    return copied


def _looks_other(one: Path, other: Path) -> bool:
    try:
        a, b = one.stat(), other.stat()
    except OSError:
        return True
    return (a.st_size, a.st_mtime_ns) != (b.st_size, b.st_mtime_ns)


def _copy_file(run: RunFolder, there: RunFolder, name: str) -> None:
    """Copy one file whole; equal contents are stored once, as in the run that it comes from."""
    source, target = run.files / name, there.files / name
    temporary = there.files / f".{os.getpid()}.{os.urandom(4).hex()}"
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        shutil.copyfile(source, temporary)
        shutil.copystat(source, temporary)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        with contextlib.suppress(OSError):  # no hard links on this disk: a plain copy does
            twin = there.files / ".content" / hash_file(temporary)
            twin.parent.mkdir(exist_ok=True)
            if twin.exists():
                temporary.unlink()
                os.link(twin, temporary)
            else:
                os.link(temporary, twin)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def hash_file(path: Path) -> str:
    """The SHA-256 of a file, in hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _hash(path: Path) -> str | None:
    """`hash_file`; None where there is no such file."""
    with contextlib.suppress(FileNotFoundError):
        return hash_file(path)
    return None


# -- removal -----------------------------------------------------------------------------------


def require_unwritten(run: RunFolder, *, force: bool = False) -> None:
    """Make sure that no writer of `run` lives; with `force`, also where nobody can tell.

    Raises:
        StoreError: one does, or may.
    """
    lives = [writer_life(run, uuid) for uuid in run.owned() | run.segments().keys()]
    if "alive" in lives:
        count = lives.count("alive")
        raise StoreError(
            f"{run.id} is being written by {count} process{'' if count == 1 else 'es'}",
            hint="end the run first; `store show` says who writes",
        )
    if "unknown" in lives and not force:
        raise StoreError(
            f"{run.id}: nobody can tell whether a writer lives", hint="--force removes it anyway"
        )


def remove_run(run: RunFolder, *, force: bool = False) -> None:
    """Remove a run with its journals, spilled ones included.

    Raises:
        StoreError: a writer lives, or may (without `force`).
        StoreLocked: somebody folds it.
        OSError: the folder is not ours to remove.
    """
    with run_lock(run.lock).hold(LOCK_SECONDS):
        require_unwritten(run, force=force)
        spills = spill_folders(run)
        remove_tree(run.path)
        if run.is_shared:
            shutil.rmtree(run.home)
    for folder in spills:
        shutil.rmtree(folder, ignore_errors=True)
    drop_spill_folders(run)
