"""The guard of a user's SQL: one statement, that only reads, and only the views.

SQLite's authorizer is asked for every table, column and function when the statement is compiled
(https://sqlite.org/c3ref/set_authorizer.html); a table behind a view may be read for that view
alone. `query_only` stands behind it. What is wrong with a query becomes a UsageError.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, NoReturn

from store.errors import StoreError, UsageError

STEPS: Final = 50_000
"""Instructions of SQLite's machine between two looks at the clock and at Ctrl-C."""
LONGEST: Final = 2**28
"""Bytes of the longest text or blob that a query may make."""
_TABLE_FUNCTIONS: Final = (
    *("json_each", "json_tree"),
    *("pragma_table_info", "pragma_table_xinfo", "pragma_table_list"),
)
_FOREIGN: Final = frozenset({"load_extension", "readfile", "writefile", "edit", "fts3_tokenizer"})
_ALWAYS: Final = frozenset({sqlite3.SQLITE_SELECT, sqlite3.SQLITE_RECURSIVE})
_OWN_TROUBLE: Final = frozenset(
    {
        *(sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN),
        sqlite3.SQLITE_NOMEM,
    }
)
_DAMAGE: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})

Params = Mapping[str, Any] | Sequence[Any] | None


class Paused(Exception):
    """A function of the query stopped it, to go on later."""


class Guard:
    """Runs queries on one connection, whose views and their columns are `views`."""

    def __init__(self, connection: sqlite3.Connection, views: Mapping[str, Sequence[str]]) -> None:
        self._connection = connection
        self._views = views
        self._denied = ""
        self._deadline: float | None = None
        self._interrupted = False
        self._paused = False
        self._running = False
        self._gate = threading.Lock()
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LONGEST)

    def begin(self) -> None:
        """Before the first pass of a query; also takes away what a second Ctrl-C left behind."""
        self._interrupted = False
        self._lift()

    def interrupt(self) -> None:
        """Stop the query that has begun (from another thread)."""
        # Never in the middle of the catalogue's own statements.
        with self._gate:
            self._interrupted = True
            if self._running:
                self._connection.interrupt()

    def check(self, deadline: float | None) -> None:
        """UsageError once the query was interrupted, or is out of time."""
        if self._interrupted:
            raise UsageError("the query was interrupted")
        if deadline is not None and time.monotonic() > deadline:
            raise UsageError("the query took too long", hint="narrow it down, or give it more time")

    def pause(self) -> NoReturn:
        """To be called by a function within the query, which then raises Paused."""
        self._paused = True
        raise Paused

    @contextmanager
    def query(self, query: str, params: Params, deadline: float | None) -> Iterator[sqlite3.Cursor]:
        """A cursor over the answer; the guard stands as long as the block lasts.

        Raises:
            UsageError: wrong SQL, more than reading, wrong parameters, out of time, interrupted.
            StoreError: no room for intermediate results.
            Paused: see `pause`.
            KeyboardInterrupt: Ctrl-C, also in the middle of SQLite's own work.
        """
        connection = self._connection
        self._denied, self._paused, self._deadline = "", False, deadline
        # The first use of a table function makes it, which is a write as the authorizer sees it.
        for name in _TABLE_FUNCTIONS:
            connection.execute(f"SELECT 1 FROM {name} LIMIT 0")
        connection.execute("PRAGMA query_only = 1")
        connection.set_authorizer(self._authorize)
        connection.set_progress_handler(self._is_over, STEPS)
        cursor = connection.cursor()
        try:
            with self._gate:
                self._running = True
            self.check(deadline)
            cursor.execute(query, _bindable(query, params))
            if cursor.description is None:
                raise UsageError("the query gives no rows", hint=self._hint())
            yield cursor
        except (sqlite3.Error, sqlite3.Warning, ValueError, OverflowError) as error:
            if isinstance(error, StoreError):
                raise
            self._explain(error)
        finally:
            cursor.close()
            with self._gate:
                self._running = False
            self._lift()

    def _lift(self) -> None:
        self._connection.set_progress_handler(None, STEPS)
        self._connection.set_authorizer(None)
        self._connection.execute("PRAGMA query_only = 0")

    def _authorize(
        self,
        action: int,
        first: str | None,
        second: str | None,
        database: str | None,
        inside: str | None,
    ) -> int:
        if action in _ALWAYS:
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_READ:
            name = first or ""
            is_view = name in self._views and database == "temp"
            # No column and no database: rows are only counted, perhaps of a subquery of this name.
            if is_view or inside in self._views or name in _TABLE_FUNCTIONS or not second:
                return sqlite3.SQLITE_OK
            self._denied = f"{name}.{second}"
        elif action == sqlite3.SQLITE_FUNCTION:
            if second not in _FOREIGN:
                return sqlite3.SQLITE_OK
            self._denied = f"{second}()"
        elif action == sqlite3.SQLITE_PRAGMA:
            if first in {"table_info", "table_xinfo", "table_list"}:
                return sqlite3.SQLITE_OK
            self._denied = f"PRAGMA {first}"
        else:
            self._denied = "a statement that does more than read"
        return sqlite3.SQLITE_DENY

    def _is_over(self) -> bool:
        is_late = self._deadline is not None and time.monotonic() > self._deadline
        return self._interrupted or is_late

    def _explain(self, error: Exception) -> NoReturn:
        """Raise what `error` means to the one who asked."""
        text = str(error)
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if self._paused:
            raise Paused from None
        if text.startswith("cannot modify"):
            self._denied = "a statement that does more than read"
        if self._denied:
            names = ", ".join(self._views)
            raise UsageError(
                f"the query may only read: {self._denied} is not allowed", hint=f"views: {names}"
            ) from error
        if code == sqlite3.SQLITE_INTERRUPT:
            self.check(self._deadline)
        if code in {sqlite3.SQLITE_INTERRUPT, sqlite3.SQLITE_AUTH} or text.startswith("user-def"):
            # A signal's exception in one of our functions: SQLite reports only that one failed.
            raise KeyboardInterrupt from error
        if code in _DAMAGE:
            raise error
        if code in _OWN_TROUBLE:
            hint = "is there room in the temporary directory (SQLITE_TMPDIR)?"
            raise StoreError(f"SQLite cannot go on: {text}", hint=hint) from error
        raise UsageError(f"SQL: {text}", hint=self._hint(text)) from error

    def _hint(self, problem: str = "") -> str | None:
        if problem.startswith(("no such table", "no such column")) or not problem:
            views = [f"{name}({', '.join(columns)})" for name, columns in self._views.items()]
            return f"views: {'; '.join(views)}"
        return None


def _bindable(query: object, params: Params) -> dict[str, Any] | tuple[Any, ...]:
    if not isinstance(query, str):
        raise UsageError(f"a query is a text, not {type(query).__name__}")
    if isinstance(params, str | bytes):
        raise UsageError("params are a mapping or a sequence of values, not one text")
    return dict(params) if isinstance(params, Mapping) else tuple(params or ())
