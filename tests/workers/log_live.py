"""Log rows into one run for a while, as a training does; write down each count that was logged.

Says "ready" once the run is open, and begins at a line on stdin. The first writer saves a file.

Arguments: store, run id, writer number, acknowledgement file, medium, rows, seconds.
"""

import sys
import time
from pathlib import Path

from tests.workers.common import Acknowledgements, open_run, wait_at_gate

folder, run_id, writer, acknowledgements, medium, rows, seconds = sys.argv[1:]
run = open_run(
    folder,
    run_id,
    journal=medium,
    fold_interval=0.2,
    fold_bytes=50_000,
    segment_bytes=200_000,
    finish_timeout=0.1,
)
acknowledged = Acknowledgements(acknowledgements)
number, total = float(writer), int(rows)
pause = float(seconds) / (total / 20)
wait_at_gate()
for count in range(total):
    run.log({"w": number, "k": float(count), "loss": 1.0 / (count + 1)})
    acknowledged[0] = count + 1
    if count % 20 == 0:
        time.sleep(pause)
    if count % 1000 == 500:
        run.log({"note": f"row {count} of writer {writer}", "odd": float("nan")})
        run.config.update({f"seen{writer}": count}, allow_val_change=True)
    if writer == "0" and count == total // 2:
        file = Path(acknowledgements).with_name("model.bin")
        file.write_bytes(bytes(range(256)) * 4096)
        run.save(file)
run.finish()
