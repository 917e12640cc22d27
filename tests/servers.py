"""Real servers for tests: `store serve` as a process of its own, on a free port of loopback."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from store.server.accounts import Accounts
from store.server.problems import Problem

ALL_SCOPES = ("read", "write", "admin")


@dataclass
class RunningServer:
    """A server that takes connections. Stop it by its `process`, or with `stop()` or `kill()`."""

    data: Path
    url: str
    admin_key: str
    process: subprocess.Popen[str]
    told: list[str] = field(default_factory=list)
    """The lines of its stderr, complete once it has ended."""
    reader: threading.Thread | None = None

    def stop(self) -> int:
        """SIGTERM; gives the exit code."""
        return self._end(signal.SIGTERM)

    def kill(self) -> int:
        """SIGKILL: what happens to a server that is cut off."""
        return self._end(signal.SIGKILL)

    def _end(self, number: int) -> int:
        self.process.send_signal(number)
        code = self.process.wait(timeout=60)
        if self.reader is not None:
            self.reader.join(60)
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()
        return code


def start_server(data: Path, *options: object, admin_key: str = "") -> RunningServer:
    """Start `store serve --data DATA --port 0 OPTIONS`, and wait until it takes connections.

    `admin_key`: the key to know it by, if there is one already; else one is made.
    """
    command = [sys.executable, "-W", "error", "-m", "store", "serve", "--data", os.fspath(data)]
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("STORE_", "WANDB_"))}
    process = subprocess.Popen(
        [*command, "--port", "0", *map(str, options)],
        env=clean,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    server = RunningServer(data, "", admin_key, process)
    # A pipe that nobody reads would stop the server once it is full.
    server.reader = threading.Thread(target=_listen, args=(process, server.told), daemon=True)
    server.reader.start()
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line.startswith(f"serving {data} at "):
        process.kill()
        server._end(signal.SIGKILL)
        raise AssertionError(f"no server came up: {line!r}\n" + "".join(server.told))
    server.url = line.rpartition(" ")[2].strip()
    server.admin_key = admin_key or make_key(data, "admin", ALL_SCOPES)
    return server


def _listen(process: subprocess.Popen[str], told: list[str]) -> None:
    assert process.stderr is not None
    told.extend(process.stderr)


@contextlib.contextmanager
def running_server(data: Path, *options: object) -> Iterator[RunningServer]:
    """A server for as long as the block lasts; it is stopped whatever happens in it."""
    server = start_server(data, *options)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.stop()
        else:
            server._end(0)


def make_key(
    server: RunningServer | Path,
    user: str,
    scopes: Iterable[str] = ("read", "write"),
    *,
    expires: float | None = None,
) -> str:
    """A key of `user`, who is made where there is none such, beside a running or stopped server."""
    with accounts_of(server) as accounts:
        with contextlib.suppress(Problem):
            accounts.create_user(user)
        text, _ = accounts.create_key(user, scopes, expires=expires)
        return text


@contextlib.contextmanager
def accounts_of(server: RunningServer | Path) -> Iterator[Accounts]:
    """The accounts of a server or a data folder."""
    data = server if isinstance(server, Path) else server.data
    accounts = Accounts(data, create=True)
    try:
        yield accounts
    finally:
        accounts.close()
