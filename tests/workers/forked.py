"""Workers as forks of one process, for campaigns: to start an interpreter takes 0.3 s.

That process is multiprocessing's fork server. It has imported what workers need and opens no run;
it forks a child for each worker, which runs the script as an interpreter would, and reaps it.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import socket
import sys
from functools import cache
from typing import Any, Final

IMPORTED: Final = [
    *("tests.workers.forked", "tests.workers.common", "store.api.session", "store.api.survey"),
    *("store.api.provenance", "store.fold", "filelock", "sqlite3", "subprocess", "pytest"),
]


class Forked:
    """tests/workers/<worker>.py in a forked process, with what tests use of `subprocess.Popen`."""

    def __init__(self, worker: str, *arguments: object) -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            texts = [str(argument) for argument in arguments]
            self._process = fork_server().Process(target=be_worker, args=(worker, texts, theirs))
            self._process.start()
            self.stdin = self.stdout = ours.makefile("rwb", buffering=0)

    @property
    def returncode(self) -> int | None:
        code: int | None = self._process.exitcode
        return code

    def kill(self) -> None:
        self._process.kill()

    def wait(self, timeout: float) -> int | None:
        self._process.join(timeout)
        return self.returncode


@cache
def fork_server() -> Any:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(IMPORTED)
    return context


def be_worker(worker: str, arguments: list[str], gate: socket.socket) -> None:
    for fd in (0, 1):
        os.dup2(gate.fileno(), fd)
    gate.close()
    sys.stdin, sys.stdout = os.fdopen(0), os.fdopen(1, "w")
    sys.argv = [worker, *arguments]
    runpy.run_module(f"tests.workers.{worker}", run_name="__main__")
