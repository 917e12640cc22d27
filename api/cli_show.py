"""`store show RUN`: everything about one run, for people or as one JSON object."""

from __future__ import annotations

import json
import math
import os
import shlex
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

import click

from store.api.cleaned import CleanedRun, describe_cleaned, find_cleaned, print_cleaned
from store.api.cli_runs import Run
from store.api.origin import SHORT, command_text, git_text, machine_text
from store.api.output import OutputFormat, output_options, write_rows
from store.api.shell import (
    RUN,
    STATE_COLORS,
    example,
    find_runs,
    folder_of,
    has_color,
    moment,
    open_store,
    paint,
    plural,
    printed,
    say,
)
from store.api.text import cut_text, flat, format_age, format_number, format_size, json_value
from store.counts import RunStatus, read_status
from store.errors import RunNotFound, UsageError
from store.jsontext import from_json
from store.outline import MetricKey, RunLine, WriterLine, flatten
from store.query import StoredRun
from store.row import SYSTEM

if TYPE_CHECKING:
    from store.query import Store, StoredFile

CHART_HEIGHT: Final = 16
HIDDEN: Final = frozenset(
    {"name", "group", "job_type", "tags", "notes", "git", "command", "machine", "packages"}
)
"""Attributes that have a line of their own."""


@click.command(epilog=example("how the loss of a run went", "store show coral-quail-1 --plot loss"))
@click.argument("run", type=RUN, metavar="RUN")
@click.option(
    "--plot", "plots", multiple=True, metavar="KEY", help="Draw this metric. May be repeated."
)
@click.option("--log", "log_y", is_flag=True, help="Draw with a logarithmic y axis.")
@click.option("--history", is_flag=True, help="Write the logged rows, a line per step and writer.")
@output_options
def show(
    run: str, plots: tuple[str, ...], log_y: bool, history: bool, output: OutputFormat
) -> None:
    """Show everything about a run.

    RUN is its id, name or path, or the beginning of its id or name.
    """
    if history and plots:
        raise click.UsageError("--history and --plot cannot be used together")
    if not history and output.kind in ("csv", "tsv", "table"):
        raise click.UsageError("a run is no table: use --json, or --history for its rows")
    with open_store() as store:
        try:
            (line,) = find_runs(store, (run,))
        except RunNotFound as error:
            cleaned = None if error.candidates else find_cleaned(store.folder, run)
            if cleaned is None:
                raise
            _show_cleaned(cleaned, output, wants_rows=history or bool(plots))
            return
        found = StoredRun(store, line)
        if history:
            _write_history(found, output)
        elif output.kind in ("json", "nl"):
            _print_json(describe(Facts(store, line)), output)
        elif plots:
            _plot(found, plots, log_y)
        else:
            _print_run(Facts(store, line))


def _show_cleaned(run: CleanedRun, output: OutputFormat, *, wants_rows: bool) -> None:
    if wants_rows:
        raise UsageError(f"the rows of {run.note.name} were cleaned", hint=f"`{run.way_back}`")
    if output.kind in ("json", "nl"):
        _print_json(describe_cleaned(run), output)
    else:
        print_cleaned(run)


def _print_json(facts: dict[str, Any], output: OutputFormat) -> None:
    indent = 2 if output.kind == "json" else None
    text = json.dumps(json_value(facts), ensure_ascii=False, indent=indent, allow_nan=False)
    printed(text)


# -- rows and charts ---------------------------------------------------------------------------


def _write_history(run: StoredRun, output: OutputFormat) -> None:
    rows = run.history()
    first = ["_step", "_time", "_writer"]
    keys = list(dict.fromkeys(key for row in rows for key in row if key not in first))
    columns = [*first, *keys]
    write_rows(columns, ([row.get(column) for column in columns] for row in rows), output)


def _plot(run: StoredRun, keys: Sequence[str], log_y: bool) -> None:
    from store.api.chart import line_chart, supports_braille

    known = run.keys()
    for key in keys:
        if key not in known:
            from difflib import get_close_matches

            close = get_close_matches(key, known, n=3) or known[:5]
            raise UsageError(
                f"the run has no metric {key!r}",
                hint=f"it has {', '.join(close)}" if close else "it has none at all",
            )
    width = click_width()
    for index, key in enumerate(keys):
        series = run.series(key)
        lines = line_chart(
            [(key, series.x, series.values)],
            width=width,
            height=CHART_HEIGHT,
            title=f"{key}  {run.name}",
            x_label=series.x_name,
            log_y=log_y,
            ascii_only=not supports_braille(sys.stdout),
            color=has_color(),
        )
        printed("\n".join([*([""] if index else []), *lines]))


