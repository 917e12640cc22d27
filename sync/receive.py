"""Receive: the rows of a batch into the database of the run that they belong to.

The same for a server, a folder remote and a pull. A batch is one transaction, on the disk when it
is answered; what was received before is skipped, so any batch may come twice. A gap refuses the
whole batch with the positions that are true here, from which the sender goes on. Rows that are to
begin a run (resume="never") are refused where the run has rows of another store only.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from store.database import RunDatabase
from store.errors import RemoteRefused, SyncError
from store.jsontext import from_json
from store.locks import run_lock
from store.paths import RunFolder, StoreFolder
from store.reading import reading
from store.row import POISON, Kind, packb
from store.shared.snapshots import note_unpublished, open_database
from store.stretch import Stretch
from store.sync.pieces import cut
from store.sync.wire import Batch, Section
from store.transfer import fold_if_ours, sync_folder

LOCK_SECONDS: Final = 30.0

Positions = dict[str, tuple[int, bytes]]
"""By source uuid: the number of the last row, and the digest of all up to it."""
Fields = tuple[int, int, int, float, dict[str, Any]]
"""number, kind, step, time, data: a row before it is checked."""


class GapError(SyncError):
    """Rows were offered that do not follow on those here; `positions` says where to go on."""

    def __init__(self, positions: Positions) -> None:
        super().__init__("rows are missing before those that were sent")
        self.positions = positions


class TakenError(RemoteRefused):
    """The run was to be new (resume="never"), and another store's has its id."""

    def __init__(self, run: str) -> None:
        super().__init__(
            f'another store has a run {run} there, and resume="never" is not to join it: `store'
            f' sync {run} --project NAME` sends it elsewhere, store.init(id=..., resume="allow")'
            " lets the two be one",
            status=409,
            code="run_exists",
        )


class Received(NamedTuple):
    """The positions after a batch, how many rows were new, and (uuid, number, reason) of those
    that could not be kept."""

    positions: Positions
    new: int
    refused: list[tuple[str, int, str]]


def receive(run: RunFolder, batch: Batch) -> Received:
    """Absorb a batch into `run`, which is made when it is not there.

    Raises:
        GapError, TakenError: nothing was absorbed.
        StoreLocked, StoreCorrupt, SchemaTooNew, OSError: the run's database, or its disk.
    """
    require_start(run, batch)
    is_new = not run.exists()
    run.path.mkdir(parents=True, exist_ok=True)
    with run_lock(run.lock).hold(LOCK_SECONDS):
        database = open_database(run)
        try:
            if run.is_shared:
                note_unpublished(database)
            received = absorb_batch(database, batch)
        finally:
            database.close()
    if is_new:
        sync_folder(run.path)
    return received


def require_start(run: RunFolder, batch: Batch) -> None:
    """GapError for rows in mid-run of a run that is not here: nothing is to be made for them."""
    if not run.exists() and any(section.first > 1 for section in batch.sections):
        raise GapError({section.uuid: (0, bytes(16)) for section in batch.sections})


def absorb_batch(database: RunDatabase, batch: Batch) -> Received:
    """Absorb a batch in one durable transaction, under the run's lock.

    Raises:
        GapError, TakenError: nothing was absorbed.
    """
    new = 0
    refused: list[tuple[str, int, str]] = []
    with database.transaction(durable=True):
        if batch.is_new and _is_anothers(database, batch):
            raise TakenError(batch.run.run)
        gaps = [s for s in batch.sections if s.first > _position(database, s.uuid) + 1]
        if gaps:
            raise GapError(positions_of(database, [s.uuid for s in batch.sections]))
        for section in batch.sections:
            new += _absorb_section(database, section)
            refused += _refused(database, section)
    return Received(positions_of(database, [s.uuid for s in batch.sections]), new, refused)


def _is_anothers(database: RunDatabase, batch: Batch) -> bool:
    """Whether there are rows, and none of them of the store that the batch comes from.

    A copy of that store has another id, but the same sources.
    """
    known = database.sources()
    ours = {section.uuid for section in batch.sections}
    return bool(known) and not any(s.uuid in ours or s.store == batch.store for s in known)


