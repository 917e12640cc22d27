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
from collections.abc import Callable
from typing import Final, NamedTuple

from store.errors import RemoteRefused, StoreError, StoreLocked, SyncError
from store.fold import fold
from store.locks import run_lock, try_lock
from store.ownership import is_written, writer_life
from store.paths import RunFolder
from store.reading import reading
from store.shared.publish import publish
from store.shared.snapshots import open_database
from store.sync.blobs import files_in, find_content
from store.sync.cursors import (
    Standing,
    Target,
    move_cursors,
    note_refused,
    note_try,
    read_cursors,
    standing,
)
from store.sync.hearsay import tell_others
from store.sync.outgoing import ROWS, TEXT, TOO_LARGE, VALUES, Origin, Outgoing, begins_anew
from store.sync.receive import GapError, Positions
from store.sync.remote import Remote
from store.sync.wire import Batch, RunName, Section

FOLD_SECONDS: Final = 5.0
LOCK_SECONDS: Final = 30.0
NOTHING: Final = (0, bytes(16))
"""The position of a source of which nothing is there."""
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
    if run.is_shared or not run.database.exists() or run.owned() or run.segments():
        with contextlib.suppress(StoreLocked):
            fold(run, timeout=FOLD_SECONDS)
    with try_lock(run.home / "sync.lock") as alone:
        if not alone:
            with reading(run) as connection:
                return Sent(0, 0, standing(connection, target), busy=True)
        with _Sending(run, remote, target, restore, tell) as sending:
            try:
                sent = sending.send(positions, stop)
            except StoreError as error:
                sending.note(error.message)
                raise
        if run.is_shared and not sending.saw_writer:
            _publish(run)
        return sent


def find_unmoved(
    run: RunFolder, remote: Remote, target: Target, positions: Positions
) -> Standing | None:
    """The standing of a run of which `remote` still has all that it had; None where it has not.

    `positions` is what the remote has just said. Only this host's database is read.

    Raises:
        SyncError, NotAllowed, EntityUnknown, StoreError, OSError, sqlite3.Error: see `send_run`.
    """
    with reading(run) as connection:
        found = standing(connection, target)
        if not found.is_sent or read_cursors(connection, target).items() - positions.items():
            return None
        sizes = dict(files_in(connection).values())
    name = RunName(target.entity, target.project, run.id)
    return None if sizes and remote.missing_blobs(name, sizes, held=()) else found


def _publish(run: RunFolder) -> None:
    """So that its journals can go, once nobody writes it any more; if not now, then next time."""
    with contextlib.suppress(StoreError, sqlite3.Error, OSError):
        if not is_written(run):
            publish(run)


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
        self._is_new = False
        self.saw_writer = False
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> _Sending:
        with self._stack:
            self._db = self._stack.enter_context(reading(self._run))
            with self._locked():
                self._writer = open_database(self._run)
            self._stack.callback(self._close_writer)
            self._is_open = True
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _close_writer(self) -> None:
        if self._is_open:
            with self._locked():
                self._is_open = False
                self._writer.close()

    def _locked(self) -> contextlib.AbstractContextManager[float]:
        return run_lock(self._run.lock).hold(LOCK_SECONDS)

    def note(self, error: str | None, files: int | None = None) -> None:
        with self._locked():
            note_try(self._writer, self._target, self._remote.where, error, files)

    def send(self, positions: Positions | StoreError | None, stop: Callable[[], bool]) -> Sent:
        if positions is None:
            (positions,) = self._remote.positions([self._name], to_send=True, restore=self._restore)
        if isinstance(positions, StoreError):
            raise positions
        self._begin_at(positions)
        rows = self._send_rows(stop)
        files, missing, lost = self._send_files(stop)
        if rows or files:
            self._remote.settle(self._name)
        with self._locked():
            self.note(lost, missing)
            if self._run.is_shared:
                tell_others(self._run, self._target, self._db)
            self._close_writer()
        return Sent(rows, files, standing(self._db, self._target))

    def _begin_at(self, positions: Positions) -> None:
        """Take the remote's word for all sources, also for those that it does not know."""
        ours = {uuid for (uuid,) in self._db.execute("SELECT uuid FROM source").fetchall()}
        known = read_cursors(self._db, self._target)
        believed = {uuid: positions.get(uuid, NOTHING) for uuid in ours}
        self._is_new = ours.isdisjoint(positions) and begins_anew(self._db)
        if any(known.get(uuid, NOTHING) != position for uuid, position in believed.items()):
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
            # Before the batch goes: its answer may be lost, and its stubs have the right digests.
            self._note_refused(self._stood_in(batch))
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
            self._note_refused(answer.refused)
            with self._locked():
                move_cursors(self._writer, self._target, answer.positions)
            gap, self._is_new = None, False
            sent += batch.rows
            self._tell(Told(rows=batch.rows))
        return sent

    def _note_refused(self, refused: list[tuple[str, int, str]]) -> None:
        if refused:
            with self._locked():
                note_refused(self._writer, self._target, refused)

    def _stood_in(self, batch: Batch) -> list[tuple[str, int, str]]:
        """Rows of which the batch only has stubs, because they are too large for it."""
        found = [
            (section.uuid, section.first + place, reason)
            for section in batch.sections
            for place, _, reason in section.stubs
            if reason == TOO_LARGE
        ]
        return [item for item in found if not self._is_stub(*item[:2])]

    def _is_stub(self, uuid: str, number: int) -> bool:
        sql = (
            "SELECT 1 FROM rejected x JOIN source s ON s.id = x.source"
            " WHERE s.uuid = ? AND x.number = ?"
        )
        return self._db.execute(sql, (uuid, number)).fetchone() is not None

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
            writing = writer_life(self._run, uuid) == "alive" or None
            self.saw_writer |= bool(writing)
            section = outgoing.section(origin, after, most=rows, writing=writing)
            if section is None:
                continue
            sections.append(section)
            rows -= len(section.kinds)
            text -= outgoing.taken.text
            values -= outgoing.taken.values
            if rows <= 0 or text <= 0 or values <= 0 or len(sections) >= SECTIONS:
                break
        return Batch(self._name, self._run.store_id, sections, self._is_new)

    # -- files ---------------------------------------------------------------------------------

    def _send_files(self, stop: Callable[[], bool]) -> tuple[int, int, str | None]:
        """Send what is missing; gives files sent, files missing still, and what is lost."""
        wanted = files_in(self._db)
        sizes = dict(wanted.values())
        if not sizes:
            return 0, 0, None
        named: dict[str, list[str]] = {}
        for name, (sha256, _) in wanted.items():
            named.setdefault(sha256, []).append(name)
        # Only what was read and is what the row says counts as ours: whoever wrote the row may
        # never have had it.
        wanting = self._remote.missing_blobs(self._name, sizes, held=())
        found = {h: find_content(self._run, h, named[h]) for h in wanting}
        ours = {h: path for h, path in found.items() if path is not None}
        lost = [name for h in wanting if h not in ours for name in named[h]]
        missing: dict[str, int] = {}
        if ours:
            asked = {h: sizes[h] for h in ours}
            missing = self._remote.missing_blobs(self._name, asked, held=ours)
        sent = 0
        for sha256, offset in missing.items():
            if stop():
                break
            self._remote.send_blob(
                *(self._name, sha256, ours[sha256], offset),
                lambda count: self._tell(Told(bytes=count)),
            )
            sent += 1
        error = f"not as it was saved, or gone, here: {', '.join(sorted(lost))}" if lost else None
        return sent, len(wanting) - len(ours) + len(missing) - sent, error
