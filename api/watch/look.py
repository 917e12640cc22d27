"""How things look: the colours of the pages' dark theme, marks of states, texts made harmless."""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import groupby
from operator import itemgetter
from typing import Final

from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip
from textual.theme import Theme

from store.api.chart import BOLD, DIM, Line
from store.api.text import cut_text, text_width, visible
from store.api.watch.picture import FAINT

BACK: Final = "#101215"
SURFACE: Final = "#16191d"
RAISED: Final = "#262b32"
RULE: Final = "#2b3037"
TEXT: Final = "#e4e7ec"
MUTED: Final = "#969fac"
ACCENT: Final = "#7ea6ff"
GOOD: Final = "#56c596"
WARN: Final = "#e3a54b"
BAD: Final = "#f28079"
SERIES: Final = (
    *("#5b9bf0", "#ee8a45", "#35b985", "#dc70b4", "#a48bf0"),
    *("#d0aa35", "#43bcd8", "#ea6a5e", "#9aa7ba", "#8bbd55"),
)
LETTERS: Final = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
THEME: Final = Theme(
    name="runstore",
    primary=ACCENT,
    accent=ACCENT,
    foreground=TEXT,
    background=BACK,
    surface=SURFACE,
    panel=RAISED,
    success=GOOD,
    warning=WARN,
    error=BAD,
    dark=True,
    variables={"rule": RULE, "muted": MUTED},
)
CSS: Final = """
Screen { background: $background; color: $foreground; }
Horizontal { height: 1fr; }
#middle { width: 1fr; }
#runs, #charts, #system, #console, #overview {
    border-top: solid $rule;
    border-title-color: $muted;
    border-subtitle-color: $muted;
    scrollbar-size-vertical: 1;
    scrollbar-color: $rule;
    scrollbar-background: $background;
}
#runs:focus, #charts:focus, #system:focus, #console:focus, #overview:focus {
    border-top: solid $primary;
    border-title-color: $primary;
    border-title-style: bold;
}
#charts { height: 1fr; }
#runs { margin-right: 1; }
#overview { margin-left: 1; }
Bar { height: 1; background: $surface; }
#hints { width: 1fr; height: 1; }
#label { width: auto; height: 1; }
#filter { width: 1fr; height: 1; border: none; background: $surface; padding: 0; }
#filter.-wrong { color: $error; }
"""
STATES: Final = {
    "running": ("●", ACCENT),
    "finished": ("✓", GOOD),
    "failed": ("✗", BAD),
    "crashed": ("!", BAD),
    "killed": ("■", WARN),
    "damaged": ("?", BAD),
}
"""By state: its mark, and the colour of that."""
LONGEST: Final = 400
"""Characters of a text that are looked at: nothing shows more of one in a line."""
_COLOURS: Final = re.compile("\x1b\\[[0-9;:]*m")


def clean(text: str) -> str:
    """The beginning of a text of others, harmless in a terminal."""
    return visible(text[:LONGEST])


def clean_print(text: str, width: int) -> str:
    """A line of the console in that many cells; colours are dropped, other escapes are shown."""
    plain = _COLOURS.sub("", text[: 4 * width + LONGEST]).replace("\t", "    ")
    return cut_text(visible(plain), width)


@lru_cache(maxsize=256)
def style(name: str) -> Style:
    """The style of a chart's span."""
    if name.startswith(FAINT):
        return Style(color=name.removeprefix(FAINT), dim=True)
    if name in (DIM, BOLD, ""):
        return {DIM: Style(color=MUTED), BOLD: Style(bold=True), "": Style()}[name]
    return Style(color=name)


def strip(line: Line, width: int, base: Style) -> Strip:
    """A line of spans in exactly `width` cells."""
    segments = [
        Segment("".join(text for text, _ in spans), style(name))
        for name, spans in groupby(line, key=itemgetter(1))
    ]
    return segments_strip(segments, width, base)


def segments_strip(segments: list[Segment], width: int, base: Style) -> Strip:
    """Segments in exactly `width` cells, on the widget's own style."""
    return Strip(segments).adjust_cell_length(width).apply_style(base)


def fit(text: str, width: int) -> str:
    """A text in exactly `width` cells."""
    cut = cut_text(text, width)
    return cut + " " * (width - text_width(cut))
