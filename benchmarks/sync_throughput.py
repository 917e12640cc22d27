"""What sending costs: `store sync` to `store serve` on loopback, each in a process of its own.

Rows are a walk of float32 values, so that they compress as real metrics do. *absorb alone* is
`RunDatabase.absorb` of the same rows, in batches of the same size that are as durable, in this
process: what any way to bring rows into a run's database costs at least.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from math import inf
from pathlib import Path
from random import Random
from struct import Struct
from typing import Any, Final, NamedTuple

from measure import (
    Figure,
    middle,
    number,
    print_figures,
    print_machine,
    print_table,
    scratch_folder,
    use_folder,
)
from sync_peers import HEADS as PEER_HEADS
from sync_peers import peer_lines
from sync_sides import CountingProxy, Server, Side, serving, sync
from sync_watch import measure_watch

from store.database import RunDatabase
from store.paths import RunFolder, StoreFolder, create_store
from store.row import Kind
from store.sync.outgoing import ROWS

CHUNK: Final = 50_000
"""Values that are made at once: the parent stays small."""
KILLS: Final = 5
FIRST_TIME: Final = 1_700_000_000.0
Fields = tuple[int, int, int, float, dict[str, float]]


class Load(NamedTuple):
    """What is sent: `runs` runs of `rows` rows of `metrics` numbers."""

    runs: int
    rows: int
    metrics: int
    jobs: int = 4

    def __str__(self) -> str:
        runs = "one run" if self.runs == 1 else f"{self.runs} runs, --jobs {self.jobs}"
        return f"{runs}, {self.rows:,} x {self.metrics:,}"

    @property
    def all_rows(self) -> int:
        return self.runs * self.rows

    @property
    def points(self) -> int:
        return self.all_rows * self.metrics


# -- rows --------------------------------------------------------------------------------------


def make_rows(load: Load, seed: int) -> Iterator[list[Fields]]:
    """The rows of a run, in chunks, numbered from 2 on: a walk of float32 a metric."""
    source = Random(seed)
    names = [f"metric/{n}" for n in range(load.metrics)]
    form = Struct(f"<{load.metrics}f")
    state = [source.random() for _ in names]
    step = max(1, CHUNK // load.metrics)
    for first in range(0, load.rows, step):
        chunk: list[Fields] = []
        for place in range(first, min(first + step, load.rows)):
            state = [value + source.gauss(0.0, 0.01) for value in state]
            rounded = form.unpack(form.pack(*state))
            moment = FIRST_TIME + place * 0.1 + source.random() * 0.01
            row = dict(zip(names, rounded, strict=True))
            chunk.append((place + 2, int(Kind.METRIC), place, moment, row))
        yield chunk


def build(folder: Path, load: Load) -> StoreFolder:
    """A store of finished runs."""
    store = create_store(folder)
    for seed in range(load.runs):
        run = store.run("local", "bench", f"run{seed:05}")
        run.path.mkdir(parents=True)
        fill(run, load, seed)
    return store


def fill(run: RunFolder, load: Load, seed: int) -> None:
    """Write one finished run."""
    uuid = f"{seed + 1:032x}"
    opening = {"host": "host", "pid": 1, "label": None, "store": "", "parent": None}
    database = RunDatabase(run.database)
    database.execute("PRAGMA synchronous = OFF")
    database.absorb(uuid, [(1, int(Kind.OPEN), 0, FIRST_TIME, opening)])
    for chunk in make_rows(load, seed):
        database.absorb(uuid, chunk)
    end = {"state": "finished", "exit_code": 0}
    last = load.rows + 2
    database.absorb(uuid, [(last, int(Kind.END), load.rows, FIRST_TIME, end)])
    with database.transaction():
        database.end_sources([uuid])
    database.close()


def absorb_alone(folder: Path, load: Load) -> float:
    """CPU seconds of absorbing the load, opening and closing the databases included."""
    spent = 0.0
    for seed in range(load.runs):
        began = time.process_time()
        database = RunDatabase(folder / f"{seed}.db")
        spent += time.process_time() - began
        for chunk in make_rows(load, seed):
            parts = [chunk[n : n + ROWS] for n in range(0, len(chunk), ROWS)]
            began = time.process_time()
            for part in parts:
                numbered = part if part[0][0] > 2 else [_first(), *part]
                database.absorb(f"{seed + 1:032x}", numbered, durable=True)
            spent += time.process_time() - began
        began = time.process_time()
        database.close()
        spent += time.process_time() - began
    return spent


def _first() -> tuple[int, int, int, float, dict[str, Any]]:
    return (1, int(Kind.EVENT), 0, FIRST_TIME, {})


# -- one load ----------------------------------------------------------------------------------


class Pass(NamedTuple):
    """One sync of a load. Seconds and MB; `idle` is a client's CPU that has nothing to send."""

    seconds: float
    client: Side
    server: Side
    idle: float
    wire: int
    alone: float


def send(load: Load, *options: object, alone: bool = True) -> Pass:
    """Build the load, send it to a new server, and absorb it alone."""
    with scratch_folder() as folder:
        build(folder / "store", load)
        with serving(folder / "server", *options) as server:
            proxy = CountingProxy(server.port)
            before = server.side()
            done = sync(folder / "store", proxy.url, server.key, "--jobs", load.jobs)
            wire, after = proxy.sent, server.side()
            idle = sync(folder / "store", proxy.url, server.key).side.cpu
            proxy.close()
        return Pass(
            *(done.seconds, done.side, Side(after.cpu - before.cpu, after.peak), idle, wire),
            absorb_alone(folder, load) if alone else float("nan"),
        )


