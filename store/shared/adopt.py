"""Adopt: finish what a host that will not come back has left in a shared store.

Nobody can tell a node that died from one that is cut off, so it takes a person's word. The rows
of its journals that can be read are kept, damage becomes stubs, and the journals go once they are
in a snapshot. A node that comes back after all writes again what is not in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from store.errors import UsageError
from store.fold import fold
from store.ownership import read_note, writer_life
from store.paths import RunFolder, StoreFolder
from store.reading import reading
from store.shared import live
from store.shared.publish import publish

LOCK_SECONDS: Final = 30.0


class Adopted(NamedTuple):
    """What became of one run: journals that were taken over, and those whose writer gives signs."""

    run: RunFolder
    journals: int
    alive: int


def adopt_host(store: StoreFolder, host: str) -> Iterator[Adopted]:
    """Take over the journals of the writers of `host`, run by run.

    Raises:
        UsageError: the store is not shared: there the kernel tells who died, and folds adopt.
        StoreError, OSError: a run cannot be folded, or its snapshot not be published.
    """
    if not store.is_shared:
        raise UsageError(
            f"{store.path} is not shared between hosts: journals of dead writers are taken over "
            "by whoever reads them"
        )
    for run in store.runs():
        theirs = _writers_of(run, host)
        alive = {uuid for uuid in theirs if writer_life(run, uuid) == "alive"}
        dead = frozenset(theirs - alive)
        if dead:
            publish(run, adopt=dead)  # which folds them first
            for uuid in dead:
                live.unmark(run, uuid)
        if theirs:
            yield Adopted(run, len(dead), len(alive))


def _writers_of(run: RunFolder, host: str) -> set[str]:
    """The writers of `host` that have a journal, by their `.own` or by their first row."""
    waiting = run.segments().keys() | run.owned()
    found = {
        uuid
        for uuid in waiting
        if str(read_note(run.own(uuid)).get("kernel", "")).partition("/")[0] == host
    }
    if waiting - found:
        fold(run, timeout=LOCK_SECONDS)
        with reading(run) as connection:
            named = connection.execute("SELECT uuid FROM source WHERE host = ?", (host,))
            found |= {uuid for (uuid,) in named if uuid in waiting}
    return found
