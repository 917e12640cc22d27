"""Pace: how often the watch looks where, so that a new row goes soon and the disk has rest.

On a disk of our own, folders are asked for their times at each tick, for a new run changes that of
its project, and all runs at each scan. On a shared disk an answer costs the file server work and
may be old: one list tells at each tick which runs have a living writer, and the others, which only
a pull or a copy can change, are looked at every few minutes.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final, Protocol

from store.paths import RunFolder, StoreFolder
from store.scan import Seen, is_settled
from store.shared import live

SCAN_SECONDS: Final = 1.5
"""Between two looks at all runs, at least."""
SCAN_MOST_SECONDS: Final = 10.0
SCAN_SHARE: Final = 0.01
"""The part of a core that these looks may take, unless they are further apart than that then."""
SHARED_TICK_SECONDS: Final = 5.0
SHARED_SCAN_SECONDS: Final = 300.0


class Pace(Protocol):
    """When to list the runs, and which of them to look into."""

    tick: float
    """Seconds between two looks at what is being written."""

    def listed(self, runs: Iterable[RunFolder]) -> None:
        """The runs that there are, as they were just listed."""
        ...

    def is_changed(self) -> bool:
        """Whether a run may have come since. To be called once at each tick."""
        ...

    def is_due(self, key: str, *, has_journals: bool) -> bool:
        """Whether to look into a run at this tick."""
        ...

    def until_scan(self, spent: float) -> float:
        """Seconds until all runs are looked at again, when that took `spent` seconds of a core."""
        ...


def pace_of(runs: Iterable[RunFolder]) -> Pace:
    """The pace for runs, all of which lie in stores of one mode."""
    run = next(iter(runs), None)
    return SharedPace() if run is not None and run.is_shared else LocalPace()


class LocalPace:
    """For stores on a disk of this host."""

    tick = 0.5

    def __init__(self) -> None:
        self._times: dict[Path, int | None] = {}

    def listed(self, runs: Iterable[RunFolder]) -> None:
        times = {path: _settled_time_of(path) for path in self._times}
        for run in runs:
            for path in run.path.parents[:3]:
                times.setdefault(path, None)
        self._times = times

    def is_changed(self) -> bool:
        return any(_time_of(path) != seen for path, seen in self._times.items())

    def is_due(self, key: str, *, has_journals: bool) -> bool:  # noqa: ARG002
        return has_journals

    def until_scan(self, spent: float) -> float:
        return max(SCAN_SECONDS, min(spent / SCAN_SHARE, SCAN_MOST_SECONDS))


class SharedPace:
    """For stores that other hosts write to."""

    tick = SHARED_TICK_SECONDS

    def __init__(self) -> None:
        self._stores: dict[Path, StoreFolder] = {}
        self._listed: set[str] = set()
        self._live: set[str] = set()
        self._due: set[str] = set()

    def listed(self, runs: Iterable[RunFolder]) -> None:
        for run in runs:
            self._listed.add(run.key)
            if run.store is not None:
                self._stores[run.store.path] = run.store

    def is_changed(self) -> bool:
        before, self._live = self._live, set().union(*map(live.marked, self._stores.values()))
        # One that has ended since the last tick may have logged something before that.
        self._due = self._live | before
        return not self._live <= self._listed

    def is_due(self, key: str, *, has_journals: bool) -> bool:  # noqa: ARG002
        return key in self._due

    def until_scan(self, spent: float) -> float:  # noqa: ARG002
        return SHARED_SCAN_SECONDS


def _time_of(path: Path) -> int:
    """When something last came into a folder or went, in ns; 0 where it is not there."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _settled_time_of(path: Path) -> int | None:
    """The same, before a look into the folder; None where a change may still come to it unseen."""
    moment = time.time_ns()
    seen = _time_of(path)
    return seen if is_settled(Seen("", 0, seen), moment) else None
