"""Carry: bring journals that were written on this host's own disk to the store they belong to.

With settings.spool, the writers of a shared store log to a local disk, which no hung file server
holds up. Their segments are appended to equal ones on the share, frame by frame and synced, by
whichever process of this host holds the lock for that, so that each file on the share
still has one writer at a time. A spilled segment goes once all of it is there and its writer is
over: its `.own` is free.
"""

from __future__ import annotations

import os
from pathlib import Path

from store.journal import MAGIC, read_frames
from store.locks import try_lock
from store.ownership import life_of
from store.paths import RunFolder, segments_in
from store.shared.spills import drop_spill_folders, spill_folders


def carry(run: RunFolder) -> bool:
    """Carry what there is; False when another process is doing so.

    Raises:
        OSError: the share, or the local disk, does not take part.
    """
    folders = spill_folders(run)
    if not folders:
        return True
    with try_lock(run.home / "carry.lock") as alone:
        if alone:
            for folder in folders:
                _carry_folder(run, folder)
            drop_spill_folders(run)
        return alone


def _carry_folder(run: RunFolder, folder: Path) -> None:
    for uuid in sorted({uuid for uuid, _, _ in segments_in(folder)}):
        own = folder / f"{uuid}.own"
        # First the life: what a writer that is over has written is all there when it is found so.
        over = own.exists() and life_of(own) == "dead"
        paths = sorted(path for found, _, path in segments_in(folder) if found == uuid)
        for path in paths:
            _carry_segment(path, run.journals / path.name)
        if over:
            for path in paths:
                path.unlink()
            own.unlink()


def _carry_segment(path: Path, target: Path) -> None:
    """Append to `target` the frames of `path` that it lacks, and put them on the disk itself."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with path.open("rb") as source, target.open("ab") as file:
        size = at = file.seek(0, os.SEEK_END)
        if size < len(MAGIC):
            file.truncate(0)
            at = 0
        while True:
            chunk = read_frames(path, at)
            if chunk.offset > at:
                source.seek(at)
                file.write(source.read(chunk.offset - at))
                at = chunk.offset
            if chunk.complete:
                break
        if at != size:
            file.flush()
            os.fsync(file.fileno())
