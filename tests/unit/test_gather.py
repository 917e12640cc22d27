"""SQL over all runs: exact whatever the query's shape, and only reading."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from store import gather
from store.catalogue import Catalogue
from store.errors import UsageError
from store.gather import Gather
from store.paths import RunFolder, StoreFolder, create_store
from store.row import Kind, Row
from tests.queries import ORDERED, QUERIES
from tests.stored_runs import BEGAN, absorb

RUNS = 12
STEPS = 25
PLAIN_TABLES = """
CREATE TABLE metrics(run, key, step, time, value, writer, entity, project);
CREATE TABLE console(run, time, stream, text, writer, entity, project);
CREATE TABLE events(run, time, kind, step, data, writer, entity, project);
CREATE TABLE files(run, name, size, sha256, entity, project);
"""


def make_run(store: StoreFolder, number: int, chance: random.Random) -> None:
    """A run with two writers, several metrics, some holes, NaN, console, events and files."""
    run = store.run("local", f"p{number % 3}", f"run{number:02}")
    for rank in range(2):
        at = BEGAN + 1000 * number + rank
        said: list[tuple[int, int, dict[str, Any]]] = [
            (Kind.OPEN, 0, {"host": "node", "pid": number, "label": f"rank-{rank}"}),
            (Kind.ATTRIBUTE, 0, {"name": f"name {number}", "tags": [f"t{number % 2}"]}),
            (Kind.CONFIG, 0, {"lr": number / 10, "model": {"depth": number % 4}}),
        ]
        for step in range(STEPS):
            value = float("nan") if chance.random() < 0.05 else round(chance.random(), 2)
            values: dict[str, Any] = {"loss": value, "epoch": step // 5}
            if number % 2:
                values["acc"] = chance.randrange(10)
            if step % 7 == 0:
                values["text"] = "not a number"
                said.append((Kind.CONSOLE, step, {"stream": "stdout", "text": f"step {step}"}))
            said.append((Kind.METRIC, step, values))
        said.append((Kind.FILE, 0, {f"model-{rank}.pt": {"size": number, "sha256": "00"}}))
        if number != 5:
            said.append((Kind.END, 0, {"state": "failed" if number == 4 else "finished"}))
        rows = [Row(n, int(k), s, at + n / 100, d) for n, (k, s, d) in enumerate(said, 1)]
        absorb(run, rows, f"{number:016}{rank:016}")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> StoreFolder:
    store = create_store(tmp_path_factory.mktemp("gather") / ".store")
    chance = random.Random(1)
    for number in range(RUNS):
        make_run(store, number, chance)
    return store


@pytest.fixture(scope="module")
def plain(store: StoreFolder, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The same views as plain tables, each row copied from the runs' own views."""
    os.environ["STORE_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    copy = sqlite3.connect(":memory:")
    copy.executescript(PLAIN_TABLES)
    for run in store.runs():
        copy.execute("ATTACH ? AS run", (str(run.database),))
        for table, columns in (
            ("metrics", "key, step, time, value, writer"),
            ("console", "time, stream, text, writer"),
            ("events", "time, kind, step, data, writer"),
            ("files", "name, size, sha256"),
        ):
            copy.execute(
                f"INSERT INTO {table} SELECT ?, {columns}, ?, ? FROM run.{table}",
                (run.id, run.entity, run.project),
            )
        copy.commit()
        copy.execute("DETACH run")
    gathered = Gather(store)
    for view in ("runs", "config", "summary", "writers"):
        answer = gathered.sql(f"SELECT * FROM {view}")
        columns = ", ".join(f'"{column}"' for column in answer.columns)
        copy.execute(f"CREATE TABLE {view}({columns})")
        marks = ", ".join("?" * len(answer.columns))
        copy.executemany(f"INSERT INTO {view} VALUES({marks})", answer.rows)
    gathered.close()
    del os.environ["STORE_CACHE"]
    yield copy
    copy.close()


def by_any_order(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Sorted, and sums rounded: they depend on the order in which SQLite adds."""
    rounded = [
        tuple(round(value, 9) if type(value) is float else value for value in row) for row in rows
    ]
    return sorted(rounded, key=repr)


@pytest.fixture
def gathered(store: StoreFolder) -> Iterator[Gather]:
    gathered = Gather(store)
    yield gathered
    gathered.close()


@pytest.mark.parametrize("query", QUERIES)
def test_a_first_query_is_exact(query: str, gathered: Gather, plain: Any) -> None:
    expected = plain.execute(query).fetchall()
    answer = gathered.sql(query)
    assert answer.stale == ()
    assert by_any_order(answer.rows) == by_any_order(expected)


@pytest.mark.parametrize("query", ORDERED)
def test_an_ordered_query_is_exact_with_its_order(query: str, gathered: Gather, plain: Any) -> None:
    assert gathered.sql(query).rows == plain.execute(query).fetchall()


def test_queries_one_after_the_other_are_exact(
    gathered: Gather, plain: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In any order, on what former ones have fetched, and with room for one metric a pass."""
    queries = QUERIES * 2
    chance = random.Random()
    seed = chance.randrange(2**32)
    print("seed", seed)
    random.Random(seed).shuffle(queries)
    monkeypatch.setattr(gather, "FIRST_BUDGET", 1)
    for query in queries:
        expected = plain.execute(query).fetchall()
        assert by_any_order(gathered.sql(query).rows) == by_any_order(expected), query


def test_a_limit_is_a_limit_and_its_rows_are_true(gathered: Gather, plain: Any) -> None:
    answer = gathered.sql("SELECT * FROM metrics LIMIT 9")
    assert len(answer) == 9
    everything = set(plain.execute("SELECT * FROM metrics"))
    assert set(answer.rows) <= everything


def fetched(gathered: Gather) -> set[tuple[str, str]]:
    rows = gathered._catalogue.connection.execute(
        "SELECT DISTINCT i.run, i.key FROM metric_key i JOIN gathered.point p ON p.slot = i.slot"
    )
    return set(rows)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("SELECT * FROM metrics WHERE run = 'run03' AND key = 'acc'", {("run03", "acc")}),
        ("SELECT * FROM metrics WHERE run = 'run02'", {("run02", "loss"), ("run02", "epoch")}),
        (
            "SELECT m.value FROM runs r JOIN metrics m ON m.run = r.id"
            " WHERE r.state = 'failed' AND m.key = 'loss'",
            {("run04", "loss")},
        ),
        (
            "SELECT * FROM metrics WHERE key = 'acc'"
            " AND run IN (SELECT id FROM runs ORDER BY created LIMIT 2)",
            {("run01", "acc")},
        ),
        ("SELECT count(*) FROM summary JOIN runs ON run = id", set()),
        ("SELECT * FROM metrics WHERE key = 'nothing'", set()),
    ],
)
def test_only_what_the_filters_leave_over_is_fetched(
    query: str, expected: set[tuple[str, str]], gathered: Gather
) -> None:
    gathered.sql(query)
    assert fetched(gathered) == expected


