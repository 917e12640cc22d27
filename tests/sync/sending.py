"""What the tests of sending to a folder share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from store.errors import RemoteUnavailable
from store.paths import RunFolder
from store.reading import reading
from store.sync.cursors import Standing, read_cursors, standing
from store.sync.engine import Sent, send_run
from store.sync.receive import Positions
from store.sync.remote import Acknowledged, Progress
from store.sync.wire import Batch
from tests.helpers import (
    problems,
)
from tests.stored_runs import metric
from tests.stored_runs import rows_of as made
from tests.sync.batches import WiredFolder, new_run, positions, put, stored

A, B, C = "a" * 32, "b" * 32, "c" * 32


def two_writers(folder: Path) -> RunFolder:
    """The run of a new store, with 42 rows of source A and 27 of B."""
    run = new_run(folder)
    for uuid, count in ((A, 40), (B, 25)):
        put(run, uuid, made(*(metric(n, {"loss": n / 3, uuid[:1]: n}) for n in range(count))))
    return run


def send(run: RunFolder, remote: WiredFolder, **options: object) -> Sent:
    return send_run(run, remote, remote.target(run), **options)  # type: ignore[arg-type]


def assert_same(run: RunFolder, remote: WiredFolder) -> None:
    """Here and there have the same rows, and `check` finds nothing."""
    there = remote.copy_of(run)
    assert positions(there) == positions(run)
    assert stored(there) == stored(run)
    with reading(run) as connection:
        found = standing(connection, remote.target(run))
        assert read_cursors(connection, remote.target(run)) == positions(run)
    assert found.is_synced, found
    assert (found.unsent, found.oldest) == (0, None)
    assert problems(run.path.parents[2]) == []
    assert problems(remote.store) == []


def stand(run: RunFolder, remote: WiredFolder) -> Standing:
    with reading(run) as connection:
        return standing(connection, remote.target(run))


def known(run: RunFolder, remote: WiredFolder) -> Positions:
    """What the cursors say is there."""
    with reading(run) as connection:
        cursors = read_cursors(connection, remote.target(run))
    return {uuid: position for uuid, position in cursors.items() if position[0]}


class Unreliable(WiredFolder):
    """A folder on the other side of a bad line: `fate` says what becomes of each batch."""

    def __init__(self, path: Path, fate: Callable[[], str]) -> None:
        super().__init__(path)
        self.fate = fate

    def send(self, batch: Batch, *, restore: bool, progress: Progress) -> Acknowledged:
        fate = self.fate()
        if fate == "lost":
            raise RemoteUnavailable("the batch was lost")
        answer = super().send(batch, restore=restore, progress=progress)
        if fate == "unanswered":
            raise RemoteUnavailable("the answer was lost")
        if fate == "twice":
            return super().send(batch, restore=restore, progress=progress)
        return answer
