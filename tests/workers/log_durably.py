"""Log rows into one run until killed.

The count after each log(), and after each flush(durable=True) that returned, is written down.
Arguments: store, writer, acknowledgement file, medium, rows after which to finish (0 = never).
"""

import mmap
import os
import sys

import store

folder, writer, acknowledgements, medium, rows = sys.argv[1:]
run = store.init(
    project="crash",
    id="r1",
    dir=folder,
    settings={
        "silent": True,
        "git": False,
        "console": "off",
        "journal": medium,
        "fold_interval": 0.05,
        "fold_bytes": 50_000,
        "segment_bytes": 300_000,
    },
)
fd = os.open(acknowledgements, os.O_RDWR | os.O_CREAT)
os.ftruncate(fd, 16)
counts = mmap.mmap(fd, 16)
print("ready", flush=True)
sys.stdin.readline()
number = float(writer)
count = 0
while rows == "0" or count < int(rows):
    run.log({"w": number, "k": float(count)})
    count += 1
    counts[:8] = count.to_bytes(8, "little")
    if count % 300 == 0:
        run.flush(durable=True)
        counts[8:] = count.to_bytes(8, "little")
run.finish()
counts[8:] = count.to_bytes(8, "little")
print("finished", flush=True)
sys.stdin.readline()
