"""The colour of a run, as on the pages: a pure function of its id.

server/web/static/js/colours.js is the same function; the colours are those of tokens.css.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from importlib.resources import files
from typing import Final

from store.api.text import utf8

HUES: Final = 10
MIXES: Final = ("", "var(--text) 38%", "var(--surface) 42%")
DASHES: Final = ("", "7 3", "2 3", "9 3 2 3")
"""What tells runs of one colour apart, in the units of a chart."""
_WORD: Final = 0xFFFFFFFF


def colour_number(run_id: str) -> int:
    """Which of the HUES * len(MIXES) colours a run has."""
    value = 0x811C9DC5
    for byte in utf8(run_id).encode():
        value = ((value ^ byte) * 0x01000193) & _WORD
    value = ((value ^ (value >> 16)) * 0x85EBCA6B) & _WORD
    value ^= value >> 13
    return value % HUES + HUES * (value // HUES % len(MIXES))


def css_colour(number: int) -> str:
    """The colour with a number, as CSS."""
    hue, mix = f"var(--series-{number % HUES})", MIXES[number // HUES % len(MIXES)]
    return f"color-mix(in oklab, {hue}, {mix})" if mix else hue


def marks_of(run_ids: Sequence[str]) -> list[str]:
    """The classes of each run: its colour and, where another one has that already, a dash."""
    seen: Counter[int] = Counter()
    found = []
    for number in map(colour_number, run_ids):
        dash = seen[number] % len(DASHES)
        found.append(f"c{number} d{dash}" if dash else f"c{number}")
        seen[number] += 1
    return found


def style_of(marks: Iterable[str]) -> str:
    """The rules of those classes, and the colours of the pages."""
    tokens = files("store.server").joinpath("web/static/css/tokens.css").read_text("utf-8")
    # Paper is white.
    tokens = tokens.replace("@media (prefers", "@media screen and (prefers")
    names = sorted({name for mark in marks for name in mark.split()})
    return tokens + "".join(
        f".{name} {{ color: {css_colour(int(name[1:]))}; }}\n"
        if name[0] == "c"
        else f".{name} {{ stroke-dasharray: {DASHES[int(name[1:])]}; }}\n"
        for name in names
    )