def test_parameters_by_name_and_by_position(gathered: Gather, plain: Any) -> None:
    query = "SELECT step, value FROM metrics WHERE run = {} AND key = {} ORDER BY step, writer"
    expected = plain.execute(query.format("'run03'", "'acc'")).fetchall()
    named = gathered.sql(query.format(":run", ":key"), {"run": "run03", "key": "acc"})
    placed = gathered.sql(query.format("?", "?"), ["run03", "acc"])
    assert named.rows == placed.rows == expected
    for wrong in ({"run": "run03"}, {"run": object(), "key": 1}, "ab"):
        with pytest.raises(UsageError):
            gathered.sql(query.format(":run", ":key"), wrong)
    for row in (["run03"], [2**70, 1], ["run03", "acc", 1]):
        with pytest.raises(UsageError):
            gathered.sql(query.format("?", "?"), row)


def test_a_result_gives_columns_rows_and_dicts(gathered: Gather) -> None:
    answer = gathered.sql("SELECT id, state FROM runs WHERE id < 'run02' ORDER BY id")
    assert answer.columns == ("id", "state")
    assert list(answer) == answer.rows == [("run00", "finished"), ("run01", "finished")]
    assert answer.dicts()[1] == {"id": "run01", "state": "finished"}
    assert (len(answer), answer[0]) == (2, ("run00", "finished"))


def test_the_columns_of_runs(gathered: Gather) -> None:
    (row,) = gathered.sql("SELECT * FROM runs WHERE id = 'run04'").dicts()
    assert row["path"] == "local/p1/run04"
    assert (row["name"], row["state"], row["host"]) == ("name 4", "failed", "node")
    assert row["created"] == "2023-11-14 23:20:00"
    assert 0 < row["duration"] < 5
    assert (row["tags"], row["steps"], row["command"]) == ('["t0"]', 24, None)
    assert "git_commit" in row
    assert "group" in row


@pytest.fixture
def small(tmp_path: Path) -> StoreFolder:
    """Three of the runs, to be changed."""
    store = create_store(tmp_path / ".store")
    for number in range(3):
        make_run(store, number, random.Random(number))
    return store


def add(run: RunFolder, number: int, **values: float) -> None:
    absorb(run, [Row(number, int(Kind.METRIC), 99, BEGAN + 9_000, values)], "new" + "0" * 29)


