"""The row: one logged fact, its msgpack form, its canonical form and its digest.

A row is (number, kind, step, time, data). Its identity is (source uuid, number); numbers of a
source run 1, 2, 3 ... without holes. `data` maps names to values.

The digest of a source is a chain, d(n) = H(d(n-1) + h(n)) with d(0) = 16 zero bytes, where H is
BLAKE2b with 16 bytes of output (RFC 7693) and h(n) = H(canonical row). The canonical row is the
msgpack array (number, kind, step, time, data) in msgpack's shortest forms, every map sorted by
the UTF-8 bytes of its keys, floats as float64, -0.0 as 0.0 and NaN as nil.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from enum import IntEnum
from hashlib import blake2b
from typing import Any, Final, NamedTuple, cast

import msgpack

DIGEST_BYTES: Final = 16
DIGEST_START: Final = bytes(DIGEST_BYTES)
INT_MIN: Final = -(2**63)
INT_MAX: Final = 2**63 - 1
MAX_DEPTH: Final = 32
"""Levels of nesting that a value may have."""
DELETED: Final = {"_deleted": True}
"""The value that takes a key of config, summary or attributes away again."""

SYSTEM: Final = "system/"
"""How the names of metrics about the machine begin: they move no step and are in no summary."""


packb: Final = cast("Callable[[object], bytes]", msgpack.packb)
"""msgpack's function, with the type that it has."""


class Kind(IntEnum):
    """What a row says. The numbers are part of the file format."""

    STUB = 0
    OPEN = 1
    END = 2
    METRIC = 3
    CONFIG = 4
    SUMMARY = 5
    ATTRIBUTE = 6
    FILE = 7
    CONSOLE = 8
    EVENT = 9


def is_system_row(keys: Collection[str]) -> bool:
    """Whether a metric row with these names is about the machine alone."""
    return bool(keys) and all(key.startswith(SYSTEM) for key in keys)


class Row(NamedTuple):
    """One logged fact; `time` in seconds since 1970, `step` the writer's own counter."""

    number: int
    kind: int
    step: int
    time: float
    data: dict[str, Any]


POISON: Final = -1
"""The kind of a row that stands for a payload that does not read as one; `data` has the reason."""


class BadRowError(ValueError):
    """Bytes that are no row, or a row whose values cannot be kept."""


def pack_row(number: int, kind: int, step: int, time: float, data: Mapping[str, Any]) -> bytes:
    """The journal's form of a row (keys in the order of `data`)."""
    return packb((number, kind, step, time, data))


def unpack_row(payload: bytes | memoryview) -> Row:
    """Reverse `pack_row`.

    Raises:
        BadRowError: not msgpack, or not of a row's shape.
    """
    try:
        fields = msgpack.unpackb(payload, use_list=True)
    except (ValueError, TypeError, RecursionError) as error:
        raise BadRowError(f"not msgpack: {error}") from error
    return shape_row(fields)


def unpack_plain(payloads: Sequence[bytes | memoryview]) -> list[Row | list[Any]] | None:
    """All of them as lists of five with an integer in front, not looked at further, or None."""
    try:
        rows: list[Row | list[Any]] = list(map(msgpack.unpackb, payloads))
        numbered = set(map(len, rows)) == {5} and {type(row[0]) for row in rows} == {int}
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return rows if numbered else None


def shape_row(fields: object) -> Row:
    """Check the types of the five fields (not yet the values in `data`)."""
    if not isinstance(fields, list | tuple) or len(fields) != 5:
        raise BadRowError("not five fields")
    number, kind, step, time, data = fields
    if isinstance(kind, Kind):
        kind = int(kind)
    if (
        type(number) is not int
        or type(kind) is not int
        or type(step) is not int
        or type(time) is not float
        or type(data) is not dict
    ):
        raise BadRowError("fields of other types than a row's")
    if kind == POISON:
        raise BadRowError(str(data.get("reason")))
    if not (1 <= number <= INT_MAX and 0 <= kind <= 255 and INT_MIN <= step <= INT_MAX):
        raise BadRowError("number, kind or step out of range")
    if not math.isfinite(time):
        raise BadRowError("time is not finite")
    return Row(number, kind, step, time, data)


def canonical_value(value: object, depth: int = 0) -> object:
    """The canonical form of one value of `data`.

    Raises:
        BadRowError: a type, an integer or a depth that a row cannot hold.
    """
    kind = type(value)
    if kind is float:
        assert isinstance(value, float)
        return None if math.isnan(value) else value + 0.0
    if kind is int:
        assert isinstance(value, int)
        if INT_MIN <= value <= INT_MAX:
            return value
        raise BadRowError("an integer over 64 bits")
    if kind is str or kind is bool or value is None:
        return value
    if depth > MAX_DEPTH:
        raise BadRowError(f"nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, dict):
        return {key: canonical_value(value[key], depth + 1) for key in sorted_names(value)}
    if isinstance(value, list | tuple):
        return [canonical_value(item, depth + 1) for item in value]
    raise BadRowError(f"a value of type {kind.__name__}")


def sorted_names(names: Collection[object]) -> list[str]:
    """Sort by UTF-8 bytes, which is the order of code points.

    Raises:
        BadRowError: a key that is no string.
    """
    listed = [name for name in names if isinstance(name, str)]
    if len(listed) != len(names):
        raise BadRowError("a key that is no string")
    return sorted(listed)


def canonical_data(kind: int, data: Mapping[str, Any]) -> dict[str, object]:
    """The canonical form of a row's data; metrics keep booleans as 0 and 1, as their table does."""
    values = {name: canonical_value(data[name]) for name in sorted_names(data)}
    if kind == Kind.METRIC:
        return {k: int(v) if type(v) is bool else v for k, v in values.items()}
    return values


def row_digest(row: Row | Sequence[Any]) -> bytes:
    """h(n): 16 bytes over the canonical row.

    Raises:
        BadRowError: the row holds what no row can hold.
    """
    number, kind, step, time, data = row
    return digest_of(packb((number, kind, step, time + 0.0, canonical_data(kind, data))))


def digest_of(content: bytes | memoryview) -> bytes:
    """BLAKE2b-128 of bytes: h(n) of a canonical row, or of a frame that could not be read."""
    return blake2b(content, digest_size=DIGEST_BYTES).digest()


def next_digest(previous: bytes, row_hash: bytes) -> bytes:
    """d(n) from d(n-1) and h(n)."""
    return blake2b(previous + row_hash, digest_size=DIGEST_BYTES).digest()
