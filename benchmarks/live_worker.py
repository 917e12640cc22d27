"""A process with live runs: opens them, says "ready", logs a row into one for each line of stdin.

Argument: JSON job with store and runs (how many). A line is the number of the run, a new one if it
is the next number; the answer is the time (seconds since 1970) right before log().
"""

from __future__ import annotations

import json
import sys
import time

import store


def main() -> None:
    """Keep the runs open until stdin ends."""
    job = json.loads(sys.argv[1])
    settings = {"silent": True, "git": False, "console": "off", "agent": "off"}

    def begin(number: int) -> store.Run:
        name = f"live{number:02}"
        return store.init(project="live", id=name, dir=job["store"], settings=settings)

    runs = [begin(n) for n in range(job["runs"])]
    print("ready", flush=True)
    for line in sys.stdin:
        if int(line) == len(runs):
            runs.append(begin(len(runs)))
        moment = time.time()
        runs[int(line)].log({"loss": moment})
        print(moment, flush=True)
    for run in runs:
        run.finish()


if __name__ == "__main__":
    main()
