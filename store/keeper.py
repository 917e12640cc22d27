"""The background thread of a process that writes runs: one for all of them.

It grows journals ahead of the rows, writes the rows that waited for a full disk, and folds: every
`fold_bytes` or `fold_interval` seconds, unless somebody else is folding the run just then. What
fails here is noted in the writer's `.own`, where `store status` shows it, and tried again.

fork: before it, every writer's lock is taken, and no import or fold is underway; in the child
nothing of the parent's journal, locks or SQLite handles is used again, and threads start at the
first row.
"""

from __future__ import annotations

import contextlib
import logging  # noqa: F401 - registers for fork before we do: see before_fork
import os
import threading
import time
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Final

from store import locks
from store.errors import StoreError, StoreLocked
from store.row import Kind
from store.writer import Writer

if TYPE_CHECKING:
    from store.database import RunDatabase
    from store.fold import Folded
    from store.shared.share import Share

TICK_SECONDS: Final = 0.5
FINISH_SECONDS: Final = 30.0
_left_open: Final[list[object]] = []
"""SQLite handles that are not ours to close: of a forked child's parent, whose locks that would
drop, and of runs whose lock somebody keeps."""


class Tended:
    """A writer with what the thread knows of it."""

    def __init__(self, writer: Writer, fold_interval: float) -> None:
        self.writer = writer
        self.fold_interval = fold_interval
        self.trouble: str | None = None
        self.rows_of_all: int | None = None
        self._database: RunDatabase | None = None
        self._may_fold = True
        self._folded = 0
        self._fold_due = time.monotonic() + fold_interval
        self._wanted = False
        self._noted: dict[str, object] = {}
        self._told: dict[str, int] = {}
        self._lock = threading.Lock()
        self._share = self._make_share()

    def _make_share(self) -> Share | None:
        """What takes the place of folding on a shared disk."""
        if not self.writer.run.is_shared:
            return None
        with locks.no_fork:
            from store.shared.share import Share

        return Share(self.writer)

    def tend(self, now: float) -> None:
        """One round of the thread."""
        writer = self.writer
        writer.prepare()
        writer.retry_waiting()
        self._tell_refused()
        if self._share is not None:
            self.trouble = self._share.tend(now)
        self.note()
        if self._wanted or (writer.number > self._folded and now >= self._fold_due):
            self._wanted = False
            self._fold_due = now + self.fold_interval
            self.fold(0.0)

    def ring(self) -> None:
        """The writer has written `fold_bytes` since the last time."""
        self._wanted = True
        keeper.ring()

    def fold(self, timeout: float, *, durable: bool = False) -> Folded | None:
        """Fold the run with the connection that is kept for it; None when that was not possible."""
        if not self._may_fold or self._share is not None:
            return None
        with locks.no_fork:
            import sqlite3

            from store.database import RunDatabase
            from store.fold import fold
        number = self.writer.number
        with self._lock:
            try:
                with locks.run_lock(self.writer.run.lock).hold(timeout):
                    if self._database is None:
                        with locks.no_fork:
                            self._database = RunDatabase(self.writer.run.database)
                    done = fold(
                        self.writer.run, timeout=timeout, durable=durable, database=self._database
                    )
            except StoreLocked:
                return None
            except (StoreError, sqlite3.Error, OSError) as error:
                self.trouble = f"cannot fold: {error}"
                return None
        self._folded = number
        self.trouble = None
        return done

    def note(self, trouble: str | None = None, *, ended: bool = False) -> None:
        """Say in `.own` what is at risk, or that nothing will follow, when it has changed."""
        writer = self.writer
        facts: dict[str, object] = {"waiting": writer.waiting, "dropped": writer.dropped}
        if ended:
            facts["ended"] = True
        said = (trouble or self.trouble or "")[:120]
        if said:
            facts["trouble"] = said
        if facts != self._noted:
            self._noted = facts
            writer.note(facts)

    def _tell_refused(self) -> None:
        """Values that could not be kept are counted in the run itself."""
        writer = self.writer
        if writer.refused and writer.refused != self._told and not writer.closed:
            self._told = dict(writer.refused)
            writer.append(Kind.EVENT, {"type": "refused", "counts": self._told})

    def finish(self, data: dict[str, object]) -> bool:
        """END, the last fold, and goodbye; True when every row is in the journal or database."""
        writer = self.writer
        self._tell_refused()
        if self._share is not None:
            self._share.before_end()
        complete = writer.end(data)
        if writer.started and self._share is not None:
            self.trouble = self._share.finish()
        elif writer.started and self.fold(FINISH_SECONDS, durable=True) is None:
            try:
                writer.sync()
            except OSError as error:
                self.trouble = f"not safe against a power cut: {error}"
        self.note(ended=complete)
        self._close_database()
        writer.release()
        if writer.started and self._share is not None:
            self._share.tidy()
        return complete

    def _close_database(self) -> None:
        with locks.no_fork:
            import sqlite3
        with self._lock:
            database, self._database = self._database, None
            if database is None:
                return
            try:
                with locks.run_lock(self.writer.run.lock).hold(FINISH_SECONDS), locks.no_fork:
                    self.rows_of_all = database.count_rows()
                    database.close()
            except (StoreLocked, sqlite3.Error, OSError):
                _left_open.append(database)

    def forked(self) -> None:
        """In a forked child."""
        _left_open.append(self._database)
        self._database = None
        # SQLite keeps its locks per process in memory that the child has copied: a connection to
        # the same file would trust locks that only the parent holds. Others fold this journal.
        self._may_fold = False
        self._wanted = False
        self._folded = 0
        self._told = {}
        self._lock = threading.Lock()
        if self._share is not None:
            # Not by `_make_share`: no_fork may still be that of a thread that the child has not.
            self._share = type(self._share)(self.writer)
        self.trouble = None