def click_width() -> int:
    """Columns of the terminal (80 where there is none)."""
    import shutil

    return max(20, shutil.get_terminal_size().columns)


# -- for programs ------------------------------------------------------------------------------


class Facts:
    """What is known of a run at one moment: a refresh for each part could wait for each."""

    def __init__(self, store: Store, line: RunLine) -> None:
        self.line = line
        self.folder = folder_of(store, line)
        self.status = read_status(self.folder, line)
        self.metrics = {metric.key: metric for metric in store.catalogue.metric_keys(line)}
        self.writers = store.catalogue.writers(line.n)
        self.summary = Run(line).summary
        self.attributes: dict[str, Any] = from_json(line.attributes)
        self.files = StoredRun(store, line).files() if line.has_files else []


def describe(run: Facts) -> dict[str, Any]:
    """All facts about a run under names that stay; times in ISO 8601, UTC."""
    line, status = run.line, run.status
    return {
        **{name: getattr(line, name) for name in ("name", "id", "entity", "project", "path")},
        "state": line.state,
        "error": line.error,
        **{name: moment(getattr(line, name)) for name in ("created", "updated", "ended")},
        "folder": os.fspath(run.folder.path),
        "host": line.host,
        **{name: getattr(line, name) for name in ("rows", "steps", "points", "size", "stubs")},
        "group": line.group,
        "job_type": line.job_type,
        "tags": from_json(line.tags),
        "notes": line.notes,
        "config": from_json(line.config),
        "summary": run.summary,
        "metrics": {
            metric.key: {"min": metric.least, "max": metric.greatest, "points": metric.points}
            for metric in run.metrics.values()
        },
        "attributes": run.attributes,
        "writers": [
            {**writer._asdict(), "opened": moment(writer.opened), "latest": moment(writer.latest)}
            for writer in run.writers
        ],
        "files": [
            {"name": file.name, "size": file.size, "sha256": file.sha256} for file in run.files
        ],
        "refused": from_json(line.refused),
        "waiting": status.journal_rows,
        "at_risk": status.at_risk,
        "dropped": status.dropped,
        "trouble": list(status.trouble),
    }


# -- for people --------------------------------------------------------------------------------


def _print_run(run: Facts) -> None:
    line = run.line
    printed(f"{paint(line.name, bold=True)}  {paint(line.state, STATE_COLORS.get(line.state))}")
    printed(paint(line.path, dim=True))
    printed("")
    _print_pairs(_facts(run))
    _print_section("Config", _config_lines(line))
    _print_section("Summary", _summary_lines(run))
    _print_section("Writers", _writer_lines(run.writers))
    _print_section("Files", _file_lines(run.files))
    others = {k: v for k, v in run.attributes.items() if k not in HIDDEN}
    _print_section("Attributes", [(key, _short(value)) for key, value in sorted(others.items())])
    system = {key: run.metrics[key] for key in sorted(run.metrics) if key.startswith(SYSTEM)}
    _print_section("System", [(key, *_spread(metric)) for key, metric in system.items()])
    drawn = [key for key in run.metrics if run.metrics[key].points > 1 and key not in system]
    if drawn and sys.stdout.isatty():
        key = next((key for key in drawn if "loss" in key), drawn[0])
        printed("")
        say(f"`store show {shlex.quote(line.id)} --plot {shlex.quote(key)}` draws a metric")


def _print_pairs(pairs: Iterable[tuple[str, str]]) -> None:
    listed = [(visible_key, value) for visible_key, value in pairs if value]
    width = max((len(key) for key, _ in listed), default=0)
    for key, value in listed:
        printed(f"  {paint(key.ljust(width), dim=True)}  {paint(value)}")


