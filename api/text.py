"""Values as text: safe on a terminal, exact in JSON and CSV, short for people.

Run names, keys and console lines are other people's text. `visible` is the one place that makes
them harmless: no control character, bidi override or invisible character leaves it unescaped.
`simple`, `json_value` and `flat` say what a logged value is in JSON, in a cell, in a database.
"""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date, time
from numbers import Integral, Real
from typing import Any, Final
from unicodedata import category, east_asian_width

# C0, DEL, C1, line separators, bidi controls, zero-width characters and invisible tags.
_UNSAFE: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\U000e0000-\U000e007f]"
)
_SHORT: Final = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def utf8(text: str) -> str:
    """`text` with lone surrogates replaced by U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def visible(text: str) -> str:
    """`text` with all that could move a cursor or reorder a line shown as `\\x1b`, `\\u202e`..."""
    return text if text.isascii() and text.isprintable() else _UNSAFE.sub(_escape, utf8(text))


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    width, letter = (2, "x") if code < 0x100 else (4, "u") if code < 0x10000 else (8, "U")
    return _SHORT.get(match[0], f"\\{letter}{code:0{width}x}")


def text_width(text: str) -> int:
    """Terminal cells that `text` takes."""
    return len(text) if text.isascii() else sum(map(_char_width, text))


def _char_width(char: str) -> int:
    if category(char) in {"Mn", "Me"}:
        # The emoji selector widens the character before it.
        return 1 if char == "\ufe0f" else 0
    return 2 if east_asian_width(char) in "WF" else 1


def cut_text(text: str, width: int, ellipsis: str = "…") -> str:
    """`text` cut to at most `width` cells, with `ellipsis` (one cell a character) at the cut."""
    if text_width(text) <= width:
        return text
    ellipsis = ellipsis[: max(0, width)]
    room, used = width - len(ellipsis), 0
    for end, char in enumerate(text):
        used += _char_width(char)
        if used > room:
            return text[:end] + ellipsis
    return text


_PLAIN: Final = (type(None), bool, int, float, bytes)
_CONVERSIONS: Final[tuple[tuple[Any, Callable[[Any], Any]], ...]] = (
    (str, utf8),
    (Integral, int),
    (Real, float),
    ((bytearray, memoryview), bytes),
    (Mapping, dict),
    ((list, tuple, set, frozenset), list),
    ((date, time), lambda value: value.isoformat()),
)


def simple(value: object) -> Any:
    """`value` as None, bool, int, float, str, bytes, dict or list."""
    if type(value) in _PLAIN:
        return value
    for kind, convert in _CONVERSIONS:
        if isinstance(value, kind):
            anything: Any = value
            return convert(anything)
    return utf8(str(value))


def json_value(value: object) -> Any:
    """`value` as strict JSON has it: NaN is null, infinities are strings, bytes are base64."""
    plain = simple(value)
    if isinstance(plain, float) and not math.isfinite(plain):
        return None if math.isnan(plain) else "Infinity" if plain > 0 else "-Infinity"
    if isinstance(plain, bytes):
        return {"$base64": True, "encoded": base64.b64encode(plain).decode("ascii")}
    if isinstance(plain, dict):
        return {utf8(str(key)): json_value(item) for key, item in plain.items()}
    return [json_value(item) for item in plain] if isinstance(plain, list) else plain


def flat(value: object) -> Any:
    """`value` as None, int, float or str: what a CSV cell can hold."""
    plain = simple(value)
    if isinstance(plain, bool):
        return "true" if plain else "false"
    if isinstance(plain, (bytes, dict, list)):
        return json.dumps(json_value(plain), ensure_ascii=False, separators=(",", ":"))
    return plain


def unique_names(columns: Sequence[str], fold: Callable[[str], str] = str) -> list[str]:
    """The names with `_2`, `_3`... behind repeated ones, compared by `fold`."""
    seen: set[str] = set()
    names: list[str] = []
    for column in map(utf8, columns):
        name, number = column, 1
        while fold(name) in seen:
            number += 1
            name = f"{column}_{number}"
        seen.add(fold(name))
        names.append(name)
    return names


def format_size(size: float) -> str:
    """A number of bytes: `812 B`, `1.2 MB`, `45 GB` (powers of 1000)."""
    if abs(size) < 999.5:
        return f"{size:.0f} B"
    value = size / 1000
    for unit in ("kB", "MB", "GB", "TB", "PB"):
        if abs(value) < 999.5 or unit == "PB":
            return f"{value:.1f} {unit}" if abs(value) < 9.95 else f"{value:.0f} {unit}"
        value /= 1000
    raise AssertionError


def format_age(seconds: float) -> str:
    """An age rounded down: `12 s`, `3 m`, `2 h`, `5 d`, `2 y`; negative is `0 s`, NaN empty."""
    if not math.isfinite(seconds):
        return ""
    for unit, length, limit in (("s", 1, 60), ("m", 60, 3600), ("h", 3600, 86400)):
        if seconds < limit:
            return f"{max(0, int(seconds / length))} {unit}"
    days = int(seconds / 86400)
    return f"{days} d" if days < 365 else f"{days // 365} y"


def format_number(value: object) -> str:
    """A value in short: five digits or more, whole numbers whole, None empty, others as text."""
    if value is None or isinstance(value, bool):
        return "" if value is None else str(value).lower()
    if isinstance(value, Integral):
        return str(int(value))
    if not isinstance(value, Real):
        return visible(str(value))
    number = float(value)
    size = abs(number)
    if size < 1e15 and number.is_integer():
        return str(int(number))
    if 99999.5 <= size < 1e9:
        return f"{number:.0f}"
    return short_exponent(f"{number:.5g}")


def short_exponent(text: str) -> str:
    """`1e-05` as `1e-5`, `2e+07` as `2e7`."""
    mantissa, mark, exponent = text.partition("e")
    return f"{mantissa}e{int(exponent)}" if mark else text
