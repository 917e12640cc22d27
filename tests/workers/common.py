"""What the workers share: a run that only logs, the gate, and counts that outlive the process."""

from __future__ import annotations

import mmap
import os
import sys

import store


def open_run(folder: str, run_id: str = "r1", **settings: object) -> store.Run:
    """Start or join a run of project "crash", with as little beside its rows as can be."""
    quiet = {"silent": True, "git": False, "console": "off"}
    return store.init(project="crash", id=run_id, dir=folder, settings={**quiet, **settings})


def wait_at_gate() -> None:
    """Say "ready" and wait for a line: see `open_gates` of tests/helpers.py."""
    print("ready", flush=True)
    sys.stdin.readline()


class Acknowledgements:
    """Counts in a mapped file: one that was set is there after SIGKILL, for `acknowledged`."""

    def __init__(self, path: str, length: int = 1) -> None:
        fd = os.open(path, os.O_RDWR | os.O_CREAT)
        os.ftruncate(fd, 8 * length)
        self._counts = mmap.mmap(fd, 8 * length)

    def __setitem__(self, index: int, count: int) -> None:
        self._counts[8 * index : 8 * index + 8] = count.to_bytes(8, "little")
