"""What `store sync --watch` asks of the file server, while nothing is logged and while much is.

A file operation is a system call that names something in the store, counted by strace: an open,
with the reads that follow it, a stat, a rename. A request is what the kernel's NFS client has sent
for the share, by /proc/self/mountstats: only where the share is one, and for all that this host
does there, so that of the writers alone is counted first. Linux only.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from math import nan
from pathlib import Path
from typing import Any, Final, NamedTuple

from live_runs import LiveRuns, live_runs
from measure import Figure, clean_environment
from sync_sides import Server, serving

from store.paths import StoreFolder

LIMIT_SECONDS: Final = 3600.0
CALM_SECONDS: Final = 10.0
CALM_OPERATIONS: Final = 20
ROWS_A_SECOND: Final = 1.0
"""For each live run."""
CALLS: Final = (
    "trace=open,openat,stat,lstat,newfstatat,statx,access,unlink,unlinkat,link,linkat,rename,"
    "renameat,utimensat,mkdir"
)
QUIET: Final[dict[str, Any]] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
Host = Callable[[str], Mapping[str, str]]
"""The variables that make a process one of a host with that name."""


class Counts(NamedTuple):
    """Since the beginning."""

    operations: float
    requests: float
    """NaN where the share is no NFS mount."""

    def a_minute(self, since: Counts, seconds: float) -> Counts:
        return Counts(*(60 * (a - b) / seconds for a, b in zip(self, since, strict=True)))


class Watcher(NamedTuple):
    """A `store sync --watch` that is being looked at."""

    process: subprocess.Popen[Any]
    store: Path
    trace: Path

    def counts(self) -> Counts:
        needle = f'"{self.store}'
        with self.trace.open(errors="replace") as lines:
            return Counts(sum(needle in line for line in lines), _requests(self.store))

    def during(self, seconds: float) -> Counts:
        """A minute's part of what is done within that time."""
        before, began = self.counts(), time.monotonic()
        time.sleep(seconds)
        return self.counts().a_minute(before, time.monotonic() - began)


def measure_watch(
    store: Path, private: Path, host: Host, *, live: int, seconds: float
) -> list[Figure]:
    """Counts for a store of ended runs: at the start, at rest, and with `live` runs more.

    `private` is a folder of this host's own, for the server and the trace.
    """
    if shutil.which("strace") is None:
        return [Figure("file operations of a watcher", nan, "", note="not run: needs strace")]
    stored = sum(1 for _ in StoreFolder(store).runs())
    what = f"{stored:,} ended runs"
    with (
        serving(private / "server") as server,
        _watching(store, private / "trace", server, host("login")) as watcher,
    ):
        _rest(watcher, server, stored)
        start = watcher.counts().operations
        idle = watcher.during(seconds)
        with live_runs(store, live, host("compute")) as runs, _logging(runs, live):
            time.sleep(2 * CALM_SECONDS)  # until its next looks have found them
            with _suspended(watcher.process):
                writers = watcher.during(CALM_SECONDS * 3)
            busy = watcher.during(seconds)
    rate = f"{live} live that log {ROWS_A_SECOND:.0f} row/s each"
    figures = [
        Figure(
            f"all operations until it rests, {what}", start, "", note=f"{start / stored:.1f} a run"
        ),
        Figure(f"file operations a minute, {what}", idle.operations, ""),
        Figure(f"file operations a minute, the same and {rate}", busy.operations, ""),
    ]
    if idle.requests == idle.requests:
        figures += [
            Figure(f"NFS requests a minute, {what}", idle.requests, ""),
            Figure(
                f"NFS requests a minute, the same and {rate}",
                busy.requests - writers.requests,
                "",
                note=f"without those of the writers, {writers.requests:,.0f}",
            ),
        ]
    return figures


@contextlib.contextmanager
def _watching(
    store: Path, trace: Path, server: Server, variables: Mapping[str, str]
) -> Iterator[Watcher]:
    environment = clean_environment() | dict(variables)
    environment |= {"STORE_URL": server.url, "STORE_API_KEY": server.key}
    command = [sys.executable, "-P", "-m", "store", "--store", os.fspath(store), "sync", "--watch"]
    watcher = subprocess.Popen(command, env=environment, **QUIET)
    trace.touch()
    options = ("-f", "-qq", "-y", "-e", CALLS, "-o", os.fspath(trace))
    tracer = subprocess.Popen(["strace", *options, "-p", str(watcher.pid)], **QUIET)
    try:
        yield Watcher(watcher, store, trace)
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.wait(timeout=60)
        watcher.terminate()
        watcher.wait(timeout=60)


def _rest(watcher: Watcher, server: Server, runs: int) -> None:
    """Wait until the server has all runs, and hardly anything is asked any more."""
    limit = time.monotonic() + LIMIT_SECONDS
    while time.monotonic() < limit:
        before = watcher.counts().operations
        time.sleep(CALM_SECONDS)
        is_calm = watcher.counts().operations - before < CALM_OPERATIONS
        if is_calm and server.runs() == runs:
            return
    raise SystemExit(f"the watcher does not rest within {LIMIT_SECONDS:.0f} s")


@contextlib.contextmanager
def _logging(runs: LiveRuns, count: int) -> Iterator[None]:
    stop = threading.Event()

    def log() -> None:
        number = 0
        while not stop.wait(1 / ROWS_A_SECOND / count):
            runs.log(number % count)
            number += 1

    thread = threading.Thread(target=log)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@contextlib.contextmanager
def _suspended(process: subprocess.Popen[Any]) -> Iterator[None]:
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


def _requests(path: Path) -> float:
    """The NFS requests for the mount that holds a path, since it was mounted; else NaN.

    The format: nfs_show_stats and rpc_clnt_show_stats in the sources of Linux.
    """
    mounts = Path("/proc/self/mountstats").read_text().split("\ndevice ")
    found = [re.search(r"mounted on (\S+) with fstype nfs", mount) for mount in mounts]
    fitting = [
        (len(match[1]), mount)
        for match, mount in zip(found, mounts, strict=True)
        if match is not None and path.is_relative_to(match[1])
    ]
    if not fitting:
        return nan
    _, _, operations = max(fitting)[1].partition("per-op statistics")
    return float(sum(int(n) for n in re.findall(r"^\s*[A-Z_0-9]+: (\d+)", operations, re.M)))
