"""Opening a run's database to read it, also where this user may not write.

A plain connection first: it takes part in SQLite's locking, while mode=ro leaves files behind that
it may not delete. A write-ahead log cannot be read without writing beside it, unless its index is
there; so, in a folder that is not ours to write to, a database without a log is opened as
immutable, which nothing in that folder contradicts, and one with a log, or one that is not there
yet but whose journals are, is read from a private copy.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import quote

from store.database import BUSY_SECONDS, RunDatabase
from store.errors import SchemaTooNew, StoreCorrupt
from store.fold import fold
from store.paths import RunFolder
from store.schema import VERSION

COPIES: Final = 5
"""Attempts at a copy during which nobody writes."""
_NOT_OURS: Final = frozenset(
    {
        *(sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM),
        *(sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR),
    }
)
"""Also a full disk, on which not even a log's index can be made."""


@contextlib.contextmanager
def reading(run: RunFolder) -> Iterator[sqlite3.Connection]:
    """A connection to the run's database that only reads. Nothing is folded.

    Raises:
        FileNotFoundError: there is no database, and no journal to make one from.
        StoreCorrupt, SchemaTooNew: it is damaged, or of a later version.
        sqlite3.OperationalError: it cannot be opened in any way.
    """
    if run.is_shared and not run.database.exists() and run.exists():
        fold(run, timeout=BUSY_SECONDS)
    try:
        database = RunDatabase(run.database, write=False)
    except FileNotFoundError:
        if not run.segments():
            raise
    except sqlite3.OperationalError as error:
        if not is_not_ours(error):
            raise
    else:
        try:
            with _naming_damage(run):
                yield database.connection
        finally:
            database.close()
        return
    with (
        fallback(run) as target,
        contextlib.closing(_connect(target)) as connection,
        _naming_damage(run),
    ):
        yield connection


@contextlib.contextmanager
def _naming_damage(run: RunFolder) -> Iterator[None]:
    try:
        yield
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):
            raise
        raise StoreCorrupt(run.database, str(error)) from error


def is_not_ours(error: sqlite3.OperationalError) -> bool:
    """Whether SQLite failed because it may not write beside the database."""
    return (getattr(error, "sqlite_errorcode", 0) & 0xFF) in _NOT_OURS


@contextlib.contextmanager
def fallback(run: RunFolder) -> Iterator[str]:
    """What to connect to, or to attach (with uri=True), where the plain path does not open."""
    if is_made(run) and not _has_content(Path(f"{run.database}-wal")):
        yield f"file:{quote(os.path.abspath(run.database))}?immutable=1"
        return
    with tempfile.TemporaryDirectory(prefix="runstore-") as folder:
        copy = RunFolder(Path(folder, *run.path.parts[-3:]))
        copy.journals.mkdir(parents=True)
        if run.database.exists():
            _copy_database(run, copy)
        # Links: a fold removes those of journals that have ended, and the journals stay.
        for segments in run.segments().values():
            for _, path in segments:
                (copy.journals / path.name).symlink_to(path.absolute())
        for uuid in run.owned():
            copy.own(uuid).symlink_to(run.own(uuid).absolute())
        fold(copy, timeout=BUSY_SECONDS)
        yield os.fspath(copy.database)


def is_made(run: RunFolder) -> bool:
    """Whether run.db has its tables (PRAGMA user_version: bytes 60 to 63 of the file's header)."""
    try:
        with open(run.database, "rb") as file:
            return any(file.read(64)[60:64])
    except OSError:
        return False


def _connect(target: str) -> sqlite3.Connection:
    connection = sqlite3.connect(target, uri=True, isolation_level=None, check_same_thread=False)
    try:
        (found,) = connection.execute("PRAGMA user_version").fetchone()
        if found > VERSION:
            raise SchemaTooNew(Path(target), found, VERSION)
    except BaseException:
        connection.close()
        raise
    return connection


def _copy_database(run: RunFolder, copy: RunFolder) -> None:
    """Copy database and log as they are at one moment."""
    endings = ("", "-wal")
    for _ in range(COPIES):
        before = [_stamp(f"{run.database}{ending}") for ending in endings]
        for ending in endings:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{copy.database}{ending}")
            with contextlib.suppress(FileNotFoundError):
                shutil.copyfile(f"{run.database}{ending}", f"{copy.database}{ending}")
        if before == [_stamp(f"{run.database}{ending}") for ending in endings]:
            return
    raise StoreCorrupt(run.database, "it is written faster than it can be copied for reading")


def _stamp(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size


def _has_content(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except OSError:
        return False
