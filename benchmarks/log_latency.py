"""What log() costs: beside bare floors and other trackers, all in the same run of this script.

Each cell is a fresh interpreter, alone on the machine; the cells of a table are measured in turn,
round after round, and the medians of the rounds are shown, so that a busy minute falls on all of
them. Compare lines of one run; absolute times belong to the machine. See README.md beside this.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import costs
from measure import (
    Figure,
    Figures,
    middle,
    number,
    print_figures,
    print_machine,
    print_table,
    run_worker,
    scratch_folder,
    use_folder,
)
from peers import VERSIONS, run_peer

NEVER: Final = {"fold_interval": 3600.0, "fold_bytes": 2**40}
OFTEN: Final = {"fold_interval": 0.1, "fold_bytes": 50_000}
FLOOR: Final = "msgpack + write"
FLOORS: Final = {
    FLOOR: "msgpack",
    "msgpack + crc frame + write": "msgpack-crc",
    "sqlite, a commit a row (json)": "sqlite",
}
PEER_SECONDS: Final = 2.0
PEER_ROUNDS: Final = 2


class Cell(NamedTuple):
    """One line of a table: what is measured, and how."""

    label: str
    target: str
    shape: str = "floats"
    pace: str = "flat"
    rows: int = 20_000
    settings: dict[str, Any] = {}  # noqa: RUF012 - never changed

    def run(self) -> Figures | str:
        """Measure once; a text says why there is nothing."""
        job: dict[str, Any] = {"shape": self.shape, "pace": self.pace, "rows": self.rows}
        if self.target in VERSIONS:
            with scratch_folder() as folder:
                job |= {"seconds": PEER_SECONDS}
                found = run_peer(self.target, job, folder, timeout=180.0)
            return str(found["error"]) if "error" in found else found
        job |= {"seconds": 60.0, "settings": self.settings}
        return run_worker("log_worker.py", self.target, **job)


def store_cells(note: str, **options: Any) -> list[Cell]:
    """This tracker on both media of its journal."""
    settings = options.pop("settings", NEVER)
    return [
        Cell(f"store, {medium}{note}", "store", settings={**settings, "journal": medium}, **options)
        for medium in ("mmap", "write")
    ]


def floor_cells(**options: Any) -> list[Cell]:
    """The floors."""
    return [Cell(label, target, **options) for label, target in FLOORS.items()]


def peer_cells(peers: list[str], **options: Any) -> list[Cell]:
    """Peers, installed or not."""
    return [Cell(f"{peer} {VERSIONS[peer]}", peer, **options) for peer in peers]


def measure_cells(cells: Sequence[Cell], rounds: int) -> list[Figures | str]:
    """Medians of rounds over all cells, or why there are none. Peers get three rounds at most."""
    found: list[list[Figures]] = [[] for _ in cells]
    failed: dict[int, str] = {}
    for turn in range(rounds):
        for n, cell in enumerate(cells):
            if n in failed or (cell.target in VERSIONS and turn >= PEER_ROUNDS):
                continue
            one = cell.run()
            if isinstance(one, str):
                failed[n] = one
            else:
                found[n].append(one)
    return [failed[n] if n in failed else middle(some) for n, some in enumerate(found)]


HEADS: Final = ("target", "p50 us", "x floor", "p99 us", "max ms", "rows", "init s", "finish s")


def show(title: str, cells: Sequence[Cell], rounds: int) -> dict[str, Figures]:
    """Measure and print a table; gives the figures by label."""
    found = dict(zip([cell.label for cell in cells], measure_cells(cells, rounds), strict=True))
    figures = {label: one for label, one in found.items() if not isinstance(one, str)}
    floor = figures[FLOOR]["p50"] if FLOOR in figures else float("nan")
    lines = []
    for label, one in found.items():
        if isinstance(one, str):
            lines.append([label, one, *[""] * (len(HEADS) - 2)])
            continue
        times = (one["p50"], one["p50"] / floor, one["p99"], one["max"] / 1e3)
        lines.append([label, *map(number, (*times, one["rows"], one["init_s"], one["finish_s"]))])
    print_table(title, HEADS, lines)
    return figures


def show_latency(rounds: int, rows: int, peers: list[str]) -> None:
    """log() in every shape and at every pace, and its aims."""
    slow = max(500, rows // 10)
    options: dict[str, Any] = {"rows": rows}
    flat = show(
        "log(), 10 floats, one call after the other",
        [*floor_cells(**options), *store_cells("", **options), *peer_cells(peers, **options)],
        rounds,
    )
    shapes = ("nested", "numpy", "ints", "new-keys")
    show(
        "log(), other rows",
        [
            *floor_cells(**options)[:1],
            *(
                cell
                for shape in shapes
                for cell in store_cells(f", {shape}", shape=shape, rows=rows)
            ),
        ],
        rounds,
    )
    options = {"rows": slow // 2, "shape": "wide"}
    show(
        "log(), 1,000 floats",
        [*floor_cells(**options), *store_cells("", **options), *peer_cells(peers, **options)],
        rounds,
    )
    options = {"rows": slow, "pace": "cold"}
    cold = show(
        "log(), 10 floats, 8 MB read before each call",
        [*floor_cells(**options), *store_cells("", **options)],
        rounds,
    )
    options = {"rows": 2 * slow, "pace": "bound"}
    bound = show(
        "log(), 10 floats, 0.5 ms of Python a row",
        [
            *floor_cells(**options),
            *store_cells(", fold idle", **options),
            *store_cells(", fold running", settings=OFTEN, **options),
            *peer_cells(peers, **options),
        ],
        rounds,
    )
    print_figures("log() against its aims", latency_figures(flat, cold, bound))


def against(found: dict[str, Figures], label: str) -> float:
    """How many floors a line's p50 is."""
    return found[label]["p50"] / found[FLOOR]["p50"]


def latency_figures(
    flat: dict[str, Figures], cold: dict[str, Figures], bound: dict[str, Figures]
) -> list[Figure]:
    """The aims that log() has."""
    mmap, write = "store, mmap", "store, write"
    running = bound["store, mmap, fold running"]
    return [
        Figure("p50 of 10 floats, mmap", flat[mmap]["p50"], "us", 5.0),
        Figure("p50 of 10 floats, write", flat[write]["p50"], "us", 5.0),
        Figure("the same against the floor, mmap", against(flat, mmap), "x", 2),
        Figure("the same against the floor, write", against(flat, write), "x", 2),
        Figure("cold caches, against the floor, mmap", against(cold, mmap), "x"),
        Figure("p99 in a Python-bound loop, fold running, mmap", running["p99"], "us", 200.0),
    ]


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one round, few rows, no peers")
    parser.add_argument("--rounds", type=int, help="rounds (default 5; --quick 1)")
    parser.add_argument("--peers", nargs="*", default=None, metavar="NAME", help="peers to measure")
    parser.add_argument("--only", choices=["log", "costs"], help="a part of the tables")
    parser.add_argument("--dir", type=Path, help="folder on the disk to be measured")
    chosen = parser.parse_args()
    use_folder(chosen.dir)
    rounds = chosen.rounds or (1 if chosen.quick else 5)
    peers = chosen.peers if chosen.peers is not None else [] if chosen.quick else list(VERSIONS)
    print_machine()
    if chosen.only != "costs":
        show_latency(rounds, 4_000 if chosen.quick else 20_000, peers)
    if chosen.only != "log":
        print_figures("Everything but log()", costs.measure_all(rounds))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
