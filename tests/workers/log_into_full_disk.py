"""Log until rows wait for a full disk, then one row once it has room, and be killed at once.

Prints the rows and how many of them are at risk in the end. The background thread, which would
write what waits as well, makes no round. Arguments: store, medium, folder of the disk.
"""

import os
import signal
import sys
import time
from pathlib import Path

from store import backlog, keeper
from tests.disks import ballast
from tests.workers.common import open_run

folder, medium, disk = sys.argv[1:]
keeper.__dict__["TICK_SECONDS"] = 3600.0
run = open_run(folder, journal=medium, fold_interval=3600.0, fold_bytes=2**30)
count = 0
with ballast(Path(disk)):
    while run.at_risk < 100:
        run.log({"n": count})
        count += 1
time.sleep(2 * backlog.RETRY_SECONDS)
run.log({"n": count})
print(count + 1, run.at_risk, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
