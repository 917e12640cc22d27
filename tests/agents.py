"""Agents that tests start, found by the store in their command line; none is left behind."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import psutil


def agents_of(store: Path) -> list[psutil.Process]:
    """The agents of a store that live."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        words = process.info["cmdline"] or []
        if "--agent" in words and os.fspath(store) in words and process.info["status"] != "zombie":
            found.append(process)
    return found


def kill_agents(store: Path) -> int:
    """SIGKILL to all agents of a store, until there is none; gives how many there were."""
    killed = 0
    while agents := agents_of(store):
        for agent in agents:
            with contextlib.suppress(psutil.NoSuchProcess):
                agent.kill()
                killed += 1
        # They are children of init, or of a test that will not wait for them.
        psutil.wait_procs(agents, timeout=10)
    return killed


def await_no_agent(store: Path, timeout: float = 60.0) -> None:
    """Wait until the agents of a store have ended by themselves."""
    _, left = psutil.wait_procs(agents_of(store), timeout=timeout)
    assert not left, f"the agent goes on: {left}"


@contextlib.contextmanager
def no_agents_left(store: Path) -> Iterator[None]:
    """End agents that are still there when the block is left, however that happens."""
    try:
        yield
    finally:
        kill_agents(store)
