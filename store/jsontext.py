"""JSON as the run databases keep it: compact, UTF-8, NaN as null, infinities as 9e999.

9e999 is valid JSON that both SQLite and Python read back as an infinity.
"""

from __future__ import annotations

import json
import math
import os
from typing import Any, Final

_INFINITY: Final = f"inf-{os.urandom(8).hex()}"
_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def to_json(value: object) -> str:
    """The JSON text of a value made of dict, list, tuple, str, int, float, bool and None."""
    try:
        return _encode(value)
    except ValueError:
        text = _encode(_without_special(value))
        return text.replace(f'"-{_INFINITY}"', "-9e999").replace(f'"{_INFINITY}"', "9e999")


def from_json(text: str) -> Any:
    """Reverse `to_json` (a NaN comes back as None)."""
    return json.loads(text)


def _without_special(value: object) -> object:
    if isinstance(value, float):
        if math.isnan(value):
            return None
        if math.isinf(value):
            return _INFINITY if value > 0 else f"-{_INFINITY}"
        return value
    if isinstance(value, dict):
        return {key: _without_special(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_special(item) for item in value]
    return value
