"""Runs for charts: long, with gaps, over epochs, many of them; on a server where all may read."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from store.paths import RunFolder, StoreFolder, create_store
from store.row import Kind, Row
from tests.servers import accounts_of, running_server
from tests.stored_runs import BEGAN, Said, absorb, metric, rows_of

LONG: Final = 12_000
HOSTILE: Final = "<img src=x onerror=\"document.title='hacked'\">"
ODD: Final = ("a,b 50%2C", "a")
MODELS: Final = ("cnn", "mlp", "vit")


@dataclass
class Charts:
    """The server's address, and its store, into which more may be put."""

    url: str
    store: StoreFolder

    def run(self, run_id: str) -> str:
        return f"{self.url}/ann/charts/runs/{run_id}"

    def compare(self, *runs: str) -> str:
        return f"{self.url}/ann/charts/compare?runs={','.join(runs)}"


def loss_at(step: int) -> float:
    return math.exp(-step / 9000) + 0.1 * math.sin(step)


def gappy(step: int) -> float:
    return {20: math.nan, 21: math.nan, 40: math.inf}.get(step, float(step))


@contextlib.contextmanager
def chart_server(base: Path) -> Iterator[Charts]:
    """A server with the public projects ann/charts and ann/odd."""
    store = create_store(base / "data")
    with accounts_of(base / "data") as accounts:
        accounts.create_user("ann")
        accounts.set_visibility("ann", "charts", "public")
        accounts.set_visibility("ann", "odd", "public")

    def put(name: str, *said: Said) -> None:
        absorb(store.run("ann", "charts", name), rows_of(*said))

    long = [metric(n, {"train/loss": loss_at(n), "train/acc": 1 - loss_at(n)}) for n in range(LONG)]
    put("long", *long)
    put("gaps", *(metric(n, {"y": gappy(n), HOSTILE: n}) for n in range(60)))
    put("wide", metric(0, {f"section{n // 20}/m{n}": n for n in range(80)}))
    define = (Kind.ATTRIBUTE, 0, {"define/val/*": {"step_metric": "epoch"}})
    put(
        "epochs", define, *(metric(n * 10, {"val/loss": 1 / (n + 1), "epoch": n}) for n in range(9))
    )
    for name in ODD:
        absorb(store.run("ann", "odd", name), rows_of(*_one_of_many(0)))
    for rank in range(2):
        _put_writer(store.run("ann", "charts", "ranks"), rank, BEGAN, label=f"rank-{rank}")
        _put_writer(store.run("ann", "charts", "resumed"), rank, BEGAN + 1000 * rank)
    for n in range(6):
        put(f"r{n}", *_one_of_many(n))
    with running_server(base / "data") as server:
        yield Charts(server.url, store)


def _put_writer(run: RunFolder, rank: int, at: float, label: str | None = None) -> None:
    said = [metric(n, {"loss": 10.0 * rank + n, f"only/{rank}": n}) for n in range(20)]
    absorb(run, rows_of(*said, at=at, label=label), str(rank) * 32)


def _one_of_many(n: int) -> list[Said]:
    config = {"lr": 10.0**-n, "model": MODELS[n % 3], "epochs": 5}
    said: list[Said] = [
        (Kind.ATTRIBUTE, 0, {"name": f"run {n}"}),
        (Kind.CONFIG, 0, config),
    ]
    return [*said, *(metric(step, {"loss": n + 1 / (step + 1)}) for step in range(50))]


def grow(run: RunFolder, first: int, last: int) -> None:
    """Rows of a run that goes on now: numbers `first` to before `last`, with key "live"."""
    now = time.time()
    rows = [
        Row(n, int(Kind.METRIC), n, now, {"live": float(n)}) for n in range(max(2, first), last)
    ]
    if first == 1:
        rows.insert(0, Row(1, int(Kind.OPEN), 0, now, {"host": "h", "pid": 1, "label": None}))
    absorb(run, rows)
