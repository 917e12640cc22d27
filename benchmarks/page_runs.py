"""The runs that `pages.py` looks at, put into a store as training processes leave them."""

from __future__ import annotations

from typing import Final

from page_values import Scale, values_of

from store.database import RunDatabase
from store.paths import StoreFolder
from store.row import Kind, Row

BEGAN: Final = 1_760_000_000.0
AT_ONCE: Final = 20_000


def make_runs(store: StoreFolder, entity: str, scale: Scale) -> None:
    """All runs of a scale."""
    for run in range(scale.runs):
        _make_run(store, entity, scale, run)


def _make_run(store: StoreFolder, entity: str, scale: Scale, run: int) -> None:
    folder = store.run(entity, scale.project, f"run-{run:04}")
    folder.path.mkdir(parents=True)
    database, uuid = RunDatabase(folder.database), f"{run:032x}"
    config = {"lr": 10 ** -(1 + run % 40 / 10), "layers": 2 + run % 5, "optimizer": "adam"}
    rows = [
        Row(1, int(Kind.OPEN), 0, BEGAN, {"host": "bench", "pid": 1, "label": None}),
        Row(2, int(Kind.CONFIG), 0, BEGAN, config),
    ]
    try:
        for number, values in enumerate(values_of(run, scale.steps), 3):
            step = number - 3
            rows.append(Row(number, int(Kind.METRIC), step, BEGAN + step / 10, values))
            if len(rows) >= AT_ONCE:
                database.absorb(uuid, rows)
                rows = []
        end = BEGAN + scale.steps / 10
        ending = {"state": "finished", "exit_code": 0}
        database.absorb(uuid, [*rows, Row(scale.steps + 3, int(Kind.END), 0, end, ending)])
    finally:
        database.close()
