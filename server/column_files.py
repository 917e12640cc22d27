"""Columns kept in files of this user's cache: what took a second to read is then mapped at once.

    <cache>/columns/<digest of the run's path>/<digest of metric and source>.columns
    0   magic "RCOL0001", uint32 length H and crc32 of the head
    16  the head: JSON of H bytes, padded with spaces to a multiple of 8
    ..  steps (int64), times, values, then the buckets' least, greatest, total (float64)

Nothing is ever written beside a run, and a file never changes: a longer one replaces it by rename.
It counts for one database only: the same inode, in which no source went back or differs at the
same position, and in which the last row that was read is still that row. Rows that came since are
read from the database. Once all files have more than MOST_BYTES, those used longest ago go.
"""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Mapping
from hashlib import blake2b
from itertools import accumulate, pairwise
from pathlib import Path
from struct import Struct
from typing import Any, Final
from zlib import crc32

from store.host import cache_folders
from store.paths import RunFolder
from store.server.buckets import Buckets
from store.server.columns import Columns

MAGIC: Final = b"RCOL0001"
HEADER: Final = Struct("<8sII")
LEAST: Final = 20_000
"""Shorter columns are read from the database about as fast."""
GROWTH: Final = 1.1
"""How much longer columns have to be to replace their file."""
MOST_BYTES: Final = 2 << 30


class ColumnFiles:
    """The files below one folder; None: there is no place for any."""

    def __init__(
        self, folder: Path | None, *, least: int = LEAST, most_bytes: int = MOST_BYTES
    ) -> None:
        self._folder = folder
        self._least = least
        self._most_bytes = most_bytes

    @classmethod
    def of_user(cls) -> ColumnFiles:
        folder = next(cache_folders(), None)
        return cls(folder / "columns" if folder is not None else None)

    def load(
        self, connection: sqlite3.Connection, run: RunFolder, key: str, source: str
    ) -> Columns | None:
        """What was kept of the metric, which may have grown since."""
        path = self._path(run, key, source)
        if path is None:
            return None
        try:
            head, view = _map(path)
            os.utime(path)
        except (OSError, ValueError):
            return None
        stands = head.get("stands")
        if stands is None or not _still_is(stands, connection, run):
            return None
        ends = list(accumulate((8 * count for count in head["counts"]), initial=0))
        steps, *floats = (view[first:stop] for first, stop in pairwise(ends))
        times, values, *buckets = (part.cast("d") for part in floats)
        mark = (stands["seq"], stands["stubs"])
        in_time = head["in_time"]
        return Columns(
            steps.cast("q"), times, values, mark, Buckets(*buckets), in_time, len(values)
        )

    def keep(
        self,
        connection: sqlite3.Connection,
        run: RunFolder,
        key: str,
        source: str,
        columns: Columns,
    ) -> None:
        """Keep columns that outgrew what is kept of them."""
        path = self._path(run, key, source)
        if path is None or len(columns) < self._least or len(columns) < columns.filed * GROWTH:
            return
        arrays = (columns.steps, columns.times, columns.values, *columns.buckets)
        head = {
            "stands": _stand(connection, run, columns.mark),
            "in_time": columns.in_time,
            "counts": [len(part) for part in arrays],
        }
        text = json.dumps(head).encode()
        text += b" " * (-len(text) % 8)
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with _replacing(path) as file:
                file.write(HEADER.pack(MAGIC, len(text), crc32(text)))
                file.write(text)
                for part in arrays:
                    file.write(memoryview(part))  # type: ignore[arg-type]
            self._prune()
        except OSError:  # a full disk, or a system where mapped files are not replaced
            return
        columns.filed = len(columns)

    def forget(self, run: RunFolder) -> None:
        """Remove what is kept of a run that is no more."""
        if self._folder is not None:
            shutil.rmtree(self._folder / _digest(os.path.realpath(run.path)), ignore_errors=True)

    def _path(self, run: RunFolder, key: str, source: str) -> Path | None:
        if self._folder is None or sys.byteorder == "big":
            return None
        place = self._folder / _digest(os.path.realpath(run.path))
        return place / f"{_digest(key, source)}.columns"

    def _prune(self) -> None:
        assert self._folder is not None
        found = []
        for path in self._folder.glob("*/*"):
            with contextlib.suppress(FileNotFoundError):
                status = path.stat()
                found.append((status.st_mtime, status.st_size, path))
        size = sum(entry[1] for entry in found)
        for _, length, path in sorted(found):
            if size <= self._most_bytes:
                break
            with contextlib.suppress(OSError):
                path.unlink()
                size -= length


def _digest(*names: str) -> str:
    text = "\0".join(names).encode("utf-8", "surrogateescape")
    return blake2b(text, digest_size=16).hexdigest()


@contextlib.contextmanager
def _replacing(path: Path) -> Any:
    """A file that becomes `path` once it is complete and on the disk."""
    number, name = tempfile.mkstemp(dir=path.parent)
    try:
        with open(number, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise


def _map(path: Path) -> tuple[dict[str, Any], memoryview]:
    """Head and body. ValueError: it is no such file, or not all of it."""
    with open(path, "rb") as file:
        view = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    if len(view) < HEADER.size:
        raise ValueError(path)
    magic, length, crc = HEADER.unpack_from(view)
    text = bytes(view[HEADER.size : HEADER.size + length])
    if magic != MAGIC or crc32(text) != crc:
        raise ValueError(path)
    head: dict[str, Any] = json.loads(text)
    body = view[HEADER.size + length :]
    if len(body) != 8 * sum(head["counts"]):
        raise ValueError(path)
    return head, body


# -- which database it was ---------------------------------------------------------------------


def _stand(
    connection: sqlite3.Connection, run: RunFolder, mark: tuple[int, int]
) -> dict[str, Any] | None:
    seq, stubs = mark
    row = _row_at(connection, seq)
    if row is None:
        return None
    status = run.database.stat()
    return {
        "inode": [status.st_dev, status.st_ino],
        "seq": seq,
        "stubs": stubs,
        "row": row,
        "sources": _sources(connection),
    }


def _still_is(stands: Mapping[str, Any], connection: sqlite3.Connection, run: RunFolder) -> bool:
    status = run.database.stat()
    if [status.st_dev, status.st_ino] != stands["inode"]:
        return False
    sources = _sources(connection)
    for uuid, (position, digest) in stands["sources"].items():
        found = sources.get(uuid)
        if found is None or found[0] < position or (found[0] == position and found[1] != digest):
            return False
    row: list[Any] = stands["row"]
    return _row_at(connection, stands["seq"]) == row


def _row_at(connection: sqlite3.Connection, seq: int) -> list[Any] | None:
    row = connection.execute(
        "SELECT s.uuid, r.number, r.step, r.time FROM rows r JOIN source s ON s.id = r.source"
        " WHERE r.seq = ?",
        (seq,),
    ).fetchone()
    return list(row) if row is not None else None


def _sources(connection: sqlite3.Connection) -> dict[str, list[Any]]:
    return {
        uuid: [position, digest.hex()]
        for uuid, position, digest in connection.execute(
            "SELECT uuid, position, digest FROM source"
        )
    }
