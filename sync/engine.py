"""Engine: send what one run has and one remote does not.

    fold -> ask for positions -> set the cursors by them -> batch, send, move the cursors; repeat
    -> files -> compare digests

The remote's answer is the only state: a lower position than ours moves the cursor back (it was
restored from a backup), a higher one is a reason to pull. A process may be killed anywhere; what
goes twice is skipped there. Two engines on one run are safe, but a waste: the second one leaves.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from filelock import FileLock, Timeout

from store.database import RunDatabase
from store.errors import RemoteRefused, StoreError, StoreLocked, SyncError
from store.fold import fold
from store.locks import life_of, run_lock
from store.paths import RunFolder
from store.reading import reading
from store.sync.blobs import hash_file, wanted_files
from store.sync.cursors import (
    Standing,
    Target,
    move_cursors,
    note_refused,
    note_try,
    read_cursors,
    standing,
)
from store.sync.outgoing import ROWS, TEXT, VALUES, Origin, Outgoing
from store.sync.receive import GapError, Positions
from store.sync.remote import Remote
from store.sync.wire import Batch, RunName, Section

FOLD_SECONDS: Final = 5.0
LOCK_SECONDS: Final = 30.0
SECTIONS: Final = 200
"""Sources that share a batch."""


class Told(NamedTuple):
    """A word on how sending goes: rows that were acknowledged and bytes that went out just now."""

    rows: int = 0
    bytes: int = 0


Tell = Callable[[Told], None]


def _silent(told: Told) -> None:
    """For callers that do not want to know."""


class Sent(NamedTuple):
    """What sending a run came to: rows and files sent, the standing after it.

    `busy`: another process is sending this run, nothing was done.
    """

    rows: int
    files: int
    standing: Standing
    busy: bool = False


def send_run(
    run: RunFolder,
    remote: Remote,
    target: Target,
    *,
    positions: Positions | StoreError | None = None,
    restore: bool = False,
    tell: Tell = _silent,
    stop: Callable[[], bool] = lambda: False,
) -> Sent:
    """Send what `target` lacks of `run`, until nothing is left or `stop()`.

    `positions` is what the remote has already said of this run. What went wrong is noted in the
    run's database, for `store status`, before it is raised.

    Raises:
        SyncError, NotAllowed, EntityUnknown: see `Remote`.
        StoreError, OSError, sqlite3.Error: the run cannot be read, or its cursors not be written.
    """
    with contextlib.suppress(StoreLocked):
        fold(run, timeout=FOLD_SECONDS)
    with _alone(run) as alone:
        if not alone:
            with reading(run) as connection:
                return Sent(0, 0, standing(connection, target), busy=True)
        with _Sending(run, remote, target, restore, tell) as sending:
            try:
                return sending.send(positions, stop)
            except StoreError as error:
                sending.note(error.message)
                raise


@contextlib.contextmanager
def _alone(run: RunFolder) -> Iterator[bool]:
    lock = FileLock(run.path / "sync.lock", timeout=0, thread_local=False, fallback_to_soft=False)
    try:
        lock.acquire()
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


class _Sending:
    """One run on its way to one target."""

    def __init__(
        self, run: RunFolder, remote: Remote, target: Target, restore: bool, tell: Tell
    ) -> None:
        self._run = run
        self._remote = remote
        self._target = target
        self._name = RunName(target.entity, target.project, run.id)
        self._restore = restore
        self._tell = tell
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> _Sending:
        with self._stack:
            self._db = self._stack.enter_context(reading(self._run))
            with self._locked():
                self._writer = RunDatabase(self._run.database)
            self._stack.callback(self._close_writer)
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _close_writer(self) -> None:
        with self._locked():
            self._writer.close()

    def _locked(self) -> contextlib.AbstractContextManager[float]:
        return run_lock(self._run.lock).hold(LOCK_SECONDS)

    def note(self, error: str | None, files: int | None = None) -> None:
        with self._locked():
            note_try(self._writer, self._target, self._remote.where, error, files)

    def send(self, positions: Positions | StoreError | None, stop: Callable[[], bool]) -> Sent:
        if positions is None:
            (positions,) = self._remote.positions([self._name], restore=self._restore)
        if isinstance(positions, StoreError):
            raise positions
        self._begin_at(positions)
        rows = self._send_rows(stop)
        files, missing, lost = self._send_files(stop)
        self.note(lost, missing)
        return Sent(rows, files, standing(self._db, self._target))

    def _begin_at(self, positions: Positions) -> None:
        """Take the remote's word for all sources, also for those that it does not know."""
        ours = {uuid for (uuid,) in self._db.execute("SELECT uuid FROM source").fetchall()}
        known = read_cursors(self._db, self._target)
        believed = {uuid: positions.get(uuid, (0, bytes(16))) for uuid in ours}
        if any(known.get(uuid) != position for uuid, position in believed.items()):
            with self._locked():
                move_cursors(self._writer, self._target, believed)

    # -- rows ----------------------------------------------------------------------------------

    def _send_rows(self, stop: Callable[[], bool]) -> int:
        outgoing = Outgoing(self._db)
        sent, gap = 0, None
        while not stop():
            batch = self._next_batch(outgoing)
            if not batch.sections:
                break
            try:
                answer = self._remote.send(
                    batch,
                    restore=self._restore,
                    progress=lambda count: self._tell(Told(bytes=count)),
                )
            except GapError as error:
                if error.positions == gap:
                    raise SyncError(
                        f"{self._remote.where} asks again and again for rows that it was sent"
                    ) from error
                gap = error.positions
                with self._locked():
                    move_cursors(self._writer, self._target, gap)
                continue
            self._check_answer(batch, answer.positions)
            with self._locked():
                move_cursors(self._writer, self._target, answer.positions)
                if answer.refused:
                    note_refused(self._writer, self._target, answer.refused)
            sent += batch.rows
            self._tell(Told(rows=batch.rows))
        return sent

    def _check_answer(self, batch: Batch, positions: Positions) -> None:
        """A remote that says yes and moves nothing would be sent the same rows for ever."""
        for section in batch.sections:
            if positions.get(section.uuid, (0, b""))[0] < section.last:
                raise RemoteRefused(
                    f"{self._remote.where} took rows and does not have them", code="no_progress"
                )

    def _next_batch(self, outgoing: Outgoing) -> Batch:
        cursors = read_cursors(self._db, self._target)
        sections: list[Section] = []
        rows, text, values = ROWS, TEXT, VALUES
        for number, uuid, kind, position in self._db.execute(
            "SELECT id, uuid, kind, position FROM source ORDER BY id"
        ).fetchall():
            after = cursors.get(uuid, (0, b""))[0]
            if after >= position:
                continue
            origin = Origin(number, uuid, kind)
            writing = life_of(self._run.own(uuid)) == "alive" or None
            section = outgoing.section(origin, after, most=rows, writing=writing)
            if section is None:
                continue
            sections.append(section)
            rows -= len(section.kinds)
            text -= _text_in(section)
            values -= sum(len(group.names) * len(section.kinds) for group in section.groups)
            if rows <= 0 or text <= 0 or values <= 0 or len(sections) >= SECTIONS:
                break
        return Batch(self._name, self._run.store_id, sections)

    # -- files ---------------------------------------------------------------------------------

    def _send_files(self, stop: Callable[[], bool]) -> tuple[int, int, str | None]:
        """Send what is missing; gives files sent, files missing still, and what is lost."""
        wanted = wanted_files(self._run)
        sizes = dict(wanted.values())
        if not sizes:
            return 0, 0, None
        missing = self._remote.missing_blobs(self._name, sizes)
        by_hash = {sha256: name for name, (sha256, _) in wanted.items()}
        sent, lost = 0, []
        for sha256, offset in missing.items():
            path = self._run.files / by_hash[sha256]
            if stop():
                break
            if not path.is_file() or hash_file(path) != sha256:
                lost.append(by_hash[sha256])
                continue
            self._remote.send_blob(
                self._name, sha256, path, offset, lambda count: self._tell(Told(bytes=count))
            )
            sent += 1
        error = f"not as it was saved, or gone, here: {', '.join(sorted(lost))}" if lost else None
        return sent, len(missing) - sent, error


def _text_in(section: Section) -> int:
    return (
        sum(len(text) for _, _, text in section.objects)
        + sum(len(text) for _, _, text in section.lines)
        + sum(len(text) for _, text in section.others)
    )


def problem_of(error: Exception) -> str:
    """An error in one line."""
    if isinstance(error, StoreError):
        return str(error)
    if isinstance(error, sqlite3.Error):
        return f"SQLite: {error}"
    return str(error)
