"""The command line as tests call it: in this process, or as a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from store.api.cli import cli
from store.paths import RunFolder, StoreFolder, create_store
from store.row import Kind
from tests.stored_runs import BEGAN, absorb, metric, rows_of


def call(*arguments: object, **options: Any) -> Result:
    """Call a command in this process; an unforeseen exception fails the test."""
    return CliRunner().invoke(cli, list(map(str, arguments)), catch_exceptions=False, **options)


def ask(*arguments: object) -> Any:
    """What a command answers in JSON."""
    result = call(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def run_program(
    *arguments: object, cwd: Path, check: bool = True, **options: Any
) -> subprocess.CompletedProcess[str]:
    """`python -m store` in an interpreter of its own."""
    done = subprocess.run(
        program(*arguments),
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        **options,
    )
    if check:
        assert done.returncode == 0, done.stdout + done.stderr
    return done


def program(*arguments: object) -> list[str]:
    """The words of a command that starts the program with warnings as errors."""
    return [sys.executable, "-W", "error", "-m", "store", *map(str, arguments)]


def environment(**extra: str) -> dict[str, str]:
    return {**os.environ, **extra}


def make_run(store: Path | StoreFolder, run_id: str, number: int = 1, **facts: Any) -> RunFolder:
    """A run with two rows of metrics.

    `facts`: project, name, loss, config, attributes, state, uuid, at, said.
    """
    folder = store if isinstance(store, StoreFolder) else create_store(store)
    run = folder.run(facts.get("entity", "local"), facts.get("project", "p"), run_id)
    loss = facts.get("loss", 0.5)
    rows = rows_of(
        (Kind.ATTRIBUTE, 0, {"name": facts.get("name", f"run-{number}")}),
        (Kind.ATTRIBUTE, 0, facts.get("attributes", {})),
        (Kind.CONFIG, 0, facts.get("config", {})),
        metric(0, {"loss": 2 * loss}),
        metric(1, {"loss": loss}),
        *facts.get("said", ()),
        state=facts.get("state", "finished"),
        at=facts.get("at", BEGAN + 1000 * number),
    )
    return absorb(run, rows, facts.get("uuid", f"{number:032x}"))
