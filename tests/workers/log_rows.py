"""Log rows into one run until killed; write each count down once log() has returned.

Says "ready" once the run is open, and begins at a line on stdin.

Arguments: store, run id, writer number, acknowledgement file, medium, rows (0 = without end).
"""

import mmap
import os
import sys
import time

import store

folder, run_id, writer, acknowledgements, medium, rows = sys.argv[1:]
run = store.init(
    project="crash",
    id=run_id,
    dir=folder,
    settings={
        "silent": True,
        "git": False,
        "console": "off",
        "journal": medium,
        "fold_interval": 0.05,
        "fold_bytes": 20_000,
        "segment_bytes": 200_000,
    },
)
fd = os.open(acknowledgements, os.O_RDWR | os.O_CREAT)
os.ftruncate(fd, 8)
acknowledged = mmap.mmap(fd, 8)
number = float(writer)
print("ready", flush=True)
sys.stdin.readline()
count = 0
while rows == "0" or count < int(rows):
    run.log({"w": number, "k": float(count), "loss": 1.0 / (count + 1)})
    count += 1
    acknowledged[:8] = (count + 1).to_bytes(8, "little")
    if count % 20 == 0:
        time.sleep(0.001)
run.finish()
