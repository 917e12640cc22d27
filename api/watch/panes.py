"""Which sections fit a terminal, and how large they are there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from textual.geometry import Size

PANES: Final = ("runs", "charts", "system", "console", "overview")
"""In the order in which Tab goes through them."""
MIDDLE: Final = ("charts", "system", "console")


def shown_panes(
    size: Size, folded: Mapping[str, bool], zoomed: str | None, *, has_system: bool
) -> set[str]:
    """The sections to show: as `folded` says, else those for which there is room.

    Args:
        zoomed: the section that takes all of the middle.
        has_system: there are system metrics.
    """
    room = {
        "runs": size.width >= 60,
        "charts": True,
        "system": has_system and size.height >= 36,
        "console": size.height >= 20,
        "overview": size.width >= 110,
    }
    shown = {pane for pane in PANES if not folded.get(pane, not room[pane])}
    return shown if zoomed is None else shown.difference(MIDDLE) | {zoomed}


def widths(size: Size) -> dict[str, int]:
    """Columns of the side bars."""
    quarter = size.width // 4
    return {"runs": max(24, min(40, quarter)), "overview": max(34, min(52, quarter))}


def heights(size: Size) -> dict[str, int]:
    """Lines of the lower sections."""
    fifth = size.height // 5
    return {"system": max(9, min(16, fifth)), "console": max(6, min(16, fifth))}
