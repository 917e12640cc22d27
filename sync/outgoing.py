"""Outgoing: rows of a run's database as the sections of batches.

Rows are read by columns, one range scan per metric and stretch of neighbouring rows, so that
nothing is done per value in Python. How many rows make a section depends on what is in them: one
that turns out too large is read again with fewer rows.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple, TypeVar

from store.reread import reread, stretches
from store.row import Kind
from store.sync.wire import MAX_TEXT, Group, Section

ROWS: Final = 2000
VALUES: Final = 100_000
TEXT: Final = 4 * 2**20
"""Rows, numbers and bytes of text that a section has at most, but for a single large row."""
TOO_LARGE: Final = "too large to be sent"
_Item = TypeVar("_Item", bound=tuple[Any, ...])


class Origin(NamedTuple):
    """A source as far as sending needs it: its id in the database, uuid and kind."""

    id: int
    uuid: str
    kind: str


class _Row(NamedTuple):
    seq: int
    number: int
    kind: int
    step: int
    time: float


class _TooLarge(Exception):
    """The rows that were asked for hold `part` times what a section may."""

    def __init__(self, part: float) -> None:
        self.part = part


class Outgoing:
    """Reads sections from one connection; remembers how many rows make a good one."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection
        self._rows = ROWS

    def section(
        self, origin: Origin, after: int, *, most: int = ROWS, writing: bool | None = None
    ) -> Section | None:
        """The rows of a source behind number `after`, at most `most`; None when there are none."""
        count = min(most, self._rows)
        while True:
            rows = self._read_rows(origin.id, after, count)
            if not rows:
                return None
            try:
                section = self._fill(origin, rows, writing)
            except _TooLarge as error:
                if len(rows) == 1:
                    return self._stand_in(origin, rows[0], writing)
                count = self._rows = max(1, int(len(rows) / error.part / 1.5))
                continue
            self._rows = min(ROWS, 2 * self._rows)
            return section

    def _read_rows(self, source: int, after: int, count: int) -> list[_Row]:
        return [
            _Row(*fields)
            for fields in self._db.execute(
                "SELECT seq, number, kind, step, time FROM rows"
                " WHERE source = ? AND number > ? ORDER BY number LIMIT ?",
                (source, after, count),
            )
        ]

    def _fill(self, origin: Origin, rows: list[_Row], writing: bool | None) -> Section:
        index = {row.seq: place for place, row in enumerate(rows)}
        ranges = list(stretches([row.seq for row in rows]))
        texts = _Texts(single=len(rows) == 1)
        section = Section(
            *(origin.uuid, origin.kind, rows[0].number),
            [row.kind for row in rows],
            [row.step for row in rows],
            [row.time for row in rows],
            *([], [], [], [], []),
            writing,
        )
        kinds = set(section.kinds)
        if Kind.METRIC in kinds:
            section.groups.extend(self._groups(section, index, ranges))
            section.objects.extend(texts.counted(self._objects(index, ranges)))
        if kinds != {Kind.METRIC}:
            section.lines.extend(texts.counted(self._lines(index, ranges)))
            section.others.extend(texts.counted(self._others(index, ranges)))
        if Kind.STUB in kinds:
            section.stubs.extend(self._stubs(origin.id, rows))
        return section

    # -- tables --------------------------------------------------------------------------------

    def _groups(
        self, section: Section, index: dict[int, int], ranges: list[tuple[int, int]]
    ) -> list[Group]:
        """Metrics with the same rows together, in the order of their ids."""
        found: dict[tuple[int, ...], Group] = {}
        left = 4 * VALUES
        for metric, name in self._db.execute("SELECT id, name FROM metric ORDER BY id").fetchall():
            points: list[tuple[int, float | int | None]] = []
            for bounds in ranges:
                points += self._db.execute(
                    "SELECT row, value FROM point WHERE metric = ? AND row BETWEEN ? AND ?",
                    (metric, *bounds),
                ).fetchall()
            if not points:
                continue
            left -= len(points)
            if left < 0 and len(index) > 1:
                raise _TooLarge(4.0)
            seqs, values = zip(*points, strict=True)
            group = found.setdefault(seqs, Group(seqs, [], []))
            group.names.append(name)
            group.columns.append(values)
        total = 4 * VALUES - left
        if total > 1.5 * VALUES and len(index) > 1:
            raise _TooLarge(total / VALUES)
        whole = section.kinds.count(Kind.METRIC)
        return [
            group._replace(rows=None if len(seqs) == whole else [index[seq] for seq in seqs])
            for seqs, group in found.items()
        ]

    def _objects(
        self, index: dict[int, int], ranges: list[tuple[int, int]]
    ) -> Iterator[tuple[str, int, str]]:
        metrics = self._db.execute(
            "SELECT id, name FROM metric m"
            " WHERE EXISTS(SELECT 1 FROM object o WHERE o.metric = m.id) ORDER BY id"
        ).fetchall()
        for metric, name in metrics:
            for bounds in ranges:
                for seq, text in self._db.execute(
                    "SELECT row, data FROM object WHERE metric = ? AND row BETWEEN ? AND ?",
                    (metric, *bounds),
                ):
                    yield name, index[seq], text

    def _lines(
        self, index: dict[int, int], ranges: list[tuple[int, int]]
    ) -> Iterator[tuple[int, str, str]]:
        for bounds in ranges:
            for seq, stream, text in self._db.execute(
                "SELECT row, stream, text FROM line WHERE row BETWEEN ? AND ?", bounds
            ):
                yield index[seq], stream, text

    def _others(
        self, index: dict[int, int], ranges: list[tuple[int, int]]
    ) -> Iterator[tuple[int, str]]:
        for bounds in ranges:
            for seq, text in self._db.execute(
                "SELECT row, data FROM event WHERE row BETWEEN ? AND ?", bounds
            ):
                yield index[seq], text

    def _stubs(self, source: int, rows: list[_Row]) -> list[tuple[int, bytes, str]]:
        known = {
            number: (digest, reason)
            for number, digest, reason in self._db.execute(
                "SELECT number, digest, reason FROM rejected"
                " WHERE source = ? AND number BETWEEN ? AND ?",
                (source, rows[0].number, rows[-1].number),
            )
        }
        return [
            (place, *known.get(row.number, (b"", "unknown")))
            for place, row in enumerate(rows)
            if row.kind == Kind.STUB
        ]

    def _stand_in(self, origin: Origin, row: _Row, writing: bool | None) -> Section:
        """A stub for a row that no batch can hold."""
        item = next(reread(self._db, origin.id, row.number - 1))
        return Section(
            *(origin.uuid, origin.kind, row.number, [int(Kind.STUB)], [row.step], [row.time]),
            *([], [], [], [], [(0, item.digest, TOO_LARGE)], writing),
        )


class _Texts:
    """Counts the text that goes into a section."""

    def __init__(self, *, single: bool) -> None:
        self._most = MAX_TEXT // 2 if single else TEXT
        self._taken = 0

    def counted(self, items: Iterable[_Item]) -> Iterator[_Item]:
        for item in items:
            self._taken += sum(len(part) for part in item if isinstance(part, str))
            if self._taken > self._most:
                raise _TooLarge(4.0)
            yield item
