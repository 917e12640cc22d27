"""SQL over all runs: views on the catalogue, and on rows that are fetched as queries touch them.

    runs(id, name, entity, project, state, created, updated, ended, duration, host, group, job_type,
         tags, notes, git_commit, command, rows, steps, size, config, summary, path)
    config(run, key, value, type)              summary(run, key, value, min, max, count)
    metrics(run, key, step, time, value, writer)   console(run, time, stream, text, writer)
    events(run, time, kind, step, data, writer)    files(run, name, size, sha256)
    writers(run, writer, label, host, pid, state, exit_code, rows, step, opened, latest, alive)

`run` is a run's id; all but `runs` end with entity and project, for stores where ids repeat.
Every query is exact, whatever its shape: a view over fetched rows asks `need(slot)` for each
(run, metric) that its filters leave over; what is not here yet is noted, fetched, and the query
run again, until it asks for nothing new. Each pass may fetch four times as much as the last.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple
from urllib.parse import quote

from store.catalogue import WAIT_SECONDS, Catalogue
from store.guard import Guard, Params, Paused
from store.paths import RunFolder, StoreFolder
from store.reading import fallback, is_not_ours
from store.result import Result

FIRST_BUDGET: Final = 50_000
"""Rows, as far as they are known beforehand, that the first pass of a query may ask for."""
RUN_COST: Final = 2_000
"""What opening a run costs, in rows; its console, events and files are not counted beforehand."""
SLOT_COST: Final = 500
"""The same for a metric, of which several may come from one run."""
LARGEST_BYTES: Final = 2**31
"""Fetched rows beyond this are forgotten before the next query."""

_TABLES: Final = """
CREATE TABLE gathered.point(slot INTEGER, step INTEGER, seq INTEGER, time REAL, value,
    writer INTEGER, PRIMARY KEY(slot, step, seq)) WITHOUT ROWID;
CREATE TABLE gathered.line(slot INTEGER, seq INTEGER, time REAL, stream TEXT, text TEXT,
    writer INTEGER, PRIMARY KEY(slot, seq)) WITHOUT ROWID;
CREATE TABLE gathered.event(slot INTEGER, seq INTEGER, time REAL, kind TEXT, step INTEGER,
    data TEXT, writer INTEGER, PRIMARY KEY(slot, seq)) WITHOUT ROWID;
CREATE TABLE gathered.file(slot INTEGER, name TEXT, size INTEGER, sha256 TEXT,
    PRIMARY KEY(slot, name)) WITHOUT ROWID;
