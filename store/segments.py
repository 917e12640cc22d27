"""Segments: the files of one writer, its `.own` and its journal, one segment after the other.

`.own` is locked before the first segment exists, and let go of after the last one was closed. In
a shared store with a spool folder both lie on this host's own disk, from where `store.shared.carry`
brings the journal to the store. Calls are made under the writer's lock, but for `sync`.
"""

from __future__ import annotations

import os
import threading
from itertools import dropwhile
from pathlib import Path
from typing import Any

from store.journal import MAGIC, Journal, create_journal, sync_path
from store.ownership import Ownership
from store.paths import RunFolder
from store.shared.network_journal import NetworkJournal
from store.shared.spills import add_spill_folder


class Segments:
    """Where one writer's rows go. `journal` is the segment that is being written, if one is."""

    def __init__(self, run: RunFolder, medium: str, spool: Path | None) -> None:
        self.uuid = os.urandom(16).hex()
        self.journal: Journal | None = None
        self.number = 0
        self._run = run
        self._medium = medium
        self._spool = spool
        self._folder = run.journals
        self._own: Ownership | None = None
        self._unsynced: list[Path] = []
        self._closed: list[NetworkJournal] = []
        self._listed = 0

    @property
    def own(self) -> Path:
        return self._folder / f"{self.uuid}.own"

    @property
    def is_owned(self) -> bool:
        """Whether `.own` was locked and not let go of."""
        return self._own is not None

    @property
    def is_spilled(self) -> bool:
        """Whether the journal of a shared run is written on this host's own disk."""
        return self._folder != self._run.journals

    def claim(self) -> None:
        """Lock `.own`, unless that was done. OSError."""
        if self._own is not None:
            return
        if self._run.is_shared and self._spool is not None:
            self._folder = add_spill_folder(self._run, self._spool)
        self._folder.mkdir(parents=True, exist_ok=True)
        # A new name each time: what was interrupted here may have left its lock behind.
        self.uuid = os.urandom(16).hex()
        self._own = Ownership(self.own)

    def begin(self, folder: Path | None = None) -> Journal:
        """Begin the next segment, in `folder` where that is another one; close the one before."""
        journal = self._create(folder or self._folder)
        old, self.journal = self.journal, journal
        self.number += 1
        if old is not None:
            self._close(old)
        return journal

    def _create(self, folder: Path) -> Journal:
        path = folder / f"{self.uuid}.{self.number + 1}.journal"
        try:
            return self._create_at(path)
        except FileExistsError:
            path.unlink()  # it was interrupted while it was made, so no row is in it
            return self._create_at(path)

    def _create_at(self, path: Path) -> Journal:
        if self._run.is_shared and not self.is_spilled:
            return NetworkJournal(path)
        return create_journal(path, self._medium)

    def _close(self, journal: Journal) -> None:
        journal.close(trim=True)
        if isinstance(journal, NetworkJournal):
            self._closed.append(journal)
        else:
            self._unsynced.append(journal.path)

    def sync(self, lock: threading.RLock) -> None:
        """Put all of it on the disk itself, holding `lock` only to see what there is. OSError."""
        with lock:
            unsynced, number = list(self._unsynced), self.number
            sync_journal = self.journal.syncing() if self.journal is not None else None
        if sync_journal is not None:
            sync_journal()
        for path in unsynced:
            sync_path(path)
        if number != self._listed:
            for folder in (self._folder, *list(self._folder.parents)[:4]):
                sync_path(folder)
            self._listed = number
        self._unsynced = self._unsynced[len(unsynced) :]
        if not self.is_lost:
            self._closed.clear()

    def look(self, *, afresh: bool) -> None:
        """See whether another host has removed the files, without the lock: `NetworkJournal`."""
        for journal in self._network_journals():
            journal.look(afresh=afresh)

    @property
    def is_lost(self) -> bool:
        """Whether rows may be in no file."""
        return any(journal.is_lost for journal in self._network_journals())

    def _network_journals(self) -> list[NetworkJournal]:
        journal = self.journal
        return [*self._closed, *([journal] if isinstance(journal, NetworkJournal) else [])]

    def restore(self) -> None:
        """Begin a segment with the rows of those that are lost, and of all after them.

        Raises:
            OSError: the disk takes nothing; to be called again.
        """
        lost = list(dropwhile(lambda journal: not journal.is_lost, self._network_journals()))
        own = Ownership(self.own)
        self.release()
        self._own = own
        journal = self._create(self._folder)
        assert isinstance(journal, NetworkJournal)
        journal.inherit(b"".join(old.remains()[len(MAGIC) :] for old in lost))
        for old in lost:
            old.is_replaced = True
        self.number += 1
        self._closed.clear()
        last, self.journal = self.journal, journal
        if last is None:
            self.close()
        else:
            last.close(trim=False)

    def note(self, facts: dict[str, Any]) -> None:
        """Leave word in `.own` that `store status` of other processes can read."""
        if self._own is not None:
            self._own.note(facts)

    def close(self) -> None:
        """Nothing more will be written."""
        if self.journal is not None:
            self._close(self.journal)
            self.journal = None

    def release(self) -> None:
        """Let go of `.own`."""
        own, self._own = self._own, None
        if own is not None:
            own.release()

    def abandon(self) -> None:
        """In a forked child: close the copies, and leave the parent's file and lock as they are."""
        if self.journal is not None:
            self.journal.close(trim=False)
        if self._own is not None:
            self._own.abandon()
            self._own = None
