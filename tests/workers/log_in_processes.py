"""Processes that multiprocessing made log into their parent's run.

Arguments: store, start method, how the children find the run (object, current or
init), how they end (end, kill or error), how many.
"""

import multiprocessing
import os
import signal
import sys
from typing import Any

import store


def child(run: store.Run | None, way: str, number: int, ends: str) -> None:
    if way == "init":
        run = store.init(project="crash", id="r1")
    log = store.log if run is None else run.log
    for count in range(50):
        log({"w": float(number), "k": float(count)})
    if ends == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if ends == "error":
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - for its traceback, to its end
        raise ValueError("as meant")


if __name__ == "__main__":
    folder, method, way, ends, processes = sys.argv[1:]
    os.environ["STORE_DIR"] = folder
    os.environ["STORE_SILENT"] = "1"
    settings = {"git": False, "console": "off"}
    parent = store.init(project="crash", id="r1", settings=settings)
    parent.log({"w": -1.0, "k": 0.0})
    context: Any = multiprocessing.get_context(method)
    children = [
        context.Process(target=child, args=(parent if way == "object" else None, way, n, ends))
        for n in range(int(processes))
    ]
    for process in children:
        process.start()
    for process in children:
        process.join()
    expected = {"end": 0, "kill": -signal.SIGKILL, "error": 1}[ends]
    assert [process.exitcode for process in children] == [expected] * len(children)
    parent.log({"w": -1.0, "k": 1.0})
