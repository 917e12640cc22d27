"""Two hosts, four writers on each, one run on a shared disk: every host sees every row once."""

from __future__ import annotations

import contextlib
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

import store
from store.paths import RunFolder
from store.shared.snapshots import snapshot_numbers
from tests.fuse import bindfs
from tests.helpers import (
    acknowledged,
    counts_by_writer,
    kill,
    make_seed,
    only_run,
    open_gates,
    rows_of,
    start,
    what_is_left,
)
from tests.hosts import Host

WRITERS, ROWS = 4, 250
SIGHT_SECONDS = 30.0
"""How long a mount may know an old size of a file; bindfs does for some seconds."""


@pytest.fixture
def hosts(tmp_path: Path) -> list[Host]:
    return [Host(tmp_path, name) for name in ("node-a", "node-b")]


def start_writers(
    hosts: list[Host], folder: Path, acknowledgements: Path, rows: int, **more: str
) -> list[subprocess.Popen[bytes]]:
    """`WRITERS` on each host; the first ones make the store."""
    return [
        host.start(
            "log_rows",
            host.sees(folder),
            "r1",
            n,
            acknowledgements / f"ack{n}",
            "auto",
            rows,
            **more,
        )
        for n, host in enumerate(host for host in hosts for _ in range(WRITERS))
    ]


def assert_all_there(host: Host, folder: Path, expected: dict[float, list[int]]) -> RunFolder:
    with host.here():
        run = only_run(host.sees(folder))
        limit = time.monotonic() + SIGHT_SECONDS
        while counts_by_writer(rows_of(run)) != expected:
            assert time.monotonic() < limit, f"on {host.name}:\n{what_is_left(run)}"
    return run


@pytest.mark.parametrize("disk", ["local", "fuse"])
def test_two_hosts_of_four_writers_with_readers_and_publishers(
    tmp_path: Path, hosts: list[Host], disk: str
) -> None:
    with contextlib.ExitStack() as stack:
        if disk == "fuse":  # a mount and a cache of the kernel for each, and locks of its own
            for host in hosts:
                mount = bindfs(tmp_path / "disk", tmp_path / f"mount-{host.name}")
                host.mount = stack.enter_context(mount)
        two_hosts(tmp_path, hosts, tmp_path / "disk" / "s")


def two_hosts(tmp_path: Path, hosts: list[Host], folder: Path) -> None:
    writers = start_writers(hosts, folder, tmp_path, ROWS)
    open_gates(writers)
    path = folder / "local" / "crash" / "r1"
    others = [
        start("publish_run", path, environment=Host(tmp_path, name).environment)
        for name in ("node-c", "node-d")
    ]
    others += [
        start(
            "fold_runs",
            hosts[0].sees(folder) / "local" / "crash" / "r1",
            0,
            environment=hosts[0].environment,
        )
    ]
    seen = 0
    with Host(tmp_path, "login").here():
        while any(writer.poll() is None for writer in writers):
            query = "select count(*) from metrics where key = 'k'"
            counted = store.sql(query, path=folder).rows[0][0]
            assert counted >= seen, "rows that were seen are gone"
            seen = counted
    for process in others:
        kill(process)
    for writer in writers:
        writer.communicate(timeout=60)
        assert writer.returncode == 0
    expected = {float(n): list(range(ROWS)) for n in range(2 * WRITERS)}
    for host in (*hosts, Host(tmp_path, "newcomer")):
        assert_all_there(host, folder, expected)
        assert host.check(host.sees(folder)) == ""
    run = only_run(folder)
    assert list(run.journals.iterdir()) == [], "ended, and in a snapshot"
    assert len(snapshot_numbers(run)) == 1
    assert (run.path / "run.db").samefile(run.path / f"run.{snapshot_numbers(run)[0]}.db")
    assert list(folder.glob(".live/*")) == []


@pytest.mark.parametrize("number", range(2))
def test_writers_and_publishers_are_killed_at_any_moment(
    tmp_path: Path, hosts: list[Host], number: int
) -> None:
    one_round(tmp_path, hosts, make_seed() + number)


@pytest.mark.long
@pytest.mark.timeout(3 * 3600)
def test_two_hundred_rounds_of_kills_on_shared_hosts(tmp_path: Path) -> None:
    seed = make_seed()
    for number in range(200):
        folder = tmp_path / str(number)
        folder.mkdir()
        one_round(folder, [Host(folder, name) for name in ("node-a", "node-b")], seed + number)


def one_round(folder: Path, hosts: list[Host], seed: int) -> None:
    choose = random.Random(seed)
    store_path = folder / "s"
    writers = start_writers(hosts, store_path, folder, 0)
    open_gates(writers)
    path = store_path / "local" / "crash" / "r1"
    publishers = [start("publish_run", path, environment=host.environment) for host in hosts]
    victims = [*writers, *publishers]
    choose.shuffle(victims)
    for victim in victims:
        with pytest.raises(subprocess.TimeoutExpired):
            victim.wait(choose.random() * 0.1)
        kill(victim)
        assert victim.returncode == -signal.SIGKILL
    known = [acknowledged(folder / f"ack{n}") for n in range(2 * WRITERS)]
    for host in hosts:
        done = host.command(store_path, "check", "--adopt", host.name)
        assert done.returncode == 0, done.stdout + done.stderr
    for host in (*hosts, Host(folder, "newcomer")):
        with host.here():
            run = only_run(store_path)
            logged = counts_by_writer(rows_of(run))
            for n, least in enumerate(known):
                counts = logged.get(float(n), [])
                assert counts == list(range(len(counts))), f"seed {seed}, {host.name}, writer {n}"
                assert len(counts) - least in (0, 1), f"seed {seed}, {host.name}, writer {n}"
        assert host.check(store_path) == "", f"seed {seed}"
    assert list(only_run(store_path).journals.iterdir()) == []
