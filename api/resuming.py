"""Opening a run: new, joined while others write it, or resumed after they ended."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from store.cleaned import read_cleaned
from store.errors import RunExists, RunNotFound, StoreError, StoreLocked, UsageError
from store.jsontext import from_json
from store.locks import no_fork
from store.ownership import is_written
from store.paths import RunFolder, StoreFolder

if TYPE_CHECKING:
    import sqlite3

RESUME_SECONDS: Final = 10.0


class Known(NamedTuple):
    """What a run that is there already brings along; `step` is the next one to log."""

    config: dict[str, Any]
    attributes: dict[str, Any]
    step: int
    is_live: bool


NOTHING_KNOWN: Final = Known({}, {}, 0, False)


def claim(run: RunFolder, resume: str | None) -> bool:
    """Make the run's folder; True when this process is the first to do so.

    Raises:
        RunExists: with resume="never", and somebody was first.
        RunNotFound: with resume="must", and there is none.
        UsageError: the folder cannot be made.
    """
    is_cleaned = read_cleaned(run) is not None
    if resume == "must" and not run.exists() and not is_cleaned:
        raise RunNotFound(run.id)
    if resume == "never" and is_cleaned:
        raise RunExists(run.id)
    try:
        run.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            run.path.mkdir()
        except FileExistsError:
            if resume == "never":
                raise RunExists(run.id) from None
            return False
    except OSError as error:
        raise UsageError(
            f"cannot make the run's folder {run.path}: {error.strerror or error}",
            hint="name a store that you may write to, with dir= or STORE_DIR",
        ) from error
    return True


def look_up_cleaned(run: RunFolder) -> Known:
    """What is left of a run that was removed here after it had been sent."""
    cleaned = read_cleaned(run)
    if cleaned is None:
        return NOTHING_KNOWN
    step = 0 if cleaned.step is None else cleaned.step + 1
    return Known({}, {"name": cleaned.name}, step, is_live=False)


def look_up(run: RunFolder, label: str | None) -> Known:
    """What is known of a run that exists, all journals folded if their lock is to be had.

    Raises:
        StoreError: its database is damaged, or of a newer version.
    """
    with no_fork:
        import sqlite3

        from store.database import RunDatabase
        from store.fold import fold

    is_live = is_written(run)
    try:
        fold(run, timeout=RESUME_SECONDS)
    except (StoreLocked, sqlite3.OperationalError, OSError):
        if not run.database.exists():
            return NOTHING_KNOWN._replace(is_live=is_live)
    database = RunDatabase(run.database, write=False)
    try:
        config, attributes = (_settings(database.connection, t) for t in ("config", "attribute"))
        step = _next_step(database.connection, label, is_live)
    finally:
        database.close()
    return Known(config, attributes, step, is_live)


def _settings(connection: sqlite3.Connection, table: str) -> dict[str, Any]:
    return {
        key: from_json(text)
        for key, text in connection.execute(
            f"SELECT key, value FROM {table} WHERE value IS NOT NULL"
        )
    }


def _next_step(connection: sqlite3.Connection, label: str | None, is_live: bool) -> int:
    """Behind the greatest step of the same label; else, when nobody writes, of the run."""
    steps: Mapping[str | None, int] = dict(
        connection.execute("SELECT label, max(step) FROM source WHERE step NOT NULL GROUP BY label")
    )
    if label is not None and label in steps:
        return steps[label] + 1
    if is_live or not steps:
        return 0
    return max(steps.values()) + 1


def newest_unfinished(store: StoreFolder, entity: str, project: str) -> RunFolder | None:
    """For resume="auto": the project's newest run, if it did not finish and nobody writes it."""
    with no_fork:
        import sqlite3

        from store.database import RunDatabase

    newest: tuple[float, RunFolder] | None = None
    for run in store.runs(entity, project):
        made = run.journals.stat().st_ctime if run.journals.is_dir() else 0.0
        if newest is None or made > newest[0]:
            newest = made, run
    if newest is None:
        return None
    run = newest[1]
    try:
        known = look_up(run, None)
        if known.is_live:
            return None
        database = RunDatabase(run.database, write=False)
        try:
            sources = [s for s in database.sources() if s.parent is None]
        finally:
            database.close()
    except (StoreError, OSError, sqlite3.Error):
        return None
    last = max(sources, key=lambda source: source.opened or 0.0, default=None)
    return run if last is not None and last.state != "finished" else None
