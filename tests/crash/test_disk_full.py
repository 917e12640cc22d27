"""A full disk: log() goes on, rows wait and are said to be at risk, and come in order later."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

import store
from store.paths import StoreFolder
from tests.disks import ballast, ext4, make_image, tmpfs
from tests.helpers import only_run, problems, rows_of, start, state_of

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


def await_provenance(run: store.Run) -> None:
    """Wait for the rows that come from a thread."""
    for call in run._before_end:
        call()


def begin_with_a_loss(folder: Path, next_writes: Script) -> tuple[store.Run, Path]:
    """A run in a shared store, whose journal has lost rows when the disk refuses the next one."""
    run = store.init(dir=folder, settings=settings("write", disk="shared"))
    log_rows(run, 0, 10)
    (journal,) = run.dir.glob("journals/*.journal")
    os.truncate(journal, journal.stat().st_size // 2)
    next_writes("late")
    log_rows(run, 10, 20)
    return run, journal


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
        options = settings("write", queue_bytes=20_000, silent=True, system_metrics=False)
        run = store.init(dir=disk / "s", settings=options)
        await_provenance(run)  # its rows would count as dropped, too
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


SCRIPTED = """
def write(fd, content):
    then = script.pop(0) if script else "take"
    if then == "refuse":
        raise OSError(28, "No space left on device")
    written = kernel_write(fd, content[: len(content) // 2] if then == "short" else content)
    if then == "late":
        raise OSError(28, "No space left on device")
    if then == "interrupt":
        raise KeyboardInterrupt
    return written
"""
Script = Callable[..., None]


@pytest.fixture
def next_writes(monkeypatch: pytest.MonkeyPatch) -> Script:
    """Says what the next writes do: take, refuse, take half of it (short), take all and then say
    that the disk is full (late), or take all and be interrupted.

    NFS does the last but one: nfs_file_write() gives back the error of an earlier write.
    """
    script: list[str] = []
    kernel: dict[str, Any] = {"__name__": "os", "kernel_write": os.write, "script": script}
    exec(SCRIPTED, kernel)
    monkeypatch.setattr(os, "write", kernel["write"])
    return lambda *what: script.extend(what)


def flush_at_last(run: store.Run, refused: int) -> None:
    for _ in range(refused):
        with suppress(OSError):
            run.flush(durable=True)
    run.flush(durable=True)


@pytest.mark.parametrize("refused", [1, 2, 5])
@pytest.mark.parametrize("place", ["local", "spool", "shared"])
def test_a_row_that_was_refused_and_taken_is_not_there_twice(
    tmp_path: Path, next_writes: Script, place: str, refused: int
) -> None:
    more = {"spool": tmp_path / "spool"} if place == "spool" else {}
    disk = "shared" if place == "shared" else "local"
    run = store.init(dir=tmp_path / "s", settings=settings("write", disk=disk, **more))
    log_rows(run, 0, 10)
    next_writes(*["late"] * refused)
    log_rows(run, 10, 20)
    flush_at_last(run, refused)
    log_rows(run, 20, 30)
    run.finish()
    assert_all_there(tmp_path / "s", 30)


@pytest.mark.parametrize(
    "then",
    [
        ["late"],
        ["late", "short"],
        ["late", "take", "take", "short"],
        ["refuse", "late"],
        ["short", "late", "short"],
        ["interrupt"],
    ],
    ids=" ".join,
)
def test_a_spool_that_refuses_as_well_loses_and_doubles_nothing(
    tmp_path: Path, next_writes: Script, then: list[str]
) -> None:
    spooled = settings("write", disk="local", spool=tmp_path / "spool", system_metrics=False)
    run = store.init(dir=tmp_path / "s", settings=spooled)
    log_rows(run, 0, 10)
    run.flush()
    # The disk of the run refuses; the new segment's magic is taken, and then comes the row.
    next_writes("refuse", "take", *then)
    with suppress(KeyboardInterrupt):
        log_rows(run, 10, 11)
    log_rows(run, 11, 20)
    flush_at_last(run, len(then))
    log_rows(run, 20, 30)
    run.finish()
    assert_all_there(tmp_path / "s", 30)


@pytest.mark.parametrize("refused", [1, 2, 3])
def test_a_run_may_begin_with_rows_that_were_refused_and_taken(
    tmp_path: Path, next_writes: Script, refused: int
) -> None:
    next_writes(*["late"] * refused)
    run = store.init(dir=tmp_path / "s", settings=settings("write"))
    log_rows(run, 0, 10)
    flush_at_last(run, refused)
    run.finish()
    assert_all_there(tmp_path / "s", 10)


@pytest.mark.parametrize("what", ["refuse", "late"])
@pytest.mark.parametrize("disk", ["local", "shared"])
def test_an_end_that_was_refused_once_is_written_all_the_same(
    tmp_path: Path,
    next_writes: Script,
    disk: str,
    what: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    options = settings("write", disk=disk, system_metrics=False)
    run = store.init(dir=tmp_path / "s", settings=options)
    log_rows(run, 0, 10)
    run.flush(durable=True)
    await_provenance(run)
    next_writes(what)
    run.finish()
    assert "could not be written" not in capfd.readouterr().err
    assert state_of(tmp_path / "s") == "finished"
    assert_all_there(tmp_path / "s", 10)


def test_rows_before_the_one_that_was_refused_are_written_again(
    tmp_path: Path, next_writes: Script
) -> None:
    run, _ = begin_with_a_loss(tmp_path / "s", next_writes)
    run.flush(durable=True)
    run.finish()
    assert_all_there(tmp_path / "s", 20)


def test_a_loss_that_another_thread_has_made_good_is_no_failure(
    tmp_path: Path, next_writes: Script
) -> None:
    run, journal = begin_with_a_loss(tmp_path / "s", next_writes)
    others: list[threading.Thread] = []

    def flush_beside(event: str, arguments: tuple[object, ...]) -> None:
        is_here = threading.current_thread() is threading.main_thread() and not others
        if event == "open" and is_here and str(arguments[0]) == str(journal):
            frames = traceback.walk_stack(sys._getframe())
            if any(frame.f_code.co_name == "_is_there" for frame, _ in frames):
                others.append(threading.Thread(target=run.flush, kwargs={"durable": True}))
                others[0].start()
                others[0].join()

    sys.addaudithook(flush_beside)
    run.flush(durable=True)
    run.finish()
    assert_all_there(tmp_path / "s", 20)


@pytest.mark.parametrize("what", ["refuse", "late", "short"])
def test_a_refusal_that_lost_nothing_costs_no_second_segment(
    tmp_path: Path, next_writes: Script, what: str
) -> None:
    run = store.init(dir=tmp_path / "s", settings=settings("write", disk="shared"))
    log_rows(run, 0, 10)
    next_writes(what)
    log_rows(run, 10, 20)
    run.flush(durable=True)
    assert len(list(run.dir.glob("journals/*.journal"))) == 1
    run.finish()
    assert_all_there(tmp_path / "s", 20)
