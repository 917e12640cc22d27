"""The catalogue: a line per run of a store, in a cache that can be made anew at any time.

A refresh is one pass over the folders (`store.scan`); only runs that changed, or have journals
with rows that were not folded, are folded and read again (`store.outline`). A line is kept with
the stamp of the files that it was made from, so whoever writes last, a line that is out of date
is found out by the next refresh. Numbers (`run.n`, `metric_key.slot`) stay with their run and
metric and are never given out twice; `run.version` tells that rows were added.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, NamedTuple

from store.cache import CHILDREN, cache_file, open_cache, remove_cache
from store.database import Source
from store.errors import RunNotFound, StoreError, StoreLocked
from store.fold import fold
from store.locks import run_lock
from store.outline import MetricKey, Outline, RunLine, WriterLine, damaged_line, read_outline
from store.paths import RunFolder, StoreFolder
from store.reading import reading
from store.scan import (
    Seen,
    is_quiet,
    is_settled,
    lives,
    scan_run,
    scan_store,
    size_of,
)
from store.shared.snapshots import open_database
from store.shared.spills import spilled_runs

WAIT_SECONDS: Final = 2.0
LINES: Final = 100
"""Lines in one transaction of a refresh."""
_DAMAGED: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR})
_BUSY: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_UPDATED: Final = ", ".join(f"{name} = excluded.{name}" for name in MetricKey._fields[1:])


class _Known(NamedTuple):
    n: int
    stamp: str
    marks: str | None
    signature: str
    version: int


_KNOWN: Final = ", ".join(_Known._fields)
_inherited: Final[list[sqlite3.Connection]] = []
"""A parent's connections: closing one in a forked child would drop the parent's locks."""


class Catalogue:
    """The lines on all runs of one store. May be used by several threads."""

    def __init__(self, store: StoreFolder) -> None:
        self.store = store
        self._lock = threading.RLock()
        self._path: Path | None = cache_file(store)
        self._connection: sqlite3.Connection | None = None
        self._process = os.getpid()
        self._waited = 0.0

    @property
    def connection(self) -> sqlite3.Connection:
        """The connection to the cache, opened afresh after a fork."""
        if self._connection is not None and self._process != os.getpid():
            _inherited.append(self._connection)
            self._connection = None
        if self._connection is None:
            self._connection = self._open()
            self._process = os.getpid()
        return self._connection

    def close(self) -> None:
        with self._lock:
            if self._connection is not None and self._process == os.getpid():
                self._connection.close()
                self._connection = None

    def __del__(self) -> None:
        # From 3.13 on Python warns of connections that nobody closed.
        if self.__dict__.get("_connection") is not None:
            self.close()

    # -- reading -------------------------------------------------------------------------------

    def lines(self) -> list[RunLine]:
        """The lines of all runs, the newest first."""
        return self._lines("ORDER BY created DESC, key")

    def line(self, key: str) -> RunLine | None:
        """The line of the run `key` (`RunFolder.key`)."""
        return next(iter(self._lines("WHERE key = ?", key)), None)

    def find(self, name: str) -> RunLine:
        """The run that `name` means: its id, name, either behind project/ or entity/project/, its
        folder, or a beginning.

        Raises:
            RunNotFound: none, or several (`candidates`).
        """
        found = self._lines("WHERE id = ?", name)
        if not found and "/" in name:
            for part in ("id", "name"):
                place = (
                    f"? IN (project || '/' || {part}, entity || '/' || project || '/' || {part})"
                )
                found = found or self._lines(f"WHERE {place}", name)
        found = found or self._lines("WHERE name = ?", name)
        if not found and (os.sep in name or Path(name).is_dir()):
            with contextlib.suppress(RunNotFound, OSError):
                found = self._lines("WHERE key = ?", self.store.run_at(Path(name)).key)
        if not found and name:
            found = self._lines("WHERE instr(id, ?) = 1", name)
            found = found or self._lines("WHERE instr(name, ?) = 1", name)
        if len(found) != 1:
            raise RunNotFound(name, tuple(line.path for line in found))
        return found[0]

    def writers(self, n: int) -> list[WriterLine]:
        """The writers of the run with number `n`, in the order in which they opened."""
        columns = ", ".join(WriterLine._fields)
        rows = self._select(f"SELECT {columns} FROM writer WHERE n = ? ORDER BY opened", n)
        return [WriterLine._make((*row[:-1], bool(row[-1]))) for row in rows]

    def metric_keys(self, line: RunLine) -> list[MetricKey]:
        """The metrics that were logged, by name."""
        columns = ", ".join(MetricKey._fields)
        rows = self._select(
            f"SELECT {columns} FROM metric_key WHERE n = ? AND points > 0 ORDER BY key", line.n
        )
        return [MetricKey._make((*row[:-1], bool(row[-1]))) for row in rows]

    def is_current(self, line: RunLine) -> bool:
        """Whether a refresh would certainly leave `line` as it is; cheap for ended runs only."""
        seen = scan_run(self._folder(line.key)) if line.marks is None else None
        return seen is not None and seen.stamp == line.stamp

    def _lines(self, condition: str, *parameters: object) -> list[RunLine]:
        return [
            RunLine(*row) for row in self._select(f"SELECT * FROM run {condition}", *parameters)
        ]

    def _select(self, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
        with self._lock:
            try:
                return self.connection.execute(sql, parameters).fetchall()
            except sqlite3.DatabaseError as error:
                self.start_anew(error)
                self._refresh(0.0, None)
                return self.connection.execute(sql, parameters).fetchall()

    # -- refreshing ----------------------------------------------------------------------------

    def refresh(self, wait: float = WAIT_SECONDS, *, only: str | None = None) -> list[str]:
        """Bring the lines up to date, or that of the run with the key `only`.

        Waits at most `wait` seconds in all for other processes' locks. Gives the keys of the runs
        whose journals could not be folded; their lines tell what was folded before.
        """
        with self._lock:
            self._waited = 0.0
            for _ in range(2):
                try:
                    return self._refresh(wait, only)
                except sqlite3.DatabaseError as error:
                    self.start_anew(error)
            return self._refresh(wait, None)

    def _refresh(self, wait: float, only: str | None) -> list[str]:
        stale: list[str] = []
        pending: list[Outline] = []
        known = self._known(only)
        spilled = spilled_runs(self.store.id)
        for key, seen in self._scan(only):
            before = known.pop(key, None)
            if before is not None and key not in spilled and self._is_same(key, before, seen):
                continue
            try:
                outline, is_stale = self._look(self._folder(key), seen, wait)
            except FileNotFoundError:  # removed just now
                if before is not None:
                    known[key] = before
                continue
            except StoreLocked:
                stale.append(key)
                continue
            if is_stale:
                stale.append(key)
            pending.append(outline)
            if len(pending) >= LINES:
                self._keep(pending)
                pending = []
        if pending or known:
            self._keep(pending, known.values())
        return stale

    def _known(self, only: str | None) -> dict[str, _Known]:
        sql, keys = f"SELECT key, {_KNOWN} FROM run", () if only is None else (only,)
        rows = self.connection.execute(f"{sql} WHERE key = ?" if keys else sql, keys)
        return {row[0]: _Known(*row[1:]) for row in rows}

    def _scan(self, only: str | None) -> Iterable[tuple[str, Seen]]:
        if only is None:
            return scan_store(self.store)
        seen = scan_run(self._folder(only))
        return [(only, seen)] if seen is not None else []

    def _is_same(self, key: str, before: _Known, seen: Seen) -> bool:
        if before.stamp != seen.stamp:
            return False
        return before.marks is None or is_quiet(self._folder(key), json.loads(before.marks))

    def _folder(self, key: str) -> RunFolder:
        return self.store.run_of(key)

    def _look(self, run: RunFolder, seen: Seen, wait: float) -> tuple[Outline, bool]:
        """Fold and read a run; the flag says that it could not be folded.

        Raises:
            FileNotFoundError: it is gone.
            StoreLocked: SQLite's own lock was not to be had.
        """
        moment = time.time_ns()
        problem: Exception | None = None
        try:
            if run.is_unfolded():
                try:
                    return self._fold_and_read(run, wait), False
                except (StoreLocked, OSError, sqlite3.OperationalError) as error:
                    problem = error  # held by another, not ours to write to, or a full disk
            with reading(run) as connection:
                outline = self._read(connection, run, problem)
        except FileNotFoundError:
            raise
        except (StoreError, sqlite3.Error, OSError) as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in _BUSY:
                raise StoreLocked(run.database, 0.0) from error
            reason = error.message if isinstance(error, StoreError) else str(error)
            outline = Outline(damaged_line(run, reason), [], [], [])
            if not isinstance(error, StoreError):
                moment = 0  # perhaps it passes: to be tried again
        return _stamped(outline, seen, moment), problem is not None

    def _fold_and_read(self, run: RunFolder, wait: float) -> Outline:
        left = max(0.0, wait - self._waited)
        try:
            with run_lock(run.lock).hold(left) as waited:
                self._waited += waited
                database = open_database(run)
                try:
                    fold(run, timeout=left, database=database)
                    outline = self._read(database.connection, run)
                finally:
                    database.close()
                # Nobody else writes under the lock: this stamp is that of what was read.
                seen = scan_run(run)
        except StoreLocked as error:
            self._waited += error.waited
            raise
        if seen is None:
            raise FileNotFoundError(run.path)
        return _stamped(outline, seen, time.time_ns())

    @staticmethod
    def _read(
        connection: sqlite3.Connection, run: RunFolder, problem: Exception | None = None
    ) -> Outline:
        segments = run.segments()
        sources = [Source(*row) for row in connection.execute("SELECT * FROM source")]
        life = lives(run, segments, [source.uuid for source in sources])
        if isinstance(problem, StoreLocked):
            # Somebody folds it just now: whether a dead writer has ended is about to be known.
            life |= dict.fromkeys(segments, "alive")
        outline = read_outline(connection, run, life, time.time())
        folded = {source.uuid: (source.segment, source.offset) for source in sources}
        # A fold that leaves a dead writer's journal could not adopt it just then: once more.
        again = {uuid for uuid in segments if problem is None and life[uuid] == "dead"}
        marks = {
            uuid: (*folded.get(uuid, (0, 0)), "unknown" if uuid in again else life[uuid])
            for uuid in segments
        }
        if outline.line.state == "running" and not segments:
            marks[""] = (0, 0, "unknown")  # running by its age, which no stamp tells
        line = outline.line._replace(
            marks=json.dumps(marks) if marks else None, size=size_of(segments)
        )
        return outline._replace(line=line)

    # -- the cache file ------------------------------------------------------------------------

    def _keep(self, outlines: Iterable[Outline], gone: Iterable[_Known] = ()) -> None:
        database = self.connection
        database.execute("BEGIN IMMEDIATE")
        try:
            for old in gone:
                for table in ("run", *CHILDREN):
                    database.execute(f"DELETE FROM {table} WHERE n = ?", (old.n,))
            for outline in outlines:
                self._keep_one(outline)
            database.execute("COMMIT")
        except BaseException:
            if database.in_transaction:
                database.execute("ROLLBACK")
            raise

    def _keep_one(self, outline: Outline) -> None:
        database, line = self.connection, outline.line
        row = database.execute(f"SELECT {_KNOWN} FROM run WHERE key = ?", (line.key,)).fetchone()
        current = _Known(*row) if row else None
        same = current is not None and current.signature == line.signature
        n, version = (current.n, current.version + (not same)) if current else (None, 1)
        marks = ", ".join("?" * len(line))
        cursor = database.execute(
            f"INSERT OR REPLACE INTO run VALUES({marks})", (n, *line[1:-1], version)
        )
        n = n or cursor.lastrowid
        head = (n, line.id, line.entity, line.project)
        database.execute("DELETE FROM writer WHERE n = ?", (n,))
        self._insert("writer", head, outline.writers)
        if same:
            return
        keys = json.dumps([metric.key for metric in outline.metrics])
        database.execute(
            "DELETE FROM metric_key WHERE n = ? AND key NOT IN (SELECT value FROM json_each(?))",
            (n, keys),
        )
        upsert = f" ON CONFLICT(n, key) DO UPDATE SET {_UPDATED}"
        self._insert("metric_key", head, outline.metrics, upsert)
        database.execute("DELETE FROM config_key WHERE n = ?", (n,))
        self._insert("config_key", head, outline.config)

    def _insert(
        self,
        table: str,
        head: tuple[object, ...],
        rows: Iterable[tuple[object, ...]],
        conflict: str = "",
    ) -> None:
        columns = CHILDREN[table]
        marks = ", ".join("?" * (columns.count(",") + 1))
        self.connection.executemany(
            f"INSERT INTO {table}({columns}) VALUES({marks}){conflict}",
            [(*head, *row) for row in rows],
        )

    def _open(self) -> sqlite3.Connection:
        if self._path is not None:
            for _ in range(2):
                try:
                    return open_cache(self._path)
                except sqlite3.Error as error:
                    if getattr(error, "sqlite_errorcode", 0) & 0xFF in _BUSY:
                        break
                    remove_cache(self._path)
            self._path = None
        return open_cache(None)

    def start_anew(self, error: sqlite3.Error) -> None:
        """After an error of the cache itself: a new file, or none where that does not help."""
        if self._path is None:
            raise error
        self.close()
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGED:
            remove_cache(self._path)
        else:
            self._path = None


def _stamped(outline: Outline, seen: Seen, moment: int) -> Outline:
    """With the stamp of the files; one that may not show the next change fits nothing."""
    line = outline.line
    stamp = seen.stamp if is_settled(seen, moment) else f"{seen.stamp}?"
    return outline._replace(line=line._replace(stamp=stamp, size=line.size + seen.size))
