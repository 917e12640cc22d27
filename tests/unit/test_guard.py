"""A user's SQL: what it may do, what it is told, and how it ends."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from store.errors import UsageError
from store.gather import Gather
from store.paths import StoreFolder, create_store
from store.row import Kind
from tests.stored_runs import absorb, metric, rows_of


@pytest.fixture
def store(tmp_path: Path) -> StoreFolder:
    store = create_store(tmp_path / ".store")
    for name in ("r1", "r2"):
        tags = (Kind.ATTRIBUTE, 0, {"tags": ["t"]})
        absorb(store.run("local", "p", name), rows_of(tags, metric(0, {"loss": 1.0})))
    return store


@pytest.fixture
def gathered(store: StoreFolder) -> Iterator[Gather]:
    gathered = Gather(store)
    yield gathered
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
def test_everything_but_reading_the_views_is_refused(query: str, gathered: Gather) -> None:
    before = gathered.sql("SELECT * FROM runs").rows
    with pytest.raises(UsageError):
        gathered.sql(query)
    assert gathered.sql("SELECT * FROM runs").rows == before
    assert not Path("copy.db").exists()


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
def test_harmless_statements_are_let_through(query: str, gathered: Gather) -> None:
    assert gathered.sql(query).rows


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
    query: str, says: str, hints: str | None, gathered: Gather
) -> None:
    with pytest.raises(UsageError) as caught:
        gathered.sql(query)
    assert says in caught.value.message
    assert (hints in (caught.value.hint or "")) if hints else caught.value.hint is None


ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"


def test_a_query_ends_when_its_time_is_over(gathered: Gather) -> None:
    with pytest.raises(UsageError, match="too long"):
        gathered.sql(ENDLESS, timeout=0.05)
    assert gathered.sql("SELECT 1").rows == [(1,)]


def test_another_thread_can_interrupt_a_query(gathered: Gather) -> None:
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
    assert gathered.sql("SELECT count(*) FROM metrics").rows == [(2,)]


def test_ctrl_c_stops_a_query(store: StoreFolder) -> None:
    code = (
        "import sys; from store.query import open_store\n"
        "store = open_store(sys.argv[1]); store.sql('SELECT 1')\n"
        "try:\n"
        "    print('ready', flush=True)\n"
        f"    store.sql({ENDLESS!r})\n"
        "except KeyboardInterrupt: print('stopped', store.sql('SELECT 1').rows)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(store.path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    assert process.communicate()[0] == "stopped [(1,)]\n"
    assert process.returncode == 0
