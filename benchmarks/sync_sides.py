"""The two sides of a sync as processes of their own, with what each of them takes. POSIX only.

CPU is user and system time of the whole process, its start included; peak memory is VmHWM where
there is /proc, else what the kernel says at the end.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from math import inf
from pathlib import Path
from typing import Final, NamedTuple

import psutil
from measure import clean_environment

from store.paths import StoreFolder

POLL_SECONDS: Final = 0.02
PIECE: Final = 2**16


class Side(NamedTuple):
    """What a process took: CPU in seconds, peak of resident memory in MB."""

    cpu: float
    peak: float


class Client(NamedTuple):
    """A client that has ended: wall seconds, what it took, its exit code."""

    seconds: float
    side: Side
    code: int


class Server:
    """A server that takes connections."""

    def __init__(self, process: subprocess.Popen[str], data: Path, url: str, key: str) -> None:
        self.process = process
        self.data = data
        self.url = url
        self.key = key

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def runs(self) -> int:
        """How many it has."""
        return sum(run.database.exists() for run in StoreFolder(self.data).runs())

    def side(self) -> Side:
        """What it, with its helpers, took up to now."""
        members = [psutil.Process(self.process.pid)]
        members += members[0].children(recursive=True)
        return Side(sum(map(cpu_of, members)), sum(peak_of(member.pid) for member in members))


def cpu_of(process: psutil.Process) -> float:
    """Seconds of CPU."""
    times = process.cpu_times()
    return float(times.user + times.system)


def peak_of(pid: int) -> float:
    """MB of resident memory at the highest; 0 where it cannot be told (any more)."""
    with contextlib.suppress(OSError):
        found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
        return int(found[1]) * 1024 / 1e6 if found else 0.0
    return 0.0


@contextlib.contextmanager
def serving(data: Path, *options: object) -> Iterator[Server]:
    """`store serve` on a new folder, for as long as the block lasts."""
    command = [sys.executable, "-m", "store", "serve", "--data", os.fspath(data), "--port", "0"]
    with (data.parent / f"{data.name}.log").open("w+") as log:
        process = subprocess.Popen(
            [*command, *map(str, options)],
            env=clean_environment(),
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        try:
            assert process.stdout is not None
            url = process.stdout.readline().rpartition(" ")[2].strip()
            log.seek(0)
            told = log.read()
            key = re.search(r"^st-[0-9a-f]+$", told, re.MULTILINE)
            if key is None:
                raise SystemExit(f"no server came up:\n{told[-2000:]}")
            yield Server(process, data, url, key[0])
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=60)
            assert process.stdout is not None
            process.stdout.close()


def start_client(store: Path, url: str, key: str, *options: object) -> subprocess.Popen[bytes]:
    """`store sync OPTIONS --to URL` in a process, for the store in a folder."""
    return subprocess.Popen(
        [sys.executable, "-m", "store", "sync", "--to", url, *map(str, options)],
        env=clean_environment() | {"STORE_DIR": os.fspath(store), "STORE_API_KEY": key},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def sync(
    store: Path,
    url: str,
    key: str,
    *options: object,
    kill_if: Callable[[], bool] | None = None,
) -> Client:
    """Run a client to its end, or kill it as soon as `kill_if()`.

    Raises:
        SystemExit: it failed; its last lines say why.
    """
    began = time.monotonic()
    process = start_client(store, url, key, *options)
    peak = 0.0
    while True:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            break
        peak = max(peak, peak_of(process.pid))
        if kill_if is not None and kill_if():
            process.kill()
        time.sleep(POLL_SECONDS)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.stderr is not None
    told = process.stderr.read().decode(errors="replace")
    process.stderr.close()
    if process.returncode not in (0, -signal.SIGKILL):
        raise SystemExit(f"store sync ended with {process.returncode}:\n{told[-2000:]}")
    seconds = time.monotonic() - began
    return Client(
        seconds, Side(usage.ru_utime + usage.ru_stime, peak or usage.ru_maxrss), process.returncode
    )


class CountingProxy:
    """Passes TCP connections on to a port of this machine; `sent` counts the clients' bytes.

    Behind `limit` bytes of clients it cuts all connections, old and new.
    """

    def __init__(self, port: int) -> None:
        self.sent = 0
        self.limit: float = inf
        self._port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def is_cut(self) -> bool:
        """Whether the limit is reached."""
        return self.sent >= self.limit

    def close(self) -> None:
        """Take no more connections."""
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._port))
                for ends in ((client, server, True), (server, client, False)):
                    threading.Thread(target=self._pass, args=ends, daemon=True).start()

    def _room(self) -> int:
        return int(min(PIECE, self.limit - self.sent))

    def _pass(self, source: socket.socket, sink: socket.socket, counts: bool) -> None:
        with contextlib.suppress(OSError):
            while piece := source.recv(self._room() if counts else PIECE):
                if counts:
                    self.sent += len(piece)
                sink.sendall(piece)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
