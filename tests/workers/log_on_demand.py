"""Log a row for each line on stdin, and say "logged": python log_on_demand.py STORE.

Says "ready" once the run is open, and waits for a line. A row is on the disk when it is said to be
logged.
"""

import sys

from tests.workers.common import open_run, wait_at_gate

run = open_run(sys.argv[1], system_metrics=False)
wait_at_gate()
for count, _ in enumerate(sys.stdin):
    run.log({"i": float(count)})
    run.flush(durable=True)
    print("logged", flush=True)
run.finish()
