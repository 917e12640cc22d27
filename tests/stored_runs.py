"""Runs as they lie on disk, made without a training process: for the tests of reading."""

from __future__ import annotations

from typing import Any

from store.catalogue import Catalogue
from store.database import RunDatabase
from store.journal import create_journal
from store.outline import RunLine
from store.paths import RunFolder
from store.row import Kind, Row, pack_row

BEGAN = 1_700_000_000.0
Said = tuple[int, int, dict[str, Any]]
"""(kind, step, data) of a row."""


def metric(step: int, values: dict[str, Any]) -> Said:
    return (Kind.METRIC, step, values)


def metrics_row(number: int, step: int, **values: float) -> Row:
    return Row(number, int(Kind.METRIC), step, BEGAN + number, dict(values))


def rows_of(
    *said: Said, state: str | None = "finished", at: float = BEGAN, label: str | None = None
) -> list[Row]:
    """The rows of one writer, with OPEN and END; row n at n seconds after `at`."""
    opening = {"host": "node", "pid": 7, "label": label, "parent": None}
    rows: list[Said] = [(Kind.OPEN, 0, opening), *said]
    if state is not None:
        rows.append((Kind.END, 0, {"state": state, "exit_code": 0}))
    return [Row(n, int(kind), step, at + n, data) for n, (kind, step, data) in enumerate(rows, 1)]


def only_line(catalogue: Catalogue) -> RunLine:
    """The one line of a catalogue, once it is up to date."""
    assert catalogue.refresh() == []
    (line,) = catalogue.lines()
    return line


def absorb(run: RunFolder, rows: list[Row], uuid: str = "a" * 32) -> RunFolder:
    """Put rows into the run's database."""
    run.path.mkdir(parents=True, exist_ok=True)
    database = RunDatabase(run.database)
    database.absorb(uuid, rows)
    database.close()
    return run


def leave_journal(run: RunFolder, rows: list[Row], uuid: str = "b" * 32) -> None:
    """Put rows into a journal without an owner, to be folded by whoever reads."""
    run.journals.mkdir(parents=True, exist_ok=True)
    journal = create_journal(run.journal(uuid, 1), "write")
    for row in rows:
        journal.append(pack_row(*row))
    journal.close(trim=True)
