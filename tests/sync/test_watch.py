"""What a watch sees, of the runs and of the remote, however seldom it looks at all of them."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import store
from store.paths import RunFolder, StoreFolder, create_store
from store.sync.agent import watch_store
from store.sync.blobs import Blobs, wanted_files
from store.sync.pace import LocalPace
from store.sync.runner import Destination, Outcome
from tests.helpers import counts_by_writer, problems, rows_of
from tests.stored_runs import absorb, metric
from tests.stored_runs import rows_of as made
from tests.sync.batches import WiredFolder
from tests.sync.clients import wait_until

SETTINGS = {"silent": True, "git": False, "console": "off", "agent": "off"}


@pytest.fixture
def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WiredFolder]:
    """The remote to which a watch sends a store that has a run; it scans all runs but once."""
    monkeypatch.setattr("store.sync.pace.SCAN_SECONDS", 3600.0)
    here = create_store(tmp_path / "here")
    absorb(here.run("local", "p", "old"), made(metric(0, {"w": 0.0, "k": 0.0})))
    remote, stop = WiredFolder(tmp_path / "there"), threading.Event()
    silent = {"on_outcome": lambda _: None, "on_failure": lambda *_: None}
    watch = threading.Thread(
        target=watch_store, args=(here, Destination(remote), stop), kwargs=silent
    )
    watch.start()
    try:
        wait_until(remote.store.run("local", "p", "old").database.exists)
        yield remote
    finally:
        stop.set()
        watch.join(60)
    assert problems(tmp_path / "here") == []
    assert problems(remote.store) == []


def await_the_row(there: RunFolder) -> None:
    wait_until(there.database.exists)
    wait_until(lambda: counts_by_writer(rows_of(there)) == {1.0: [1]})


@pytest.mark.parametrize("place", [("local", "p"), ("local", "q"), ("team", "p")])
def test_a_new_run_is_seen_between_two_scans(
    watched: WiredFolder, tmp_path: Path, place: tuple[str, str]
) -> None:
    entity, project = place
    for name in ("one", "two"):
        with store.init(
            dir=tmp_path / "here", entity=entity, project=project, id=name, settings=SETTINGS
        ) as run:
            run.log({"w": 1.0, "k": 1.0})
            there = StoreFolder(watched.store.path).run(entity, project, name)
            await_the_row(there)


def lose(remote: WiredFolder, lost: str) -> None:
    """As if the remote had been put back from a copy of before."""
    there = remote.store.run("local", "p", "r1")
    if lost == "rows":
        shutil.rmtree(there.path)
        return
    for sha256, _ in wanted_files(there).values():
        Blobs(remote.store, "local").path(sha256).unlink()
    shutil.rmtree(there.files)


@pytest.mark.parametrize("lost", ["rows", "files"])
def test_a_remote_gets_again_what_it_has_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    monkeypatch.setattr("store.sync.watch.RECHECK_SECONDS", 0.5)
    monkeypatch.setattr(LocalPace, "tick", 0.02)
    file = tmp_path / "weights.bin"
    file.write_bytes(bytes(range(256)))
    with store.init(dir=tmp_path / "here", project="p", id="r1", settings=SETTINGS) as run:
        run.log({"w": 1.0, "k": 1.0})
        run.save(file)
    remote, stop = WiredFolder(tmp_path / "there"), threading.Event()
    sent: list[tuple[int, int]] = []

    def note(outcome: Outcome) -> None:
        assert outcome.is_sent
        sent.append((outcome.rows, outcome.files))
        if len(sent) == 2:
            lose(remote, lost)
        if len(sent) == 4:
            stop.set()

    watch_store(
        StoreFolder(tmp_path / "here"),
        Destination(remote),
        stop,
        on_outcome=note,
        on_failure=lambda *_: stop.set(),
    )
    first, unmoved, again, unmoved_again = sent
    assert first[0] > 1
    assert first[1] == 1
    assert unmoved == unmoved_again == (0, 0)
    assert again == ((first[0], 0) if lost == "rows" else (0, 1))
    assert problems(tmp_path / "here") == []
    assert problems(remote.store) == []
