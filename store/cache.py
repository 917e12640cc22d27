"""The file of a store's catalogue: where it lies, opening it, throwing it away.

It lies in the first of $STORE_CACHE, $XDG_CACHE_HOME/runstore (~/.cache/runstore), $XDG_RUNTIME_DIR
and a private folder in the system's temporary directory that is on a local disk and can be written
to. Everything in it can be made again: a file that is damaged or of another form is removed, and
where no file can be had the catalogue is kept in memory.
"""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
import stat
import sys
import tempfile
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Final

from store.disk import file_system
from store.paths import StoreFolder

LOCAL: Final = frozenset(
    "ext2 ext3 ext4 xfs btrfs zfs bcachefs f2fs overlay tmpfs ramfs apfs hfs ntfs ntfs3 vfat exfat"
    " jfs reiserfs".split()
)
BUSY_SECONDS: Final = 10.0


def cache_folders() -> Iterator[Path]:
    """The folders that may hold catalogues, best first, each there, local and writable."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    for base, name in (
        (os.environ.get("STORE_CACHE"), ""),
        (home, "runstore"),
        (os.environ.get("XDG_RUNTIME_DIR"), "runstore"),
    ):
        if base and os.path.isabs(base) and _usable(folder := Path(base, name)):
            yield folder
    private = Path(tempfile.gettempdir(), f"runstore-{_user()}")
    if _usable(private) and _is_private(private):
        yield private


def cache_file(store: StoreFolder, form: str) -> Path | None:
    """Where the catalogue of `store`, with tables of `form`, belongs; None: there is no place."""
    folder = next(cache_folders(), None)
    if folder is None:
        return None
    place = os.fsencode(os.path.realpath(store.path))
    name = blake2b(store.id.encode() + b"\0" + place, digest_size=8).hexdigest()
    return folder / f"{re.sub('[^0-9a-z]', '', store.id.lower())[:12]}-{name}.{form}.db"


def open_cache(path: Path | None, tables: str) -> sqlite3.Connection:
    """A connection to the catalogue at `path` (None: in memory), its tables made where absent.

    Raises:
        sqlite3.Error: damaged, or not to be opened.
    """
    if path is not None:
        with contextlib.suppress(OSError):
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    connection = sqlite3.connect(
        path if path is not None else ":memory:",
        uri=True,
        timeout=BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        connection.execute("PRAGMA synchronous = OFF")
        if path is not None:
            connection.execute("PRAGMA journal_mode = WAL")
        if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            connection.execute("BEGIN IMMEDIATE")
            # Another process may have made them while this one waited.
            if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                for statement in tables.split(";"):
                    connection.execute(statement)
            connection.execute("COMMIT")
    except BaseException:
        connection.close()
        raise
    return connection


def remove_cache(path: Path) -> None:
    """Throw a catalogue away; processes that have it open go on with their own."""
    for ending in ("", "-wal", "-shm", "-journal"):
        with contextlib.suppress(OSError):
            os.unlink(f"{path}{ending}")


def _usable(folder: Path) -> bool:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError:
        return False
    # Only Linux says what a disk is; elsewhere a cache folder is taken to be local.
    is_local = file_system(folder) in LOCAL or not sys.platform.startswith("linux")
    return is_local and os.access(folder, os.W_OK | os.X_OK)


def _is_private(folder: Path) -> bool:
    """Whether the folder is this user's alone: anybody may have made it in a shared /tmp."""
    if not hasattr(os, "getuid"):
        return True
    status = folder.lstat()
    mode = stat.S_IMODE(status.st_mode)
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid() and not mode & 0o077


def _user() -> str:
    return str(os.getuid()) if hasattr(os, "getuid") else "user"
