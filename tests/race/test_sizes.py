"""Rows of a thousand metrics, runs of many rows, and values that cannot be kept."""

from __future__ import annotations

from pathlib import Path

import pytest

import store
from store.database import RunDatabase
from store.row import Kind
from tests.helpers import only_run, problems, rows_of

SETTINGS = {"silent": True, "git": False, "console": "off", "fold_interval": 0.1}


@pytest.mark.parametrize("medium", ["mmap", "write"])
def test_rows_of_a_thousand_metrics(medium: str, tmp_path: Path) -> None:
    run = store.init(dir=tmp_path / "data", settings={**SETTINGS, "journal": medium})
    for count in range(100):
        run.log({f"layer/{n:04}": count + n / 1000 for n in range(1000)})
    run.finish()
    rows = rows_of(only_run(tmp_path / "data"))
    assert [row.step for row in rows] == list(range(100))
    assert all(
        row.data == {f"layer/{n:04}": row.step + n / 1000 for n in range(1000)} for row in rows
    )
    assert problems(tmp_path / "data") == []


@pytest.mark.parametrize("rows", [100_000, pytest.param(1_000_000, marks=pytest.mark.long)])
@pytest.mark.timeout(1200)
def test_a_long_run(rows: int, tmp_path: Path) -> None:
    run = store.init(dir=tmp_path / "data", settings={**SETTINGS, "segment_bytes": 2**20})
    for count in range(rows):
        run.log({"k": float(count)})
    run.finish()
    folder = only_run(tmp_path / "data")
    assert list(folder.journals.iterdir()) == []
    database = RunDatabase(folder.database, write=False)
    try:
        found = database.execute(
            "SELECT count(*), min(value), max(value), sum(value), sum(r.step = value)"
            " FROM point p JOIN rows r ON r.seq = p.row"
        ).fetchone()
    finally:
        database.close()
    assert found == (rows, 0.0, rows - 1.0, rows * (rows - 1) / 2, rows)
    assert problems(tmp_path / "data") == []


def test_what_cannot_be_kept_is_counted_and_the_rest_of_its_row_is_kept(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = store.init(dir=tmp_path / "data", settings={**SETTINGS, "silent": False})
    for count in range(10):
        run.log({"good": count, "large": 2**70, "odd": object(), "k" * 10_000: 1})
    run.finish()
    folder = only_run(tmp_path / "data")
    assert [row.data for row in rows_of(folder)] == [{"good": count} for count in range(10)]
    counts = [
        row.data["counts"]
        for row in rows_of(folder, Kind.EVENT)
        if row.data.get("type") == "refused"
    ][-1]
    assert sorted(counts.values()) == [10, 10, 10]
    errors = capfd.readouterr().err
    for reason in counts:
        assert errors.count(reason) == 1
    assert problems(tmp_path / "data") == []
