"""Hosts that share a store: a name, a cache and a state folder of their own, on this one machine.

What they cannot differ in is the kernel; so a host here is known by its name (`store.host`), and
what one host's kernel would not know of another's locks is not asked by name.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

from tests.helpers import start
from tests.programs import start_command, store_command


class Host:
    """One host, for workers, commands, and code in this process."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        self.mount: Path | None = None
        """Where this host sees the folder that all of them share, if it has a mount of its own."""
        self.cache = folder / f"cache-{name}"
        self.state = folder / f"state-{name}"
        self.cache.mkdir()
        self.environment = {
            "STORE_HOST": name,
            "STORE_CACHE": os.fspath(self.cache),
            "STORE_DISK": "shared",
            "STORE_AGENT": "off",
            "XDG_STATE_HOME": os.fspath(self.state),
        }

    def start(self, worker: str, *arguments: object, **more: str) -> subprocess.Popen[bytes]:
        """Start a worker that says "ready" and waits; see `open_gates`."""
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        return start(worker, *arguments, environment=self.environment | more, **pipes)

    def command(self, store: Path, *words: object, **more: str) -> subprocess.CompletedProcess[str]:
        return store_command(store, *words, environment=self.environment | more)

    def start_command(self, store: Path, *words: object, **more: str) -> subprocess.Popen[bytes]:
        return start_command(store, *words, environment=self.environment | more)

    def sees(self, folder: Path) -> Path:
        """The path of a shared folder on this host."""
        return folder if self.mount is None else self.mount / folder.name

    @contextlib.contextmanager
    def here(self) -> Iterator[None]:
        """Let this process be on the host."""
        with patch.dict(os.environ, self.environment):
            yield

    def check(self, store: Path) -> str:
        """What `store check` finds wrong, as this host sees the store."""
        done = self.command(store, "check")
        return "" if done.returncode == 0 else done.stdout + done.stderr
