"""Segments: the files of one writer, its `.own` and its journal, one segment after the other.

`.own` is locked before the first segment exists, and let go of after the last one was closed. In
a shared store with a spool folder both lie on this host's own disk, from where `store.carry`
brings the journal to the store. Calls are made under the writer's lock, but for `sync`.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

from store.journal import AppendJournal, Journal, create_journal, sync_path
from store.ownership import Ownership
from store.paths import RunFolder
from store.spills import add_spill_folder


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
        path = (folder or self._folder) / f"{self.uuid}.{self.number + 1}.journal"
        # Other hosts see nothing of what is stored into a mapping.
        medium = "write" if self._run.is_shared and not self.is_spilled else self._medium
        try:
            journal = create_journal(path, medium)
        except FileExistsError:
            path.unlink()  # it was interrupted while it was made, so no row is in it
            journal = create_journal(path, medium)
        old, self.journal = self.journal, journal
        self.number += 1
        if old is not None:
            self._unsynced.append(old.path)
            old.close(trim=True)
        return journal

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

    def restore(self) -> bool:
        """Put a journal back that another host removed; False when it was not.

        Raises:
            OSError: its content is not to be had any more.
        """
        journal = self.journal
        if not isinstance(journal, AppendJournal) or not journal.is_gone():
            return False
        self.release()
        self._own = Ownership(self.own)
        journal.restore()
        return True

    def note(self, facts: dict[str, Any]) -> None:
        """Leave word in `.own` that `store status` of other processes can read."""
        if self._own is not None:
            self._own.note(facts)

    def close(self) -> None:
        """Nothing more will be written."""
        if self.journal is not None:
            self._unsynced.append(self.journal.path)
            self.journal.close(trim=True)
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
