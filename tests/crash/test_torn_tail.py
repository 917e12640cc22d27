"""A dead writer's journal, damaged at every byte: a clean prefix, and nothing before is lost."""

from __future__ import annotations

import random
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

import pytest

from store.check import check_run
from store.database import RunDatabase
from store.fold import fold
from store.journal import HEADER, MAGIC
from store.paths import RunFolder
from store.reread import Reread, reread
from store.row import Kind, Row, pack_row, unpack_row
from tests.helpers import kill, make_seed, only_run, problems, start

ROWS = 30


class Dead(NamedTuple):
    """A store whose only writer was killed: the journal's bytes, its frames' ends and rows."""

    store: Path
    content: bytes
    ends: list[int]
    rows: list[Row]


@pytest.fixture(params=["mmap", "write"])
def dead(request: pytest.FixtureRequest, tmp_path: Path) -> Dead:
    store = tmp_path / "killed"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    worker = start("log_and_die", store, request.param, ROWS, **pipes)
    assert worker.stdout is not None
    assert worker.stdout.readline() == b"done\n"
    kill(worker)
    content = journal_of(store).read_bytes()
    ends, rows = read_all(content)
    assert sum(row.kind == Kind.METRIC for row in rows) == ROWS
    return Dead(store, content, ends, rows)


def journal_of(store: Path) -> Path:
    (path,) = only_run(store).journals.glob("*.1.journal")
    return path


def read_all(content: bytes) -> tuple[list[int], list[Row]]:
    """The end of each frame, and its row."""
    at, ends, rows = len(MAGIC), [], []
    while at + HEADER.size <= len(content):
        (size, _) = HEADER.unpack_from(content, at)
        if size == 0:
            break
        rows.append(unpack_row(content[at + HEADER.size : at + HEADER.size + size]))
        at += HEADER.size + size
        ends.append(at)
    return ends, rows


class Found(NamedTuple):
    """What a fold of a damaged journal came to."""

    run: RunFolder
    rows: list[Row]
    stubs: list[Reread]


def fold_damaged(dead: Dead, folder: Path, content: bytes) -> Found:
    """Fold a copy of the store whose journal holds `content`."""
    copy = folder / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(dead.store, copy)
    journal_of(copy).write_bytes(content)
    run = only_run(copy)
    fold(run, timeout=10)
    assert list(run.journals.iterdir()) == []
    database = RunDatabase(run.database, write=False)
    try:
        found = [
            item for source in database.sources() for item in reread(database.connection, source.id)
        ]
    finally:
        database.close()
    assert [item.row.number for item in found] == list(range(1, len(found) + 1))
    return Found(
        run,
        [item.row for item in found if item.row.kind != Kind.STUB],
        [item for item in found if item.row.kind == Kind.STUB],
    )


Damage = Callable[[bytes, int], bytes]


def cut(content: bytes, at: int) -> bytes:
    return content[:at]


def zeros(content: bytes, at: int) -> bytes:
    return content[:at] + bytes(len(content) - at)


def garbage_behind(content: bytes, at: int) -> bytes:
    return content[:at] + b"\xa5" * 40


@pytest.mark.parametrize("damage", [cut, zeros, garbage_behind])
def test_tail_damaged_from_every_byte_on_leaves_a_clean_prefix(
    dead: Dead, damage: Damage, tmp_path: Path
) -> None:
    first, last = dead.ends[-3], dead.ends[-1]
    for at in range(first, last + 1):
        found = fold_damaged(dead, tmp_path, damage(dead.content, at))
        whole = sum(end <= at for end in dead.ends)
        # A frame may end in zeros of its own, which zeros do not damage.
        assert len(found.rows) == whole or (damage is zeros and len(found.rows) == whole + 1)
        assert found.rows == dead.rows[: len(found.rows)]
        assert len(found.stubs) <= 1
        assert problems(found.run.path.parents[2]) == []


def test_file_cut_at_every_byte_before_the_first_row(dead: Dead, tmp_path: Path) -> None:
    for at in range(dead.ends[0] + 1):
        found = fold_damaged(dead, tmp_path, dead.content[:at])
        assert found.rows == dead.rows[: at == dead.ends[0]]
        assert len(found.stubs) <= 1
        assert problems(found.run.path.parents[2]) == []


