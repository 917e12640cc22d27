"""RunDatabase: one run's SQLite file, opened the one right way.

Write-ahead log, BEGIN IMMEDIATE for every write, all writes and checkpoints under run.lock (which
also keeps SQLite's WAL-reset bug out, present up to 3.51.2), connections closed by hand: a
dropped sqlite3.Connection keeps its locks until the cycle collector comes by.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from store import schema
from store.absorb import Absorber
from store.errors import SchemaTooNew, SequenceGap, StoreCorrupt
from store.row import DIGEST_START, Row
from store.stretch import Stretch

BUSY_SECONDS: Final = 10.0


class Source(NamedTuple):
    """A row of table `source`; `position` is the number of the last absorbed row.

    `seen` is when somebody who can tell last said that the writer lives, in a database that is
    fed from elsewhere (seconds since 1970).
    """

    id: int
    uuid: str
    kind: str
    host: str | None
    pid: int | None
    label: str | None
    parent: str | None
    store: str | None
    opened: float | None
    latest: float | None
    step: int | None
    state: str | None
    exit_code: int | None
    position: int
    digest: bytes
    segment: int
    offset: int
    ended: int
    seen: float | None


class RunDatabase:
    """A connection to one run's database. To be written only under the run's lock."""

    def __init__(self, path: Path, *, write: bool = True) -> None:
        """Open `path`; with `write` it is made when absent.

        Raises:
            StoreCorrupt: not a database, or damaged.
            SchemaTooNew: made by a later Runstore.
            FileNotFoundError: not there, and not to be made.
        """
        if not write and not path.exists():
            raise FileNotFoundError(path)
        self.path = path
        self.connection = sqlite3.connect(
            path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        try:
            self._prepare(write)
        except sqlite3.DatabaseError as error:
            self.connection.close()
            if isinstance(error, sqlite3.OperationalError):
                raise
            raise StoreCorrupt(path, str(error)) from error
        except BaseException:
            self.connection.close()
            raise

    def _prepare(self, write: bool) -> None:
        if not write:
            (found,) = self.execute("PRAGMA user_version").fetchone()
            if found > schema.VERSION:
                raise SchemaTooNew(self.path, found, schema.VERSION)
            if found == 0:
                raise FileNotFoundError(self.path)  # its tables are being made, or the disk is full
            self.execute("PRAGMA query_only = 1")
            self.execute("PRAGMA wal_autocheckpoint = 0")
            return
        (mode,) = self.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            raise StoreCorrupt(self.path, f"SQLite keeps to journal mode {mode!r} here")
        self.execute("PRAGMA synchronous = NORMAL")
        schema.create_or_check(self.connection, self.path)
        self._absorber = Absorber(self.connection)

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> sqlite3.Cursor:
        return self.connection.execute(sql, parameters)

    def close(self) -> None:
        """Close the connection; the last one of a host folds the write-ahead log in."""
        self.connection.close()

    @contextlib.contextmanager
    def transaction(self, *, durable: bool = False) -> Iterator[None]:
        """A write transaction; `durable` has it, and all before it, on the disk at the end."""
        if durable:
            self.execute("PRAGMA synchronous = FULL")
        try:
            self.execute("BEGIN IMMEDIATE")
            try:
                yield
                if durable:
                    # SQLite skips pages that do not change: an empty commit would sync nothing.
                    self.execute(
                        "INSERT INTO meta VALUES('barrier', 1)"
                        " ON CONFLICT(key) DO UPDATE SET value = value + 1"
                    )
                self.execute("COMMIT")
            except BaseException:
                if self.connection.in_transaction:
                    self.execute("ROLLBACK")
                self._absorber.forget()
                raise
        finally:
            if durable:
                self.execute("PRAGMA synchronous = NORMAL")

    def source(self, uuid: str) -> Source | None:
        row = self.execute("SELECT * FROM source WHERE uuid = ?", (uuid,)).fetchone()
        return Source(*row) if row else None

    def sources(self) -> list[Source]:
        return [Source(*row) for row in self.execute("SELECT * FROM source ORDER BY id")]

    def count_rows(self) -> int:
        """The rows of all sources."""
        (count,) = self.execute("SELECT coalesce(sum(position), 0) FROM source").fetchone()
        return int(count)

    def ensure_source(self, uuid: str, kind: str = "journal") -> Source:
        """The source's row, made when this is the first that is heard of it."""
        found = self.source(uuid)
        if found is None:
            self.execute(
                "INSERT INTO source(uuid, kind, position, digest) VALUES(?, ?, 0, ?)",
                (uuid, kind, DIGEST_START),
            )
            found = self.source(uuid)
            assert found is not None
        return found

    def absorb(
        self,
        uuid: str,
        rows: Sequence[Row | Sequence[Any]],
        *,
        payloads: Sequence[bytes | memoryview] | None = None,
        bookmark: tuple[int, int] | None = None,
        durable: bool = False,
    ) -> int:
        """Insert a contiguous stretch of one source's rows; gives how many were new.

        What was seen before is skipped (a row replaces a stub); rows that cannot be kept become
        stubs and are set aside in `rejected`. `payloads` are the rows' journal forms;
        `bookmark` is (segment, offset) of the journal behind the last row.

        Raises:
            SequenceGap: the first row's number is greater than the position + 1.
        """
        with self.transaction(durable=durable):
            return self.absorb_within(uuid, rows, payloads=payloads, bookmark=bookmark)

    def absorb_within(
        self,
        uuid: str,
        rows: Sequence[Row | Sequence[Any]],
        *,
        payloads: Sequence[bytes | memoryview] | None = None,
        bookmark: tuple[int, int] | None = None,
    ) -> int:
        """`absorb`, within the caller's transaction."""
        source = self.ensure_source(uuid)
        if rows and rows[0][0] > source.position + 1:
            raise SequenceGap(uuid, source.position + 1, rows[0][0])
        new = self._absorber.absorb(source.id, uuid, source.position, source.digest, rows, payloads)
        if bookmark is not None:
            self.execute(
                "UPDATE source SET segment = ?, offset = ? WHERE id = ?", (*bookmark, source.id)
            )
        return new

    def absorb_pieces(
        self, uuid: str, pieces: Iterable[Stretch | Sequence[Row | Sequence[Any]]]
    ) -> int:
        """Insert rows that come next, within the caller's transaction, some of them in columns.

        Raises:
            SequenceGap: a row's number is not the next.
        """
        source = self.ensure_source(uuid)
        return self._absorber.absorb_pieces(source.id, uuid, source.position, source.digest, pieces)

    def reject(
        self, uuid: str, number: int, frame: bytes, reason: str, *, digest: bytes | None = None
    ) -> None:
        """Take a stub for row `number` of a source, whose bytes no longer read as a row.

        To be called within a transaction. `digest` is the h(n) that the stub carries (default:
        that of `frame`).

        Raises:
            SequenceGap: the number does not come next.
        """
        source = self.ensure_source(uuid)
        if number != source.position + 1:
            raise SequenceGap(uuid, source.position + 1, number)
        self._absorber.reject(source.id, source.digest, number, frame, reason, digest)

    def end_sources(self, uuids: Iterable[str], *, ended: bool = True) -> None:
        """Mark journals as absorbed to their end: the tombstone of an unlinked file."""
        self.connection.executemany(
            "UPDATE source SET ended = ? WHERE uuid = ?", [(ended, uuid) for uuid in uuids]
        )
