"""Agent: the process that sends this host's runs while they are logged, and after.

One per store and host, which a lock sees to. `init()` queues its run and starts one where none is
at work; it outlives the script and ends when the queue is empty. Without a network it waits, for
longer and longer.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from store.errors import RemoteUnavailable, StoreError
from store.ownership import is_written, life_of
from store.paths import RunFolder, StoreFolder
from store.reading import reading
from store.sync.cursors import standing
from store.sync.engine import Tell
from store.sync.queue import dequeue, lock_path, queued
from store.sync.runner import JOBS, Destination, Outcome
from store.sync.watch import Watch

START_SECONDS: Final = 60.0
LINGER_SECONDS: Final = 2.0
"""How long an idle agent stays for the next run of a sweep."""
OnOutcome = Callable[[Outcome], None]
OnFailure = Callable[[RemoteUnavailable, float], None]


def watch_store(
    store: StoreFolder,
    destination: Destination,
    stop: threading.Event,
    *,
    only: set[str] | None = None,
    jobs: int = JOBS,
    until_idle: bool = False,
    tell: Tell | None = None,
    on_outcome: OnOutcome,
    on_failure: OnFailure,
) -> None:
    """Send all runs of a store, or those with the keys `only`, as they come.

    Raises:
        NotSignedIn: the key does not count.
    """

    def runs() -> Iterator[RunFolder]:
        return (run for run in store.runs() if only is None or run.key in only)

    watch = Watch(
        runs, destination, jobs=jobs, tell=tell, on_outcome=on_outcome, on_failure=on_failure
    )
    watch.run(stop, until_idle=until_idle)


def watch_queue(
    store: StoreFolder,
    destination: Destination,
    stop: threading.Event,
    *,
    on_outcome: OnOutcome,
    on_failure: OnFailure,
) -> None:
    """Send what is queued on this host, until nothing is left; at once, where an agent works.

    Raises:
        NotSignedIn: the key does not count.
    """

    path = lock_path(store.path)
    path.parent.mkdir(parents=True, exist_ok=True)
    seen: set[str] = set()
    while not stop.is_set():
        lock = FileLock(path, timeout=0, thread_local=False, fallback_to_soft=False)
        try:
            with lock:
                _begin_log(path)
                watch = Watch(
                    lambda: queued(store), destination, on_outcome=on_outcome, on_failure=on_failure
                )
                watch.run(stop, until_idle=True)
                _drop_sent(store, destination)
                stop.wait(LINGER_SECONDS)
        except Timeout:
            return
        # A run that was queued between the last look and the lock's release found an agent here.
        # What was seen and is still there cannot be sent: the next init() tries again.
        left = {run.key for run in queued(store)}
        if left <= seen:
            return
        seen = left


def _begin_log(lock: Path) -> None:
    """Forget what the agent before has said."""
    with contextlib.suppress(OSError):
        os.truncate(lock.with_suffix(".log"), 0)


def _drop_sent(store: StoreFolder, destination: Destination) -> None:
    """Take runs out of the queue that have ended and are all there."""
    for run in queued(store):
        if not run.exists():
            dequeue(run)
            continue
        with contextlib.suppress(StoreError, sqlite3.Error, OSError):
            if not is_written(run) and not run.segments():
                with reading(run) as connection:
                    there = standing(connection, destination.target(run))
                if there.is_sent:
                    dequeue(run)


def is_at_work(store_path: Path) -> bool:
    """Whether an agent of this host works on the store."""
    return life_of(lock_path(store_path)) == "alive"


def start_process(store_path: Path, environment: dict[str, str]) -> None:
    """Start the agent as a process of its own, which outlives this one; returns once it is up.

    Raises:
        OSError: there is no starting it, or it said why it does not stay.
        subprocess.TimeoutExpired: nothing came of it.
    """
    import subprocess

    # -P: nothing in the working directory is to be taken for a module.
    program = [sys.executable, "-P", "-m", "store"]
    command = [*program, "--store", os.fspath(store_path), "sync", "--agent"]
    done = subprocess.run(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
        cwd=os.fspath(store_path),
        timeout=START_SECONDS,
        check=False,
    )
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise OSError(0, said[0] if said else f"it ended with {done.returncode}")


def detach(store_path: Path) -> None:
    """Go on as a process that nobody waits for; what it says goes to a file beside its lock."""
    log = lock_path(store_path).with_suffix(".log")
    log.parent.mkdir(parents=True, exist_ok=True)
    if hasattr(os, "fork") and os.fork():
        os._exit(0)
    said = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for number in (1, 2):
        os.dup2(said, number)
    os.close(said)
