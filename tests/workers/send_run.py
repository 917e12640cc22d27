"""Send a run to a folder, a few rows in each batch, again and again until it says it is synced.

Says "ready" and begins at a line on stdin; with "wait" it then stops once, behind the first batch,
says "sending" and goes on at another line. In the end it says "synced", or "busy" if it had to
leave the run to another process.

Arguments: store, folder, rows in a batch, wait or go.
"""

import sys
from pathlib import Path

from store.sync import engine, outgoing
from tests.helpers import only_run
from tests.sync.batches import WiredFolder
from tests.workers.common import wait_at_gate

store, folder, rows, how = sys.argv[1:]
waits = how == "wait"


def tell(told: engine.Told) -> None:
    global waits
    if told.rows and waits:
        waits = False
        print("sending", flush=True)
        sys.stdin.readline()


for module in (engine, outgoing):
    for name in ("ROWS",):
        setattr(module, name, int(rows))
run, remote = only_run(Path(store)), WiredFolder(Path(folder))
wait_at_gate()
sent = engine.send_run(run, remote, remote.target(run), tell=tell)
assert sent.busy or sent.standing.unsent == 0
print("busy" if sent.busy else "synced", flush=True)
