"""What a watch sees, however seldom it looks at all runs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import store
from store.paths import RunFolder, StoreFolder, create_store
from store.sync.agent import watch_store
from store.sync.runner import Destination
from tests.helpers import counts_by_writer, problems, rows_of
from tests.stored_runs import absorb, metric
from tests.stored_runs import rows_of as made
from tests.sync.batches import WiredFolder
from tests.sync.clients import wait_until


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
    settings = {"silent": True, "git": False, "console": "off", "agent": "off"}
    entity, project = place
    for name in ("one", "two"):
        with store.init(
            dir=tmp_path / "here", entity=entity, project=project, id=name, settings=settings
        ) as run:
            run.log({"w": 1.0, "k": 1.0})
            there = StoreFolder(watched.store.path).run(entity, project, name)
            await_the_row(there)
