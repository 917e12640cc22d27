"""Sync of stores that hosts share: from any of them, and into one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from store.paths import create_store
from tests.helpers import counts_by_writer, only_run, open_gates, problems, rows_of
from tests.hosts import Host
from tests.programs import signed_in
from tests.servers import RunningServer, make_key, start_server

ROWS = 300


@pytest.fixture
def hosts(tmp_path: Path) -> tuple[Host, Host]:
    return Host(tmp_path, "node-a"), Host(tmp_path, "node-b")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RunningServer]:
    running = start_server(tmp_path / "data")
    yield running
    running.stop()


def log_rows(hosts: tuple[Host, ...], folder: Path) -> None:
    writers = [
        host.start("log_rows", folder, "r1", n, folder.parent / f"ack{n}", "auto", ROWS)
        for n, host in enumerate(hosts)
    ]
    open_gates(writers)
    for writer in writers:
        writer.communicate(timeout=100)
        assert writer.returncode == 0


def status(host: Host, folder: Path, **environment: str) -> dict[str, Any]:
    done = host.command(folder, "status", "--json", **environment)
    assert done.returncode == 0, done.stderr
    (facts,) = json.loads(done.stdout)
    (place,) = facts["remotes"]
    assert isinstance(place, dict)
    return place


def expected(writers: int) -> dict[float, list[int]]:
    return {float(n): list(range(ROWS)) for n in range(writers)}


def test_what_one_host_has_sent_the_other_knows(
    tmp_path: Path, hosts: tuple[Host, Host], server: RunningServer
) -> None:
    a, b = hosts
    key = signed_in(server.url, make_key(server, "ann"))
    log_rows(hosts, tmp_path / "s")
    before = status(b, tmp_path / "s", **key)
    assert before["unsent"] > 2 * ROWS
    done = a.command(tmp_path / "s", "sync", **key)
    assert done.returncode == 0, done.stdout + done.stderr
    known = status(b, tmp_path / "s", **key)
    assert (known["unsent"], known["error"]) == (0, None)
    for host in hosts:
        assert host.command(tmp_path / "s", "verify", "--deep", **key).returncode == 0
    assert counts_by_writer(rows_of(only_run(server.data))) == expected(2)


def test_two_hosts_send_while_both_write(
    tmp_path: Path, hosts: tuple[Host, Host], server: RunningServer
) -> None:
    key = signed_in(server.url, make_key(server, "ann"))
    create_store(tmp_path / "s", "shared")
    watchers = [host.start_command(tmp_path / "s", "sync", "--watch", **key) for host in hosts]
    log_rows((*hosts, *hosts), tmp_path / "s")
    for watcher in watchers:
        watcher.terminate()
        watcher.wait(60)
    for host in hosts:
        done = host.command(tmp_path / "s", "sync", **key)
        assert done.returncode == 0, done.stdout + done.stderr
        assert host.command(tmp_path / "s", "verify", "--deep", **key).returncode == 0
        assert host.check(tmp_path / "s") == ""
    assert counts_by_writer(rows_of(only_run(server.data))) == expected(4)
    assert problems(server.data) == []
    assert only_run(tmp_path / "s").segments() == {}


def test_a_pulled_run_is_there_for_all_hosts(
    tmp_path: Path, hosts: tuple[Host, Host], server: RunningServer
) -> None:
    a, b = hosts
    key = signed_in(server.url, make_key(server, "ann"))
    log_rows(hosts, tmp_path / "s")
    assert a.command(tmp_path / "s", "sync", **key).returncode == 0
    create_store(tmp_path / "t", "shared")
    done = a.command(tmp_path / "t", "pull", "ann/crash/r1", **key)
    assert done.returncode == 0, done.stdout + done.stderr
    with b.here():
        assert counts_by_writer(rows_of(only_run(tmp_path / "t"))) == expected(2)
    assert b.check(tmp_path / "t") == ""


def test_a_folder_that_hosts_share_is_a_remote(tmp_path: Path, hosts: tuple[Host, Host]) -> None:
    a, b = hosts
    home = Host(tmp_path, "laptop")
    home.environment["STORE_DISK"] = "local"
    log_rows((home, home), tmp_path / "s")
    create_store(tmp_path / "t", "shared")
    for _ in range(2):
        done = a.command(tmp_path / "s", "sync", "--to", tmp_path / "t")
        assert done.returncode == 0, done.stdout + done.stderr
    with b.here():
        assert counts_by_writer(rows_of(only_run(tmp_path / "t"))) == expected(2)
    assert b.check(tmp_path / "t") == ""
