"""System metrics: sampled for real, with short intervals, in runs of real processes."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

import store
from store.api.gpus import Gpus
from store.query import StoredRun
from store.row import SYSTEM
from tests.helpers import only_run, problems, rows_of, run_script

PROCESS = {"system/process/cpu", "system/process/memory", "system/process/threads"}
MACHINE = {"system/cpu", "system/memory", "system/disk/free"}
SETTINGS: dict[str, object] = {
    "silent": True,
    "git": False,
    "console": "off",
    "system_interval": 0.02,
}
OPENING = """
import os, store
settings = {"silent": True, "git": False, "console": "off", "system_interval": 0.02}
run = store.init(dir="s", settings=settings)

def count(writer=None):
    return len(store.open("s").runs[run.id].series("system/process/cpu", writer))
"""
SECOND = f"""{OPENING}
while count(run.label) < 2:
    pass
run.finish()
print(run.id)
"""
FORKING = f"""{OPENING}
while count() < 2:
    pass
told, tell = os.pipe()
child = os.fork()
if child == 0:
    run.log({{"x": 1.0}})
    os.read(told, 1)
    run.finish()
    os._exit(0)
before = count()
while count() < before + 2:
    pass
os.write(tell, b"!")
assert os.waitpid(child, 0)[1] == 0
run.finish()
"""


def begin(folder: Path, **settings: object) -> store.Run:
    return store.init(id="r", dir=folder / "s", settings={**SETTINGS, **settings})


def stored(folder: Path) -> StoredRun:
    return store.open(folder / "s").runs["r"]


def wait_for_samples(folder: Path, count: int) -> None:
    deadline = time.monotonic() + 60
    while len(stored(folder).series("system/process/cpu")) < count:
        assert time.monotonic() < deadline, "no samples come"
        time.sleep(0.01)


def samples(folder: Path) -> Iterator[dict[str, float]]:
    """The rows about the machine."""
    for row in rows_of(only_run(folder / "s")):
        if any(key.startswith(SYSTEM) for key in row.data):
            yield row.data


def threads() -> set[str]:
    return {thread.name for thread in threading.enumerate()}


def test_a_run_says_how_busy_process_and_machine_are(tmp_path: Path) -> None:
    with begin(tmp_path):
        wait_for_samples(tmp_path, 3)

    found = list(samples(tmp_path))
    for row in found:
        assert row.keys() >= PROCESS | MACHINE
        assert 0 <= row["system/cpu"] <= 100
        assert 0 < row["system/memory"] < psutil.virtual_memory().total
        assert 0 < row["system/disk/free"] < psutil.disk_usage(str(tmp_path)).total
        assert 2**20 < row["system/process/memory"] < psutil.virtual_memory().total
        assert row["system/process/threads"] >= 2
        assert all(value >= 0 for value in row.values())
    assert max(row["system/process/cpu"] for row in found) > 0
    assert problems(tmp_path / "s") == []


def test_steps_summary_and_history_are_those_of_the_user(tmp_path: Path) -> None:
    with begin(tmp_path) as run:
        wait_for_samples(tmp_path, 5)
        assert run.step == 0
        assert dict(run.summary) == {}
    assert stored(tmp_path).line.steps is None
    with begin(tmp_path) as run:
        assert run.step == 0
        run.log({"loss": 1.0})
        wait_for_samples(tmp_path, 10)
        run.log({"loss": 0.5})
        wait_for_samples(tmp_path, 15)
        run.flush()
        assert dict(run.summary) == {"loss": 0.5}

    found = stored(tmp_path)
    assert found.line.steps == 1
    assert found.summary == {"loss": 0.5}
    assert [(row["_step"], row["loss"]) for row in found.history()] == [(0, 1.0), (1, 0.5)]
    assert not any(key.startswith(SYSTEM) for row in found.history() for key in row)
    assert len(found.history(["system/cpu"])) >= 15
    with store.open(tmp_path / "s") as opened:
        assert opened.sql("select key from summary").rows == [("loss",)]
        (count,) = opened.sql("select count(*) from metrics where key = 'system/cpu'").rows[0]
    assert count >= 15
    with begin(tmp_path, system_metrics=False) as run:
        assert run.step == 2


def test_a_definition_brings_a_metric_of_the_machine_into_the_summary(tmp_path: Path) -> None:
    with begin(tmp_path) as run:
        run.define_metric("*", summary="max")
        run.define_metric("system/mem*", summary="max")
        wait_for_samples(tmp_path, 2)
    highest = max(row["system/memory"] for row in samples(tmp_path))
    assert stored(tmp_path).summary == {"system/memory": highest}


@pytest.mark.parametrize("off", [{"system_metrics": False}, {"mode": "disabled"}])
def test_off_means_off(tmp_path: Path, off: dict[str, object]) -> None:
    with begin(tmp_path, **off):
        assert "runstore-system" not in threads()


def test_nothing_is_sampled_before_the_first_interval_nor_at_the_end(tmp_path: Path) -> None:
    with begin(tmp_path, system_interval=60.0):
        assert "runstore-system" in threads()
    assert list(samples(tmp_path)) == []


@pytest.mark.parametrize(
    ("environment", "sees_machine"),
    [
        ({"STORE_RUN_ID": "r", "STORE_LABEL": "second"}, False),
        ({"STORE_RUN_ID": "r", "RANK": "1", "WORLD_SIZE": "4", "LOCAL_RANK": "1"}, False),
        ({"STORE_RUN_ID": "r", "RANK": "2", "WORLD_SIZE": "4", "LOCAL_RANK": "0"}, True),
        ({"RANK": "1", "WORLD_SIZE": "4", "LOCAL_RANK": "1"}, True),  # a run of its own
    ],
)
def test_one_writer_of_a_host_looks_at_the_machine(
    tmp_path: Path, environment: dict[str, str], sees_machine: bool
) -> None:
    with begin(tmp_path, label="first"):
        done = run_script(SECOND, tmp_path, check=True, **environment)
    with store.open(tmp_path / "s") as opened:
        run = opened.runs[done.stdout.strip()]
        second = environment.get("STORE_LABEL", f"rank-{environment.get('RANK')}")
        assert len(run.series("system/process/memory", second)) >= 2
        assert bool(run.series("system/memory", second)) is sees_machine
    assert problems(tmp_path / "s") == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="not run: no fork on this system")
def test_a_forked_child_samples_nothing(tmp_path: Path) -> None:
    run_script(FORKING, tmp_path)
    with store.open(tmp_path / "s") as opened:
        (run,) = opened.runs
        (parent, child) = run.writers()
        assert len(run.series("system/process/cpu", parent.uuid)) >= 4
        assert len(run.series("x", child.uuid)) == 1
        assert not run.series("system/process/cpu", child.uuid)
    assert problems(tmp_path / "s") == []


def test_gpus_are_sampled() -> None:
    with Gpus() as gpus:
        if not gpus.describe():
            pytest.skip("not run: no NVIDIA GPU, or no nvidia-ml-py")
        load = gpus.load()
    assert 0 <= load["gpu/0/utilization"] <= 100
    assert load["gpu/0/memory"] > 0
