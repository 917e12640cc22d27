"""Log rows, say "done" and wait to be killed. Arguments: store, medium, rows."""

import sys

from tests.workers.common import open_run

folder, medium, rows = sys.argv[1:]
run = open_run(folder, journal=medium, fold_interval=3600.0, fold_bytes=2**30)
for call in run._before_end:  # provenance rows come from a thread; they are to come first
    call()
for count in range(int(rows)):
    run.log({"w": 0.0, "k": float(count), "note": f"row {count}"})
print("done", flush=True)
sys.stdin.readline()
