"""examples/slurm: what sbatch would start is started here, on "nodes" of this machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from store.paths import StoreFolder
from store.query import open_store
from tests.cli.program import ask, call
from tests.helpers import TESTS, problems, rows_of, sources_of

EXAMPLE = TESTS.parent / "examples" / "slurm"


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """What Slurm sets for a job of two nodes, with our srun and scontrol."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, line in (
        ("python", f'exec "{sys.executable}" -P "$@"'),
        ("srun", f'exec "{sys.executable}" "{TESTS / "workers" / "srun.py"}" "$@"'),
        ("scontrol", f'echo "$@" >> "{tmp_path / "scontrol"}"'),
    ):
        (programs / name).write_text(f"#!/bin/sh\n{line}\n")
        (programs / name).chmod(0o755)
    (tmp_path / "train.py").symlink_to(EXAMPLE / "train.py")
    return {
        **os.environ,
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "TEST_CACHES": str(tmp_path / "caches"),
        "STORE_DISK": "shared",
        "SLURM_SUBMIT_DIR": str(tmp_path),
        "SLURM_JOB_ID": "4711",
        "SLURM_NNODES": "2",
        "SLURM_NTASKS": "4",
        "GRACE_SECONDS": "0",
    }


def start(
    script: str, *words: object, cwd: Path, environment: dict[str, str]
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        ["bash", EXAMPLE / script, *map(str, words)],
        cwd=cwd,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def end(job: subprocess.Popen[str]) -> str:
    said, _ = job.communicate(timeout=100)
    assert job.returncode == 0, said
    return said


def on_login_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StoreFolder:
    monkeypatch.setenv("STORE_HOST", "login")
    monkeypatch.setenv("STORE_CACHE", str(tmp_path / "caches" / "login"))
    return StoreFolder(tmp_path / ".store")


@pytest.mark.parametrize("script", ["job.sh", "array.sh"])
def test_the_scripts_are_sound(script: str) -> None:
    subprocess.run(["bash", "-n", EXAMPLE / script], check=True, timeout=60)


def test_a_job_of_two_nodes_is_requeued_and_goes_on_with_its_run(
    tmp_path: Path, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints = [tmp_path / "checkpoints" / "job-4711" / f"rank-{n}.npz" for n in range(4)]
    endless = start("job.sh", "--epochs", 10**9, cwd=tmp_path, environment=environment)
    while not all(path.exists() for path in checkpoints):
        assert endless.poll() is None, end(endless)
    endless.send_signal(signal.SIGUSR1)  # as Slurm does before the time limit
    assert "queued again" in end(endless)
    assert (tmp_path / "scontrol").read_text() == "requeue 4711\n"

    store = on_login_node(tmp_path, monkeypatch)
    assert store.record.mode == "shared"
    (run,) = store.runs()
    assert ask("--store", tmp_path, "ls")[0]["state"] == "killed"
    epochs = 10 + max(int(row.step or 0) for row in rows_of(run))

    again = environment | {"SLURM_RESTART_COUNT": "1"}
    end(start("job.sh", "--epochs", epochs, cwd=tmp_path, environment=again))
    (run,) = store.runs()
    (line,) = ask("--store", tmp_path, "ls")
    assert (run.id, line["state"], line["writers"]) == ("job-4711", "finished", 8)
    with open_store(store.path) as opened:
        for rank in range(4):
            series = opened.runs["job-4711"].series("loss", writer=f"rank-{rank}")
            assert sorted(series.steps) == list(range(epochs))
    places = {(source.label, source.host) for source in sources_of(run)}
    assert places == {(f"rank-{rank}", f"node-{rank // 2}") for rank in range(4)}
    assert call("--store", tmp_path, "check").exit_code == 0
    assert problems(store) == []


def test_every_task_of_an_array_is_a_run_of_one_group(
    tmp_path: Path, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = (0, 7, 150, 299)
    jobs = []
    for number in tasks:
        task = {"SLURM_ARRAY_JOB_ID": "12", "SLURM_ARRAY_TASK_ID": str(number)}
        place = {"SLURM_NNODES": "1", "SLURM_NTASKS": "1"}
        jobs.append(
            start("array.sh", "--epochs", 20, cwd=tmp_path, environment=environment | task | place)
        )
    for job in jobs:
        end(job)
    store = on_login_node(tmp_path, monkeypatch)
    lines = ask("--store", tmp_path, "ls", "--filter", "\"group\" = 'sweep-12'")
    assert {line["id"] for line in lines} == {f"sweep-12-{number}" for number in tasks}
    assert {line["state"] for line in lines} == {"finished"}
    with open_store(store.path) as opened:
        rates = sorted(run.config["lr"] for run in opened.runs)
    assert rates[0] == pytest.approx(0.01)
    assert rates[-1] == pytest.approx(10.0)
    assert problems(store) == []
