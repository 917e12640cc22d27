"""Columns: sequences of numbers as bytes, the inner form of a batch (see `store.sync.wire`).

Eight bytes a number, first bytes first (all the exponents, then all the high bytes ...), which
zlib shortens to about a half. Integers travel as differences between neighbours, modulo 2**64;
times as the differences between the bit patterns of their float64, which is exact.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Sequence
from itertools import accumulate
from operator import sub
from typing import Any, Final, cast

_WRAP: Final = 2**64


class BadBatchError(ValueError):
    """Bytes that are no batch of this version, or one that is larger than a batch may be."""


# -- columns -----------------------------------------------------------------------------------


def pack_column(values: Sequence[float | int | None]) -> list[Any]:
    kinds = set(map(type, values))
    if kinds == {float}:
        return ["d", _shuffle(_bytes(array("d", cast("Sequence[float]", values))))]
    if kinds == {int}:
        return ["q", pack_integers(cast("Sequence[int]", values))]
    return ["m", list(values)]


def unpack_column(fields: list[Any], count: int) -> Sequence[float | int | None]:
    if len(fields) != 2:
        raise BadBatchError("a column has two parts")
    tag, data = fields
    if tag == "d":
        return _array("d", _unshuffle(_content(data), count)).tolist()
    if tag == "q":
        return unpack_integers(_content(data), count)
    if tag != "m":
        raise BadBatchError("a column of unknown form")
    if type(data) is not list or len(data) != count:
        raise BadBatchError(f"a column without its {count} values")
    if not set(map(type, data)) <= {float, int, type(None)}:
        raise BadBatchError("a column holds what is no number")
    if any(type(value) is int and not -(2**63) <= value < 2**63 for value in data):
        raise BadBatchError("an integer over 64 bits")
    return data


def pack_integers(values: Sequence[int]) -> bytes:
    """Differences between neighbours, modulo 2**64, as shuffled int64."""
    steps = [values[0], *map(sub, values[1:], values)] if values else []
    try:
        packed = array("q", steps)
    except OverflowError:
        packed = array("q", map(_wrapped, steps))
    return _shuffle(_bytes(packed))


def unpack_integers(data: bytes, count: int) -> list[int]:
    values = list(accumulate(_array("q", _unshuffle(data, count))))
    if values and not (min(values) >= -(2**63) and max(values) < 2**63):
        return list(map(_wrapped, values))
    return values


def _wrapped(value: int) -> int:
    return (value + 2**63) % _WRAP - 2**63


def pack_times(values: Sequence[float]) -> bytes:
    patterns = array("q", array("d", values).tobytes())
    return pack_integers(patterns)


def unpack_times(data: bytes, count: int) -> list[float]:
    return array("d", array("q", unpack_integers(data, count)).tobytes()).tolist()


def _shuffle(data: bytes) -> bytes:
    return b"".join(data[place::8] for place in range(8))


def _unshuffle(data: bytes, count: int) -> bytes:
    if len(data) != 8 * count:
        raise BadBatchError(f"a column has {len(data)} bytes for {count} numbers")
    whole = bytearray(len(data))
    for place in range(8):
        whole[place::8] = data[place * count : (place + 1) * count]
    return bytes(whole)


def _bytes(values: array[Any]) -> bytes:
    if sys.byteorder == "big":
        values.byteswap()
    return values.tobytes()


def _array(code: str, data: bytes) -> array[Any]:
    values = array(code, data)
    if sys.byteorder == "big":
        values.byteswap()
    return values


def _content(data: object) -> bytes:
    if type(data) is not bytes:
        raise BadBatchError("a column without its bytes")
    return data
