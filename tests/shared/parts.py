"""What tests of shared stores are made of: runs that hosts write, and what each host sees."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import store
from store.journal import create_journal
from store.paths import RunFolder
from store.row import Kind, pack_row
from tests.helpers import only_run, rows_of
from tests.hosts import Host

UUID = "5" * 32


def begin(folder: Path) -> store.Run:
    """The run, written by this process."""
    settings = {"git": False, "console": "off"}
    return store.init(project="p", id="r1", dir=folder, settings=settings)


LOG = """
import os, sys, store
run = store.init(
    project="p", id="r1", dir=sys.argv[1],
    settings={"git": False, "console": "off", "silent": True, "system_metrics": False},
)
for i in range(int(sys.argv[2])):
    run.log({"i": i})
run.flush(durable=True)
run.finish() if sys.argv[3] == "True" else os.kill(os.getpid(), 9)
"""


def log_command(folder: Path, rows: int, *, end: bool = True) -> list[str]:
    """What logs `rows` metric rows to a run, and ends it or is lost."""
    arguments = [str(folder), str(rows), str(end)]
    return [sys.executable, "-P", "-W", "error", "-c", LOG, *arguments]


def log_some(host: Host, folder: Path, rows: int, *, end: bool = True) -> None:
    done = subprocess.run(
        log_command(folder, rows, end=end),
        env={**os.environ, **host.environment},
        timeout=60,
        check=False,
    )
    assert done.returncode == (0 if end else -9)


def counts(host: Host, folder: Path) -> list[float]:
    with host.here():
        return [row.data["i"] for row in rows_of(only_run(folder)) if "i" in row.data]


def write_journal(run: RunFolder, numbers: range, segment: int, *, torn: bytes = b"") -> Path:
    """A segment of the source `UUID` with metric rows; row 1 is OPEN."""
    run.journals.mkdir(parents=True, exist_ok=True)
    path = run.journal(UUID, segment)
    journal = create_journal(path, "write")
    for number in numbers:
        kind = Kind.OPEN if number == 1 else Kind.METRIC
        data = {"host": "node-x", "pid": 1} if number == 1 else {"i": float(number)}
        journal.append(pack_row(number, kind, number, 1000.0 + number, data))
    journal.close(trim=True)
    with path.open("ab") as file:
        file.write(torn)
    return path
