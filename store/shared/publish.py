"""Publish: put all that this host knows of a shared run into a snapshot, and tidy up after it.

A journal is removed only when it has ended and a snapshot that was read back from the disk holds
all of it. Whoever looks later, from any host, finds each row in a journal or in the newest
snapshot. On a disk without hard links nothing is published: journals stay, and rows that have
none cannot be kept there.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import sqlite3
from pathlib import Path
from typing import Final

from store.database import RunDatabase, Source
from store.errors import StoreError
from store.fold import fold
from store.journal import MAGIC, rest_of, sync_path
from store.locks import no_fork, run_lock
from store.paths import RunFolder, segments_in
from store.shared.snapshots import (
    GONE,
    TRIES,
    Snapshot,
    known_snapshot_number,
    newest_snapshot,
    note_snapshot,
    note_unpublished,
    open_database,
    read_newest,
    snapshot_numbers,
    snapshot_path,
)
from store.shared.spills import drop_spill_folders, spill_folders

LOCK_SECONDS: Final = 30.0
_NO_LINKS: Final = frozenset({errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EOPNOTSUPP})


class NoHardLinks(StoreError):
    """The disk below `path` has no hard links, so no snapshot can be published there."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"the disk of {path} has no hard links: rows that come without a journal "
            "cannot be kept there",
            hint="keep such runs in a store on another disk",
        )
        self.path = path


def publish(
    run: RunFolder, *, timeout: float = LOCK_SECONDS, adopt: frozenset[str] = frozenset()
) -> bool:
    """See to it that a snapshot holds all rows of now, and remove what it makes superfluous.

    `adopt`: see `fold`. Gives whether a snapshot was made.

    Raises:
        NoHardLinks: there cannot be one.
        StoreLocked: somebody else on this host folds the run.
        OSError: the run's folder cannot be read, or not be written to.
    """
    with run_lock(run.lock).hold(timeout), no_fork:
        database = open_database(run)
        try:
            made = False
            for _ in range(TRIES):
                fold(run, timeout=timeout, database=database, adopt=adopt)
                # Rows that come from now on are for the next snapshot: they may never cease.
                if _is_current(run, database) or (made := _publish(run, database)):
                    break
            else:
                raise StoreError(f"{run.path}: others publish it faster than this host can")
            _remove_journals(run, database)
        finally:
            database.close()
    return made


def _is_current(run: RunFolder, database: RunDatabase) -> bool:
    found = read_newest(run, _holdings)
    if found is None:
        return database.count_rows() == 0
    return found[1] == _holdings(database.connection)


def _holdings(connection: sqlite3.Connection) -> tuple[object, ...]:
    """What a snapshot must have for a database to have nothing beyond it."""
    return (
        connection.execute(
            "SELECT uuid, position, digest, ended FROM source ORDER BY uuid"
        ).fetchall(),
        connection.execute("SELECT count(*) FROM rejected").fetchone(),
    )


def _publish(run: RunFolder, database: RunDatabase) -> bool:
    """Publish a copy of `database`; False: somebody else was faster."""
    copy = run.home / "snapshot.part"
    try:
        back_up(database, copy)
        made = publish_file(run, copy, known_snapshot_number(database) + 1)
    finally:
        copy.unlink(missing_ok=True)
    if made is not None:
        note_snapshot(database, made)
        note_unpublished(database, are=False)
    return made is not None


