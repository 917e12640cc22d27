"""Snapshots: how a run's database stands on a shared disk, and how this host follows them.

    <run>/run.<n>.db      a complete database that never changes, numbered from 1
    <run>/run.db          the newest one under another name, for people and their SQLite tools

A snapshot is written and synced under a name of its own and then hard-linked to the number behind
the greatest one, all of whose rows it holds. A link is made once: of two hosts that publish at the
same time the second one finds the number taken, absorbs that snapshot and tries the next number.
So each holds all rows of those before it, which may be removed; nothing rests on locks.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple, TypeVar
from urllib.parse import quote

from store.database import RunDatabase
from store.errors import SchemaTooNew, StoreCorrupt
from store.merge import merge
from store.paths import RunFolder
from store.schema import VERSION

TRIES: Final = 20
"""Snapshots that may follow each other while one is being read."""
GONE: Final = frozenset({errno.ENOENT, errno.ESTALE})
"""What a file says that another host has removed."""
T = TypeVar("T")


class Snapshot(NamedTuple):
    """A published snapshot; `stamp` differs between any two, also of a run that was made anew."""

    number: int
    path: Path
    stamp: str


def newest_snapshot(run: RunFolder) -> Snapshot | None:
    """The snapshot with the greatest number.

    Raises:
        OSError: the run's folder cannot be read.
    """
    for _ in range(TRIES):
        numbers = snapshot_numbers(run)
        if not numbers:
            return None
        path = snapshot_path(run, max(numbers))
        try:
            # Opened and not only asked for: NFS then has the server's word and not an old one.
            with open(path, "rb", buffering=0) as file:
                status = os.fstat(file.fileno())
        except OSError as error:
            if error.errno not in GONE:
                raise
            continue
        return Snapshot(max(numbers), path, f"{max(numbers)}:{status.st_size}:{status.st_mtime_ns}")
    raise StoreCorrupt(run.path, "its snapshots vanish faster than they can be read")


def snapshot_numbers(run: RunFolder) -> list[int]:
    """The numbers of the snapshots that are there, by listdir: see `RunFolder.segments`."""
    return [
        int(name[4:-3])
        for name in os.listdir(run.path)
        if name.startswith("run.") and name.endswith(".db") and name[4:-3].isdecimal()
    ]


def snapshot_path(run: RunFolder, number: int) -> Path:
    return run.path / f"run.{number}.db"


@contextlib.contextmanager
def reading_snapshot(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection to a snapshot, which takes no lock: the file never changes.

    Raises:
        FileNotFoundError: another host has published a newer one, and removed it.
        StoreCorrupt, SchemaTooNew: it is damaged, or of a later version.
    """
    uri = f"file:{quote(os.path.abspath(path))}?immutable=1&mode=ro"
    try:
        with contextlib.closing(
            sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
        ) as connection:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version > VERSION:
                raise SchemaTooNew(path, version, VERSION)
            yield connection
    except sqlite3.DatabaseError as error:
        if not path.exists():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path)) from error
        raise StoreCorrupt(path, str(error)) from error


def read_newest(
    run: RunFolder, look: Callable[[sqlite3.Connection], T], *, but: str | None = None
) -> tuple[Snapshot, T] | None:
    """The newest snapshot, and what `look` finds in it; None where there is none, or it is the
    one with the stamp `but`. Another host may publish a newer one and remove this one meanwhile.
    """
    for _ in range(TRIES):
        found = newest_snapshot(run)
        if found is None or found.stamp == but:
            return None
        try:
            with reading_snapshot(found.path) as connection:
                return found, look(connection)
        except OSError as error:
            if error.errno not in GONE:
                raise
    raise StoreCorrupt(run.path, "its snapshots vanish faster than they can be read")


def open_database(run: RunFolder) -> RunDatabase:
    """The run's database on this host, to be written, under its lock. In shared mode one that is
    not there begins as a copy of the newest snapshot, and one of a run that was removed and made
    anew since is thrown away.

    Raises: see `RunDatabase` and `RunFolder.home`; OSError: the run's folder cannot be read.
    """
    if not run.is_shared:
        return RunDatabase(run.database)
    if not run.database.exists():
        _begin(run)
    database = RunDatabase(run.database)
    try:
        if not _is_of_another_run(run, database):
            return database
    except BaseException:
        database.close()
        raise
    database.close()
    forget_home(run)
    _begin(run)
    return RunDatabase(run.database)


def catch_up(run: RunFolder, database: RunDatabase) -> int:
    """Absorb the newest snapshot, unless that was done before; gives how many rows were new."""
    done = read_newest(
        run, lambda connection: merge(connection, database)[0], but=known_snapshot(database)
    )
    if done is None:
        return 0
    found, rows = done
    note_snapshot(database, found)
    return rows


def known_snapshot(database: RunDatabase) -> str | None:
    """The stamp of the snapshot that was absorbed last."""
    (stamp,) = database.execute("SELECT value FROM meta WHERE key = 'snapshot'").fetchone() or (
        None,
    )
    return stamp


def known_snapshot_number(database: RunDatabase) -> int:
    """The number of that snapshot; 0 where there was none."""
    return int((known_snapshot(database) or "0").partition(":")[0])


def note_snapshot(database: RunDatabase, snapshot: Snapshot) -> None:
    """All rows of `snapshot` are in `database`."""
    with database.transaction():
        database.execute("INSERT OR REPLACE INTO meta VALUES('snapshot', ?)", (snapshot.stamp,))


def note_unpublished(database: RunDatabase, *, are: bool = True) -> None:
    """Whether rows are in `database` that came without a journal and are in no snapshot yet."""
    with database.transaction():
        database.execute("INSERT OR REPLACE INTO meta VALUES('unpublished', ?)", (are,))


def _has_unpublished(database: RunDatabase) -> bool:
    found = database.execute("SELECT value FROM meta WHERE key = 'unpublished'").fetchone()
    return found is not None and bool(found[0])


def forget_home(run: RunFolder) -> None:
    """Throw this host's database of a shared run away; it can be made anew from the share."""
    for ending in ("", "-wal", "-shm", "-journal"):
        Path(f"{run.database}{ending}").unlink(missing_ok=True)


def _begin(run: RunFolder) -> None:
    """Copy the newest snapshot, if there is one, to be this host's database."""
    run.home.mkdir(parents=True, exist_ok=True)
    part = run.home / f".run.{os.getpid()}.{os.urandom(4).hex()}.part"
    try:
        for _ in range(TRIES):
            found = newest_snapshot(run)
            if found is None:
                return
            try:
                shutil.copyfile(found.path, part)
            except OSError as error:
                if error.errno not in GONE:
                    raise
                continue
            os.replace(part, run.database)
            return
    finally:
        part.unlink(missing_ok=True)


def _is_of_another_run(run: RunFolder, database: RunDatabase) -> bool:
    """Whether nothing of what is here is on the share any more.

    Journals first: one that has been removed meanwhile is in a snapshot that is listed after it.
    """
    here = {source.uuid for source in database.sources() if source.position}
    if not here or not here.isdisjoint(run.segments()) or _has_unpublished(database):
        return False
    newest = newest_snapshot(run)
    if newest is not None and newest.stamp == known_snapshot(database):
        return False
    found = read_newest(
        run, lambda connection: {uuid for (uuid,) in connection.execute("SELECT uuid FROM source")}
    )
    return found is None or here.isdisjoint(found[1])
