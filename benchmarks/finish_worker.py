"""finish() after many rows, against the SQL that it cannot do without. Argument: JSON job.

The SQL alone: the same rows as tuples made beforehand, written into the tables of a database with
the same schema, one executemany a table and metric, in one transaction that is on the disk at the
end, as finish() has it; and the close, which moves the write-ahead log into the file. Both
databases exist already: a run's first fold makes the tables long before it ends.
"""

from __future__ import annotations

import json
import os
import sys
import time
from itertools import repeat
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).parent))

from rows import NAMES, make_rows

import store
from store.database import RunDatabase

QUIET: Final = {"silent": True, "console": "off"}
NEVER: Final = {"fold_interval": 3600.0, "fold_bytes": 2**40}


def open_run(folder: Path, **settings: Any) -> store.Run:
    """A run in a store of its own."""
    return store.init(project="bench", dir=folder, settings={**QUIET, **settings})


def finish_of(run: store.Run) -> tuple[float, float]:
    """Seconds of finish(), and of its CPU time in all threads."""
    began, cpu = time.perf_counter(), time.process_time()
    run.finish()
    return time.perf_counter() - began, time.process_time() - cpu


def log_rows(run: store.Run, rows: list[dict[str, Any]]) -> None:
    """Log them all."""
    log = run.log
    for row in rows:
        log(row)


def sql_alone(path: Path, rows: list[dict[str, Any]]) -> tuple[float, float]:
    """Seconds of the SQL of `rows`, and of its CPU time."""
    database = RunDatabase(path)
    database.ensure_source("alone")
    database.connection.executemany("INSERT INTO metric VALUES(?, ?)", enumerate(NAMES, 1))
    seqs = range(1, len(rows) + 1)
    lines = [(n, 1, n, 3, n, 1.7e9 + n * 1e-6) for n in seqs]
    points = [
        list(zip(repeat(metric), seqs, [row[name] for row in rows], strict=False))
        for metric, name in enumerate(NAMES, 1)
    ]
    many = database.connection.executemany
    began, cpu = time.perf_counter(), time.process_time()
    with database.transaction(durable=True):
        many("INSERT INTO rows VALUES(?, ?, ?, ?, ?, ?)", lines)
        for column in points:
            many("INSERT INTO point VALUES(?, ?, ?)", column)
        database.execute("UPDATE source SET position = ?", (len(rows),))
    database.close()
    return time.perf_counter() - began, time.process_time() - cpu


def main() -> None:
    """Measure each once."""
    job = json.loads(sys.argv[1])
    folder = Path(job["folder"])
    rows = make_rows("floats", job["rows"])
    found: dict[str, float] = {}

    run = open_run(folder / "a", **NEVER, git=False)
    run.log(rows[0])
    run.flush()
    time.sleep(1.0)
    log_rows(run, rows)
    found["finish"], found["finish_cpu"] = finish_of(run)
    os.sync()
    found["sql"], found["sql_cpu"] = sql_alone(folder / "alone.db", rows)

    run = open_run(folder / "b", git=False)
    log_rows(run, rows)
    time.sleep(1.0)
    found["usual"], _ = finish_of(run)
    found["no_git"], _ = finish_of(open_run(folder / "c", git=False))
    found["at_once"], _ = finish_of(open_run(folder / "d"))
    Path(job["answer"]).write_text(json.dumps(found))


if __name__ == "__main__":
    main()
