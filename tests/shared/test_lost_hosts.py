"""Hosts that do not come back, or were only thought not to, and rows that a disk has lost."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from pathlib import Path

import pytest

from store.journal import read_frames
from store.ownership import Ownership
from store.paths import create_store
from store.row import Kind, pack_row
from store.shared.network_journal import NetworkJournal
from store.shared.publish import publish
from tests.helpers import only_run, rows_of, sources_of
from tests.hosts import Host
from tests.shared.parts import UUID, begin, counts, write_journal


def test_a_torn_end_waits_until_the_host_is_adopted(hosts: tuple[Host, Host], folder: Path) -> None:
    a, _ = hosts
    with a.here():
        run = create_store(folder, "shared").run("local", "p", "r1")
        path = write_journal(run, range(1, 4), 1, torn=b"\x10\0\0\0half")
        os.utime(path, (time.time() - 1000, time.time() - 1000))
        assert len(rows_of(run)) == 2
        assert publish(run)
        assert path.exists(), "nobody said that its host is dead"
    done = a.command(folder, "check", "--adopt", "node-x")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 journal of node-x taken over" in done.stderr
    assert not path.exists()
    with a.here():
        (source,) = sources_of(run)
        assert (source.position, source.ended) == (4, 1), "the torn row is a stub"


def test_a_host_that_gives_signs_is_not_adopted(hosts: tuple[Host, Host], folder: Path) -> None:
    a, _ = hosts
    with a.here():
        run = create_store(folder, "shared").run("local", "p", "r1")
        path = write_journal(run, range(1, 4), 1)
    done = a.command(folder, "check", "--adopt", "node-x")
    assert "gave a sign of life" in done.stderr
    assert path.exists()


def test_only_a_shared_store_has_hosts_to_adopt(tmp_path: Path) -> None:
    create_store(tmp_path / "s", "local")
    done = Host(tmp_path, "node-a").command(tmp_path / "s", "check", "--adopt", "node-b")
    assert done.returncode == 2
    assert "not shared" in done.stderr


def test_a_writer_that_was_taken_for_dead_goes_on(hosts: tuple[Host, Host], folder: Path) -> None:
    a, b = hosts
    with a.here():
        run = begin(folder)
        for i in range(5):
            run.log({"i": i})
        run.flush(durable=True)
        shared = only_run(folder)
        uuids = frozenset(shared.segments())
    with b.here():
        publish(only_run(folder), adopt=uuids)
        assert only_run(folder).segments() == {}
    with a.here():
        for i in range(5, 9):
            run.log({"i": i})
        run.finish()
    for host in hosts:
        assert counts(host, folder) == list(range(9))
        assert host.check(folder) == ""
    assert only_run(folder).segments() == {}


def cut_off(nothing: int) -> None:
    """As by a file server that has given a host up: descriptors of journals are of no use."""
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):
            if ".journal" in os.readlink(f"/proc/self/fd/{number}"):
                os.dup2(nothing, int(number))


needs_proc = pytest.mark.skipif(sys.platform != "linux", reason="not run: needs /proc")


@needs_proc
def test_a_journal_still_has_what_was_synced_into_a_file_that_was_removed(tmp_path: Path) -> None:
    nothing, end = os.pipe()
    journal = NetworkJournal(tmp_path / f"{UUID}.1.journal")
    rows = [pack_row(number, Kind.METRIC, number, 1000.0, {"i": 1.0}) for number in range(1, 6)]
    for row in rows[:3]:
        journal.append(row)
    journal.path.unlink()
    for row in rows[3:]:
        journal.append(row)
        journal.syncing()()
    cut_off(nothing)
    journal.look(afresh=True)
    assert journal.is_lost
    content = journal.remains()
    journal.close(trim=True)
    os.close(nothing)
    os.close(end)
    journal.path.write_bytes(content)
    assert read_frames(journal.path, 0).payloads == rows


@needs_proc
def test_rows_that_a_network_disk_has_lost_are_written_again(
    hosts: tuple[Host, Host], folder: Path
) -> None:
    a, b = hosts
    nothing, end = os.pipe()
    with a.here():
        run = begin(folder)
        for i in range(5):
            run.log({"i": i})
        run.flush(durable=True)
        uuids = frozenset(only_run(folder).segments())
    with b.here():
        publish(only_run(folder), adopt=uuids)
    with a.here():
        for i in range(5, 9):
            run.log({"i": i})
        cut_off(nothing)
        for i in range(9, 12):
            run.log({"i": i})
        run.finish()
    os.close(nothing)
    os.close(end)
    for host in hosts:
        assert counts(host, folder) == list(range(12))
        assert host.check(folder) == ""
    assert only_run(folder).segments() == {}


def test_what_a_host_that_was_adopted_adds_is_kept_though_it_does_not_fit(
    hosts: tuple[Host, Host], folder: Path
) -> None:
    a, b = hosts
    with a.here():
        run = create_store(folder, "shared").run("local", "p", "r1")
        write_journal(run, range(1, 6), 1)
        publish(run, adopt=frozenset({UUID}))
        assert run.segments() == {}
        early = write_journal(run, range(8, 11), 2)
        publish(run)
        assert early.exists(), "it is in no snapshot"
        write_journal(run, range(6, 11), 3)
    for host in hosts:
        with host.here():
            assert [row.number for row in rows_of(only_run(folder))] == list(range(2, 11))
    with b.here():
        publish(only_run(folder), adopt=frozenset({UUID}))
    assert run.segments() == {}
    assert a.check(folder) == ""


def test_what_a_writer_of_this_host_wrote_after_it_was_adopted_is_read_when_it_is_dead(
    hosts: tuple[Host, Host], folder: Path
) -> None:
    a, b = hosts
    with b.here():
        run = create_store(folder, "shared").run("local", "p", "r1")
        run.path.mkdir(parents=True)
        assert rows_of(run) == [], "its database is made, and will follow the snapshots"
    with a.here():
        write_journal(run, range(1, 6), 1)
        publish(only_run(folder), adopt=frozenset({UUID}))
    with b.here():
        write_journal(run, range(1, 9), 2)
        Ownership(run.own(UUID)).release()
        assert [row.number for row in rows_of(run)] == list(range(2, 9))
        assert b.check(folder) == ""
