"""What a run, or one of its writers, is doing: running, finished, failed, killed or crashed.

Only primary writers decide; a forked child (it has a parent) counts with an END that says failed,
and decides alone where its parent never wrote. A writer is out of date once another with the same
label opened after it, or once the run was taken up again: sessions are cut where a primary writer
opens later than the last row of all before it.

END of every writer that counts: killed if one says so, else failed if one says so, else finished.
One without END: crashed when its process is gone; where that cannot be known (a network disk, rows
that came from another host) it runs for as long as its last row, or the last word that it lives,
is younger than 60 s.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from store.database import Source
from store.ownership import Life

EDITOR: Final = "editor"
"""The parent of a source that changed a run from outside: it has no part in the run's life."""
SILENT_SECONDS: Final = 60.0
"""How long a writer of unknown life counts as running after its last sign."""


def run_state(sources: Sequence[Source], life: Mapping[str, Life], now: float | None = None) -> str:
    """One of running, finished, failed, killed, crashed.

    `life` maps writers' uuids to what `writer_life` says; one that is missing is unknown. A uuid
    without a source is a writer that has no row here yet. A run without any row is running while
    a writer lives, and else crashed: somebody made it and wrote nothing.
    """
    editors = {source.uuid for source in sources if source.parent == EDITOR}
    if any(word == "alive" for uuid, word in life.items() if uuid not in editors):
        return "running"
    deciding = _deciding(sources)
    states = {writer_state(source, life.get(source.uuid, "unknown"), now) for source in deciding}
    since = min((_opened(source) for source in deciding), default=0.0)
    for child in sources:
        if (
            child.parent not in (None, EDITOR)
            and child.state == "failed"
            and _opened(child) >= since
        ):
            states.add("failed")
    for state in ("crashed", "running", "killed", "failed"):
        if state in states:
            return state
    return "finished" if states else "crashed"


def writer_state(source: Source, life: Life, now: float | None = None) -> str:
    """One of running, finished, failed, killed, crashed, for one writer."""
    if life == "alive":
        return "running"
    if source.state is not None:
        known = ("failed", "killed", "crashed")
        return source.state if source.state in known else "finished"
    if life == "dead" or source.ended or source.latest is None:
        return "crashed"
    moment = time.time() if now is None else now
    last = max(source.latest, source.seen or 0.0)
    return "running" if moment - last < SILENT_SECONDS else "crashed"


def _deciding(sources: Iterable[Source]) -> list[Source]:
    """The writers of the last session, each label's last one."""
    listed = list(sources)
    inside = [source for source in listed if source.parent != EDITOR]
    primary = [source for source in inside if source.parent is None] or inside
    session: list[Source] = []
    until = float("-inf")
    for source in sorted(primary, key=_opened):
        if _opened(source) > until:
            session = []
        session.append(source)
        until = max(until, _latest(source))
    newest = {source.label: source for source in session if source.label is not None}
    return [s for s in session if s.label is None or newest[s.label] is s]


def _opened(source: Source) -> float:
    # The OPEN row may be a stub; any row of the source is then the best that is known.
    return source.opened if source.opened is not None else source.latest or 0.0


def _latest(source: Source) -> float:
    return source.latest if source.latest is not None else _opened(source)
