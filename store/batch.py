"""A batch: rows of one source sorted into the columns of a run's tables, before any SQL."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import repeat
from typing import Any, Final

from store.jsontext import to_json
from store.row import Kind, Row, is_system_row, next_digest
from store.stretch import HASH, METRIC, Stretch


class Logged:
    """What the rows of a batch say about one key of the summary."""

    __slots__ = ("count", "greatest", "least", "stamp", "value")

    def __init__(self) -> None:
        self.stamp = (float("-inf"), 0)
        self.value: object = None
        self.least: float | None = None
        self.greatest: float | None = None
        self.count = 0

    def see(self, stamp: tuple[float, int], value: object) -> None:
        if stamp > self.stamp:
            self.stamp, self.value = stamp, value

    def spread(self, least: float, greatest: float) -> None:
        self.least = least if self.least is None else min(self.least, least)
        self.greatest = greatest if self.greatest is None else max(self.greatest, greatest)


class Batch:
    """Collected rows. `digest`, `step` and `latest` move along with the rows that are added."""

    def __init__(self, source: int, uuid: str, first_seq: int, digest: bytes) -> None:
        self.source = source
        self.uuid = uuid
        self.digest = digest
        self.position = 0
        self.step: int | None = None
        self.latest: float | None = None
        self._seq = first_seq
        self.rows: list[tuple[int, int, int, int, int, float]] = []
        self.columns: list[tuple[int, range, Sequence[float]]] = []
        self.points: list[tuple[int, int, object]] = []
        self.objects: list[tuple[int, int, str, str]] = []
        self.lines: list[tuple[int, str, str]] = []
        self.events: list[tuple[int, str]] = []
        self.rejected: list[tuple[int, int, bytes, str, bytes]] = []
        self.opened: list[Row] = []
        self.closed: list[Row] = []
        self.settings: dict[int, list[Row]] = {}
        self.logged: dict[str, Logged] = {}

    def add_row(self, row: Row, row_hash: bytes) -> int:
        """Give the row its seq and move the chain; its data is still to be added."""
        seq = self._seq
        self._seq += 1
        self.digest = next_digest(self.digest, row_hash)
        self.rows.append((seq, self.source, row.number, row.kind, row.step, row.time))
        if row.kind != Kind.STUB:
            self.latest = row.time if self.latest is None else max(self.latest, row.time)
        return seq

    def add_stretch(self, stretch: Stretch, ids: Sequence[int]) -> None:
        """Many rows of finite numbers at once."""
        count, first = len(stretch.numbers), self._seq
        self._seq = first + count
        seqs = range(first, first + count)
        digest = self.digest
        for row_hash in stretch.hashes:
            state = HASH.copy()
            state.update(digest + row_hash)
            digest = state.digest()
        self.digest = digest
        self.rows.extend(
            zip(
                seqs,
                repeat(self.source, count),
                stretch.numbers,
                repeat(METRIC, count),
                stretch.steps,
                stretch.times,
                strict=True,
            )
        )
        latest = max(stretch.times)
        self.latest = latest if self.latest is None else max(self.latest, latest)
        self._move_step(max(stretch.steps), stretch.keys)
        self.columns += zip(ids, repeat(seqs, len(ids)), stretch.values, strict=True)
        self._see(stretch, latest)

    def _move_step(self, step: int, keys: Collection[str]) -> None:
        if not is_system_row(keys):
            self.step = step if self.step is None else max(self.step, step)

    def _see(self, stretch: Stretch, latest: float) -> None:
        """What the stretch means for the summary: the last of the latest rows."""
        last = len(stretch.times) - 1 - stretch.times[::-1].index(latest)
        stamp = (latest, stretch.numbers[last])
        for key, column in zip(stretch.keys, stretch.values, strict=True):
            logged = self.logged.get(key)
            if logged is None:
                logged = self.logged[key] = Logged()
            logged.count += len(column)
            logged.see(stamp, column[last])
            logged.spread(min(column), max(column))

    def add_mixed(self, seq: int, row: Row, ids: dict[str, int]) -> None:
        """A metric row with special numbers, texts or objects in it."""
        self._move_step(row.step, row.data)
        stamp = (row.time, row.number)
        for key, value in row.data.items():
            logged = self.logged.setdefault(key, Logged())
            logged.count += 1
            if isinstance(value, int | float) or value is None:
                number = int(value) if type(value) is bool else value
                self.points.append((ids[key], seq, number))
                is_nan = number is None or number != number  # noqa: PLR0124
                logged.see(stamp, None if is_nan else number)
                if number is not None and not is_nan:
                    logged.spread(number, number)
            else:
                text = to_json(value)
                self.objects.append((ids[key], seq, type_name(value), text))
                logged.see(stamp, text)

    def add_other(self, seq: int, row: Row) -> None:
        """A row of any other kind."""
        data = row.data
        if row.kind == Kind.CONSOLE and is_line(data):
            self.lines.append((seq, data["stream"], data["text"]))
            return
        self.events.append((seq, to_json(data)))
        if row.kind == Kind.OPEN:
            self.opened.append(row)
        elif row.kind == Kind.END:
            self.closed.append(row)
        elif row.kind in SETTING_KINDS:
            self.settings.setdefault(row.kind, []).append(row)


SETTING_KINDS: Final = frozenset({Kind.CONFIG, Kind.SUMMARY, Kind.ATTRIBUTE, Kind.FILE})


def is_line(data: dict[str, Any]) -> bool:
    """Whether a console row's data fits table `line`, with nothing left over."""
    return (
        data.keys() == {"stream", "text"}
        and isinstance(data["stream"], str)
        and isinstance(data["text"], str)
    )


def type_name(value: object) -> str:
    """What table `object` calls a value: its own `_type`, or the JSON type."""
    if isinstance(value, dict):
        named = value.get("_type")
        return named if isinstance(named, str) else "object"
    return "text" if isinstance(value, str) else "list"