def positions_of(database: RunDatabase, uuids: Sequence[str] | None = None) -> Positions:
    """Where the given sources stand, or all of them; a source that is not known stands at 0."""
    known = {s.uuid: (s.position, s.digest) for s in database.sources()}
    if uuids is None:
        return known
    return {uuid: known.get(uuid, (0, bytes(16))) for uuid in uuids}


def positions_in(store: StoreFolder, entity: str, project: str, run_id: str) -> Positions:
    """Where all sources of a run stand; empty when there is no such run."""
    run = store.run(entity, project, run_id)
    if run.is_shared and run.exists():
        fold_if_ours(run)
    if not run.database.exists():
        return {}  # what is in its journals only is received again, and skipped
    try:
        with reading(run) as connection:
            found = connection.execute("SELECT uuid, position, digest FROM source").fetchall()
    except FileNotFoundError:
        return {}
    return {uuid: (position, digest) for uuid, position, digest in found}


def _position(database: RunDatabase, uuid: str) -> int:
    source = database.source(uuid)
    return source.position if source else 0


def _absorb_section(database: RunDatabase, section: Section) -> int:
    source = database.ensure_source(section.uuid, section.kind)
    if not section.stubs and section.first == source.position + 1:
        new = database.absorb_pieces(section.uuid, _pieces(section))
    else:
        new = _absorb_rows(database, section)
    if section.writing:
        database.execute("UPDATE source SET seen = ? WHERE id = ?", (time.time(), source.id))
    return new


def _pieces(section: Section) -> Iterator[Stretch | list[Fields]]:
    for piece in cut(section):
        yield piece if isinstance(piece, Stretch) else fields_of(piece)


def _absorb_rows(database: RunDatabase, section: Section) -> int:
    """Rows that were in part received before, or that stubs are among."""
    stubs = {place: (row_hash, reason) for place, row_hash, reason in section.stubs}
    rows = fields_of(section)
    new, first = 0, 0
    for place in sorted(stubs):
        new += database.absorb_within(section.uuid, rows[first:place])
        first = place + 1
        number = section.first + place
        if number == _position(database, section.uuid) + 1:
            row_hash, reason = stubs[place]
            database.reject(section.uuid, number, b"", reason, digest=row_hash or None)
            new += 1
    return new + database.absorb_within(section.uuid, rows[first:])


def _refused(database: RunDatabase, section: Section) -> list[tuple[str, int, str]]:
    """What is a stub here and was none when it came."""
    sent = {section.first + place for place, _, _ in section.stubs}
    return [
        (section.uuid, number, reason)
        for number, reason in database.execute(
            "SELECT number, reason FROM rejected x JOIN source s ON s.id = x.source"
            " WHERE s.uuid = ? AND number BETWEEN ? AND ?",
            (section.uuid, section.first, section.last),
        )
        if number not in sent
    ]


def fields_of(section: Section) -> list[Fields]:
    """The rows of a section; the data of a stub is empty."""
    kinds = list(section.kinds)
    datas: list[Any] = [{} for _ in kinds]
    metric = [place for place, kind in enumerate(kinds) if kind == Kind.METRIC]
    for group in section.groups:
        names = group.names
        places = metric if group.rows is None else group.rows
        for place, values in zip(places, zip(*group.columns, strict=True), strict=bool(names)):
            datas[place].update(zip(names, values, strict=True))
    for place, stream, text in section.lines:
        datas[place] = {"stream": stream, "text": text}
    poison: dict[int, str] = {}
    for place, text in section.others:
        datas[place] = _value(text, place, poison)
    for name, place, text in section.objects:
        datas[place][name] = _value(text, place, poison)
    for place, reason in poison.items():
        kinds[place], datas[place] = POISON, {"reason": reason}
    numbers = range(section.first, section.first + len(kinds))
    return list(zip(numbers, kinds, section.steps, section.times, datas, strict=True))


def _value(text: str, place: int, poison: dict[int, str]) -> Any:
    """The value of a JSON text; one that is none makes its row one that cannot be kept."""
    try:
        value = from_json(text)
        if "\\u" in text:
            packb(value)  # an escape may stand for half a character, which no row can hold
    except (ValueError, OverflowError, RecursionError) as error:
        poison[place] = f"not JSON: {error}"
        return None
    return value