class Keeper:
    """The thread and the writers it looks after."""

    def __init__(self) -> None:
        self._tended: list[Tended] = []
        self._bell: SimpleQueue[None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._held: list[Tended] = []

    def watch(self, tended: Tended) -> None:
        self._tended.append(tended)

    def ensure_thread(self) -> None:
        """Start the thread (in a forked child: at its first row)."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="runstore-keeper", daemon=True)
            self._thread.start()
        else:
            self.ring()  # it may be asleep for as long as there is no run

    def forget(self, tended: Tended) -> None:
        if tended in self._tended:
            self._tended.remove(tended)

    def ring(self) -> None:
        """Wake the thread. SimpleQueue.put may be called from a signal handler inside itself."""
        self._bell.put(None)

    def _run(self) -> None:
        while True:
            with contextlib.suppress(Empty):
                self._bell.get(timeout=TICK_SECONDS if self._tended else None)
            for tended in tuple(self._tended):
                try:
                    tended.tend(time.monotonic())
                except Exception as error:  # noqa: BLE001 - the outermost loop of this thread
                    tended.trouble = f"{type(error).__name__}: {error}"
                    tended.note(tended.trouble)

    def before_fork(self) -> None:
        # What registered first is called last: logging's lock is taken after ours, for which a
        # thread that imports a module with a logger waits meanwhile.
        locks.before_fork()
        self._held = list(self._tended)
        for tended in self._held:
            tended.writer.hold()

    def after_fork_in_parent(self) -> None:
        for tended in self._held:
            tended.writer.forked(in_child=False)
        locks.after_fork(in_child=False)

    def after_fork_in_child(self) -> None:
        self._bell = SimpleQueue()
        self._thread = None
        try:
            for tended in self._held:
                tended.writer.forked(in_child=True)
                tended.forked()
        finally:
            locks.after_fork(in_child=True)


keeper: Final = Keeper()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=keeper.before_fork,
        after_in_parent=keeper.after_fork_in_parent,
        after_in_child=keeper.after_fork_in_child,
    )
