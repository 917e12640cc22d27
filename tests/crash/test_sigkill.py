"""kill -9 at random moments: no acknowledged row is lost, none is doubled, `check` is clean.

Most rounds, and the campaign of a thousand, are quick ones: their workers are forked, live shorter,
and two rounds are underway at once.
"""

from __future__ import annotations

import multiprocessing
import random
import shutil
import signal
import time
from concurrent.futures import FIRST_EXCEPTION, ProcessPoolExecutor, wait
from itertools import pairwise
from pathlib import Path
from types import FrameType

import pytest

from store.paths import StoreFolder
from tests.helpers import (
    Worker,
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
from tests.workers.forked import Forked

MEDIA = ("mmap", "write")
WRITERS = 8
ROUND_SECONDS = 300


def one_round(folder: Path, seed: int, forked: bool = False) -> None:
    """Eight writers and two folders of one run; all are killed, and so is the recovery."""
    folder.mkdir()
    workers: list[Worker] = []
    try:
        crash(folder / "store", random.Random(seed), forked, workers)
        verify(folder / "store", [acknowledged(folder / f"ack{n}") for n in range(WRITERS)])
    except BaseException as error:
        error.add_note(f"in the round of seed {seed}: the first one with RUNSTORE_TEST_SEED={seed}")
        raise
    finally:
        for worker in workers:
            kill(worker)
    shutil.rmtree(folder)


def crash(store_path: Path, choose: random.Random, forked: bool, workers: list[Worker]) -> None:
    """Every worker is in `workers` as soon as it is started."""
    run_path = store_path / "local" / "crash" / "r1"
    start_writer, start_folder = (Forked, Forked) if forked else (start_gated, start)
    pace = 0.3 if forked else 1.0
    for n in range(WRITERS):
        ack, medium = store_path.parent / f"ack{n}", choose.choice(MEDIA)
        workers.append(start_writer("log_rows", store_path, "r1", n, ack, medium, 0))
    open_gates(workers)
    workers += [start_folder("fold_runs", run_path, 0) for _ in range(2)]
    time.sleep(choose.random() * 0.3 * pace)
    for worker in choose.sample(workers, len(workers)):
        time.sleep(choose.random() * 0.05 * pace)
        kill_running(worker)
    workers.append(start_folder("fold_runs", run_path, 0))
    time.sleep(choose.random() * 0.3)
    kill_running(workers[-1])


def kill_running(worker: Worker) -> None:
    kill(worker)
    assert worker.returncode == -signal.SIGKILL, "it had ended by itself, see its stderr"


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
    found = problems(StoreFolder(store_path))
    assert found == [], f"{found}\n{what_is_left(run)}"
    assert list(run.journals.iterdir()) == [], what_is_left(run)


def odd_ones(counts: list[int]) -> str:
    """Where the rows of a writer do not follow one another."""
    pairs = [(a, b) for a, b in pairwise([-1, *counts]) if b != a + 1]
    return ", ".join(f"{b} after {a}" for a, b in pairs[:10])


@pytest.mark.parametrize("part", range(2))
def test_kill_nine_loses_and_doubles_nothing(tmp_path: Path, part: int) -> None:
    seed = make_seed()
    for number in range(5):
        one_round(tmp_path / str(number), seed + number)


def test_kill_nine_of_forked_writers(tmp_path: Path) -> None:
    quick_rounds(tmp_path, 15)


@pytest.mark.long
@pytest.mark.timeout(2 * 3600)
def test_a_thousand_rounds_of_kill_nine(tmp_path: Path) -> None:
    quick_rounds(tmp_path, 1000)


def quick_rounds(folder: Path, count: int) -> None:
    seed = make_seed()
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        rounds = [pool.submit(quick_round, folder / str(n), seed + n) for n in range(count)]
        try:
            wait(rounds, return_when=FIRST_EXCEPTION)
        finally:
            pool.shutdown(cancel_futures=True)
    for done in rounds:
        if not done.cancelled():
            done.result()


def quick_round(folder: Path, seed: int) -> None:
    """One round in a process of its own, where it cannot hang unseen."""
    signal.signal(signal.SIGALRM, give_up)
    signal.alarm(ROUND_SECONDS)
    try:
        one_round(folder, seed, forked=True)
    finally:
        signal.alarm(0)


def give_up(number: int, frame: FrameType | None) -> None:
    raise TimeoutError("the round does not end")
