"""The rows that the benchmarks log: the same for every tracker, made before the clock starts.

Shapes:
    floats      10 floats
    nested      10 floats in dicts two deep
    numpy       9 floats and a numpy.float32 (only where numpy is installed)
    ints        5 floats and 5 integers
    new-keys    10 floats, one of them under a name that was never logged before
    wide        1,000 floats
    one         1 float
"""

from __future__ import annotations

import random
from typing import Any, Final

SHAPES: Final = ("floats", "nested", "numpy", "ints", "new-keys", "wide", "one")
NAMES: Final = (
    *("train/loss", "train/accuracy", "train/lr", "train/grad_norm", "train/throughput"),
    *("val/loss", "val/accuracy", "val/f1", "epoch", "time/step"),
)
POOL: Final = 64
"""Different rows that are logged in turn; full-precision floats, so nothing packs well."""


def make_rows(shape: str, count: int) -> list[dict[str, Any]]:
    """`count` rows of a shape; all but new-keys share the rows of a small pool.

    Raises:
        ValueError: no such shape.
        ImportError: numpy is not there.
    """
    source = random.Random(7)
    if shape == "new-keys":
        return [_with_new_key(number, source) for number in range(count)]
    pool = [_row(shape, source) for _ in range(POOL)]
    return [pool[number % POOL] for number in range(count)]


def _floats(source: random.Random) -> dict[str, Any]:
    return {name: source.random() for name in NAMES}


def _with_new_key(number: int, source: random.Random) -> dict[str, Any]:
    row = _floats(source)
    del row["time/step"]
    row[f"new/{number}"] = source.random()
    return row


def _row(shape: str, source: random.Random) -> dict[str, Any]:
    row = _floats(source)
    if shape == "floats":
        return row
    if shape == "one":
        return {"loss": source.random()}
    if shape == "wide":
        return {f"layer_{n // 10:02}/stat_{n % 10}": source.random() for n in range(1000)}
    if shape == "ints":
        return {k: v if n % 2 else int(v * 1e6) for n, (k, v) in enumerate(row.items())}
    if shape == "numpy":
        import numpy

        return row | {"train/loss": numpy.float32(source.random())}
    if shape == "nested":
        nested: dict[str, Any] = {}
        for name, value in row.items():
            group, _, key = name.partition("/")
            nested.setdefault(group, {})[key or "value"] = value
        return {"model": nested}
    raise ValueError(shape)
