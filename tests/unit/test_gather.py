"""SQL over all runs: exact whatever the query's shape, and only reading."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from store import gather
from store.catalogue import Catalogue
from store.database import RunDatabase
from store.errors import UsageError
from store.gather import Gather
from store.paths import RunFolder, StoreFolder, create_store
from store.row import Kind, Row

BEGAN = 1_700_000_000.0
RUNS = 12
STEPS = 25
PLAIN_TABLES = """
CREATE TABLE metrics(run, key, step, time, value, writer, entity, project);
CREATE TABLE console(run, time, stream, text, writer, entity, project);
CREATE TABLE events(run, time, kind, step, data, writer, entity, project);
CREATE TABLE files(run, name, size, sha256, entity, project);
"""


def absorb(run: RunFolder, rows: list[Row], uuid: str) -> None:
    run.path.mkdir(parents=True, exist_ok=True)
    database = RunDatabase(run.database)
    database.absorb(uuid, rows)
    database.close()


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


QUERIES = [
    "SELECT count(*), min(step), max(step), sum(value) FROM metrics",
    "SELECT * FROM metrics",
    "SELECT * FROM metrics WHERE key = 'loss' AND run = 'run03'",
    "SELECT run, step, value FROM metrics WHERE key IN ('acc', 'epoch') AND step % 5 = 0",
    "SELECT run, value FROM metrics WHERE key = 'acc' AND value >= 5 AND project = 'p1'",
    "SELECT value FROM metrics WHERE value IS NULL",
    "SELECT writer, count(*) FROM metrics GROUP BY writer",
    "SELECT step, avg(value) FROM metrics WHERE writer = 'rank-1' AND key = 'loss' GROUP BY step",
    "SELECT r.name, m.step, m.value FROM runs r JOIN metrics m ON m.run = r.id"
    " WHERE r.project = 'p2' AND m.key = 'loss'",
    "SELECT r.name, m.value FROM metrics m, runs r WHERE m.run = r.id AND r.state = 'failed'",
    "SELECT r.id, m.value FROM runs r LEFT JOIN metrics m"
    " ON m.run = r.id AND m.key = 'acc' AND m.step = 3",
    "SELECT r.id FROM runs r LEFT JOIN metrics m ON m.run = r.id AND m.key = 'acc'"
    " WHERE m.run IS NULL",
    "SELECT a.run, a.step, a.value, b.value FROM metrics a JOIN metrics b"
    " USING(run, step, writer) WHERE a.key = 'loss' AND b.key = 'acc'",
    "SELECT count(*) FROM metrics a JOIN metrics b ON a.value = b.value AND a.run < b.run"
    " AND a.key = 'loss' AND b.key = 'loss'",
    "SELECT count(*) FROM metrics a JOIN metrics b ON a.step = b.step"
    " AND a.key = 'epoch' AND b.key = 'acc' AND a.value = b.value",
    "SELECT a.run, max(a.value - b.value) FROM metrics a JOIN metrics b ON a.step = b.step"
    " AND b.run = 'run01' AND a.run <> b.run WHERE a.key = b.key AND a.key = 'acc' GROUP BY 1",
    "SELECT run, value FROM metrics WHERE key = 'loss'"
    " AND run = (SELECT id FROM runs ORDER BY created DESC LIMIT 1)",
    "SELECT run, value FROM metrics WHERE key = 'loss' AND run IN"
    " (SELECT run FROM summary WHERE key = 'loss' ORDER BY value LIMIT 3)",
    "SELECT DISTINCT run FROM metrics WHERE key IN (SELECT key FROM summary WHERE max > 8)",
    "SELECT id FROM runs r WHERE EXISTS"
    " (SELECT 1 FROM metrics m WHERE m.run = r.id AND m.key = 'acc' AND m.value = 9)",
    "SELECT id FROM runs r WHERE NOT EXISTS"
    " (SELECT 1 FROM metrics m WHERE m.run = r.id AND m.key = 'loss' AND m.value < 0.02)",
    "SELECT id, (SELECT max(value) FROM metrics m WHERE m.run = r.id AND key = 'loss') FROM runs r",
    "SELECT id, (SELECT value FROM metrics m WHERE m.run = r.id AND key = 'epoch'"
    " ORDER BY step DESC LIMIT 1) AS last FROM runs r WHERE config->>'lr' > 0.3",
    "WITH best AS (SELECT run, min(value) AS low FROM metrics WHERE key = 'loss' GROUP BY run)"
    " SELECT r.name, low FROM best JOIN runs r ON r.id = best.run WHERE low < 0.05",
    "WITH m AS MATERIALIZED (SELECT * FROM metrics WHERE key = 'acc')"
    " SELECT x.run, y.step FROM m x JOIN m y ON x.run = y.run AND x.value = y.value + 9",
    "SELECT run, step, value, row_number() OVER (PARTITION BY run ORDER BY step, writer)"
    " FROM metrics WHERE key = 'epoch'",
    "SELECT run, step, avg(value) OVER (PARTITION BY run, writer ORDER BY step"
    " ROWS BETWEEN 2 PRECEDING AND CURRENT ROW) FROM metrics WHERE key = 'loss'",
    "SELECT key, count(DISTINCT run), total(value) FROM metrics GROUP BY key HAVING count(*) > 50",
    "SELECT run, key FROM metrics UNION SELECT run, key FROM summary EXCEPT"
    " SELECT run, key FROM metrics WHERE key = 'loss'",
    "SELECT key, value FROM metrics WHERE (run = 'run01' AND key = 'acc')"
    " OR (run = 'run02' AND key = 'epoch') OR (step = 3 AND value > 8)",
    "SELECT run, CASE WHEN key = 'acc' THEN value END FROM metrics WHERE key LIKE 'a%'",
    "SELECT run, step FROM metrics WHERE key || '' = 'acc' AND +run > 'run07'",
    "SELECT m.run FROM metrics m CROSS JOIN runs r WHERE r.id = m.run AND m.value = 0.5",
    "SELECT json_extract(r.config, '$.model.depth') d, avg(m.value) FROM metrics m"
    " JOIN runs r ON r.id = m.run WHERE m.key = 'loss' GROUP BY d",
    "SELECT c.value, avg(m.value) FROM config c JOIN metrics m USING(run)"
    " WHERE c.key = 'model.depth' AND m.key = 'loss' GROUP BY 1",
    "SELECT t.value, count(*) FROM runs r, json_each(r.tags) t GROUP BY 1",
    "SELECT run, text, writer FROM console WHERE text LIKE '%14'",
    "SELECT c.run, c.text, m.value FROM console c JOIN metrics m ON m.run = c.run"
    " AND m.writer = c.writer AND 'step ' || m.step = c.text AND m.key = 'epoch'",
    "SELECT kind, count(*) FROM events GROUP BY kind",
    "SELECT run, data->>'state' FROM events WHERE kind = 'end' AND run > 'run03'",
    "SELECT run, name, size FROM files WHERE size > 3 AND name LIKE '%-1.pt'",
    "SELECT f.name FROM files f JOIN runs r ON r.id = f.run WHERE r.state = 'failed'",
    "SELECT w.run, w.writer, w.rows, m.step FROM writers w JOIN metrics m"
    " ON m.run = w.run AND m.writer = w.writer WHERE m.key = 'loss' AND m.step = 20",
    "SELECT run FROM metrics WHERE 0",
    "SELECT 1 FROM metrics WHERE run = 'nothing'",
    "VALUES (1, 'two')",
    "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 24)"
    " SELECT i, (SELECT count(*) FROM metrics WHERE step = i AND key = 'acc') FROM n",
]
ORDERED = [
    "SELECT run, step, value FROM metrics WHERE key = 'loss' ORDER BY value, run, step LIMIT 7",
    "SELECT run, writer, step FROM metrics ORDER BY run DESC, step DESC, writer, key LIMIT 5 OFFSET 3",
    "SELECT id, summary->>'epoch' FROM runs ORDER BY created LIMIT 4",
    "SELECT run, key, value FROM summary ORDER BY value DESC, run, key LIMIT 6",
]
if sqlite3.sqlite_version_info >= (3, 39):
    QUERIES += [
        "SELECT r.id, m.step FROM metrics m RIGHT JOIN runs r ON m.run = r.id AND m.key = 'acc'"
        " AND m.value = 4",
        "SELECT a.run, b.run FROM metrics a FULL JOIN metrics b ON a.run = b.run"
        " AND a.step = b.step AND a.key = 'acc' AND b.key = 'acc' AND a.value = 1 AND b.value = 1",
    ]


def by_any_order(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Sorted, and sums rounded: they depend on the order in which SQLite adds."""
    rounded = [
        tuple(round(value, 9) if type(value) is float else value for value in row) for row in rows
    ]
    return sorted(rounded, key=repr)