def test_a_damaged_beginning_costs_no_row(dead: Dead, tmp_path: Path) -> None:
    for at in range(len(MAGIC)):
        content = bytearray(dead.content)
        content[at] ^= 0x10
        found = fold_damaged(dead, tmp_path, bytes(content))
        assert (found.rows, found.stubs) == (dead.rows, [])
        assert problems(found.run.path.parents[2]) == []


def test_one_bit_flipped_at_every_byte_of_the_last_frame(dead: Dead, tmp_path: Path) -> None:
    choose = random.Random(make_seed())
    for at in range(dead.ends[-2], dead.ends[-1]):
        content = bytearray(dead.content)
        content[at] ^= 1 << choose.randrange(8)
        found = fold_damaged(dead, tmp_path, bytes(content))
        assert found.rows == dead.rows[:-1]
        assert len(found.stubs) == 1
        assert problems(found.run.path.parents[2]) == []


def test_one_bit_flipped_at_every_byte_in_the_middle_costs_one_row(
    dead: Dead, tmp_path: Path
) -> None:
    choose = random.Random(make_seed())
    middle = len(dead.ends) // 2
    for at in range(dead.ends[middle - 1], dead.ends[middle]):
        content = bytearray(dead.content)
        content[at] ^= 1 << choose.randrange(8)
        found = fold_damaged(dead, tmp_path, bytes(content))
        assert found.rows == dead.rows[:middle] + dead.rows[middle + 1 :]
        assert [stub.row.number for stub in found.stubs] == [middle + 1]
        (problem,) = [f for f in check_run(found.run) if f.level == "problem"]
        assert f"row {middle + 1} is a stub" in problem.text


def test_whole_frames_whose_numbers_are_out_of_order_stop_nothing(
    dead: Dead, tmp_path: Path
) -> None:
    content = dead.content[: dead.ends[-1]]
    last = dead.rows[-1].number
    for number in (10**12, 2**63 - 1, 1, last, last + 1, last + 3):
        payload = pack_row(number, Kind.METRIC, 0, 2e9, {"n": number})
        content += HEADER.pack(len(payload), crc32(payload)) + payload
    found = fold_damaged(dead, tmp_path, content)
    # The two huge numbers became stubs, whose place the row behind them took.
    assert [row.number for row in found.rows] == [*range(1, last + 2), last + 3]
    assert [stub.row.number for stub in found.stubs] == [last + 2]
    assert found.rows[: len(dead.rows)] == dead.rows
    levels = [f.text for f in check_run(found.run) if f.level == "problem"]
    assert all("is a stub" in text for text in levels)


@pytest.mark.parametrize("rounds", [30, pytest.param(2000, marks=pytest.mark.long)])
@pytest.mark.timeout(3600)
def test_random_damage_keeps_every_undamaged_row(dead: Dead, rounds: int, tmp_path: Path) -> None:
    choose = random.Random(make_seed())
    starts = [len(MAGIC), *dead.ends[:-1]]
    for _ in range(rounds):
        content = bytearray(dead.content)
        for _ in range(choose.randrange(1, 4)):
            at = choose.randrange(len(MAGIC), dead.ends[-1])
            length = choose.choice([1, 10, 100, 500])
            for i in range(at, min(at + length, dead.ends[-1])):
                content[i] = choose.choice([0, content[i] ^ 0x55])
        # A zero that was set to zero, or a byte that was changed back, hurts no frame.
        hurt = {
            n
            for n, (begin, end) in enumerate(zip(starts, dead.ends, strict=True))
            if content[begin:end] != dead.content[begin:end]
        }
        found = fold_damaged(dead, tmp_path, bytes(content))
        kept = [row for n, row in enumerate(dead.rows) if n not in hurt]
        assert [row for row in found.rows if row.number - 1 not in hurt] == kept
        damaged = [f for f in check_run(found.run) if f.level == "problem"]
        inside = {n + 1 for n in hurt} & set(range(1, kept[-1].number if kept else 0))
        stubs = {stub.row.number for stub in found.stubs if stub.row.number in inside}
        assert len(damaged) == len(stubs)
