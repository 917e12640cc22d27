"""fork, spawn and forkserver: every process is a writer of its own, nothing is lost or doubled."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from store.paths import StoreFolder
from tests.agents import no_agents_left
from tests.helpers import (
    counts_by_writer,
    make_seed,
    only_run,
    problems,
    rows_of,
    run_script,
    sources_of,
    start,
    state_of,
)

THREADS = (1001, 1002, 1003)


def fork_round(folder: Path, medium: str, forks: int) -> None:
    store, report = folder / "store", folder / "report"
    worker = start("fork_under_threads", store, medium, forks, report, stderr=subprocess.PIPE)
    _, errors = worker.communicate(timeout=100)
    assert (worker.returncode, errors) == (0, b"")
    ends: dict[int, tuple[int, str]] = {}
    for line in report.read_text().splitlines():
        name, count, end = line.split()
        ends[int(name)] = int(count), end
    assert set(ends) == {*range(forks), *THREADS}
    logged = counts_by_writer(rows_of(only_run(store)))
    for writer, (rows, _) in ends.items():
        # Rows of several threads share a journal, each thread's in its order.
        assert logged.get(float(writer), []) == list(range(rows)), writer
    sources = sources_of(only_run(store))
    assert [s.state for s in sources if s.parent is None] == ["finished"]
    written = [(rows, end) for writer, (rows, end) in ends.items() if writer < forks and rows]
    children = [s.state for s in sources if s.parent is not None]
    assert children.count("finished") == sum(end == "end" for _, end in written)
    assert children.count(None) == sum(end == "kill" for _, end in written)
    assert state_of(store) == "finished"
    assert problems(StoreFolder(store)) == []
    assert list(only_run(store).journals.iterdir()) == []


@pytest.mark.parametrize("medium", ["mmap", "write"])
def test_thirty_forks_under_three_logging_threads(medium: str, tmp_path: Path) -> None:
    fork_round(tmp_path, medium, 30)


@pytest.mark.long
@pytest.mark.timeout(4 * 3600)
@pytest.mark.parametrize("medium", ["mmap", "write"])
def test_a_hundred_times_thirty_forks(medium: str, tmp_path: Path) -> None:
    make_seed()
    for number in range(100):
        folder = tmp_path / str(number)
        folder.mkdir()
        fork_round(folder, medium, 30)


STATES = {"end": "finished", "kill": "finished", "error": "failed"}


@pytest.mark.parametrize(
    ("method", "way", "ends"),
    [
        ("fork", "object", "end"),
        ("fork", "current", "error"),
        ("fork", "init", "end"),
        ("fork", "current", "kill"),
        ("spawn", "object", "end"),
        ("spawn", "current", "error"),
        ("spawn", "object", "kill"),
        ("spawn", "init", "end"),
        ("forkserver", "object", "end"),
        ("forkserver", "current", "end"),
    ],
)
def test_children_of_multiprocessing_write_the_same_run(
    method: str, way: str, ends: str, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    worker = start("log_in_processes", store, method, way, ends, 2, stderr=subprocess.PIPE)
    _, errors = worker.communicate(timeout=100)
    assert (worker.returncode, errors) == (0, b"")
    logged = counts_by_writer(rows_of(only_run(store)))
    assert logged == {-1.0: [0, 1], 0.0: list(range(50)), 1.0: list(range(50))}
    children = [s.state for s in sources_of(only_run(store)) if s.pid != worker.pid]
    assert children == [{"end": "finished", "kill": None, "error": "failed"}[ends]] * 2
    if method != "spawn" or ends != "kill":
        assert state_of(store) == STATES[ends]
    assert problems(StoreFolder(store)) == []


def test_a_subprocess_with_the_runs_id_is_a_writer_of_it(tmp_path: Path) -> None:
    run_script(
        """
import os, subprocess, sys, store
run = store.init(dir="data", settings={"silent": True})
code = "import store; store.init(); store.log({'a': 2}); store.finish()"
subprocess.run([sys.executable, "-c", code], check=True, close_fds=False,
    env=os.environ | {"STORE_RUN_ID": run.id, "STORE_DIR": "data", "STORE_SILENT": "1"})
run.log({"a": 1})
""",
        tmp_path,
    )
    store = tmp_path / "data"
    assert sorted(row.data["a"] for row in rows_of(only_run(store))) == [1, 2]
    assert [s.state for s in sources_of(only_run(store))] == ["finished", "finished"]
    assert state_of(store) == "finished"
    assert problems(StoreFolder(store)) == []


def test_a_fork_while_another_thread_is_in_init_and_finish(tmp_path: Path) -> None:
    """Children that start runs of their own must find no lock that nobody will release."""
    run_script(
        """
