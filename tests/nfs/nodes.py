"""The nodes of the rig, and what a round asks of them.

The rig is a folder with a module `nfsrig` that boots an NFS server and two clients; $NFS_RIG names
it, and without that it is looked for beside the repository, as shared/nfs-rig. What is started on
a node outlives the connection that started it, for a node may be frozen meanwhile.
"""

from __future__ import annotations

import importlib
import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final, NamedTuple

REPOSITORY: Final = Path(__file__).parents[2]
SHARE: Final = "/mnt/share"
LOCAL: Final = "/srv/runstore"
"""A folder on a node's own disk, for all that the rounds keep there."""
SECONDS: Final = 600.0
"""The nodes are emulated: what takes a second elsewhere may take a minute."""
_ENVIRONMENT: Final = {"STORE_AGENT": "off", "STORE_MODE": "offline"}


class NoRig(Exception):
    """The rig cannot be found."""


def find_rig() -> Any:
    """The module `nfsrig`. NoRig when it is not there."""
    given = os.environ.get("NFS_RIG")
    folder = Path(given) if given else REPOSITORY.parent / "shared" / "nfs-rig"
    if not (folder / "nfsrig.py").exists():
        raise NoRig(f"there is no rig at {folder}: name its folder with NFS_RIG")
    sys.path.insert(0, os.fspath(folder))
    return importlib.import_module("nfsrig")


class Line(NamedTuple):
    """What a writer had written down: at `time`, so many rows were logged and flushed."""

    time: float
    logged: int
    flushed: int


class Counted(NamedTuple):
    """Rows of one writer that are there, how many of them differ, and the greatest count."""

    rows: int
    distinct: int
    greatest: float

    @property
    def is_whole(self) -> bool:
        """Whether they are 0, 1, 2... without one lost in between or doubled."""
        return self.rows == self.distinct == self.greatest + 1


class Node:
    """A client of the rig."""

    def __init__(self, rig: Any, name: str) -> None:
        self.rig = rig
        self.name = name

    def run(
        self, *words: object, check: bool = True, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command, in the share."""
        command = _command(words, environment)
        done: subprocess.CompletedProcess[str] = self.rig.run(self.name, command, SECONDS)
        if check and done.returncode:
            raise AssertionError(
                f"{self.name}: {command} exited {done.returncode}\n{done.stdout}{done.stderr}"
            )
        return done

    def store(
        self, folder: str, *words: object, check: bool = True, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Call `store --store FOLDER WORDS`."""
        return self.run("store", "--store", folder, *words, check=check, **environment)

    def start(self, job: str, *words: object, **environment: str) -> None:
        """Start a command whose output and exit code are kept under the name `job`."""
        path = f"{LOCAL}/jobs/{job}"
        command = f"echo $$ > {path}.pid; exec {_command(words, environment)}"
        inner = f"sh -c {shlex.quote(command)} > {path}.out 2> {path}.err; echo $? > {path}.code"
        self.run(
            "sh",
            "-c",
            f"mkdir -p {LOCAL}/jobs && rm -f {path}.* && cd / && "
            f"setsid sh -c {shlex.quote(inner)} < /dev/null > /dev/null 2>&1 & sleep 0.1",
        )

    def work(self, job: str, *words: object) -> None:
        """Start worker.py."""
        self.start(job, "python", f"{LOCAL}/worker.py", *words)

    def result(self, job: str, timeout: float = SECONDS) -> dict[str, Any]:
        """Wait for a worker, and give what it printed."""
        path = f"{LOCAL}/jobs/{job}"
        for _ in range(int(timeout)):
            done = self.run("cat", f"{path}.code", check=False)
            if done.returncode == 0 and done.stdout:
                break
            time.sleep(1)
        else:
            raise AssertionError(f"{self.name}: {job} does not end\n{self.told(job)}")
        if done.stdout.strip() != "0":
            raise AssertionError(f"{self.name}: {job} exited {done.stdout}{self.told(job)}")
        answer = json.loads(self.run("cat", f"{path}.out").stdout.splitlines()[-1])
        assert isinstance(answer, dict)
        return answer

    def kill(self, job: str, signal: str = "KILL") -> None:
        """Send a signal to the process of a job, if it lives."""
        self.run("sh", "-c", f"kill -{signal} $(cat {LOCAL}/jobs/{job}.pid)", check=False)

    def told(self, job: str) -> str:
        """What a job has printed so far."""
        path = f"{LOCAL}/jobs/{job}"
        return self.run("sh", "-c", f"cat {path}.out {path}.err", check=False).stdout

    def touch(self, name: str) -> None:
        self.run("touch", f"{LOCAL}/{name}")

    def acknowledged(self, writer: str) -> list[Line]:
        """What a writer has written down, whole lines only."""
        lines = self.run("cat", f"{LOCAL}/{writer}.ack", check=False).stdout.splitlines(True)
        found = [line.split() for line in lines if line.endswith("\n")]
        return [Line(float(at), int(logged), int(flushed)) for at, logged, flushed in found]

    def count(self, folder: str) -> dict[str, Counted]:
        """The rows of each writer, as this node sees them."""
        done = self.run("python", f"{LOCAL}/worker.py", "count", folder)
        return {key[1:]: Counted(*found) for key, found in json.loads(done.stdout).items()}

    def check(self, folder: str) -> None:
        """`store check` must find nothing wrong."""
        self.store(folder, "check")

    def prepare(self) -> None:
        """Put the worker on the node's disk, which a power cut shall not take."""
        self.run("mkdir", "-p", LOCAL)
        self.rig.put(self.name, Path(__file__).with_name("worker.py"), LOCAL)
        self.run("sync")


def _command(words: tuple[object, ...], environment: dict[str, str]) -> str:
    variables = [f"{key}={value}" for key, value in (_ENVIRONMENT | environment).items()]
    return shlex.join(["env", *variables, *map(str, words)])
