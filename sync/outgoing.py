"""Outgoing: rows of a run's database as the sections of batches.

Rows are read by columns, one range scan per metric and stretch of neighbouring rows, so that
nothing is done per value in Python. How many rows make a section depends on what is in them: one
that turns out too large is read again with fewer rows.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator
from math import inf
from typing import Any, Final, NamedTuple, TypeVar

from store.jsontext import from_json
from store.lazy import lazy
from store.reread import stretches
from store.row import Kind, Row, row_digest
from store.sync.receive import fields_of
from store.sync.wire import MAX_PARTS, MAX_REASON, MAX_TEXT, Group, Section, parts_of

ROWS: Final = 2000
VALUES: Final = 100_000
TEXT: Final = 4 * 2**20
"""Rows, values and bytes of text that a section has at most, but for a single large row."""
COLUMN: Final = 4
"""What a column counts beside its numbers, and a text beside what is in it, in values."""
TOO_LARGE: Final = "too large to be sent"
_Item = TypeVar("_Item", bound=tuple[Any, ...])


class Origin(NamedTuple):
    """A source as far as sending needs it: its id in the database, uuid and kind."""

    id: int
    uuid: str
    kind: str


class _Rows:
    """Rows of a source in columns, in the order of their numbers."""

    def __init__(self, fields: list[tuple[Any, ...]]) -> None:
        self.seqs: tuple[int, ...]
        self.kinds: tuple[int, ...]
        self.seqs, self.numbers, self.kinds, self.steps, self.times = zip(*fields, strict=True)
        self.ranges = list(stretches(list(self.seqs)))

    def __len__(self) -> int:
        return len(self.seqs)

    @lazy
    def index(self) -> dict[int, int]:
        """Where a seq is in the columns."""
        return {seq: place for place, seq in enumerate(self.seqs)}


def begins_anew(connection: sqlite3.Connection) -> bool:
    """Whether resume="never" is the last that was said on whether the run may be joined."""
    opened = connection.execute(
        "SELECT e.data FROM source s JOIN rows r ON r.source = s.id AND r.number = 1"
        " JOIN event e ON e.row = r.seq WHERE r.kind = ? ORDER BY r.time DESC",
        (int(Kind.OPEN),),
    )
    said = (from_json(data).get("resume") for (data,) in opened)
    return next(filter(None, said), None) == "never"


class _TooLarge(Exception):
    """The rows that were asked for hold `part` times what a section may."""

    def __init__(self, part: float) -> None:
        self.part = part


class Outgoing:
    """Reads sections from one connection; remembers how many rows make a good one.

    `taken` is what the last section was seen to hold.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.taken = Taken(_NO_BOUNDS)
        self._db = connection
        self._rows = ROWS

    def section(
        self, origin: Origin, after: int, *, most: int = ROWS, writing: bool | None = None
    ) -> Section | None:
        """The rows of a source behind number `after`, at most `most`; None when there are none."""
        count = min(most, self._rows)
        while True:
            with self._moment():
                rows = self._read_rows(origin.id, after, count)
                if not rows:
                    return None
                single = len(rows) == 1
                try:
                    section = self._fill(origin, rows, writing, _LARGE_ROW if single else _SECTION)
                except _TooLarge as error:
                    if single:
                        return self._stand_in(origin, rows, writing)
                    count = self._rows = max(1, int(len(rows) / error.part / 1.5))
                    continue
            self._rows = min(ROWS, 2 * self._rows)
            return section

    @contextlib.contextmanager
    def _moment(self) -> Iterator[None]:
        """See one moment of the database: a row may be taking the place of its stub just now."""
        if self._db.in_transaction:
            yield
            return
        self._db.execute("BEGIN")
        try:
            yield
        finally:
            self._db.execute("ROLLBACK")

    def _read_rows(self, source: int, after: int, count: int) -> _Rows | None:
        fields = self._db.execute(
            "SELECT seq, number, kind, step, time FROM rows"
            " WHERE source = ? AND number > ? ORDER BY number LIMIT ?",
            (source, after, count),
        ).fetchall()
        return _Rows(fields) if fields else None

    def _fill(self, origin: Origin, rows: _Rows, writing: bool | None, most: _Room) -> Section:
        taken = self.taken = Taken(most)
        section = Section(
            *(origin.uuid, origin.kind, rows.numbers[0]),
            *(rows.kinds, rows.steps, rows.times),
            *([], [], [], [], []),
            writing,
        )
        kinds = set(rows.kinds)
        if Kind.METRIC in kinds:
            section.groups.extend(self._groups(rows, taken))
            section.objects.extend(taken.json(self._objects(rows)))
        if kinds != {Kind.METRIC}:
            section.lines.extend(taken.texts(self._lines(rows)))
            section.others.extend(taken.json(self._others(rows)))
        if Kind.STUB in kinds:
            section.stubs.extend(taken.texts(self._stubs(origin.id, rows)))
        if most is _SECTION and taken.values > 1.5 * VALUES:
            raise _TooLarge(taken.values / VALUES)
        return section

    # -- tables --------------------------------------------------------------------------------

    def _groups(self, rows: _Rows, taken: Taken) -> list[Group]:
        """Metrics with the same rows together, in the order of their ids."""
        whole = rows.kinds.count(Kind.METRIC)
        found: dict[tuple[int, ...] | None, Group] = {}
        for metric, name in self._db.execute("SELECT id, name FROM metric ORDER BY id").fetchall():
            values = self._points("value", metric, rows)
            if not values:
                continue
            taken.add(len(values) + COLUMN, name)
            seqs = None
            if len(values) < whole:
                seqs = tuple(self._points("row", metric, rows))
            group = found.setdefault(seqs, Group(seqs, [], []))
            group.names.append(name)
            group.columns.append(values)
        return [
            group if seqs is None else group._replace(rows=[rows.index[seq] for seq in seqs])
            for seqs, group in found.items()
        ]

    def _points(self, column: str, metric: int, rows: _Rows) -> list[Any]:
        """A column of table `point`, in the order of the rows."""
        sql = f"SELECT {column} FROM point WHERE metric = ? AND row BETWEEN ? AND ? ORDER BY row"
        return [
            value for bounds in rows.ranges for (value,) in self._db.execute(sql, (metric, *bounds))
        ]

    def _objects(self, rows: _Rows) -> Iterator[tuple[str, int, str]]:
        metrics = self._db.execute(
            "SELECT id, name FROM metric m"
            " WHERE EXISTS(SELECT 1 FROM object o WHERE o.metric = m.id) ORDER BY id"
        ).fetchall()
        for metric, name in metrics:
            for bounds in rows.ranges:
                for seq, text in self._db.execute(
                    "SELECT row, data FROM object WHERE metric = ? AND row BETWEEN ? AND ?",
                    (metric, *bounds),
                ):
                    yield name, rows.index[seq], text

    def _lines(self, rows: _Rows) -> Iterator[tuple[int, str, str]]:
        for bounds in rows.ranges:
            for seq, stream, text in self._db.execute(
                "SELECT row, stream, text FROM line WHERE row BETWEEN ? AND ?", bounds
            ):
                yield rows.index[seq], stream, text

    def _others(self, rows: _Rows) -> Iterator[tuple[int, str]]:
        for bounds in rows.ranges:
            for seq, text in self._db.execute(
                "SELECT row, data FROM event WHERE row BETWEEN ? AND ?", bounds
            ):
                yield rows.index[seq], text

    def _stubs(self, source: int, rows: _Rows) -> list[tuple[int, bytes, str]]:
        known = {
            number: (digest, reason)
            for number, digest, reason in self._db.execute(
                "SELECT number, digest, reason FROM rejected"
                " WHERE source = ? AND number BETWEEN ? AND ?",
                (source, rows.numbers[0], rows.numbers[-1]),
            )
        }
        return [
            (place, digest, reason[:MAX_REASON])
            for place, (number, kind) in enumerate(zip(rows.numbers, rows.kinds, strict=True))
            if kind == Kind.STUB
            for digest, reason in [known.get(number, (b"", "unknown"))]
        ]

    def _stand_in(self, origin: Origin, rows: _Rows, writing: bool | None) -> Section:
        """A stub for the row that no batch can hold, with the digest that the row has."""
        section = self._fill(origin, rows, writing, _NO_BOUNDS)
        (fields,) = fields_of(section)
        return section._replace(
            kinds=[int(Kind.STUB)],
            groups=[],
            objects=[],
            lines=[],
            others=[],
            stubs=[(0, row_digest(Row(*fields)), TOO_LARGE)],
        )


class _Room(NamedTuple):
    """The most values and bytes of text that one goes on reading for."""

    values: float
    text: float


_SECTION: Final = _Room(4 * VALUES, TEXT)
_LARGE_ROW: Final = _Room(MAX_PARTS - 2 * VALUES, MAX_TEXT // 2)
_NO_BOUNDS: Final = _Room(inf, inf)


class Taken:
    """The values, and bytes of text, that were read for a section so far."""

    def __init__(self, most: _Room) -> None:
        self._most = most
        self.values = 0
        self.text = 0

    def add(self, values: int, text: str) -> None:
        self.values += values
        self.text += len(text) if text.isascii() else len(text.encode())
        if self.values > self._most.values or self.text > self._most.text:
            raise _TooLarge(4.0)

    def texts(self, items: Iterable[_Item]) -> Iterator[_Item]:
        for item in items:
            for part in item:
                if isinstance(part, str):
                    self.add(COLUMN, part)
            yield item

    def json(self, items: Iterable[_Item]) -> Iterator[_Item]:
        """Items that end in a JSON text, of which the receiver makes values."""
        for item in self.texts(items):
            self.add(parts_of(item[-1]), "")
            yield item
