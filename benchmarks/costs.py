"""What tracking costs besides log(): importing, init(), finish(), bytes on disk, memory."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from statistics import median
from typing import Any, Final

from measure import Figure, Figures, clean_environment, middle, run_worker, scratch_folder

ROWS: Final = 10_000
POINTS: Final = 100_000
_IMPORT: Final = """
import time
began = time.perf_counter()
{code}
print(time.perf_counter() - began)
"""
IMPORTS: Final = {
    "import store": ("import store", None),
    "import store, with all that init() needs": ("import store; store.init", 60.0),
}
_IDLE: Final = """
import sys, time
{code}
time.sleep(2)
print("idle", flush=True)
sys.stdin.readline()
"""
_OPEN: Final = """
import store
run = store.init(project="bench", dir={folder!r}, settings={{"silent": True}})
"""


def measure_all(rounds: int) -> list[Figure]:
    """All figures, each with its aim."""
    found = [middle(list(some)) for some in zip(*_rounds(rounds), strict=True)]
    imports, opened, finished, sizes = found
    return [
        *(Figure(k, imports[k], "ms", aim) for k, (_, aim) in IMPORTS.items()),
        Figure("first init() of a process, in a new store", opened["first"], "ms"),
        Figure("second init() of the process", opened["second"], "ms", 50.0),
        Figure("first init() of another process, same store", opened["other"], "ms"),
        *finish_figures(finished),
        Figure("bytes a point, 10 metrics a row", sizes["ten"], "bytes", 30.0),
        Figure("bytes a point, 1 metric a row", sizes["one"], "bytes", 65.0),
        Figure("memory of an idle tracker", median(measure_memory(rounds)), "MB", 15.0),
    ]


def _rounds(rounds: int) -> Iterator[tuple[Figures, ...]]:
    for _ in range(rounds):
        yield (
            {k: measure_import(code, rounds=5) for k, (code, _) in IMPORTS.items()},
            measure_init(),
            run_worker("finish_worker.py", rows=ROWS),
            measure_sizes(POINTS),
        )


def finish_figures(found: Figures) -> list[Figure]:
    """finish() after 10,000 rows, and its parts."""
    return [
        Figure(f"SQL alone of {ROWS:,} rows", found["sql"] * 1e3, "ms"),
        Figure(f"finish() after {ROWS:,} rows", found["finish"] * 1e3, "ms"),
        Figure("the same against its SQL", found["finish"] / found["sql"], "x", 1.3),
        Figure("the same, CPU against CPU", found["finish_cpu"] / found["sql_cpu"], "x"),
        Figure(f"finish() 1 s after {ROWS:,} rows, fold as it ships", found["usual"] * 1e3, "ms"),
        Figure("finish() right after init()", found["at_once"] * 1e3, "ms"),
        Figure("finish() right after init(), settings.git off", found["no_git"] * 1e3, "ms"),
    ]


def _python(code: str) -> float:
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return float(done.stdout.split()[-1])


def measure_import(code: str, rounds: int) -> float:
    """Milliseconds in a fresh interpreter, the median of `rounds`."""
    return median(_python(_IMPORT.format(code=code)) * 1e3 for _ in range(rounds))


def measure_init() -> Figures:
    """Milliseconds of the first init() in a new store, the second, and another process's first."""
    code = """
import sys, time
import store
store.init
times = []
for _ in range(2):
    began = time.perf_counter()
    run = store.init(project="bench", dir={folder!r}, settings={{"silent": True}})
    times.append(time.perf_counter() - began)
    run.finish()
print(times[{which}])
"""
    with scratch_folder() as folder:
        place = os.fspath(folder / "store")
        first = _python(code.format(folder=place, which=0))
        second = _python(code.format(folder=place, which=1))
        other = _python(code.format(folder=place, which=0))
    return {"first": first * 1e3, "second": second * 1e3, "other": other * 1e3}


def measure_sizes(points: int) -> Figures:
    """Bytes of run.db a point, at ten metrics a row and at one."""
    found = {}
    for key, shape, rows in (("ten", "floats", points // 10), ("one", "one", points)):
        with scratch_folder() as folder:
            job: dict[str, Any] = {"shape": shape, "rows": rows, "pace": "flat", "seconds": 600.0}
            run_worker("log_worker.py", "store", **job, settings={}, folder=os.fspath(folder))
            (database,) = folder.rglob("run.db")
            found[key] = database.stat().st_size / points
    return found


def measure_memory(rounds: int) -> list[float]:
    """Megabytes of resident memory that an idle tracker adds to a bare interpreter."""
    found = []
    for _ in range(rounds):
        with scratch_folder() as folder:
            opened = _idle(_OPEN.format(folder=os.fspath(folder)))
        found.append((opened - _idle("")) / 1e6)
    return found


def _idle(code: str) -> int:
    import psutil

    process = subprocess.Popen(
        [sys.executable, "-c", _IDLE.format(code=code)],
        env=clean_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.readline()
    memory: int = psutil.Process(process.pid).memory_info().rss
    process.communicate(b"\n", timeout=60)
    return memory
