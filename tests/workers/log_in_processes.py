"""Processes that multiprocessing made log into their parent's run.

Arguments: store, start method, how the children find the run (object, current or init), how many.
"""

import multiprocessing
import os
import signal
import sys

import store


def child(run: store.Run | None, way: str, number: int, ends: str) -> None:
    for count in range(50):
        row = {"w": float(number), "k": float(count)}
        if run is not None:
            run.log(row)
        elif way == "init":
            store.init(project="crash", id="r1", settings={"silent": True}).log(row)
            store.finish()
        else:
            store.log(row)
    if ends == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if ends == "error":
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - for its traceback, to its end
        raise ValueError("as meant")


if __name__ == "__main__":
    folder, method, way, ends, processes = sys.argv[1:]
    os.environ["STORE_DIR"] = folder
    settings = {"silent": True, "git": False, "console": "off"}
    parent = store.init(project="crash", id="r1", settings=settings)
    parent.log({"w": -1.0, "k": 0.0})
    context = multiprocessing.get_context(method)
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
    if method == "forkserver":
        # The server holds nothing of the run, but outlives its last child for a moment.
        parent.finish()
