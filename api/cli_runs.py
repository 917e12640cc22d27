"""`store ls`: the runs, one a line.

A table shows what people look for; JSON, CSV and TSV carry the raw facts under names that stay.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

import click

from store.api.output import OutputFormat, format_age, format_size, output_options, write_rows
from store.api.shell import example, moment, open_store, plural, say
from store.cleaned import cleaned_runs
from store.errors import UsageError
from store.jsontext import from_json
from store.outline import RunLine, flatten

if TYPE_CHECKING:
    from store.query import Store

STATES: Final = ("running", "finished", "failed", "killed", "crashed", "damaged")

FACTS: Final[dict[str, Callable[[RunLine], Any]]] = {
    "name": lambda line: line.name,
    "id": lambda line: line.id,
    "entity": lambda line: line.entity,
    "project": lambda line: line.project,
    "path": lambda line: line.path,
    "state": lambda line: line.state,
    "created": lambda line: moment(line.created),
    "updated": lambda line: moment(line.updated),
    "ended": lambda line: moment(line.ended),
    "duration": lambda line: _difference(line.updated, line.created),
    "rows": lambda line: line.rows,
    "steps": lambda line: line.steps,
    "points": lambda line: line.points,
    "size": lambda line: line.size,
    "writers": lambda line: line.writers,
    "host": lambda line: line.host,
    "group": lambda line: line.group,
    "job_type": lambda line: line.job_type,
    "tags": lambda line: from_json(line.tags),
    "notes": lambda line: line.notes,
    "commit": lambda line: line.commit,
    "command": lambda line: line.command,
    "error": lambda line: line.error,
}
"""What is known of every run, by the names of columns."""


def _difference(later: float | None, earlier: float | None) -> float | None:
    return None if later is None or earlier is None else later - earlier


class Run:
    """A line of the catalogue whose summary and config are read when they are asked for."""

    def __init__(self, line: RunLine) -> None:
        self.line = line
        self._summary: dict[str, Any] | None = None
        self._config: dict[str, Any] | None = None

    @property
    def summary(self) -> dict[str, Any]:
        if self._summary is None:
            values: dict[str, Any] = from_json(self.line.summary)
            self._summary = values | dict.fromkeys(from_json(self.line.nan), math.nan)
        return self._summary

    @property
    def config(self) -> dict[str, Any]:
        """Nested keys are joined by dots, and lists are JSON, as in the view `config`."""
        if self._config is None:
            self._config = {
                key: bool(value) if kind == "bool" else value
                for key, value, kind in flatten(from_json(self.line.config))
            }
        return self._config

    def value(self, column: str) -> Any:
        """A fact, a key of the summary, or one of the config; None where there is none."""
        if column == "age":
            return None if self.line.created is None else -self.line.created
        if column in FACTS:
            return FACTS[column](self.line)
        place, _, key = column.partition(".")
        if place in ("summary", "config") and key:
            return (self.summary if place == "summary" else self.config).get(key)
        return self.summary.get(column, self.config.get(column))


@click.command(
    epilog=example(
        "the three best runs, with their learning rates",
        "store ls --filter \"summary->>'loss' < 0.5\" --sort loss -c loss -c lr -n 3",
    )
)
@click.option("-p", "--project", help="Only runs of this project.")
@click.option("-e", "--entity", help="Only runs of this entity.")
@click.option(
    "-s",
    "--state",
    "states",
    multiple=True,
    type=click.Choice(STATES),
    help="Only runs in this state. May be repeated.",
)
@click.option("--tag", "tags", multiple=True, help="Only runs with this tag. May be repeated.")
@click.option(
    "--filter",
    "condition",
    metavar="SQL",
    help="Only runs for which this is true, over the columns of the view runs.",
)
@click.option(
    "--sort",
    metavar="COLUMN",
    help="Sort by a column or key; -COLUMN sorts down. Default: the newest first.",
)
@click.option(
    "-c",
    "--column",
    "columns",
    multiple=True,
    metavar="KEY",
    help="Show this key of the summary or the config too. May be repeated.",
)
@click.option("-n", "--limit", type=click.IntRange(min=0), help="Show at most this many runs.")
@output_options
def ls(
    project: str | None,
    entity: str | None,
    states: tuple[str, ...],
    tags: tuple[str, ...],
    condition: str | None,
    sort: str | None,
    columns: tuple[str, ...],
    limit: int | None,
    output: OutputFormat,
) -> None:
    """List the runs.

    A KEY or COLUMN is a key of the summary, else of the config (model.depth for nested ones), or
    a fact such as host, tags, steps or duration; summary.KEY and config.KEY say which is meant.
    """
    with open_store() as store:
        store.refresh()
        every = [Run(line) for line in store.catalogue.lines()]
        wanted = None if condition is None else _matching(store, condition)
        where = store.folder
    runs = [
        run
        for run in every
        if (project is None or run.line.project == project)
        and (entity is None or run.line.entity == entity)
        and (not states or run.line.state in states)
        and (not tags or set(tags) <= set(from_json(run.line.tags)))
        and (wanted is None or run.line.path in wanted)
    ]
    _check_columns([*columns, *([sort.removeprefix("-")] if sort else ())], every)
    if sort is not None:
        runs = sort_runs(runs, sort)
    chosen = runs[:limit]
    write_listing(chosen, columns, output)
    removed = sum(1 for _ in cleaned_runs(where))
    if removed:
        say(f"{plural(removed, 'run')} cleaned: `store pull` brings them back")
    if not every and not removed:
        say(f"no runs in {where.path} yet")
    elif every and not runs:
        say(f"none of {plural(len(every), 'run')} matches")


def _matching(store: Store, condition: str) -> set[str]:
    """The paths of the runs for which a condition holds."""
    try:
        # The line break ends a comment in the condition.
        result = store.sql(f"SELECT path FROM runs WHERE ({condition}\n)")
    except UsageError as error:
        hint = (
            "columns: name, id, project, entity, state, created, updated, ended, duration, host,"
            " group, job_type, tags, notes, git_commit, command, rows, steps, size;"
            " config->>'KEY', summary->>'KEY'"
        )
        raise UsageError(f"--filter: {error.message}", hint=hint) from error
    return {path for (path,) in result.rows}


def _check_columns(columns: Iterable[str], runs: Sequence[Run]) -> None:
    """Say which keys no run has, and what may have been meant."""
    for column in columns:
        if column in FACTS or column == "age" or not runs:
            continue
        if any(run.value(column) is not None for run in runs):
            continue
        from difflib import get_close_matches

        known = {key for run in runs for key in (*run.summary, *run.config)} | set(FACTS)
        if column in known or column.partition(".")[2] in known:
            continue
        close = get_close_matches(column, known, n=1)
        say(f"note: no run has {column!r}" + (f"; did you mean {close[0]}?" if close else ""))


def sort_runs(runs: Sequence[Run], sort: str) -> list[Run]:
    """By a column: numbers, then texts; runs without a value come last, whatever the direction."""
    down = sort.startswith("-")
    column = sort.removeprefix("-")
    keyed: list[tuple[tuple[bool, Any], Run]] = []
    without: list[Run] = []
    for run in runs:
        value = run.value(column)
        if column == "age" and value is not None:
            value += time.time()
        if value is None or (isinstance(value, float) and math.isnan(value)):
            without.append(run)
        elif isinstance(value, bool | int | float):
            keyed.append(((False, value), run))
        else:
            keyed.append(((True, str(value)), run))
    keyed.sort(key=lambda pair: pair[0], reverse=down)
    return [run for _, run in keyed] + without


def write_listing(runs: Sequence[Run], columns: Sequence[str], output: OutputFormat) -> None:
    """Write runs as a table for people, or as records for programs."""
    if output.kind in ("auto", "table"):
        _write_table(runs, columns, output)
        return
    facts = [*FACTS, *(["config", "summary"] if output.kind in ("json", "nl") else [])]
    names = [*facts, *(column for column in dict.fromkeys(columns) if column not in facts)]
    write_rows(names, ([_record(run, name) for name in names] for run in runs), output)


def _record(run: Run, name: str) -> Any:
    if name == "config":
        return from_json(run.line.config)
    return run.summary if name == "summary" else run.value(name)


def _write_table(runs: Sequence[Run], columns: Sequence[str], output: OutputFormat) -> None:
    shown = ["name", "id", "project", "state", "age", "rows", "size"]
    if any(run.line.entity != "local" for run in runs):
        shown.insert(2, "entity")
    shown += [column for column in dict.fromkeys(columns) if column not in shown]
    now = time.time()
    if runs or output.kind == "table":
        write_rows(shown, ([_cell(run, name, now) for name in shown] for run in runs), output)


def _cell(run: Run, column: str, now: float) -> Any:
    line = run.line
    if column == "age":
        return None if line.created is None else format_age(now - line.created)
    if column == "size":
        return format_size(line.size)
    if column == "tags":
        return ", ".join(from_json(line.tags))
    return run.value(column)
