"""Sixteen writers, folders and readers on one run: nothing lost, nothing doubled, no file left."""

from __future__ import annotations

from pathlib import Path

import pytest

import store
from tests.helpers import (
    counts_by_writer,
    kill,
    only_run,
    open_gates,
    problems,
    rows_of,
    start,
    start_gated,
)

WRITERS, ROWS = 16, 400


@pytest.mark.parametrize("medium", ["mmap", "write"])
def test_sixteen_writers_of_one_run(tmp_path: Path, medium: str) -> None:
    folder = tmp_path / "s"
    writers = [
        start_gated("log_rows", folder, "r1", n, tmp_path / f"ack{n}", medium, ROWS)
        for n in range(WRITERS)
    ]
    open_gates(writers)
    folders = [start("fold_runs", folder / "local" / "crash" / "r1", 0) for _ in range(2)]
    seen = 0
    while any(writer.poll() is None for writer in writers):
        counted = store.sql("select count(*) from metrics where key = 'k'", path=folder).rows[0][0]
        assert counted >= seen, "rows that were seen are gone"
        seen = counted
    for process in folders:
        kill(process)
    for writer in writers:
        writer.communicate(timeout=60)
        assert writer.returncode == 0
    logged = counts_by_writer(rows_of(only_run(folder)))
    assert logged == {float(n): list(range(ROWS)) for n in range(WRITERS)}
    assert store.open(folder).runs["r1"].state == "finished"
    assert list(only_run(folder).journals.iterdir()) == []
    assert problems(folder) == []