CREATE TABLE gathered.author(id INTEGER PRIMARY KEY, name TEXT)
"""
_AUTHOR: Final = "(SELECT name FROM gathered.author a WHERE a.id = p.writer) AS writer"
_DAY: Final = "datetime({0}, 'unixepoch') AS {0}"
_OF_RUN: Final = "FROM main.run r CROSS JOIN gathered.{0} p ON p.slot = need_{0}(r.n)"
_VIEWS: Final = {
    "runs": f"""SELECT id, name, entity, project, state,
        {", ".join(map(_DAY.format, ("created", "updated", "ended")))},
        updated - created AS duration, host, "group", job_type, tags, notes, "commit" AS git_commit,
        command,
        rows, steps, size, config, summary, entity || '/' || project || '/' || id AS path
        FROM main.run""",
    "config": "SELECT run, key, value, type, entity, project FROM main.config_key",
    "summary": """SELECT run, key, value, least AS min, greatest AS max, points AS count,
        entity, project FROM main.metric_key WHERE shown""",
    "metrics": f"""SELECT i.run, i.key, p.step, p.time, p.value, {_AUTHOR}, i.entity, i.project
        FROM main.metric_key i CROSS JOIN gathered.point p
        ON p.slot = need_point(i.slot, i.points) WHERE i.points > 0""",
    "console": f"""SELECT r.id AS run, p.time, p.stream, p.text, {_AUTHOR}, r.entity, r.project
        {_OF_RUN.format("line")} WHERE r.has_console""",
    "events": f"""SELECT r.id AS run, p.time, p.kind, p.step, p.data, {_AUTHOR},
        r.entity, r.project {_OF_RUN.format("event")}""",
    "writers": f"""SELECT run, writer, label, host, pid, state, exit_code, rows, step,
        {", ".join(map(_DAY.format, ("opened", "latest")))}, alive, entity, project
        FROM main.writer""",
    "files": f"""SELECT r.id AS run, p.name, p.size, p.sha256, r.entity, r.project
        {_OF_RUN.format("file")} WHERE r.has_files""",
}
_FETCH: Final = {
    "point": "SELECT :slot, r.step, p.row, r.time, p.value, :n << 24 | r.source"
    " FROM loading.point p CROSS JOIN loading.rows r ON r.seq = p.row"
    " WHERE p.metric = (SELECT id FROM loading.metric WHERE name = :key)",
    "line": "SELECT :slot, l.row, r.time, l.stream, l.text, :n << 24 | r.source"
    " FROM loading.line l JOIN loading.rows r ON r.seq = l.row",
    "event": "SELECT :slot, e.row, r.time, k.name, r.step, e.data, :n << 24 | r.source"
    " FROM loading.event e JOIN loading.rows r ON r.seq = e.row"
    " LEFT JOIN loading.kind k ON k.id = r.kind",
    "file": "SELECT :slot, name, value ->> '$.size', value ->> '$.sha256' FROM loading.file"
    " WHERE value IS NOT NULL",
}


class _Place(NamedTuple):
    """Where rows go: a table of `gathered` and a slot in it (a metric's, or a run's number)."""

    table: str
    slot: int


class _Want(NamedTuple):
    """Rows that a query asked for: of a run, and of one metric of it where `key` is given."""

    place: _Place
    run: str
    n: int
    version: int
    key: str | None


class Gather:
    """The views of one store. May be used by several threads, one query at a time."""

    def __init__(self, store: StoreFolder) -> None:
        # Of its own: a long query must not keep others from looking at the catalogue.
        self._catalogue = Catalogue(store)
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._guard: Guard | None = None
        self._here: dict[_Place, tuple[int, int]] = {}
        self._failed: set[_Place] = set()
        self._missing: dict[_Place, None] = {}
        self._cost = 0
        self._budget = 0

    def sql(
        self,
        query: str,
        params: Params = None,
        *,
        wait: float = WAIT_SECONDS,
        timeout: float | None = None,
    ) -> Result:
        """The answer to one SELECT over the views, from everything that is folded now.

        Raises:
            UsageError: wrong SQL, more than reading, out of time.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._lock:
            if self._guard is not None:
                self._guard.begin()
            for attempt in range(2):
                stale = self._catalogue.refresh(wait)
                self._prepare()
                try:
                    columns, rows = self._ask(query, params, deadline, stale)
                except sqlite3.DatabaseError as error:  # the cache file was damaged meanwhile
                    self._connection = None
                    self._catalogue.start_anew(error)
                    if attempt:
                        raise
                else:
                    return Result(columns, rows, sorted(set(stale)))
        raise AssertionError

    def interrupt(self) -> None:
        """Stop the query that another thread runs."""
        if self._guard is not None:
            self._guard.interrupt()

    def close(self) -> None:
        with self._lock:
            self._catalogue.close()
            self._connection = self._guard = None

    # -- passes --------------------------------------------------------------------------------

    def _ask(
        self, query: str, params: Params, deadline: float | None, stale: list[str]
    ) -> tuple[list[str], list[tuple[Any, ...]]]:
        assert self._guard is not None
        self._budget = FIRST_BUDGET
        self._failed = set()
        while True:
            self._missing, self._cost = {}, 0
            rows: list[tuple[Any, ...]] = []
            columns: list[str] = []
            with contextlib.suppress(Paused), self._guard.query(query, params, deadline) as cursor:
                columns = [column[0] for column in cursor.description]
                while not self._missing and (some := cursor.fetchmany(256)):
                    rows += some
                for _ in cursor:
                    pass  # the answer is not exact, but what it needs is told by reading on
            if not self._missing:
                return columns, rows
            self._fetch(deadline, stale)
            self._budget *= 4

    def _need(self, table: str, slot: int, cost: int) -> int:
        """Called by SQLite for each line of the catalogue that a query's filters leave over."""
        place = _Place(table, slot)
        if place in self._here or place in self._failed:
            return slot
        if place not in self._missing:
            self._missing[place] = None
            self._cost += cost
        if self._cost > self._budget:
            assert self._guard is not None
            self._guard.pause()
        return slot

    # -- fetching ------------------------------------------------------------------------------

    def _fetch(self, deadline: float | None, stale: list[str]) -> None:
        """Fetch what the last pass missed, run by run; what cannot be had counts as empty."""
        wants: dict[str, list[_Want]] = {}
        for want in self._wanted():
            wants.setdefault(want.run, []).append(want)
        assert self._guard is not None
        for run, of_run in wants.items():
            self._guard.check(deadline)
            try:
                self._fetch_run(run, of_run)
            except (sqlite3.DatabaseError, OSError):
                stale.append(run)
        self._failed.update(place for place in self._missing if place not in self._here)

    def _wanted(self) -> Iterator[_Want]:
        points = [place.slot for place in self._missing if place.table == "point"]
        others = [place for place in self._missing if place.table != "point"]
        database = self._catalogue.connection
        for slot, run, n, version, key in database.execute(
            "SELECT i.slot, r.key, r.n, r.version, i.key FROM metric_key i JOIN run r ON r.n = i.n"
            " WHERE i.slot IN (SELECT value FROM json_each(?)) ORDER BY r.key",
            (json.dumps(points),),
        ).fetchall():
            yield _Want(_Place("point", slot), run, n, version, key)
        for place in others:
            for run, version in database.execute(
                "SELECT key, version FROM run WHERE n = ?", (place.slot,)
            ).fetchall():
                yield _Want(place, run, place.slot, version, None)

    def _fetch_run(self, run: str, wants: list[_Want]) -> None:
        database = self._catalogue.connection
        with self._attached(self._catalogue.store.run_of(run)):
            for want in wants:
                place = want.place
                database.execute(
                    f"INSERT INTO gathered.{place.table} {_FETCH[place.table]}",
                    {"slot": place.slot, "n": want.n, "key": want.key},
                )
                self._here[place] = (want.n, want.version)
            database.execute(
                "INSERT OR REPLACE INTO gathered.author"
                " SELECT ? << 24 | id, writer FROM loading.writers",
                (wants[0].n,),
            )

    @contextlib.contextmanager
    def _attached(self, run: RunFolder) -> Iterator[None]:
        database = self._catalogue.connection
        with contextlib.suppress(sqlite3.OperationalError):
            database.execute("DETACH loading")  # left by a Ctrl-C
        with contextlib.ExitStack() as stack:
            try:
                # mode=rw: a database that was removed meanwhile must not be made anew.
                target = f"file:{quote(os.path.abspath(run.database))}?mode=rw"
                database.execute("ATTACH ? AS loading", (target,))
                stack.callback(database.execute, "DETACH loading")
                database.execute("SELECT count(*) FROM loading.sqlite_master").fetchone()
            except sqlite3.OperationalError as error:
                if not is_not_ours(error):
                    raise
                stack.close()
                target = stack.enter_context(fallback(run))
                database.execute("ATTACH ? AS loading", (target,))
                stack.callback(database.execute, "DETACH loading")
            yield

    # -- the private database ------------------------------------------------------------------

    def _prepare(self) -> None:
        """Make tables and views where they are not yet, and forget rows that are out of date."""
        database = self._catalogue.connection
        if database is not self._connection:
            self._set_up(database)
        pages = database.execute("PRAGMA gathered.page_count").fetchone()[0]
        bytes_a_page = database.execute("PRAGMA gathered.page_size").fetchone()[0]
        if pages * bytes_a_page > LARGEST_BYTES:
            for table in (*_FETCH, "author"):
                database.execute(f"DELETE FROM gathered.{table}")
            database.execute("VACUUM gathered")
            self._here = {}
        if self._here:
            current = dict(database.execute("SELECT n, version FROM run"))
            for place, (n, version) in list(self._here.items()):
                if current.get(n) != version:
                    database.execute(
                        f"DELETE FROM gathered.{place.table} WHERE slot = ?", (place.slot,)
                    )
                    del self._here[place]

    def _set_up(self, database: sqlite3.Connection) -> None:
        database.execute("ATTACH '' AS gathered")
        database.execute("PRAGMA gathered.journal_mode = MEMORY")
        database.execute("PRAGMA gathered.cache_size = -65536")
        for statement in _TABLES.split(";"):
            database.execute(statement)
        database.create_function("need_point", 2, self._need_point)
        for table in ("line", "event", "file"):
            database.create_function(f"need_{table}", 1, self._of_run(table))
        for name, select in _VIEWS.items():
            database.execute(f"CREATE TEMP VIEW {name} AS {select}")
        columns = {
            name: [row[1] for row in database.execute(f"PRAGMA table_info({name})")]
            for name in _VIEWS
        }
        self._guard = Guard(database, columns)
        self._here = {}
        self._connection = database

    def _need_point(self, slot: int, points: int) -> int:
        return self._need("point", slot, points + SLOT_COST)

    def _of_run(self, table: str) -> Callable[[int], int]:
        return lambda n: self._need(table, n, RUN_COST)
