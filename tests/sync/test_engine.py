"""From a run to a folder, whatever happens on the way: in the end both have the same rows once."""

from __future__ import annotations

import random
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from store.errors import RemoteUnavailable, StoreError, SyncError
from store.paths import RunFolder
from store.reading import reading
from store.row import Kind, Row, row_digest
from store.sync import engine, outgoing
from store.sync.cursors import Target, standing, targets
from store.sync.engine import Told, send_run
from store.sync.outgoing import TOO_LARGE
from store.sync.receive import Positions, receive
from store.sync.remote import Acknowledged, Progress
from store.sync.wire import Batch, RunName
from store.transfer import remove_run
from tests.helpers import (
    make_seed,
    problems,
)
from tests.stored_runs import metric
from tests.stored_runs import rows_of as made
from tests.sync.batches import WiredFolder, batch_of, positions, put, stored
from tests.sync.sending import A, B, C, Unreliable, assert_same, known, send, stand


@pytest.fixture
def few_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seven rows in a batch."""
    for module in (engine, outgoing):
        monkeypatch.setattr(module, "ROWS", 7)


def test_all_rows_arrive_and_then_there_is_nothing_to_do(
    run: RunFolder, remote: WiredFolder
) -> None:
    before = stand(run, remote)
    assert (before.unsent, before.files, before.is_synced) == (69, None, False)
    told: list[Told] = []
    assert send(run, remote, tell=told.append).rows == 69
    assert sum(word.rows for word in told) == 69
    assert_same(run, remote)
    for _ in range(2):
        sent = send(run, remote)
        assert (sent.rows, sent.busy, sent.standing.is_synced) == (0, False, True)
    put(run, A, made(*(metric(n, {"loss": n}) for n in range(41)), state=None)[:42])
    put(run, C, made(metric(0, {"c": 1})))
    assert send(run, remote).rows == 3
    assert_same(run, remote)


@pytest.mark.usefixtures("few_rows")
def test_it_may_be_stopped_behind_any_batch(run: RunFolder, remote: WiredFolder) -> None:
    rows, batches = 0, 0
    while True:
        asked = 0

        def stop() -> bool:
            nonlocal asked
            asked += 1
            return asked > 2

        sent = send(run, remote, stop=stop)
        rows += sent.rows
        if not sent.rows:
            break
        batches += 1
        assert sent.standing.acknowledged == rows
        assert sent.standing.is_synced == (rows == 69)
        assert positions(remote.copy_of(run)) == known(run, remote)
        assert problems(remote.store) == []
    assert (rows, batches > 4) == (69, True)
    assert_same(run, remote)


@pytest.mark.usefixtures("few_rows")
def test_batches_and_answers_may_be_lost_or_come_twice(run: RunFolder, tmp_path: Path) -> None:
    choose = random.Random(make_seed())
    fates = ["lost", "unanswered", "unanswered", "twice", "well", "well"]
    remote = Unreliable(tmp_path / "there", lambda: choose.choice(fates))
    for _ in range(200):
        try:
            if send(run, remote).standing.unsent == 0:
                break
        except RemoteUnavailable:
            assert "was lost" in (stand(run, remote).error or "")
    assert_same(run, remote)


@pytest.mark.usefixtures("few_rows")
def test_old_words_of_the_remote_do_no_harm(run: RunFolder, remote: WiredFolder) -> None:
    nothing: Positions = {}
    asked = [False, False, True]
    send(run, remote, stop=lambda: asked.pop(0))
    some = positions(remote.copy_of(run))
    send(run, remote, positions=nothing)
    assert_same(run, remote)
    send(run, remote, positions=some)
    assert_same(run, remote)
    everything = positions(remote.copy_of(run))
    remove_run(remote.copy_of(run), force=True)
    send(run, remote, positions=everything)
    put(run, A, made(*(metric(n, {"loss": n}) for n in range(41)), state=None)[:42])
    put(run, A, [Row(43, int(Kind.METRIC), 50, 1_800_000_000.0, {"loss": 0.5})])
    send(run, remote, positions=everything)
    assert positions(remote.copy_of(run))[A] == positions(run)[A]
    send(run, remote)
    assert_same(run, remote)


def test_a_remote_that_takes_rows_and_has_none_is_given_up(run: RunFolder, tmp_path: Path) -> None:
    class Forgetful(WiredFolder):
        def send(self, batch: Batch, *, restore: bool, progress: Progress) -> Acknowledged:
            answer = super().send(batch, restore=restore, progress=progress)
            remove_run(self.copy_of(run), force=True)
            return answer._replace(positions={A: (1, b"d" * 16)})

    class Confused(WiredFolder):
        def positions(self, runs: object, **said: bool) -> list[Positions | StoreError]:
            return [{A: (5, b"d" * 16)}]

        def send(self, batch: Batch, *, restore: bool, progress: Progress) -> Acknowledged:
            if batch.sections[0].first == 1:
                batch.sections[0] = batch.sections[0]._replace(first=2)
            return super().send(batch, restore=restore, progress=progress)

    for kind in (Forgetful, Confused):
        remote = kind(tmp_path / kind.__name__)
        with pytest.raises(SyncError) as caught:
            send(run, remote)
        assert stand(run, remote).error == caught.value.message
        assert not stand(run, remote).is_synced


# -- copies that are put back ------------------------------------------------------------------


@pytest.mark.usefixtures("few_rows")
def test_a_folder_that_was_put_back_gets_its_rows_again(
    run: RunFolder, remote: WiredFolder, tmp_path: Path
) -> None:
    rounds = iter([False, False, False, True])
    send(run, remote, stop=lambda: next(rounds))
    half = known(run, remote)
    shutil.copytree(remote.store.path, tmp_path / "backup")
    send(run, remote)
    put(run, C, made(metric(0, {"c": 1})))
    send(run, remote)
    assert_same(run, remote)
    shutil.rmtree(remote.store.path)
    shutil.copytree(tmp_path / "backup", remote.store.path)
    told: list[Told] = []
    stopped = send(run, remote, stop=lambda: True)
    assert stopped.standing.acknowledged == sum(position for position, _ in half.values())
    assert known(run, remote) == half
    assert send(run, remote, tell=told.append).rows == 72 - stopped.standing.acknowledged
    assert_same(run, remote)


def test_rows_of_a_store_that_was_put_back_and_of_its_new_writer_are_one_run(
    run: RunFolder, remote: WiredFolder, tmp_path: Path
) -> None:
    shutil.copytree(tmp_path / "here", tmp_path / "backup")
    put(run, A, made(*(metric(n, {"loss": n}) for n in range(41)), state=None)[:42])
    put(run, A, [Row(43, int(Kind.METRIC), 50, 1_800_000_000.0, {"loss": 0.5})])
    send(run, remote)
    assert_same(run, remote)
    shutil.rmtree(tmp_path / "here")
    shutil.copytree(tmp_path / "backup", tmp_path / "here")
    put(run, C, made(*(metric(n, {"c": n}) for n in range(9)), at=1_800_000_000.0))
    sent = send(run, remote)
    assert sent.rows == 11
    assert (sent.standing.unsent, sent.standing.differing) == (0, ())
    there = stored(remote.copy_of(run))
    here = stored(run)
    assert {uuid: len(rows) for uuid, rows in there.items()} == {A: 43, B: 27, C: 11}
    assert there[C] == here[C]
    assert there[A][: len(here[A])] == here[A]
    for section in remote.fetch(RunName("local", "p", "r"), positions(run)):
        assert receive(run, batch_of(section)).refused == []
    send(run, remote)
    assert_same(run, remote)


def test_a_removed_run_is_sent_again(run: RunFolder, remote: WiredFolder) -> None:
    send(run, remote)
    remove_run(remote.copy_of(run), force=True)
    assert send(run, remote).rows == 69
    assert_same(run, remote)
    shutil.rmtree(remote.store.path)
    again = WiredFolder(remote.store.path)
    assert again.name != remote.name
    assert send(run, again).rows == 69
    assert_same(run, again)


def test_each_target_has_cursors_of_its_own(run: RunFolder, tmp_path: Path) -> None:
    one, two = WiredFolder(tmp_path / "one"), WiredFolder(tmp_path / "two")
    elsewhere = Target(one.name, "team", "other")
    assert send(run, one).rows == 69
    assert stand(run, two).unsent == 69
    assert send_run(run, one, elsewhere).rows == 69
    put(run, C, made(metric(0, {"c": 1})))
    assert send(run, two).rows == 72
    assert (stand(run, one).unsent, stand(run, two).unsent) == (3, 0)
    with reading(run) as connection:
        assert standing(connection, elsewhere).unsent == 3
        assert set(targets(connection)) == {one.target(run), two.target(run), elsewhere}
    assert send(run, one).rows == 3
    assert send_run(run, one, elsewhere).rows == 3
    for remote in (one, two):
        assert_same(run, remote)
    assert stored(one.store.run("team", "other", "r")) == stored(run)


# -- rows that cannot be kept there ------------------------------------------------------------


def test_a_poison_row_is_told_of_and_stops_nothing(run: RunFolder, remote: WiredFolder) -> None:
    put(run, C, made((Kind.EVENT, 0, {"n": 1}), (Kind.EVENT, 0, {"n": 2}), metric(0, {"c": 1})))
    with closing(sqlite3.connect(run.database)) as connection, connection:
        connection.execute("UPDATE event SET data = '{\"n\":' WHERE data = '{\"n\":1}'")
    sent = send(run, remote)
    assert (sent.rows, sent.standing.unsent, sent.standing.refused) == (74, 0, 1)
    assert sent.standing.differing == (C,)
    assert not sent.standing.is_synced
    there = stored(remote.copy_of(run))
    assert [row.number for row, _ in there[C] if row.kind == Kind.STUB] == [2]
    assert [row.data for row, _ in there[C]][2:4] == [{"n": 2}, {"c": 1}]
    assert problems(remote.store) == []
    again = send(run, remote)
    assert (again.rows, again.standing.refused) == (0, 1)
    with closing(sqlite3.connect(run.database)) as connection, connection:
        connection.execute("UPDATE event SET data = '{\"n\":1}' WHERE data = '{\"n\":'")
    remove_run(remote.copy_of(run), force=True)
    send(run, remote)
    assert_same(run, remote)


@pytest.mark.parametrize("fate", ["well", "unanswered"])
def test_a_row_that_is_too_large_never_counts_as_synced(
    run: RunFolder, tmp_path: Path, fate: str
) -> None:
    large = made((Kind.EVENT, 0, {"text": "x" * (9 * 2**20)}), metric(0, {"c": 1}))
    put(run, C, large)
    fates = iter([fate])
    remote = Unreliable(tmp_path / "there", lambda: next(fates, fate))
    for _ in range(9):
        try:
            send(run, remote)
            break
        except RemoteUnavailable:
            assert not stand(run, remote).is_synced
    found = stand(run, remote)
    assert (found.unsent, found.refused, found.differing) == (0, 1, ())
    assert not found.is_synced
    assert positions(remote.copy_of(run)) == positions(run)
    (stub,) = [(row.number, h) for row, h in stored(remote.copy_of(run))[C] if row.kind == 0]
    assert stub == (2, row_digest(large[1]))
    with closing(sqlite3.connect(run.database)) as connection:
        assert connection.execute("SELECT number, reason FROM refused").fetchall() == [
            (2, TOO_LARGE)
        ]
    for folder in (run.path.parents[2], remote.store):
        assert problems(folder) == []
    # What goes on from there is as much as is there, and is all of it.
    onwards = WiredFolder(tmp_path / "onwards")
    assert send(remote.copy_of(run), onwards).standing.is_synced
    assert positions(onwards.copy_of(run)) == positions(run)
