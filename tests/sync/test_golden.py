"""Bytes of version 1 stay readable for ever, and mean what they meant (see golden_rows.py)."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from store.paths import RunFolder
from store.query import open_store
from store.reading import reading
from store.row import DIGEST_START, Row, next_digest, row_digest
from store.schema import TABLES, VERSION, VIEWS
from store.sync.cursors import read_cursors, standing, targets
from store.sync.outgoing import Origin, Outgoing
from store.sync.receive import receive
from store.sync.wire import Batch, RunName, Section, decode_batch
from tests.helpers import problems
from tests.sync.batches import new_run, put, rows_in, stored
from tests.sync.golden_rows import (
    EXPECTED,
    FIRST,
    GOLDEN,
    ROWS,
    SECOND,
    TARGET,
    WITHHELD,
    expected_rows,
)

DIGESTS = {
    FIRST: "3554704915d30ad4eee3b6b3cbe31c4b",
    SECOND: "4750aa2fe20a5f69e4652ecb46a482e5",
}
"""d(position) of the sources, as version 1 has it."""


def test_a_batch_of_version_1_gives_these_rows() -> None:
    found = decode_batch((GOLDEN / "batch_v1.bin").read_bytes())
    assert found == EXPECTED
    assert [[tuple(row) for row in rows] for rows in rows_in(found)] == expected_rows()


def test_a_batch_of_version_1_is_received(tmp_path: Path) -> None:
    run = new_run(tmp_path / "s")
    put(run, FIRST, ROWS[FIRST][:2])
    put(run, SECOND, ROWS[SECOND][:1])
    received = receive(run, decode_batch((GOLDEN / "batch_v1.bin").read_bytes()))
    assert (received.new, received.refused) == (10, [])
    put(run, FIRST, ROWS[FIRST][9:])
    assert {uuid: chained(rows) for uuid, rows in stored(run).items()} == DIGESTS
    assert problems(run.path.parents[2]) == []


@pytest.fixture
def golden_run(tmp_path: Path) -> RunFolder:
    run = new_run(tmp_path / "s")
    run.path.mkdir(parents=True)
    shutil.copyfile(GOLDEN / "run_v1.db", run.database)
    return run


def chained(rows: list[tuple[Row, bytes]]) -> str:
    digest = DIGEST_START
    for _, row_hash in rows:
        digest = next_digest(digest, row_hash)
    return digest.hex()


def test_a_run_of_version_1_opens_reads_and_checks(golden_run: RunFolder) -> None:
    found = stored(golden_run)
    assert {uuid: [row for row, _ in rows] for uuid, rows in found.items()} == without_stub_times()
    assert {uuid: chained(rows) for uuid, rows in found.items()} == DIGESTS
    assert found[SECOND][2][1] == WITHHELD
    for uuid, rows in found.items():
        assert [h for _, h in rows] == [
            WITHHELD if uuid == SECOND and row.number == 3 else row_digest(row)
            for row in ROWS[uuid]
        ]
    assert problems(golden_run.path.parents[2]) == []
    with open_store(golden_run.path.parents[2]) as store:
        (run,) = store.runs
        assert dict(run.config) == {"lr": 0.1, "model": {"depth": 3}, "limit": float("inf")}


def without_stub_times() -> dict[str, list[Row]]:
    """A stub's own step and time are not kept."""
    return {
        uuid: [row._replace(step=0, time=0.0) if row.kind == 0 else row for row in rows]
        for uuid, rows in ROWS.items()
    }


def test_a_run_of_version_1_knows_its_remotes(golden_run: RunFolder) -> None:
    with reading(golden_run) as connection:
        assert targets(connection) == [TARGET]
        assert read_cursors(connection, TARGET) == {FIRST: (5, b"d" * 16)}
        found = standing(connection, TARGET)
    assert (found.rows, found.acknowledged, found.refused, found.files) == (16, 5, 1, 0)
    assert (found.tried, found.oldest, found.error) == (2000.0, 1000.5, None)


def test_a_run_of_version_1_goes_out_and_takes_more(golden_run: RunFolder, tmp_path: Path) -> None:
    there = new_run(tmp_path / "t")
    with reading(golden_run) as connection:
        for number, uuid in connection.execute("SELECT id, uuid FROM source").fetchall():
            section = Outgoing(connection).section(Origin(number, uuid, "journal"), 0)
            assert isinstance(section, Section)
            receive(there, Batch(RunName("local", "p", "r"), "s", [section]))
    assert stored(there) == stored(golden_run)
    put(golden_run, SECOND, [ROWS[SECOND][3]._replace(number=5, time=1003.0)])
    assert [row.number for row, _ in stored(golden_run)[SECOND]] == [1, 2, 3, 4, 5]
    for store in ("s", "t"):
        assert problems(tmp_path / store) == []


def test_the_tables_of_a_version_never_change() -> None:
    """Whoever changes them gives them a new version, and a file here beside that of the old."""
    golden = GOLDEN / f"run_v{VERSION}.db"
    with (
        closing(sqlite3.connect(f"{golden.as_uri()}?immutable=1", uri=True)) as old,
        closing(sqlite3.connect(":memory:")) as new,
    ):
        new.executescript(TABLES + VIEWS)
        sql = "SELECT type, name, sql FROM sqlite_master ORDER BY name, type"
        assert old.execute(sql).fetchall() == new.execute(sql).fetchall()
        assert old.execute("PRAGMA user_version").fetchone() == (VERSION,)
