"""Log rows into one run until killed; write each count down once log() has returned.

Says "ready" once the run is open, and begins at a line on stdin.

Arguments: store, run id, writer number, acknowledgement file, medium, rows (0 = without end).
"""

import sys
import time

from tests.workers.common import Acknowledgements, open_run, wait_at_gate

folder, run_id, writer, acknowledgements, medium, rows = sys.argv[1:]
run = open_run(
    folder, run_id, journal=medium, fold_interval=0.05, fold_bytes=20_000, segment_bytes=50_000
)
acknowledged = Acknowledgements(acknowledgements)
number = float(writer)
wait_at_gate()
count = 0
while rows == "0" or count < int(rows):
    run.log({"w": number, "k": float(count), "loss": 1.0 / (count + 1)})
    count += 1
    acknowledged[0] = count
    if count % 20 == 0:
        time.sleep(0.001)
run.finish()