HEADS: Final = (
    *("load", "rows/s", "points/s", "client us/row", "server us/row", "both us/row"),
    *("absorb alone us/row", "both / absorb", "less its start", "bytes/point"),
    *("client MB", "server MB"),
)


def measure_load(load: Load, rounds: int, *options: object) -> dict[str, float]:
    """The median of each column of the table over some rounds."""
    found = middle([_columns(load, send(load, *options)) for _ in range(rounds)])
    return {head: found[head] for head in HEADS[1:]}


def _columns(load: Load, found: Pass) -> dict[str, float]:
    both = found.client.cpu + found.server.cpu
    values = (
        *(load.all_rows / found.seconds, load.points / found.seconds),
        *(cpu / load.all_rows * 1e6 for cpu in (found.client.cpu, found.server.cpu, both)),
        found.alone / load.all_rows * 1e6,
        *(both / found.alone, (both - found.idle) / found.alone),
        found.wire / load.points,
        *(found.client.peak, found.server.peak),
    )
    return dict(zip(HEADS[1:], values, strict=True))


# -- being interrupted -------------------------------------------------------------------------


def interrupted(load: Load) -> list[Figure]:
    """A client is killed in mid-batch, again and again; what goes twice then, in rows."""
    with scratch_folder() as folder:
        store = build(folder / "store", load)
        with serving(folder / "server") as server:
            whole = _bytes(store, server)
        _forget(store)
        with serving(folder / "server-2") as server:
            kills = 0
            proxy = CountingProxy(server.port)
            for part in range(1, KILLS + 1):
                proxy.limit = whole * part // (KILLS + 1)
                kills += sync(store.path, proxy.url, server.key, kill_if=proxy.is_cut).code != 0
            proxy.limit = inf
            sync(store.path, proxy.url, server.key)
            twice = (proxy.sent - whole) / whole * load.rows / KILLS
            proxy.close()
    what = f"rows sent twice for each of {kills} kills"
    return [Figure(what, max(0.0, twice), "rows", float(ROWS), "by the bytes that went")]


def _bytes(store: StoreFolder, server: Server) -> int:
    proxy = CountingProxy(server.port)
    sync(store.path, proxy.url, server.key)
    proxy.close()
    return proxy.sent


def _forget(store: StoreFolder) -> None:
    """Take the cursors away, as if nothing had ever been sent."""
    for run in store.runs():
        database = RunDatabase(run.database)
        database.execute("DELETE FROM cursor")
        database.close()


# -- the command line --------------------------------------------------------------------------


def figures_of(found: dict[Load, dict[str, float]]) -> list[Figure]:
    """What has an aim, of the loads that were measured."""
    one, many, *_ = found.values()
    return [
        Figure("both sides / absorb alone, one run", one["both / absorb"], "x", 2.5),
        Figure("the same, less the client's start", one["less its start"], "x", 2.5),
        Figure("bytes a point, one run", one["bytes/point"], "bytes", 6.0),
        Figure(
            "us for a point, many runs (300,000 a second)", 1e6 / many["points/s"], "us", 1 / 0.3
        ),
    ]


def measure(quick: bool, rounds: int, jobs: int, processes: int) -> list[Figure]:
    """The loads, the table, and the figures with their aims."""
    part = 10 if quick else 1
    loads = [
        Load(1, 100_000 // part, 10),
        Load(200 // part, 1_000, 10, jobs),
        Load(1, 200 // (2 if quick else 1), 1_000),
    ]
    options = ("--processes", processes) if processes > 1 else ()
    found = {load: measure_load(load, rounds, *options) for load in loads}
    lines = [[str(load), *map(number, columns.values())] for load, columns in found.items()]
    print_table("store sync to store serve", HEADS, lines)
    return [*figures_of(found), *interrupted(Load(1, 100_000 // part, 10))]


def measure_long() -> list[Figure]:
    """The memory that a run of ten million points takes."""
    found = send(Load(1, 1_000_000, 10), alone=False)
    return [
        Figure("client, 10 M points", found.client.peak, "MB", 100.0),
        Figure("server, 10 M points", found.server.peak, "MB", 100.0),
    ]


def print_peers(count: int) -> None:
    """The table of what peers take for rows of the same kind."""
    chunks = make_rows(Load(1, count, 10), 0)
    with scratch_folder() as folder:
        lines = peer_lines([row[-1] for chunk in chunks for row in chunk], folder)
    print_table("Peers, ten metrics a row", PEER_HEADS, lines)


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the rows")
    parser.add_argument("--rounds", type=int, default=1, help="rounds (default 1)")
    parser.add_argument("--jobs", type=int, default=8, help="of the client, for many runs")
    parser.add_argument("--only", action="store_true", help="what --long, --watch, --peers add")
    parser.add_argument("--processes", type=int, default=1, help="of the server")
    parser.add_argument("--long", action="store_true", help="also memory, with 10 M points")
    parser.add_argument("--watch", action="store_true", help="also --watch over 1,000 runs")
    parser.add_argument("--peers", action="store_true", help="also wandb sync, and mlflow")
    parser.add_argument("--dir", type=Path, help="folder on the disk to be measured")
    chosen = parser.parse_args()
    use_folder(chosen.dir)
    print_machine()
    figures: list[Figure] = []
    if not chosen.only:
        figures += measure(chosen.quick, chosen.rounds, chosen.jobs, chosen.processes)
    if chosen.long:
        figures += measure_long()
    if chosen.watch:
        stored = 100 if chosen.quick else 1_000
        small = Load(stored, 5, 2)
        figures += measure_watch(lambda folder: build(folder, small), stored, 20)
    if chosen.peers:
        print_peers(1_000 if chosen.quick else 10_000)
    if figures:
        print_figures("Sync against its aims", figures)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
