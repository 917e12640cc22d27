"""Many processes writing one run, against the same processes writing a run each.

All writers are released together, with the same rows at the same pace; the two ways take turns,
round after round. Afterwards the run databases are counted: every acknowledged row must be there.
With fewer cores than writers the writers wait for a core most of the time; this falls on both ways
alike, so look at the ratio.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Final

from measure import (
    HERE,
    Figure,
    Figures,
    clean_environment,
    middle,
    number,
    print_figures,
    print_machine,
    print_table,
    scratch_folder,
    use_folder,
)

from store.database import RunDatabase
from store.fold import fold
from store.paths import StoreFolder
from store.row import Kind

AIM: Final = 1.5


def run_writers(folder: Path, writers: int, rows: int, pace: float, *, shared: bool) -> Figures:
    """Let all of them write at once; medians over the writers, the worst where it is named so."""
    place = folder / "store"
    processes, answers = [], []
    for n in range(writers):
        answers.append(folder / f"answer-{n}.json")
        job = {
            "store": os.fspath(place),
            "run_id": "shared" if shared else f"own-{n}",
            "rows": rows,
            "pace": pace,
            "answer": os.fspath(answers[-1]),
        }
        processes.append(
            subprocess.Popen(
                [sys.executable, HERE / "process_worker.py", json.dumps(job)],
                env=clean_environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
        )
    release(processes)
    found = [json.loads(answer.read_text()) for answer in answers]
    figures = {key: median(one[key] for one in found) for key in found[0]}
    for key in ("max", "finish_s", "longest_ms"):
        figures[key] = max(one[key] for one in found)
    figures["refused"] = sum(one["refused"] for one in found)
    figures["lost"] = writers * rows - count_rows(place)
    return figures


def release(processes: list[subprocess.Popen[bytes]]) -> None:
    """Wait until all are ready, let them go, wait for their ends."""
    for process in processes:
        assert process.stdout is not None
        process.stdout.readline()
    for process in processes:
        assert process.stdin is not None
        process.stdin.write(b"go\n")
        process.stdin.flush()
    for process in processes:
        if process.wait(timeout=600) != 0:
            raise SystemExit(f"a writer ended with exit code {process.returncode}")
        assert process.stdout is not None
        assert process.stdin is not None
        process.stdout.close()
        process.stdin.close()


def count_rows(place: Path) -> int:
    """Metric rows in all runs of a store, after a fold."""
    total = 0
    for run in StoreFolder(place).runs():
        fold(run, timeout=60.0)
        database = RunDatabase(run.database, write=False)
        (count,) = database.execute(
            "SELECT count(*) FROM rows WHERE kind = ?", (int(Kind.METRIC),)
        ).fetchone()
        database.close()
        total += count
    return total


HEADS: Final = (
    *("writers", "p50 us", "p99 us", "worst max ms", "rows/s", "worst finish s"),
    *("lock taken, each", "waited ms, each", "longest wait ms", "refused, all", "rows lost"),
)


def compare(writers: int, rows: int, pace: float, rounds: int, title: str) -> list[Figure]:
    """Both ways in turn, the table, and the figures with their aims."""
    found: dict[bool, list[Figures]] = {True: [], False: []}
    for turn in range(rounds):
        for shared in (True, False) if turn % 2 == 0 else (False, True):
            with scratch_folder() as folder:
                found[shared].append(run_writers(folder, writers, rows, pace, shared=shared))
    lines, middles = [], {way: middle(some) for way, some in found.items()}
    for shared, one in middles.items():
        lost = max(turn["lost"] for turn in found[shared])
        per_second = writers * rows / one["logging_s"]
        values = (one["p50"], one["p99"], one["max"] / 1e3, per_second, one["finish_s"])
        locks = (one["folds"], one["waited_ms"], one["longest_ms"], one["refused"], lost)
        label = f"{writers} in {'one run' if shared else f'{writers} runs'}"
        lines.append([label, *map(number, (*values, *locks))])
    print_table(title, HEADS, lines)
    one, own = middles[True], middles[False]
    every = [turn["lost"] for some in found.values() for turn in some]
    return [
        Figure(f"p50 of one run against own runs, {title}", one["p50"] / own["p50"], "x", AIM),
        Figure(f"p99 of one run against own runs, {title}", one["p99"] / own["p99"], "x", AIM),
        Figure(f"rows lost or doubled in any round, {title}", max(map(abs, every)), "rows", 0.0),
    ]


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="4 writers, few rows, one round")
    parser.add_argument("--writers", type=int, help="processes (default 16; --quick 4)")
    parser.add_argument("--rounds", type=int, help="rounds (default 3; --quick 1)")
    parser.add_argument("--dir", type=Path, help="folder on the disk to be measured")
    chosen = parser.parse_args()
    use_folder(chosen.dir)
    writers = chosen.writers or (4 if chosen.quick else 16)
    rounds = chosen.rounds or (1 if chosen.quick else 3)
    rows = 500 if chosen.quick else 4_000
    print_machine()
    figures = [
        *compare(writers, rows // 2, 0.005, rounds, "a row each 5 ms"),
        *compare(writers, rows, 0.0, rounds, "flat out"),
    ]
    print_figures("One run against own runs", figures)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
