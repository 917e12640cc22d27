"""SIGINT at random moments, a KeyboardInterrupt (or TimeoutError) in log(), caught by the loop.

Prints how often, and the counts whose log() returned. Arguments: store, medium, rows, error.
"""

import os
import random
import signal
import sys
import threading
import time

from tests.workers.common import open_run

folder, medium, rows, error = sys.argv[1:]
kind: type[BaseException] = {"keyboard": KeyboardInterrupt, "timeout": TimeoutError}[error]
run = open_run(folder, journal=medium, fold_interval=0.1, fold_bytes=50_000, segment_bytes=100_000)
stop = threading.Event()
armed = False


def interrupt(*_: object) -> None:
    global armed
    if armed:
        armed = False
        raise kind


def send() -> None:
    while not stop.is_set():
        time.sleep(random.random() * 0.0004)
        os.kill(os.getpid(), signal.SIGINT)


signal.signal(signal.SIGINT, interrupt)
sender = threading.Thread(target=send)
sender.start()
returned = []
interrupted = 0
for count in range(int(rows)):
    try:
        armed = True
        run.log({"k": float(count)})
        returned.append(count)
        armed = False
    except kind:
        interrupted += 1
stop.set()
sender.join()
signal.signal(signal.SIGINT, signal.SIG_IGN)
run.finish()
print(interrupted)
print(*returned)
