"""How long questions about many runs take: in one process, the best and the median of repetitions.

The stores are built by `RunDatabase.absorb`, which is what a fold of real journals calls, in a
temporary folder, or in `--keep FOLDER`, where they are found again the next time. The first answer
reads every run that changed, the warm ones are what a page or a notebook meets from then on.
"""

from __future__ import annotations

import argparse
import os
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any, Final

from measure import Figure, print_figures, print_machine, scratch_folder, use_folder

import store
from store.database import RunDatabase
from store.paths import RunFolder, create_store
from store.row import Kind

REPEATS: Final = 7
CHUNK: Final = 10_000
FIRST_TIME: Final = 1_700_000_000.0


def make_run(folder: RunFolder, number: int, rows: int, metrics: int) -> None:
    """One finished run of one writer: `rows` rows of `metrics` floats, the first being the loss."""
    folder.path.mkdir(parents=True)
    database = RunDatabase(folder.database)
    database.execute("PRAGMA synchronous = OFF")
    uuid = f"{number:032x}"
    pending: list[tuple[int, int, int, float, dict[str, Any]]] = []
    for row in _rows(number, rows, metrics):
        pending.append(row)
        if len(pending) == CHUNK:
            database.absorb(uuid, pending)
            pending = []
    database.absorb(uuid, pending)
    with database.transaction():
        database.end_sources([uuid])
    database.close()


def _rows(
    number: int, rows: int, metrics: int
) -> Iterator[tuple[int, int, int, float, dict[str, Any]]]:
    source, began = random.Random(number), FIRST_TIME + 100 * number
    names = ["loss", *(f"metric/{n}" for n in range(1, metrics))]
    opening = {"host": "host", "pid": number + 1, "label": None, "store": "", "parent": None}
    yield (1, Kind.OPEN, 0, began, opening)
    yield (2, Kind.ATTRIBUTE, 0, began, {"name": f"run-{number}", "tags": ["bench"]})
    yield (3, Kind.CONFIG, 0, began, {"lr": source.random(), "layers": number % 7, "seed": number})
    for step in range(rows):
        data = {name: source.random() for name in names}
        data["loss"] = 1.0 / (step + 1 + source.random())
        yield (4 + step, int(Kind.METRIC), step, began + step * 0.01, data)
    end = {"state": "finished", "exit_code": 0}
    yield (4 + rows, Kind.END, rows, began + rows * 0.01, end)


def build(folder: Path, runs: int, rows: int, metrics: int) -> Path:
    """A store of `runs` runs, made where it is not there yet; gives its folder."""
    made = create_store(folder)
    began, count = time.perf_counter(), 0
    for number in range(runs):
        run = made.run("local", "bench", f"run{number:05}")
        if not run.exists():
            make_run(run, number, rows, metrics)
            count += 1
    if count:
        seconds = time.perf_counter() - began
        print(f"built {count} runs of {rows} rows and {metrics} metrics in {seconds:.0f} s")
    return folder


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    """Milliseconds, and what the call gave."""
    began = time.perf_counter()
    given = call()
    return (time.perf_counter() - began) * 1e3, given


def figures_of(what: str, aim: float | None, call: Callable[[], Any], note: str) -> list[Figure]:
    """The first answer, and the median of the warm ones, which the aim is for."""
    first, _ = timed(call)
    warm = [timed(call)[0] for _ in range(REPEATS)]
    return [
        Figure(f"{what}, first", first, "ms"),
        Figure(f"{what}, warm", median(warm), "ms", aim, f"{note}; best {min(warm):.1f}"),
    ]


BEST: Final = "SELECT run, value FROM summary WHERE key = 'loss' ORDER BY value LIMIT 1"
SERIES: Final = "SELECT run, step, value FROM metrics WHERE key = 'loss'"


def ask_best(path: Path, runs: int) -> list[Figure]:
    """The best run by its final loss; the first time reads every run."""
    with store.open(path) as opened:

        def best() -> None:
            (found,) = opened.sql(BEST).rows
            assert str(found[0]).startswith("run")

        return figures_of(f"best of {runs:,} runs by final loss", 50.0, best, "store.sql")


def ask_metric(path: Path, runs: int, rows: int) -> list[Figure]:
    """One metric of all runs of a store, every point of it."""
    with store.open(path) as opened:

        def points() -> None:
            assert len(opened.sql(SERIES).rows) == runs * rows

        what = f"one metric of {runs} runs of {rows:,} rows"
        return figures_of(what, 500.0, points, f"store.sql, {runs * rows:,} points")


def ask_series(path: Path, rows: int, metrics: int) -> list[Figure]:
    """One metric of one long run."""
    with store.open(path) as opened:
        run = opened.runs["run00000"]

        def series() -> None:
            assert len(run.series("loss")) == rows

        what = f"series of {rows:,} points out of {rows * metrics:,}"
        return figures_of(what, 100.0, series, "StoredRun.series")


def ask_listing(path: Path) -> list[Figure]:
    """What `store ls` asks for: a line per run, after a look for changes."""
    with store.open(path) as opened:

        def listing() -> int:
            opened.refresh()
            return len(opened.catalogue.lines())

        first, runs = timed(listing)
        warm = [timed(listing)[0] for _ in range(REPEATS)]
    with store.open(path) as again:
        fresh, _ = timed(lambda: (again.refresh(), again.catalogue.lines()))
    what = f"a line for each of {runs:,} runs"
    return [
        Figure(f"{what}, first", first, "ms", None, "reads every run"),
        Figure(f"{what}, warm", median(warm), "ms", None, f"best {min(warm):.1f}"),
        Figure(f"{what}, catalogue opened anew", fresh, "ms"),
    ]


def measure(folder: Path, *, quick: bool) -> list[Figure]:
    """Build the stores and ask."""
    os.environ["STORE_CACHE"] = os.fspath(folder / "cache")
    scale = 10 if quick else 1
    rows = 100_000 // scale
    many = build(folder / "many", 1_000 // scale, 100, 5)
    some = build(folder / "some", 200 // scale, 1_000, 5)
    long = build(folder / "long", 1, rows, 10)
    listed = build(folder / "listed", 5_000 // scale, 3, 2)
    return [
        *ask_best(many, 1_000 // scale),
        *ask_metric(some, 200 // scale, 1_000),
        *ask_series(long, rows, 10),
        *ask_listing(listed),
    ]


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the runs and rows")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep the stores there")
    parser.add_argument("--dir", type=Path, help="folder on the disk to be measured")
    chosen = parser.parse_args()
    use_folder(chosen.dir)
    print_machine()
    if chosen.keep is not None:
        figures = measure(chosen.keep, quick=chosen.quick)
    else:
        with scratch_folder() as folder:
            figures = measure(folder, quick=chosen.quick)
    print_figures("Questions about many runs", figures)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
