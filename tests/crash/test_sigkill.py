"""kill -9 at random moments: no acknowledged row is lost, none is doubled, `check` is clean."""

from __future__ import annotations

import random
import time
from itertools import pairwise
from pathlib import Path

import pytest

from store.paths import StoreFolder
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
    what_is_left,
)

MEDIA = ("mmap", "write")
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
    verify(store_path, [acknowledged(folder / f"ack{n}") for n in range(WRITERS)])


def verify(store_path: Path, known: list[int]) -> None:
    run = only_run(store_path)
    logged = counts_by_writer(rows_of(run))
    for n, rows in enumerate(known):
        counts = logged.get(float(n), [])
        assert counts == list(range(len(counts))), (
            f"writer {n}: lost or doubled, {rows} acknowledged: {odd_ones(counts)}\n"
            f"{what_is_left(run)}"
        )
        assert rows <= len(counts) <= rows + 1, (
            f"writer {n}: {rows} acknowledged, {len(counts)} found\n{what_is_left(run)}"
        )
    assert problems(StoreFolder(store_path)) == [], what_is_left(run)
    assert list(run.journals.iterdir()) == []


def odd_ones(counts: list[int]) -> str:
    """Where the rows of a writer do not follow one another."""
    pairs = [(a, b) for a, b in pairwise([-1, *counts]) if b != a + 1]
    return ", ".join(f"{b} after {a}" for a, b in pairs[:10])


@pytest.mark.parametrize(
    "rounds", [25, pytest.param(1000, marks=[pytest.mark.long, pytest.mark.timeout(4 * 3600)])]
)
def test_kill_nine_loses_and_doubles_nothing(tmp_path: Path, rounds: int) -> None:
    seed = make_seed()
    for number in range(rounds):
        folder = tmp_path / str(number)
        folder.mkdir()
        one_round(folder, seed + number)
