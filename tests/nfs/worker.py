"""What runs in a node of the rig: logs, reads or publishes one run.

    write STORE RUN WRITER ACKNOWLEDGED UNTIL PAUSE
        log {"w<WRITER>": 0, 1, 2...} until the file UNTIL is there, and end
    read STORE UNTIL          count rows over and over; the count must never fall
    publish STORE RUN TIMES   publish snapshots of the run
    count STORE               rows, distinct values and greatest value of each writer

Each prints one line of JSON at its end. ACKNOWLEDGED and UNTIL lie on the node's own disk; the
former gets a line `<time> <rows logged> <rows flushed>`, synced, after every tenth row, and says
nothing that log() and flush(durable=True) have not returned from.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import store
from store.errors import StoreError
from store.paths import StoreFolder
from store.shared.publish import publish

ROWS_A_LINE = 10
ROWS_A_FLUSH = 50
COUNT = "SELECT count(*) FROM metrics WHERE key LIKE 'w%'"
BY_WRITER = (
    "SELECT key, count(*), count(DISTINCT value), max(value) FROM metrics "
    "WHERE key LIKE 'w%' GROUP BY key"
)


def write(folder: str, run_id: str, writer: str, acknowledged: str, until: str, pause: str) -> None:
    run = store.init(
        project="nfs",
        id=run_id,
        dir=folder,
        settings={"silent": True, "git": False, "console": "off"},
    )
    key, logged, flushed, longest, refused = f"w{writer}", 0, 0, 0.0, 0
    began = time.monotonic()
    with open(acknowledged, "ab", buffering=0) as notes:
        while logged % ROWS_A_LINE or not os.path.exists(until):
            before = time.monotonic()
            run.log({key: float(logged)})
            longest = max(longest, time.monotonic() - before)
            logged += 1
            if logged % ROWS_A_FLUSH == 0:
                try:
                    run.flush(durable=True)
                    flushed = logged
                except OSError:  # the rows are not safe yet: said, and not counted
                    refused += 1
            if logged % ROWS_A_LINE == 0:
                notes.write(f"{time.time():.3f} {logged} {flushed}\n".encode())
                os.fsync(notes.fileno())
            time.sleep(float(pause))
    seconds = time.monotonic() - began
    run.finish()
    tell(rows=logged, seconds=seconds, longest=longest, refused=refused)


def read(folder: str, until: str) -> None:
    looks, seen, fell, slowest = 0, 0, 0, 0.0
    while not os.path.exists(until):
        before = time.monotonic()
        (found,) = store.sql(COUNT, path=folder).rows[0]
        slowest = max(slowest, time.monotonic() - before)
        fell += found < seen
        looks, seen = looks + 1, max(seen, found)
        time.sleep(1)
    tell(looks=looks, rows=seen, fell=fell, slowest=slowest)


def publish_often(folder: str, run_id: str, times: str) -> None:
    run = StoreFolder(Path(folder)).run("local", "nfs", run_id)
    made, failed = 0, []
    for _ in range(int(times)):
        try:
            made += publish(run, timeout=300)
        except (StoreError, OSError) as error:
            failed.append(f"{type(error).__name__}: {error}")
    tell(made=made, failed=failed)


def count(folder: str) -> None:
    tell(**{key: found for key, *found in store.sql(BY_WRITER, path=folder).rows})


def tell(**facts: object) -> None:
    print(json.dumps(facts), flush=True)


COMMANDS: dict[str, Callable[..., None]] = {
    "write": write,
    "read": read,
    "publish": publish_often,
    "count": count,
}

if __name__ == "__main__":
    COMMANDS[sys.argv[1]](*sys.argv[2:])
