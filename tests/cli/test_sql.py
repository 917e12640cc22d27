"""`store sql`, with a query and at its prompt."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.program import ask, call, environment, make_run, program

RUNS = "select id from runs order by id"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    path = tmp_path / ".store"
    make_run(path, "a", 1, loss=0.5)
    make_run(path, "b", 2, loss=0.25)
    return path


def test_a_query_over_all_runs(store: Path) -> None:
    assert ask("--store", store, "sql", RUNS) == [{"id": "a"}, {"id": "b"}]
    low = "select run, min(value) as low from metrics where key = 'loss' group by run"
    assert ask("--store", store, "sql", low) == [
        {"run": "a", "low": 0.5},
        {"run": "b", "low": 0.25},
    ]


def test_parameters_that_read_as_numbers_are_numbers(store: Path) -> None:
    query = "select run from summary where key = :key and value < :most"
    found = ask("--store", store, "sql", query, "-p", "key", "loss", "-p", "most", "0.3")
    assert found == [{"run": "b"}]


def test_the_query_comes_from_stdin(store: Path) -> None:
    for arguments in ((), ("-",)):
        result = call("--store", store, "sql", *arguments, "--csv", input=RUNS)
        assert result.stdout == "id\na\nb\n"
    nothing = call("--store", store, "sql", input=" \n")
    assert nothing.exit_code == 2


@pytest.mark.parametrize("ending", ["csv", "tsv", "json", "nl", "db", "parquet"])
def test_the_answer_goes_to_a_file(store: Path, tmp_path: Path, ending: str) -> None:
    file = tmp_path / f"out.{ending}"
    result = call("--store", store, "sql", RUNS, "-o", file)
    assert (result.exit_code, result.stdout) == (0, "")
    assert "2 rows written" in result.stderr
    if ending == "db":
        database = sqlite3.connect(file)
        assert database.execute("SELECT id FROM result").fetchall() == [("a",), ("b",)]
        database.close()
    elif ending == "json":
        assert json.loads(file.read_text()) == [{"id": "a"}, {"id": "b"}]
    else:
        assert file.stat().st_size > 0


@pytest.mark.parametrize(
    "query", ["delete from runs", "select * from nowhere", "select", "select 1; select 2", "attach"]
)
def test_what_cannot_be_asked_is_an_error_of_usage(store: Path, query: str) -> None:
    result = call("--store", store, "sql", query)
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: ")
    assert result.stdout == ""


def test_a_query_that_takes_too_long_is_given_up(store: Path) -> None:
    endless = (
        "with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) from n"
    )
    result = call("--store", store, "sql", "--timeout", "0.2", endless)
    assert result.exit_code == 2
    assert "took too long" in result.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo terminals")
def test_the_prompt_answers_statements_and_commands(store: Path) -> None:
    import pty

    parent, child = pty.openpty()
    process = subprocess.Popen(
        program("--store", store, "sql", "--csv"),
        stdin=child,
        stdout=child,
        stderr=child,
        env=environment(TERM="dumb"),
    )
    os.close(child)
    try:
        heard = read_until(parent, b"store> ")
        assert b"queries end with ;" in heard
        for said, expected, then in (
            (b".tables\n", b"runs", b"store> "),
            (b".schema writers\n", b"writers(run, ", b"store> "),
            (b".schema nope\n", b"there is no view", b"store> "),
            (b".nope\n", b".help lists them", b"store> "),
            (b"select max(id)\n", b"", b"...> "),
            (b"as last from runs;\n", b"last\r\nb\r\n", b"store> "),
            (b"select * from nope;\n", b"Error: ", b"store> "),
            (b"half a state", b"", b"half a state"),
        ):
            os.write(parent, said)
            assert expected in read_until(parent, then)
        process.send_signal(signal.SIGINT)
        # readline misses a signal that comes just before it waits, until the next key.
        os.write(parent, b"\n")
        read_until(parent, b"store> ")
        os.write(parent, b".quit\n")
        assert process.wait(timeout=30) == 0
    finally:
        process.kill()
        process.wait()
        os.close(parent)


def read_until(descriptor: int, end: bytes) -> bytes:
    heard = b""
    while end not in heard:
        part = os.read(descriptor, 4096)
        assert part, heard
        heard += part
    return heard
