"""Counts: where the rows of a run are, and what threatens them; the facts of `store status`.

Rows are in run.db, in journals that were not folded yet, or (on a full disk) in the memory of a
writer that lives, which says so in its `.own`. Whatever is looked at may change meanwhile: a
journal that is folded while its frames are counted is counted as folded or not, never twice.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from store import journal
from store.errors import StoreError
from store.jsontext import from_json
from store.ownership import Life, read_note, writer_life
from store.reading import reading

if TYPE_CHECKING:
    from store.outline import RunLine
    from store.paths import RunFolder

UNKNOWN: Final = "nobody can tell whether its writer lives"


class RunStatus(NamedTuple):
    """Rows of a run by where they are.

    `stored` are in the database; `journal_rows` wait in journals; `at_risk` only in the memory of
    living writers; `dropped` found no room even there. `refused` counts values that could not be
    kept, by reason; `rejected` rows that are here as stubs only, by reason. `trouble`: sentences.
    """

    stored: int
    journal_rows: int
    at_risk: int
    dropped: int
    alive: int
    refused: dict[str, int]
    rejected: dict[str, int]
    trouble: tuple[str, ...]


def read_status(folder: RunFolder, line: RunLine) -> RunStatus:
    """The status of a run, whose line a refresh has just brought up to date."""
    notes = list(read_notes(folder)) if line.marks is not None else []
    trouble = [note.trouble for note in notes if note.trouble]
    if line.error:
        trouble.insert(0, line.error)
    waiting = 0
    rejected: dict[str, int] = {}
    if line.error is None and (line.marks is not None or line.stubs):
        try:
            waiting, rejected = _look_into(folder, stubs=line.stubs)
        except (StoreError, sqlite3.Error, OSError) as error:
            trouble.append(str(error))
    if any(note.life == "unknown" for note in notes):
        trouble.append(UNKNOWN)
    return RunStatus(
        stored=line.rows,
        journal_rows=waiting,
        at_risk=sum(note.waiting for note in notes if note.life != "dead"),
        dropped=sum(note.dropped for note in notes),
        alive=sum(note.life == "alive" for note in notes),
        refused=from_json(line.refused),
        rejected=rejected,
        trouble=tuple(dict.fromkeys(trouble)),
    )


class Note(NamedTuple):
    """What a writer says in its `.own`."""

    uuid: str
    life: Life
    waiting: int
    dropped: int
    trouble: str


def read_notes(run: RunFolder) -> Iterator[Note]:
    """The notes of the writers that have a journal."""
    segments = run.segments()
    for uuid in sorted(segments):
        facts = read_note(run.own(uuid))
        yield Note(
            uuid,
            writer_life(run, uuid),
            _count(facts.get("waiting")),
            _count(facts.get("dropped")),
            str(facts.get("trouble") or ""),
        )


def _count(value: object) -> int:
    return value if isinstance(value, int) and value > 0 else 0


def _look_into(run: RunFolder, *, stubs: int) -> tuple[int, dict[str, int]]:
    """Rows in journals behind the bookmarks, and the reasons of stubs."""
    with reading(run) as connection:
        bookmarks = {
            uuid: (segment, offset)
            for uuid, segment, offset in connection.execute(
                "SELECT uuid, segment, offset FROM source"
            )
        }
        reasons = (
            connection.execute(
                "SELECT reason, count(*) FROM rejected GROUP BY reason ORDER BY reason"
            )
            if stubs
            else ()
        )
        rejected = dict(reasons)
    return count_waiting(run, bookmarks), rejected


def count_waiting(run: RunFolder, bookmarks: dict[str, tuple[int, int]]) -> int:
    """Frames in the journals of `run` behind the (segment, offset) that a fold left per writer."""
    total = 0
    for uuid, segments in run.segments().items():
        at, offset = bookmarks.get(uuid, (0, 0))
        for number, path in segments:
            if number >= at:
                total += _count_frames(path, offset if number == at else 0)
    return total


def _count_frames(path: Path, offset: int) -> int:
    count = 0
    while True:
        try:
            chunk = journal.read_frames(path, offset)
        except FileNotFoundError:
            return count
        count += len(chunk.payloads)
        offset = chunk.offset
        if chunk.complete:
            return count
