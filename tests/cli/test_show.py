"""`store show`."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from store.paths import RunFolder, StoreFolder
from store.row import Kind
from tests.cli.program import ask, call, make_run
from tests.stored_runs import leave_journal, metrics_row


@pytest.fixture
def store(tmp_path: Path) -> Path:
    path = tmp_path / ".store"
    attributes = {
        "tags": ["good"],
        "notes": "a note",
        "git": {"commit": "0123456789abcdef0123", "branch": "main", "dirty": True, "untracked": []},
        "command": {"command": ["python", "train it.py"], "cwd": "/work"},
        "machine": {"host": "node", "cpu": "A CPU", "cpu_count": 4, "memory": 8e9, "gpus": []},
        "color": "red",
    }
    make_run(
        *(path, "abc1", 1),
        name="sun-1",
        attributes=attributes,
        config={"net": {"depth": 2}},
        said=[
            (Kind.FILE, 1, {"out.txt": {"size": 2000, "sha256": "ab" * 32}}),
            (Kind.EVENT, 1, {"type": "refused", "counts": {"objects": 3}}),
        ],
    )
    make_run(path, "abd2", 2, name="moon-2")
    return path


def test_everything_is_shown(store: Path) -> None:
    text = call("--store", store, "show", "sun-1").stdout
    for line in (
        "sun-1  finished",
        "local/p/abc1",
        "tags     good",
        "notes    a note",
        "command  python 'train it.py'  (in /work)",
        "git      commit 0123456789ab on main, with local changes",
        "machine  node, A CPU, 4 CPUs, 8.0 GB",
        "refused  3 x objects",
        "  net.depth  2",
        "  loss  0.5  min 0.5  max 1  2 values",
        "  node:7  finished  9 rows  last step 1",
        "  out.txt  2.0 kB  abababababab  not here",
        "  color  red",
    ):
        assert line in text, f"{line!r} is not in\n{text}"


def test_json_holds_the_raw_facts(store: Path) -> None:
    run = ask("--store", store, "show", "abc1")
    assert run["config"] == {"net": {"depth": 2}}
    assert run["summary"] == {"loss": 0.5}
    assert run["metrics"] == {"loss": {"min": 0.5, "max": 1.0, "points": 2}}
    assert run["writers"][0]["uuid"] == f"{1:032x}"
    assert run["files"] == [{"name": "out.txt", "size": 2000, "sha256": "ab" * 32}]
    assert (run["refused"], run["waiting"], run["at_risk"]) == ({"objects": 3}, 0, 0)
    assert run["attributes"]["git"]["branch"] == "main"


@pytest.mark.parametrize("name", ["abc1", "sun-1", "local/p/abc1", "abc", "sun"])
def test_a_run_answers_to_each_of_its_names(store: Path, name: str) -> None:
    assert ask("--store", store, "show", name)["id"] == "abc1"


def test_a_run_answers_to_its_folder(store: Path) -> None:
    assert ask("--store", store, "show", store / "local" / "p" / "abc1")["id"] == "abc1"


def test_an_ambiguous_name_lists_the_candidates(store: Path) -> None:
    result = call("--store", store, "show", "ab")
    assert result.exit_code == 1
    assert "local/p/abc1" in result.stderr
    assert "local/p/abd2" in result.stderr


def test_a_metric_is_drawn(store: Path) -> None:
    result = call("--store", store, "show", "sun-1", "--plot", "loss")
    assert "loss  sun-1" in result.stdout
    assert "step" in result.stdout.splitlines()[-1]
    wrong = call("--store", store, "show", "sun-1", "--plot", "lss")
    assert wrong.exit_code == 2
    assert "Hint: it has loss" in wrong.stderr


def test_the_history_is_a_table_of_rows(store: Path) -> None:
    leave_journal(run_folder(store), [metrics_row(1, 7, acc=0.5)])
    text = call("--store", store, "show", "sun-1", "--history", "--nl").stdout
    rows = [json.loads(line) for line in text.splitlines()]
    assert [(row["_step"], row["loss"], row["acc"]) for row in rows] == [
        (0, 1.0, None),
        (1, 0.5, None),
        (7, None, 0.5),
    ]


def run_folder(store: Path) -> RunFolder:
    return StoreFolder(store).run("local", "p", "abc1")


def test_a_run_is_no_table(store: Path) -> None:
    assert call("--store", store, "show", "sun-1", "--csv").exit_code == 2


def test_a_cleaned_run_says_who_has_it_and_the_way_back(store: Path, tmp_path: Path) -> None:
    remote = tmp_path / "stick"
    rows = ask("--store", store, "show", "abd2")["rows"]
    assert call("--store", store, "sync", "abd2", "--to", remote).exit_code == 0
    assert call("--store", store, "clean", "abd2", "--to", remote, "--yes").exit_code == 0
    facts = ask("--store", store, "show", "moon-2")
    assert (facts["path"], facts["state"], facts["rows"]) == ("local/p/abd2", "cleaned", rows)
    cleaned = facts["cleaned"]
    assert cleaned["at"] is not None
    assert (cleaned["entity"], cleaned["project"]) == ("local", "p")
    assert cleaned["remote"].startswith(str(remote))
    shown = call("--store", store, "show", "abd").stdout
    assert "once every row was found at the remote" in shown
    assert cleaned["pull"] in shown
    for option in (["--history"], ["--plot", "loss"]):
        refused = call("--store", store, "show", "abd2", *option)
        assert refused.exit_code == 2
        assert cleaned["pull"] in refused.stderr
    assert call("--store", store, *shlex.split(cleaned["pull"])[1:]).exit_code == 0
    assert ask("--store", store, "show", "abd2")["state"] == "finished"
