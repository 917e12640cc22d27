"""Signal handlers and finalizers in the middle of log(), and what the end of a process says."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import pytest

from store.paths import StoreFolder
from tests.helpers import (
    acknowledged,
    counts_by_writer,
    kill,
    only_run,
    open_gates,
    problems,
    rows_of,
    run_script,
    sources_of,
    start,
    start_gated,
    state_of,
)


def output_of(worker: subprocess.Popen[bytes]) -> list[list[int]]:
    output, errors = worker.communicate(timeout=100)
    assert (worker.returncode, errors) == (0, b"")
    return [list(map(int, line.split())) for line in output.decode().splitlines()]


@pytest.mark.parametrize("medium", ["mmap", "write"])
@pytest.mark.parametrize("rows", [20_000, pytest.param(1_000_000, marks=pytest.mark.long)])
@pytest.mark.timeout(600)
def test_a_handler_and_a_finalizer_may_log_inside_log(
    medium: str, rows: int, tmp_path: Path
) -> None:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    store = tmp_path / "store"
    ((inner, finalized),) = output_of(start("handler_logs", store, medium, rows, **pipes))
    logged = counts_by_writer(rows_of(only_run(store)))
    assert inner > 0
    assert logged[0.0] == list(range(rows))
    assert sorted(logged[1.0]) == list(range(inner))
    assert finalized == rows // 10
    assert sorted(logged[2.0]) == list(range(finalized))
    assert problems(StoreFolder(store)) == []


@pytest.mark.parametrize("medium", ["mmap", "write"])
@pytest.mark.parametrize("error", ["keyboard", "timeout"])
@pytest.mark.parametrize("rows", [10_000, pytest.param(1_000_000, marks=pytest.mark.long)])
@pytest.mark.timeout(600)
def test_log_may_be_interrupted_anywhere(
    medium: str, error: str, rows: int, tmp_path: Path
) -> None:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    store = tmp_path / "store"
    (interrupted,), returned = output_of(start("interrupted", store, medium, rows, error, **pipes))
    counts = [int(row.data["k"]) for row in rows_of(only_run(store))]
    assert interrupted > 0
    assert counts == sorted(set(counts)), "doubled, or out of order"
    assert set(returned) <= set(counts)
    assert problems(StoreFolder(store)) == []
    assert list(only_run(store).journals.iterdir()) == []


HEAD = """
import os, signal, sys, time, store
run = store.init(dir="data", settings={"silent": True, "git": False})
run.log({"a": 1})
"""


@pytest.mark.parametrize(
    ("rest", "code", "state"),
    [
        ("", 0, "finished"),
        ("run.finish()", 0, "finished"),
        ("run.finish(exit_code=2)", 0, "failed"),
        ("raise ValueError('as meant')", 1, "failed"),
        ("sys.exit(3)", 3, "failed"),
        ("sys.exit(0)", 0, "finished"),
        ("sys.exit('a message')", 1, "failed"),
        ("raise KeyboardInterrupt", -signal.SIGINT, "killed"),
        ("os.kill(os.getpid(), signal.SIGINT); time.sleep(60)", -signal.SIGINT, "killed"),
        ("os.kill(os.getpid(), signal.SIGTERM); time.sleep(60)", 143, "killed"),
        ("os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL, "crashed"),
        ("os._exit(0)", 0, "crashed"),
        ("with run:\n    raise ValueError('as meant')", 1, "failed"),
        ("with run:\n    pass", 0, "finished"),
    ],
)
def test_final_state(rest: str, code: int, state: str, tmp_path: Path) -> None:
    done = run_script(HEAD + rest, tmp_path, check=False)
    assert done.returncode == code, done.stderr
    store = tmp_path / "data"
    assert state_of(store) == state
    assert [row.data for row in rows_of(only_run(store))] == [{"a": 1}]
    assert problems(StoreFolder(store)) == []


def wait_for_rows(*acknowledgements: Path) -> None:
    while min(map(acknowledged, acknowledgements)) < 100:
        time.sleep(0.01)


def terminate(worker: subprocess.Popen[bytes]) -> None:
    worker.terminate()
    assert worker.wait(timeout=60) == 128 + signal.SIGTERM
    for pipe in (worker.stdin, worker.stdout):
        assert pipe is not None
        pipe.close()


def test_sigterm_in_the_middle_of_log_ends_the_run_as_killed(tmp_path: Path) -> None:
    worker = start_gated("log_rows", tmp_path / "data", "r1", 0, tmp_path / "ack", "auto", 0)
    open_gates([worker])
    wait_for_rows(tmp_path / "ack")
    terminate(worker)
    assert state_of(tmp_path / "data") == "killed"
    assert problems(StoreFolder(tmp_path / "data")) == []


def test_the_users_own_handler_is_called_and_decides(tmp_path: Path) -> None:
    done = run_script(
        """
import os, signal, sys, store
asked = []
signal.signal(signal.SIGTERM, lambda number, frame: asked.append(number))
run = store.init(dir="data", settings={"silent": True, "git": False})
os.kill(os.getpid(), signal.SIGTERM)
run.log({"asked": len(asked)})
""",
        tmp_path,
    )
    assert done.stderr == ""
    store = tmp_path / "data"
    assert [row.data for row in rows_of(only_run(store))] == [{"asked": 1}]
    assert state_of(store) == "killed"
    assert problems(StoreFolder(store)) == []


def test_a_killed_writer_decides_once_nobody_lives_any_more(tmp_path: Path) -> None:
    store = tmp_path / "data"
    workers = [
        start_gated("log_rows", store, "r1", n, tmp_path / f"ack{n}", "auto", 0) for n in range(2)
    ]
    open_gates(workers)
    wait_for_rows(tmp_path / "ack0", tmp_path / "ack1")
    kill(workers[0])
    assert state_of(store) == "running"
    terminate(workers[1])
    assert state_of(store) == "crashed"
    assert sorted(str(s.state) for s in sources_of(only_run(store))) == ["None", "killed"]
    assert problems(StoreFolder(store)) == []
