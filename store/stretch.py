"""Stretches: neighbouring metric rows with the same keys, taken column by column.

Almost all rows of a training run come in stretches. Checking and hashing them a column at a time
leaves two hashes a row as the only work that Python does per row, and none per point. What is
not plainly a row of finite numbers is left, untouched, to the thorough way (`store.absorb`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import blake2b
from itertools import repeat
from math import copysign, isfinite
from typing import Any, Final, NamedTuple

import msgpack

from store.row import DIGEST_BYTES, INT_MAX, INT_MIN, Kind, Row

METRIC: Final = int(Kind.METRIC)
SHORTEST: Final = 4
_FLOATS: Final = {float}
_INTEGERS: Final = {int}
_NUMBERS: Final = {float, int}
HASH: Final = blake2b(digest_size=DIGEST_BYTES)
"""To be copied, which is cheaper than making one."""


class Stretch(NamedTuple):
    """Rows in columns: `values` has a column per key, in the order of the keys."""

    keys: tuple[str, ...]
    numbers: Sequence[int]
    steps: Sequence[int]
    times: Sequence[float]
    values: list[Sequence[float]]
    hashes: list[bytes]


def split(rows: Sequence[Row | Sequence[Any]]) -> Iterator[tuple[int, int]]:
    """Cut a batch into [first, last) of neighbours that may be a stretch."""
    first = 0
    mark: object = None
    for index, row in enumerate(rows):
        data = row[4]
        other = list(data) if row[1] == METRIC and type(data) is dict else row[1]
        if other != mark:
            if index:
                yield first, index
            first, mark = index, other
    yield first, len(rows)


def take(
    rows: Sequence[Row | Sequence[Any]], payloads: Sequence[bytes | memoryview] | None
) -> Stretch | None:
    """The rows as a stretch; None when they are too few, or need the thorough way."""
    if len(rows) < SHORTEST or rows[0][1] != METRIC:
        return None
    numbers, kinds, steps, times, datas = zip(*rows, strict=True)
    if set(map(type, kinds)) != _INTEGERS:
        return None
    keys = tuple(datas[0])
    if set(map(type, keys)) != {str}:
        return None
    values = list(zip(*map(dict.values, datas), strict=True))
    return from_columns(keys, numbers, steps, times, values, payloads)


def from_columns(
    keys: tuple[str, ...],
    numbers: Sequence[int],
    steps: Sequence[int],
    times: Sequence[float],
    values: Sequence[Sequence[Any]],
    payloads: Sequence[bytes | memoryview] | None = None,
) -> Stretch | None:
    """Columns, one for each of the keys (which differ), as a stretch; None as with `take`."""
    if len(numbers) < SHORTEST or not keys or not _are_plain(steps, times):
        return None
    if not all(map(_is_plain, values)):
        return None
    if payloads is None or list(keys) != sorted(keys):
        payloads = _canonical(keys, numbers, steps, times, values)
    hashes = []
    for payload in payloads:
        state = HASH.copy()
        state.update(payload)
        hashes.append(state.digest())
    return Stretch(keys, numbers, steps, times, list(values), hashes)


def _are_plain(steps: Sequence[Any], times: Sequence[Any]) -> bool:
    return (
        set(map(type, steps)) == _INTEGERS
        and set(map(type, times)) == _FLOATS
        and min(steps) > INT_MIN
        and max(steps) < INT_MAX
        and isfinite(sum(times))
        and min(times) > 0.0
    )


def _is_plain(column: Sequence[Any]) -> bool:
    """Finite numbers of at most 64 bits whose msgpack form is canonical already."""
    kinds = set(map(type, column))
    if not kinds <= _NUMBERS:
        return False
    if kinds != _FLOATS and not (max(column) <= INT_MAX and min(column) >= INT_MIN):
        return False
    # A sum beyond the largest float only means that the thorough way looks again.
    if not isfinite(sum(column)):
        return False
    return 0.0 not in column or not any(v == 0.0 and copysign(1.0, v) < 0.0 for v in column)


def _canonical(
    keys: tuple[str, ...],
    numbers: Sequence[int],
    steps: Sequence[int],
    times: Sequence[float],
    values: Sequence[Sequence[float]],
) -> list[bytes]:
    order = sorted(range(len(keys)), key=keys.__getitem__)
    names = [keys[index] for index in order]
    rows = zip(*(values[index] for index in order), strict=True)
    datas = map(dict, map(zip, repeat(names), rows))
    # The columns have the same length: `rows` is strict, and the others go by it.
    return list(map(msgpack.Packer().pack, zip(numbers, repeat(METRIC), steps, times, datas)))
