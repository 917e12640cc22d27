"""Shared mode beside local mode: log(), fold, snapshot, how soon another host sees a row, and how
much a watcher asks of the file server.

The "hosts" are processes with a name and a cache of their own on this machine, and the share is a
folder of a local disk unless --dir names another: times here are of the code and not of a network.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Final
from unittest.mock import patch

from measure import (
    HERE,
    Figure,
    clean_environment,
    print_figures,
    print_machine,
    scratch_folder,
    use_folder,
)
from processes import release
from shared_watch import measure_watch

import store
from store.fold import fold
from store.paths import StoreFolder
from store.shared.publish import publish

WATCH_SECONDS: Final = 300.0
"""In which a watcher has looked at all runs of a shared store once."""

_caches: Final = tempfile.TemporaryDirectory(prefix="runstore-caches-")
"""On a disk of this machine's own, wherever the share lies."""


def host(name: str, folder: Path, mode: str = "shared") -> dict[str, str]:
    """The variables that make a process one of the host `name`."""
    cache = Path(_caches.name) / folder.name / name
    cache.mkdir(parents=True, exist_ok=True)
    return {"STORE_HOST": name, "STORE_CACHE": os.fspath(cache), "STORE_DISK": mode}


# -- log() -------------------------------------------------------------------------------------


def measure_log(mode: str, writers: int, rows: int) -> dict[str, float]:
    """p50 and p99 of log() in us, medians over the writers of one run; and rows lost."""
    with scratch_folder() as folder:
        processes, answers = [], []
        for n in range(writers):
            answers.append(folder / f"answer-{n}.json")
            job = {
                "store": os.fspath(folder / "store"),
                "run_id": "run",
                "rows": rows,
                "pace": 0.0,
                "answer": os.fspath(answers[-1]),
            }
            processes.append(
                subprocess.Popen(
                    [sys.executable, HERE / "process_worker.py", json.dumps(job)],
                    env=clean_environment() | host(f"node-{n % 2}", folder, mode),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                )
            )
        release(processes)
        found = [json.loads(answer.read_text()) for answer in answers]
        with patch.dict(os.environ, host("reader", folder, mode)):
            (there,) = store.sql(
                "select count(distinct step) from metrics group by writer limit 1",
                path=folder / "store",
            ).rows[0]
    return {key: median(one[key] for one in found) for key in ("p50", "p99", "finish_s")} | {
        "lost": rows - there
    }


def compare_log(rows: int) -> list[Figure]:
    figures = []
    for writers in (1, 8):
        local = measure_log("local", writers, rows)
        shared = measure_log("shared", writers, rows)
        for key in ("p50", "p99"):
            note = f"{shared[key] / local[key]:.2f}x local mode"
            figures += [
                Figure(f"log() {key}, {writers} writers of a run, local", local[key], "us"),
                Figure(
                    f"log() {key}, {writers} writers of a run, shared", shared[key], "us", note=note
                ),
            ]
        figures.append(
            Figure(f"rows lost, {writers} writers", local["lost"] + shared["lost"], "", 0)
        )
    return figures


# -- fold and snapshot -------------------------------------------------------------------------


def measure_fold(rows: int) -> list[Figure]:
    """What a host pays to see a run of `rows` x 10 floats: from journals, and from a snapshot."""
    with scratch_folder() as folder, patch.dict(os.environ, host("writer", folder)):
        run = store.init(
            dir=folder / "store",
            project="bench",
            id="run",
            settings={"git": False, "console": "off", "silent": True},
        )
        names = [f"m{n}" for n in range(10)]
        for step in range(rows):
            run.log(dict.fromkeys(names, step * 0.5))
        run.flush(durable=True)
        times = {}
        for name in ("reader", "publisher", "newcomer"):
            with patch.dict(os.environ, host(name, folder)):
                (found,) = StoreFolder(folder / "store").runs()
                began = time.perf_counter()
                if name == "publisher":
                    fold(found, timeout=60.0)
                    began = time.perf_counter()
                    publish(found)
                else:
                    fold(found, timeout=60.0)
                times[name] = time.perf_counter() - began
        run.finish()
    per_row = times["reader"] / rows * 1e6
    return [
        Figure(
            f"first fold of {rows:,} rows x 10 on a host",
            times["reader"],
            "s",
            note=f"{per_row:.1f} us a row",
        ),
        Figure("a snapshot of it", times["publisher"], "s"),
        Figure(
            "first look of another host, from the snapshot",
            times["newcomer"],
            "s",
            note=f"{times['reader'] / times['newcomer']:.0f}x sooner than from journals",
        ),
    ]


# -- another host ------------------------------------------------------------------------------


def measure_delay(looks: int) -> Figure:
    """Seconds from log() on one host to the row in a query on another, which looks all the time."""
    waits = []
    with scratch_folder() as folder:
        with patch.dict(os.environ, host("writer", folder)):
            run = store.init(
                dir=folder / "store",
                project="bench",
                id="run",
                settings={"git": False, "console": "off", "silent": True},
            )
            run.log({"n": -1.0})
        reader = host("reader", folder)
        with patch.dict(os.environ, reader), store.open(folder / "store") as opened:
            for n in range(looks):
                run.log({"n": float(n)})
                began = time.perf_counter()
                while opened.runs["run"].series("n").values[-1] != n:
                    pass
                waits.append(time.perf_counter() - began)
                time.sleep(0.2)
        run.finish()
    middle = median(waits) * 1e3
    note = f"median {middle:.0f} ms of {looks}; on a network disk up to 1 s more, for the fsync"
    return Figure("until another host sees a row, the longest", max(waits) * 1e3, "ms", note=note)


# -- what a watcher asks of the file server ----------------------------------------------------


def measure_watcher(stored: int, seconds: float) -> list[Figure]:
    """Counts of `store sync --watch` on a store of `stored` ended runs, and then 8 live ones."""
    with scratch_folder() as folder:
        _make_runs(folder, stored)
        return measure_watch(
            folder / "store",
            Path(_caches.name) / folder.name,
            lambda name: host(name, folder),
            live=8,
            seconds=seconds,
        )


def _make_runs(folder: Path, count: int) -> None:
    with patch.dict(os.environ, host("maker", folder)):
        for n in range(count):
            run = store.init(
                dir=folder / "store",
                project="bench",
                id=f"ended{n:04}",
                settings={"git": False, "console": "off", "silent": True},
            )
            run.log({"n": float(n)})
            run.finish()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rows and runs")
    parser.add_argument(
        "--dir", type=Path, help="where the share lies (default: a temporary folder)"
    )
    parser.add_argument("--runs", type=int, help="stored runs of the watcher's part")
    options = parser.parse_args()
    use_folder(options.dir)
    rows, stored = (2_000, 50) if options.quick else (20_000, 1_000)
    print_machine()
    print_figures("log() on a shared disk", compare_log(rows))
    print_figures("Reading on another host", [*measure_fold(rows), measure_delay(10)])
    print_figures(
        "A watcher on the login node", measure_watcher(options.runs or stored, WATCH_SECONDS)
    )


if __name__ == "__main__":
    main()