def publish_file(run: RunFolder, copy: Path, number: int) -> Snapshot | None:
    """Publish the file `copy`, a database that holds all rows of the snapshot before `number`;
    None: somebody else was faster. Older ones go.

    Raises: see `publish`.
    """
    part = run.path / f".run.{os.getpid()}.{os.urandom(4).hex()}.part"
    target = snapshot_path(run, number)
    try:
        digest = _copy_synced(copy, part)
        if not _link(part, target):
            return None
        if max(snapshot_numbers(run)) != number:
            # An old list was read before: the number belonged to a snapshot that has gone.
            target.unlink()
            return None
        if _read_back(target) != digest:
            raise OSError(errno.EIO, "a snapshot does not read as it was written", str(target))
    except OSError as error:
        # Another host has read it already, published all of it under the next number, and tidied.
        if error.errno in GONE and max(snapshot_numbers(run), default=0) > number:
            return None
        raise
    finally:
        part.unlink(missing_ok=True)
    _name_for_people(run)
    for old in snapshot_numbers(run):
        if old < number:
            snapshot_path(run, old).unlink(missing_ok=True)
    found = newest_snapshot(run)
    return found if found is not None and found.number == number else None


def back_up(database: RunDatabase, copy: Path) -> None:
    """Copy `database` to the file `copy`, which needs no log beside it."""
    copy.unlink(missing_ok=True)
    with contextlib.closing(sqlite3.connect(copy, isolation_level=None)) as target:
        database.connection.backup(target)
        target.execute("DELETE FROM meta WHERE key IN ('snapshot', 'unpublished')")
        target.execute("PRAGMA journal_mode = DELETE")


def _copy_synced(source: Path, target: Path) -> bytes:
    with source.open("rb") as read, target.open("xb") as write:
        shutil.copyfileobj(read, write, 2**20)
        write.flush()
        os.fsync(write.fileno())
    with source.open("rb") as file:
        return hashlib.file_digest(file, "blake2b").digest()


def _link(part: Path, target: Path) -> bool:
    try:
        os.link(part, target)
    except FileExistsError:
        # NFS may have repeated a call whose answer was lost: then the link is ours.
        return part.stat().st_nlink > 1
    except OSError as error:
        if error.errno in _NO_LINKS:
            raise NoHardLinks(target.parent) from error
        raise
    with contextlib.suppress(OSError):
        sync_path(target.parent)
    return True


def _read_back(path: Path) -> bytes:
    with path.open("rb") as file:
        if hasattr(os, "posix_fadvise"):
            # From the server, not from the pages that were just written.
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        return hashlib.file_digest(file, "blake2b").digest()


def _name_for_people(run: RunFolder) -> None:
    """Let run.db be the newest snapshot, whoever publishes at the same time."""
    link = run.path / f".run.{os.getpid()}.{os.urandom(4).hex()}.part"
    for _ in range(TRIES):
        number = max(snapshot_numbers(run))
        with contextlib.suppress(OSError):
            os.link(snapshot_path(run, number), link)
            os.replace(link, run.path / "run.db")
        # A rename between two names of one file leaves both.
        link.unlink(missing_ok=True)
        if max(snapshot_numbers(run)) == number:
            return


def _ended(connection: sqlite3.Connection) -> dict[str, int]:
    return dict(connection.execute("SELECT uuid, position FROM source WHERE ended"))


def _remove_journals(run: RunFolder, database: RunDatabase) -> None:
    """Remove the journals that have ended and are in the newest snapshot, and their `.own`."""
    found = read_newest(run, _ended)
    if found is None:
        return
    kept = found[1]
    folders = [run.journals, *spill_folders(run)]
    for folder in folders:
        for uuid, number, path in sorted(segments_in(folder)):
            source = database.source(uuid)
            if source is not None and source.position == kept.get(uuid):
                _remove_read(path, number, source)
    left = run.segments()
    for uuid in kept.keys() - left.keys():
        for folder in folders:
            (folder / f"{uuid}.own").unlink(missing_ok=True)
    drop_spill_folders(run)


def _remove_read(path: Path, number: int, source: Source) -> None:
    """Remove a segment, unless a writer that was taken for dead has added to it meanwhile."""
    with contextlib.suppress(FileNotFoundError):
        read = source.offset if number == source.segment else len(MAGIC)
        if number < source.segment or not rest_of(path, read):
            path.unlink()
