"""`store ls`."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path

import pytest

from tests.cli.program import ask, call, make_run
from tests.stored_runs import metric


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Three runs of two projects; the third never logged an accuracy."""
    path = tmp_path / ".store"
    make_run(path, "aaa1", 1, loss=0.3, config={"lr": 0.1, "net": {"depth": 2}}, name="one")
    make_run(
        *(path, "bbb2", 2),
        loss=0.1,
        config={"lr": 0.2},
        attributes={"tags": ["x", "y"]},
        name="two",
        said=[metric(2, {"acc": 0.5})],
    )
    make_run(
        *(path, "ccc3", 3),
        loss=math.nan,
        project="q",
        attributes={"tags": ["x"]},
        state="failed",
        name="three",
    )
    return path


def names(*arguments: object) -> list[str]:
    return [run["name"] for run in ask(*arguments)]


def test_the_newest_run_comes_first(store: Path) -> None:
    assert names("--store", store, "ls") == ["three", "two", "one"]


def test_the_store_may_be_named_behind_the_command(store: Path) -> None:
    assert names("ls", "--store", store.parent) == ["three", "two", "one"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--project", "q"], ["three"]),
        (["--entity", "nobody"], []),
        (["--state", "failed"], ["three"]),
        (["--state", "failed", "--state", "finished", "-n", "2"], ["three", "two"]),
        (["--tag", "x"], ["three", "two"]),
        (["--tag", "x", "--tag", "y"], ["two"]),
        (["--filter", "summary->>'loss' < 0.2"], ["two"]),
        (["--filter", "config->>'lr' > 0.15 -- a comment"], ["two"]),
        (["--sort", "loss"], ["two", "one", "three"]),
        (["--sort", "-loss"], ["one", "two", "three"]),
        (["--sort", "age"], ["three", "two", "one"]),
        (["--sort", "-age"], ["one", "two", "three"]),
        (["--sort", "name"], ["one", "three", "two"]),
        (["--sort", "config.lr"], ["one", "two", "three"]),
        (["--sort", "-summary.acc", "-n", "1"], ["two"]),
    ],
)
def test_runs_are_chosen_and_sorted(store: Path, options: list[str], expected: list[str]) -> None:
    assert names("--store", store, "ls", *options) == expected


def test_the_table_shows_what_people_look_for(store: Path) -> None:
    result = call("--store", store, "ls", "-c", "loss", "-c", "net.depth", "-c", "tags")
    head, _, *lines = result.stdout.splitlines()
    assert head.split() == "name id project state age rows size loss net.depth tags".split()
    assert lines[1].split()[:4] == ["two", "bbb2", "p", "finished"]
    assert lines[1].split()[-3:] == ["0.1", "x,", "y"]
    assert lines[2].split()[-2:] == ["0.3", "2"]


def test_json_has_raw_values_under_names_that_stay(store: Path) -> None:
    two = ask("--store", store, "ls", "-c", "lr")[1]
    assert (
        list(two)
        == (
            "name id entity project path state created updated ended duration rows steps points"
            " size writers host group job_type tags notes commit command error config summary lr"
        ).split()
    )
    assert two["created"] == "2023-11-14T22:46:41.000Z"
    assert (two["rows"], two["steps"], two["path"]) == (8, 2, "local/p/bbb2")
    assert (two["tags"], two["config"], two["lr"]) == (["x", "y"], {"lr": 0.2}, 0.2)
    assert two["summary"] == {"acc": 0.5, "loss": 0.1}


def test_csv_has_the_raw_facts_and_the_chosen_columns(store: Path) -> None:
    text = call("--store", store, "ls", "--csv", "-c", "loss").stdout
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["loss"] for row in rows] == ["nan", "0.1", "0.3"]
    assert "summary" not in rows[0]


def test_a_key_that_no_run_has_is_named(store: Path) -> None:
    result = call("--store", store, "ls", "--sort", "los")
    assert result.exit_code == 0
    assert "no run has 'los'; did you mean loss?" in result.stderr


def test_a_wrong_filter_says_what_it_may_use(store: Path) -> None:
    result = call("--store", store, "ls", "--filter", "losss < 1")
    assert result.exit_code == 2
    assert "no such column: losss" in result.stderr
    assert "summary->>'KEY'" in result.stderr


def test_a_filter_cannot_write(store: Path) -> None:
    result = call("--store", store, "ls", "--filter", "1); DELETE FROM runs; --")
    assert result.exit_code == 2
    assert len(names("--store", store, "ls")) == 3


def test_nothing_to_show_is_said_on_stderr(tmp_path: Path, store: Path) -> None:
    none = call("--store", store, "ls", "--project", "zzz")
    assert (none.stdout, none.stderr) == ("", "none of 3 runs matches\n")
    make_run(tmp_path / "empty", "a").path.rename(tmp_path / "gone")
    empty = call("--store", tmp_path / "empty", "ls")
    assert (empty.exit_code, empty.stdout) == (0, "")
    assert "no runs in" in empty.stderr
    assert ask("--store", tmp_path / "empty", "ls") == []


def test_without_a_store_the_error_says_what_to_do(tmp_path: Path) -> None:
    result = call("--store", tmp_path / "none", "ls")
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: no store at")
    assert "Hint: start a run with store.init()" in result.stderr


def test_hostile_names_cannot_reach_the_terminal(tmp_path: Path) -> None:
    evil = "\x1b[2Jname\r\u202e"
    path = tmp_path / ".store"
    make_run(path, "a\x1b]0;x\x07", 1, name=evil, config={evil: 1}, attributes={"notes": evil})
    for arguments in (
        ("ls", "-c", evil),
        ("show", evil),
        ("status",),
        ("show", "\x1b"),
        ("check",),
    ):
        result = call("--store", path, *arguments)
        assert not set(result.output) & {"\x1b", "\r", "\x07", "\u202e"}, arguments
    assert ask("--store", path, "ls")[0]["name"] == evil
