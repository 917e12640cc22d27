"""Log rows into one run until killed.

The count after each log(), and after each flush(durable=True) that returned, is written down.
Arguments: store, writer, acknowledgement file, medium, rows after which to finish (0 = never).
"""

import sys

from tests.workers.common import Acknowledgements, open_run, wait_at_gate

folder, writer, acknowledgements, medium, rows = sys.argv[1:]
run = open_run(folder, journal=medium, fold_interval=0.05, fold_bytes=50_000, segment_bytes=300_000)
acknowledged = Acknowledgements(acknowledgements, 2)
wait_at_gate()
number = float(writer)
count = 0
while rows == "0" or count < int(rows):
    run.log({"w": number, "k": float(count)})
    count += 1
    acknowledged[0] = count
    if count % 300 == 0:
        run.flush(durable=True)
        acknowledged[1] = count
run.finish()
acknowledged[1] = count
print("finished", flush=True)
sys.stdin.readline()