import os, sys, threading, store
settings = {"silent": True, "git": False, "console": "off"}
stop = threading.Event()
init = store.init  # imported: Python itself deadlocks when a fork meets a first import
def in_and_out():
    while not stop.is_set():
        run = init(dir="data", project="parent", settings=settings)
        run.log({"a": 1})
        run.finish()
thread = threading.Thread(target=in_and_out)
thread.start()
for _ in range(20):
    pid = os.fork()
    if pid == 0:
        run = init(dir="data", project="child", settings=settings)
        run.log({"a": 1})
        run.finish()
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
stop.set()
thread.join()
""",
        tmp_path,
    )
    store = StoreFolder(tmp_path / "data")
    for run in store.runs(project="child"):
        assert [row.data for row in rows_of(run)] == [{"a": 1}]
    assert len(list(store.runs(project="child"))) == 20
    assert problems(store) == []


def test_a_child_comes_up_though_another_thread_held_on_to_the_gate(tmp_path: Path) -> None:
    """A fork waits for it for a while only; its holder is not in the child."""
    run_script(
        """
import os, threading, store
from store import locks
locks.FORK_SECONDS = 0.2
held, over = threading.Event(), threading.Event()
def hold():
    with locks.no_fork:
        held.set()
        over.wait(60)
settings = {"silent": True, "git": False, "console": "off", "disk": "shared"}
run = store.init(dir="data", project="p", settings=settings)
run.log({"a": 1})
threading.Thread(target=hold).start()
held.wait(60)
pid = os.fork()
if pid == 0:
    run.log({"a": 2})
    run.finish()
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
over.set()
run.finish()
""",
        tmp_path,
    )
    rows = rows_of(only_run(tmp_path / "data"))
    assert sorted(row.data["a"] for row in rows if "a" in row.data) == [1, 2]
    assert problems(tmp_path / "data") == []


GATE = """
import os, sys, store
from store.locks import no_fork

class Gate:
    def find_spec(self, name, path=None, target=None):
        if not no_fork._is_owned():
            print(name, file=sys.stderr)

init = store.init
settings = {"silent": True, "system_interval": 0.1, "finish_timeout": 1.0}
sys.meta_path.insert(0, Gate())
for _ in range(2):
    run = init(dir="data", project="p", id="r1", settings=settings)
    print(run.name)
    run.log({"a": 1.0, "b": float("nan")})
    run.flush(durable=True)
    assert run.summary["a"] == 1.0
    run.save("script.py")
    assert run.url is None or run.url.startswith("http://")
    run.finish()
sys.meta_path.pop(0)
"""


@pytest.mark.parametrize(
    "environment",
    [
        {"STORE_DISK": "local"},
        {"STORE_DISK": "shared"},
        {"STORE_DISK": "shared", "STORE_SPOOL": "{folder}/spool"},
        {"STORE_AGENT": "thread", "STORE_URL": "http://127.0.0.1:9", "STORE_API_KEY": "st-0"},
        {"STORE_AGENT": "process", "STORE_URL": "http://127.0.0.1:9", "STORE_API_KEY": "st-0"},
    ],
    ids=["local", "shared", "spool", "thread", "agent"],
)
def test_nothing_is_imported_late_where_a_fork_may_come_in_between(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    """A child inherits the lock of a module that is just being imported, and hangs at its own."""
    where = {key: value.format(folder=tmp_path) for key, value in environment.items()}
    with no_agents_left(tmp_path / "data"):
        for _ in range(2):  # begun, and resumed by a process that has imported nothing yet
            done = run_script(GATE, tmp_path, check=True, **where)
            assert done.stderr == ""


def test_a_child_that_never_logs_keeps_nothing_of_its_parent_alive(tmp_path: Path) -> None:
    """A killed writer's forked helper must not make it look alive."""
    run_script(
        """
import os, signal, sys, store
run = store.init(dir="data", settings={"silent": True})
run.log({"a": 1})
ready, tell = os.pipe()
if os.fork() == 0:
    os.setsid()
    with open("helper", "w") as file:
        file.write(str(os.getpid()))
    os.write(tell, b"x")
    for name in (0, 1, 2):
        os.close(name)
    signal.pause()
os.read(ready, 1)
os.kill(os.getpid(), signal.SIGKILL)
""",
        tmp_path,
        check=False,
    )
    store = tmp_path / "data"
    helper = int((tmp_path / "helper").read_text())
    try:
        assert state_of(store) == "crashed"
        assert [row.data for row in rows_of(only_run(store))] == [{"a": 1}]
        assert list(only_run(store).journals.iterdir()) == []
    finally:
        subprocess.run(["kill", "-9", str(helper)], check=True)
    assert problems(StoreFolder(store)) == []
