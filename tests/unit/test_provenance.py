"""Command line, environment and the parts of a run's provenance, asked of real processes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from store.api.provenance import collect, command_line

PRINT_COMMAND = """
import json
from store.api.provenance import command_line
print(json.dumps(command_line()))
"""


def _python(code: str, folder: Path, *arguments: str, **environment: str) -> object:
    """What a new interpreter prints as JSON."""
    answer = subprocess.run(
        [sys.executable, *arguments, "-c", code] if code else [sys.executable, *arguments],
        check=True,
        capture_output=True,
        cwd=folder,
        env={**os.environ, **environment},
    )
    return json.loads(answer.stdout)


def test_import_loads_neither_git_nor_psutil(tmp_path: Path) -> None:
    code = """
import json, sys
import store.api.code, store.api.provenance, store.api.ranks
print(json.dumps(sorted({"git", "gitdb", "psutil", "subprocess", "pynvml"} & set(sys.modules))))
"""
    assert _python(code, tmp_path) == []


@pytest.mark.parametrize(
    ("arguments", "started_as", "program"),
    [
        (["train.py"], "script", "train.py"),
        (["-O", "train.py"], "script", "train.py"),
        (["-m", "train"], "python -m", "train"),
        (["-m", "package.train"], "python -m", "package.train"),
        (["-m", "package"], "python -m", "package"),
        (["package"], "script", "package"),
    ],
)
def test_command_line_of_each_way_to_start(
    tmp_path: Path, arguments: list[str], started_as: str, program: str
) -> None:
    (tmp_path / "package").mkdir()
    for name in ("train.py", "package/__main__.py", "package/train.py"):
        (tmp_path / name).write_text(PRINT_COMMAND)
    (tmp_path / "package" / "__init__.py").touch()

    facts = _python("", tmp_path, *arguments, "--token", "abc", "--lr=0.1")

    assert isinstance(facts, dict)
    assert facts["command"][1:] == [*arguments, "--token", "***", "--lr=0.1"]
    assert (facts["started_as"], facts["program"]) == (started_as, program)
    assert Path(facts["cwd"]).samefile(tmp_path)
    assert "notebook" not in facts


def test_command_line_of_code_on_the_command_line(tmp_path: Path) -> None:
    facts = _python(PRINT_COMMAND, tmp_path)

    assert isinstance(facts, dict)
    assert (facts["started_as"], facts["program"]) == ("python -c", "-c")


def test_command_line_in_a_notebook(tmp_path: Path) -> None:
    (tmp_path / "ipykernel.py").touch()

    facts = _python("import ipykernel\n" + PRINT_COMMAND, tmp_path)

    assert isinstance(facts, dict)
    assert (facts["started_as"], facts["notebook"]) == ("notebook", True)


def test_environment_has_only_chosen_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    monkeypatch.setenv("SLURM_JOB_PARTITION", "gpu")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    monkeypatch.setenv("SLURM_JWT", "x")
    monkeypatch.setenv("WANDB_API_KEY", "x")

    environment = command_line()["environment"]

    assert isinstance(environment, dict)
    assert environment["SLURM_JOB_ID"] == "17"
    assert environment["SLURM_ARRAY_TASK_ID"] == "3"
    assert environment["SLURM_JOB_PARTITION"] == "gpu"
    assert environment["CUDA_VISIBLE_DEVICES"] == "0,1"
    assert not {"SLURM_JWT", "WANDB_API_KEY", "HOME", "PATH"} & set(environment)


@pytest.mark.skipif(os.name != "posix", reason="not run: the folder is in use here")
def test_deleted_working_directory_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()

    assert "cwd" not in command_line()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    if shutil.which("git") is None:
        pytest.skip("not run: there is no git executable")
    subprocess.run(["git", "init", "-q", str(tmp_path / "project")], check=True)
    return tmp_path / "project"


def test_collect_yields_each_part_in_order(repository: Path) -> None:
    parts = dict(collect(repository, git=True))

    assert list(parts) == ["command", "machine", "git", "packages"]
    assert json.loads(json.dumps(parts, allow_nan=False)) == parts


@pytest.mark.parametrize("git", [True, False])
def test_collect_leaves_out_git(tmp_path: Path, repository: Path, git: bool) -> None:
    folder = tmp_path if git else repository

    assert [name for name, _ in collect(folder, git=git)] == ["command", "machine", "packages"]


def test_collect_gives_valid_text_for_broken_arguments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    strange = ["train.py", os.fsdecode(b"caf\xe9"), "\ud800", "x" * 100_000]
    monkeypatch.setattr(sys, "argv", strange)
    monkeypatch.setattr(sys, "orig_argv", [sys.executable, *strange])

    command = dict(collect(tmp_path, git=False))["command"]

    assert isinstance(command, dict)
    text = json.dumps(command["command"], ensure_ascii=False)
    assert "caf\\\\xe9" in text.encode().decode()
    assert len(text) < 10_000
