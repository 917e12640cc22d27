"""Pull: runs of a remote into a store here, the way that rows are sent, turned round."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from store.errors import RunNotFound, StoreError, UsageError
from store.locks import run_lock
from store.paths import RunFolder, StoreFolder
from store.reading import reading
from store.shared.publish import publish
from store.shared.snapshots import open_database
from store.sync.blobs import Blobs, link_files, read_blocks, wanted_files
from store.sync.cursors import Target, move_cursors, targets
from store.sync.engine import LOCK_SECONDS, Tell, Told
from store.sync.receive import Positions, positions_in, receive
from store.sync.remote import LOCAL, Remote
from store.sync.wire import Batch, RunName


class Pulled(NamedTuple):
    """What came of one run: rows and files that were new here, and what did not fit."""

    run: RunName
    rows: int
    files: int
    problems: tuple[str, ...]


def find_remote_runs(remote: Remote, text: str) -> list[RunName]:
    """The runs that ENTITY/PROJECT/RUN, ENTITY/PROJECT, PROJECT/RUN, PROJECT or RUN means there.

    Raises:
        RunNotFound: none does; or several, where a run is meant.
    """
    parts = text.split("/")
    if not all(parts):
        raise UsageError(f"{text!r} is not ENTITY/PROJECT/RUN", hint="shorter where it is unique")
    if len(parts) == 3:
        found = RunName(*parts)
        (there,) = remote.positions([found], to_send=False)
        if there and not isinstance(there, StoreError):
            return [found]
    # Names may have slashes in them: the text is compared as a whole.
    runs = remote.runs(None, None)
    for means_one, told in (
        (True, str),
        (False, lambda run: f"{run.entity}/{run.project}"),
        (True, lambda run: f"{run.project}/{run.run}"),
        (False, lambda run: run.project),
        (True, lambda run: run.run),
    ):
        matching = [run for run in runs if told(run) == text]
        places = {str(run) if means_one else f"{run.entity}/{run.project}" for run in matching}
        if len(places) > 1:
            raise RunNotFound(text, tuple(sorted(places)))
        if matching:
            return matching
    error = RunNotFound(text)
    error.hint = f"{remote.where} has no such run that you may read: ENTITY/PROJECT/RUN"
    raise error


def pull_run(store: StoreFolder, remote: Remote, run: RunName, *, tell: Tell) -> Pulled:
    """Bring what is new of a run; it may be interrupted and repeated.

    Raises:
        SyncError, NotAllowed, RunNotFound: see `Remote`.
        StoreError, OSError: the run here cannot be written.
    """
    (there,) = remote.positions([run], to_send=False)
    if isinstance(there, StoreError):
        raise there
    if not there:
        raise RunNotFound(str(run))
    folder = _folder_of(store, remote, run)
    here = RunName(folder.entity, folder.project, folder.id)
    rows = 0
    problems: list[str] = []
    for section in remote.fetch(run, positions_in(store, *here)):
        received = receive(folder, Batch(here, "", [section]))
        rows += received.new
        problems += [f"row {number}: {reason}" for _, number, reason in received.refused]
        tell(Told(rows=received.new))
    have = positions_in(store, *here)
    problems += [
        f"source {uuid[:8]} differs from the one there"
        for uuid, position in there.items()
        if uuid in have and have[uuid][0] == position[0] and have[uuid] != position
    ]
    files = _pull_files(store, folder, remote, run, tell)
    _note_there(folder, Target(remote.name, run.entity, run.project), there)
    return Pulled(run, rows, files, tuple(problems))


def _folder_of(store: StoreFolder, remote: Remote, run: RunName) -> RunFolder:
    """Where the run belongs here: a run of nobody's that was sent there stays where it is."""
    target = Target(remote.name, run.entity, run.project)
    nobodys = store.run(LOCAL, run.project, run.run)
    with contextlib.suppress(FileNotFoundError), reading(nobodys) as connection:
        if target in targets(connection):
            return nobodys
    return store.run(*run)


def _pull_files(
    store: StoreFolder, folder: RunFolder, remote: Remote, run: RunName, tell: Tell
) -> int:
    blobs = Blobs(store, folder.entity)
    names = {sha256: name for name, (sha256, _) in wanted_files(folder).items()}
    fetched = 0
    for sha256 in blobs.missing(names):
        with _scratch(folder) as path:
            try:
                remote.fetch_file(
                    run, names[sha256], sha256, path, lambda count: tell(Told(bytes=count))
                )
            except StoreError:
                continue  # not there yet, or not for us to see: the next pull looks again
            blobs.discard(sha256)
            blobs.add(sha256, 0, path.stat().st_size, read_blocks(path))
            fetched += 1
    link_files(folder, blobs)
    return fetched


@contextlib.contextmanager
def _scratch(folder: RunFolder) -> Iterator[Path]:
    folder.files.mkdir(parents=True, exist_ok=True)
    path = folder.files / f".{os.getpid()}.{os.urandom(4).hex()}"
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def _note_there(folder: RunFolder, target: Target, there: Positions) -> None:
    """What came from there need not be sent there."""
    with run_lock(folder.lock).hold(LOCK_SECONDS):
        database = open_database(folder)
        try:
            move_cursors(database, target, there)
        finally:
            database.close()
    if folder.is_shared:
        publish(folder)
