"""The mode of a store: found, forced, changed, and at odds with the disk."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import store
from store.disk import file_system
from store.errors import StoreError, UsageError
from store.paths import StoreFolder, create_store
from store.shared.snapshots import snapshot_numbers
from tests.disks import tmpfs
from tests.fuse import bindfs
from tests.helpers import only_run, rows_of, run_script
from tests.hosts import Host
from tests.shared.parts import counts, log_some


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
    from store.shared.modes import change_mode

    (tmp_path / "s").mkdir()
    with bindfs(tmp_path / "s", tmp_path / "seen") as seen:
        found = create_store(seen)
        assert found.is_shared
        with pytest.raises(UsageError, match="other hosts"):
            change_mode(found, "local")
        forced = change_mode(found, "local", force=True)
        assert (forced.is_shared, forced.is_misplaced) == (False, False)
