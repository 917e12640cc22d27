"""kill -9 at random moments: no acknowledged row is lost, none is doubled, `check` is clean."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from store.paths import RunFolder, StoreFolder
from tests.helpers import (
    acknowledged,
    counts_by_writer,
    kill,
    make_seed,
    only_run,
    open_gates,
    problems,
    rows_of,
    start,
    start_gated,
)

WRITERS = 8


def one_round(folder: Path, seed: int) -> None:
    """Eight writers and two folders of one run; all are killed, and so is the recovery."""
    choose = random.Random(seed)
    store_path = folder / "store"
    run_path = store_path / "local" / "crash" / "r1"
    writers = [
        start_gated("log_rows", store_path, "r1", n, folder / f"ack{n}", choose.choice(MEDIA), 0)
        for n in range(WRITERS)
    ]
    open_gates(writers)
    folders = [start("fold_runs", run_path, 0) for _ in range(2)]
    time.sleep(choose.random() * 0.3)
    for process in choose.sample(writers + folders, len(writers + folders)):
        time.sleep(choose.random() * 0.05)
        kill(process)
    recovery = start("fold_runs", run_path, 0)
    time.sleep(choose.random() * 0.3)
    kill(recovery)
    verify(store_path, folder)


MEDIA = ("mmap", "write")


def verify(store_path: Path, folder: Path) -> None:
    run: RunFolder = only_run(store_path)
    logged = counts_by_writer(rows_of(run))
    for n in range(WRITERS):
        counts = logged.get(float(n), [])
        assert counts == list(range(len(counts))), f"writer {n}: lost or doubled"
        known = acknowledged(folder / f"ack{n}")
        assert max(known, 0) <= len(counts) <= known + 1 or known < 0, (
            f"{n}: {known}, {len(counts)}"
        )
    assert problems(StoreFolder(store_path)) == []
    assert list(run.journals.iterdir()) == []


def test_kill_nine_loses_and_doubles_nothing(tmp_path: Path) -> None:
    seed = make_seed()
    for number in range(25):
        folder = tmp_path / str(number)
        folder.mkdir()
        one_round(folder, seed + number)


@pytest.mark.long
@pytest.mark.timeout(4 * 3600)
def test_kill_nine_a_thousand_times(tmp_path: Path) -> None:
    seed = make_seed()
    for number in range(1000):
        folder = tmp_path / str(number)
        folder.mkdir()
        one_round(folder, seed + number)
