"""What the background thread does for a writer on a shared disk, in place of folding.

Rows are put on the server itself every second, for only then do other hosts see them and survives
a power cut what was logged; a spilled journal is carried there. A sign of life goes with them. All
of it may hang for as long as the file server does, and holds no lock that log() takes; but for the
time in which rows that the disk has lost are written again.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from typing import Final

from store import locks
from store.errors import StoreError
from store.ownership import SIGN_SECONDS, is_written
from store.shared import live
from store.writer import Writer

SYNC_SECONDS: Final = 1.0
LOOK_SECONDS: Final = 5.0
PUBLISH_BYTES: Final = 32 * 2**20
"""Journals of more than this are left to be folded by whoever reads or sends the run."""


class Share:
    """A writer's duties towards the other hosts."""

    def __init__(self, writer: Writer) -> None:
        self.writer = writer
        self._synced = 0
        self._sync_due = 0.0
        self._sign_due = 0.0
        self._look_due = 0.0
        self._over = False
        self._lock = threading.Lock()

    def tend(self, now: float) -> str | None:
        """One round of the thread; gives what is wrong."""
        with self._lock:
            if self._over or not self.writer.started:
                return None
            try:
                self._tend(now)
            except OSError as error:
                return f"rows do not reach {self.writer.run.path}: {error.strerror or error}"
        return None

    def _tend(self, now: float) -> None:
        if now >= self._sign_due:
            self._sign_due = now + SIGN_SECONDS
            self._give_sign()
        if now >= self._look_due:
            self._look_due = now + LOOK_SECONDS
            self.writer.restore(afresh=True)
        waits = self.writer.waiting or self.writer.number > self._synced
        if waits and now >= self._sync_due:
            self._sync_due = now + SYNC_SECONDS
            self._sync()

    def _give_sign(self) -> None:
        writer = self.writer
        live.mark(writer.run, writer.files.uuid)
        # What other hosts see of a spilled journal is the part that was carried.
        journal = writer.run.journals / f"{writer.files.uuid}.{writer.files.number}.journal"
        with contextlib.suppress(FileNotFoundError):
            os.utime(journal if writer.files.is_spilled else writer.files.own)

    def _sync(self) -> None:
        number = self.writer.number
        if self.writer.files.is_spilled:
            with locks.no_fork:
                from store.shared.carry import carry
            if not carry(self.writer.run):
                return
        else:
            self.writer.restore(afresh=self._over)
            self.writer.sync()
        self._synced = number

    def before_end(self) -> None:
        """END shall follow on rows that are there."""
        with self._lock, contextlib.suppress(OSError):
            self.writer.restore(afresh=True)

    def finish(self) -> str | None:
        """After END, before `.own` is let go of: all rows to the share; gives what is wrong."""
        with self._lock:
            self._over = True
            try:
                self._sync()
            except OSError as error:
                return f"not safe against a power cut: {error}"
        return None

    def tidy(self) -> None:
        """After `.own` was let go of: the last writer of a run of some size publishes it."""
        writer = self.writer
        live.unmark(writer.run, writer.files.uuid)
        with locks.no_fork:
            from store.shared.carry import carry
            from store.shared.publish import publish
        with contextlib.suppress(StoreError, sqlite3.Error, OSError):
            if writer.files.is_spilled:
                carry(writer.run)
            if not is_written(writer.run) and _bytes(writer) <= PUBLISH_BYTES:
                publish(writer.run)


def _bytes(writer: Writer) -> int:
    segments = writer.run.segments().values()
    return sum(path.stat().st_size for listed in segments for _, path in listed)
