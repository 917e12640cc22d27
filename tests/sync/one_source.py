"""Rows of one source of every kind, and stretches of them as they travel."""

from __future__ import annotations

from typing import Final

from store.paths import RunFolder
from store.row import Kind
from store.sync.wire import Section
from tests.stored_runs import metric, rows_of
from tests.sync.batches import batch_of, by_wire, stretches_of

A: Final = "a" * 32
ROWS: Final = rows_of(
    (Kind.CONFIG, 0, {"lr": 0.1}),
    *(metric(n, {"loss": 1.0 / (n + 1), "n": n}) for n in range(20)),
    (Kind.CONSOLE, 0, {"stream": "stdout", "text": "hello"}),
    metric(20, {"note": "text", "image": {"_type": "image"}}),
)


def rows(origin: RunFolder, first: int, last: int) -> Section:
    """Rows `first` to `last` of source A of a run, as they travel."""
    section = next(stretches_of(origin, A, first - 1, last - first + 1))
    return by_wire(batch_of(section)).sections[0]
