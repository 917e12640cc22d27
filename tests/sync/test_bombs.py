"""Batches that are made to do harm: refused, or read, within bounds of memory."""

from __future__ import annotations

import struct
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from store.sync.wire import (
    HEADER,
    MAGIC,
    MAX_EXPANDED,
    MAX_ROWS,
    BadBatchError,
    decode_batch,
)
from tests.helpers import start
from tests.sync.batches import (
    NO_TEXTS,
    around,
    changed,
    frame,
)

MEMORY: Final = 200
"""MB that reading a batch may take beside what holds its bytes, however bad they are."""


def header(first: int, count: int) -> bytes:
    return struct.pack(">BI", first, count)


def repeated(unit: bytes, size: int = MAX_EXPANDED) -> bytes:
    return unit * (size // len(unit))


def zeros(size: int) -> bytes:
    """A zlib stream of so many zeros, made without having them all at once."""
    stream = zlib.compressobj(1)
    block = bytes(2**20)
    return b"".join(stream.compress(block) for _ in range(size // 2**20)) + stream.flush()


def filled(rows: bytes | None, columns: list[object], name: str = "n") -> bytes:
    """A section of 10,000 metric rows that has one group."""
    names = [f"{name}{place}" for place in range(len(columns))]
    return changed(
        kinds=[[3, MAX_ROWS]],
        steps=bytes(8 * MAX_ROWS),
        times=bytes(8 * MAX_ROWS),
        groups=[[rows, names, columns]],
        **NO_TEXTS,
    )


@pytest.mark.parametrize(
    "content",
    [
        *(header(first, 2**32 - 1) for first in (0xDD, 0xDF, 0xC6, 0xDB, 0xC9)),
        *(header(first, 2**31) + b"\0" for first in (0xDD, 0xDF, 0xC6, 0xDB, 0xC9)),
        *(b"\xdc\xff\xff", b"\xde\xff\xff", b"\xc5\xff\xff", b"\xda\xff\xff"),
        b"\xc1",
        b"\x91\xd6\xff\0\0\0\0",  # a time, as msgpack has it
        b"\x81\xc7\x00\x01\x01",  # an extension type as key
        b"\x81\xc4\x01a\x01",
        b"\x81\x91\x01\x01",
        b"\x81\xc0\x01",
        b"\xc0",
        b"\x80",
        b"",
    ],
    ids=bytes.hex,
)
def test_what_is_no_map_of_a_batch_is_refused(content: bytes) -> None:
    with pytest.raises(BadBatchError):
        decode_batch(frame(content))


BOMBS: Final[dict[str, Callable[[], bytes]]] = {
    "many zeros behind an honest header": lambda: around(zeros(2**26), 2**26),
    "many zeros behind a small header": lambda: around(zeros(2**26), 100),
    "many zeros behind the largest header": lambda: around(zeros(2**26), MAX_EXPANDED),
    "a header of a gigabyte": lambda: frame(b"\xc0", size=2**30),
    "a header of four gigabytes": lambda: MAGIC + HEADER.pack(2**32 - 1, 0),
    "empty lists": lambda: frame(header(0xDD, MAX_EXPANDED - 5) + repeated(b"\x90")[5:]),
    "empty lists in short lists": lambda: frame(repeated(b"\x9f" + b"\x90" * 15)),
    "lists in lists": lambda: frame(repeated(b"\x91")),
    "long lists in long lists": lambda: frame(repeated(header(0xDD, 10**6), 5000)),
    "short texts": lambda: frame(
        repeated(header(0xDD, 200_000) + b"\xa2\xc4\x80" * 199_999, MAX_EXPANDED)
    ),
    "nothing, often": lambda: frame(header(0xDD, MAX_EXPANDED - 5) + repeated(b"\xc0")[5:]),
    "numbers, often": lambda: frame(
        header(0xDD, MAX_EXPANDED // 3 - 2) + repeated(b"\xcd\x7f\xff", MAX_EXPANDED - 6)
    ),
    "maps of keys": lambda: frame(repeated(header(0xDF, 10**6) + b"\xa3abc\xc0" * 10**6)),
    "extension types": lambda: frame(header(0xDD, 500_000) + b"\xd4\x01\x00" * 500_000),
    "a billion rows": lambda: changed(kinds=[[3, 10**9]]),
    "rows, again and again": lambda: changed(kinds=[[3, 9000]] * 100_000),
    "steps for millions of rows": lambda: changed(steps=bytes(MAX_EXPANDED - 10_000)),
    "a group of millions of rows": lambda: filled(bytes(MAX_EXPANDED - 200_000), []),
    "a column for millions of rows": lambda: filled(None, [["d", bytes(MAX_EXPANDED - 200_000)]]),
    "more numbers than there may be": lambda: filled(None, [["d", bytes(80_000)]] * 201),
    "more text than there may be": lambda: changed(others=[[3, "x" * 2**20]] * 17),
    "more in JSON than there may be": lambda: changed(others=[[3, "[[],[]]" * 300_000]]),
    "a name as long as a batch": lambda: filled(None, [["m", [1] * MAX_ROWS]], "x" * 17 * 2**20),
}
"""Each with the way to make it."""


LARGEST: Final[dict[str, Callable[[], bytes]]] = {
    "nested lists": lambda: changed(others=[[3, '{"a":[' + "[[[[[]]]]]," * 160_000 + "1]}"]]),
    "empty maps": lambda: changed(others=[[3, '{"a":[' + "{}," * 490_000 + "1]}"]]),
    "wide text": lambda: changed(others=[[3, f'{{"a":"\U0001f600{"x" * (2**24 - 50_000)}"}}']]),
    "numbers": lambda: filled(None, [["d", bytes(80_000)]] * 190),
    "mixed numbers": lambda: filled(None, [["m", [1.5] * MAX_ROWS]] * 90),
}
"""What is taken, but is as much as it can be of its kind."""


def measured(folder: Path, made: dict[str, Callable[[], bytes]]) -> dict[str, tuple[str, int]]:
    """What came of each, and the MB that it took: in processes that may not have 1 GB."""
    paths = [folder / str(number) for number in range(len(made))]
    for path, make in zip(paths, made.values(), strict=True):
        path.write_bytes(make())
    process = start("decode_batch", *paths, stdout=subprocess.PIPE)
    lines = process.communicate(timeout=100)[0].decode().splitlines()
    told = [line.rpartition(" ") for line in lines]
    return {n: (what, int(mb)) for n, (what, _, mb) in zip(made, told, strict=True)}


@pytest.mark.skipif("sys.platform == 'win32'", reason="not run: no resource limits here")
def test_bombs_do_no_harm(tmp_path: Path) -> None:
    for name, (outcome, taken) in measured(tmp_path, BOMBS).items():
        assert (outcome, taken < MEMORY) == ("BadBatchError", True), (name, outcome, taken)


@pytest.mark.skipif("sys.platform == 'win32'", reason="not run: no resource limits here")
def test_the_largest_of_batches_take_bounded_memory(tmp_path: Path) -> None:
    for name, (outcome, taken) in measured(tmp_path, LARGEST).items():
        assert outcome in {"6", str(MAX_ROWS)}, (name, outcome)
        assert taken < MEMORY, (name, taken)
