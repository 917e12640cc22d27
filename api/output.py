"""How rows become text: the one way out of every listing command.

A listing makes `columns` (names) and `rows` (sequences of as many values) and calls `write_rows`
with the `OutputFormat` that `output_options` made of the command line.

* JSON, JSON lines, CSV and TSV carry values untouched, row by row; a table holds all its rows.
* Table cells carry no control characters: names are other people's text, `visible` escapes them.
* Text is valid UTF-8 (lone surrogates become U+FFFD); what another encoding lacks is escaped.
* A reader that went away (`| head`) is no error: `write_rows` returns the rows written so far.
  For its other prints, `main()` catches BrokenPipeError, calls `discard_closed_pipe()` and exits
  with 0 (click alone would exit with 1).

click, rich, tabulate and what `write_file` needs are imported where they are used.
"""

from __future__ import annotations

import codecs
import csv
import errno
import functools
import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from numbers import Real
from pathlib import Path
from typing import Any, Final, Literal, TextIO, TypeVar

from store.api.text import (
    cut_text,
    flat,
    format_age,
    format_number,
    format_size,
    json_value,
    text_width,
    unique_names,
    utf8,
    visible,
)

__all__ = [
    "OutputFormat",
    "discard_closed_pipe",
    "format_age",
    "format_number",
    "format_size",
    "output_options",
    "visible",
    "write_file",
    "write_rows",
]

_R = TypeVar("_R")

Kind = Literal["auto", "json", "nl", "csv", "tsv", "table"]

_PIECE: Final = 8192  # characters of a plain table that are written at once
_MIN_COLUMN: Final = 10  # cells; a text column of a terminal table is not cut below this


@dataclass(frozen=True, slots=True)
class OutputFormat:
    """What was asked for: `kind`, the tabulate format of a table, whether to print headers."""

    kind: Kind = "auto"
    fmt: str = "simple"
    headers: bool = True


# --------------------------------------------------------------------------- command line


def output_options(command: Callable[..., _R]) -> Callable[..., _R]:
    """Add the output options to a click command, which receives them as `output: OutputFormat`."""
    import click

    @functools.wraps(command)
    def wrapper(*args: Any, **options: Any) -> _R:
        kinds: dict[Kind, str] = {"json": "--json", "nl": "--nl", "csv": "--csv", "tsv": "--tsv"}
        wanted: list[Kind] = [kind for kind in kinds if options.pop(f"output_{kind}")]
        headers = not options.pop("output_no_headers")
        table, fmt = options.pop("output_table"), options.pop("output_fmt")
        if table or fmt:
            wanted.append("table")
            kinds["table"] = "--fmt" if fmt else "--table"
        if len(wanted) > 1:
            names = " and ".join(kinds[kind] for kind in wanted)
            raise click.UsageError(f"{names} cannot be used together")
        output = OutputFormat(wanted[0] if wanted else "auto", fmt or "simple", headers)
        return command(*args, output=output, **options)

    formats = "Table format (github, grid, html, latex, rst... of tabulate); implies --table."
    flag = functools.partial(click.option, is_flag=True)
    options = (
        flag("--json", "output_json", help="Write a JSON array of objects."),
        flag("--nl", "output_nl", help="Write one JSON object a line."),
        flag("--csv", "output_csv", help="Write CSV."),
        flag("--tsv", "output_tsv", help="Write tab-separated values."),
        flag("-t", "--table", "output_table", help="Write a plain table, not cut to the terminal."),
        click.option("--fmt", "output_fmt", metavar="NAME", callback=_check_fmt, help=formats),
        flag("--no-headers", "output_no_headers", help="Leave out the column names."),
    )
    return functools.reduce(lambda inner, option: option(inner), reversed(options), wrapper)


def _check_fmt(_context: object, _parameter: object, value: str | None) -> str | None:
    import click

    if value is not None and value not in import_module("tabulate").tabulate_formats:
        some = "github, grid, html, latex, orgtbl, outline, pipe, plain, rst, simple, tsv"
        raise click.BadParameter(f"{value!r} is not a table format; some are {some}")
    return value


