"""Writer: one process's writing end of one run; the hot path of log().

A row gets its number when its frame enters the journal, never before, so numbers have no holes.
`_odd` is the one flag that the hot path looks at: no journal yet (first row, forked child), an
append that was interrupted by an exception, rows that wait for a full disk, or the end.

log() may be called inside log(), by a signal handler or a finalizer: the lock admits its holder
again, `_busy` tells that it is in the middle of a row, and the inner row is queued and written
before the outer call returns. fork is announced by `forked`: see `store.keeper`.
"""

from __future__ import annotations

import errno
import threading
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from time import time
from typing import Any, NamedTuple

import msgpack

from store.backlog import Backlog, Warn
from store.errors import RunClosed
from store.journal import Journal, is_foreign
from store.paths import RunFolder
from store.row import Kind, unpack_row
from store.segments import Segments
from store.shared.network_journal import NetworkJournal
from store.shared.spills import add_spill_folder


class WriterOptions(NamedTuple):
    """What a writer takes from the settings (sizes in bytes)."""

    medium: str
    segment_bytes: int
    queue_bytes: int
    fold_bytes: int
    spool: Path | None


class Writer:
    """Appends rows to this process's own journal of a run."""

    def __init__(
        self,
        run: RunFolder,
        options: WriterOptions,
        opening: Callable[[], dict[str, Any]],
        *,
        ring: Callable[[], None],
        warn: Warn,
    ) -> None:
        """`opening` makes the data of the OPEN row; `ring` wakes the background thread."""
        self.run = run
        self.options = options
        self.step = 0
        self.dropped = 0
        self.refused: dict[str, int] = {}
        self.closed = False
        self.parent: str | None = None
        self.on_start: Callable[[], None] | None = None
        self._opening = opening
        self._ring = ring
        self._warn = warn
        self._lock = threading.RLock()
        self._pack = msgpack.Packer().pack
        self._reset()

    def _reset(self) -> None:
        options = self.options
        self.files = Segments(self.run, options.medium, options.spool)
        self._number = 0
        self._time = 0.0
        self._busy = False
        self._draining = False
        self._odd = True
        self._interrupted = False
        self._wake_at = 0
        self._inner: deque[tuple[int, Mapping[str, Any], int | None, bool]] = deque()
        self._backlog = Backlog(options.queue_bytes, options.spool, self.run.path, self._warn)

    @property
    def started(self) -> bool:
        """Whether this process has written a row."""
        return self._number > 0

    @property
    def number(self) -> int:
        """The number of the last row in the journal."""
        return self._number

    @property
    def waiting(self) -> int:
        """Rows that wait in memory for a disk that takes none."""
        return len(self._backlog)

    def append(
        self, kind: int, data: Mapping[str, Any], step: int | None = None, advance: bool = False
    ) -> None:
        """Write one row. It is in the journal on return, or waits and is counted as at risk.

        `data` must hold what a row can hold (`api` has seen to that). Without `step` the row is
        at the writer's own step, which `advance` moves on to the next.

        Raises:
            RunClosed: after `end`.
            TypeError, ValueError, OverflowError: `data` cannot be packed; nothing was written.
        """
        with self._lock:
            if self._busy:
                self._inner.append((kind, dict(data), step, advance))
                return
            now = time()
            self._busy = True
            at = self.step if step is None else step
            number = 0
            try:
                if now < self._time:  # noqa: PLR1730 - max() costs four times as much
                    now = self._time
                if self._odd and not self._recover(kind, at, now, data, advance):
                    return
                number = self._number + 1
                payload = self._pack((number, kind, at, now, data))
                journal = self.files.journal
                assert journal is not None
                journal.append(payload)
                self._number = number
                self._time = now
                if advance and at >= self.step:
                    self.step = at + 1
                end = journal.end
            except OSError as error:
                self._odd = self._interrupted = True
                if is_foreign(error):
                    raise
                self._hold_back(error, number, kind, at, now, data)
                if advance and at >= self.step:
                    self.step = at + 1
                end = 0
            except BaseException:
                self._odd = self._interrupted = True
                raise
            finally:
                self._busy = False
            if end > self._wake_at:
                self._wake(end)
        if self._inner:
            self._write_inner()

    def _wake(self, end: int) -> None:
        self._wake_at = end + self.options.fold_bytes
        self._ring()

    def _write_inner(self) -> None:
        with self._lock:
            if self._draining:  # further out in this thread: rows may come faster than one by one
                return
            self._draining = True
            try:
                while self._inner:
                    self.append(*self._inner.popleft())
            finally:
                self._draining = False

    # -- off the usual path; all of it under the lock ------------------------------------------

    def _recover(
        self, kind: int, step: int, now: float, data: Mapping[str, Any], advance: bool
    ) -> bool:
        """Make the journal writable again; False when the row was put in the waiting line."""
        if self.closed:
            raise RunClosed(self.run.id)
        if self._backlog and self._backlog.is_due(now):
            self._write_waiting()
        if self._backlog:
            # Rows keep their order: time never goes back within a source.
            self._queue(kind, step, now, data)
            if advance and step >= self.step:
                self.step = step + 1
            return False
        if self._interrupted:
            self._reconcile()
        if not self.started:
            self._start()
        self._odd = False
        return True

    def _reconcile(self) -> None:
        """An exception (a signal handler's) may have come between a frame and its number."""
        journal = self.files.journal
        if journal is not None:
            payload = journal.left_behind()
            if payload is not None:
                # Number first: if this too is interrupted, the frame is found again.
                self._number = unpack_row(payload).number
                journal.accept(payload)
        self._interrupted = False

    def _start(self) -> None:
        """The first segment, with row 1. `.own` is locked before the journal exists.

        May fail, or be interrupted, anywhere, and is then called again for the next row.
        """
        self.files.claim()
        journal = self.files.journal or self._next_segment()
        data = self._opening() | {"parent": self.parent}
        now = max(time(), self._time)
        journal.append(self._pack((1, int(Kind.OPEN), self.step, now, data)))
        self._number = 1
        self._time = now
        if self.on_start is not None:
            self.on_start()

    def _next_segment(self, folder: Path | None = None) -> Journal:
        if self._interrupted:
            # A frame that is left in the old segment has taken its number: folds read it there.
            self._reconcile()
        journal = self.files.begin(folder)
        self._wake_at = journal.end + self.options.fold_bytes
        return journal

    def _hold_back(
        self, error: OSError, tried: int, kind: int, step: int, now: float, data: Mapping[str, Any]
    ) -> None:
        """The disk took nothing: go on in the spool folder, or let the row wait in memory.

        Under the number `tried`, if not 0, the row may be in the journal all the same: what NFS
        refuses with one write may be an earlier one.
        """
        spool = self._backlog.spool_beside(self.files.journal)
        if spool is not None and self.files.is_owned:
            try:
                self._next_segment(add_spill_folder(self.run, spool))
                self._interrupted = True  # that has reconciled the segment before
                self._backlog.tell_spilled(error)
                if not self.started:
                    self._start()
                if not 0 < tried <= self._number:
                    tried = self._number + 1
                    self._write_now(kind, step, now, data)
                self._interrupted = False
            except OSError as second:
                if is_foreign(second):
                    raise
                error = second
            else:
                return
        self._queue(kind, step, now, data, tried)
        self._backlog.tell_waiting(error)

    def _write_now(self, kind: int, step: int, now: float, data: Mapping[str, Any]) -> None:
        journal = self.files.journal
        assert journal is not None
        journal.append(self._pack((self._number + 1, kind, step, now, data)))
        self._number += 1
        self._time = max(self._time, now)

    def _queue(self, kind: int, step: int, now: float, data: Any, tried: int = 0) -> None:
        self._time = now
        self.dropped += not self._backlog.add(kind, step, now, data, tried=tried)

    def _write_waiting(self) -> None:
        """Write what waits, as far as the disk takes it."""
        try:
            if self._interrupted:
                self._reconcile()
            if not self.started:
                self._start()
            while row := self._backlog.take(self._number):
                self._write_now(row.kind, row.step, row.time, row.data)
        except BaseException as error:
            self._odd = self._interrupted = True
            if not isinstance(error, OSError) or is_foreign(error):
                raise

    # -- called by the background thread and at the end ----------------------------------------

    def retry_waiting(self) -> None:
        """Write what waits, as far as the disk takes it."""
        with self._lock:
            if self._busy or not self._backlog:
                return
            self._busy = True
            try:
                self._write_waiting()
            finally:
                self._busy = False

    def prepare(self) -> None:
        """Grow the journal ahead of the rows, and begin a new segment when this one is long."""
        with self._lock:
            journal = self.files.journal
            if journal is None or self.closed:
                return
            grow = journal.prepare()
            is_long = journal.end > self.options.segment_bytes
        try:
            swap = grow() if grow is not None else None
            if is_long and self.run.is_shared:
                self.sync()  # or the close below would have all of it to put on a network disk
        except OSError:
            return  # full: the row that needs the room meets the same error and is held back
        with self._lock:
            if journal is not self.files.journal or self.closed:
                return
            self._busy = True  # a finalizer that runs in here may log
            try:
                if swap is not None:
                    swap()
                if is_long:
                    self._next_segment()
            except OSError as error:
                if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                    raise
            finally:
                self._busy = False
        self._write_inner()

    def sync(self) -> None:
        """Put every row of this writer on the disk itself. OSError when it does not take them."""
        journal = self.files.journal
        try:
            self.files.sync(self._lock)
        except OSError:
            if self.restore():
                return
            if not (isinstance(journal, NetworkJournal) and journal.is_replaced):
                raise
            # Another thread has found the loss beside this one, and has restored the rows first.
            self.files.sync(self._lock)

    def restore(self, *, afresh: bool = False) -> bool:
        """Write again what a network disk has lost, or another host has removed because it took
        this writer for dead; False when there is nothing. `afresh`: see `NetworkJournal.look`.

        Absorbing it again doubles nothing, and what came after that is in no other place. Where
        the run itself was removed, it is begun anew.

        Raises:
            OSError: the disk takes nothing; to be called again.
        """
        self.files.look(afresh=afresh)
        with self._lock:
            if self._busy or not self.files.is_lost:
                return False
            try:
                if self._interrupted:
                    self._reconcile()
                self.files.restore()
            except FileNotFoundError:
                waiting = self._backlog
                self.files.abandon()
                self._reset()
                self._backlog = waiting
                raise
            return True

    def note(self, facts: dict[str, Any]) -> None:
        """Leave word in `.own` that `store status` of other processes can read."""
        # Under the lock: a number that was closed may be another file's by now.
        with self._lock:
            self.files.note(facts)

    def end(self, data: Mapping[str, Any]) -> bool:
        """Write END and close the journal; False when rows still wait and could not be written.

        `.own` stays locked until `release`, so that nobody takes the journal for an orphan's.
        """
        self._write_inner()
        self.retry_waiting()
        with self._lock:
            if self.closed:
                return True
            complete = not self._backlog
            if complete and self.started:
                self.append(Kind.END, data)
                self.retry_waiting()  # of what NFS refuses for an earlier row it tells once
                complete = not self._backlog
            self.closed = self._odd = True
            self.files.close()
            return complete

    def release(self) -> None:
        """Let go of `.own`."""
        with self._lock:
            self.files.release()

    # -- fork ----------------------------------------------------------------------------------

    def hold(self) -> None:
        """Before a fork: nobody is in the middle of a row when the process is copied."""
        self._lock.acquire()

    def forked(self, *, in_child: bool) -> None:
        """After a fork. A child goes on as a new writer, with a journal of its own."""
        lock = self._lock
        if in_child:
            self._lock = threading.RLock()
            self.files.abandon()
            if not self.closed:
                self.parent = self.files.uuid if self.started else self.parent
                self.dropped = 0
                self.refused = {}
                self._pack = msgpack.Packer().pack
                self._reset()
        lock.release()
