"""What a run has to know of its machine, packages and git state, found out by a helper process.

GitPython, psutil and the package list cost some 10 MB and 200 ms of Python's lock, and a training
process should pay neither. `python -P -m store.api.survey FOLDER GIT` prints one JSON array
[key, value] a line and ends. Where no such process can be had, this one does it in its thread.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from store import locks

SECONDS: Final = 60.0


def survey(folder: Path, *, git: bool) -> Iterator[tuple[str, object]]:
    """(key, value) pairs: "machine", "git" if there is a repository, "packages"; all JSON-able."""
    found = _from_helper(folder, git)
    for key, value in found if found is not None else _here(folder, git):
        if key == "machine" and isinstance(value, dict):
            value["pid"] = os.getpid()
        yield key, value


def _from_helper(folder: Path, git: bool) -> list[tuple[str, object]] | None:
    # An embedding program (a notebook kernel is none) may put itself into sys.executable.
    if not sys.executable or not Path(sys.executable).name.lower().startswith("python"):
        return None
    with locks.no_fork:
        import subprocess
    # -P: a git.py or store.py of the user's working directory is not ours to import.
    command = [sys.executable, "-P", "-m", "store.api.survey", os.fspath(folder), str(int(git))]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=SECONDS,
            check=True,
        )
        return [tuple(json.loads(line)) for line in done.stdout.splitlines()]
    except (OSError, ValueError, subprocess.SubprocessError):
        return None


def _here(folder: Path, git: bool) -> Iterator[tuple[str, object]]:
    from store.api.provenance import collect

    with locks.no_fork:
        import configparser  # noqa: F401
        import getpass  # noqa: F401
        import importlib.metadata  # noqa: F401
        import sysconfig  # noqa: F401

        import psutil  # noqa: F401

        if git:
            import git as _git  # noqa: F401
    return ((key, value) for key, value in collect(folder, git=git) if key != "command")


def main() -> None:
    """The helper process."""
    folder, git = sys.argv[1:]
    for pair in _here(Path(folder), bool(int(git))):
        print(json.dumps(pair), flush=True)


if __name__ == "__main__":
    main()
