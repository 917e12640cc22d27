"""Exactly once under chaos: a run is synced while it is logged, through a proxy that cuts, delays,
doubles, reorders and truncates, while clients, the agent and the server are killed at random.

In the end the server has every acknowledged row once, and says so with equal digests.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from store.paths import RunFolder, StoreFolder
from store.sync.agent import start_process
from tests.agents import agents_of, kill_agents, no_agents_left
from tests.chaos_proxy import ChaosProxy, chaos_proxy
from tests.crash.test_sigkill import odd_ones
from tests.helpers import (
    acknowledged,
    counts_by_writer,
    kill,
    make_seed,
    only_run,
    open_gates,
    problems,
    rows_of,
    sources_of,
    start,
    what_is_left,
)
from tests.programs import signed_in, start_command, store_command
from tests.servers import RunningServer, make_key, start_server

WRITERS: Final = 4
MEDIA: Final = ("mmap", "write")
TRIES: Final = 5
"""Syncs without chaos until all must be there."""


class Chaos:
    """One round: the store, the server behind its proxy, and who is at work on them."""

    def __init__(self, folder: Path, proxy: ChaosProxy, server: RunningServer, seed: int) -> None:
        self.store = folder / "store"
        self.proxy = proxy
        self.server = server
        self.choose = random.Random(seed)
        self.with_agent = seed % 2 == 0
        self.environment = signed_in(proxy.url, make_key(server, "ann"))
        self.writers: list[subprocess.Popen[bytes]] = []
        self.syncers: list[subprocess.Popen[bytes]] = []
        self.kills = 0
        self.told: list[str] = []

    def begin(self, folder: Path, rows: int, seconds: float) -> None:
        """Start the writers, and what sends their rows."""
        for n in range(WRITERS):
            ack, medium = folder / f"ack{n}", self.choose.choice(MEDIA)
            each = (self.store, "r1", n, ack, medium, rows // WRITERS, seconds)
            environment = self.environment if self.with_agent else {}
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
            self.writers.append(start("log_live", *each, environment=environment, **pipes))
        open_gates(self.writers)
        for _ in range(1 if self.with_agent else 2):
            self.start_syncer()

    def start_syncer(self) -> None:
        with open(self.store.parent / "watchers", "ab") as log:
            words = (self.store, "sync", "--watch")
            self.syncers.append(
                start_command(*words, environment=self.environment, stdout=log, stderr=log)
            )

    def are_writing(self) -> bool:
        return any(writer.poll() is None for writer in self.writers)

    def kill_somebody(self) -> None:
        """SIGKILL to a client, the agent or the server; another one takes its place."""
        victims: list[Callable[[], None]] = [self.kill_server, self.kill_syncer, self.kill_syncer]
        if self.with_agent:
            victims.append(self.kill_agent)
        self.choose.choice(victims)()
        self.kills += 1

    def kill_server(self) -> None:
        self.server.kill()
        self.told += self.server.told
        port = self.proxy.upstream
        self.server = start_server(
            self.server.data, "--port", port, admin_key=self.server.admin_key
        )

    def kill_syncer(self) -> None:
        victim = self.syncers.pop(0)
        kill(victim)
        assert victim.returncode == -signal.SIGKILL, (
            f"a watcher ended by itself:\n{(self.store.parent / 'watchers').read_text()}"
        )
        self.start_syncer()

    def kill_agent(self) -> None:
        kill_agents(self.store)
        start_process(self.store, {**os.environ, **self.environment})

    def end(self) -> None:
        for process in (*self.writers, *self.syncers):
            kill(process)
        if self.server.process.poll() is None:
            self.server.stop()
            self.told += self.server.told


def one_round(folder: Path, seed: int, rows: int, seconds: float) -> None:
    """`rows` rows of four writers, logged in `seconds`."""
    folder.mkdir()
    server = start_server(folder / "data")
    with (
        contextlib.ExitStack() as stack,
        no_agents_left(folder / "store"),
        chaos_proxy(server.url, seed) as proxy,
    ):
        chaos = Chaos(folder, proxy, server, seed)
        stack.callback(chaos.end)
        try:
            chaos.begin(folder, rows, seconds)
            proxy.chaos = True
            while chaos.are_writing():
                time.sleep(chaos.choose.random() * 1.5)
                chaos.kill_somebody()
            finish(chaos)
            verify(chaos, [acknowledged(folder / f"ack{n}") for n in range(WRITERS)], rows)
        except BaseException as error:
            error.add_note(f"in the round of seed {seed}: RUNSTORE_TEST_SEED={seed}")
            error.add_note(f"{chaos.kills} kills, {proxy.faults}, {proxy.statuses}")
            raise
    assert not [line for line in chaos.told if "Traceback" in line], "".join(chaos.told)
    shutil.rmtree(folder)


def finish(chaos: Chaos) -> None:
    """The chaos ends; whoever still sends is cut off once more, then all goes out."""
    assert [writer.wait(60) for writer in chaos.writers] == [0] * WRITERS
    for syncer in chaos.syncers:
        kill(syncer)
    kill_agents(chaos.store)
    assert agents_of(chaos.store) == []
    chaos.proxy.chaos = False
    said = ""
    for _ in range(TRIES):
        done = store_command(chaos.store, "sync", environment=chaos.environment)
        if done.returncode == 0:
            return
        said += f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}\n"
    raise AssertionError(said)


def verify(chaos: Chaos, known: list[int], rows: int) -> None:
    assert known == [rows // WRITERS] * WRITERS
    done = store_command(chaos.store, "verify", "--deep", environment=chaos.environment)
    assert done.returncode == 0, done.stdout + done.stderr
    here, there = only_run(chaos.store), only_run(chaos.server.data)
    assert there.key == "ann/crash/r1"
    for run in (here, there):
        assert_each_once(run, known)
    assert digests(here) == digests(there)
    for folder in (chaos.store, chaos.server.data):
        assert problems(StoreFolder(folder)) == []
    assert chaos.kills + chaos.proxy.faults.total() >= 4, "there was hardly any chaos"
    assert chaos.proxy.statuses[500] == 0


def assert_each_once(run: RunFolder, known: list[int]) -> None:
    logged = counts_by_writer(rows_of(run))
    for n, rows in enumerate(known):
        counts = logged.get(float(n), [])
        assert counts == list(range(rows)), (
            f"{run.path}, writer {n}: lost or doubled of {rows}, {len(counts)} found: "
            f"{odd_ones(counts)}\n{what_is_left(run)}"
        )


def digests(run: RunFolder) -> dict[str, tuple[int, bytes]]:
    return {source.uuid: (source.position, source.digest) for source in sources_of(run)}


@pytest.mark.parametrize("number", range(2))
def test_rows_arrive_exactly_once_whoever_is_killed(tmp_path: Path, number: int) -> None:
    seed = make_seed()
    one_round(tmp_path / "round", seed - seed % 2 + number, rows=20_000, seconds=5.0)


@pytest.mark.long
@pytest.mark.timeout(8 * 3600)
def test_a_hundred_rounds_of_chaos_while_syncing(tmp_path: Path) -> None:
    seed = make_seed()
    for number in range(100):
        one_round(tmp_path / str(number), seed + number, rows=200_000, seconds=20.0)
