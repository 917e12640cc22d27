"""Processes that send while others write, send too, or are killed: no row is lost or doubled."""

from __future__ import annotations

import random
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from store.fold import fold
from store.paths import RunFolder, StoreFolder
from tests.helpers import (
    counts_by_writer,
    kill,
    make_seed,
    open_gates,
    problems,
    rows_of,
    start_gated,
)
from tests.stored_runs import metric
from tests.stored_runs import rows_of as made
from tests.sync.batches import WiredFolder, new_run, put, stored
from tests.sync.sending import A, B, assert_same, send


def test_a_run_is_sent_while_three_processes_write_it(tmp_path: Path, remote: WiredFolder) -> None:
    writers = [
        start_gated("log_rows", tmp_path / "here", "r", n, tmp_path / f"ack{n}", medium, 400)
        for n, medium in enumerate(["mmap", "write", "mmap"])
    ]
    open_gates(writers)
    (run,) = StoreFolder(tmp_path / "here").runs()
    alive = True
    while alive:
        alive = any(writer.poll() is None for writer in writers)
        assert send(run, remote).standing.differing == ()
        assert problems(remote.store) == []
    for writer in writers:
        writer.communicate(timeout=60)
        assert writer.returncode == 0
    send(run, remote)
    logged = counts_by_writer(rows_of(remote.copy_of(run)))
    assert logged == {float(n): list(range(400)) for n in range(3)}
    assert_same(run, remote)


def test_the_second_of_two_engines_leaves(run: RunFolder, remote: WiredFolder) -> None:
    folder = (run.path.parents[2], remote.store.path, 7)
    first = start_gated("send_run", *folder, "wait")
    second = start_gated("send_run", *folder, "go")
    open_gates([first])
    assert first.stdout is not None
    assert first.stdin is not None
    assert first.stdout.readline() == b"sending\n"
    open_gates([second])
    assert second.communicate(timeout=60)[0] == b"busy\n"
    busy = send(run, remote)
    assert (busy.busy, busy.rows, busy.standing.acknowledged) == (True, 0, 7)
    assert first.communicate(b"go\n", timeout=60)[0] == b"synced\n"
    assert [first.returncode, second.returncode] == [0, 0]
    assert_same(run, remote)
    assert send(run, remote).rows == 0


def one_round_of_kills(folder: Path, seed: int) -> None:
    """Senders that are killed one after the other, while a writer logs; then all is sent."""
    choose = random.Random(seed)
    writer = start_gated("log_rows", folder / "here", "r", 0, folder / "ack", "write", 250)
    open_gates([writer])
    (run,) = StoreFolder(folder / "here").runs()
    remote = WiredFolder(folder / "there")
    for _ in range(2):
        sender = start_gated("send_run", folder / "here", folder / "there", 9, "go")
        open_gates([sender])
        time.sleep(choose.random() * 0.15)
        kill(sender)
        assert problems(remote.store) == []
    if choose.random() < 0.5:
        kill(writer)
    else:
        writer.communicate(timeout=60)
    fold(run, timeout=60)
    send(run, remote)
    assert_same(run, remote)
    (counts,) = counts_by_writer(rows_of(remote.copy_of(run))).values()
    assert counts == list(range(len(counts)))


def test_a_sender_that_is_killed_loses_and_doubles_nothing(tmp_path: Path) -> None:
    seed = make_seed()
    for number in range(10):
        folder = tmp_path / str(number)
        folder.mkdir()
        one_round_of_kills(folder, seed + number)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_a_sender_that_is_killed_two_hundred_times(tmp_path: Path) -> None:
    seed = make_seed()
    for number in range(200):
        folder = tmp_path / str(number)
        folder.mkdir()
        one_round_of_kills(folder, seed + number)
        shutil.rmtree(folder)


def test_two_senders_to_one_folder_from_two_stores(tmp_path: Path) -> None:
    """The same run, logged on two machines, comes to one stick from two processes at once."""
    processes: list[subprocess.Popen[bytes]] = []
    for name, uuid in (("one", A), ("two", B)):
        run = new_run(tmp_path / name)
        put(run, uuid, made(*(metric(n, {uuid[:1]: n}) for n in range(200))))
        processes.append(start_gated("send_run", tmp_path / name, tmp_path / "there", 5, "go"))
    open_gates(processes)
    for process in processes:
        assert process.communicate(timeout=60)[0] == b"synced\n"
    there = stored(WiredFolder(tmp_path / "there").copy_of(new_run(tmp_path / "one")))
    assert there[A] == stored(new_run(tmp_path / "one"))[A]
    assert there[B] == stored(new_run(tmp_path / "two"))[B]
    for name in ("one", "two", "there"):
        assert problems(tmp_path / name) == []
