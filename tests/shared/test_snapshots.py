"""What a run in a shared store looks like from each host: journals, snapshots, caches."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import store
from store.paths import StoreFolder, create_store
from store.shared.publish import publish
from store.shared.snapshots import newest_snapshot, snapshot_numbers
from tests.helpers import only_run, problems, rows_of
from tests.hosts import Host
from tests.shared.parts import begin, counts, log_command, log_some, write_journal


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
        run = begin(folder)
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
        run = begin(folder)
        run.log({"loss": 0.5})
        run.define_metric("loss", summary="min")
        run.log({"loss": 0.75})
        assert run.summary["loss"] in (0.5, 0.75)
        run.finish()


@pytest.mark.parametrize(
    ("event", "ending"),
    [
        ("sqlite3.connect", "run.1.db"),  # what was the newest is compared
        ("open", "run.2.db"),  # what was published is read back
        ("sqlite3.connect", "run.2.db"),  # what can go is looked up
    ],
)
def test_a_publisher_may_be_overtaken_at_any_moment(
    hosts: tuple[Host, Host], folder: Path, event: str, ending: str
) -> None:
    a, b = hosts
    log_some(a, folder, 3)
    log_some(b, folder, 4, end=False)
    run = only_run(folder)
    assert snapshot_numbers(run) == [1]
    as_b = ["env", *(f"{name}={value}" for name, value in b.environment.items())]
    arguments = (run.path, event, ending, *as_b, *log_command(folder, 2))
    done = a.start("publish_overtaken", *arguments)
    said, _ = done.communicate(timeout=100)
    assert (done.returncode, said) == (0, b"True\n")
    assert len(snapshot_numbers(run)) == 1
    for host in hosts:
        assert sorted(counts(host, folder)) == [0, 0, 0, 1, 1, 1, 2, 2, 3]
        assert host.check(folder) == ""