@pytest.mark.parametrize("query", QUERIES)
def test_a_first_query_is_exact(query: str, store: StoreFolder, plain: Any) -> None:
    gathered = Gather(store)
    expected = plain.execute(query).fetchall()
    answer = gathered.sql(query)
    assert answer.stale == ()
    assert by_any_order(answer.rows) == by_any_order(expected)
    gathered.close()


@pytest.mark.parametrize("query", ORDERED)
def test_an_ordered_query_is_exact_with_its_order(
    query: str, store: StoreFolder, plain: Any
) -> None:
    gathered = Gather(store)
    assert gathered.sql(query).rows == plain.execute(query).fetchall()
    gathered.close()


def test_queries_one_after_the_other_are_exact(
    store: StoreFolder, plain: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In any order, on what former ones have fetched, and with room for one metric a pass."""
    queries = QUERIES * 2
    chance = random.Random()
    seed = chance.randrange(2**32)
    print("seed", seed)
    random.Random(seed).shuffle(queries)
    monkeypatch.setattr(gather, "FIRST_BUDGET", 1)
    gathered = Gather(store)
    for query in queries:
        expected = plain.execute(query).fetchall()
        assert by_any_order(gathered.sql(query).rows) == by_any_order(expected), query
    gathered.close()


def test_a_limit_is_a_limit_and_its_rows_are_true(store: StoreFolder, plain: Any) -> None:
    gathered = Gather(store)
    answer = gathered.sql("SELECT * FROM metrics LIMIT 9")
    assert len(answer) == 9
    everything = set(plain.execute("SELECT * FROM metrics"))
    assert set(answer.rows) <= everything
    gathered.close()


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
    query: str, expected: set[tuple[str, str]], store: StoreFolder
) -> None:
    gathered = Gather(store)
    gathered.sql(query)
    assert fetched(gathered) == expected
    gathered.close()


def test_parameters_by_name_and_by_position(store: StoreFolder, plain: Any) -> None:
    gathered = Gather(store)
    query = "SELECT step, value FROM metrics WHERE run = {} AND key = {} ORDER BY step, writer"
    expected = plain.execute(query.format("'run03'", "'acc'")).fetchall()
    named = gathered.sql(query.format(":run", ":key"), {"run": "run03", "key": "acc"})
    placed = gathered.sql(query.format("?", "?"), ["run03", "acc"])
    assert named.rows == placed.rows == expected
    for params in ({"run": "run03"}, ["run03"], {"run": object(), "key": 1}, [2**70, 1], "ab"):
        with pytest.raises(UsageError):
            gathered.sql(query.format(":run", ":key"), params)
    gathered.close()


def test_a_result_gives_columns_rows_and_dicts(store: StoreFolder) -> None:
    gathered = Gather(store)
    answer = gathered.sql("SELECT id, state FROM runs WHERE id < 'run02' ORDER BY id")
    assert answer.columns == ("id", "state")
    assert list(answer) == answer.rows == [("run00", "finished"), ("run01", "finished")]
    assert answer.dicts()[1] == {"id": "run01", "state": "finished"}
    assert (len(answer), answer[0]) == (2, ("run00", "finished"))
    gathered.close()


def test_the_columns_of_runs(store: StoreFolder) -> None:
    gathered = Gather(store)
    (row,) = gathered.sql("SELECT * FROM runs WHERE id = 'run04'").dicts()
    assert row["path"] == "local/p1/run04"
    assert (row["name"], row["state"], row["host"]) == ("name 4", "failed", "node")
    assert row["created"] == "2023-11-14 23:20:00"
    assert 0 < row["duration"] < 5
    assert (row["tags"], row["steps"], row["command"]) == ('["t0"]', 24, None)
    assert "git_commit" in row
    assert "group" in row
    gathered.close()


@pytest.mark.parametrize(
    "query",
    [
        "DELETE FROM runs",
        "INSERT INTO run(key) VALUES('x')",
        "UPDATE metric_key SET value = 1",
        "DROP VIEW metrics",
        "CREATE TABLE t(a)",
        "CREATE TEMP TABLE t(a)",
        "CREATE TEMP VIEW v AS SELECT 1",
        "CREATE VIRTUAL TABLE t USING fts5(a)",
        "ATTACH '/tmp/x.db' AS x",
        "DETACH gathered",
        "PRAGMA query_only = 0",
        "PRAGMA writable_schema = 1",
        "PRAGMA journal_mode",
        "VACUUM",
        "VACUUM INTO 'copy.db'",
        "BEGIN",
        "COMMIT",
        "SAVEPOINT s",
        "REINDEX",
        "ANALYZE",
        "SELECT * FROM run",
        "SELECT n FROM main.run",
        "SELECT * FROM gathered.point",
        "SELECT * FROM sqlite_master",
        "SELECT sql FROM sqlite_temp_master",
        "SELECT load_extension('x')",
        "SELECT fts3_tokenizer('simple')",
        "EXPLAIN DELETE FROM run",
        "WITH x AS (SELECT 1) DELETE FROM run",
        "SELECT 1; SELECT 2",
        "SELECT 1; DELETE FROM run",
        "",
        "-- nothing",
    ],
)
def test_everything_but_reading_the_views_is_refused(query: str, store: StoreFolder) -> None:
    gathered = Gather(store)
    before = gathered.sql("SELECT * FROM runs").rows
    with pytest.raises(UsageError):
        gathered.sql(query)
    assert gathered.sql("SELECT * FROM runs").rows == before
    assert not Path("copy.db").exists()
    gathered.close()


@pytest.mark.parametrize(
    "query",
    [
        "EXPLAIN QUERY PLAN SELECT * FROM metrics",
        "PRAGMA table_info(metrics)",
        "SELECT name FROM pragma_table_info('runs')",
        "WITH run AS (SELECT 1) SELECT count(*) FROM run",
        "SELECT 1;",
    ],
)
def test_harmless_statements_are_let_through(query: str, store: StoreFolder) -> None:
    gathered = Gather(store)
    assert gathered.sql(query).rows
    gathered.close()


@pytest.mark.parametrize(
    ("query", "says", "hints"),
    [
        ("SELECT * FROM metric", "no such table: metric", "metrics(run, key"),
        ("SELECT nome FROM runs", "no such column: nome", "runs(id, name"),
        ("SELECT FROM runs", "syntax error", None),
        ("DELETE FROM runs", "may only read", "runs, config"),
        ("SELECT * FROM run", "may only read: run.", "runs, config"),
    ],
)
def test_what_is_wrong_is_said_with_a_hint(
    query: str, says: str, hints: str | None, store: StoreFolder
) -> None:
    gathered = Gather(store)
    with pytest.raises(UsageError) as caught:
        gathered.sql(query)
    assert says in caught.value.message
    assert (hints in (caught.value.hint or "")) if hints else caught.value.hint is None
    gathered.close()


ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"


def test_a_query_ends_when_its_time_is_over(store: StoreFolder) -> None:
    gathered = Gather(store)
    with pytest.raises(UsageError, match="too long"):
        gathered.sql(ENDLESS, timeout=0.05)
    assert gathered.sql("SELECT 1").rows == [(1,)]
    gathered.close()


def test_another_thread_can_interrupt_a_query(store: StoreFolder) -> None:
    gathered = Gather(store)
    gathered.sql("SELECT 1")
    failed: list[str] = []

    def ask() -> None:
        try:
            gathered.sql(ENDLESS)
        except UsageError as error:
            failed.append(error.message)

    thread = threading.Thread(target=ask)
    thread.start()
    while thread.is_alive():
        gathered.interrupt()
        thread.join(0.01)
    assert failed == ["the query was interrupted"]
    gathered.close()


def test_ctrl_c_stops_a_query(store: StoreFolder) -> None:
    code = (
        "import sys; from store.query import open_store\n"
        "store = open_store(sys.argv[1]); store.sql('SELECT 1')\n"
        "print('ready', flush=True)\n"
        f"try: store.sql({ENDLESS!r})\n"
        "except KeyboardInterrupt: print('stopped')\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(store.path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    assert process.communicate()[0] in ("stopped\n", "")
    assert process.returncode in (0, -signal.SIGINT, 130, 1)


@pytest.fixture
def small(tmp_path: Path) -> StoreFolder:
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
