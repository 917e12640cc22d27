"""A full disk: log() goes on, rows wait and are said to be at risk, and come in order later."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import store
from store.paths import StoreFolder
from tests.disks import ballast, ext4, make_image, tmpfs
from tests.helpers import only_run, problems, rows_of, start

ROWS = 12_000


@contextmanager
def small_disk(kind: str, folder: Path) -> Iterator[Path]:
    if kind == "tmpfs":
        with tmpfs(folder / "disk", 6) as disk:
            yield disk
    else:
        make_image(folder / "image", 8)
        with ext4(folder / "image", folder / "disk") as disk:
            yield disk


def settings(medium: str, **more: object) -> store.Settings:
    return store.Settings(git=False, console="off", journal=medium, **more)  # type: ignore[arg-type]


def log_rows(run: store.Run, first: int, last: int) -> None:
    for n in range(first, last):
        run.log({"n": n, "value": n / 3})


def assert_all_there(folder: Path, rows: int) -> None:
    found = [row.data["n"] for row in rows_of(only_run(folder))]
    assert found == list(range(rows))
    assert problems(folder) == []


@pytest.mark.parametrize("kind", ["tmpfs", "ext4"])
@pytest.mark.parametrize("medium", ["mmap", "write"])
def test_rows_wait_until_there_is_room(
    tmp_path: Path, kind: str, medium: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with small_disk(kind, tmp_path) as disk:
        run = store.init(dir=disk / "s", settings=settings(medium))
        log_rows(run, 0, 100)
        with ballast(disk):
            log_rows(run, 100, ROWS)
            assert run.at_risk > 0
            run.flush()
            (own,) = run.dir.glob("journals/*.own")
            line = store.open(disk / "s").runs[run.id].line
            assert line.state == "running"
            run._tended.note()  # type: ignore[union-attr]
            assert json.loads(own.read_bytes().strip())["waiting"] == run.at_risk
        run.flush()
        assert run.at_risk == 0
        run.finish()
        assert capfd.readouterr().err.count("at risk") == 1
        assert_all_there(disk / "s", ROWS)


@pytest.mark.parametrize("kind", ["tmpfs", "ext4"])
@pytest.mark.parametrize("medium", ["mmap", "write"])
def test_the_next_row_takes_the_waiting_ones_along(tmp_path: Path, kind: str, medium: str) -> None:
    with small_disk(kind, tmp_path) as disk:
        worker = start("log_into_full_disk", disk / "s", medium, disk, stdout=subprocess.PIPE)
        output, _ = worker.communicate(timeout=60)
        assert worker.returncode == -signal.SIGKILL
        rows, at_risk = map(int, output.split())
        assert at_risk == 0
        assert_all_there(disk / "s", rows)


def test_rows_beyond_the_waiting_line_are_counted(tmp_path: Path) -> None:
    with small_disk("tmpfs", tmp_path) as disk:
        run = store.init(
            dir=disk / "s", settings=settings("write", queue_bytes=20_000, silent=True)
        )
        with ballast(disk):
            log_rows(run, 0, ROWS)
            kept, dropped = run.at_risk, run._writer.dropped  # type: ignore[union-attr]
            assert kept > 0
            assert dropped > 0
        run.finish()
        found = [row.data["n"] for row in rows_of(only_run(disk / "s"))]
        assert found == list(range(ROWS - dropped)), "the newest rows are the ones that go"
        assert problems(disk / "s") == []


@pytest.mark.parametrize("medium", ["mmap", "write"])
def test_a_spool_takes_the_rows_meanwhile(tmp_path: Path, medium: str) -> None:
    with small_disk("tmpfs", tmp_path) as disk:
        spool = tmp_path / "spool"
        run = store.init(dir=disk / "s", settings=settings(medium, spool=spool, silent=True))
        with ballast(disk):
            log_rows(run, 0, ROWS)
            assert run.at_risk == 0
            assert list(spool.rglob("*.journal"))
        log_rows(run, ROWS, ROWS + 10)
        run.finish()
        assert_all_there(disk / "s", ROWS + 10)
        assert not list(spool.rglob("*.journal"))


def test_a_run_may_begin_on_a_full_disk(tmp_path: Path) -> None:
    with small_disk("tmpfs", tmp_path) as disk:
        store.init(dir=disk / "s", settings=settings("write", silent=True)).finish()
        before = {run.id for run in StoreFolder(disk / "s").runs()}
        with ballast(disk):
            run = store.init(dir=disk / "s", settings=settings("mmap", silent=True))
            log_rows(run, 0, 10)
        run.finish()
        assert run.id not in before
        found = store.open(disk / "s").runs[run.id]
        assert list(found.series("n").values) == list(range(10))
        assert problems(disk / "s") == []
