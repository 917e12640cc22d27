"""Backlog: the rows that wait in memory for a disk that takes none, oldest first.

A row leaves only once the journal's last number shows that it is in there, so that an exception
between the two (a signal handler's) neither loses nor doubles it. All calls are made under the
writer's lock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from store.journal import Journal
from store.row import packb

Warn = Callable[[str, str], None]
"""warn(kind, message): shown once per kind."""

RETRY_SECONDS: Final = 0.05
"""A try costs a few system calls, which no loop is to pay for each of its rows."""


class WaitingRow(NamedTuple):
    """A row that has no number yet, and the bytes that it is counted with."""

    kind: int
    step: int
    time: float
    data: Mapping[str, Any]
    size: int


class Backlog:
    """A line of rows of at most `limit` bytes, and what is said of the disk that they wait for."""

    def __init__(self, limit: int, spool: Path | None, path: Path, warn: Warn) -> None:
        """`path` is the run's folder, for the warnings."""
        self._spool = spool
        self._limit = limit
        self._path = path
        self._warn = warn
        self._rows: deque[WaitingRow] = deque()
        self._bytes = 0
        self._try_at = 0.0
        self._tried: tuple[WaitingRow, int] | None = None

    def __len__(self) -> int:
        return len(self._rows)

    def add(
        self, kind: int, step: int, time: float, data: Mapping[str, Any], *, tried: int = 0
    ) -> bool:
        """Put a row at the end; False when it was dropped because the line is full.

        `tried`: the number under which the first row of the line may be in the journal, if any.
        """
        size = len(packb((kind, step, time, data)))
        if self._bytes + size > self._limit:
            self._warn(
                "dropped",
                f"the waiting line of {self._limit} bytes is full: rows are lost "
                "until the disk takes the waiting ones",
            )
            return False
        if not self._rows:
            self._try_at = time + RETRY_SECONDS
        row = WaitingRow(kind, step, time, dict(data), size)
        if tried and not self._rows:
            self._tried = (row, tried)
        self._rows.append(row)
        self._bytes += size
        return True

    def is_due(self, now: float) -> bool:
        """Whether it is time to try the disk again; then not before RETRY_SECONDS have passed."""
        if now < self._try_at:
            return False
        self._try_at = now + RETRY_SECONDS
        return True

    def take(self, number: int) -> WaitingRow | None:
        """The row to be written as `number` + 1, the journal's last row being `number`.

        The row that was given out before is let go of when it has got its number, and given out
        again when it has not.
        """
        tried = self._tried
        if tried is not None and self._rows and tried[0] is self._rows[0] and tried[1] <= number:
            self._rows.popleft()
            self._bytes -= tried[0].size
        if not self._rows:
            self._tried = None
            return None
        self._tried = (self._rows[0], number + 1)
        return self._rows[0]

    def spool_beside(self, journal: Journal | None) -> Path | None:
        """The spool folder, when there is one and `journal` is not in it yet."""
        spool = self._spool
        if spool is not None and journal is not None and journal.path.is_relative_to(spool):
            return None
        return spool

    def tell_spilled(self, error: OSError) -> None:
        self._warn(
            "spool",
            f"cannot write to {self._path} ({error.strerror or error}): "
            f"rows go to {self._spool} for now",
        )

    def tell_waiting(self, error: OSError) -> None:
        self._warn(
            "disk",
            f"cannot write to {self._path} ({error.strerror or error}): rows wait in memory "
            "and are at risk until the disk takes them",
        )
