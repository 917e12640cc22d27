"""Rows as text and as files."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from store.api.output import (
    OutputFormat,
    format_age,
    format_number,
    format_size,
    output_options,
    visible,
    write_file,
    write_rows,
)
from store.errors import UsageError

HOSTILE = "evil\x1b[2J\r\n\u202egpj\x9b31m"


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def written(columns: list[str], rows: list[list[Any]], output: OutputFormat) -> str:
    stream = io.StringIO()
    assert write_rows(columns, iter(rows), output, stream=stream) == len(rows)
    return stream.getvalue()


def on_terminal(
    monkeypatch: pytest.MonkeyPatch, width: int, columns: list[str], rows: list[list[Any]]
) -> str:
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", str(width))
    stream = Terminal()
    assert write_rows(columns, rows, OutputFormat(), stream=stream) == len(rows)
    return stream.getvalue()


@click.command()
@click.option("--limit", default=3)
@output_options
def listing(limit: int, output: OutputFormat) -> None:
    click.echo(f"{limit} {output.kind} {output.fmt} {output.headers}")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "3 auto simple True"),
        (["--json"], "3 json simple True"),
        (["--nl"], "3 nl simple True"),
        (["--csv", "--no-headers"], "3 csv simple False"),
        (["--tsv"], "3 tsv simple True"),
        (["-t"], "3 table simple True"),
        (["--table", "--fmt", "github", "--limit", "5"], "5 table github True"),
        (["--fmt", "grid"], "3 table grid True"),
    ],
)
def test_the_options_become_one_output_format(arguments: list[str], expected: str) -> None:
    result = CliRunner().invoke(listing, arguments)
    assert (result.exit_code, result.output.strip()) == (0, expected)


@pytest.mark.parametrize(
    "arguments", [["--json", "--csv"], ["--nl", "-t"], ["--tsv", "--fmt", "grid"]]
)
def test_two_formats_are_a_usage_error(arguments: list[str]) -> None:
    result = CliRunner().invoke(listing, arguments)
    assert result.exit_code == 2
    assert "cannot be used together" in result.output


def test_an_unknown_table_format_is_a_usage_error_that_names_some() -> None:
    result = CliRunner().invoke(listing, ["--fmt", "nonesuch"])
    assert result.exit_code == 2
    assert "nonesuch" in result.output
    assert "github" in result.output


def test_json_is_strict_and_keeps_nesting() -> None:
    row = [
        math.nan,
        math.inf,
        -math.inf,
        b"\x00\xff",
        Path("a/b"),
        datetime(2026, 1, 2, tzinfo=UTC),
        {"lr": [1, math.nan, {"x": math.inf}]},
        "high \ud800 and é",
        2**62,
        None,
        True,
    ]
    text = written([f"c{index}" for index in range(len(row))], [row], OutputFormat("json"))
    text.encode()
    assert list(json.loads(text, parse_constant=pytest.fail)[0].values()) == [
        None,
        "Infinity",
        "-Infinity",
        {"$base64": True, "encoded": "AP8="},
        str(Path("a/b")),
        "2026-01-02T00:00:00+00:00",
        {"lr": [1, None, {"x": "Infinity"}]},
        "high \ufffd and é",
        2**62,
        None,
        True,
    ]


def test_numpy_values_are_numbers_in_json() -> None:
    numpy = pytest.importorskip("numpy", reason="not run: numpy is missing")
    text = written(["a", "b"], [[numpy.int64(3), numpy.float32(0.5)]], OutputFormat("nl"))
    assert text == '{"a": 3, "b": 0.5}\n'


def test_json_without_rows_is_an_empty_array_and_nl_is_nothing() -> None:
    assert written(["a"], [], OutputFormat("json")) == "[]\n"
    assert written(["a"], [], OutputFormat("nl")) == ""


def test_a_name_that_comes_twice_loses_no_value_in_json() -> None:
    text = written(["a", "a", "A", "a_2"], [[1, 2, 3, 4]], OutputFormat("json"))
    assert json.loads(text) == [{"a": 1, "a_2": 2, "A": 3, "a_2_2": 4}]


def test_csv_reads_back_what_was_written() -> None:
    cells = ['say "hi"', "a,b", "line\nbreak", "lone\rreturn", HOSTILE, ""]
    text = written([*"abcdef"], [cells], OutputFormat("csv"))
    assert list(csv.reader(io.StringIO(text, newline=""))) == [[*"abcdef"], cells]
    assert text.startswith("a,b,c,d,e,f\n")


def test_csv_cells_hold_compact_json_for_nested_values() -> None:
    text = written(["a", "b", "c"], [[{"x": [1, math.nan]}, True, None]], OutputFormat("csv"))
    assert list(csv.reader(io.StringIO(text)))[1] == ['{"x":[1,null]}', "true", ""]


def test_tsv_without_headers() -> None:
    output = OutputFormat("tsv", headers=False)
    assert written(["a", "b"], [[1, "x"], [2.5, "y"]], output) == "1\tx\n2.5\ty\n"


@pytest.mark.parametrize("kind", ["nl", "csv"])
def test_rows_are_streamed(kind: Any) -> None:
    """The stream holds the row before the next one is asked for."""
    stream = io.StringIO()

    def rows() -> Iterator[list[int]]:
        for number in range(100):
            yield [number]
            assert str(number) in stream.getvalue().splitlines()[-1]

    assert write_rows(["n"], rows(), OutputFormat(kind), stream=stream) == 100


def test_a_row_of_another_length_is_refused() -> None:
    for kind in ("json", "csv", "table"):
        with pytest.raises(ValueError, match="shorter"):
            write_rows(["a", "b"], [[1]], OutputFormat(kind), stream=io.StringIO())


def test_a_table_keeps_ids_that_look_like_numbers_and_aligns_numbers() -> None:
    rows = [["12e5", 5, 0.1 + 0.2], ["007", 1234, 2.0]]
    assert written(["id", "steps", "loss"], rows, OutputFormat()).splitlines() == [
        "id      steps    loss",
        "----  -------  ------",
        "12e5        5     0.3",
        "007      1234       2",
    ]


def test_a_plain_table_is_not_cut_and_prints_headers_without_rows() -> None:
    assert "x" * 500 in written(["a"], [["x" * 500]], OutputFormat("table"))
    assert written(["run", "loss"], [], OutputFormat()).split()[:2] == ["run", "loss"]
    assert written(["run"], [], OutputFormat(headers=False)) == ""


def test_a_tabulate_format_is_used() -> None:
    text = written(["a"], [["x"]], OutputFormat("table", fmt="github"))
    assert text.splitlines() == ["| a   |", "|-----|", "| x   |"]


@pytest.mark.parametrize("terminal", [False, True])
def test_hostile_names_cannot_move_the_cursor(
    monkeypatch: pytest.MonkeyPatch, terminal: bool
) -> None:
    names = [HOSTILE, "col\x1b]0;title\x07"]
    rows = [[HOSTILE, {"nested": HOSTILE}]]
    if terminal:
        monkeypatch.setenv("NO_COLOR", "1")
        monkeypatch.setenv("TERM", "dumb")
        monkeypatch.setenv("COLUMNS", "200")
        stream = Terminal()
        write_rows(names, rows, OutputFormat(), stream=stream)
        text = stream.getvalue()
    else:
        text = written(names, rows, OutputFormat())
    assert not set(text) & {"\x1b", "\r", "\x07", "\x9b", "\u202e"}
    assert "evil\\x1b[2J\\r\\n\\u202egpj\\x9b31m" in text
    assert text.count("\n") == 3


def test_visible_leaves_ordinary_text_alone() -> None:
    for text in ("plain", "C:\\runs", "größe 損失 👩\u200d🔬", ""):
        assert visible(text) == text
    assert visible("a\tb\u2066c\ud800\U000e0041") == "a\\tb\\u2066c\ufffd\\U000e0041"


def test_a_terminal_table_is_cut_to_the_width(monkeypatch: pytest.MonkeyPatch) -> None:
    columns = ["run", "note", "loss"]
    rows = [["calm-otter", "word " * 60, 0.123456789], ["損失" * 30, "", 1234567.891]]
    lines = on_terminal(monkeypatch, 60, columns, rows).splitlines()
    assert lines[0].startswith("\x1b[1mrun")
    assert lines[2].startswith("calm-otter")
    assert lines[2].endswith("0.123457")
    assert "…" in lines[2]
    assert lines[3].endswith("1234567.891")
    assert len(lines[1]) == len(lines[2]) == 60


def test_columns_that_do_not_fit_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    columns = [f"column{index}" for index in range(20)]
    lines = on_terminal(monkeypatch, 50, columns, [list(range(20))]).splitlines()
    assert lines[-1].startswith("15 more: column5, column6")
    assert all(len(line) <= 50 for line in lines[1:])
    narrow = on_terminal(monkeypatch, 5, ["name"], [["x" * 30]]).splitlines()
    assert narrow[-1] == "xxxx…"


def test_no_color_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    stream = Terminal()
    write_rows(["a"], [[1]], OutputFormat(), stream=stream)
    # NO_COLOR speaks of colours; bold may stay.
    assert "\x1b[3" not in stream.getvalue()
    assert stream.getvalue().endswith("1\n")


def test_an_encoding_that_lacks_a_character_gets_it_escaped() -> None:
    for kind, expected in (("json", b'[{"a": "\\u640d"}]\n'), ("csv", b"a\n\\u640d\n")):
        buffer = io.BytesIO()
        stream = io.TextIOWrapper(buffer, encoding="ascii", newline="")
        write_rows(["a"], [["損"]], OutputFormat(kind), stream=stream)  # type: ignore[arg-type]
        assert buffer.getvalue() == expected


CLOSED_PIPE = """
import sys
from store.api.output import OutputFormat, write_rows
rows = ([number, "text"] for number in range(50_000))
write_rows(["a", "b"], rows, OutputFormat(sys.argv[1]))
print("after")
sys.exit(7)
"""


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("kind", ["nl", "json", "csv", "table"])
def test_a_closed_pipe_ends_quietly(kind: str, unbuffered: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", CLOSED_PIPE, kind],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 7


def test_the_module_loads_no_heavy_library() -> None:
    code = "import store.api.output, store.api.chart, sys; print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"click", "rich", "tabulate", "sqlite_utils", "pyarrow", "sqlite3", "numpy"}
    assert not heavy & set(found.stdout.split())


# --------------------------------------------------------------------------- files


@pytest.mark.parametrize("name", ["r.csv", "r.tsv", "r.json", "r.nl", "r.jsonl", "R.CSV"])
def test_a_text_file_is_what_write_rows_writes(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    rows = [["a\r\nb", math.nan, {"x": 1}], ["é", 2.5, None]]
    kinds: dict[str, Any] = {".jsonl": "nl"}
    extension = path.suffix.lower()
    kind = kinds.get(extension, extension[1:])
    assert write_file(path, ["a", "b", "c"], iter(rows)) == 2
    assert path.read_bytes() == written(["a", "b", "c"], rows, OutputFormat(kind)).encode()
    assert os.listdir(tmp_path) == [name]


def test_a_database_file_keeps_every_value_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "out.db"
    rows: list[list[Any]] = [[number, 0.5, "x"] for number in range(300)]
    rows += [["007", math.inf, b"\x00"], [2**70, None, {"k": [1]}], [-(2**63), "1e3", "\ud800"]]
    assert write_file(path, ["n", "N", 'odd "name"'], rows) == 303
    with closing(sqlite3.connect(path)) as database:
        cursor = database.execute("SELECT * FROM result")
        assert [column[0] for column in cursor.description] == ["n", "N_2", 'odd "name"']
        assert cursor.fetchall()[299:] == [
            (299, 0.5, "x"),
            ("007", math.inf, b"\x00"),
            (str(2**70), None, '{"k":[1]}'),
            (-(2**63), "1e3", "\ufffd"),
        ]
    assert os.listdir(tmp_path) == ["out.db"]


def test_a_database_without_rows_has_the_table(tmp_path: Path) -> None:
    assert write_file(tmp_path / "out.db", ["a"], []) == 0
    with closing(sqlite3.connect(tmp_path / "out.db")) as database:
        assert database.execute("SELECT a FROM result").fetchall() == []


def test_only_an_export_is_replaced_by_a_database(tmp_path: Path) -> None:
    path = tmp_path / "out.db"
    write_file(path, ["a"], [[1]])
    write_file(path, ["a"], [[2]])
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("SELECT a FROM result").fetchall() == [(2,)]
        database.execute("CREATE TABLE precious (x)")
    before = path.read_bytes()
    with pytest.raises(UsageError, match="holds other tables"):
        write_file(path, ["a"], [[3]])
    assert path.read_bytes() == before
    other = tmp_path / "text.db"
    other.write_text("no database at all, but long enough to be looked at " * 20)
    with pytest.raises(UsageError, match="not replaced"):
        write_file(other, ["a"], [[3]])


@pytest.mark.parametrize("name", ["out.csv", "out.json", "out.db", "out.parquet"])
def test_a_failed_export_leaves_what_was_there(tmp_path: Path, name: str) -> None:
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow", reason="not run: pyarrow is missing")
    path = tmp_path / name
    write_file(path, ["a"], [["before"]])
    before = path.read_bytes()

    def rows() -> Iterator[list[int]]:
        yield from ([number] for number in range(5000))
        raise RuntimeError("the disk of the source is gone")

    with pytest.raises(RuntimeError, match="gone"):
        write_file(path, ["a"], rows())
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == [name]


@pytest.mark.parametrize("name", ["out.xlsx", "out", ".csv"])
def test_an_unknown_extension_lists_the_known_ones(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError) as caught:
        write_file(tmp_path / name, ["a"], [[1]])
    assert caught.value.hint is not None
    assert all(known in caught.value.hint for known in (".csv", ".jsonl", ".db", ".parquet"))
    assert os.listdir(tmp_path) == []


def test_a_folder_that_is_missing_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no folder"):
        write_file(tmp_path / "nowhere" / "out.csv", ["a"], [[1]])


def test_a_link_is_written_through(tmp_path: Path) -> None:
    real, link = tmp_path / "real.csv", tmp_path / "link.csv"
    real.write_text("old")
    try:
        link.symlink_to(real)
    except OSError:
        pytest.skip("not run: no symbolic links here")
    write_file(link, ["a"], [[1]])
    assert link.is_symlink()
    assert real.read_text() == "a\n1\n"


def test_parquet_without_pyarrow_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UsageError) as caught:
        write_file(tmp_path / "out.parquet", ["a"], [[1]])
    assert caught.value.hint == "pip install 'runstore[parquet]'"
    assert os.listdir(tmp_path) == []


def test_parquet_keeps_all_rows_of_mixed_columns(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="not run: pyarrow is missing")
    columns = {
        "int": [1, None, 3],
        "float": [1, 2.5, math.inf],
        "mixed": [1, "two", 3.5],
        "nested": [{"a": 1}, [2], None],
        "big": [2**70, 1, 2],
        "exact": [2**60 + 1, 0.5, 1],
        "bytes": [b"\x00", None, b"x"],
        "none": [None, None, None],
        "flag": [True, None, False],
    }
    path = tmp_path / "out.parquet"
    assert write_file(path, list(columns), zip(*columns.values(), strict=True)) == 3
    assert parquet.read_table(path).to_pydict() == {
        **columns,
        "mixed": ["1", "two", "3.5"],
        "nested": ['{"a":1}', "[2]", None],
        "big": [str(2**70), "1", "2"],
        "exact": [str(2**60 + 1), "0.5", "1"],
    }


# --------------------------------------------------------------------------- short forms


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (1_234_567, "1.2 MB"),
        (45_000_000_000, "45 GB"),
        (999_600, "1.0 MB"),
        (9_960, "10 kB"),
        (3e18, "3000 PB"),
        (-2_500, "-2.5 kB"),
    ],
)
def test_sizes(size: float, expected: str) -> None:
    assert format_size(size) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0.4, "0 s"),
        (-5, "0 s"),
        (59.9, "59 s"),
        (180, "3 m"),
        (7300, "2 h"),
        (5 * 86400, "5 d"),
        (800 * 86400, "2 y"),
        (math.nan, ""),
    ],
)
def test_ages(seconds: float, expected: str) -> None:
    assert format_age(seconds) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.6931471805, "0.69315"),
        (3e-4, "0.0003"),
        (1.5e-7, "1.5e-7"),
        (123456.7, "123457"),
        (99999.96, "100000"),
        (1.23456781e12 + 0.5, "1.2346e12"),
        (10**12, "1000000000000"),
        (3.0, "3"),
        (-0.0, "0"),
        (math.nan, "nan"),
        (-math.inf, "-inf"),
        (None, ""),
        (True, "true"),
        ("run\x1b", "run\\x1b"),
    ],
)
def test_numbers(value: object, expected: str) -> None:
    assert format_number(value) == expected