def _print_section(title: str, lines: Iterable[tuple[str, ...]]) -> None:
    """A heading and lines whose cells stand below one another; nothing where there are none."""
    rows = [[paint_free(cell) for cell in line] for line in lines]
    if not rows:
        return
    printed("")
    printed(paint(title, bold=True))
    count = max(map(len, rows))
    widths = [max((len(row[i]) for row in rows if i < len(row)), default=0) for i in range(count)]
    widths[0] = min(widths[0], 40)
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        printed("  " + "  ".join(cells).rstrip())


def paint_free(text: str) -> str:
    """A cell: harmless, and not longer than a line can show."""
    from store.api.shell import visible

    return cut_text(visible(text), 160)


def _facts(run: Facts) -> Iterator[tuple[str, str]]:
    line = run.line
    if line.error:
        yield "damaged", line.error
    yield "started", _when(line.created)
    if line.created is not None and line.updated is not None:
        word = "last row" if line.state == "running" else "ended"
        took = max(0.0, line.updated - line.created)
        shown = f"{took:.2g} s" if took < 10 else format_age(took)
        yield word, f"{_when(line.updated)}, after {shown}"
    steps = "" if line.steps is None else f", last step {line.steps:,}"
    yield "rows", f"{line.rows:,} ({plural(line.points, 'value')}{steps})"
    yield "size", format_size(line.size)
    yield "folder", os.fspath(run.folder.path)
    yield "group", line.group or ""
    yield "job type", line.job_type or ""
    yield "tags", ", ".join(from_json(line.tags))
    yield "notes", line.notes or ""
    attributes = run.attributes
    yield "command", command_text(attributes.get("command"))
    yield "git", git_text(attributes.get("git"))
    yield "machine", machine_text(attributes.get("machine"))
    yield from _troubles(line, run.status)


def _troubles(line: RunLine, status: RunStatus) -> Iterator[tuple[str, str]]:
    refused = from_json(line.refused)
    yield "refused", ", ".join(f"{count:,} x {reason}" for reason, count in refused.items())
    if line.stubs:
        yield "set aside", f"{plural(line.stubs, 'row')} that could not be kept"
    if status.journal_rows:
        yield "waiting", f"{plural(status.journal_rows, 'row')} in journals, not folded yet"
    if status.at_risk:
        yield "at risk", f"{plural(status.at_risk, 'row')} in the memory of writers: disk full?"
    if status.dropped:
        yield "lost", f"{plural(status.dropped, 'row')} that found no room"
    yield "trouble", "; ".join(status.trouble)


def _when(seconds: float | None) -> str:
    if seconds is None:
        return ""
    try:
        text = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
    except (ValueError, OverflowError, OSError):
        return str(seconds)
    return f"{text} ({format_age(time.time() - seconds)} ago)"


def _config_lines(line: RunLine) -> Iterator[tuple[str, ...]]:
    for key, value, kind in flatten(from_json(line.config)):
        yield key, _short(bool(value) if kind == "bool" else value)


def _summary_lines(run: Facts) -> Iterator[tuple[str, ...]]:
    for key, value in run.summary.items():
        yield key, _short(value), *_spread(run.metrics.get(key))


def _spread(metric: MetricKey | None) -> Iterator[str]:
    if metric is not None and metric.points > 1:
        yield f"min {_short(metric.least)}"
        yield f"max {_short(metric.greatest)}"
        yield plural(metric.points, "value")


def _short(value: object) -> str:
    if isinstance(value, float) and math.isnan(value):
        return "NaN"
    if isinstance(value, bool | int | float):
        return format_number(value)
    return "" if value is None else str(flat(value))


def _writer_lines(writers: Sequence[WriterLine]) -> Iterator[tuple[str, ...]]:
    for writer in writers:
        step = "" if writer.step is None else f"last step {writer.step:,}"
        exit_code = f"exit code {writer.exit_code}" if writer.exit_code else ""
        place = f"{writer.host}:{writer.pid}" if writer.label else ""
        state = (
            f"{writer.state}, lives"
            if writer.alive and writer.state != "running"
            else (writer.state)
        )
        name = writer.writer or writer.uuid[:SHORT]
        yield name, state, plural(writer.rows, "row"), step, place, exit_code


def _file_lines(files: Sequence[StoredFile]) -> Iterator[tuple[str, ...]]:
    for file in files:
        missing = "" if file.path is not None and file.path.exists() else "not here"
        size = "" if file.size is None else format_size(file.size)
        yield file.name, size, (file.sha256 or "")[:SHORT], missing
