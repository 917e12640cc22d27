"""Reading runs from Python: `store.open()`.

A Store answers from the catalogue, a StoredRun from the catalogue and its run's database. Every
read folds first what writers have in their journals, waiting at most `wait` seconds for their
locks; what could not be folded is named through `warn` and in `stale`, and never an error.
"""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from os import PathLike, fspath
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

from store import paths
from store.catalogue import WAIT_SECONDS, Catalogue
from store.errors import RunNotFound
from store.gather import Gather
from store.jsontext import from_json
from store.outline import RunLine, WriterLine
from store.paths import RunFolder, StoreFolder
from store.reading import reading
from store.result import Result
from store.series import Series, read_history, read_series
from store.summarize import read_definitions, summary_values

__all__ = [
    "ConsoleLine",
    "Event",
    "Result",
    "Runs",
    "Series",
    "Store",
    "StoredFile",
    "StoredRun",
    "WriterLine",
    "open_store",
    "sql",
    "summary_values",
]

Warn = Callable[[str], None]


class ConsoleLine(NamedTuple):
    """`time` in seconds since 1970; `stream` is stdout or stderr."""

    time: float
    stream: str
    text: str
    writer: str | None


class Event(NamedTuple):
    """A row that is neither metrics nor console; `kind` is its kind by name."""

    time: float
    kind: str | None
    step: int
    data: dict[str, Any]
    writer: str | None


class StoredFile(NamedTuple):
    """A file that was saved with the run; `path` is None where its name is no place in the run."""

    name: str
    size: int | None
    sha256: str | None
    path: Path | None


def open_store(
    path: str | PathLike[str] | None = None,
    *,
    wait: float = WAIT_SECONDS,
    warn: Warn | None = None,
) -> Store:
    """Open a store for reading.

    Args:
        path: the store, or a folder that holds it; by default STORE_DIR, else `.store` found from
            the working directory upwards.
        wait: seconds that a read waits, in all, for locks of processes that write.
        warn: gets a line for each run that could not be folded (default: printed on stderr).

    Raises:
        StoreNotFound: there is none.
    """
    if path is None:
        from os import environ

        path = environ.get("STORE_DIR") or None
    given = None if path is None else Path(fspath(path))
    return Store(paths.open_store(given=given), wait=wait, warn=warn)


def sql(
    query: str,
    params: Mapping[str, Any] | Sequence[Any] | None = None,
    *,
    path: str | PathLike[str] | None = None,
) -> Result:
    """Ask all runs of a store one question; see `open_store` and `Store.sql`."""
    with open_store(path) as store:
        return store.sql(query, params)


class Store:
    """A store, opened for reading. May be used by several threads; close it, or use `with`."""

    def __init__(
        self, folder: StoreFolder, *, wait: float = WAIT_SECONDS, warn: Warn | None = None
    ) -> None:
        self.folder = folder
        self.wait = wait
        self.stale: tuple[str, ...] = ()
        self.catalogue: Final = Catalogue(folder)
        self._warn = warn if warn is not None else _print_warning
        self._gather: Gather | None = None

    @property
    def path(self) -> Path:
        return self.folder.path

    @property
    def id(self) -> str:
        return self.folder.id

    @property
    def runs(self) -> Runs:
        """The runs, by id, name, entity/project/id, folder or the beginning of an id or name."""
        return Runs(self)

    def sql(
        self,
        query: str,
        params: Mapping[str, Any] | Sequence[Any] | None = None,
        *,
        timeout: float | None = None,
    ) -> Result:
        """Ask all runs with one SELECT over the views that `store.gather` lists.

        Args:
            params: values for `:name` (a mapping) or `?` (a sequence) in the query.
            timeout: seconds after which the query is given up.

        Raises:
            UsageError: no such view or column, wrong SQL, more than reading, or out of time.
        """
        if self._gather is None:
            self._gather = Gather(self.folder)
        result = self._gather.sql(query, params, wait=self.wait, timeout=timeout)
        self._tell(result.stale)
        return result

    def interrupt(self) -> None:
        """Stop the query that another thread runs; it raises UsageError there."""
        if self._gather is not None:
            self._gather.interrupt()

    def refresh(self, only: str | None = None) -> bool:
        """Look for what changed (in the run with the key `only`); False when something is stale."""
        stale = self.catalogue.refresh(self.wait, only=only)
        self._tell(stale)
        return not stale

    def close(self) -> None:
        self.catalogue.close()
        if self._gather is not None:
            self._gather.close()
            self._gather = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Store {self.path}>"

    def _tell(self, stale: Sequence[str]) -> None:
        self.stale = tuple(stale)
        for key in stale:
            self._warn(f"{key}: rows that wait in journals could not be folded and are not shown")


def _print_warning(line: str) -> None:
    print(f"runstore: {line}", file=sys.stderr)


