"""`store sql`: one SELECT over all runs, from the command line, from stdin, or at a prompt."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from store.api.output import OutputFormat, output_options, write_file, write_rows
from store.api.shell import example, open_store, plural, say

if TYPE_CHECKING:
    from store.query import Store


@click.command(
    epilog=example(
        "the lowest loss of each run",
        'store sql "select run, min(value) from metrics where key = :key group by run" -p key loss',
    )
)
@click.argument("query", required=False)
@click.option(
    "-p",
    "--param",
    "params",
    nargs=2,
    multiple=True,
    metavar="NAME VALUE",
    help="A value for :NAME; one that reads as a number is one. May be repeated.",
)
@click.option(
    "-o",
    "--output",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write to a .csv, .tsv, .json, .nl, .db or .parquet file.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="Give the query up after so long.",
)
@output_options
def sql(
    query: str | None,
    params: tuple[tuple[str, str], ...],
    file: Path | None,
    timeout: float | None,
    output: OutputFormat,
) -> None:
    """Ask all runs with SQL, live ones included.

    The views are runs, config, summary, metrics, console, events, writers and files; without
    QUERY a prompt begins, where .schema lists their columns. Only reading is possible. QUERY is
    read from stdin where that is no terminal.
    """
    values = {name: number_or_text(value) for name, value in params}
    if query == "-" or (query is None and not sys.stdin.isatty()):
        text = sys.stdin.read()
        if not text.strip():
            raise click.UsageError("there is no query: give one, or write it to stdin")
        query = text
    with open_store() as store:
        if query is None:
            from store.api.sql_prompt import prompt

            if file is not None:
                raise click.UsageError("--output needs a query")
            prompt(store, values, output, timeout)
        else:
            answer(store, query, values, output, file=file, timeout=timeout)


def answer(
    store: Store,
    query: str,
    values: dict[str, Any],
    output: OutputFormat,
    *,
    file: Path | None = None,
    timeout: float | None = None,
) -> None:
    """Write what a query gives to stdout, or to a file."""
    result = store.sql(query, values, timeout=timeout)
    if file is None:
        write_rows(result.columns, result.rows, output)
    else:
        count = write_file(file, result.columns, result.rows)
        say(f"{plural(count, 'row')} written to {file}")


def number_or_text(text: str) -> int | float | str:
    """What a parameter means: an integer or a float where it reads as one, else the text."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
