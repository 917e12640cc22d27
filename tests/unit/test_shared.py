"""Shared mode, one promise at a time; what many processes make of it is in tests/race."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import store
from store.disk import file_system
from store.errors import StoreError, UsageError
from store.fold import fold
from store.journal import MAGIC, create_journal, read_frames
from store.network_journal import NetworkJournal
from store.ownership import Ownership
from store.paths import RunFolder, StoreFolder, create_store
from store.publish import publish
from store.row import Kind, pack_row
from store.snapshots import newest_snapshot, snapshot_numbers
from tests.disks import tmpfs
from tests.fuse import bindfs
from tests.helpers import only_run, problems, rows_of, run_script, sources_of
from tests.hosts import Host

UUID = "5" * 32


@pytest.fixture
def hosts(tmp_path: Path) -> tuple[Host, Host]:
    return Host(tmp_path, "node-a"), Host(tmp_path, "node-b")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "s"


def log_some(host: Host, folder: Path, rows: int, *, end: bool = True) -> None:
    """A run of `rows` metric rows, from a process of its own, which ends or is lost."""
    code = (
        "import os, sys, store\n"
        "run = store.init(project='p', id='r1', dir=sys.argv[1],"
        " settings={'git': False, 'console': 'off', 'silent': True})\n"
        "for i in range(int(sys.argv[2])): run.log({'i': i})\n"
        "run.flush(durable=True)\n"
        "run.finish() if sys.argv[3] == 'True' else os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-W", "error", "-c", code, str(folder), str(rows), str(end)],
        env={**os.environ, **host.environment},
        timeout=60,
        check=False,
    )
    assert done.returncode == (0 if end else -9)


def counts(host: Host, folder: Path) -> list[float]:
    with host.here():
        return [row.data["i"] for row in rows_of(only_run(folder)) if "i" in row.data]


def write_journal(run: RunFolder, numbers: range, segment: int, *, torn: bytes = b"") -> Path:
    """A segment of the source `UUID` with metric rows; row 1 is OPEN."""
    run.journals.mkdir(parents=True, exist_ok=True)
    path = run.journal(UUID, segment)
    journal = create_journal(path, "write")
    for number in numbers:
        kind = Kind.OPEN if number == 1 else Kind.METRIC
        data = {"host": "node-x", "pid": 1} if number == 1 else {"i": float(number)}
        journal.append(pack_row(number, kind, number, 1000.0 + number, data))
    journal.close(trim=True)
    with path.open("ab") as file:
        file.write(torn)
    return path


def test_a_run_is_seen_from_the_other_host_while_it_lives_and_after(
    hosts: tuple[Host, Host], folder: Path
) -> None:
    a, b = hosts
    log_some(a, folder, 10, end=False)
    assert counts(b, folder) == list(range(10)), "from the journal"
    log_some(b, folder, 5)
    assert sorted(counts(a, folder)) == sorted([*range(10), *range(5)])
    with a.here(), store.open(folder) as opened:
        assert len(opened.runs["r1"].writers()) == 2
        assert opened.runs["r1"].dir == folder / "local" / "p" / "r1"


def test_the_share_holds_journals_and_snapshots_and_no_open_database(
    hosts: tuple[Host, Host], folder: Path
) -> None:
    log_some(hosts[0], folder, 10)
    run = only_run(folder)
    assert sorted(os.listdir(run.path)) == ["journals", "run.1.db", "run.db"]
    assert os.listdir(run.journals) == []
    with sqlite3.connect(run.path / "run.db") as database:
        (count,) = database.execute("SELECT count(*) FROM metrics WHERE key = 'i'").fetchone()
        (mode,) = database.execute("PRAGMA journal_mode").fetchone()
    database.close()
    assert (count, mode) == (10, "delete")


def test_a_snapshot_is_only_made_where_there_is_something_new(
    hosts: tuple[Host, Host], folder: Path
) -> None:
    log_some(hosts[0], folder, 3)
    for host in hosts:
        with host.here():
            assert not publish(only_run(folder))
    log_some(hosts[1], folder, 3)
    assert snapshot_numbers(only_run(folder)) == [2]


def test_one_snapshot_is_enough_while_rows_keep_coming(
    hosts: tuple[Host, Host], folder: Path
) -> None:
    over = threading.Event()

    def log_on() -> None:
        i = 0
        while not over.is_set():
            run.log({"i": i})
            i += 1

    with hosts[0].here():
        run = store.init(
            project="p", id="r1", dir=folder, settings={"git": False, "console": "off"}
        )
        run.log({"i": 0})
        logging = threading.Thread(target=log_on)
        logging.start()
        try:
            assert publish(only_run(folder))
            assert snapshot_numbers(only_run(folder)) == [1]
        finally:
            over.set()
            logging.join()
            run.finish()


def test_a_run_that_was_removed_and_made_anew_is_not_mixed_with_the_old_one(
    hosts: tuple[Host, Host], folder: Path
) -> None:
    a, b = hosts
    log_some(a, folder, 7)
    assert len(counts(b, folder)) == 7
    assert a.command(folder, "rm", "--yes", "r1").returncode == 0
    log_some(a, folder, 2)
    assert counts(b, folder) == [0, 1]
    assert b.check(folder) == ""


def test_a_lost_cache_costs_nothing(hosts: tuple[Host, Host], folder: Path) -> None:
    a, _ = hosts
    log_some(a, folder, 4, end=False)
    log_some(a, folder, 4)
    before = counts(a, folder)
    shutil.rmtree(a.cache)
    a.cache.mkdir()
    assert sorted(counts(a, folder)) == sorted(before)


def test_a_damaged_cache_is_made_anew(hosts: tuple[Host, Host], folder: Path) -> None:
    a, _ = hosts
    log_some(a, folder, 4)
    with a.here():
        database = only_run(folder).database
    for ending in ("-wal", "-shm"):
        Path(f"{database}{ending}").unlink(missing_ok=True)
    database.write_bytes(b"no database" * 1000)
    assert a.command(folder, "check", "--repair").returncode == 0
    assert counts(a, folder) == [0, 1, 2, 3]


def test_a_later_segment_waits_for_the_end_of_the_one_before(
    hosts: tuple[Host, Host], folder: Path
) -> None:
    with hosts[0].here():
        run = create_store(folder, "shared").run("local", "p", "r1")
        path = write_journal(run, range(1, 6), 1)
        whole = path.read_bytes()
        path.write_bytes(whole[:-20])
        write_journal(run, range(6, 9), 2)
        assert len(rows_of(run)) == 3, "nothing behind the gap, and no stub in it"
        path.write_bytes(whole)
        assert [row.number for row in rows_of(run)] == [2, 3, 4, 5, 6, 7, 8]
        assert problems(StoreFolder(folder)) == []


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
        run = store.init(
            project="p", id="r1", dir=folder, settings={"git": False, "console": "off"}
        )
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
        run = store.init(
            project="p", id="r1", dir=folder, settings={"git": False, "console": "off"}
        )
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


def test_a_publisher_that_meets_a_newer_snapshot_takes_its_rows_along(
    hosts: tuple[Host, Host], folder: Path
) -> None:
    a, b = hosts
    log_some(a, folder, 3)
    assert len(counts(b, folder)) == 3
    log_some(a, folder, 3)
    with b.here():
        write_journal(only_run(folder), range(1, 3), 1)
        assert publish(only_run(folder))
    newest = newest_snapshot(only_run(folder))
    assert newest is not None
    with sqlite3.connect(newest.path) as database:
        (rows,) = database.execute("SELECT count(*) FROM metrics").fetchone()
    database.close()
    assert (newest.number, rows) == (3, 7)


def test_a_user_who_may_only_read_sees_all(
    hosts: tuple[Host, Host], folder: Path, tmp_path: Path
) -> None:
    if os.geteuid() != 0:
        pytest.skip("not run: needs root to be somebody else")
    a, b = hosts
    log_some(a, folder, 6)
    log_some(a, folder, 2, end=False)
    before = sorted(path for path in folder.rglob("*"))
    for path in (tmp_path, *tmp_path.parents):
        if path.stat().st_uid == os.geteuid() and path != Path("/"):
            path.chmod(path.stat().st_mode | 0o055)
    shutil.chown(b.cache, 65534)
    code = (
        "import os, filelock, store, store.fold, store.query\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "print(store.sql(\"select count(*) from metrics where key = 'i'\").rows[0][0])\n"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        env={**os.environ, **b.environment, "STORE_DIR": str(folder)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout, done.returncode) == ("8\n", 0), done.stderr
    assert sorted(path for path in folder.rglob("*")) == before


# -- changing the mode -------------------------------------------------------------------------


def test_a_local_store_becomes_shared_and_local_again(
    hosts: tuple[Host, Host], folder: Path
) -> None:
    a, b = hosts
    local = {"STORE_DISK": "local"}
    for words in ({"end": True}, {"end": False}):
        host = Host.__new__(Host)
        host.__dict__.update(a.__dict__ | {"environment": a.environment | local})
        log_some(host, folder, 5, **words)
    assert not StoreFolder(folder).is_shared
    done = a.command(folder, "config", "--mode", "shared")
    assert done.returncode == 0, done.stderr
    assert "1 run made fit" in done.stderr
    run = only_run(folder)
    assert run.is_shared
    assert sorted(os.listdir(run.path)) == ["journals", "run.1.db", "run.db"]
    for host in hosts:
        assert counts(host, folder) == [*range(5), *range(5)]
    log_some(b, folder, 3)
    assert a.command(folder, "config", "--mode", "local").returncode == 0
    run = only_run(folder)
    assert not run.is_shared
    assert snapshot_numbers(run) == []
    assert counts(a, folder) == [*range(5), *range(5), *range(3)]
    assert a.check(folder) == ""


def test_the_mode_is_not_changed_under_a_living_writer(
    hosts: tuple[Host, Host], folder: Path
) -> None:
    with hosts[0].here():
        run = store.init(
            project="p", id="r1", dir=folder, settings={"git": False, "console": "off"}
        )
        run.log({"i": 0})
        done = hosts[0].command(folder, "config", "--mode", "local")
        run.finish()
    assert done.returncode == 1
    assert "is being written" in done.stderr
    assert StoreFolder(folder).is_shared


# -- spool -------------------------------------------------------------------------------------


def test_a_spooled_run_reaches_the_share_and_leaves_nothing_behind(
    hosts: tuple[Host, Host], folder: Path, tmp_path: Path
) -> None:
    a, b = hosts
    a.environment["STORE_SPOOL"] = str(tmp_path / "spool")
    log_some(a, folder, 20)
    assert counts(b, folder) == list(range(20))
    assert [path for path in (tmp_path / "spool").rglob("*") if path.is_file()] == []
    assert only_run(folder).segments() == {}


def test_what_a_killed_writer_spooled_is_carried_by_the_next_reader_of_its_host(
    hosts: tuple[Host, Host], folder: Path, tmp_path: Path
) -> None:
    a, b = hosts
    a.environment["STORE_SPOOL"] = str(tmp_path / "spool")
    log_some(a, folder, 20, end=False)
    assert counts(a, folder) == list(range(20))
    assert counts(b, folder) == list(range(20)), "carried by the look from node-a"
    assert a.check(folder) == ""


def test_a_share_that_takes_nothing_does_not_stop_a_spooled_run(
    hosts: tuple[Host, Host], folder: Path, tmp_path: Path
) -> None:
    a, b = hosts
    a.environment["STORE_SPOOL"] = str(tmp_path / "spool")
    with a.here():
        run = store.init(
            project="p", id="r1", dir=folder, settings={"git": False, "console": "off"}
        )
        journals = only_run(folder).journals
        shutil.rmtree(journals, ignore_errors=True)
        journals.write_bytes(MAGIC)  # a file where the folder belongs: nothing can come into it
        for i in range(50):
            run.log({"i": i})
        run.finish()
        journals.unlink()
        fold(only_run(folder), timeout=10)
    assert counts(b, folder) == list(range(50))


def test_a_store_of_one_host_on_a_shared_disk_is_left_alone(tmp_path: Path) -> None:
    create_store(tmp_path / "s", "local")
    with bindfs(tmp_path / "s", tmp_path / "seen") as seen:
        assert StoreFolder(seen).is_misplaced
        said = run_script(
            "import store, sys\n"
            "run = store.init(project='p', id='r1', dir=sys.argv[1], settings={'git': False})\n"
            "run.log({'i': 1})\n"
            "run.finish()\n",
            tmp_path,
            str(seen),
        ).stderr
        assert "store config --mode shared" in said
        with pytest.raises(StoreError, match="for one host"):
            store.open(seen).sql("select 1 from runs")
        assert not only_run(tmp_path / "s").database.exists()
    assert [row.data["i"] for row in rows_of(only_run(tmp_path / "s"))] == [1]


def test_a_disk_that_has_the_number_of_one_before_it_is_looked_at_anew(tmp_path: Path) -> None:
    with tmpfs(tmp_path / "memory", 1) as folder:
        number, kind = folder.stat().st_dev, file_system(folder)
    assert kind == "tmpfs"
    with bindfs(tmp_path / "source", tmp_path / "seen") as seen:
        if seen.stat().st_dev != number:
            pytest.skip("not run: the kernel took another number")
        assert file_system(seen) == "fuse"


def test_local_mode_on_a_shared_disk_takes_force(tmp_path: Path) -> None:
    from store.modes import change_mode

    (tmp_path / "s").mkdir()
    with bindfs(tmp_path / "s", tmp_path / "seen") as seen:
        found = create_store(seen)
        assert found.is_shared
        with pytest.raises(UsageError, match="other hosts"):
            change_mode(found, "local")
        forced = change_mode(found, "local", force=True)
        assert (forced.is_shared, forced.is_misplaced) == (False, False)


# -- rows that come without a journal ----------------------------------------------------------


def test_a_copy_into_a_shared_store_is_there_for_all_hosts(
    hosts: tuple[Host, Host], folder: Path, tmp_path: Path
) -> None:
    a, b = hosts
    home = Host(tmp_path, "home")
    home.environment["STORE_DISK"] = "local"
    log_some(home, tmp_path / "local", 6)
    create_store(folder, "shared")
    for rows in (6, 10):
        done = a.command(tmp_path / "local", "copy", tmp_path / "local", folder)
        assert done.returncode == 0, done.stderr
        assert sorted(counts(b, folder)) == sorted([*range(6), *range(rows - 6)])
        log_some(home, tmp_path / "local", 4)
    assert b.check(folder) == ""
    assert only_run(folder).segments() == {}


def test_a_summary_is_read_while_the_run_lives(hosts: tuple[Host, Host], folder: Path) -> None:
    with hosts[0].here():
        run = store.init(
            project="p", id="r1", dir=folder, settings={"git": False, "console": "off"}
        )
        run.log({"loss": 0.5})
        run.define_metric("loss", summary="min")
        run.log({"loss": 0.75})
        assert run.summary["loss"] in (0.5, 0.75)
        run.finish()
