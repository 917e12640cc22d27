"""What several tests need: worker interpreters, acknowledgement files, a look at what is stored."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from store.check import Finding, check_store
from store.database import RunDatabase, Source
from store.fold import fold
from store.paths import RunFolder, StoreFolder
from store.query import open_store
from store.reread import reread
from store.row import Kind, Row
from tests.workers.forked import Forked

TESTS = Path(__file__).parent
Worker = subprocess.Popen[bytes] | Forked


def start(worker: str, *arguments: object, **options: Any) -> subprocess.Popen[bytes]:
    """Start tests/workers/<worker>.py in an interpreter of its own."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("STORE_", "WANDB_"))}
    environment["PYTHONPATH"] = os.fspath(TESTS.parent)  # for tests.workers.common
    environment |= options.pop("environment", {})
    command = [sys.executable, os.fspath(TESTS / "workers" / f"{worker}.py")]
    command += map(str, arguments)
    return cast("subprocess.Popen[bytes]", subprocess.Popen(command, env=environment, **options))


def start_gated(worker: str, *arguments: object) -> subprocess.Popen[bytes]:
    """Start a worker that says "ready" and waits; see `open_gates`."""
    return start(worker, *arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def open_gates(processes: Sequence[Worker]) -> None:
    """Let workers go on once all of them are ready."""
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write(b"go\n")
        process.stdin.flush()


def run_script(
    code: str, cwd: Path, *arguments: str, check: bool = True, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run Python source in an interpreter of its own, as a user's script `script.py`."""
    script = cwd / "script.py"
    script.write_text(code)
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("STORE_", "WANDB_"))}
    done = subprocess.run(
        [sys.executable, "-W", "error", os.fspath(script), *arguments],
        cwd=cwd,
        env=clean | environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    if check and done.returncode != 0:
        raise AssertionError(f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done


def kill(process: Worker) -> None:
    """SIGKILL, and wait until the process is gone."""
    process.kill()
    process.wait(timeout=60)
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()


def make_seed() -> int:
    """A fresh seed, or the one in RUNSTORE_TEST_SEED; printed, so that failures can be repeated."""
    seed = int(os.environ.get("RUNSTORE_TEST_SEED") or random.SystemRandom().getrandbits(32))
    print(f"seed {seed} (repeat with RUNSTORE_TEST_SEED={seed})")
    return seed


def acknowledged(path: Path, index: int = 0) -> int:
    """What a worker has set in its `Acknowledgements` last: by default, rows that it has logged."""
    try:
        return int.from_bytes(path.read_bytes()[8 * index : 8 * index + 8], "little")
    except FileNotFoundError:
        return 0


def sources_of(run: RunFolder) -> list[Source]:
    """The sources of a run, as its database has them."""
    database = RunDatabase(run.database, write=False)
    try:
        return database.sources()
    finally:
        database.close()


def rows_of(run: RunFolder, kind: int = Kind.METRIC) -> list[Row]:
    """All rows of one kind, from every source, after a fold."""
    fold(run, timeout=60)
    database = RunDatabase(run.database, write=False)
    try:
        return [
            item.row
            for source in database.sources()
            for item in reread(database.connection, source.id)
            if item.row.kind == kind
        ]
    finally:
        database.close()


def problems(store: StoreFolder | Path) -> list[Finding]:
    """What `check` finds wrong."""
    folder = store if isinstance(store, StoreFolder) else StoreFolder(store)
    return [finding for finding in check_store(folder) if finding.level == "problem"]


def only_run(store: Path) -> RunFolder:
    """The one run of a store."""
    runs = list(StoreFolder(store).runs())
    assert len(runs) == 1, runs
    return runs[0]


def what_is_left(run: RunFolder) -> str:
    """For the message of a failure: the sources of a run, its journals, and stores in its store."""
    lines = [
        f"source {s.uuid}: {s.kind}, pid {s.pid}, position {s.position}, segment {s.segment}, "
        f"offset {s.offset}, ended {s.ended}, {s.state}"
        for s in sources_of(run)
    ]
    lines += [f"{path}: {path.stat().st_size} bytes" for path in sorted(run.journals.glob("*"))]
    store = run.path.parent.parent.parent
    lines += [f"a store in the store: {path}" for path in store.rglob(".store")]
    return "\n".join(lines)


def counts_by_writer(rows: Sequence[Row]) -> dict[float, list[int]]:
    """For rows {"w": writer, "k": count}: the counts of each writer, in the order they came."""
    found: dict[float, list[int]] = {}
    for row in rows:
        if "w" in row.data:
            found.setdefault(row.data["w"], []).append(int(row.data["k"]))
    return found


def state_of(store: Path) -> str:
    """The state of the one run of a store, as everybody is shown it."""
    with open_store(store) as opened:
        (run,) = opened.runs
        return run.state
