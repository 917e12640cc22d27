"""Fold: move rows from a run's journals into its database.

Whoever wants to know folds: the writer's background thread, `finish`, and every reader, live
journals included. A fold starts at the bookmark that the last one left (in the same transaction
as the rows), so it can be killed anywhere and repeated by anybody.

In local mode a segment is unlinked only after a commit that is on the disk itself holds all of
it, and only when no row can follow in it: a later segment exists, its writer ended (END row), or
is dead and its `.own` was taken. Journals first, then `.own`. The source's row stays as a
tombstone, for after a power cut the file may be back. In a live journal bytes that are no frame
mean wait; in a dead one they become a stub. In shared mode each host folds for itself, what is
missing in a journal may still be on its way, and only `store.shared.publish` removes anything.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from store import journal
from store.database import RunDatabase, Source
from store.errors import SequenceGap
from store.locks import let_fork, no_fork, run_lock
from store.ownership import adopted, is_dead_here, life_of
from store.paths import RunFolder
from store.row import POISON, BadRowError, Kind, Row, unpack_plain, unpack_row
from store.shared.carry import carry
from store.shared.snapshots import catch_up, open_database
from store.shared.spills import drop_spill_folders

FOLD_BYTES: Final = 4 * 2**20
"""Journal bytes in one transaction."""
MAX_MISSING: Final = 1_000_000
"""Rows in a row that damage may have cost; a number further ahead is damage itself."""
UNNAMED_SECONDS: Final = 60.0


class Folded(NamedTuple):
    """What a fold did: rows that were new, seconds it waited for the lock, writers adopted."""

    rows: int
    waited: float
    adopted: int


def fold(
    run: RunFolder,
    *,
    timeout: float,
    durable: bool = False,
    database: RunDatabase | None = None,
    adopt: frozenset[str] = frozenset(),
) -> Folded:
    """Fold every journal of `run`; with `durable` all of it is on the disk afterwards.

    `adopt` are writers of other hosts that somebody says are dead.

    Raises:
        StoreLocked: run.lock was not to be had within `timeout` seconds.
        StoreCorrupt, SchemaTooNew: the database cannot be written.
        OSError, sqlite3.OperationalError: the disk is full, or not ours to write to.
    """
    with run_lock(run.lock).hold(timeout) as waited, no_fork:
        opened = open_database(run) if database is None else database
        try:
            if run.is_shared:
                return _fold_shared(run, opened, adopt)._replace(waited=waited)
            return _fold_all(run, opened, durable)._replace(waited=waited)
        finally:
            if database is None:
                opened.close()


def _fold_all(run: RunFolder, database: RunDatabase, durable: bool) -> Folded:
    rows, takeovers = 0, 0
    done: list[str] = []
    spent: list[Path] = []
    owned = run.owned()
    with contextlib.ExitStack() as adoptions:
        for uuid, listed in run.segments().items():
            own = run.own(uuid)
            dead = life_of(own) == "dead" and adoptions.enter_context(adopted(own))
            # A writer that is found dead now may have begun a segment since they were listed.
            segments = run.segments().get(uuid, listed) if dead else listed
            folding = _Folding(database, uuid, segments)
            rows += folding.run(dead)
            over = folding.complete and (dead or folding.ended)
            if over:
                done.append(uuid)
                takeovers += not folding.ended
            spent += folding.spent(everything=over)
        if spent or durable:
            with database.transaction(durable=True):
                database.end_sources(done)
        for path in spent:
            path.unlink(missing_ok=True)
        for uuid in done:
            run.own(uuid).unlink(missing_ok=True)
    if done:
        drop_spill_folders(run)
    _drop_orphaned_owns(run, owned)
    return Folded(rows, 0.0, takeovers)


def _fold_shared(run: RunFolder, database: RunDatabase, adopt: frozenset[str]) -> Folded:
    """Follow the snapshots, then the journals. Nothing on the share is changed."""
    with contextlib.suppress(OSError):  # the share is not ours to write to, or takes nothing
        carry(run)
    rows, takeovers = catch_up(run, database), 0
    done: list[str] = []
    revived: list[str] = []
    with contextlib.ExitStack() as adoptions:
        for uuid, listed in run.segments().items():
            own = run.own(uuid)
            dead = uuid in adopt or (is_dead_here(own) and adoptions.enter_context(adopted(own)))
            segments = run.segments().get(uuid, listed) if dead else listed
            folding = _Folding(database, uuid, segments, shared=True, patient=not dead)
            rows += folding.run(dead)
            if folding.complete and (dead or folding.ended):
                done.append(uuid)
                takeovers += not folding.ended
            else:
                revived.append(uuid)
        ended = {source.uuid for source in database.sources() if source.ended}
        if not ended.issuperset(done) or not ended.isdisjoint(revived):
            with database.transaction():
                database.end_sources(done)
                database.end_sources(revived, ended=False)
    return Folded(rows, 0.0, takeovers)


def _drop_orphaned_owns(run: RunFolder, owned: set[str]) -> None:
    """Remove the `.own` of writers that died before their first journal existed."""
    journals = run.segments()
    for path in run.journals.glob("*.owning"):
        # A writer that died within the few instructions before its lock had a name.
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > UNNAMED_SECONDS:
                path.unlink()
    for uuid in owned - journals.keys():
        path = run.own(uuid)
        with adopted(path) as held:
            # Looked at again under the lock: it may have been a writer between its two files.
            if held and uuid not in run.segments():
                path.unlink(missing_ok=True)


class _Folding:
    """One source's journal on its way into the database.

    With `shared`, a segment that is missing may be in a snapshot that was absorbed; with `patient`,
    what is damaged or missing may still be on its way from another host.
    """

    def __init__(
        self,
        database: RunDatabase,
        uuid: str,
        segments: list[tuple[int, Path]],
        *,
        shared: bool = False,
        patient: bool = False,
    ) -> None:
        self._db = database
        self._uuid = uuid
        self._segments = segments
        self._shared = shared
        self._patient = patient
        self._at = 0
        self.ended = False
        self.complete = False

    def spent(self, *, everything: bool) -> list[Path]:
        """The segments that can go once the database is on the disk: those that others follow."""
        return [path for number, path in self._segments if everything or number < self._at]

    def run(self, dead: bool) -> int:
        """Absorb what is there; gives the number of new rows."""
        source = self._db.source(self._uuid)
        start = source.position if source else 0
        at, offset = (source.segment, source.offset) if source else (0, 0)
        is_whole = True
        for index, (number, path) in enumerate(self._segments):
            if number < at:
                continue
            if number > at + 1 and not self._shared:
                # A segment in between lies on another host's spill disk: wait for that host.
                return self._end(start)
            self._at = number
            # Once a later segment exists nothing more is written to this one.
            final = not self._patient and (dead or index < len(self._segments) - 1)
            try:
                self._read(number, path, offset if number == at else 0, final)
            except FileNotFoundError:
                pass
            except SequenceGap:
                # Rows before these have not come through yet, or are written again in the next.
                is_whole = False
            else:
                is_whole = True
            at = number
        self.complete = is_whole
        return self._end(start)

    def _end(self, start: int) -> int:
        source = self._db.source(self._uuid)
        if source is None:
            return 0
        new = source.position - start
        # A writer that was taken for dead, and came back, is over again only with its END.
        self.ended = self._has_end(source) or (bool(source.ended) and not (self._patient and new))
        return new

    def _has_end(self, source: Source) -> bool:
        (kind,) = self._db.execute(
            "SELECT kind FROM rows WHERE source = ? AND number = ?", (source.id, source.position)
        ).fetchone() or (None,)
        return bool(kind == Kind.END)

    def _read(self, segment: int, path: Path, offset: int, final: bool) -> None:
        offset = self._absorb_from(segment, path, offset)
        if final:
            self._salvage(segment, path, offset)

    def _absorb_from(self, segment: int, path: Path, offset: int) -> int:
        while True:
            chunk = journal.read_frames(path, offset, FOLD_BYTES)
            if chunk.payloads:
                self._absorb(chunk.payloads, (segment, chunk.offset))
            offset = chunk.offset
            if chunk.complete:
                return offset
            let_fork()

    def _absorb(self, payloads: list[memoryview], bookmark: tuple[int, int]) -> None:
        rows = unpack_plain(payloads)
        if rows is None:
            rows = self._numbered([_row_or_poison(payload) for payload in payloads])
        try:
            self._db.absorb(self._uuid, rows, payloads=payloads, bookmark=bookmark)
        except SequenceGap:
            if self._patient:
                raise
            self._absorb_uneven(rows, payloads, bookmark)

    def _absorb_uneven(
        self, rows: Sequence[Row | list[Any]], payloads: list[memoryview], bookmark: tuple[int, int]
    ) -> None:
        """Frames are numbered as they are written: what is missing between them was damaged."""
        with self._db.transaction():
            for first, last in _stretches(rows):
                expected = self._db.ensure_source(self._uuid).position + 1
                missing = rows[first][0] - expected
                if missing > MAX_MISSING:
                    for number, payload in enumerate(payloads[first:last], expected):
                        self._db.reject(
                            self._uuid,
                            number,
                            bytes(payload),
                            "damaged: its number is out of order",
                        )
                    continue
                for number in range(expected, rows[first][0]):
                    self._db.reject(self._uuid, number, b"", "lost: missing in the journal")
                self._db.absorb_within(self._uuid, rows[first:last], payloads=payloads[first:last])
            self._db.absorb_within(self._uuid, [], bookmark=bookmark)

    def _numbered(self, rows: list[Row]) -> list[Row | list[Any]]:
        """Give poison rows the number that their neighbours leave for them."""
        known = next((i for i, row in enumerate(rows) if row.kind != POISON), None)
        source = self._db.source(self._uuid)
        first = rows[known].number - known if known is not None else 0
        if known is None:
            first = (source.position if source else 0) + 1
        return [
            row._replace(number=first + i) if row.kind == POISON else row
            for i, row in enumerate(rows)
        ]

    def _salvage(self, segment: int, path: Path, offset: int) -> None:
        """In a segment that nobody writes any more: set damage aside, go on behind it."""
        while rest := journal.rest_of(path, offset):
            found = journal.find_frame(path, offset)
            damaged = rest if found is None else rest[: found - offset]
            with self._db.transaction():
                source = self._db.ensure_source(self._uuid)
                if not source.ended and not self._has_end(source):
                    self._db.reject(
                        self._uuid, source.position + 1, bytes(damaged), "damaged: not a frame"
                    )
                offset = offset + len(rest) if found is None else found
                self._db.execute(
                    "UPDATE source SET segment = ?, offset = ? WHERE id = ?",
                    (segment, offset, source.id),
                )
            offset = self._absorb_from(segment, path, offset)


def _row_or_poison(payload: memoryview) -> Row:
    try:
        return unpack_row(payload)
    except BadRowError as error:
        return Row(1, POISON, 0, 0.0, {"reason": str(error)})


def _stretches(rows: Sequence[Row | list[Any]]) -> Iterator[tuple[int, int]]:
    """The index ranges within which the numbers follow each other."""
    first = 0
    for index in range(1, len(rows)):
        if rows[index][0] != rows[index - 1][0] + 1:
            yield first, index
            first = index
    yield first, len(rows)
