"""One `store sync --watch` over many stored runs, some of them live: CPU when idle, and latency."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Final

import psutil
from live_runs import LiveRuns, live_runs
from measure import Figure, scratch_folder
from sync_sides import Server, cpu_of, serving, start_client

from store.paths import StoreFolder
from store.sync.receive import positions_in

IDLE_SECONDS: Final = 20.0
LATENCIES: Final = 10
LIMIT_SECONDS: Final = 300.0
LOOK_SECONDS: Final = 0.01


def measure_watch(build: Callable[[Path], StoreFolder], stored: int, live: int) -> list[Figure]:
    """Let it send everything, look at it while nothing happens, then log single rows.

    `build` makes the store with its `stored` finished runs.
    """
    with scratch_folder() as folder:
        build(folder / "store")
        with serving(folder / "server") as server, live_runs(folder / "store", live) as worker:
            watcher = start_client(folder / "store", server.url, server.key, "--watch")
            try:
                _await(lambda: server.runs() == stored + live, "all runs at the server")
                time.sleep(5.0)
                idle = _idle_cpu(watcher.pid)
                waits = [_latency(server, worker, n % live) for n in range(LATENCIES)]
                first = [_latency(server, worker, live + n) for n in range(LATENCIES)]
            finally:
                watcher.terminate()
                watcher.communicate(timeout=60)
    what = f"{stored:,} stored runs, {live} live"
    notes = [f"median {median(seconds):.2f} s of {LATENCIES}" for seconds in (waits, first)]
    return [
        Figure(f"watcher of {what}, idle", idle * 100, "% of a core", 2.0),
        Figure("a new row on the server, the longest", max(waits), "s", 2.0, notes[0]),
        Figure("the first row of a new run, the longest", max(first), "s", 2.0, notes[1]),
    ]


def _await(is_so: Callable[[], bool], what: str) -> None:
    limit = time.monotonic() + LIMIT_SECONDS
    while not is_so():
        if time.monotonic() > limit:
            raise SystemExit(f"not within {LIMIT_SECONDS:.0f} s: {what}")
        time.sleep(0.5)


def _idle_cpu(pid: int) -> float:
    """The part of a core that the watcher takes; what it still has to do at first is let pass."""
    process = psutil.Process(pid)
    began, before = time.monotonic(), cpu_of(process)
    time.sleep(IDLE_SECONDS)
    return (cpu_of(process) - before) / (time.monotonic() - began)


def _latency(server: Server, worker: LiveRuns, run: int) -> float:
    """Seconds from log() until the server has the row on its disk."""
    here = StoreFolder(server.data)

    def rows() -> int:
        found = positions_in(here, "admin", "live", f"live{run:02}")
        return sum(position for position, _ in found.values())

    before = rows()
    moment = worker.log(run)
    limit = moment + 60.0
    while rows() == before:
        if time.time() > limit:
            raise SystemExit("a new row does not arrive")
        time.sleep(LOOK_SECONDS)
    return time.time() - moment
