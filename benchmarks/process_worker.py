"""One of several writers: opens a run, says "ready", logs at a line on stdin, finishes.

Argument: JSON job with store, run_id, rows, pace (seconds of sleep before each row, 0 = none),
answer (file that gets the figures: log() in microseconds, waits for run.lock in milliseconds).
"""

from __future__ import annotations

import contextlib
import json
import sys
import threading
import time
from array import array
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter_ns

sys.path.insert(0, str(Path(__file__).parent))

from log_worker import summarize
from rows import make_rows

import store
from store.errors import StoreLocked
from store.locks import RunLock


class Waits:
    """Counts, for every thread of this process, how long run.lock was waited for."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.refused = 0
        self._inside = threading.local()

    def watch(self) -> None:
        """Note down every `RunLock.hold` from now on; a hold within a hold never waits."""
        original, waits = RunLock.hold, self

        @contextlib.contextmanager
        def hold(self: RunLock, timeout: float) -> Iterator[float]:
            depth = getattr(waits._inside, "depth", 0)
            with contextlib.ExitStack() as stack:
                try:
                    waited = stack.enter_context(original(self, timeout))
                except StoreLocked:
                    waits.refused += 1
                    raise
                if depth == 0:
                    waits.seconds.append(waited)
                waits._inside.depth = depth + 1
                try:
                    yield waited
                finally:
                    waits._inside.depth = depth

        RunLock.hold = hold  # type: ignore[method-assign]


def main() -> None:
    """Write one writer's rows."""
    job = json.loads(sys.argv[1])
    waits = Waits()
    waits.watch()
    settings = {"silent": True, "git": False, "console": "off"}
    run = store.init(project="bench", id=job["run_id"], dir=job["store"], settings=settings)
    rows, log, now, pace = make_rows("floats", job["rows"]), run.log, perf_counter_ns, job["pace"]
    took = array("q")
    print("ready", flush=True)
    sys.stdin.readline()
    began = time.perf_counter()
    for row in rows:
        if pace:
            time.sleep(pace)
        start = now()
        log(row)
        took.append(now() - start)
    logged = time.perf_counter()
    run.finish()
    found = summarize(took) | {
        "logging_s": logged - began,
        "finish_s": time.perf_counter() - logged,
        "folds": len(waits.seconds),
        "refused": waits.refused,
        "waited_ms": sum(waits.seconds) * 1e3,
        "longest_ms": max(waits.seconds, default=0.0) * 1e3,
    }
    Path(job["answer"]).write_text(json.dumps(found))


if __name__ == "__main__":
    main()
