"""Cursors: what a remote is known to have of a run, kept in the run's own database.

A target is a place on a remote: the remote's name (a URL, or `folder:` and the id of the store
there), and the entity and project that the run has there. Its cursors say, per source, up to
which row the remote has acknowledged; they are moved in one transaction under the run's lock, and
only on the remote's word. Beside them lie the rows that it refused and how the last try ended.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable
from typing import NamedTuple

from store.database import RunDatabase
from store.sync.receive import Positions


class Target(NamedTuple):
    """A place that runs are sent to."""

    remote: str
    entity: str
    project: str


class Standing(NamedTuple):
    """How a run stands at a target.

    `rows` are here, `acknowledged` there, `refused` there as stubs only. `oldest` is the time of
    the first unsent row and `tried` of the last try (seconds since 1970). `files` are those that
    are missing there (None: not asked yet). `differing` are sources whose digests differ at the
    same row, `ahead` those of which the remote has more rows, so that nothing is known of their
    digests at ours. `reason` is why the first refused row was. `error` is what went wrong last,
    `place` the remote in words, where it was tried.
    """

    rows: int
    acknowledged: int
    refused: int
    oldest: float | None
    tried: float | None
    files: int | None
    differing: tuple[str, ...]
    ahead: tuple[str, ...]
    reason: str | None
    error: str | None
    place: str | None

    @property
    def unsent(self) -> int:
        return self.rows - self.acknowledged

    @property
    def is_synced(self) -> bool:
        """Whether all that is here is there and was found equal."""
        return self.is_sent and not self.ahead

    @property
    def is_sent(self) -> bool:
        """As `is_synced`, but for what the remote has beyond it: there is nothing left to send."""
        trouble = self.unsent or self.refused or self.files is None or self.files or self.differing
        return not trouble and self.error is None


def read_cursors(connection: sqlite3.Connection, target: Target) -> Positions:
    """What the target has acknowledged, by source uuid."""
    return {
        uuid: (position, digest)
        for uuid, position, digest in connection.execute(
            "SELECT s.uuid, c.position, c.digest FROM cursor c JOIN source s ON s.id = c.source"
            " WHERE c.remote = ? AND c.entity = ? AND c.project = ?",
            target,
        )
    }


def move_cursors(database: RunDatabase, target: Target, positions: Positions) -> None:
    """Set the cursors of the sources in `positions`, forwards or back, as the remote says.

    Where the remote has more of a source than is here, all of it is acknowledged, and nothing is
    known of its digest at our last row.
    """
    with database.transaction():
        for uuid, (position, digest) in positions.items():
            source = database.source(uuid)
            if source is None:
                continue
            known = digest if position <= source.position else b""
            database.execute(
                "INSERT INTO cursor VALUES(?, ?, ?, ?, ?, ?)"
                " ON CONFLICT DO UPDATE SET position = excluded.position, digest = excluded.digest",
                (*target, source.id, min(position, source.position), known),
            )
            database.execute(
                "DELETE FROM refused WHERE remote = ? AND entity = ? AND project = ?"
                " AND source = ? AND number > ?",
                (*target, source.id, position),
            )


def note_refused(
    database: RunDatabase, target: Target, refused: Iterable[tuple[str, int, str]]
) -> None:
    """Remember the rows (uuid, number, reason) that the target keeps as stubs only."""
    with database.transaction():
        for uuid, number, reason in refused:
            source = database.source(uuid)
            if source is not None:
                database.execute(
                    "INSERT OR REPLACE INTO refused VALUES(?, ?, ?, ?, ?, ?)",
                    (*target, source.id, number, reason),
                )


def note_try(
    database: RunDatabase,
    target: Target,
    place: str,
    error: str | None,
    files: int | None = None,
) -> None:
    """Remember how a try ended; `place` is the remote in words, `files` are still missing there
    (None: as known before)."""
    with database.transaction():
        database.execute(
            "INSERT INTO target VALUES(?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
            " place = excluded.place, tried = excluded.tried, error = excluded.error,"
            " files = coalesce(excluded.files, files)",
            (*target, place, time.time(), error, files),
        )


def targets(connection: sqlite3.Connection) -> list[Target]:
    """Every target that the run was ever sent to."""
    return [
        Target(*fields)
        for fields in connection.execute(
            "SELECT remote, entity, project FROM target"
            " UNION SELECT remote, entity, project FROM cursor ORDER BY 1, 2, 3"
        )
    ]


def standing(connection: sqlite3.Connection, target: Target) -> Standing:
    """How the run stands at `target`, as far as is known here."""
    cursors = read_cursors(connection, target)
    rows = acknowledged = 0
    oldest: float | None = None
    differing, ahead = [], []
    for number, uuid, position, digest in connection.execute(
        "SELECT id, uuid, position, digest FROM source"
    ).fetchall():
        known, known_digest = cursors.get(uuid, (0, b""))
        rows += position
        acknowledged += min(known, position)
        if known < position:
            (first,) = connection.execute(
                "SELECT min(time) FROM rows WHERE source = ? AND number = ?", (number, known + 1)
            ).fetchone()
            oldest = first if oldest is None else min(oldest, first or oldest)
        elif not known_digest and position:
            ahead.append(uuid)
        elif known == position and known_digest != digest and position:
            differing.append(uuid)
    refused, reason = connection.execute(
        "SELECT count(*), min(reason) FROM refused WHERE remote = ? AND entity = ? AND project = ?",
        target,
    ).fetchone()
    place, tried, error, files = connection.execute(
        "SELECT place, tried, error, files FROM target"
        " WHERE remote = ? AND entity = ? AND project = ?",
        target,
    ).fetchone() or (None, None, None, None)
    return Standing(
        *(rows, acknowledged, refused, oldest, tried, files),
        *(tuple(differing), tuple(ahead), reason, error, place),
    )
