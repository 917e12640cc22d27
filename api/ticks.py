"""Ticks of an axis: round numbers, and labels that are short and still tell neighbours apart."""

from __future__ import annotations

import math

from store.api.text import short_exponent

Ticks = list[tuple[float, str]]  # (position on the axis, label)


def nice_step(step: float) -> float:
    """The smallest of 1, 2, 5, 10 times a power of ten that is not below `step` (> 0)."""
    unit = 10.0 ** math.floor(math.log10(step))
    return next(nice * unit for nice in (1, 2, 5, 10) if nice * unit >= step * 0.999)


def linear_ticks(low: float, high: float, rows: int) -> Ticks:
    """Ticks for an axis `rows` high; the first is not above `low`, the last not below `high`."""
    step = nice_step((high - low) / max(1.0, (rows - 1) // 2.5))
    numbers = range(math.floor(low / step), math.ceil(high / step) + 1)
    return labelled([number * step for number in numbers], step, 7)


def log_ticks(low: float, high: float, rows: int) -> Ticks:
    """Ticks for a logarithmic axis `rows` high; `low`, `high` and the positions are exponents."""
    most = max(2, rows // 2)
    for factors in ((1, 2, 5), (1,)):
        exponents = range(math.floor(low), math.ceil(high) + 1)
        exact = [(math.log10(f) + e, f"{f * 10.0**e:g}") for e in exponents for f in factors]
        ticks = [(u, short_exponent(text)) for u, text in exact if low <= u <= high]
        if 2 <= len(ticks) <= most:
            return ticks
        if factors == (1,) and len(ticks) > most:
            return ticks[:: -(-len(ticks) // most)]
    linear = linear_ticks(10**low, 10**high, rows)
    exact = [(math.log10(value), text) for value, text in linear if value > 0]
    return [(u, text) for u, text in exact if low <= u <= high]


def labelled(values: list[float], step: float, limit: int) -> Ticks:
    """The values with texts that resolve `step`; scientific where plain ones exceed `limit`."""
    fine = math.floor(math.log10(step) + 1e-9)
    plain = [f"{value:.{max(0, -fine)}f}" for value in values]
    short = []
    for value in values:
        digits = math.floor(math.log10(abs(value))) - fine if abs(value) > step / 2 else 0
        short.append(short_exponent(f"{value:.{min(16, max(0, digits))}e}") if value else "0")
    longest = max(map(len, plain))
    texts = plain if longest <= max(limit, *map(len, short)) else short
    return list(zip(values, texts, strict=True))
