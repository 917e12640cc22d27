"""What the README tells people to type does what it says there."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

from tests.helpers import problems, run_script

README = Path(__file__).parents[2] / "README.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README.read_text(), re.DOTALL)


def test_the_first_example_and_its_commands(tmp_path: Path) -> None:
    run_script(blocks("python")[0], tmp_path)
    (transcript,) = blocks("console")
    commands = [line[2:] for line in transcript.splitlines() if line.startswith("$ ")]
    assert len(commands) == 3
    for command in commands:
        words = shlex.split(command)
        assert words[0] == "store"
        done = subprocess.run(
            [sys.executable, "-m", *words],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        shown = transcript.split(f"$ {command}\n", 1)[1].splitlines()[0]
        assert done.stdout.splitlines()[0].split() == shown.split()
    assert problems(tmp_path / ".store") == []


def test_the_longer_example_runs_too(tmp_path: Path) -> None:
    (tmp_path / "model.pt").write_text("weights")
    example = blocks("python")[1].replace("config=args", "config={}")
    example += "\nassert len(steps) == len(values) == 1\nassert len(best.rows) == 2\n"
    run_script(
        "import store\n" + example.replace("runs = store", "store.finish()\nruns = store"), tmp_path
    )