# --------------------------------------------------------------------------- rows to a stream


class _PipeClosed(BrokenPipeError):
    """The reader of the stream went away."""


class _Sink:
    """A text stream, what its encoding can take, and how many rows went into it."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.encoding = getattr(stream, "encoding", None) or "utf-8"
        self.unicode = codecs.lookup(self.encoding).name in {"utf-8", "utf-8-sig"}
        self.rows = 0

    def write(self, text: str) -> None:
        if not self.unicode and not text.isascii():
            text = text.encode(self.encoding, "backslashreplace").decode(self.encoding)
        self._guard(lambda: self.stream.write(text))

    def flush(self) -> None:
        self._guard(self.stream.flush)

    def _guard(self, action: Callable[[], object]) -> None:
        try:
            action()
        except OSError as error:
            # Windows reports a pipe without reader as EINVAL.
            if error.errno == errno.EPIPE or (os.name == "nt" and error.errno == errno.EINVAL):
                raise _PipeClosed(*error.args) from error
            raise


def discard_closed_pipe(stream: TextIO | None = None) -> None:
    """Let `stream` (stdout) write to nowhere, so that the flush at exit meets no closed pipe."""
    with suppress(OSError, ValueError):
        descriptor = (stream or sys.stdout).fileno()
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, descriptor)
        os.close(nowhere)


def write_rows(
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    output: OutputFormat,
    *,
    stream: TextIO | None = None,
) -> int:
    """Write `rows`, each as long as `columns`, to `stream` (stdout); returns how many were written.

    Without a format: a table cut to the terminal, or a plain one that is not cut where `stream` is
    no terminal. A name that comes twice gets `_2` in JSON. ValueError: a row of another length.
    """
    target = stream or sys.stdout
    sink = _Sink(target)
    try:
        _write(columns, rows, output, sink)
        sink.flush()
    except _PipeClosed:
        discard_closed_pipe(target)
    return sink.rows


def _write(
    columns: Sequence[str], rows: Iterable[Sequence[object]], output: OutputFormat, sink: _Sink
) -> None:
    if output.kind in {"json", "nl"}:
        _write_json(columns, rows, sink, lines=output.kind == "nl")
    elif output.kind in {"csv", "tsv"}:
        _write_csv(columns, rows, output, sink)
    elif output.kind == "auto" and sink.stream.isatty():
        _write_terminal(columns, rows, output, sink)
    else:
        _write_table(columns, rows, output, sink)


def _write_json(
    columns: Sequence[str], rows: Iterable[Sequence[object]], sink: _Sink, *, lines: bool
) -> None:
    names = unique_names(columns)
    before, between, after = ("", "", "\n") if lines else ("[", ",\n ", "")
    encode = json.JSONEncoder(ensure_ascii=not sink.unicode, allow_nan=False).encode
    for row in rows:
        text = encode({name: json_value(item) for name, item in zip(names, row, strict=True)})
        sink.write((between if sink.rows else before) + text + after)
        sink.rows += 1
    if not lines:
        sink.write("]\n" if sink.rows else "[]\n")


class _Lines:
    """Takes CSV rows that end in CR LF (so that every Python quotes a lone CR), ends them in LF."""

    def __init__(self, sink: _Sink) -> None:
        self.sink = sink

    def write(self, text: str) -> None:
        self.sink.write(text[:-2] + "\n")


def _write_csv(
    columns: Sequence[str], rows: Iterable[Sequence[object]], output: OutputFormat, sink: _Sink
) -> None:
    writer = csv.writer(_Lines(sink), "excel-tab" if output.kind == "tsv" else "excel")
    if output.headers:
        writer.writerow([utf8(column) for column in columns])
    for row in rows:
        writer.writerow([flat(item) for _, item in zip(columns, row, strict=True)])
        sink.rows += 1


def _cell(value: object, digits: int) -> str:
    if isinstance(value, (bytes, bytearray, memoryview)):
        return f"<{len(bytes(value))} bytes>"
    plain = flat(value)
    if isinstance(plain, float):
        return f"{plain:.{digits if abs(plain) < 1e5 else 12}g}"
    return "" if plain is None else visible(str(plain))


def _cells(
    columns: Sequence[str], rows: Iterable[Sequence[object]], digits: int
) -> tuple[list[list[str]], list[bool]]:
    """The cells as text, floats with `digits`, and which columns hold nothing but numbers."""
    cells: list[list[str]] = []
    other, number = [False] * len(columns), [False] * len(columns)
    for row in rows:
        for index, (_, item) in enumerate(zip(columns, row, strict=True)):
            if not isinstance(item, bool) and isinstance(item, Real):
                number[index] = True
            elif item is not None:
                other[index] = True
        cells.append([_cell(item, digits) for item in row])
    return cells, [yes and not no for yes, no in zip(number, other, strict=True)]


def _write_table(
    columns: Sequence[str], rows: Iterable[Sequence[object]], output: OutputFormat, sink: _Sink
) -> None:
    cells, numeric = _cells(columns, rows, 12)
    text: str = import_module("tabulate").tabulate(
        cells,
        headers=[visible(column) for column in columns] if output.headers else (),
        tablefmt=output.fmt,
        disable_numparse=True,
        colalign=["right" if yes else "left" for yes in numeric] if cells else None,
    )
    text += "\n" if text else ""
    # An unbuffered stdout takes a write that a closing pipe cut short for a complete one.
    for start in range(0, len(text), _PIECE):
        sink.write(text[start : start + _PIECE])
    sink.rows = len(cells)


# --------------------------------------------------------------------------- a terminal


def _write_terminal(
    columns: Sequence[str], rows: Iterable[Sequence[object]], output: OutputFormat, sink: _Sink
) -> None:
    from rich.console import Console
    from rich.text import Text

    cells, numeric = _cells(columns, rows, 6)
    heads = [visible(column) for column in columns]
    console = Console(file=sink.stream)
    widths = _fit(heads if output.headers else [], cells, numeric, console.width)
    dots, dash = ("…", "─") if sink.unicode else ("~", "-")

    def line(row: list[str]) -> str:
        parts = zip(row, widths, numeric, strict=False)
        return "  ".join(_padded(cell, width, dots, yes) for cell, width, yes in parts)

    if output.headers:
        with console.capture() as captured:
            console.print(Text(line(heads), "bold"), Text("\n"), sep="", end="", soft_wrap=True)
        sink.write(captured.get() + "  ".join(dash * width for width in widths) + "\n")
    for row in cells:
        sink.write(line(row).rstrip() + "\n")
        sink.rows += 1
    if len(widths) < len(heads):
        hidden = heads[len(widths) :]
        note = f"{len(hidden)} more: {', '.join(hidden)} (-t shows all)"
        sink.write(cut_text(note, console.width, dots) + "\n")


def _padded(text: str, width: int, dots: str, right: bool) -> str:
    text = cut_text(text, width, dots)
    space = " " * (width - text_width(text))
    return space + text if right else text + space


def _fit(heads: list[str], cells: list[list[str]], numeric: list[bool], width: int) -> list[int]:
    """Widths of as many columns as fit into `width`, two cells apart; the widest are cut first."""
    table = [heads, *cells] if heads else cells
    natural = [min(max(map(text_width, column)), width) or 1 for column in zip(*table, strict=True)]
    least = [
        size if number else min(size, _MIN_COLUMN)
        for size, number in zip(natural, numeric, strict=True)
    ]
    shown = 0
    while shown < len(least) and sum(least[: shown + 1]) + 2 * shown <= width:
        shown += 1
    widths = natural[: max(1, shown)]
    excess = sum(widths) + 2 * (len(widths) - 1) - width
    while excess > 0:
        spare = [size - floor for size, floor in zip(widths, least, strict=False)]
        widest = max(range(len(widths)), key=lambda index: (spare[index] > 0, widths[index]))
        widths[widest] -= 1
        excess -= 1
    return widths


def write_file(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> int:
    """Write `rows` to `path` in the format of its extension; see `store.api.export`."""
    from store.api.export import write_file as write

    return write(path, columns, rows)