class Runs:
    """The runs of a store. Iterating gives StoredRun objects, the newest first."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __getitem__(self, name: str) -> StoredRun:
        """The run that `name` means; an exact id goes before a name, that before a prefix.

        Raises:
            RunNotFound: none, or several (`candidates`).
        """
        self._store.refresh()
        return StoredRun(self._store, self._store.catalogue.find(name))

    def __iter__(self) -> Iterator[StoredRun]:
        self._store.refresh()
        return iter([StoredRun(self._store, line) for line in self._store.catalogue.lines()])

    def __len__(self) -> int:
        self._store.refresh()
        return len(self._store.catalogue.lines())

    def __contains__(self, name: object) -> bool:
        try:
            self[str(name)]
        except RunNotFound as error:
            return bool(error.candidates)
        return True

    def __repr__(self) -> str:
        return f"<Runs of {self._store.path}>"


class StoredRun:
    """One run, read from disk; every access looks whether something was added."""

    def __init__(self, store: Store, line: RunLine) -> None:
        self._store = store
        self._line = line

    @property
    def _folder(self) -> RunFolder:
        return self._store.folder.run_of(self._line.key)

    @property
    def line(self) -> RunLine:
        """The catalogue's line on the run, brought up to date.

        Raises:
            RunNotFound: the run was removed.
        """
        if self._store.catalogue.is_current(self._line):
            return self._line
        self._store.refresh(only=self._line.key)
        line = self._store.catalogue.line(self._line.key)
        if line is None:
            raise RunNotFound(self._line.path)
        self._line = line
        return line

    @property
    def id(self) -> str:
        return self._line.id

    @property
    def entity(self) -> str:
        return self._line.entity

    @property
    def project(self) -> str:
        return self._line.project

    @property
    def path(self) -> str:
        """entity/project/id"""
        return self._line.path

    @property
    def dir(self) -> Path:
        """The run's folder; `dir / "run.db"` is its database."""
        return self._folder.path

    @property
    def name(self) -> str:
        return self.line.name

    @property
    def state(self) -> str:
        """running, finished, failed, killed, crashed or damaged."""
        return self.line.state

    @property
    def config(self) -> dict[str, Any]:
        return dict(from_json(self.line.config))

    @property
    def summary(self) -> dict[str, Any]:
        """The summary with the definitions of the metrics applied, NaN included."""
        line = self.line
        values: dict[str, Any] = from_json(line.summary)
        return values | dict.fromkeys(from_json(line.nan), float("nan"))

    @property
    def attributes(self) -> dict[str, Any]:
        return dict(from_json(self.line.attributes))

    @property
    def tags(self) -> tuple[str, ...]:
        return tuple(from_json(self.line.tags))

    @property
    def notes(self) -> str | None:
        return self.line.notes

    @property
    def group(self) -> str | None:
        return self.line.group

    @property
    def job_type(self) -> str | None:
        return self.line.job_type

    def keys(self) -> list[str]:
        """The names of the metrics that were logged."""
        return [metric.key for metric in self._store.catalogue.metric_keys(self.line)]

    def series(self, key: str, writer: str | None = None) -> Series:
        """The points of one metric; empty when it was never logged.

        Args:
            writer: only what one writer logged: its label, host:pid or uuid.

        Raises:
            UsageError: there is no such writer.
        """
        with self._reading() as connection:
            x = read_definitions(connection).of(key).step_metric
            return read_series(connection, key, writer, x)

    def history(self, keys: Sequence[str] | None = None) -> list[dict[str, Any]]:
        """A dict per row: `_step`, `_time`, `_writer` and what was logged at that step."""
        with self._reading() as connection:
            return read_history(connection, keys)

    def console(self) -> list[ConsoleLine]:
        """What the run printed, in the order of time."""
        with self._reading() as connection:
            return [
                ConsoleLine(*row)
                for row in connection.execute(
                    "SELECT r.time, l.stream, l.text, w.writer"
                    " FROM line l JOIN rows r ON r.seq = l.row JOIN writers w ON w.id = r.source"
                    " ORDER BY r.time, r.source, r.number"
                )
            ]

    def events(self) -> list[Event]:
        """Every other row, settings and ends of writers included, in the order of time."""
        with self._reading() as connection:
            return [
                Event(time, kind, step, from_json(data), writer)
                for time, kind, step, data, writer in connection.execute(
                    "SELECT r.time, k.name, r.step, e.data, w.writer"
                    " FROM event e JOIN rows r ON r.seq = e.row LEFT JOIN kind k ON k.id = r.kind"
                    " JOIN writers w ON w.id = r.source ORDER BY r.time, r.source, r.number"
                )
            ]

    def writers(self) -> list[WriterLine]:
        """Who wrote the run, in the order in which they opened it."""
        return self._store.catalogue.writers(self.line.n)

    def files(self) -> list[StoredFile]:
        """The files that were saved with the run, by name."""
        with self._reading() as connection:
            rows = connection.execute("SELECT name, size, sha256 FROM files ORDER BY name")
            return [
                StoredFile(name, size, sha256, self._place(name)) for name, size, sha256 in rows
            ]

    def __repr__(self) -> str:
        return f"<StoredRun {self.path} {self._line.state}>"

    def _place(self, name: str) -> Path | None:
        path = Path(name)
        inside = not path.is_absolute() and ".." not in path.parts and "\0" not in name
        return self._folder.files / path if inside and path.parts else None

    def _reading(self) -> AbstractContextManager[sqlite3.Connection]:
        self._store.refresh(only=self._line.key)
        return reading(self._folder)
