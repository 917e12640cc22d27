"""What a watch of a shared store asks of the file server, and of the remote."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from statistics import median

import pytest

from store.errors import RemoteRefused
from store.paths import StoreFolder
from store.shared.snapshots import snapshot_numbers
from store.sync.agent import watch_store
from store.sync.pace import SharedPace
from store.sync.remote import Acknowledged, Progress
from store.sync.runner import Destination, Outcome
from store.sync.wire import Batch
from tests.helpers import only_run, open_gates, problems, rows_of
from tests.hosts import Host
from tests.shared.parts import log_some
from tests.sync.batches import WiredFolder

LOOKS = 12
RECHECKS = 6
MOST_FILES = 16
NAMING = {"open", "os.listdir", "os.scandir", "os.rename", "os.remove", "os.mkdir", "os.link"}


def count_names(folder: Path) -> Callable[[], int]:
    """Count the calls of this process that name something in `folder`, from now on."""
    count, place = 0, f"{folder}/"

    def look(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal count
        if event in NAMING and isinstance(arguments[0], str | Path):
            count += os.fspath(arguments[0]).startswith(place)

    sys.addaudithook(look)
    return lambda: count


def ask_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a watch ask the remote again twice a second."""
    monkeypatch.setattr("store.sync.watch.RECHECK_SECONDS", 0.5)
    monkeypatch.setattr(SharedPace, "tick", 0.02)


def watch(
    host: Host,
    folder: Path,
    remote: WiredFolder,
    stop: threading.Event,
    on_outcome: Callable[[Outcome], None],
) -> None:
    """Watch the store from `host` until `stop`, or until the remote does not answer."""
    with host.here():
        watch_store(
            StoreFolder(folder),
            Destination(remote),
            stop,
            on_outcome=on_outcome,
            on_failure=lambda *_: stop.set(),
        )


def test_a_run_that_logs_costs_a_watch_few_files(
    hosts: tuple[Host, Host],
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(SharedPace, "tick", 0.05)
    compute, login = hosts
    writer = compute.start("log_on_demand", folder)
    open_gates([writer])
    counted, stop, named = count_names(folder), threading.Event(), [0]
    remote = WiredFolder(tmp_path / "there")

    def log_again(outcome: Outcome) -> None:
        assert outcome.error is None
        named.append(counted())
        if len(named) > LOOKS:
            stop.set()
        else:
            log_one(writer)

    watch(login, folder, remote, stop, log_again)
    writer.communicate(timeout=60)
    assert writer.returncode == 0
    # The first two are those of a run that was not known yet.
    each = [after - before for before, after in pairwise(named[2:])]
    assert len(each) >= LOOKS - 3
    assert median(each) <= MOST_FILES, each
    sent = [row.data["i"] for row in rows_of(only_run(remote.store.path)) if "i" in row.data]
    assert sent == list(range(LOOKS - 1))
    assert [host.check(folder) for host in hosts] == ["", ""]
    assert problems(remote.store) == []


def test_asking_the_remote_again_costs_two_lists_a_run(
    hosts: tuple[Host, Host], folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask_often(monkeypatch)
    compute, login = hosts
    log_some(compute, folder, 5)
    counted, stop, named = count_names(folder / "local"), threading.Event(), [0]

    def look(outcome: Outcome) -> None:
        assert outcome.is_sent
        named.append(counted())
        if len(named) > RECHECKS:
            stop.set()

    watch(login, folder, WiredFolder(tmp_path / "there"), stop, look)
    each = [after - before for before, after in pairwise(named)]
    assert len(each) == RECHECKS
    assert min(each) == 2, each


def test_a_run_whose_writer_is_silent_gets_a_snapshot(
    hosts: tuple[Host, Host], folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask_often(monkeypatch)
    compute, login = hosts
    log_some(compute, folder, 5, end=False)
    stop, snapshots = threading.Event(), []

    def look(outcome: Outcome) -> None:
        assert outcome.is_sent
        snapshots.append(snapshot_numbers(outcome.run))
        monkeypatch.setattr("store.ownership.SILENT_SECONDS", 0.0)
        if snapshots[-1] or len(snapshots) == RECHECKS:
            stop.set()

    watch(login, folder, WiredFolder(tmp_path / "there"), stop, look)
    assert snapshots[0] == []
    assert snapshots[-1] == [1]


class Refusing(WiredFolder):
    """A remote that can be told to refuse the next rows."""

    refuses = False

    def send(self, batch: Batch, *, restore: bool, progress: Progress) -> Acknowledged:
        if self.refuses:
            self.refuses = False
            raise RemoteRefused("not now")
        return super().send(batch, restore=restore, progress=progress)


def test_what_was_refused_when_the_remote_was_asked_again_is_tried_again(
    hosts: tuple[Host, Host], folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask_often(monkeypatch)
    compute, login = hosts
    log_some(compute, folder, 5)
    stop, remote = threading.Event(), Refusing(tmp_path / "there")
    outcomes: list[Outcome] = []

    def look(outcome: Outcome) -> None:
        outcomes.append(outcome)
        if len(outcomes) == 2:  # found in order, and asked again
            shutil.rmtree(remote.copy_of(outcome.run).path)
            remote.refuses = True
        if outcome.error is not None:
            monkeypatch.setattr("store.sync.watch.RECHECK_SECONDS", 3600.0)
        if len(outcomes) == 4:
            stop.set()

    watch(login, folder, remote, stop, look)
    assert [outcome.is_sent for outcome in outcomes] == [True, True, False, True]
    assert outcomes[-1].rows == outcomes[0].rows > 5


def log_one(writer: subprocess.Popen[bytes]) -> None:
    assert writer.stdin is not None
    assert writer.stdout is not None
    writer.stdin.write(b"\n")
    writer.stdin.flush()
    assert writer.stdout.readline() == b"logged\n"
