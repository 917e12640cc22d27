"""Live runs in a process of their own (live_worker.py), each row logged when it is asked for."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from measure import HERE, clean_environment

NO_VARIABLES: Final[Mapping[str, str]] = {}


class LiveRuns:
    """The runs live00, live01, ... of the project "live"."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._answer()

    def log(self, number: int) -> float:
        """Log a row into one of them, a new one if it is the next number; when, since 1970."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{number}\n")
        self._process.stdin.flush()
        return float(self._answer())

    def _answer(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("the live runs ended")
        return line


@contextlib.contextmanager
def live_runs(
    store: Path, count: int, variables: Mapping[str, str] = NO_VARIABLES
) -> Iterator[LiveRuns]:
    """Keep `count` runs open for as long as the block lasts; `variables` are the process's own."""
    process = subprocess.Popen(
        [
            sys.executable,
            HERE / "live_worker.py",
            json.dumps({"store": os.fspath(store), "runs": count}),
        ],
        env=clean_environment() | dict(variables),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield LiveRuns(process)
    finally:
        process.communicate(timeout=120)
