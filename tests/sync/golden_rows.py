"""What lies in tests/sync/golden, and how it got there.

    python -m tests.sync.golden_rows        writes the files of the present versions

They are written once for each version, and never again after a release that has it: whatever
reads them now must read them for ever.
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from store.database import RunDatabase
from store.row import Kind, Row, row_digest
from store.schema import VERSION
from store.sync.cursors import Target, move_cursors, note_refused, note_try
from store.sync.wire import WIRE_VERSION, Batch, Group, RunName, Section, encode_batch

GOLDEN: Final = Path(__file__).parent / "golden"
BATCH: Final = GOLDEN / f"batch_v{WIRE_VERSION}.bin"
RUN: Final = GOLDEN / f"run_v{VERSION}.db"
FIRST, SECOND = "a1" * 16, "b2" * 16
INFINITE: Final = float("inf")
TARGET: Final = Target("https://example.org", "team", "vision")

ROWS: Final[Mapping[str, list[Row]]] = {
    FIRST: [
        Row(1, Kind.OPEN, 0, 1000.0, {"host": "node1", "pid": 17, "label": None, "store": "s1"}),
        Row(2, Kind.CONFIG, 0, 1000.25, {"lr": 0.1, "model": {"depth": 3}, "old": None}),
        Row(3, Kind.METRIC, 0, 1001.0, {"loss": 2.5, "epoch": 1}),
        Row(4, Kind.METRIC, 1, 1002.0, {"loss": 1.25, "epoch": 1}),
        Row(5, Kind.METRIC, 2, 1003.5, {"loss": None, "epoch": 2, "big": 2**63 - 1}),
        Row(6, Kind.METRIC, 3, 1004.5, {"loss": INFINITE, "low": -INFINITE, "least": -(2**63)}),
        Row(7, Kind.METRIC, 4, 1005.5, {"note": "ünïcode ✓", "image": {"_type": "image", "w": 2}}),
        Row(8, Kind.CONSOLE, 0, 1006.0, {"stream": "stdout", "text": "hello ✓\n"}),
        Row(9, Kind.CONFIG, 0, 1007.0, {"old": {"_deleted": True}, "limit": INFINITE}),
        Row(10, Kind.SUMMARY, 0, 1008.0, {"best": 0.5}),
        Row(11, Kind.ATTRIBUTE, 0, 1009.0, {"name": "golden", "tags": ["a", "ü"]}),
        Row(12, Kind.END, 0, 1010.0, {"state": "finished", "exit_code": 0}),
    ],
    SECOND: [
        Row(1, Kind.OPEN, 0, 1000.5, {"host": "node2", "pid": 18, "label": "rank-1"}),
        Row(2, Kind.METRIC, 0, 1001.5, {"loss": 2.0}),
        Row(3, Kind.STUB, 0, 1001.5, {}),
        Row(4, Kind.METRIC, -1, 1002.5, {"loss": 1.0}),
    ],
}
WITHHELD: Final = row_digest(Row(3, Kind.EVENT, 0, 1002.0, {"git": "secret"}))
"""The h(n) of the row that the stub of SECOND stands for."""

EXPECTED: Final = Batch(
    RunName("team", "vision", "golden-run"),
    "0123456789abcdef" * 2,
    [
        Section(
            *(FIRST, "journal", 3),
            [3, 3, 3, 3, 3, 8, 4],
            [0, 1, 2, 3, 4, 0, 0],
            [1001.0, 1002.0, 1003.5, 1004.5, 1005.5, 1006.0, 1007.0],
            [
                Group([0, 1, 2, 3], ["loss"], [[2.5, 1.25, None, INFINITE]]),
                Group([0, 1, 2], ["epoch"], [[1, 1, 2]]),
                Group([2], ["big"], [[2**63 - 1]]),
                Group([3], ["low", "least"], [[-INFINITE], [-(2**63)]]),
            ],
            [("note", 4, '"ünïcode ✓"'), ("image", 4, '{"_type":"image","w":2}')],
            [(5, "stdout", "hello ✓\n")],
            [(6, '{"old":{"_deleted":true},"limit":9e999}')],
            [],
            None,
        ),
        Section(
            *(SECOND, "journal", 2),
            [3, 0, 3],
            [0, 0, -1],
            [1001.5, 1001.5, 1002.5],
            [Group(None, ["loss"], [[2.0, 1.0]])],
            *([], [], []),
            [(1, WITHHELD, "withheld")],
            True,
        ),
    ],
)


def expected_rows() -> list[list[tuple[Any, ...]]]:
    """The rows of EXPECTED, section by section."""
    return [
        [tuple(row) for row in ROWS[section.uuid][section.first - 1 : section.last]]
        for section in EXPECTED.sections
    ]


def make_run(path: Path) -> None:
    """A run's database with all of ROWS, a cursor and a refused row, its log folded in."""
    with closing(RunDatabase(path)) as database:
        database.absorb(FIRST, ROWS[FIRST])
        database.absorb(SECOND, ROWS[SECOND][:2])
        with database.transaction():
            database.reject(SECOND, 3, b"", "withheld", digest=WITHHELD)
        database.absorb(SECOND, ROWS[SECOND][3:])
        move_cursors(database, TARGET, {FIRST: (5, b"d" * 16)})
        note_refused(database, TARGET, [(FIRST, 2, "not JSON")])
        note_try(database, TARGET, TARGET.remote, None, files=0)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE target SET tried = 2000.0")
        connection.commit()
        connection.execute("VACUUM")


def main() -> None:
    GOLDEN.mkdir(exist_ok=True)
    BATCH.write_bytes(encode_batch(EXPECTED))
    with tempfile.TemporaryDirectory() as folder:
        make_run(Path(folder, "run.db"))
        shutil.copyfile(Path(folder, "run.db"), RUN)


if __name__ == "__main__":
    main()
