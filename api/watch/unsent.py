"""What of a run its remotes do not have, as far as is known here; asks nobody."""

from __future__ import annotations

import time
from typing import Final

from store.api.shell import plural
from store.outline import RunLine
from store.paths import StoreFolder
from store.settings import resolve_for
from store.sync.standings import KnownRemotes

SECONDS: Final = 5.0


def unsent_rows(store: StoreFolder, line: RunLine) -> int | None:
    """Rows that the remotes of the run lack, in all; None: it has no remote."""
    known = KnownRemotes(store, resolve_for(store.path).settings)
    places = known.places_of(store.run_of(line.key))
    return sum(place.standing.unsent for place in places) if places else None


class Unsent:
    """The answer for one run at a time, asked anew every few seconds."""

    def __init__(self, store: StoreFolder) -> None:
        self._store = store
        self._asked: object = None
        self._due = 0.0
        self._said = ""

    def of(self, line: RunLine | None) -> str:
        """A few words (`12 rows unsent`); empty where there is no remote."""
        if line is None or line.error is not None:
            return ""
        now = time.monotonic()
        if line.key != self._asked or now >= self._due:
            rows = unsent_rows(self._store, line)
            self._said = (
                "" if rows is None else f"{plural(rows, 'row')} unsent" if rows else "all sent"
            )
            self._asked, self._due = line.key, now + SECONDS
        return self._said
