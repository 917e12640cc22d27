"""Which runs of a store may have changed: one pass over its folders, three stats a run.

In shared mode two lists take the place of the stats, which may be old there: which snapshots and
which journals there are. Names do not come back with another content, so no clock matters.

A stamp is made of the times and sizes of run.db and run.db-wal and the time of the journals
folder. Clocks of disks tick: what changed in the same tick in which it was looked at may change
again without another stamp, so such a stamp is not kept. A store into a memory-mapped journal
changes no stamp at all: runs that have journals are looked into, at the bookmark of the last fold.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from store.journal import HEADER, MAGIC
from store.ownership import Life, writer_life
from store.paths import RunFolder, StoreFolder

TICK_NS: Final = 100_000_000
COARSE_TICK_NS: Final = 2_100_000_000
"""On disks that keep whole seconds (FAT: two of them)."""


class Seen(NamedTuple):
    """A run as its files look; `newest` is the latest of their times, in ns."""

    stamp: str
    size: int
    newest: int


Mark = tuple[int, int, str]
"""How far a journal was folded (segment, offset), and whether its writer lived."""


def scan_store(store: StoreFolder) -> Iterator[tuple[str, Seen]]:
    """(key, what its files look like) of every run."""
    homes = store.homes
    for entity in _folders(os.fspath(store.path)):
        for project in _folders(entity.path):
            for run in _folders(project.path):
                key = f"{entity.name}/{project.name}/{run.name}"
                seen = _scan(run.path) if homes is None else _scan_shared(run.path, homes / key)
                if seen is not None:
                    yield key, seen


def _folders(path: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(path) as entries:
            return [e for e in entries if not e.name.startswith(".") and e.is_dir()]
    except OSError:
        return []


def scan_run(run: RunFolder) -> Seen | None:
    """How the files of a run look; None where there is no run."""
    path = os.fspath(run.path)
    return _scan_shared(path, run.home) if run.is_shared else _scan(path)


def _scan_shared(path: str, home: Path) -> Seen | None:
    names = [name for name in _names(path) if name == "journals" or name.endswith(".db")]
    if not names:
        return None
    journals = [name for name in _names(f"{path}/journals") if name.endswith(".journal")]
    size = 0
    with contextlib.suppress(OSError):
        size = os.stat(home / "run.db").st_size
    return Seen(" ".join(sorted(names) + sorted(journals)), size, 0)


def _names(path: str) -> list[str]:
    try:
        return os.listdir(path)
    except OSError:
        return []


def _scan(path: str) -> Seen | None:
    try:
        base = os.stat(f"{path}/run.db")
        stamp, size, newest = f"{base.st_mtime_ns},{base.st_size},{base.st_ino}", base.st_size, 0
        newest = base.st_mtime_ns
    except OSError:
        stamp, size, newest = "", 0, 0
    try:
        journals = os.stat(f"{path}/journals")
        stamp = f"{stamp};{journals.st_mtime_ns}"
        newest = max(newest, journals.st_mtime_ns)
    except OSError:
        if not stamp:
            return None
    try:
        log = os.stat(f"{path}/run.db-wal")
        # An empty log is one that a reader has open just now.
        if log.st_size:
            stamp = f"{stamp};{log.st_mtime_ns},{log.st_size}"
            size += log.st_size
            newest = max(newest, log.st_mtime_ns)
    except OSError:
        pass
    return Seen(stamp, size, newest)


def is_settled(seen: Seen, moment_ns: int) -> bool:
    """Whether a later change must show in the stamp; `moment_ns`: when the stamp was taken."""
    tick = TICK_NS if seen.newest % 1_000_000_000 else COARSE_TICK_NS
    return seen.newest + tick < moment_ns


Segments = dict[str, list[tuple[int, Path]]]


def lives(run: RunFolder, segments: Segments, others: Iterable[str] = ()) -> dict[str, Life]:
    """Which writers live, of those that have a journal; `others` have none and are unknown."""
    found: dict[str, Life] = dict.fromkeys(others, "unknown")
    for uuid in segments:
        found[uuid] = writer_life(run, uuid)
    return found


def is_quiet(run: RunFolder, marks: dict[str, Mark], *, ask_lives: bool = True) -> bool:
    """Whether the journals of a run hold nothing that was not folded, and no writer died."""
    segments = run.segments()
    if segments.keys() != marks.keys():
        return False
    for uuid, listed in segments.items():
        life = marks[uuid][2]
        # First the life: what a dead writer has written is all there when it is found dead.
        if ask_lives and (life == "unknown" or writer_life(run, uuid) != life):
            return False
        if _goes_on(listed, marks[uuid]):
            return False
    return True


def has_grown(run: RunFolder, marks: dict[str, Mark]) -> bool:
    """Whether more was written to one of the journals that were folded."""
    segments = run.segments()
    return any(_goes_on(segments[uuid], marks[uuid]) for uuid in marks if uuid in segments)


def _goes_on(listed: list[tuple[int, Path]], mark: Mark) -> bool:
    """Whether the segments of a writer hold more than was folded."""
    (number, path), (segment, offset, _) = listed[-1], mark
    return number != segment or has_more(path, offset)


def has_more(path: Path, offset: int) -> bool:
    """Whether bytes that may be a frame follow `offset`."""
    try:
        with open(path, "rb", buffering=0) as file:
            file.seek(offset or len(MAGIC))
            header = file.read(HEADER.size)
    except OSError:
        return True
    return len(header) == HEADER.size and HEADER.unpack(header)[0] != 0


def size_of(segments: Segments) -> int:
    """The bytes of the journals."""
    total = 0
    for listed in segments.values():
        for _, path in listed:
            try:
                total += path.stat().st_size
            except OSError:
                continue
    return total
