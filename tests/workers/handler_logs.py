"""A fast timer's signal handler logs while log() is underway. Arguments: store, medium, rows."""

import gc
import itertools
import signal
import sys

from tests.workers.common import open_run

folder, medium, rows = sys.argv[1:]
run = open_run(folder, journal=medium, fold_interval=0.1, fold_bytes=200_000, segment_bytes=300_000)
handled = itertools.count()
finalized = itertools.count()


def handler(*_: object) -> None:
    run.log({"w": 1.0, "k": float(next(handled))})


class Finalized:
    """Logs when it is collected, in the middle of whatever runs just then."""

    def __init__(self) -> None:
        self.cycle = self

    def __del__(self) -> None:
        run.log({"w": 2.0, "k": float(next(finalized))})
        done.append(True)


done: list[bool] = []


signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.0002, 0.0002)
for count in range(int(rows)):
    run.log({"w": 0.0, "k": float(count), f"new/{count % 50}": float(count)})
    if count % 10 == 0:
        Finalized()
signal.setitimer(signal.ITIMER_REAL, 0)
while len(done) < int(rows) // 10:
    gc.collect()  # which does nothing while the collector is at work in another thread
run.finish()
print(next(handled), next(finalized))
