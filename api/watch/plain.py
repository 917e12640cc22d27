"""`store watch` where there is no terminal: a line about each running run, every few seconds.

A line is cells joined by two blanks: name, state, `step N`, up to four metrics as `KEY VALUE`,
`N rows`, and `N unsent` where the run has a remote.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Final

from store.api.text import cut_text, format_number, visible
from store.api.watch.unsent import unsent_rows
from store.errors import RunNotFound
from store.jsontext import from_json
from store.outline import RunLine
from store.query import Store

METRICS: Final = 4
LOOK_SECONDS: Final = 1.0
"""How soon the end of a run is noticed."""
_WIDEST: Final = 60


def watch_lines(
    store: Store, key: str | None, *, interval: float, once: bool, tell: Callable[[str], None]
) -> None:
    """Tell how the run with that key goes on, or all that run, until they have ended.

    Raises:
        RunNotFound: the run was removed.
    """
    told: dict[str, str] = {}
    due = 0.0
    while True:
        store.refresh(only=key)
        lines = list(_watched(store, key, told))
        ended = all(line.state != "running" for line in lines)
        if time.monotonic() >= due or ended:
            due = time.monotonic() + interval
            for line in lines:
                if told.get(line.key) != line.state or line.state == "running":
                    tell(describe(store, line))
                    told[line.key] = line.state
        if once or ended:
            return
        time.sleep(min(LOOK_SECONDS, max(0.01, due - time.monotonic())))


def _watched(store: Store, key: str | None, told: dict[str, str]) -> Iterator[RunLine]:
    """The run; or those that run or ran when they were told last; or the latest, if none does."""
    if key is not None:
        line = store.catalogue.line(key)
        if line is None:
            raise RunNotFound(key)
        yield line
        return
    lines = store.catalogue.lines()
    running = [line for line in lines if line.state == "running" or line.key in told]
    yield from running or lines[:1]


def describe(store: Store, line: RunLine) -> str:
    """The line about a run."""
    cells = [line.name, line.state]
    if line.error:
        cells.append(line.error)
    if line.steps is not None:
        cells.append(f"step {line.steps:,}")
    cells += [f"{key} {value}" for key, value in _metrics(line)]
    cells.append(f"{line.rows:,} rows")
    unsent = unsent_rows(store.folder, line)
    if unsent is not None:
        cells.append(f"{unsent:,} unsent")
    return "  ".join(cut_text(visible(cell[:1000]), _WIDEST) for cell in cells)


def _metrics(line: RunLine) -> Iterator[tuple[str, str]]:
    """The numbers of the summary, losses first."""
    nan = set(from_json(line.nan))
    numbers = {
        key: "NaN" if key in nan else format_number(value)
        for key, value in from_json(line.summary).items()
        if key in nan or (isinstance(value, int | float) and not isinstance(value, bool))
    }
    plain = [key for key in numbers if not key.startswith(("system/", "_"))]
    for key in sorted(plain, key=lambda key: ("loss" not in key, key))[:METRICS]:
        yield key, numbers[key]
