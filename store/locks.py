"""The locks: who may change a run's database, and when a process may fork.

`run.lock` (filelock) is held for every write to, and checkpoint of, a run's database. It is one
object per path and process, paired with a thread lock, because a FileLock that is held by one
thread lets the process's other threads in as well.

Order: thread lock, run.lock, no_fork, a writer's lock, .own (see `store.ownership`). Nothing waits
for a second run.lock while it holds one, nor for no_fork while it holds a writer's lock: a fork
takes no_fork and then the locks of all writers.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from store.errors import StoreLocked

if TYPE_CHECKING:
    from filelock import FileLock


POLL_SECONDS: Final = 0.005
"""filelock's own 0.05 s starves the least lucky of several processes."""

no_fork = threading.RLock()
"""Held by threads that import late or work in SQLite, and by fork: a child would inherit a module
that is never made, or one of the locks inside SQLite (each of its allocations takes one) that is
never released, and would hang at its own first use of either."""


class RunLock:
    """`run.lock` of one run, for all threads of this process."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._threads = threading.RLock()
        self._file: FileLock | None = None

    @contextlib.contextmanager
    def hold(self, timeout: float) -> Iterator[float]:
        """Hold the lock; gives the seconds it was waited for.

        Raises:
            StoreLocked: not to be had within `timeout` seconds.
            OSError: the folder cannot be written to.
        """
        began = time.monotonic()
        if not self._threads.acquire(timeout=max(timeout, 0)):
            raise StoreLocked(self.path, time.monotonic() - began)
        try:
            left = max(0.0, timeout - (time.monotonic() - began))
            with self._held(left):
                yield time.monotonic() - began
        finally:
            self._threads.release()

    @contextlib.contextmanager
    def _held(self, timeout: float) -> Iterator[None]:
        import_filelock()
        from filelock import FileLock, Timeout

        if self._file is None:
            quiet_filelock()
            self._file = FileLock(
                self.path, poll_interval=POLL_SECONDS, thread_local=False, fallback_to_soft=False
            )
        try:
            self._file.acquire(timeout=timeout)
        except Timeout as error:
            raise StoreLocked(self.path, timeout) from error
        try:
            yield
        finally:
            self._file.release()


@contextlib.contextmanager
def try_lock(path: Path) -> Iterator[bool]:
    """Hold the file lock at `path`, for work that one process at a time does; gives False, at
    once, when another one does it.

    Raises:
        OSError: the folder cannot be written to.
    """
    import_filelock()
    from filelock import FileLock, Timeout

    quiet_filelock()
    lock = FileLock(path, timeout=0, thread_local=False, fallback_to_soft=False)
    try:
        lock.acquire()
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def import_filelock() -> None:
    """Import filelock, with its registration for forks put off until none is underway.

    A fork that finds half of it registered closes its gate and waits, in `before_fork`, for this
    thread, which comes to that gate in the other half.
    """
    if "filelock" in sys.modules or not hasattr(os, "register_at_fork"):
        return
    register = os.register_at_fork
    waiting: list[dict[str, Any]] | None = []

    def register_later(**hooks: Any) -> None:
        if waiting is None:
            register(**hooks)
        else:
            waiting.append(hooks)

    with no_fork:
        os.register_at_fork = register_later
        try:
            import filelock  # noqa: F401
        finally:
            os.register_at_fork = register
    while waiting is not None:
        with no_fork:
            if not _forks_wait:
                hooks, waiting = waiting, None
                for call in hooks:
                    register(**call)


def quiet_filelock() -> None:
    """Keep filelock from writing a debug line at each poll."""
    with no_fork:
        import logging
    logging.getLogger("filelock").setLevel(logging.WARNING)


_run_locks: dict[str, RunLock] = {}
_registry = threading.Lock()


def run_lock(path: Path) -> RunLock:
    """This process's one lock object for `path`."""
    with _registry:
        return _run_locks.setdefault(os.fspath(path), RunLock(path))


FORK_SECONDS: Final = 5.0
_forks_wait = 0
LET_FORK_ROUNDS: Final = 250
"""Milliseconds; then the fold goes on, whatever keeps the other thread."""
_fork_holds = False


def let_fork() -> None:
    """Between two batches of a long fold: let a thread that wants to fork go first."""
    if _forks_wait:
        no_fork.release()
        for _ in range(LET_FORK_ROUNDS):
            if not _forks_wait:
                break
            time.sleep(0.001)
        no_fork.acquire()


def before_fork() -> None:
    """Let no thread be in an import, in SQLite or in the registry when the process forks.

    For a while only: an import may itself wait for the end of the fork, as filelock's does once it
    has registered for forks.
    """
    global _forks_wait, _fork_holds
    _forks_wait += 1
    _fork_holds = no_fork.acquire(timeout=FORK_SECONDS)
    _forks_wait -= 1
    _registry.acquire()


def after_fork(*, in_child: bool) -> None:
    """Undo `before_fork`; a child forgets the lock objects, which belong to its parent."""
    if in_child:
        _run_locks.clear()
    _registry.release()
    if _fork_holds:
        no_fork.release()
    elif in_child:
        no_fork._at_fork_reinit()  # type: ignore[attr-defined]
