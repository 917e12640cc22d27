"""Three threads log while the main thread forks; every third child is killed with SIGKILL.

Each line of the report: writer number, rows whose log() returned, how it ended (end or kill).

Arguments: store, medium, forks, report file.
"""

import os
import random
import signal
import sys
import threading
import time
import warnings

from tests.workers.common import open_run

# Python 3.12 and later warn of forks under threads, which is what is tried here.
warnings.simplefilter("ignore", DeprecationWarning)
folder, medium, forks, report = sys.argv[1:]
run = open_run(folder, journal=medium, fold_interval=0.02, fold_bytes=20_000)
run.flush()  # a fork in the middle of a first import of logging would have it complain
stop = threading.Event()


def tell(writer: int, rows: int, end: str) -> None:
    fd = os.open(report, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(fd, f"{writer} {rows} {end}\n".encode())
    os.close(fd)


def log_until_stopped(writer: int) -> None:
    count = 0
    while not stop.is_set():
        run.log({"w": float(writer), "k": float(count)})
        count += 1
        time.sleep(0)
    tell(writer, count, "end")


def be_child(writer: int, rows: int) -> None:
    for count in range(rows):
        run.log({"w": float(writer), "k": float(count)})
    if writer % 3 == 0:
        tell(writer, rows, "kill")
        os.kill(os.getpid(), signal.SIGKILL)
    tell(writer, rows, "end")
    sys.exit(0)


threads = [threading.Thread(target=log_until_stopped, args=(n,)) for n in (1001, 1002, 1003)]
for thread in threads:
    thread.start()
children = []
for number in range(int(forks)):
    time.sleep(random.random() * 0.01)
    rows = random.choice([0, 1, 10, 300])
    pid = os.fork()
    if pid == 0:
        be_child(number, rows)
    children.append(pid)
for pid in children:
    os.waitpid(pid, 0)
stop.set()
for thread in threads:
    thread.join()