def test_new_rows_runs_and_keys_are_seen_by_the_next_query(small: StoreFolder) -> None:
    gathered = Gather(small)
    query = "SELECT run, key, value FROM metrics WHERE step = 99 ORDER BY run, key"
    total = "SELECT count(*) FROM metrics"
    (before,) = gathered.sql(total)
    assert gathered.sql(query).rows == []
    run = small.run("local", "p1", "run01")
    add(run, 1, loss=1.5, fresh=2.5)
    assert gathered.sql(query).rows == [("run01", "fresh", 2.5), ("run01", "loss", 1.5)]
    add(run, 2, loss=3.5)
    assert gathered.sql(total).rows == [(before[0] + 3,)]
    make_run(small, 7, random.Random(7))
    (after,) = gathered.sql("SELECT count(*) FROM metrics WHERE run = 'run07'")
    assert after[0] == 2 * STEPS * 3
    gathered.close()


def test_a_removed_run_is_gone_from_all_views(small: StoreFolder) -> None:
    gathered = Gather(small)
    views = ("metrics", "console", "events", "files", "writers", "config", "summary")
    query = " UNION ".join(f"SELECT run FROM {view}" for view in views) + " ORDER BY 1"
    assert gathered.sql(query).rows == [("run00",), ("run01",), ("run02",)]
    shutil.rmtree(small.run("local", "p1", "run01").path)
    assert gathered.sql(query).rows == [("run00",), ("run02",)]
    assert gathered._catalogue.connection.execute(
        "SELECT count(DISTINCT slot) FROM gathered.event"
    ).fetchone() == (2,)
    gathered.close()


def test_a_run_that_changes_between_two_passes_does_not_go_on_for_ever(
    small: StoreFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process writes a run, and refreshes the catalogue, before every single pass."""
    monkeypatch.setattr(gather, "FIRST_BUDGET", 1)
    gathered = Gather(small)
    other = Catalogue(small)
    number = 0
    real = gathered._fetch

    def fetch(*arguments: Any) -> None:
        nonlocal number
        real(*arguments)
        number += 1
        add(small.run("local", "p1", "run01"), number, loss=1.0)
        other.refresh()

    monkeypatch.setattr(gathered, "_fetch", fetch)
    (counted,) = gathered.sql("SELECT count(*) FROM metrics WHERE run <> 'run01'")
    assert counted == (2 * STEPS * 2 * 2,)
    assert gathered.sql("SELECT max(step) FROM metrics").rows == [(99,)]
    assert number >= 5
    gathered.close()


def test_a_run_that_is_damaged_behind_our_back_is_stale_and_the_rest_is_there(
    small: StoreFolder,
) -> None:
    gathered = Gather(small)
    gathered.sql("SELECT 1")
    run = small.run("local", "p1", "run01")
    status = run.database.stat()
    content = run.database.read_bytes()
    run.database.write_bytes(content[:100] + bytes(len(content) - 100))
    os.utime(run.database, ns=(status.st_atime_ns, status.st_mtime_ns))
    answer = gathered.sql("SELECT DISTINCT run FROM metrics ORDER BY run")
    assert answer.rows == [("run00",), ("run02",)]
    lines = {line.id: line.state for line in gathered._catalogue.lines()}
    assert answer.stale == ("local/p1/run01",) or lines["run01"] == "damaged"
    gathered.close()


def test_what_takes_too_much_room_is_forgotten(
    small: StoreFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    gathered = Gather(small)
    query = "SELECT count(*) FROM metrics"
    expected = gathered.sql(query).rows
    monkeypatch.setattr(gather, "LARGEST_BYTES", 0)
    assert gathered.sql("SELECT 1").rows == [(1,)]
    assert fetched(gathered) == set()
    assert gathered.sql(query).rows == expected
    gathered.close()


def test_equal_ids_in_two_projects_are_told_apart_by_project(tmp_path: Path) -> None:
    store = create_store(tmp_path / ".store")
    for project, value in (("p", 1.0), ("q", 2.0)):
        row = Row(1, int(Kind.METRIC), 0, BEGAN, {"v": value})
        absorb(store.run("local", project, "same"), [row], "a" * 32)
    gathered = Gather(store)
    rows = gathered.sql("SELECT project, value FROM metrics ORDER BY 1").rows
    assert rows == [("p", 1.0), ("q", 2.0)]
    joined = gathered.sql(
        "SELECT r.project, m.value FROM runs r JOIN metrics m ON m.run = r.id"
        " AND m.project = r.project ORDER BY 1"
    )
    assert joined.rows == rows
    gathered.close()
