"""Log rows to one target in this interpreter and write down what each call took.

    python log_worker.py TARGET JOB

JOB is JSON: shape, rows, pace (flat | cold | bound), seconds (cap), settings (for store.init),
folder, answer (file that gets the figures, as JSON; times in microseconds, or as named).
Paces: flat = one call after the other; cold = 8 MB are read before each call, so that the caches
hold none of the tracker's memory; bound = 0.5 ms of Python a row, as a training loop has it.
"""

from __future__ import annotations

import gc
import json
import sys
from array import array
from collections.abc import Callable
from pathlib import Path
from time import perf_counter, perf_counter_ns
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).parent))

from rows import make_rows
from targets import MODULES, Target, open_target

WARM_UP: Final = 200
WORK_SECONDS: Final = 0.0005
_EVICTION: Final = bytes(8 * 2**20)


def read_memory() -> None:
    """Read 8 MB without handing the interpreter over."""
    assert _EVICTION.find(1) < 0


def work() -> None:
    """0.5 ms of Python."""
    until = perf_counter() + WORK_SECONDS
    total = 0
    while perf_counter() < until:
        total += 1


PACES: Final[dict[str, Callable[[], None] | None]] = {
    "flat": None,
    "cold": read_memory,
    "bound": work,
}


def measure(target: Target, job: dict[str, Any]) -> dict[str, float]:
    """Time each call of `target.log`; p50, p99, max in microseconds, the rows that were logged."""
    between = PACES[job["pace"]]
    warm = min(WARM_UP, job["rows"] // 10)
    rows = make_rows(job["shape"], job["rows"] + warm)
    took, log, now = array("q"), target.log, perf_counter_ns
    # A cap makes slow trackers log fewer rows, not fewer benchmarks; it holds for both loops.
    until = perf_counter() + job["seconds"] / 2
    warmed = 0
    for row in rows[:warm]:
        log(row)
        warmed += 1
        if perf_counter() > until:
            break
    gc.collect()
    began = perf_counter()
    until = began + job["seconds"]
    for row in rows[warm:]:
        if between is not None:
            between()
        start = now()
        log(row)
        took.append(now() - start)
        if perf_counter() > until:
            break
    logging = perf_counter() - began
    return summarize(took) | {"rows": len(took) + warmed, "logging_s": logging}


def summarize(took: array[int]) -> dict[str, float]:
    """p50, p99 and max of nanoseconds, in microseconds."""
    times = sorted(took)
    last = len(times) - 1
    return {
        "p50": times[last // 2] / 1e3,
        "p99": times[min(last, int(last * 0.99))] / 1e3,
        "max": times[last] / 1e3,
    }


def main() -> None:
    """Measure one job."""
    name, job = sys.argv[1], json.loads(sys.argv[2])
    folder = Path(job.get("folder", "."))
    began = perf_counter()
    if name not in ("msgpack", "msgpack-crc", "sqlite"):
        __import__(MODULES.get(name, name))
    imported = perf_counter()
    target = open_target(name, folder.resolve(), job.get("settings", {}))
    opened = perf_counter()
    found = measure(target, job)
    ending = perf_counter()
    target.finish()
    found |= {
        "import_s": imported - began,
        "init_s": opened - imported,
        "finish_s": perf_counter() - ending,
    }
    Path(job["answer"]).write_text(json.dumps(found))


if __name__ == "__main__":
    main()
