"""Absorb: put rows of one source into the tables of a run's database.

Within the caller's transaction. The rows of a batch are first checked, hashed and sorted into
columns in Python, so that nothing can fail in the middle of the SQL; then a few executemany write
them. A row that cannot be kept takes its number as a stub and never stops the rest.

`config`, `attribute`, `file` and `summary` do not depend on the order in which rows arrive: of
all rows that set a key the greatest (time, source uuid, number) wins, a deletion is a value, and
a summary value that was set explicitly goes before one that was only logged.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice, repeat
from typing import Any, Final

from store.batch import Batch
from store.errors import SequenceGap
from store.materialize import materialize
from store.reread import digest_from_tables
from store.row import BadRowError, Kind, Row, digest_of, next_digest, row_digest, shape_row
from store.stretch import Stretch, split, take

AT_ONCE: Final = 50
"""Rows in one INSERT: a statement costs SQLite about as much as two rows."""
_ROW: Final = "INSERT INTO rows VALUES(?, ?, ?, ?, ?, ?)"
_ROWS: Final = "INSERT INTO rows VALUES" + ", ".join(["(?, ?, ?, ?, ?, ?)"] * AT_ONCE)
_POINT: Final = "INSERT INTO point VALUES(?, ?, ?)"
_POINTS: Final = "INSERT INTO point SELECT ?, column1, column2 FROM (VALUES{})".format(
    ", ".join(["(?, ?)"] * AT_ONCE)
)


def _slices(
    rows: Iterable[tuple[object, ...]], before: tuple[object, ...]
) -> Iterator[tuple[object, ...]]:
    """The parameters of statements with AT_ONCE rows each, behind those that they share."""
    left = iter(rows)
    while part := tuple(chain.from_iterable(islice(left, AT_ONCE))):
        yield before + part


class Absorber:
    """Absorbs batches; remembers the ids of metrics between them."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection
        self._metrics: dict[str, int] = {}

    def forget(self) -> None:
        """After a rollback: ids that were given out in the transaction are not valid."""
        self._metrics.clear()

    def absorb(
        self,
        source: int,
        uuid: str,
        position: int,
        digest: bytes,
        rows: Sequence[Row | Sequence[Any]],
        payloads: Sequence[bytes | memoryview] | None,
    ) -> int:
        """Insert the rows behind `position`; see `RunDatabase.absorb`."""
        seen = sum(1 for row in rows if row[0] <= position)
        if seen:
            digest = self._replace_stubs(source, uuid, digest, rows[:seen])
            rows, payloads = rows[seen:], payloads[seen:] if payloads else None
        if not rows:
            return 0
        batch = Batch(source, uuid, self._next_seq(), digest)
        batch.position = position
        self._collect(batch, rows, payloads)
        self._write(batch)
        return len(rows)

    def absorb_pieces(
        self,
        source: int,
        uuid: str,
        position: int,
        digest: bytes,
        pieces: Iterable[Stretch | Sequence[Row | Sequence[Any]]],
    ) -> int:
        """Insert rows right behind `position`; see `RunDatabase.absorb_pieces`."""
        batch = Batch(source, uuid, self._next_seq(), digest)
        batch.position = position
        for piece in pieces:
            if not isinstance(piece, Stretch):
                self._collect(batch, piece, None)
            elif piece.numbers[0] != batch.position + 1:
                raise SequenceGap(uuid, batch.position + 1, piece.numbers[0])
            else:
                batch.add_stretch(piece, self._metric_ids(piece.keys))
                batch.position += len(piece.numbers)
        if batch.position > position:
            self._write(batch)
        return batch.position - position

    def reject(
        self,
        source: int,
        digest: bytes,
        number: int,
        frame: bytes,
        reason: str,
        row_hash: bytes | None = None,
    ) -> None:
        """Insert one stub, for a frame that cannot be read or a row that is elsewhere."""
        batch = Batch(source, "", self._next_seq(), digest)
        self._add_stub(batch, number, frame, reason, row_hash)
        batch.position = number
        self._write(batch)

    def _next_seq(self) -> int:
        (last,) = self._db.execute("SELECT max(seq) FROM rows").fetchone()
        return (last or 0) + 1

    def _collect(
        self,
        batch: Batch,
        rows: Sequence[Row | Sequence[Any]],
        payloads: Sequence[bytes | memoryview] | None,
    ) -> None:
        for index, row in enumerate(rows, batch.position + 1):
            if row[0] != index:
                raise SequenceGap(batch.uuid, index, row[0])
        for first, last in split(rows):
            part = payloads[first:last] if payloads is not None else None
            stretch = take(rows[first:last], part)
            if stretch is not None:
                batch.add_stretch(stretch, self._metric_ids(stretch.keys))
                continue
            for index in range(first, last):
                self._add(batch, rows[index], payloads[index] if payloads is not None else None)
        batch.position += len(rows)

    def _add(
        self, batch: Batch, row: Row | Sequence[Any], payload: bytes | memoryview | None
    ) -> None:
        try:
            shaped = shape_row(row)
            if shaped.kind == Kind.STUB:
                raise BadRowError("a row that calls itself a stub")
            row_hash = row_digest(shaped)
        except BadRowError as error:
            frame = (
                bytes(payload)
                if payload is not None
                else repr(row).encode("utf-8", "backslashreplace")
            )
            self._add_stub(batch, row[0], frame, str(error))
            return
        seq = batch.add_row(shaped, row_hash)
        if shaped.kind == Kind.METRIC:
            ids = dict(zip(shaped.data, self._metric_ids(tuple(shaped.data)), strict=True))
            batch.add_mixed(seq, shaped, ids)
        else:
            batch.add_other(seq, shaped)

    def _add_stub(
        self,
        batch: Batch,
        number: int,
        frame: bytes,
        reason: str,
        row_hash: bytes | None = None,
    ) -> None:
        row_hash = row_hash or digest_of(frame)
        batch.add_row(Row(number, Kind.STUB, 0, batch.latest or 0.0, {}), row_hash)
        batch.rejected.append((batch.source, number, frame, reason, row_hash))

    def _metric_ids(self, keys: tuple[str, ...]) -> list[int]:
        if any(type(key) is not str for key in keys):
            raise BadRowError("a key that is no string")
        known = self._metrics
        for key in keys:
            if key not in known:
                self._db.execute("INSERT OR IGNORE INTO metric(name) VALUES(?)", (key,))
                (known[key],) = self._db.execute(
                    "SELECT id FROM metric WHERE name = ?", (key,)
                ).fetchone()
        return [known[key] for key in keys]

    def _write(self, batch: Batch) -> None:
        many = self._db.executemany
        whole = len(batch.rows) - len(batch.rows) % AT_ONCE
        many(_ROWS, _slices(batch.rows[:whole], ()))
        many(_ROW, batch.rows[whole:])
        for metric, seqs, column in batch.columns:
            whole = len(seqs) - len(seqs) % AT_ONCE
            many(_POINTS, _slices(zip(seqs[:whole], column, strict=False), (metric,)))
            many(_POINT, zip(repeat(metric), seqs[whole:], column[whole:], strict=False))
        many(_POINT, batch.points)
        many("INSERT INTO object VALUES(?, ?, ?, ?)", batch.objects)
        many("INSERT INTO line VALUES(?, ?, ?)", batch.lines)
        many("INSERT INTO event VALUES(?, ?)", batch.events)
        many("INSERT INTO rejected VALUES(?, ?, ?, ?, ?)", batch.rejected)
        materialize(self._db, batch)
        self._write_source(batch)

    def _write_source(self, batch: Batch) -> None:
        self._db.execute(
            "UPDATE source SET position = ?, digest = ?,"
            " latest = CASE WHEN ? IS NULL THEN latest ELSE max(coalesce(latest, ?), ?) END,"
            " step = CASE WHEN ? IS NULL THEN step ELSE max(coalesce(step, ?), ?) END"
            " WHERE id = ?",
            (batch.position, batch.digest, *[batch.latest] * 3, *[batch.step] * 3, batch.source),
        )
        self._write_life(batch)

    def _write_life(self, batch: Batch) -> None:
        for row in batch.opened:
            data = row.data
            self._db.execute(
                "UPDATE source SET host = ?, pid = ?, label = ?, parent = ?, store = ?, opened = ?"
                " WHERE id = ?",
                (
                    *(_text(data.get("host")), _integer(data.get("pid"))),
                    *(_text(data.get(name)) for name in ("label", "parent", "store")),
                    *(row.time, batch.source),
                ),
            )
        for row in batch.closed:
            self._db.execute(
                "UPDATE source SET state = ?, exit_code = ? WHERE id = ?",
                (_text(row.data.get("state")), _integer(row.data.get("exit_code")), batch.source),
            )

    def _replace_stubs(
        self, source: int, uuid: str, digest: bytes, rows: Sequence[Row | Sequence[Any]]
    ) -> bytes:
        """Put rows in the place of stubs that were absorbed for them; gives the digest then."""
        stubs = dict(
            self._db.execute("SELECT number, digest FROM rejected WHERE source = ?", (source,))
        )
        changed = False
        for row in rows:
            if row[0] not in stubs or row[1] == Kind.STUB:
                continue
            (seq,) = self._db.execute(
                "SELECT seq FROM rows WHERE source = ? AND number = ?", (source, row[0])
            ).fetchone()
            batch = Batch(source, uuid, seq, b"")
            self._add(batch, row, None)
            if batch.rejected:
                continue
            self._db.execute(
                "DELETE FROM rejected WHERE source = ? AND number = ?", (source, row[0])
            )
            self._db.execute("DELETE FROM rows WHERE seq = ?", (seq,))
            (batch.position,) = self._db.execute(
                "SELECT position FROM source WHERE id = ?", (source,)
            ).fetchone()
            changed = changed or batch.digest != next_digest(b"", stubs[row[0]])
            batch.digest = digest
            self._write(batch)
        if changed:
            digest = digest_from_tables(self._db, source)
            self._db.execute("UPDATE source SET digest = ? WHERE id = ?", (digest, source))
        return digest


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _integer(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
