"""Series that were read, kept while they are drawn and as far as memory should go.

A live series that takes long to read is read less often: reading takes a twentieth of the time.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Final, NamedTuple

from store.outline import MetricKey, RunLine
from store.series import Series, read_series
from store.summarize import read_definitions

BUDGET: Final = 4_000_000
"""Points that are kept, at 24 bytes or more."""
SHARE: Final = 20.0


class _Kept(NamedTuple):
    series: Series
    points: int
    due: float


class Points:
    """The series of runs, by the runs' numbers in the catalogue and the names of metrics."""

    def __init__(self) -> None:
        self._kept: dict[tuple[int, str], _Kept] = {}

    def read(
        self,
        line: RunLine,
        logged: Sequence[MetricKey],
        names: Sequence[str],
        opened: Callable[[], AbstractContextManager[sqlite3.Connection]],
    ) -> dict[str, Series]:
        """The series of those metrics, read again where points were added; `opened` opens the run.

        Raises whatever reading a run may.
        """
        metrics = {metric.key: metric for metric in logged}
        wanted = [name for name in names if name in metrics]
        now = time.monotonic()
        old = [name for name in wanted if self._is_old(line, metrics[name], now)]
        if old:
            with opened() as connection:
                definitions = read_definitions(connection)
                series = [
                    read_series(connection, name, None, definitions.of(name).step_metric)
                    for name in old
                ]
            ended = time.monotonic()
            due = ended + SHARE * (ended - now)
            for name, points in zip(old, series, strict=True):
                self._kept[line.n, name] = _Kept(points, metrics[name].points, due)
        found = {}
        for name in wanted:
            kept = self._kept.pop((line.n, name))
            self._kept[line.n, name] = kept  # the latest used at the end
            found[name] = kept.series
        self._drop(len(wanted))
        return found

    def _is_old(self, line: RunLine, metric: MetricKey, now: float) -> bool:
        kept = self._kept.get((line.n, metric.key))
        if kept is None:
            return True
        # A run that has ended is read to its end at once.
        return kept.points != metric.points and (now >= kept.due or line.state != "running")

    def _drop(self, needed: int) -> None:
        total = sum(len(kept.series) for kept in self._kept.values())
        for key in list(self._kept)[: max(0, len(self._kept) - needed)]:
            if total <= BUDGET:
                break
            total -= len(self._kept.pop(key).series)
